"""`python -m munjigi`: the `munjigi` command where it is not on PATH."""

from munjigi.command import main

if __name__ == "__main__":
    main()
