"""The development application: the site, a stand-in backend and stand-in providers. `.flaskenv` names this package.

`flask run` fills in the required settings that are unset and starts the stand-ins on the next port. Settings in the
environment take precedence. The site itself has no development mode and does not import this package.
"""

import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from flask import Flask
from werkzeug.serving import is_running_from_reloader

import app
import config
import settings_readers
from dev import backend, pseudo_language, stand_in_settings, stand_ins
from doctor import command as doctor_command
from services.clock import Clock
from services.observability import log_config

_SITE = Path(__file__).parent.parent
_KEY_FOLDER = Path(click.get_app_dir("munjigi")) if (_SITE / "__init__.py").exists() else _SITE / "instance"
"""In a checkout, the git-ignored folder `instance`. In an installed package (`munjigi/__init__.py`), the folder of the
user's settings: that of the package may be shared or read-only."""
_KEY_FILE = _KEY_FOLDER / "development-secret-key"
_TEMPLATES = Path(__file__).parent / "templates"


def create_app() -> Flask:
    """Create the site for the flask commands. Only `flask run` starts the stand-ins."""
    if doctor_command.is_requested():
        return doctor_command.command_app(app.create_app)
    run_context = _run_command_context()
    port = run_context.params["port"] if run_context else int(os.environ.get("FLASK_RUN_PORT", "8080"))
    site = create_site(os.environ, port)
    if run_context and not is_running_from_reloader():
        settings = completed(os.environ, port)
        login_identifier = site.config["MUNJIGI"].login_identifier
        _print_greeting(settings, port, _start_stand_ins(settings, port), login_identifier)
    return site


def create_site(environ: Mapping[str, str], port: int, clock: Clock | None = None) -> Flask:
    """Create the site for `port` of this machine, with development values for required settings that are unset.

    Tests pass their own `clock`. Raises `click.ClickException` if a setting is invalid.
    """
    settings = config.load(completed(environ, port))
    _configure_logs(settings)
    site = app.create_app(settings, clock=clock)
    kind = settings.login_identifier
    protocol = stand_in_settings.protocol(environ)
    site.jinja_env.globals["stand_in_protocol"] = protocol
    site.jinja_env.globals["stand_in_accounts"] = [
        (account.identifiers(kind)[0], description) for account, description in backend.accounts(protocol)
    ]
    site.jinja_env.globals["stand_in_other_identifiers"] = backend.ACCOUNTS[0].identifiers(kind)[1:]
    site.jinja_env.globals["stand_in_password"] = backend.PASSWORD
    site.jinja_env.globals["stand_in_mail_url"] = f"{stand_in_settings.stand_in_origin(port)}/mail"
    if settings_readers.boolean(environ.get("PSEUDO_LANGUAGE", "false")):
        pseudo_language.install(site)
    site.wsgi_app = _redirect_to_site_url(settings.site_url, site.wsgi_app)  # type: ignore[method-assign]
    return site


def _configure_logs(settings: config.Settings) -> None:
    log_config.configure(settings)
    request_logger = logging.getLogger("werkzeug")  # formats its own lines, with color
    request_logger.handlers, request_logger.propagate = [logging.StreamHandler()], False
    request_logger.setLevel(logging.INFO)
    request_logger.addFilter(_hide_query)


def _hide_query(record: logging.LogRecord) -> bool:
    """A filter: write requests without their query, which can have the code of an email or of a provider."""
    if isinstance(record.args, tuple):
        record.args = tuple(re.sub(r"\?\S*", "?…", arg) if isinstance(arg, str) else arg for arg in record.args)
    return True


