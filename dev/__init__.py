"""The site with its stand-ins, for development: what `flask run` starts (`.flaskenv` names this package).

The site knows nothing of this. What is unset gets a value here, a backend starts beside the site, and from
there on it is the code of production. Whatever is configured for real is used instead.
"""

import logging
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from flask import Flask
from werkzeug.serving import is_running_from_reloader

import app
import config
from dev import backend, stand_in_settings, stand_ins
from dev.providers import PROVIDERS
from services.observability import log_config

_KEY_FILE = Path(__file__).parent.parent / "instance" / "development-secret-key"
_TEMPLATES = Path(__file__).parent / "templates"


def create_app() -> Flask:
    """The site for `flask run` and the other flask commands; only the one that serves starts stand-ins."""
    serving = _command_that_serves()
    port = serving.params["port"] if serving else int(os.environ.get("FLASK_RUN_PORT", "8080"))
    site = create_site(os.environ, port)
    if serving and not is_running_from_reloader():
        settings = completed(os.environ, port)
        _greet(settings["SITE_URL"], port, _start_stand_ins(settings, port))
    return site


def create_site(environ: Mapping[str, str], port: int) -> Flask:
    """The site on this port of this machine, with a value for each required setting that is unset."""
    settings = config.load(completed(environ, port))
    _configure_logs(settings)
    site = app.create_app(settings)
    site.jinja_env.globals["stand_in_accounts"] = backend.ACCOUNTS
    site.jinja_env.globals["stand_in_password"] = backend.PASSWORD
    site.wsgi_app = _at_one_name(settings.site_url, site.wsgi_app)  # type: ignore[method-assign]
    return site


def _configure_logs(settings: config.Settings) -> None:
    log_config.configure(settings)
    requests = logging.getLogger("werkzeug")  # prints its own lines, in colour
    requests.handlers, requests.propagate = [logging.StreamHandler()], False
    requests.setLevel(logging.INFO)


def completed(environ: Mapping[str, str], port: int) -> dict[str, str]:
    """The environment of a site on this port, with the stand-ins' settings where it has none."""
    given = {name: value for name, value in environ.items() if value.strip()}
    ours = {"SITE_URL": f"http://localhost:{port}"}
    if "SECRET_KEY" not in given:
        ours["SECRET_KEY"] = _development_key()
    if "BACKEND_URL" not in given:
        ours |= {
            "BACKEND_URL": stand_in_settings.origin(port),
            "BACKEND_LOGOUT_PATH": "/logout",
            "BACKEND_PROFILE_PATH": "/profile",
            "TEMPLATES_DIR": str(_TEMPLATES),
        }
    if stand_in_settings.providers_without_settings(given):
        ours |= stand_in_settings.completed(given, port, _development_key())
    return ours | given


def _development_key() -> str:
    """A secret made once for this checkout, in a file that git ignores: sessions survive a restart."""
    if not _KEY_FILE.exists():
        _KEY_FILE.parent.mkdir(exist_ok=True)
        # Whole as soon as it can be seen, for processes that start at once, and nobody else's to read at any moment.
        with tempfile.NamedTemporaryFile("w", dir=_KEY_FILE.parent, delete=False) as made:
            made.write(secrets.token_urlsafe(33))
        Path(made.name).replace(_KEY_FILE)
    return _KEY_FILE.read_text().strip()


def _command_that_serves() -> click.Context | None:
    context = click.get_current_context(silent=True)
    return context if context and context.info_name == "run" and "port" in context.params else None


def _start_stand_ins(settings: Mapping[str, str], port: int) -> list[str]:
    """Which of them were started."""
    needed = stand_ins.needed(settings, port)
    if needed:
        try:
            stand_ins.serve_in_background(settings, port)
        except OSError as error:
            what = "backend" if "backend" in needed else "providers"
            why = os.strerror(error.errno or 0)
            raise click.ClickException(
                f"the stand-in {what} cannot listen on 127.0.0.1:{port + 1} ({why}); try another port"
            ) from None
    return needed


def _greet(site_url: str, port: int, started: list[str]) -> None:
    click.secho(f"\n  Munjigi  ->  {site_url}\n", bold=True)
    if "backend" in started:
        click.echo(f"  Sign in with one of these; the password is {backend.PASSWORD}\n")
        for account in backend.ACCOUNTS:
            click.echo(f"    {account.email:24} {account.what}")
        click.echo(f"\n  The stand-in backend listens on {stand_in_settings.origin(port)} and logs below.")
    if names := [PROVIDERS[name].name for name in started if name in PROVIDERS]:
        click.echo(f"  Stand-ins, with people and failures to choose: {', '.join(names)}.")
    click.echo("")


def _at_one_name(site_url: str, site: Any) -> Any:
    """Who comes by number (127.0.0.1) goes on to the name in SITE_URL: a form sent from there would be refused."""
    name = site_url.partition("://")[2].partition("/")[0]
    number = name.replace("localhost", "127.0.0.1")

    def same_name(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if name == number or environ["REQUEST_METHOD"] != "GET" or environ.get("HTTP_HOST") != number:
            return site(environ, start_response)  # type: ignore[no-any-return]
        start_response("307 Temporary Redirect", [("Location", site_url + environ["REQUEST_URI"])])
        return []

    return same_name
