"""Checks that the backend is reachable and answers as docs/backends/ describes."""

import secrets
import time
from collections.abc import Iterator

import config
import errors
from doctor.finding import ERROR, OK, WARNING, Finding
from services.backend import results
from services.backend.answer import Answer
from services.backend.client import BackendClient
from services.clock import Clock
from services.http.client import HttpClient
from services.http.response import UpstreamResponse, parse_http_date
from services.request_context import Deadline, RequestContext

_UNKNOWN_EMAIL = "doctor@munjigi.invalid"  # RFC 2606, 2: `.invalid` never exists
_UNKNOWN_IDENTIFIERS = {
    "username": "munjigi-doctor",
    "phone": "+99900000000",  # ITU-T E.164: the country code 999 is reserved
}
MAX_CLOCK_SKEW_SECONDS = 60
"""What the site itself tolerates between two clocks: `MAX_DIFFERENCE_SECONDS` in `services/clock.py`."""


def check(settings: config.Settings, http_client: HttpClient) -> Iterator[Finding]:
    client = BackendClient(settings, http_client, Clock())
    credentials = {
        "identifier": _UNKNOWN_IDENTIFIERS.get(settings.login_identifier, _UNKNOWN_EMAIL),
        "password": secrets.token_urlsafe(24),
    }
    tokens = {"token": secrets.token_urlsafe(24), "refresh_token": secrets.token_urlsafe(24)}
    values = {"login": credentials, "user": tokens, "refresh": tokens}
    checks = {"login": _check_login, "user": _check_user, "refresh": _check_refresh}
    for name in [name for name in checks if name in settings.backend.calls]:
        deadline = Deadline(settings.backend_timeout, Clock())
        context = RequestContext(client_ip=None, locale="en", request_id="doctor", deadline=deadline)
        try:
            answer = client.call(name, values[name], context)
        except errors.BackendUnavailable as error:
            fix = "Check BACKEND_URL, and that this machine can reach it."
            yield Finding(ERROR, "backend", f"{client.url(name)}: {error.reason.partition(': ')[2]}", fix)
            return
        yield checks[name](settings, client.url(name), answer)
    yield from _check_clock(answer.response)


def _check_login(settings: config.Settings, url: str, answer: Answer) -> Finding:
    status, is_json = answer.status, answer.response.json() is not None
    if wall := _wall(url, answer.response):
        return wall
    if _is_wrong_password(settings, answer):
        kind = answer.response.kind or " with JSON"
        return Finding(OK, "backend", f"{url} answers {status}{kind} to unknown credentials")
    if 300 <= status < 400:
        fix = "The path is for browsers. It must answer with JSON if `Accept` asks for it (Laravel: routes/api.php)."
    elif status == 419:
        fix = "The path requires a CSRF token. Exclude it from CSRF protection (Laravel: routes/api.php)."
    elif status < 300:
        fix = "The backend accepts unknown credentials, or the path is not the one for signing in."
    elif not is_json:
        fix = "The backend must answer with JSON. Check BACKEND_URL and BACKEND_LOGIN_PATH."
    else:
        fix = "Answer 401 or 422 with JSON (docs/decisions/0005-what-a-backends-answer-means.md)."
    without_json = "" if is_json else " without JSON"
    return Finding(ERROR, "backend", f"{url} answers {status}{without_json} to unknown credentials", fix)


def _check_user(settings: config.Settings, url: str, answer: Answer) -> Finding:
    if wall := _wall(url, answer.response):
        return wall
    if _is_session_over(settings, answer):
        return Finding(OK, "backend", f"{url} answers {answer.status} without a valid token")
    fix = "Answer 401 without a valid token: the site ends a session when it gets 401."
    return Finding(ERROR, "backend", f"{url} answers {answer.status} without a valid token", fix)


def _check_refresh(settings: config.Settings, url: str, answer: Answer) -> Finding:
    if wall := _wall(url, answer.response):
        return wall
    try:
        results.tokens(settings.backend, "refresh", answer, time.time())
    except errors.SessionExpired:
        return Finding(OK, "backend", f"{url} answers {answer.status} to an unknown refresh token")
    except errors.SiteError:
        pass
    message = f"{url} answers {answer.status} to an unknown refresh token: such a session goes on for 10 minutes"
    fix = "Answer 401, or say what the answer means: BACKEND_MEANINGS with session_over."
    if answer.status in (404, 405):
        fix = "Is the path right? If the backend has no such call, set BACKEND_REFRESH=none."
    return Finding(WARNING, "backend", message, fix)


def _is_wrong_password(settings: config.Settings, answer: Answer) -> bool:
    try:
        results.tokens(settings.backend, "login", answer, time.time())
    except errors.SiteError as error:
        return isinstance(error, errors.CredentialsSignin)
    return False


def _is_session_over(settings: config.Settings, answer: Answer) -> bool:
    try:
        results.user(settings.backend, "user", answer)
    except errors.SiteError as error:
        return isinstance(error, errors.SessionExpired)
    return False


def _wall(url: str, response: UpstreamResponse) -> Finding | None:
    """What is in front of the backend and answers in its place."""
    if response.protection:
        fix = "Let the requests of this site's servers pass the bot protection."
    elif response.is_html and response.status in (401, 403, 429):
        fix = "A proxy or firewall in front of the backend answers. Let the requests of this site's servers pass."
    else:
        return None
    return Finding(ERROR, "backend", f"{url} answers {response.status}{response.kind}", fix)


def _check_clock(response: UpstreamResponse) -> Iterator[Finding]:
    """Compare the `Date` header with this machine's clock."""
    date = parse_http_date(response.headers.get("Date", ""))
    if date is None:
        return
    skew_seconds = abs(date - time.time())
    if skew_seconds > MAX_CLOCK_SKEW_SECONDS:
        message = f"differs from the backend's clock by {skew_seconds:.0f} seconds"
        yield Finding(ERROR, "clock", message, "Synchronize both clocks with NTP: tokens expire by time.")
