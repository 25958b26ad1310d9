"""No request to NextAuth's routes causes a 5xx or a session."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient

from tests.support.forge import COOKIE
from tests.support.site import MINJI, Site, running_site

API = "/api/auth"
TAKING = ["session", "callback/email", "signin/email", "signout", "_log", "signin/github", "callback/apple"]
NOT_TAKING = ["callback/github", "signin", "signin/nobody", "csrf", "nothing"]
STATUSES = {200, 302, 303, 400, 401, 404, 405, 413, 415, 422}
GOOD: dict[str, Any] = {
    "email": MINJI,
    "password": "wrong",
    "callbackUrl": "/me",
    "json": "true",
    "data": {"nick_name": "민지"},
    "state": "x",
    "code": "CLIENT_FETCH_ERROR",
    "level": "error",
    "user": "{}",
}
LONG = "x" * 10_000
DEEP: Any = json.loads("[" * 30 + "]" * 30)
ODD_TEXTS = [
    "",
    LONG,
    "가" * 3333,
    "\x00",
    "\r\nSet-Cookie: x=1",
    "%00%zz%ff",
    "🏴‍☠️",
    "//evil.example",
    "https://[",
    "\\",
    "${7*7}{{7*7}}",
]
ODD_VALUES = [
    *ODD_TEXTS,
    "\ud800",
    None,
    True,
    0,
    -1,
    10**400,
    1e308,
    [],
    ["a"],
    {},
    {"a": 1},
    {"__proto__": {}},
    DEEP,
    [MINJI] * 1000,
]

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
KINDS = [
    *("", "x", "/", "text/plain", "text/html", "application/octet-stream", "application/json5", "application/x-json"),
    *("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x", f"{JSON}, {FORM}"),
    *(
        f"{JSON}; charset=utf-16",
        f"{JSON}; charset=x",
        f"{JSON};;;=",
        f"{FORM}; charset=utf-7",
        f"{FORM}; charset=\xff",
    ),
]
MALFORMED = [
    *b'|{|[|]|null|true|0|1e999|NaN|-|"|"x"|[]|{}|{]|{\'a\':1}|\xff\xfe|\x00|{"a":1,"a":2}|\xef\xbb\xbf{}'.split(b"|"),
    *b'{"csrfToken":1}|{"csrfToken":|csrfToken|csrfToken=%ff|csrfToken[]=x|;|--x\r\n\r\n--x--'.split(b"|"),
    *(b"[" * 60_000, b'{"a":' * 9_000, b'"' * 60_000, b"9" * 60_000),
    *(b"&" * 60_000, b"=" * 60_000, b"a=" * 20_000, b"%" * 60_000),
    *(b"x" * 65_537, b"x" * 1_000_000, b"{}" * 500_000),
]


@dataclass(frozen=True)
class Sender:
    """A client that sends requests: signed in, with a CSRF token, or without cookies."""

    client: FlaskClient
    cookies: str
    token: str

    def post(self, address: str, body: bytes, kind: str) -> Any:
        headers = {"Content-Type": kind, "Cookie": self.cookies}
        return self.client.post(f"{API}/{address}", data=body, headers=headers)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    github = {"github_client_id": "the-client", "github_client_secret": "the-secret"}
    apple = {"apple_client_id": "the-client", "apple_client_secret": "a.ready.one"}
    given: dict[str, Any] = {"providers": "github,apple", **github, **apple}
    with running_site(**given) as running:
        yield running


@pytest.fixture(params=["stranger", "visitor", "signed in"])
def sender(request: pytest.FixtureRequest, site: Site) -> Sender:
    client = site.app.test_client(use_cookies=False)
    if request.param == "stranger":
        return Sender(client, "", "")
    visitor = site.new_visitor()
    if request.param == "signed in":
        visitor.sign_in()
    token = visitor.csrf_token()
    return Sender(client, "; ".join(f"{one.name}={one.value}" for one in visitor.cookies), token)


def bodies(token: str) -> Iterator[tuple[str, bytes]]:
    """Yield content types and bodies; the readable ones contain the token."""
    for body in MALFORMED:
        yield from ((FORM, body), (JSON, body))
    whole = {**GOOD, "csrfToken": token}
    for kind in KINDS:
        yield from ((kind, body) for body in (urlencode(whole).encode(), json.dumps(whole).encode()))
    for odd in ODD_VALUES:
        for fields in (
            {**dict.fromkeys(GOOD, odd), "csrfToken": token},
            *({**whole, name: odd} for name in ("csrfToken", "email", "password", "callbackUrl", "json", "data")),
            {**whole, "data": {"name": odd, "nick_name": odd}},
        ):
            yield JSON, json.dumps(fields).encode()
    for odd in ODD_TEXTS:
        for pairs in (
            [("csrfToken", token), *dict.fromkeys(GOOD, odd).items()],
            [*whole.items(), *dict.fromkeys(whole, odd).items()],
            [*whole.items(), (odd, odd)],
            *({**whole, name: odd}.items() for name in whole),
        ):
            yield FORM, urlencode([*pairs]).encode()


@pytest.mark.parametrize("every", [61, pytest.param(1, marks=pytest.mark.corpus)])
@pytest.mark.parametrize("address", TAKING + NOT_TAKING)
def test_no_request_body_causes_a_5xx_or_a_session(sender: Sender, address: str, every: int) -> None:
    found = list(bodies(sender.token))
    updates = address == "session" and COOKIE in sender.cookies
    assert len(found) == 453
    for kind, body in found[::every]:
        response = sender.post(address, body, kind)
        what = f"{address}: {kind}: {body[:300]!r}"
        assert response.status_code in STATUSES, what
        assert updates or f"{COOKIE}=ey" not in str(response.headers), what
        if "/json" in response.content_type:
            assert response.json is not None, what


@pytest.mark.corpus
@pytest.mark.parametrize("address", ["signin", "signout", "error", "session", "csrf", "providers", "callback/github"])
def test_no_query_string_causes_a_5xx(sender: Sender, address: str) -> None:
    for odd in ODD_TEXTS:
        for query in (
            urlencode(dict.fromkeys([*GOOD, "error", "csrf", "csrfToken"], odd)),
            urlencode([("callbackUrl", odd), ("callbackUrl", "/me"), ("error", odd), ("error", "Callback")]),
            f"callbackUrl[]={quote(odd)}&error[x]={quote(odd)}&{quote(odd)}",
        ):
            response = sender.client.get(f"{API}/{address}?{query}", headers={"Cookie": sender.cookies})
            assert response.status_code in STATUSES, f"{address}: {query[:300]}"
            assert "evil.example" not in response.headers.get("Location", "").partition("?")[0]
