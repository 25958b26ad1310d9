"""Each secret appears only where it must: in no other answer, header, cookie, log line, call or signal.

Every error of users, clients, backends and providers is provoked, with every logger at DEBUG. Then each secret is
searched for, as it is and in the encodings that could hide it.
"""

import base64
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, unquote_plus, urlsplit

import pytest
import requests
from itsdangerous import URLSafeTimedSerializer

from services.backend.user import User
from services.observability import audit, log_config
from tests.support.faulty_backend import (
    NO_LIMITS,
    USER,
    FaultyBackend,
    faulty_backend,
    hang,
    http_response,
    keep_alive,
    login_body,
    reset_connection,
)
from tests.support.faulty_backend import TOKEN as BACKEND_TOKEN
from tests.support.forge import decrypt
from tests.support.issuer import (
    ACCESS_TOKEN,
    CLIENT_SECRET,
    CODE,
    DISCOVERY,
    EMAIL,
    GITHUB,
    JWKS,
    TOKEN,
    USERINFO,
    Issuer,
    clear_document_cache,
    post_callback,
    reset_servers,
    sign_jwt,
    start_sign_in,
)
from tests.support.logs import SIGNALS
from tests.support.site import SECRET, Site, Visitor, make_settings, running_site, set_cookies

pytestmark = [pytest.mark.corpus, pytest.mark.xdist_group("canaries")]

PASSWORD = "canary+password 8c41/ä한"
TYPED = "canary.typed.5d20@example.com"
REFRESH_TOKEN = "canary-refresh-77ae"
BACKEND_REFRESH_TOKEN = "canary-backend-refresh-91d4"
EVENTS_TOKEN = "canary-Events-token-of-the-backend-3b7f"
PROVIDERS = ["oidc", "google", "line", "apple", "github"]
STEPS = ["/login", "/user", "/logout", "/profile"]


