# `flask run` in this folder starts the development site, with stand-ins. `flask --app app` is the production site.
# Port 8080, because macOS uses port 5000 for AirPlay.
FLASK_APP=dev
FLASK_RUN_HOST=localhost
FLASK_RUN_PORT=8080
