"""The backend's refresh token: sealed within the session, and sent to the backend at the sign-out."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import errors
from services.backend.tokens import Tokens
from services.clock import Clock
from services.sealing import Sealer
from services.sessions.cookie import CHUNK_SIZE, MAX_CHUNKS, SessionCookie
from services.sessions.token_sealer import Kind, TokenSealer
from tests.server.test_fast_path import asked, session_of, without_id
from tests.support import forge
from tests.support.asgi import Response
from tests.support.faulty_backend import USER, FaultyBackend, faulty_backend, http_response, keep_alive, user_body
from tests.support.logs import captured_log
from tests.support.site import (
    SECRET,
    ManualClock,
    Page,
    Site,
    SiteMaker,
    Visitor,
    cookie_names,
    make_settings,
    running_site,
)

CANARY = "canary-refresh-3f1b/+="
ACCESS = "17|access"
SETTINGS: dict[str, Any] = {
    "backend": "custom",
    "backend_login": "POST /login",
    "backend_token": "token",
    "backend_refresh_token": "refresh",
    "backend_expires": "expires_in:s",
    "backend_user": "GET /user",
    "backend_user_at": "data.user",
    "backend_profile": "POST /profile",
    "backend_logout": "POST /logout",
    "backend_logout_path": None,
    "backend_profile_path": None,
    "backend_logout_body": "refresh={refresh_token}",
}
"""A backend whose logout needs the refresh token."""
OLD_SECRET = "an-older-secret-0f-this-very-site-8Zq"
SPACE = CHUNK_SIZE * MAX_CHUNKS


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture
def backend(server: FaultyBackend) -> FaultyBackend:
    server.reset()
    give_tokens(server)
    return server


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def site(shared_site: SiteMaker, backend: FaultyBackend, clock: ManualClock) -> Site:
    return shared_site(backend.url, clock=clock, **SETTINGS)


def services_of(site: Site) -> Any:
    return site.app.extensions["munjigi"]


def give_tokens(backend: FaultyBackend, token: str = ACCESS, refresh: object = CANARY) -> None:
    """What the next sign-in gets."""
    backend.responses["/login"] = keep_alive(http_response({"token": token, "refresh": refresh, "expires_in": 8640000}))


def signed_in(site: Site) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    return visitor


def sign_out(visitor: Visitor, backend: FaultyBackend) -> list[tuple[str | None, object]]:
    """Sign out. Returns the access token and the body of each logout call."""
    before = len(backend.calls)
    assert visitor.submit("/auth/logout", {}).status_code == 303
    assert not visitor.is_signed_in
    calls = [call for call in backend.calls[before:] if call.path == "/logout"]
    return [(call.headers["Authorization"].removeprefix("Bearer "), call.json) for call in calls]


def session_token(visitor: Visitor) -> str:
    cookies = visitor.cookies.get_dict()
    return cookies.get(forge.COOKIE) or "".join(cookies.get(f"{forge.COOKIE}.{n}", "") for n in range(MAX_CHUNKS))


def claims_of(visitor: Visitor) -> dict[str, Any]:
    return forge.decrypt(session_token(visitor))


def at(site: Site, visitor: Visitor) -> Visitor:
    """The same browser, whose next requests reach this site."""
    other = site.new_visitor()
    other.cookies.update(visitor.cookies)
    return other


BOTH = [(ACCESS, {"refresh": CANARY})]


# --- The sign-out


@pytest.mark.parametrize("door", ["/auth/logout", "/api/auth/signout"])
def test_a_sign_out_sends_the_backend_both_tokens(site: Site, backend: FaultyBackend, door: str) -> None:
    visitor = signed_in(site)
    visitor.submit(door, {})
    assert [(call.headers["Authorization"], call.json) for call in backend.requests_to("/logout")] == [
        (f"Bearer {ACCESS}", {"refresh": CANARY})
    ]


def look_around(visitor: Visitor, site: Site, backend: FaultyBackend) -> None:
    visitor.get("/account")


def use_it_later(visitor: Visitor, site: Site, backend: FaultyBackend) -> None:
    site.clock.advance(20 * 86400)  # type: ignore[attr-defined]
    assert forge.COOKIE in cookie_names(visitor.get("/account"))


def be_changed_at_the_backend(visitor: Visitor, site: Site, backend: FaultyBackend) -> None:
    backend.responses["/user"] = keep_alive(http_response(user_body({**USER, "name": "박새봄"})))
    site.clock.advance(3600)  # type: ignore[attr-defined]
    assert forge.COOKIE in cookie_names(visitor.get("/account"))


def update(visitor: Visitor, site: Site, backend: FaultyBackend) -> None:
    backend.responses["/user"] = keep_alive(http_response(user_body({**USER, "name": "김가을"})))
    body = {"csrfToken": visitor.csrf_token()}
    assert forge.COOKIE in cookie_names(visitor.post("/api/auth/session", json=body))


def change_the_name(visitor: Visitor, site: Site, backend: FaultyBackend) -> None:
    backend.responses["/user"] = keep_alive(http_response(user_body({**USER, "name": "김겨울"})))
    backend.responses["/profile"] = keep_alive(http_response({"message": "saved"}))
    response = visitor.submit("/account", {"name": "김겨울", "nick_name": ""})
    assert forge.COOKIE in cookie_names(response)


def be_checked_by_a_proxy(visitor: Visitor, site: Site, backend: FaultyBackend) -> None:
    site.clock.advance(20 * 86400)  # type: ignore[attr-defined]
    visitor.get("/auth/verify")
    visitor.get("/account")


@pytest.mark.parametrize(
    "use", [look_around, use_it_later, be_changed_at_the_backend, update, change_the_name, be_checked_by_a_proxy]
)
def test_a_rewritten_session_keeps_the_tokens(
    site: Site, backend: FaultyBackend, use: Callable[[Visitor, Site, FaultyBackend], None]
) -> None:
    visitor = signed_in(site)
    expires = claims_of(visitor)["token_exp"]
    use(visitor, site, backend)
    assert claims_of(visitor)["token_exp"] == expires
    assert sign_out(visitor, backend) == BOTH


def test_a_second_sign_in_revokes_the_tokens_of_the_first(site: Site, backend: FaultyBackend) -> None:
    visitor = signed_in(site)
    give_tokens(backend, "18|access", "another-refresh")
    assert visitor.sign_in().status_code == 303
    assert [call.json for call in backend.requests_to("/logout")] == [{"refresh": CANARY}]
    assert sign_out(visitor, backend) == [("18|access", {"refresh": "another-refresh"})]


def test_a_refresh_token_that_the_backend_issues_again_is_not_revoked_by_the_second_sign_in(
    site: Site, backend: FaultyBackend
) -> None:
    visitor = signed_in(site)
    give_tokens(backend, "18|access", CANARY)
    assert visitor.sign_in().status_code == 303
    assert backend.requests_to("/logout") == []


def test_tokens_that_cannot_be_used_are_all_revoked(site: Site, backend: FaultyBackend) -> None:
    backend.responses["/user"] = keep_alive(http_response(status=500))
    assert site.new_visitor().sign_in().status_code == 502
    assert [call.json for call in backend.requests_to("/logout")] == [{"refresh": CANARY}]


# --- The key


def test_the_tokens_survive_a_new_key(backend: FaultyBackend, make_site: SiteMaker) -> None:
    visitor = signed_in(make_site(backend.url, secret_key=OLD_SECRET, **SETTINGS))
    both_keys = make_site(backend.url, secret_key_fallbacks=OLD_SECRET, **SETTINGS)
    unchanged = at(both_keys, visitor)
    assert sign_out(unchanged, backend) == BOTH, "a session that was not rewritten yet"
    visitor = at(both_keys, signed_in(make_site(backend.url, secret_key=OLD_SECRET, **SETTINGS)))
    assert forge.COOKIE in cookie_names(visitor.get("/account"))
    assert sign_out(at(make_site(backend.url, **SETTINGS), visitor), backend) == BOTH, "the old key is gone"


def test_another_key_is_used_than_for_the_session(site: Site, backend: FaultyBackend) -> None:
    """An app with `SECRET_KEY` reads the claims with `getToken()`; none of them is the refresh token."""
    claims = claims_of(signed_in(site))
    sealed = claims["sealed_refresh"]
    for purpose in ("attempt", "", "session"):
        with pytest.raises(ValueError, match="no key"):
            Sealer([SECRET], purpose).open(claims["sid"], sealed.encode())
    assert TokenSealer([SECRET], Kind.REFRESH).open(claims["sid"], sealed) == CANARY


# --- Claims that are no refresh token


def sealed_as(sid: str, value: object, secret: str = SECRET, purpose: str = "refresh token") -> str:
    return Sealer([secret], purpose).seal(sid, value).decode()


GENUINE = sealed_as("a-session", CANARY)
NO_REFRESH_TOKENS: dict[str, object] = {
    "missing": forge.OMITTED,
    "null": None,
    "a number": 5,
    "a list": [GENUINE],
    "an object": {"refresh": GENUINE},
    "empty": "",
    "not sealed": CANARY,
    "a token in the clear": "e30.e30.abc",
    "not ASCII": "갱신",
    "with a line break": GENUINE + "\n",
    "long": "g" * 5000,
    "cut off": GENUINE[:-5],
    "cut off in the middle": GENUINE[:40],
    "with a letter changed": GENUINE[:30] + ("A" if GENUINE[30] != "A" else "B") + GENUINE[31:],
    "twice": GENUINE + GENUINE,
    "of another session": TokenSealer([SECRET], Kind.REFRESH).seal("another-session", CANARY),
    "of another site": sealed_as("a-session", CANARY, "somebody-elses-secret-1aB2cD3eF4gH5"),
    "sealed for another purpose": sealed_as("a-session", CANARY, purpose="attempt"),
    "a sealed number": sealed_as("a-session", 5),
    "a sealed null": sealed_as("a-session", None),
    "a sealed line break": sealed_as("a-session", "a\r\nX-Header: b"),
}


@pytest.mark.parametrize("name", NO_REFRESH_TOKENS)
def test_a_damaged_or_foreign_claim_is_no_refresh_token_and_no_error(
    site: Site, backend: FaultyBackend, name: str
) -> None:
    now = int(site.clock.time())
    given = {"iat": now, "exp": now + 86400, "accessToken": ACCESS, "user": USER, "sid": "a-session"}
    token = forge.encrypt(forge.make_claims(**given, sealed_refresh=NO_REFRESH_TOKENS[name]))
    pieces = forge.chunk_cookies(token) if len(token) > CHUNK_SIZE else [forge.cookie_pair(token)]
    session = SessionCookie(make_settings(), site.clock).read(forge.cookie_header(*pieces)).session
    assert session is not None
    assert services_of(site).sessions.tokens(session) == Tokens(ACCESS)
    again = SessionCookie(make_settings(), site.clock).encrypt(session)
    assert "sealed_refresh" not in forge.decrypt(again), "it is written without"
    visitor = site.new_visitor(Cookie=forge.cookie_header(*pieces))
    assert visitor.get_page("/account").status == 200
    assert visitor.post("/auth/logout", data={}).status_code < 500


@pytest.mark.parametrize("value", [None, "soon", -1, 0, 1.5, True, 2**60, [1]])
def test_an_odd_time_of_expiry_is_none_and_no_error(value: object) -> None:
    cookie = f"{forge.COOKIE}={forge.encrypt(forge.make_claims(token_exp=value))}"
    session = SessionCookie(make_settings(), Clock()).read(cookie).session
    assert session
    assert session.token_expires_at is None


def test_a_session_without_a_refresh_token_signs_out_with_the_access_token_alone(
    make_site: SiteMaker, backend: FaultyBackend
) -> None:
    without = {**SETTINGS, "backend_logout_body": None, "backend_refresh_token": None}
    visitor = signed_in(make_site(backend.url, **without))
    assert "sealed_refresh" not in claims_of(visitor)
    assert sign_out(visitor, backend) == [(ACCESS, None)]


def test_a_session_with_a_laravel_token_has_the_same_claims_as_ever(make_site: SiteMaker) -> None:
    assert list(claims_of(signed_in(make_site()))) == [
        "name", "email", "sub", "user", "accessToken", "provider", "sid", "auth_time", "checked_at", "renewed_at",
        "iat", "exp", "jti",
    ]  # fmt: skip


# --- Size


def test_both_tokens_have_to_fit_into_three_cookies() -> None:
    cookie, sealer, sizes = SessionCookie(make_settings(), Clock()), TokenSealer([SECRET], Kind.REFRESH), {}
    for length in (1500, *range(5000, 7000, 16)):
        session = replace(session_of(), sealed_refresh_token=sealer.seal("a-session", "r" * length))
        try:
            sizes[length] = len(cookie.encrypt(session))
        except errors.SessionTooLarge:
            break
    assert sizes[1500] < 2 * CHUNK_SIZE, "tokens of usual lengths need two cookies at most"
    assert SPACE - 100 < max(sizes.values()) <= SPACE
    assert len(sizes) < 100


def test_a_refresh_token_that_does_not_fit_is_an_error_that_names_its_size(site: Site, backend: FaultyBackend) -> None:
    """Without it, the user would be signed out as soon as the access token expires."""
    give_tokens(backend, refresh="r" * 8000)
    with captured_log() as log:
        visitor = site.new_visitor()
        assert visitor.sign_in().status_code == 502
    assert re.search(
        r"is over 3 cookies of 3933: the access token has \d+, the encrypted refresh token 1\d{4}", log.getvalue()
    )
    assert "rrrr" not in log.getvalue()
    assert backend.requests_to("/logout"), "the tokens were revoked"
    assert not visitor.is_signed_in


def test_an_access_token_that_does_not_fit_is_an_error_and_both_tokens_are_revoked(
    site: Site, backend: FaultyBackend
) -> None:
    give_tokens(backend, "t" * SPACE)
    visitor = site.new_visitor()
    assert Page(visitor.sign_in()).status == 502
    assert not visitor.is_signed_in
    assert [call.json for call in backend.requests_to("/logout")] == [{"refresh": CANARY}]


# --- No door shows it


def test_the_refresh_token_shows_at_no_door_in_no_log_and_not_in_the_claims(
    make_site: SiteMaker, backend: FaultyBackend
) -> None:
    site = make_site(backend.url, expose_access_token="true", **SETTINGS)
    with captured_log("json", logging.DEBUG) as log:
        visitor = site.new_visitor()
        answers = [visitor.sign_in()]
        assert answers[0].status_code == 303
        claims = claims_of(visitor)
        answers += [
            visitor.get(path)
            for path in ("/", "/account", "/api/auth/session", "/auth/verify", "/auth/login/email", "/auth/logout")
        ]
        answers.append(visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token()}))
        backend.responses["/logout"] = keep_alive(http_response({"refresh": CANARY}, 400))
        answers.append(visitor.submit("/auth/logout", {}))
    texts = [f"{answer.text}{answer.headers}{answer.raw.headers}" for answer in answers]
    seen = "\n".join([*texts, log.getvalue(), json.dumps(claims), repr(claims)])
    assert "canary" not in seen
    assert CANARY not in seen
    assert claims["sealed_refresh"] not in "\n".join([*texts, log.getvalue()])
    assert [call.json for call in backend.requests_to("/logout")] == [{"refresh": CANARY}], "a 4xx is not repeated"


@pytest.mark.parametrize("path", ["/api/auth/session", "/auth/verify"])
@pytest.mark.parametrize("expose", ["false", "true"])
def test_a_session_read_answers_as_without_the_refresh_token(backend: FaultyBackend, path: str, expose: str) -> None:
    given = {**SETTINGS, "expose_access_token": expose}
    with running_site(backend.url, **given) as site:
        claims = claims_of(signed_in(site))
        bare = {name: value for name, value in claims.items() if name not in ("sealed_refresh", "token_exp")}
        answers: list[Response] = [
            asked(site.app, path, f"{forge.COOKIE}={forge.encrypt(each)}") for each in (claims, bare)
        ]
    assert answers[0].status in (200, 204)
    assert without_id(answers[0]) == without_id(answers[1])


def test_a_session_does_not_show_its_tokens_when_it_is_printed(site: Site, backend: FaultyBackend) -> None:
    token = session_token(signed_in(site))
    session = SessionCookie(make_settings(), site.clock).read(f"{forge.COOKIE}={token}").session
    assert session
    assert session.sealed_refresh_token
    printed = f"{session!r} {services_of(site).sessions.tokens(session)!r}"
    assert not any(secret in printed for secret in (ACCESS, CANARY, session.sealed_refresh_token))
