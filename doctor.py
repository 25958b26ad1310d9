"""`flask doctor`: is everything set up as people will need it? It asks the real backend, providers and Redis.

Nothing is changed anywhere: the backend is asked to sign in somebody who cannot exist, each provider to redeem a
code that it never gave. No secret is printed. The exit status is 0 if nothing is wrong.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import click
from dotenv import find_dotenv, load_dotenv

import app
import config
import errors
from providers.base import Client
from services import Services
from services.attempts import Attempt
from services.shared_state import connected
from services.upstream import Answer, Upstream, UpstreamFault

OK, ADVICE, WRONG = "ok", "advice", "wrong"
_SIGNS = {OK: ("✓", "green"), ADVICE: ("!", "yellow"), WRONG: ("✗", "red")}
_NOBODY = "doctor@munjigi.invalid"
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}
_MOST_SECONDS_OFF = 60


@dataclass(frozen=True)
class Finding:
    kind: str
    what: str
    """About which part."""
    found: str
    do: str = ""
    """What to do about it."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of lines.")
def command(as_json: bool) -> None:
    """Check settings, backend, providers and shared state, as production would use them."""
    load_dotenv(find_dotenv(usecwd=True))
    findings = list(examine(dict(os.environ)))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], ensure_ascii=False, indent=1))
    else:
        for one in findings:
            _print(one)
    sys.exit(any(one.kind == WRONG for one in findings))


def _print(one: Finding) -> None:
    sign, colour = _SIGNS[one.kind]
    sign = click.style(sign, fg=colour, bold=True) if sys.stdout.isatty() else f"{one.kind:6}"
    click.echo(f"{sign} {one.what}: {one.found}")
    if one.do:
        click.echo(f"         {one.do}")


def examine(environ: dict[str, str]) -> Iterator[Finding]:
    """Everything that there is to find, in the order in which it should be mended."""
    try:
        settings = config.load(environ)
    except config.SettingsError as error:
        for problem in error.problems:
            first, _, rest = problem.strip().partition("\n")
            yield Finding(WRONG, "settings", first, rest.strip())
        return
    yield Finding(OK, "settings", f"{settings.site_url}, cookies {'secure' if settings.secure else 'for http'}")
    yield from _advice(settings)
    site = app.create_app(settings)
    with site.test_request_context():
        yield from _backend(settings)
        services: Services = site.extensions["munjigi"]
        for client in settings.clients:
            yield from _provider(settings, services, client)
    yield from _state(settings)


def _advice(settings: config.Settings) -> Iterator[Finding]:
    host = urlsplit(settings.site_url).hostname
    checks = (
        (
            not settings.secure and host not in ("localhost", "127.0.0.1", "::1"),
            "SITE_URL",
            "is no https address: passwords and sessions cross the network in the clear",
            "Put a proxy with TLS in front (docs/operations.md).",
        ),
        (
            settings.secure and settings.proxy_hops == 0,
            "PROXY_HOPS",
            "is 0 though https needs a proxy in front: all visitors are one address, and share its limit",
            "Set it to the number of proxies.",
        ),
        (
            settings.backend_logout_path is None,
            "BACKEND_LOGOUT_PATH",
            "is not set: a token outlives its session",
            "Give the backend a path that revokes the token it is sent.",
        ),
        (
            settings.expose_access_token,
            "EXPOSE_ACCESS_TOKEN",
            "is on: every script of every page can read the backend's token",
            "See docs/moving-from-nextauth.md for another way.",
        ),
        (
            settings.session_recheck == 0,
            "SESSION_RECHECK",
            "is 0: a closed account stays signed in until its session ends",
            "Leave it at 300.",
        ),
        (
            (settings.workers or 1) > 1 and settings.state_url == "memory://",
            "STATE_URL",
            "is memory:// with several WORKERS: each counts sign-ins and ends sessions for itself",
            "Set a redis:// address.",
        ),
    )
    for is_so, what, found, do in checks:
        if is_so:
            yield Finding(ADVICE, what, found, do)


