"""The server beside the site in development: the stand-in backend at `/`, a stand-in provider at `/<its id>`."""

import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import click
from flask import Flask, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from dev import backend
from dev.identity_provider import IdentityProvider
from dev.providers import PROVIDERS
from dev.social_login import SocialLogin
from dev.stand_in_settings import clients, origin

_TEMPLATES = Path(__file__).parent / "templates" / "stand_ins"


def needed(settings: Mapping[str, str], port: int) -> list[str]:
    """What of the settings leads to the stand-ins of a site on `port`: `backend` and ids of providers."""
    here = origin(port)
    leading = [name for name, client in clients(settings).items() if client.base_url.startswith(f"{here}/")]
    return (["backend"] if settings.get("BACKEND_URL") == here else []) + leading


def create_stand_ins(settings: Mapping[str, str], port: int, delay: float = 0.0) -> Flask:
    """The stand-ins that a site on `port` with these (complete) settings needs, as one WSGI site."""
    wanted, registered = needed(settings, port), clients(settings)
    providers = {name: IdentityProvider(PROVIDERS[name], registered[name]) for name in wanted if name != "backend"}
    site = backend.create_backend(delay) if "backend" in wanted else Flask("stand-ins", static_folder=None)
    site.template_folder = str(_TEMPLATES)
    for provider in providers.values():
        site.register_blueprint(provider.blueprint())
    if "backend" in wanted:
        site.register_blueprint(SocialLogin(registered, providers).blueprint())
    site.after_request(_kept_to_itself)
    return site


def serve_in_background(settings: Mapping[str, str], port: int, delay: float = 0.0) -> None:
    """Answer for a site on `port`, on the port after it, until this process ends. Raises `OSError` if it is taken."""
    with socket.create_server(("127.0.0.1", port + 1)) as listening:
        server = make_server(
            "127.0.0.1",
            port + 1,
            create_stand_ins(settings, port, delay),
            threaded=True,
            request_handler=_Line,
            fd=listening.fileno(),
        )
    threading.Thread(target=server.serve_forever, daemon=True, name="stand-ins").start()


class _Line(WSGIRequestHandler):
    """One readable line a call, without anything that was sent in it."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002  # the signature is given
        path = self.path.partition("?")[0]
        provider, _, rest = path[1:].partition("/")
        who, what = (provider, f"/{rest}") if provider in PROVIDERS else ("backend", path)
        click.echo(f"  {who:7}  {self.command:6} {what:10} -> {code}", file=sys.stderr)


def _kept_to_itself(response: Response) -> Response:
    """No page with a code or a state in its address tells it to anybody."""
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cache-Control", "no-store")
    return response
