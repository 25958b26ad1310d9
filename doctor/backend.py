"""Checks that the backend is reachable and answers as docs/your-backend.md describes."""

import secrets
import time
from collections.abc import Iterator

import config
from doctor.finding import ERROR, OK, Finding
from services.http.client import HttpClient, UpstreamError
from services.http.response import UpstreamResponse, parse_http_date

_UNKNOWN_EMAIL = "doctor@munjigi.invalid"  # RFC 2606, 2: `.invalid` never exists
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}
MAX_CLOCK_SKEW_SECONDS = 60


def check(settings: config.Settings, http_client: HttpClient) -> Iterator[Finding]:
    login_url = settings.backend_url + settings.backend_login_path
    user_url = settings.backend_url + settings.backend_user_path
    credentials = {"email": _UNKNOWN_EMAIL, "password": secrets.token_urlsafe(24)}
    for url, body, check_response in ((login_url, credentials, _check_login), (user_url, None, _check_user)):
        try:
            response = http_client.send("POST", url, _HEADERS, within=settings.backend_timeout, json=body)
        except UpstreamError as error:
            fix = "Check BACKEND_URL, and that this machine can reach it."
            yield Finding(ERROR, "backend", f"{url}: {error.reason}", fix)
            return
        yield check_response(url, response)
    yield from _check_clock(response)


def _check_login(url: str, response: UpstreamResponse) -> Finding:
    status, is_json = response.status, response.json() is not None
    if wall := _wall(url, response):
        return wall
    if status in (400, 401, 404, 422) and is_json:
        return Finding(OK, "backend", f"{url} answers {status} with JSON to unknown credentials")
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


def _check_user(url: str, response: UpstreamResponse) -> Finding:
    if wall := _wall(url, response):
        return wall
    if response.status == 401:
        return Finding(OK, "backend", f"{url} answers 401 without a token")
    fix = "Answer 401 without a valid token: the site ends a session when it gets 401."
    return Finding(ERROR, "backend", f"{url} answers {response.status} without a token", fix)


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
