# `flask run` is the site with its development stand-ins. Port 5000 belongs to AirPlay on a Mac.
FLASK_APP=dev
FLASK_RUN_HOST=localhost
FLASK_RUN_PORT=8080
