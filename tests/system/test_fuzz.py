"""Thousands of generated requests, the same ones in each run.

`FUZZ=100 pytest tests/system/test_fuzz.py` generates a hundred times as many, and different ones in each run.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

import app
from dev.backend import create_backend
from tests.support import site as sites
from tests.support.forge import COOKIE, cookie_pair, encrypt, make_claims, to_json
from tests.support.redirects import FORM, ORIGIN, RETURN_ADDRESSES, csrf_token, destination, resolve_as_browser, sign_in
from tests.support.scripted_provider import scripted_providers
from tests.support.site import serve_in_thread
from tests.support.social_backend import social_backend
from web import redirect_target

MORE = int(os.environ.get("FUZZ", "1"))
SOME = ("kakao", "google", "apple")
POSTS = (
    "/auth/login/email",
    "/auth/logout",
    "/api/auth/signin/email",
    "/api/auth/signin/kakao",
    "/api/auth/signin/nobody",
    "/api/auth/callback/email",
    "/api/auth/callback/apple",
    "/api/auth/signout",
    "/api/auth/session",
    "/api/auth/_log",
)
STATUSES = {200, 302, 303, 400, 401, 403, 404, 405, 413, 415, 422}
"""All statuses that the site may answer while its services work."""

Client = FlaskClient
Pairs = list[tuple[str, str]]


def examples(number: int) -> Callable[[Any], Any]:
    return settings(max_examples=number * MORE, derandomize=MORE == 1, deadline=None, database=None)


@pytest.fixture(scope="module")
def site() -> Iterator[Any]:
    """The site at the origin of `redirects.json`, with a stand-in backend and three providers."""
    with scripted_providers() as providers, social_backend(providers), serve_in_thread("127.0.0.1", _backend) as port:
        url = f"http://127.0.0.1:{port}"
        given = {name.lower(): value for name, value in providers.environ(*SOME).items()}
        yield app.create_app(sites.make_settings(site_url=ORIGIN, backend_url=url, session_revalidate=0, **given))


def _backend(_: int) -> Any:
    return create_backend()


@pytest.fixture(scope="module")
def signed_in(site: Any) -> Client:
    client: Client = site.test_client()
    sign_in(client, {})
    return client


@pytest.fixture(scope="module")
def anonymous(site: Any) -> Client:
    client: Client = site.test_client()
    return client


@pytest.fixture(scope="module")
def without_cookies(site: Any) -> Client:
    client: Client = site.test_client(use_cookies=False)
    return client


# --- Return addresses

PIECES = st.sampled_from(
    (
        *(
            "/",
            "\\",
            "//",
            "http:",
            "https:",
            "HTTP://",
            "localhost:5000",
            "localhost",
            "evil.example",
            "@",
            ":",
            ":80",
        ),
        *(".", "..", "%2e", "%2f", "%5c", "%00", "%0d%0a", "?", "#", "javascript:", "data:", ";"),
        *("&", "a", "[::1]", "ⓔ", "。", "＠", "／", "％2f", "한", "😀", "~"),
        *"\t\n\r\0 \u2028\u00a0\u200b\ufeff",
    )
)
BY_SHAPE = st.builds(
    "".join, st.tuples(st.sampled_from(["", ORIGIN, "/", ORIGIN + "/"]), st.lists(PIECES, max_size=12).map("".join))
)


@st.composite
def changed(draw: st.DrawFn, texts: st.SearchStrategy[str], pieces: st.SearchStrategy[str]) -> str:
    """Generate one of these texts, cut, extended or repeated in up to three places."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 6)))
        between = draw(st.one_of(pieces, st.just(text[start:end] * 2), st.just(text[start:end].swapcase())))
        text = text[:start] + between + text[end:]
    return text