@dataclass
class Seen:
    """All recorded texts by the place where they appeared, and the secrets that were generated meanwhile."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    made: dict[str, set[str]] = field(default_factory=dict)
    answers: int = 0

    def add(self, place: str, text: object) -> None:
        self.texts.append((place, str(text)))

    @cached_property
    def by_place(self) -> dict[str, str]:
        """Return all texts of each place, as they are and URL-decoded."""
        found: dict[str, set[str]] = {}
        for place, text in self.texts:
            found.setdefault(place, set()).update((text, unquote_plus(text)))
        return {place: "\n".join(texts) for place, texts in found.items()}

    def make(self, name: str, value: str | None) -> None:
        if value:
            self.made.setdefault(name, set()).add(value)

    def response(self, response: requests.Response, method: str) -> None:
        self.answers += 1
        path = urlsplit(response.url).path
        self.add("answer", f"{response.status_code} {response.reason}")
        for name, value in response.headers.items():
            if name != "Set-Cookie":
                self.add(f"header {name} of {method} {path}", value)
        for line in set_cookies(response):
            name, value = line.partition(";")[0].split("=", 1)
            kind = re.sub(r"(attempt)\..*|(session-token)\.[0-9]", r"\1\2", name)
            self.add(f"cookie {kind}", f"{line} {_signed_content(value)}")
            if "session-token" in name:
                self.make("session cookie", value)
                if value:
                    self.add("session claims", json.dumps(decrypt(value)))
            if "attempt" in name and value:
                found = URLSafeTimedSerializer("").loads_unsafe(value)[1]
                content = found if isinstance(found, dict) else {}
                for secret in ("state", "nonce", "code_verifier"):
                    self.make(secret, content.get(secret))
        self.add(f"body of {method} {path}", response.text)


def _signed_content(value: str) -> object:
    """Return the content of a signed cookie, which its owner can read."""
    with suppress(Exception):
        return URLSafeTimedSerializer("").loads_unsafe(value)[1]
    return ""


class Recorder(Visitor):
    def __init__(self, site: Site, seen: Seen, **headers: str) -> None:
        super().__init__(site.url, headers)
        self._seen = seen

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().request(method, url, *args, **kwargs)
        self._seen.response(response, str(method))
        return response


@dataclass
class World:
    site: Site
    backend: FaultyBackend
    issuer: Issuer
    seen: Seen

    def visitor(self, **headers: str) -> Recorder:
        return Recorder(self.site, self.seen, **headers)

    def heal(self) -> None:
        """Reset the faults and record the requests so far."""
        for call in self.backend.calls:
            self._note("backend", call, re.sub(r"callback/.*", "callback", call.path))
        for call in self.issuer.calls:
            self._note("provider", call, "/token" if "token" in call.path else "/" + call.path.rpartition("/")[2])
        reset_servers(self.issuer, self.backend, self.site)
        body = {**login_body(BACKEND_TOKEN), "refresh": BACKEND_REFRESH_TOKEN}
        self.backend.responses["/login"] = keep_alive(http_response(body))
        self.issuer.token_fields = {"refresh_token": REFRESH_TOKEN}
        self.issuer.metadata = {"end_session_endpoint": f"{self.issuer.url}/logout"}
        self.issuer.extra_claims = {"email": EMAIL, "email_verified": True}
        self.issuer.make_id_token = self._id_token

    def _id_token(self, claims: dict[str, Any]) -> str:
        made = sign_jwt(claims)
        self.seen.make("id_token", made)
        return made

    def _note(self, whom: str, call: Any, place: str) -> None:
        self.seen.add(f"{whom} line", f"{call.method} {call.path}")
        for name, value in call.headers.items():
            self.seen.add(f"{whom} {place} {name}", value)
        self.seen.add(f"{whom} {place} body", call.body.decode())
        if form := parse_qs(call.body.decode()):
            self.seen.make("code_verifier", form.get("code_verifier", [""])[0])


# --- The recorded run


def form(visitor: Visitor, **fields: str) -> requests.Response:
    return visitor.submit("/auth/login/email", {"email": TYPED, "password": PASSWORD, **fields})


def program(visitor: Visitor, **fields: str) -> requests.Response:
    sent = {"csrfToken": visitor.csrf_token(), "email": TYPED, "password": PASSWORD, "json": "true", **fields}
    return visitor.post("/api/auth/callback/email", json=sent)


DOORS = [form, program]
BROKEN_HEADERS = [
    f"HTTP/1.1 200 OK\r\n{line}\r\n".encode()
    for line in (f"no colon {BACKEND_TOKEN}{CODE}", f": {BACKEND_TOKEN}{CODE}", f"X: a\r{ACCESS_TOKEN}{PASSWORD}")
]
"""Loggers of libraries whose warnings quote values."""


def a_whole_visit(world: World) -> None:
    for door in DOORS:
        visitor = world.visitor()
        visitor.get("/auth/login/email?callbackUrl=/account")
        door(visitor)
        for path in ("/", "/account", "/api/auth/session", "/auth/logout", "/auth/login/email", "/nowhere"):
            visitor.get(path)
        visitor.submit("/account", {"name": "새봄", "nick_name": ""})
        visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token(), "data": {"nick_name": "봄"}})
        visitor.post(
            "/api/auth/session", json={"csrfToken": visitor.csrf_token(), "data": {"accessToken": BACKEND_TOKEN}}
        )
        copy = visitor.cookies.copy()
        door(visitor)  # again, while signed in
        visitor.submit("/auth/logout", {"everywhere": "1"})
        visitor.cookies.update(copy)
        visitor.get("/account")
        visitor.submit("/api/auth/signout", {"json": "true"})


def what_is_no_good_form(world: World) -> None:
    secrets = {"email": TYPED, "password": PASSWORD}
    for path in ("/auth/login/email", "/api/auth/callback/email", "/account", "/api/auth/session", "/nowhere"):
        visitor = world.visitor()
        visitor.get(path, params=secrets)
        visitor.post(path, data=secrets)
        token = visitor.csrf_token()
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Accept": "*/*"}):
            visitor.post(path, data={**secrets, "csrfToken": token + "x"}, headers=headers)
            visitor.post(path, data={**secrets, "csrfToken": token}, headers=headers)
        for broken in ("{" + json.dumps(secrets), json.dumps([secrets]), json.dumps({**secrets, "csrfToken": 1})):
            visitor.post(path, data=broken.encode(), headers={"Content-Type": "application/json"})
        visitor.post(path, data=json.dumps(secrets), headers={"Content-Type": "text/plain"})
        visitor.post(path, data={**secrets, "csrfToken": token, "x": "y" * 70_000})
        visitor.post(path, data={"csrfToken": token, "email": TYPED, "password": PASSWORD * 50})


def a_backend_that_fails(world: World) -> None:
    """Return the received data in every possible place and with every status, or break off, or never end."""
    echo = {"message": f"{PASSWORD} {BACKEND_TOKEN} {TYPED}", "data": {"password": PASSWORD, "email": TYPED}}
    faults: list[Any] = [http_response(echo, status) for status in (200, 201, 302, 400, 401, 403, 404, 409, 410, 418)]
    faults += [http_response(echo, status, Retry_After=PASSWORD) for status in (422, 423, 429, 500, 502, 503, 504)]
    faults += [
        http_response({**echo, "errors": {"device": [PASSWORD, BACKEND_TOKEN]}}, 422),
        http_response(b"<h1>" + b"x" * 999),
    ]
    faults += [
        http_response(echo, 307, Location=f"http://127.0.0.1:1/?{quote(PASSWORD)}"),
        http_response(login_body(f"{BACKEND_TOKEN}\n")),
    ]
    faults += [reset_connection, hang, b"", f"SSH-2.0-{BACKEND_TOKEN}\r\n".encode(), http_response(str(echo).encode())]
    faults += [head + http_response(login_body()).partition(b"\r\n")[2] for head in BROKEN_HEADERS]
    for step in STEPS:
        for fault in faults:
            if fault is hang and step != "/user":
                continue  # the slow faults are left out
            for door in DOORS:
                world.heal()
                world.backend.responses[step] = fault
                visitor = world.visitor()
                door(visitor)
                visitor.submit("/account", {"name": "새봄", "nick_name": ""})
                visitor.submit("/auth/logout", {})


def a_session_that_ends(world: World) -> None:
    for status in (401, 500):
        world.heal()
        world.backend.responses["/user"] = http_response({"message": BACKEND_TOKEN}, status)
        known = world.site.visitor_signed_in_ago(301, User.from_json(USER), BACKEND_TOKEN)
        visitor = world.visitor()
        visitor.cookies.update(known.cookies)
        world.seen.make("session cookie", str(known.cookies["next-auth.session-token"]))
        for path in ("/account", "/api/auth/session", "/"):
            visitor.get(path)


def finish(visitor: Recorder, world: World, asked: dict[str, str], name: str, **extra: str) -> None:
    if name == "apple":
        response = post_callback(visitor, asked, **extra)
        world.seen.response(response, "POST")
        if "callback" in response.headers.get("Location", ""):
            visitor.get(response.headers["Location"])
        return
    where = visitor.get(f"/api/auth/callback/{name}", params={"code": CODE, "state": asked["state"], **extra})
    visitor.get(where.headers.get("Location", "/"))


def providers_as_they_should_be(world: World) -> None:
    for name in PROVIDERS:
        world.heal()
        visitor = world.visitor()
        asked = start_sign_in(visitor, world.issuer, name)
        finish(visitor, world, asked, name)
        finish(visitor, world, asked, name)
        visitor.get("/account")
        visitor.submit("/auth/logout", {})
        finish(visitor, world, asked, name)
        visitor.submit(f"/api/auth/signin/{name}", {})  # the redirect page


def callbacks_as_they_should_not_be(world: World) -> None:
    said = f"{CODE} {CLIENT_SECRET}"
    for name in PROVIDERS:
        for extra in (
            {"state": "another"},
            {"error": "access_denied", "error_description": said},
            {"error": said, "error_uri": f"https://evil.example/{CODE}"},
            {"iss": f"https://evil.example/{CODE}"},
            {"user": json.dumps({"email": TYPED, "name": {"firstName": "x"}})},
            {"x": "y" * 9000},
        ):
            world.heal()
            visitor = world.visitor()
            finish(visitor, world, {**start_sign_in(visitor, world.issuer, name), **extra}, name, **extra)


def providers_that_fail(world: World) -> None:
    echo = {"error": "invalid_grant", "error_description": f"{CODE} {CLIENT_SECRET} {ACCESS_TOKEN}", "code": CODE}
    faults = [http_response(echo, status) for status in (200, 302, 400, 401, 403, 429, 500, 503)]
    faults += [http_response({**echo, "error": word}, 400) for word in ("invalid_client", CLIENT_SECRET)]
    faults += [http_response(f"<h1>{ACCESS_TOKEN}".encode()), reset_connection, hang, f"SSH-{CODE}\r\n".encode()]  # type: ignore[list-item]
    faults += [head + http_response(echo).partition(b"\r\n")[2] for head in BROKEN_HEADERS]
    for name, steps in (("oidc", [DISCOVERY, JWKS, TOKEN, USERINFO]), ("github", list(GITHUB.values()))):
        for step in steps:
            for fault in faults:
                world.heal()
                visitor = world.visitor()
                if step == DISCOVERY:
                    world.issuer.responses[step] = fault
                    visitor.submit(f"/api/auth/signin/{name}", {"json": "true"})
                    continue
                asked = start_sign_in(visitor, world.issuer, name)
                world.issuer.responses[step] = fault
                finish(visitor, world, asked, name)


def id_tokens_that_are_none(world: World) -> None:
    for name in ("oidc", "google", "apple"):
        for claims in ({"nonce": CODE}, {"aud": CLIENT_SECRET}, {"iss": ACCESS_TOKEN}, {"exp": 1}, {"sub": ""}):
            world.heal()
            world.issuer.extra_claims |= claims
            visitor = world.visitor()
            finish(visitor, world, start_sign_in(visitor, world.issuer, name), name)


def a_backend_that_refuses_whom_a_provider_has_proven(world: World) -> None:
    for name in ("github", "apple"):
        for status in (401, 403, 422, 500):
            world.heal()
            echo = {"message": f"{ACCESS_TOKEN} {EMAIL}", "social_token": ACCESS_TOKEN}
            world.backend.responses[f"/login/social/callback/{name}"] = http_response(echo, status)
            visitor = world.visitor()
            finish(visitor, world, start_sign_in(visitor, world.issuer, name), name)


def limits_that_are_reached(world: World) -> None:
    world.heal()
    world.backend.responses["/login"] = http_response(status=401)
    with running_site(world.backend.url, login_limit_per_account_and_ip="1/hour") as site:
        for door in DOORS:
            visitor = Recorder(site, world.seen)
            for _ in range(3):
                door(visitor, password=f"{PASSWORD}!")
    world.heal()


def sessions_that_the_backend_ends(world: World) -> None:
    with running_site(world.backend.url, backend_events_token=EVENTS_TOKEN) as site:
        visitor = Recorder(site, world.seen)
        for token in (EVENTS_TOKEN, f"{EVENTS_TOKEN}x"):
            for body in ({"user_id": 7}, {"sid": BACKEND_TOKEN}, {"user_id": [PASSWORD]}, {TYPED: PASSWORD}):
                visitor.post("/api/auth/sessions/revoke", json=body, headers={"Authorization": f"Bearer {token}"})


REPERTOIRE: list[Callable[[World], None]] = [
    a_whole_visit,
    what_is_no_good_form,
    a_backend_that_fails,
    a_session_that_ends,
    providers_as_they_should_be,
    callbacks_as_they_should_not_be,
    providers_that_fail,
    id_tokens_that_are_none,
    a_backend_that_refuses_whom_a_provider_has_proven,
    limits_that_are_reached,
    sessions_that_the_backend_ends,
]


@contextmanager
def overheard(seen: Seen) -> Iterator[None]:
    """Record the log in both formats, with every logger at DEBUG, and all signals."""
    written = {kind: io.StringIO() for kind in ("text", "json")}
    handlers = [log_config.create_handler(make_settings(log_format=kind), stream) for kind, stream in written.items()]
    loggers = [
        logging.root,
        *map(logging.getLogger, ("munjigi", "urllib3", "requests", "authlib", "limits", "werkzeug")),
    ]
    levels = [one.level for one in loggers]
    logging.root.handlers += handlers
    for one in loggers:
        one.setLevel(logging.DEBUG)
    with ExitStack() as stack:
        for name in SIGNALS:
            receive = partial(_receive, seen, name)
            stack.enter_context(getattr(audit, name).connected_to(receive))
        yield
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)
    for handler in handlers:
        logging.root.removeHandler(handler)
    for kind, stream in written.items():
        for line in stream.getvalue().splitlines():
            seen.add(f"log ({kind})", line)


def _receive(seen: Seen, name: str, sender: object, **fields: Any) -> None:
    seen.add(f"signal {name}", fields)


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    seen, issuer = Seen(), Issuer()
    refresh = {"backend_refresh_token": "refresh", "backend_logout_body": "refresh={refresh_token}"}
    refresh |= {"oidc_logout": "true"}  # so that the session keeps the id_token
    given = {"backend_timeout": 0.5, **refresh, "session_revalidate": 300, **issuer.site_settings(), **NO_LIMITS}
    with faulty_backend() as backend, running_site(backend.url, **given) as site, overheard(seen):
        world = World(site, backend, issuer, seen)
        for part in REPERTOIRE:
            world.heal()
            clear_document_cache(site)
            part(world)
        world.heal()
    yield seen
    issuer.stop_listening()
    issuer.close_connections()


# --- Where each secret may appear

TYPED_PLACES = r"backend /login body|body of (GET|POST) /(auth/login/email|account|api/auth/session)"
STARTED = r"cookie munjigi.attempt|body of POST /api/auth/signin/\w+"
TO_ISSUER = r"body of POST /auth/logout"
"""The page that leads to the sign-out at the issuer."""
ALLOWED = {
    "password": r"backend /login body",
    "backend token": r"backend /(user|logout|profile) Authorization|session claims",
    "backend refresh token": r"backend /logout body",
    "social token": r"provider /(userinfo|user|emails) Authorization|backend /login/social/callback body",
    "refresh token": None,
    "client secret": r"provider /token (body|Authorization)",
    "session secret": None,
    "events token": None,
    "code": r"provider /token body",
    "id_token": rf"backend /login/social/callback body|{TO_ISSUER}",
    "typed address": rf"{TYPED_PLACES}|session claims",  # for the page that confirms a sign-in
    "provider's address": rf"backend /login/social/callback body|{TO_ISSUER}",  # in the id_token
    "state": rf"{STARTED}|header Location of POST /api/auth/callback/apple",
    "nonce": rf"{STARTED}|backend /login/social/callback body",  # in Apple's id_token
    "code_verifier": r"cookie munjigi.attempt|provider /token body",
    "session cookie": r"cookie next-auth.session-token",
}
FIXED = {
    "password": PASSWORD,
    "backend token": BACKEND_TOKEN,
    "social token": ACCESS_TOKEN,
    "backend refresh token": BACKEND_REFRESH_TOKEN,
    "events token": EVENTS_TOKEN,
    "refresh token": REFRESH_TOKEN,
    "client secret": CLIENT_SECRET,
    "session secret": SECRET,
    "code": CODE,
    "typed address": TYPED,
    "provider's address": EMAIL,
}


def spellings(secret: str) -> set[str]:
    """Return the secret as it is, URL-encoded, in JSON, truncated, and in Base64 at each alignment."""
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], secret[:24]}
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * before + secret.encode()).decode().rstrip("=")
            found.add(whole[4 if before else 0 : -2])
    return found


@pytest.mark.parametrize("name", ALLOWED)
def test_each_secret_appears_only_in_the_allowed_places(seen: Seen, name: str) -> None:
    # The generated ones are many, with the same spelling in every encoding.
    hidden = spellings(FIXED[name]) if name in FIXED else {secret[:24] for secret in seen.made[name]}
    places = {place for place, text in seen.by_place.items() if any(one in text for one in hidden)}
    allowed = ALLOWED[name]
    assert {place for place in places if not allowed or not re.fullmatch(allowed, place)} == set()
    assert bool(places) == bool(allowed), "a secret that is seen nowhere proves nothing"


def test_the_recorded_run_covers_enough_requests_logs_and_signals(seen: Seen) -> None:
    lines = [text for place, text in seen.texts if place == "log (text)"]
    assert seen.answers > 1500
    assert len(lines) > 300
    assert {place for place, _ in seen.texts if place.startswith("signal")} == {f"signal {name}" for name in SIGNALS}
    statuses = {int(text[:3]) for place, text in seen.texts if place == "answer"}
    assert {200, 303, 400, 401, 413, 415, 422, 429, 502} <= statuses
    assert 500 not in statuses
    assert not [line for line in lines if "Traceback" in line]


def test_no_log_line_comes_from_a_library(seen: Seen) -> None:
    lines = [json.loads(text) for place, text in seen.texts if place == "log (json)"]
    assert {line["logger"].partition(".")[0] for line in lines} == {"munjigi"}
