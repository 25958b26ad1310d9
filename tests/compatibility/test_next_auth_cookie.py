"""The unmodified next-auth package from npm reads our session cookies, and we read those that it makes."""

import json
import random
import string
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from services.backend.user import User
from services.clock import Clock
from services.response_cookies import ResponseCookies
from services.sessions.cookie import SessionCookie
from services.sessions.model import Session
from tests.support.forge import CHUNK_SIZE, COOKIE, MONTH, chunk_cookies, cookie_header, cookie_pair
from tests.support.node import CLEAN_ENVIRON, HERE, find_node
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.site import SECRET, Site, make_settings, running_site, set_cookies

pytestmark = pytest.mark.external

LARGE = {"id": 7, "name": "😀" * 200, "nick_name": "홍" * 200, "email": "hong@example.com"}


class NextAuth:
    """The functions of `next-auth/jwt`, in a Node.js process that waits for calls."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def encode(self, token: dict[str, Any], **params: Any) -> str:
        return str(self._call("encode", token=token, **params))

    def decode(self, token: str) -> Any:
        return self._call("decode", token=token)

    def get_token(self, cookies: dict[str, str], **params: Any) -> Any:
        """Return the claims that a Next.js app reads from these cookies, or None."""
        return self._call("getToken", req={"cookies": cookies, "headers": {}}, **params)

    def _call(self, name: str, **params: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"name": name, "params": {"secret": SECRET, **params}}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "Node has ended; its last words are above"
        return json.loads(answer)


@pytest.fixture(scope="module")
def next_auth() -> Iterator[NextAuth]:
    command = [find_node(), str(HERE / "next_auth.mjs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8", env=CLEAN_ENVIRON) as process:
        yield NextAuth(process)


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture
def site(backend: ScriptedBackend) -> Iterator[Site]:
    """A site that never checks sessions with the backend."""
    with running_site(backend_url=backend.url, session_revalidate=0) as running:
        yield running


def session_cookies(response: requests.Response) -> dict[str, str]:
    """Return the session cookies of an answer, as Next.js passes those of a request."""
    pairs = [line.partition(";")[0].partition("=") for line in set_cookies(response)]
    return {name: value for name, _, value in pairs if COOKIE in name}


def signed_in(site: Site) -> dict[str, str]:
    response = site.new_visitor().sign_in()
    assert response.status_code == 303
    return session_cookies(response)


def session(site: Site, cookies: str) -> dict[str, Any]:
    body = site.new_visitor().get("/api/auth/session", headers={"Cookie": cookies}).json()
    assert isinstance(body, dict)
    return body


def article(user: dict[str, Any], bearer: str = "1|article") -> dict[str, Any]:
    """Return the claims that the callbacks of the original article make of a sign-in."""
    return {
        "name": user["name"],
        "email": user["email"],
        "sub": str(user["id"]),
        "user": user,
        "accessToken": bearer,
    }


def test_next_auth_reads_a_session_of_ours(next_auth: NextAuth, backend: ScriptedBackend, site: Site) -> None:
    cookies = signed_in(site)
    assert set(cookies) == {COOKIE}
    claims = next_auth.get_token(cookies)
    ours = ("provider", "identifier", "sid", "auth_time", "checked_at", "renewed_at")
    assert set(claims) == {*article(USER), *ours, "iat", "exp", "jti"}
    assert article(USER, backend.token).items() <= claims.items()
    assert claims["exp"] - claims["iat"] == MONTH
    assert next_auth.decode(cookies[COOKIE]) == claims
    assert next_auth.get_token(cookies, raw=True) == cookies[COOKIE]


@pytest.mark.parametrize(("bearer", "count"), [(1000, 2), (4000, 3)])
def test_next_auth_joins_our_cookie_chunks(
    next_auth: NextAuth, backend: ScriptedBackend, site: Site, bearer: int, count: int
) -> None:
    backend.user, backend.token = LARGE, "t" * bearer
    cookies = signed_in(site)
    assert set(cookies) == {f"{COOKIE}.{n}" for n in range(count)}
    for order in (cookies, dict(reversed(cookies.items()))):
        assert article(LARGE, backend.token).items() <= next_auth.get_token(order).items()


def test_next_auth_finds_our_cookie_by_its_secure_name_on_https(next_auth: NextAuth, backend: ScriptedBackend) -> None:
    with running_site(backend_url=backend.url, site_url="https://login.example.com") as site:
        visitor = site.new_visitor()
        opened = visitor.get("/api/auth/csrf")
        response = visitor.post(
            "/auth/login/email",
            data={"email": "hong@example.com", "password": "x", "csrfToken": opened.json()["csrfToken"]},
            headers={"Cookie": set_cookies(opened)[0].partition(";")[0]},
        )
    cookies = session_cookies(response)
    assert set(cookies) == {f"__Secure-{COOKIE}"}
    assert next_auth.get_token(cookies, secureCookie=True)["user"] == USER
    assert next_auth.get_token(cookies) is None


def test_next_auth_reads_no_session_after_sign_out_or_with_another_secret(next_auth: NextAuth, site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    held = {str(one.name): str(one.value) for one in visitor.cookies}
    assert next_auth.get_token(held, secret="another-secret-altogether-6Yt5Rf") is None
    visitor.submit("/auth/logout", {})
    assert next_auth.get_token({str(one.name): str(one.value) for one in visitor.cookies}) is None


def test_next_auth_reads_a_session_token_that_we_refreshed(next_auth: NextAuth, site: Site) -> None:
    old = next_auth.encode(article(USER), maxAge=MONTH - 4 * 24 * 3600)
    response = site.new_visitor().get("/api/auth/session", headers={"Cookie": cookie_pair(old)})
    claims = next_auth.get_token(session_cookies(response))
    assert article(USER).items() <= claims.items()
    assert claims["auth_time"] == next_auth.decode(old)["iat"]


@pytest.mark.parametrize(
    "user",
    [
        USER,
        {"id": 1, "name": "Ann", "nick_name": None, "email": "ann@example.com"},
        {"id": "0b1f6a52-7c1e", "name": "😀 𠮷野家 👩‍👩‍👧", "nick_name": "길동", "email": "é@example.com"},
        {"id": 2, "name": '<b>"&\\</b>', "nick_name": "{{7*7}}", "email": None},
        LARGE,
    ],
    ids=["Hangul", "ASCII", "astral", "HTML", "large"],
)
def test_a_next_auth_token_is_a_valid_session(next_auth: NextAuth, site: Site, user: dict[str, Any]) -> None:
    token = next_auth.encode(article(user))
    assert (
        session(site, cookie_header(*chunk_cookies(token)) if len(token) > 3933 else cookie_pair(token))["user"] == user
    )


def test_unknown_claims_in_a_next_auth_token_are_ignored(next_auth: NextAuth, site: Site) -> None:
    further = {"picture": None, "roles": ["admin"], "nbf": 0, "user": {**USER, "created_at": "2023-01-01T00:00:00Z"}}
    assert session(site, cookie_pair(next_auth.encode({**article(USER), **further})))["user"] == USER


def test_a_next_auth_token_is_checked_with_the_backend(next_auth: NextAuth, backend: ScriptedBackend) -> None:
    token = next_auth.encode(article({**USER, "name": "before"}, "1|bearer"))
    with running_site(backend_url=backend.url) as site:
        assert session(site, cookie_pair(token))["user"] == USER
        assert backend.calls == [("POST", "/user", "Bearer 1|bearer")]
        backend.user_status = 401
        assert session(site, cookie_pair(next_auth.encode(article(USER, "2|revoked")))) == {}


@pytest.mark.parametrize(
    ("token", "params"),
    [
        (article(USER), {"salt": "next-auth.state"}),
        (article(USER), {"secret": "another-secret-altogether-6Yt5Rf"}),
        (article(USER), {"maxAge": -1}),
        ({}, {}),
        ({"value": "t3ij", "provider": "kakao"}, {}),
        ({"name": "홍길동", "email": "hong@example.com", "sub": "7"}, {}),
    ],
    ids=["a state cookie", "another secret", "over", "nothing in it", "a state", "no user and no bearer"],
)
def test_a_next_auth_token_for_another_purpose_is_no_session(
    next_auth: NextAuth, site: Site, token: dict[str, Any], params: dict[str, Any]
) -> None:
    assert session(site, cookie_pair(next_auth.encode(token, **params))) == {}


# --- Random sessions

SEED = random.randrange(2**32)
_LETTERS = [
    "가각간갇갈힣ㄱㅏ",
    "漢字𠮷野家齉",
    "かなカナｶﾅー",
    "АБВгдё",
    "ΑΒγδς",
    "אבגדה",
    "ابتثج",
    "कखगघि",
    "กขฃคด",
    "😀👩‍👩‍👧🇰🇷🏴",
    "éñüßğȘ",
    "é가",
    "\"\\<>&'/{}%;,=|",
    string.ascii_letters,
]


def somebody(chance: random.Random, size: int) -> Session:
    """Return a random session of this size: names in any script, an id of either type."""
    longest, shortest, bearer = {
        1: (20, 1, range(1, 1200)),
        2: (60, 1, range(2800, 3800)),
        3: (200, 200, range(4090, 4097)),
    }[size]

    def name() -> str:
        letters = chance.choice(_LETTERS) if size < 3 else "😀𠮷"
        return "".join(chance.choices(letters, k=chance.randint(shortest, longest)))

    number = chance.choice([1, chance.randrange(1, 2**31), 2**53 - 1])
    ids: list[int | str] = [number, str(number), str(uuid.UUID(int=chance.getrandbits(128))), name()]
    now = int(time.time())
    return Session(
        user=User(
            id=chance.choice(ids),
            name=name() if size == 3 else chance.choice([None, name(), name(), name()]),
            nick_name=name() if size == 3 else chance.choice([None, name(), name()]),
            email=chance.choice([None, f"{chance.randrange(10**6)}@example.com"]),
        ),
        access_token="".join(chance.choices(string.printable[:94], k=chance.choice(bearer))),
        provider=chance.choice([None, "email", "kakao"]),
        sid=uuid.UUID(int=chance.getrandbits(128)).hex,
        auth_time=now,
        checked_at=now,
        expires_at=now + MONTH,
    )


@pytest.fixture(scope="module")
def people() -> list[Session]:
    chance = random.Random(SEED)
    return [somebody(chance, (1, 2, 1, 3)[number % 4]) for number in range(50)]


def written(session: Session, **given: Any) -> dict[str, str]:
    """Our cookies of this session."""
    cookies, response_cookies = SessionCookie(make_settings(**given), Clock()), ResponseCookies()
    cookies.write(response_cookies, cookies.encrypt(session), session.expires_at, ())
    return {cookie.name: cookie.value for cookie in response_cookies}


def claims_of(session: Session) -> dict[str, Any]:
    return {name: value for name, value in session.to_claims(0).items() if name not in ("iat", "jti", "renewed_at")}


def test_next_auth_reads_random_sessions_of_ours(next_auth: NextAuth, people: list[Session]) -> None:
    sizes = Counter[int]()
    for number, one in enumerate(people):
        for site_url, secure in (("http://localhost:5000", False), ("https://login.example.com", True)):
            cookies = written(one, site_url=site_url)
            read = next_auth.get_token(cookies, secureCookie=secure)
            assert read, f"seed {SEED}, person {number}"
            assert claims_of(one).items() <= read.items(), f"seed {SEED}, person {number}"
        sizes[len(cookies)] += 1
    assert sizes == {1: 25, 2: 13, 3: 12}, f"seed {SEED}"


def test_random_next_auth_tokens_are_valid_sessions(next_auth: NextAuth, site: Site, people: list[Session]) -> None:
    visitor = site.new_visitor()
    for number, one in enumerate(people):
        token = next_auth.encode(claims_of(one), maxAge=MONTH)
        sent = cookie_header(*chunk_cookies(token)) if len(token) > CHUNK_SIZE else cookie_pair(token)
        response = visitor.get("/api/auth/session", headers={"Cookie": sent})
        assert response.json().get("user") == one.user.to_json(), f"seed {SEED}, person {number}"
        assert session_cookies(response) == {}, f"seed {SEED}, person {number}: issued anew without need"


def test_a_secret_rotation_keeps_sessions_valid_on_both_sides(next_auth: NextAuth, backend: ScriptedBackend) -> None:
    new = "a-newer-secret-of-the-two-9fK2xPq7"
    old_token = next_auth.encode(article(USER))
    with running_site(
        backend_url=backend.url, session_revalidate=0, secret_key=new, secret_key_fallbacks=SECRET
    ) as site:
        response = site.new_visitor().get("/api/auth/session", headers={"Cookie": cookie_pair(old_token)})
        assert response.json()["user"] == USER
        cookies = session_cookies(response)
        assert article(USER).items() <= next_auth.get_token(cookies, secret=new).items()
        assert next_auth.get_token(cookies) is None
        assert session(site, cookie_pair(cookies[COOKIE]))["user"] == USER