def completed(environ: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the environment for a site on `port`, with values for settings that are unset."""
    set_values = {name: value for name, value in environ.items() if value.strip()}
    defaults = {"SITE_URL": f"http://localhost:{port}"}
    if "SECRET_KEY" not in set_values:
        defaults["SECRET_KEY"] = _development_key()
    if "BACKEND_URL" not in set_values:
        defaults |= stand_in_settings.backend_settings(set_values, port) | {"TEMPLATES_DIR": str(_TEMPLATES)}
    if stand_in_settings.providers_without_settings(set_values):
        defaults |= stand_in_settings.missing_settings(set_values, port, _development_key())
    return {name: value for name, value in defaults.items() if f"{name}_FILE" not in set_values} | set_values


def _development_key() -> str:
    """Return the secret key of this checkout or this user, created once in a file: sessions survive a restart.

    If the file cannot be written, as in a read-only file system, the key is that of this process.
    """
    try:
        if not _KEY_FILE.exists():
            _create_key_file()
        return _KEY_FILE.read_text().strip()
    except OSError as error:
        return _process_key(f"{_KEY_FILE} cannot be written: {error.strerror}")


def _create_key_file() -> None:
    _KEY_FILE.parent.mkdir(parents=True, exist_ok=True)
    # Write a private temporary file and rename it: other users can never read the key, and processes that start at the
    # same time never see a partial one.
    with tempfile.NamedTemporaryFile("w", dir=_KEY_FILE.parent, delete=False) as temporary_file:
        temporary_file.write(secrets.token_urlsafe(33))
    Path(temporary_file.name).replace(_KEY_FILE)


@cache
def _process_key(reason: str) -> str:
    click.echo(f"Sessions will end when the site stops, because {reason}", err=True)
    return secrets.token_urlsafe(33)


def _run_command_context() -> click.Context | None:
    """Return the context of `flask run`, or None if another command runs."""
    context = click.get_current_context(silent=True)
    return context if context and context.info_name == "run" and "port" in context.params else None


def _start_stand_ins(settings: Mapping[str, str], port: int) -> list[str]:
    """Start the stand-ins that the settings point to. Returns their names.

    Raises `click.ClickException` if the port is in use.
    """
    names = stand_ins.needed_stand_ins(settings, port)
    if names:
        try:
            stand_ins.serve_in_background(settings, port)
        except OSError as error:
            kind = "backend" if "backend" in names else "providers"
            reason = os.strerror(error.errno or 0)
            raise click.ClickException(
                f"the stand-in {kind} cannot listen on 127.0.0.1:{port + 1} ({reason}); try another port"
            ) from None
    return names


def _print_greeting(settings: Mapping[str, str], port: int, started: list[str], login_identifier: str) -> None:
    click.secho(f"\n  Munjigi  ->  {settings['SITE_URL']}\n", bold=True)
    if urlsplit(settings["SITE_URL"]).port != port:
        click.echo(
            f"  This server listens on port {port}. Forms work at the address above only:"
            " without a proxy there, remove SITE_URL from .env.\n"
        )
    if "backend" not in started:
        click.echo(f"  The backend is {settings['BACKEND_URL']} (BACKEND={settings.get('BACKEND', 'laravel')}).")
    else:
        protocol = stand_in_settings.protocol(settings)
        click.echo(f"  Sign in with one of these; the password is {backend.PASSWORD}\n")
        for account, description in backend.accounts(protocol):
            click.echo(f"    {account.identifiers(login_identifier)[0]:24} {description}")
        if others := backend.ACCOUNTS[0].identifiers(login_identifier)[1:]:
            click.echo(f"\n  Also in this form: {', '.join(others)}.")
        click.echo(
            f"\n  The stand-in backend listens on {stand_in_settings.stand_in_origin(port)}"
            f" with the protocol {protocol}. Its requests are logged below."
        )
        click.echo(f"  The emails that it would send: {stand_in_settings.stand_in_origin(port)}/mail")
    clients = stand_in_settings.client_registrations(settings)
    if providers := [clients[name].provider.name for name in started if name in clients]:
        click.echo(f"  Stand-in providers, each with test accounts and failures: {', '.join(providers)}.")
    click.echo("")


def _redirect_to_site_url(site_url: str, site: Any) -> Any:
    """Redirect GET requests from 127.0.0.1 to the host of SITE_URL: forms sent from another host are rejected."""
    host = site_url.partition("://")[2].partition("/")[0]
    ip_host = host.replace("localhost", "127.0.0.1")

    def redirect_ip_host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if host == ip_host or environ["REQUEST_METHOD"] != "GET" or environ.get("HTTP_HOST") != ip_host:
            return site(environ, start_response)  # type: ignore[no-any-return]
        start_response("307 Temporary Redirect", [("Location", site_url + environ["REQUEST_URI"])])
        return []

    return redirect_ip_host
