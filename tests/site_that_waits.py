"""Which thread answers, on the server and with the options of `serve.py`."""

import multiprocessing
import os
import threading
import time

from flask import Flask, request

import config
from serve import _server, at_the_door
from services import waiting

WAITS = 2.0
"""Seconds."""


def site() -> Flask:
    app = Flask("waits", static_folder=None, template_folder=None)

    @app.get("/")
    def thread() -> str:
        return str(threading.get_ident())

    @app.post("/read")
    def read() -> str:
        return str(len(request.get_data()))

    @app.get("/wait")
    def wait() -> str:
        waiting.begins()
        time.sleep(WAITS)
        return thread()

    return app


if __name__ == "__main__":
    multiprocessing.set_start_method(os.environ["START_METHOD"])
    settings = config.load(os.environ)
    _server(settings).serve(target_loader=at_the_door(settings, site), wrap_loader=False)
