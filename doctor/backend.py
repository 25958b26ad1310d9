"""Is the backend there, and does it speak the protocol to somebody who does not exist?"""

import secrets
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import config
from doctor.finding import OK, WRONG, Finding
from services.http.client import HttpClient, UpstreamError
from services.http.response import UpstreamResponse

_NOBODY = "doctor@munjigi.invalid"
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}
_MOST_SECONDS_OFF = 60


def examine(settings: config.Settings, upstream: HttpClient) -> Iterator[Finding]:
    login, user = (settings.backend_url + path for path in (settings.backend_login_path, settings.backend_user_path))
    nobody = {"email": _NOBODY, "password": secrets.token_urlsafe(24)}
    for url, sent, judge in ((login, nobody, _judge_login), (user, None, _judge_user)):
        try:
            answer = upstream.send("POST", url, _HEADERS, within=settings.backend_timeout, json=sent)
        except UpstreamError as fault:
            yield Finding(
                WRONG, "backend", f"{url}: {fault.reason}", "Check BACKEND_URL, and that it can be reached from here."
            )
            return
        yield judge(url, answer)
    yield from _clock(answer)


def _judge_login(url: str, answer: UpstreamResponse) -> Finding:
    status, is_json = answer.status, answer.json() is not None
    if status in (400, 401, 404, 422) and is_json:
        return Finding(OK, "backend", f"{url} answers a stranger with {status} and JSON")
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


def _judge_user(url: str, answer: UpstreamResponse) -> Finding:
    if answer.status == 401:
        return Finding(OK, "backend", f"{url} answers 401 without a token")
    do = "Without a token it must be 401: that is how a session learns that it is over."
    return Finding(WRONG, "backend", f"{url} answered {answer.status} without a token", do)


def _clock(answer: UpstreamResponse) -> Iterator[Finding]:
    try:
        off = abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return
    if off > _MOST_SECONDS_OFF:
        yield Finding(
            WRONG, "clock", f"it is {off:.0f} seconds off the backend's", "Let both follow NTP: tokens have times."
        )
