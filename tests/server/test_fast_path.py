"""Session reads and forward-auth checks without Flask give the same answers as the views."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import flask
import pytest

from app import create_app
from services.backend.user import User
from services.clock import Clock
from services.sessions.cookie import CHUNK_SIZE, SessionCookie
from services.sessions.model import Session
from tests.support.asgi import Response, create_asgi, send_request
from tests.support.signing_keys import private_pem
from tests.support.site import SECRET, make_settings

PATHS = ("/api/auth/session", "/auth/verify")
MINJI = User(id=1, name="김민지", nick_name="minji", email="minji@example.com")
BARE = User(id="0b9c2d1e-uuid", name=None, nick_name=None, email=None)
OLD_SECRET = "an-older-secret-0f-this-very-site-8Zq"


def session_of(user: User = MINJI, *, age: int = 0, token: str = "17|token", lasts: int = 2592000) -> Session:
    then = int(time.time()) - age
    return Session(
        user=user,
        access_token=token,
        provider="email",
        sid="a-session",
        auth_time=then,
        checked_at=then,
        expires_at=then + lasts,
    )


def cookies(session: Session, secret: str = SECRET) -> str:
    name, token = "next-auth.session-token", SessionCookie(make_settings(secret_key=secret), Clock()).encrypt(session)
    if len(token) <= CHUNK_SIZE:
        return f"{name}={token}"
    pieces = [token[at : at + CHUNK_SIZE] for at in range(0, len(token), CHUNK_SIZE)]
    return "; ".join(f"{name}.{number}={piece}" for number, piece in enumerate(pieces))


@contextmanager
def entered(site: flask.Flask) -> Iterator[list[str]]:
    """Yield a list of the paths that reach Flask."""
    paths: list[str] = []

    def note(_: flask.Flask) -> None:
        paths.append(flask.request.path)

    with flask.request_started.connected_to(note, site):
        yield paths


def asked(
    site: flask.Flask, path: str, cookie: str, method: str = "GET", headers: Sequence[tuple[str, str]] = ()
) -> Response:
    async def once() -> Response:
        response = await send_request(create_asgi(site), method, path, [("Cookie", cookie), *headers])
        await site.extensions["munjigi"].aclose()
        return response

    return asyncio.run(once())


def without_id(response: Response) -> tuple[int, list[tuple[str, str]], bytes]:
    kept = [(name, value) for name, value in response.headers if name != "X-Request-Id"]
    return response.status, kept, response.body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("with_token", [False, True], ids=["", "with the backend's token"])
@pytest.mark.parametrize("site_url", ["http://localhost:5000", "https://login.example.com", "https://example.com/in"])
@pytest.mark.parametrize("user", [MINJI, BARE, replace(MINJI, name="\u2028</script>\"'%")], ids=["all", "bare", "odd"])
@pytest.mark.parametrize("size", [8, pytest.param(4000, marks=pytest.mark.corpus)], ids=["one cookie", "two cookies"])
def test_the_fast_path_answers_like_the_view(path: str, with_token: bool, site_url: str, user: User, size: int) -> None:
    tokens = dict.fromkeys(("expose_access_token", "forward_access_token"), str(with_token).lower())
    given = make_settings(site_url=site_url, **tokens)
    site = create_app(given)
    prefix = "__Secure-" if given.secure else ""
    brought = "; ".join(f"{prefix}{one}" for one in cookies(session_of(user, token="t" * size)).split("; "))
    with entered(site) as paths:
        fast = asked(site, given.site_path + path, brought)
        stripped = asked(site, path, brought)
        assert paths == []
        by_the_view = asked(site, given.site_path + path + "?by=view", brought)
        assert paths == [path]
    assert without_id(fast) == without_id(by_the_view) == without_id(stripped)
    assert fast.status == (200 if path == PATHS[0] else 204)
    assert (("t" * size) in f"{fast.headers}{fast.body!r}") is with_token
    assert len(fast.header("X-Request-Id")) == 16
    assert fast.header("X-Request-Id") != stripped.header("X-Request-Id")


CLAIMS = {"roles": ["admin", "관리,자"], "plan": None}


@pytest.mark.parametrize("host", ["app.example.com", "App.Example:8443", "a, b", "", "\xff", None])
@pytest.mark.parametrize("user", [MINJI, replace(BARE, claims=CLAIMS)], ids=["without claims", "with claims"])
def test_the_fast_path_gives_the_same_claims_and_assertions(host: str | None, user: User) -> None:
    site = create_app(make_settings(user_claims="roles plan", assertion_private_key=private_pem()))
    brought = cookies(session_of(user))
    headers = [] if host is None else [("X-Forwarded-Host", host)]
    with entered(site) as paths:
        fast = asked(site, "/auth/verify", brought, headers=headers)
        assert paths == []
        by_the_view = asked(site, "/auth/verify?by=view", brought, headers=headers)
        twice = [asked(site, f"/auth/verify{query}", brought, headers=headers * 2) for query in ("", "?by=view")]
    assert without_id(fast) == without_id(by_the_view)
    assert bool(fast.header("X-Auth-Assertion")) is (host not in ("a, b", "", "\xff"))
    assert without_id(twice[0]) == without_id(twice[1])
    if host is not None:
        assert twice[0].header("X-Auth-Assertion") == ""


@pytest.mark.parametrize("path", PATHS)
def test_cookies_of_other_apps_may_contain_any_bytes(path: str) -> None:
    site = create_app(make_settings())
    plain = asked(site, path, cookies(session_of()))
    with entered(site) as paths:
        for other in ("name=\xea\xb9\x80", "\xff\xfe=\x80", "a=b; ; =; x", 'q="\xe9"'):
            for cookie in (f"{other}; {cookies(session_of())}", f"{cookies(session_of())}; {other}"):
                assert asked(site, path, cookie).status == plain.status
                assert asked(site, f"{path}?by=view", cookie).status == plain.status
    assert len(paths) == 8


DUE = {
    "nobody": "",
    "other cookies": "munjigi.visitor=x; theme=dark",
    "no sound token": "next-auth.session-token=eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..x.y.z",
    "sealed with the key before": cookies(session_of(), OLD_SECRET),
    "to be asked about": cookies(session_of(age=301)),
    "to be prolonged": cookies(session_of(lasts=3600)),
    "over": cookies(session_of(lasts=-1)),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("brought", DUE.values(), ids=DUE)
def test_a_session_that_needs_work_goes_to_the_view(path: str, brought: str) -> None:
    site = create_app(make_settings(secret_key_fallbacks=OLD_SECRET))
    with entered(site) as paths:
        asked(site, path, brought)
    assert paths == [path]


@pytest.mark.parametrize("path", PATHS)
def test_a_revoked_session_is_refused_on_the_fast_path(path: str) -> None:
    site, session = create_app(make_settings()), session_of()
    assert asked(site, path, cookies(session)).status in (200, 204)
    site.extensions["munjigi"].revoked_sessions.revoke(session)
    answer = asked(site, path, cookies(session))
    assert (answer.status, answer.body) == ((200, b"{}\n") if path == PATHS[0] else (401, b""))


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_only_get_requests_take_the_fast_path(method: str) -> None:
    site = create_app(make_settings())
    with entered(site) as paths:
        for path in PATHS:
            asked(site, path, cookies(session_of()), method)
    assert paths == list(PATHS)


_SITE, _EVIL = "http://localhost:5000", "https://evil.example"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("X-Forwarded-Method", "POST"), ("Origin", _SITE)], 204),
        ([("X-Forwarded-Method", "POST"), ("Origin", _EVIL)], 403),
        ([("X-Forwarded-Method", "GET"), ("Origin", _EVIL)], 204),
        ([("X-Forwarded-Method", "GET"), ("X-Forwarded-Method", "POST"), ("Origin", _EVIL)], 403),
        ([("X-Forwarded-Method", "POST"), ("Origin", _SITE), ("Origin", _EVIL)], 403),
        ([("X-Forwarded-Method", "POST"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none")], 403),
        ([("X_Forwarded_Method", "POST"), ("Origin", _EVIL)], 204),
        ([("Sec-WebSocket-Version", "13"), ("Origin", _EVIL)], 403),
        ([("Sec-WebSocket-Version", "13"), ("Origin", _SITE)], 204),
    ],
)
def test_the_fast_path_refuses_the_cross_site_requests_that_the_view_refuses(
    headers: list[tuple[str, str]], status: int
) -> None:
    site = create_app(make_settings(site_url=_SITE))
    with entered(site) as paths:
        fast = asked(site, "/auth/verify", cookies(session_of()), headers=headers)
        assert paths == ([] if status == 204 else ["/auth/verify"])
        by_the_view = asked(site, "/auth/verify?by=view", cookies(session_of()), headers=headers)
    assert (fast.status, by_the_view.status) == (status, status)
