"""`python -m doctor`: the command without Flask's command line, for the container."""

from app import create_app
from doctor.command import doctor_command

if __name__ == "__main__":
    doctor_command(create_app)()