SEGMENTS = st.sampled_from(("", "", ".", "..", "%2e", ".%2E", "a", "evil.example"))
BY_PATH = st.lists(SEGMENTS, min_size=2, max_size=7).map(lambda segments: "/".join(("", *segments)))
ADDRESSES = st.one_of(
    BY_SHAPE, BY_PATH, changed(st.sampled_from([entry["value"] for entry in RETURN_ADDRESSES]), PIECES), st.text()
)


@pytest.mark.corpus
@examples(700)
@given(address=ADDRESSES)
def test_no_generated_return_address_leads_off_the_site(site: Any, address: str) -> None:
    with site.app_context():
        location = redirect_target.validate(address) or f"{ORIGIN}/"
    url = resolve_as_browser(location)
    assert (url.origin, url.username, url.password) == (ORIGIN, "", "")
    assert not url.pathname.startswith("//")  # nor after another program removes the origin
    assert location.isascii()
    assert location.isprintable()


@examples(60)
@given(address=ADDRESSES)
@pytest.mark.corpus
def test_no_generated_return_address_of_a_sign_in_leads_off_the_site(signed_in: Client, address: str) -> None:
    response = sign_in(signed_in, {"callbackUrl": address})
    if response.status_code == 400:
        assert any("\ud800" <= char <= "\udfff" for char in address)  # not valid UTF-8
    else:
        assert resolve_as_browser(destination(response)).origin == ORIGIN


# --- Session cookies

CLAIMS = make_claims()
GOOD = encrypt(CLAIMS)
LONG = encrypt(make_claims(accessToken="t" * 3000))
VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=6)
WORDS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return inner | st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)


JSON_VALUES = nested(nested(WORDS))
NAMES = (
    "sub",
    "name",
    "email",
    "user",
    "accessToken",
    "provider",
    "sid",
    "auth_time",
    "checked_at",
    "renewed_at",
    "iat",
    "exp",
    "jti",
)


