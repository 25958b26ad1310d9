"""The measure of a session read: a Flask site of one empty JSON view, on the server and the options of `serve.py`."""

import os

from flask import Flask
from flask.typing import ResponseReturnValue

import config
from serve import _server, at_the_door


def site() -> Flask:
    app = Flask("empty", static_folder=None, template_folder=None)

    @app.get("/")
    def empty() -> ResponseReturnValue:
        return {}

    return app


if __name__ == "__main__":
    settings = config.load(os.environ)
    _server(settings).serve(target_loader=at_the_door(settings, site), wrap_loader=False)
