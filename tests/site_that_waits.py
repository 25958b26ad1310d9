"""Which thread answers, on the server and with the options of `serve.py`."""

import os
import threading
import time

from flask import Flask

import config
from serve import _server
from services import waiting

WAITS = 1.0
"""Seconds."""


def site() -> Flask:
    app = Flask("waits", static_folder=None, template_folder=None)

    @app.get("/")
    def thread() -> str:
        return str(threading.get_ident())

    @app.get("/wait")
    def wait() -> str:
        waiting.begins()
        time.sleep(WAITS)
        return thread()

    return app


if __name__ == "__main__":
    _server(config.load(os.environ)).serve(target_loader=site, wrap_loader=False)
