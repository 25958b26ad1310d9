"""`flask doctor`: checks the settings, the backend, the providers, Redis and the running site.

The checks change nothing: the backend gets a sign-in for an account that cannot exist, and each provider a made-up
authorization code. No secret is printed. `--sign-in` is a command of its own (`doctor/sign_in/`): it is a real sign-in.
"""

from collections.abc import Callable, Iterator

from flask import Flask

import config
from doctor import backend, provider, redis, settings_check, site, unread_settings
from doctor.finding import ERROR, OK, Finding
from services import Services, __version__
from services.clock import Clock
from services.http.client import HttpClient
from services.sessions.cookie import SessionCookie

CreateApp = Callable[[config.Settings], Flask]
"""The application factory, passed in because `app.py` imports this package to register the command."""


def check(environ: dict[str, str], create_app: CreateApp) -> Iterator[Finding]:
    """Run all checks on the site that these variables configure. Yields the findings in the order to fix them in."""
    recorded = unread_settings.RecordedEnviron(environ)
    try:
        settings = config.load(recorded)
    except config.SettingsError as error:
        for problem in error.problems:
            message, _, example = problem.strip().partition("\n")
            yield Finding(ERROR, "settings", message, example.strip())
        return
    flask_app = create_app(settings)
    cookies = SessionCookie(settings, Clock()).name, flask_app.config["SESSION_COOKIE_NAME"]
    yield Finding(OK, "settings", f"Munjigi {__version__} at {settings.site_url}, cookies {' and '.join(cookies)}")
    yield from unread_settings.check(environ, recorded.names_read, settings)
    yield from settings_check.check(settings)
    http_client = HttpClient(
        f"Munjigi-doctor/{__version__}",
        max_concurrency=1,
        proxy=settings.outbound_proxy,
        no_proxy=settings.outbound_no_proxy,
        client_cert=settings.backend_client_cert,
    )
    yield from backend.check(settings, http_client)
    services: Services = flask_app.extensions["munjigi"]
    for registration in settings.registrations:
        yield from provider.check(settings, services, registration)
    yield from redis.check(settings)
    yield from site.check(settings, http_client, cookies)
