"""`flask doctor`: is everything set up as people will need it? It asks the real backend, providers, Redis and site.

Nothing is changed anywhere: the backend is asked to sign in somebody who cannot exist, each provider to redeem a
code that it never gave. No secret is printed. The exit status is 0 if nothing is wrong.
"""

from collections.abc import Iterator

import app
import config
from doctor import advice, backend, provider, site, state
from doctor.finding import OK, WRONG, Finding
from services import Services, __version__
from services.clock import Clock
from services.http.client import HttpClient
from services.sessions.cookie import SessionCookie


def examine(environ: dict[str, str]) -> Iterator[Finding]:
    """Everything that there is to find, in the order in which it should be mended."""
    try:
        settings = config.load(environ)
    except config.SettingsError as error:
        for problem in error.problems:
            first, _, rest = problem.strip().partition("\n")
            yield Finding(WRONG, "settings", first, rest.strip())
        return
    made = app.create_app(settings)
    cookies = SessionCookie(settings, Clock()).name, made.config["SESSION_COOKIE_NAME"]
    yield Finding(OK, "settings", f"Munjigi {__version__} at {settings.site_url}, cookies {' and '.join(cookies)}")
    yield from advice.examine(settings)
    upstream = HttpClient(
        f"Munjigi-doctor/{__version__}",
        max_concurrency=1,
        proxy=settings.outbound_proxy,
        no_proxy=settings.outbound_no_proxy,
        client_cert=settings.backend_client_cert,
    )
    with made.test_request_context():
        yield from backend.examine(settings, upstream)
        services: Services = made.extensions["munjigi"]
        for registration in settings.registrations:
            yield from provider.examine(settings, services, registration)
    yield from state.examine(settings)
    yield from site.examine(settings, upstream, cookies)