def _backend(settings: config.Settings) -> Iterator[Finding]:
    upstream = Upstream(1, 1, 1, "Munjigi-doctor")
    login, user = (settings.backend_url + path for path in (settings.backend_login_path, settings.backend_user_path))
    nobody = {"email": _NOBODY, "password": secrets.token_urlsafe(24)}
    for url, sent, judge in ((login, nobody, _judge_login), (user, None, _judge_user)):
        try:
            answer = upstream.send("POST", url, _HEADERS, within=settings.backend_timeout, json=sent)
        except UpstreamFault as fault:
            yield Finding(
                WRONG, "backend", f"{url}: {fault.reason}", "Check BACKEND_URL, and that it can be reached from here."
            )
            return
        yield judge(url, answer)
    yield from _clock(answer)


def _judge_login(url: str, answer: Answer) -> Finding:
    status, is_json = answer.status, answer.json() is not None
    if status in (400, 401, 404, 422) and is_json:
        return Finding(OK, "backend", f"{url} refuses nobody with {status} and JSON")
    if 300 <= status < 400:
        do = "It is behind a page for browsers: it must answer JSON where JSON is asked for (Laravel: an api route)."
    elif status == 419:
        do = "It wants a CSRF token: take this path out of the stateful ones (Laravel: routes/api.php)."
    elif status < 300:
        do = "It lets in somebody who does not exist, or that is another address than the one for signing in."
    elif not is_json:
        do = "Only JSON is understood; is this BACKEND_URL the API's, and BACKEND_LOGIN_PATH right?"
    else:
        do = "401 or 422 with JSON was expected: docs/decisions/0005."
    return Finding(WRONG, "backend", f"{url} answered {status}{'' if is_json else ' without JSON'} to nobody", do)


def _judge_user(url: str, answer: Answer) -> Finding:
    if answer.status == 401:
        return Finding(OK, "backend", f"{url} answers 401 without a token")
    do = "Without a token it must be 401: that is how a session learns that it is over."
    return Finding(WRONG, "backend", f"{url} answered {answer.status} without a token", do)


def _clock(answer: Answer) -> Iterator[Finding]:
    try:
        off = abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return
    if off > _MOST_SECONDS_OFF:
        yield Finding(
            WRONG, "clock", f"it is {off:.0f} seconds off the backend's", "Let both follow NTP: tokens have times."
        )


def _provider(settings: config.Settings, services: Services, client: Client) -> Iterator[Finding]:
    """A made-up code is refused in one way if the credentials are right, and in another if they are not."""
    callback = f"{settings.site_url}/api/auth/callback/{client.id}"
    try:
        services.identities.start(client, None, None)
        answer = {"code": f"doctor-{secrets.token_hex(8)}", **({"iss": client.issuer} if client.issuer else {})}
        services.identities.finish(client, Attempt(client.id, None, None), answer)
        yield Finding(WRONG, client.id, "it redeemed a code that nobody gave out", "Do not use this issuer.")
    except errors.Configuration as error:
        yield Finding(WRONG, client.id, error.reason, f"Its console must know id, secret and {callback}.")
    except errors.ProviderUnavailable as error:
        yield Finding(WRONG, client.id, error.reason, "Can it be reached from here, and is its address right?")
    except errors.AttemptExpired:
        yield Finding(OK, client.id, f"takes our credentials; callback address to register: {callback}")
    except errors.SiteError as error:
        found = f"reached; whether it takes our credentials cannot be told ({error.reason})"
        yield Finding(ADVICE, client.id, found, f"Sign in once yourself. Callback address to register: {callback}")


def _state(settings: config.Settings) -> Iterator[Finding]:
    if settings.state_url == "memory://":
        yield Finding(OK, "shared state", "none: limits and ended sessions are this one process's")
        return
    try:
        client = connected(settings.state_url, 2.0).storage
        known = client.info("server")
        version = next(iter(known.values())) if "redis_version" not in known else known
        client.xadd("munjigi:doctor", {"at": str(time.time())}, maxlen=1)
        client.delete("munjigi:doctor")
    except Exception as error:  # whatever the client makes of what it meets
        yield Finding(
            WRONG, "shared state", f"no use: {type(error).__name__}", "Check STATE_URL, its password, and its memory."
        )
        return
    yield Finding(OK, "shared state", f"Redis {version['redis_version']} takes entries")