@st.composite
def in_pieces(draw: st.DrawFn, tokens: st.SearchStrategy[str]) -> str:
    """Generate a Cookie header with this token in numbered cookies, some missing, repeated or out of order."""
    text = draw(tokens)
    size = draw(st.integers(max(1, len(text) // 4), len(text) + 1))
    parts = [f"{COOKIE}.{n}={text[at : at + size]}" for n, at in enumerate(range(0, len(text), size))]
    return "; ".join(draw(st.lists(st.sampled_from(parts or [f"{COOKIE}.0="]), max_size=6)))


def who(client: Client, header: str) -> Any:
    response = client.get("/api/auth/session", headers={"Cookie": header})
    assert response.status_code == 200
    assert "next-auth.session-token=ey" not in str(response.headers)
    return (response.json or {}).get("user")


TOKENS = changed(st.sampled_from([GOOD, LONG]), VISIBLE)


@examples(400)
@given(header=st.one_of(TOKENS.map(cookie_pair), in_pieces(st.just(LONG)), in_pieces(TOKENS), VISIBLE.map(cookie_pair)))
@pytest.mark.corpus
def test_a_modified_cookie_is_the_same_user_or_no_session(without_cookies: Client, header: str) -> None:
    assert who(without_cookies, header) in (None, CLAIMS["user"])


@examples(150)
@given(strange=st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=3))
@pytest.mark.corpus
def test_generated_claims_never_become_another_user(without_cookies: Client, strange: dict[str, Any]) -> None:
    made = {**make_claims(), **strange}
    found = who(without_cookies, cookie_pair(encrypt(to_json(made).decode("utf-8", "replace").encode())))
    assert found is None or found["id"] == made["user"]["id"]


# --- Callbacks


@st.composite
def parameters(draw: st.DrawFn) -> Pairs:
    """Generate parameters; `<state>` stands for the state of a started sign-in."""
    names = st.sampled_from(["state", "code", "error", "iss", "user", "id_token", "access_token", "scope", ""])
    words = st.sampled_from(["<state>", "access_denied", "invalid_client", "https://accounts.google.com", "x" * 3000])
    return draw(st.lists(st.tuples(names | st.text(max_size=5), words | st.text(max_size=20)), max_size=6))


@pytest.mark.parametrize("name", SOME)
@examples(40)
@given(sent=parameters(), posted=st.booleans(), known=st.booleans())
@pytest.mark.corpus
def test_no_generated_callback_signs_anybody_in(site: Any, name: str, sent: Pairs, posted: bool, known: bool) -> None:
    client: Client = site.test_client()
    begun = client.post(f"/api/auth/signin/{name}", data={"csrfToken": csrf_token(client), "json": "true"})
    (state,) = parse_qs(urlsplit(begun.json["url"]).query)["state"]  # type: ignore[index]
    sent = ([("state", state), ("code", "made-up")] if known else []) + sent
    query = urlencode([(key, value.replace("<state>", state)) for key, value in sent])
    path = f"/api/auth/callback/{name}"
    asked = client.post(path, data=query, content_type=FORM) if posted else client.get(f"{path}?{query}")
    assert asked.status_code in {303, 400, 405}
    assert resolve_as_browser(asked.headers.get("Location", "/")).origin == ORIGIN
    assert client.get("/api/auth/session").json == {}


# --- Bodies

FIELDS = st.sampled_from(["email", "password", "callbackUrl", "json", "redirect", "data", "name", "code", "csrfToken"])
VALUES_OF_FIELDS = st.one_of(st.text(max_size=30), st.sampled_from(["true", "somebody@example.com", "\ud800", "\0"]))
KINDS = st.sampled_from(
    (
        FORM,
        f"{FORM}; charset=utf-7",
        "application/json; charset=utf-16",
        "APPLICATION/JSON",
        "text/plain",
        "multipart/form-data; boundary=x",
        "x" * 300,
        "",
    )
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """Generate a content type and a body; `<token>` stands for a valid CSRF token."""
    names = FIELDS | st.text(max_size=6)
    if draw(st.booleans()):
        whole: Any = draw(st.dictionaries(names, JSON_VALUES | VALUES_OF_FIELDS, max_size=5))
        whole = draw(st.sampled_from([{**whole, "csrfToken": "<token>"}, whole]))
        return "application/json", json.dumps(whole).encode()
    if draw(st.booleans()):
        pairs = [("csrfToken", "<token>"), *draw(st.lists(st.tuples(names, VALUES_OF_FIELDS), max_size=5))]
        return FORM, urlencode(pairs, errors="surrogatepass").replace("%3Ctoken%3E", "<token>").encode()
    return draw(KINDS), draw(st.binary(max_size=60) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))


@pytest.mark.parametrize("path", POSTS)
@examples(50)
@given(body=bodies(), accept=st.sampled_from(["*/*", "application/json", "text/html", ""]))
@pytest.mark.corpus
def test_no_generated_body_causes_an_error_or_signs_anybody_in(
    anonymous: Client, path: str, body: tuple[str, bytes], accept: str
) -> None:
    kind, sent = body
    sent = sent.replace(b"<token>", csrf_token(anonymous).encode())
    response = anonymous.post(path, data=sent, content_type=kind, headers={"Accept": accept})
    assert response.status_code in STATUSES, response.text
    assert anonymous.get("/api/auth/session").json == {}


@pytest.mark.parametrize("path", ["/account", "/api/auth/session"])
@examples(100)
@given(body=bodies())
@pytest.mark.corpus
def test_no_generated_update_changes_the_user_id_or_address(
    site: Any, signed_in: Client, path: str, body: tuple[str, bytes]
) -> None:
    kind, sent = body
    sent = sent.replace(b"<token>", csrf_token(signed_in).encode())
    assert signed_in.post(path, data=sent, content_type=kind).status_code in STATUSES
    user = signed_in.get("/api/auth/session").json["user"]  # type: ignore[index]
    assert (user["id"], user["email"]) == (1, "minji@example.com")
