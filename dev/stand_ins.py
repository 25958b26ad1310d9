"""The stand-in server in development: the backend at `/`, each provider at `/<id>`."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import click
from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.serving import WSGIRequestHandler, make_server

from dev import backend, stand_in_settings
from dev.identity_provider import IdentityProvider
from dev.social_login import SocialLogin
from dev.stand_in_settings import client_registrations, stand_in_origin

_TEMPLATES = Path(__file__).parent / "templates" / "stand_ins"


def needed_stand_ins(settings: Mapping[str, str], port: int) -> list[str]:
    """Return the stand-ins that the settings of a site on `port` point to: `backend` and provider ids."""
    origin = stand_in_origin(port)
    clients = client_registrations(settings)
    names = [name for name, client in clients.items() if client.base_url.startswith(f"{origin}/")]
    url = settings.get("BACKEND_URL", "")
    return (["backend"] if url == origin or url.startswith(f"{origin}/") else []) + names


def create_stand_ins(
    settings: Mapping[str, str], port: int, delay: float = 0.0, now: Callable[[], float] = time.time
) -> Flask:
    """Create a Flask application with the stand-ins that a site on `port` needs. `settings` must be complete.

    now: the clock of the backend, by which its tokens expire.
    """
    names, registrations = needed_stand_ins(settings, port), client_registrations(settings)
    issuers = {
        name: IdentityProvider(registrations[name].provider, registrations[name]) for name in names if name != "backend"
    }
    if "backend" in names:
        protocol = stand_in_settings.protocol(settings)
        site = backend.create_backend(delay, protocol, SocialLogin(registrations, issuers), now, settings["SITE_URL"])
        site.add_url_rule("/mail", view_func=lambda: _show_mails(site, settings["SITE_URL"]))
        _take_provider_events(site, settings.get("BACKEND_EVENTS_TOKEN"))
    else:
        site = Flask("stand-ins", static_folder=None)
    site.template_folder = str(_TEMPLATES)
    for provider in issuers.values():
        site.register_blueprint(provider.blueprint())
    site.after_request(_add_privacy_headers)
    return site


def _take_provider_events(site: Flask, token: str | None) -> None:
    """Let the stand-in backend take events of providers, if `BACKEND_PROVIDER_EVENT_PATH` is `/provider-events`.

    token: what it requires as the bearer token. A GET shows the events.
    """
    events: list[Any] = []

    def take() -> ResponseReturnValue:
        if request.method == "GET":
            return events
        if token and request.headers.get("Authorization") != f"Bearer {token}":
            return {"message": "Unauthenticated."}, 401
        events.append(request.get_json())
        return {}, 200

    site.add_url_rule("/provider-events", "provider_events", take, methods=["GET", "POST"])


def _show_mails(site: Flask, site_url: str) -> str:
    """The page with the mails that the stand-in backend would have sent, newest first."""
    return render_template("mail.html", mails=[*reversed(site.extensions["mails"])], site_url=site_url.rstrip("/"))


def serve_in_background(settings: Mapping[str, str], port: int, delay: float = 0.0) -> None:
    """Serve the stand-ins on `port + 1` until this process ends. Raises `OSError` if that port is in use."""
    with socket.create_server(("127.0.0.1", port + 1)) as listener:
        server = make_server(
            "127.0.0.1",
            port + 1,
            create_stand_ins(settings, port, delay),
            threaded=True,
            request_handler=_RequestHandler,
            fd=listener.fileno(),
        )
    threading.Thread(target=server.serve_forever, daemon=True, name="stand-ins").start()


class _RequestHandler(WSGIRequestHandler):
    """Logs one line per request, without query and body: they may hold secrets."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002  # overrides a method
        path = self.path.partition("?")[0]
        provider, _, rest = path[1:].partition("/")
        name, endpoint = (
            (provider, f"/{rest}") if provider in cast("Flask", self.server.app).blueprints else ("backend", path)
        )
        click.echo(f"  {name:7}  {self.command:6} {endpoint:10} -> {code}", file=sys.stderr)


def _add_privacy_headers(response: Response) -> Response:
    """Keep the URLs of the stand-ins, which hold codes and states, out of `Referer` headers and caches."""
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cache-Control", "no-store")
    return response
