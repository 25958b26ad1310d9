"""The session cookie: which cookies are a session, which are not, and which the site sets.

The cookies come from `support/forge.py`, which shares no code with the site. `SessionCookie.read` judges each of
them, and some of each kind are sent to a running site.
"""

import json
import os
import random
import re
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
import requests
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from flask.sessions import SecureCookieSessionInterface

from services.clock import Clock
from services.sessions.cookie import ReadResult, SessionCookie
from tests.support.forge import (
    CHUNK_SIZE,
    CIPHERTEXT,
    COOKIE,
    DAY,
    IV,
    MONTH,
    OMITTED,
    TAG,
    USER,
    chunk_cookies,
    claims_json,
    cookie_header,
    cookie_pair,
    decrypt,
    derive_session_key,
    encrypt,
    encrypt_cbc,
    encrypt_compressed,
    encrypt_with_wrapped_key,
    flip_bit,
    get_part,
    hkdf,
    make_claims,
    make_claims_aged,
    replace_part,
    sign_jws,
    to_json,
    token_of_length,
)
from tests.support.scripted import ScriptedBackend, scripted_backend
from tests.support.site import MINJI, SECRET, Page, Site, SiteMaker, Visitor, cookie_names, running_site, set_cookies
from tests.support.tables import sample_rows

SLOWEST = 0.25
"""Seconds for the answer to any cookie."""
OLD_SECRET = "an-older-secret-0f-this-very-site-8Zq"
OTHER_SECRET = "somebody-elses-secret-1aB2cD3eF4gH5"
MAX_AGE, ABSOLUTE_AGE = MONTH, 90 * DAY

_THEN = int(time.time())
GOOD = encrypt(make_claims(iat=_THEN))
OTHER = encrypt(make_claims(iat=_THEN, user={**USER, "id": 8}))
NEWER = encrypt(make_claims(iat=_THEN + 10, user={**USER, "id": 9}))
EXPIRED = encrypt(make_claims(iat=_THEN - 3600, exp=_THEN - 1800))
TWO = chunk_cookies(token_of_length(2 * CHUNK_SIZE - 9, iat=_THEN))
THREE = chunk_cookies(token_of_length(3 * CHUNK_SIZE - 9, iat=_THEN + 1))
BEARER_OF_3_KB = encrypt(make_claims(accessToken="t" * 3072))
NOW = int(time.time())


# --- Valid sessions: a Cookie header, and the claims of the user who is signed in


def good(**given: Any) -> tuple[str, dict[str, Any]]:
    made = make_claims(**given)
    return cookie_pair(encrypt(made)), made


def of(header: str, token: str) -> tuple[str, dict[str, Any]]:
    return header, decrypt(token)


def tokens_of(pieces: list[str]) -> str:
    return "".join(piece.partition("=")[2] for piece in pieces)


SESSIONS = {
    "valid: as next-auth makes it": good(),
    "valid: a name of astral characters": good(user={**USER, "name": "😀 𠮷野家", "nick_name": None}),
    "valid: a name with HTML in it": good(user={**USER, "nick_name": '"><svg/onload=alert(1)>{{7*7}}'}),
    "valid: no names at all": good(user={"id": 9}),
    "valid: an id of text": good(user={**USER, "id": "0b1f6a52-7c1e-4f0e-9a57-0a4f7f1d2c3b"}),
    "valid: two chunks": of(cookie_header(*TWO), tokens_of(TWO)),
    "valid: three full chunks": of(cookie_header(*THREE), tokens_of(THREE)),
    "valid: chunks in another order": of(cookie_header(*reversed(THREE)), tokens_of(THREE)),
    "valid: a bearer of 3 KB": of(cookie_header(*chunk_cookies(BEARER_OF_3_KB)), BEARER_OF_3_KB),
    "valid: among cookies of others": of(cookie_header("a=b", cookie_pair(GOOD), "_ga=GA1.1", "x"), GOOD),
    "valid: among two hundred cookies of others": of(
        cookie_header(*(f"c{n}={'x' * 95}" for n in range(200)), cookie_pair(GOOD)), GOOD
    ),
    "chunks: cut at other places": of(cookie_header(*chunk_cookies(GOOD, 200)), GOOD),
    "chunks: a single one": of(cookie_header(cookie_pair(GOOD, f"{COOKIE}.0")), GOOD),
    "chunks: the whole one goes before stale ones": of(cookie_header(*TWO, cookie_pair(GOOD)), GOOD),
    "chunks: empty ones beside the whole one": of(
        cookie_header(f"{COOKIE}.0=", cookie_pair(GOOD), f"{COOKIE}.1="), GOOD
    ),
    "chunks: an empty one at the end": of(cookie_header(*TWO, f"{COOKIE}.2="), tokens_of(TWO)),
    "duplicate: the first counts": of(cookie_header(cookie_pair(GOOD), cookie_pair(OTHER)), GOOD),
    "duplicate: the first counts, the other way round": of(cookie_header(cookie_pair(OTHER), cookie_pair(GOOD)), OTHER),
    "duplicate: a good one before a bad one": of(cookie_header(cookie_pair(GOOD), cookie_pair("x")), GOOD),
    "duplicate: a good chunk before a bad one": of(cookie_header(*TWO, f"{COOKIE}.0=x"), tokens_of(TWO)),
    "duplicate: a bad one before a good one": of(cookie_header(cookie_pair("x"), cookie_pair(GOOD)), GOOD),
    "duplicate: one of another key before a good one": of(
        cookie_header(cookie_pair(encrypt(make_claims(), derive_session_key(OTHER_SECRET))), cookie_pair(GOOD)), GOOD
    ),
    "duplicate: an expired one before a good one": of(cookie_header(cookie_pair(EXPIRED), cookie_pair(GOOD)), GOOD),
    "duplicate: ten stale ones before a good one": of(
        cookie_header(*(cookie_pair(f"x{n}") for n in range(10)), cookie_pair(GOOD), cookie_pair("y")), GOOD
    ),
    "duplicate: the latest sign-in counts": of(cookie_header(cookie_pair(GOOD), cookie_pair(NEWER)), NEWER),
    "duplicate: the latest sign-in counts, sent first": of(cookie_header(cookie_pair(NEWER), cookie_pair(GOOD)), NEWER),
    "chunks: a stale one more": of(cookie_header(*TWO, THREE[2]), tokens_of(TWO)),
    "chunks: a stale fourth": of(cookie_header(*THREE, f"{COOKIE}.3=x"), tokens_of(THREE)),
    "chunks: a stale one far off": of(cookie_header(*THREE, f"{COOKIE}.9=x"), tokens_of(THREE)),
    "chunks: a bad whole one beside good chunks": of(cookie_header(*TWO, cookie_pair("x")), tokens_of(TWO)),
    "chunks: an empty whole one beside good chunks": of(cookie_header(*TWO, cookie_pair("")), tokens_of(TWO)),
    "chunks: a bad chunk before a good one": of(cookie_header(f"{COOKIE}.0=x", *TWO), tokens_of(TWO)),
    "chunks: a stale chunk before each good one": of(
        cookie_header(TWO[0], THREE[0], TWO[1], THREE[1], THREE[2]), tokens_of(THREE)
    ),
    "chunks: stale ones after each good one": of(
        cookie_header(*THREE, f"{COOKIE}.0=x", f"{COOKIE}.1=y", f"{COOKIE}.2=z"), tokens_of(THREE)
    ),
    "chunks: stale ones beside a good whole one": of(
        cookie_header(*(f"{COOKIE}.{n}=x" for n in range(10)), cookie_pair(GOOD)), GOOD
    ),
    "shape: in quotes, which RFC 6265 allows around a value": of(cookie_pair(f'"{GOOD}"'), GOOD),
    "shape: as RFC 2109 once wanted it": of(f'$Version=1; {cookie_pair(f"{GOOD}")}; $Path="/"', GOOD),
    "time: issued by a clock an hour ahead": good(iat=NOW + 3600, exp=NOW + MONTH),
    "time: begun": good(nbf=NOW - 1),
    "content: further claims": good(picture=None, role=["admin"], provider={"x": 1}),
    "content: a sid and provider that are no words": good(sid="a b", provider=7),
}


# --- Invalid ones: Cookie headers of each kind of attack


def parts(token: str) -> list[str]:
    return token.split(".")


TAMPERED = {
    "first bit of the iv": flip_bit(GOOD, IV, 0),
    "last bit of the iv": flip_bit(GOOD, IV, -1),
    "first bit of the ciphertext": flip_bit(GOOD, CIPHERTEXT, 0),
    "last bit of the ciphertext": flip_bit(GOOD, CIPHERTEXT, -1),
    "first bit of the tag": flip_bit(GOOD, TAG, 0),
    "last bit of the tag": flip_bit(GOOD, TAG, -1),
    "tag and ciphertext of two tokens": replace_part(GOOD, TAG, get_part(OTHER, TAG)),
    "iv of another token": replace_part(GOOD, IV, get_part(OTHER, IV)),
    "ciphertext of another token": replace_part(GOOD, CIPHERTEXT, get_part(OTHER, CIPHERTEXT)),
    "no ciphertext": encrypt(b""),
    "ciphertext cut": replace_part(GOOD, CIPHERTEXT, get_part(GOOD, CIPHERTEXT)[:-1]),
    "ciphertext longer": replace_part(GOOD, CIPHERTEXT, get_part(GOOD, CIPHERTEXT) + b"\0"),
    **{f"tag of {n} bytes": replace_part(GOOD, TAG, get_part(GOOD, TAG)[:n]) for n in (0, 1, 4, 8, 12, 15)},
    "tag of 17 bytes": replace_part(GOOD, TAG, get_part(GOOD, TAG) + b"\0"),
    **{f"iv of {n} bytes": replace_part(GOOD, IV, get_part(GOOD, IV)[:n]) for n in (0, 1, 8, 11)},
    **{f"iv of {n} bytes that opens": encrypt(make_claims(), iv=os.urandom(n)) for n in (8, 11, 16)},
    "base64 with its padding": f"{GOOD}==",
    "base64 with padding inside": replace_part(GOOD, IV, parts(GOOD)[IV] + "="),
    "base64 in the standard alphabet": encrypt(make_claims(padding="???>>>"), iv=b"\xfb\xff" * 6).replace("-", "+", 1),
    "base64 of impossible length": f"{GOOD}AAA",
    "base64 with junk inside": replace_part(GOOD, CIPHERTEXT, parts(GOOD)[CIPHERTEXT][:8] + "!" + parts(GOOD)[3][8:]),
    "base64 with a space inside": replace_part(
        GOOD, CIPHERTEXT, parts(GOOD)[CIPHERTEXT][:8] + " " + parts(GOOD)[3][8:]
    ),
    "base64 with a bit to spare set": f"{GOOD[:-1]}{chr(ord(GOOD[-1]) + 1)}",
}
SHAPES = {
    "empty": "",
    "one dot": ".",
    "four dots": "....",
    "five dots": ".....",
    "a word": "x",
    "two parts": "a.b",
    "four parts": ".".join(parts(GOOD)[:4]),
    "six parts": f"{GOOD}.{parts(GOOD)[IV]}",
    "an empty sixth part": f"{GOOD}.",
    "200 parts": ".".join("a" * 200),
    "null": "null",
    "undefined": "undefined",
    "an object": "{}",
    "a percent-encoded zero": "%00",
    "percent-encoded dots": GOOD.replace(".", "%2E"),
    "a raw zero": f"{GOOD}\0",
    "very long": "A" * 40_000,
    "very long, in the right form": f"{parts(GOOD)[0]}..{'A' * 16}.{'A' * 40_000}.{'A' * 22}",
    "not ASCII": "세션",
    "not UTF-8": "\udcff\udcfe",
    "an empty pair of quotes": '""',
    "an octal escape": r'"\145yJ"',
    "the header alone": parts(GOOD)[0],
    "the header and dots": f"{parts(GOOD)[0]}....",
    "JSON serialisation": json.dumps({"protected": parts(GOOD)[0], "iv": parts(GOOD)[2], "tag": parts(GOOD)[4]}),
    "an encrypted key": encrypt(make_claims(), encrypted_key=b"k" * 40),
    "an encrypted key of one letter": replace_part(GOOD, 1, "A"),
    "two tokens": f"{GOOD},{OTHER}",
    "a bearer": f"Bearer {GOOD}",
}
V5_PURPOSE = f"Auth.js Generated Encryption Key ({COOKIE})"
STATE = {"value": "t3ij", "provider": "kakao", "iat": NOW, "exp": NOW + 900, "jti": "1"}
KEYS = {
    "another secret": encrypt(make_claims(), derive_session_key(OTHER_SECRET)),
    "the secret in capitals": encrypt(make_claims(), derive_session_key(SECRET.upper())),
    "the plain hash of the secret": encrypt(make_claims(), sha256(SECRET.encode()).digest()),
    "the first bytes of the secret": encrypt(make_claims(), SECRET.encode()[:32]),
    "zeros": encrypt(make_claims(), bytes(32)),
    "an empty secret": encrypt(make_claims(), derive_session_key("")),
    "half the key": encrypt(make_claims(), derive_session_key()[:16]),
    "Auth.js v5's key": encrypt(make_claims(), hkdf(SECRET, COOKIE, V5_PURPOSE, 32)),
    "an Auth.js v5 token": encrypt_cbc(
        make_claims(),
        hkdf(SECRET, COOKIE, V5_PURPOSE, 64),
        "A256CBC-HS512",
        hashes.SHA512(),
    ),
    "a state cookie": encrypt(STATE, derive_session_key(salt="next-auth.state")),
    "a session under the key of state cookies": encrypt(make_claims(), derive_session_key(salt="next-auth.state")),
    "a session salted with its own name": encrypt(make_claims(), derive_session_key(salt=COOKIE)),
    "a state payload under the key of sessions": encrypt(STATE),
}


def headed(header: str, key: bytes | None = None) -> str:
    return encrypt(make_claims(), key, header)


HEADERS = {
    "members in another order": headed('{"enc":"A256GCM","alg":"dir"}'),
    "a space": headed('{"alg":"dir", "enc":"A256GCM"}'),
    "a further member": headed('{"alg":"dir","enc":"A256GCM","kid":"1"}'),
    "a type": headed('{"typ":"JWT","alg":"dir","enc":"A256GCM"}'),
    "a member twice": headed('{"alg":"none","alg":"dir","enc":"A256GCM"}'),
    "no alg": headed('{"enc":"A256GCM"}'),
    "no enc": headed('{"alg":"dir"}'),
    "alg none": headed('{"alg":"none","enc":"A256GCM"}'),
    "alg an integer": headed('{"alg":1,"enc":"A256GCM"}'),
    "alg a list": headed('{"alg":["dir"],"enc":"A256GCM"}'),
    "alg null": headed('{"alg":null,"enc":"A256GCM"}'),
    "alg in capitals": headed('{"alg":"DIR","enc":"A256GCM"}'),
    "enc none": headed('{"alg":"dir","enc":"none"}'),
    "enc a list": headed('{"alg":"dir","enc":["A256GCM"]}'),
    "A128GCM": headed('{"alg":"dir","enc":"A128GCM"}', derive_session_key()[:16]),
    "A192GCM": headed('{"alg":"dir","enc":"A192GCM"}', derive_session_key()[:24]),
    "A256KW under the same key": encrypt_with_wrapped_key(make_claims()),
    "RSA1_5": encrypt(make_claims(), header='{"alg":"RSA1_5","enc":"A256GCM"}', encrypted_key=os.urandom(256)),
    "CBC under the same key": encrypt_cbc(make_claims(), derive_session_key(), "A128CBC-HS256", hashes.SHA256()),
    "PBES2 of a billion rounds": encrypt(
        make_claims(),
        header='{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483648,"p2s":"AAAAAAAAAAA"}',
        encrypted_key=os.urandom(24),
    ),
    "crit": headed('{"alg":"dir","enc":"A256GCM","crit":["exp"],"exp":4102444800}'),
    "jku": headed('{"alg":"dir","enc":"A256GCM","jku":"http://127.0.0.1:1/keys"}'),
    "jwk": headed('{"alg":"dir","enc":"A256GCM","jwk":{"kty":"oct","k":"AAAA"}}'),
    "not JSON": headed("alg=dir"),
    "an array": headed('["dir","A256GCM"]'),
    "empty": headed(""),
    "nested deeply": headed('{"alg":"dir","enc":"A256GCM","x":' + "[" * 1000 + "]" * 1000 + "}"),
    "with base64 padding": GOOD.replace(".", "=.", 1),
    "a signed token, alg none": sign_jws(make_claims(), "none"),
    "a signed token, HS256": sign_jws(make_claims(), "HS256"),
    "zip, small": encrypt_compressed(make_claims()),
    "zip, a bomb": encrypt_compressed(to_json(make_claims(padding="x" * 3_000_000))),
    "zip without payload": encrypt(b"", header='{"alg":"dir","enc":"A256GCM","zip":"DEF"}'),
}
FUTURE = NOW + MONTH
TIMES: dict[str, Any] = {
    "expired an hour ago": {"exp": NOW - 3600},
    "expired 30 s ago": {"exp": NOW - 30},
    "expired 5 s ago": {"exp": NOW - 5},
    "no exp": {"exp": OMITTED},
    "exp a string": {"exp": str(FUTURE)},
    "exp null": {"exp": None},
    "exp true": {"exp": True},
    "exp a list": {"exp": [FUTURE]},
    "exp an object": {"exp": {"$gt": 0}},
    "exp negative": {"exp": -FUTURE},
    "exp zero": {"exp": 0},
    "exp a fraction": {"exp": FUTURE + 0.5},
    "exp a whole float": {"exp": float(FUTURE)},
    "exp in milliseconds of microseconds": {"exp": FUTURE * 10**9},
    "not yet begun": {"nbf": NOW + 3600},
    "nbf a string": {"nbf": "0"},
    "nbf null": {"nbf": None},
    "no iat": {"iat": OMITTED},
    "iat a string": {"iat": str(NOW)},
    "iat null": {"iat": None},
    "iat negative": {"iat": -1},
    "issued longer ago than a session may last": {"iat": NOW - ABSOLUTE_AGE - 1},
    "signed in longer ago than a session may last": {"auth_time": NOW - ABSOLUTE_AGE - 1},
    "auth_time a string": {"auth_time": str(NOW)},
    "auth_time null": {"auth_time": None},
    "checked_at a string": {"checked_at": "never"},
}
SPELLED_TIMES = {
    f"exp {text[:6]}": claims_json(exp=text) for text in ("1e400", "-1e400", "NaN", "Infinity", "9" * 4400)
}
USERS: dict[str, Any] = {
    "null": None,
    "left out": OMITTED,
    "a string": "7",
    "a number": 7,
    "a list": [USER],
    "empty": {},
    "without id": {"name": "Someone", "email": "someone@example.com"},
}
IDS: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "a list": [7],
    "an object": {"id": 7},
    "empty": "",
    "spaces": " ",
    "zero": 0,
    "negative": -7,
    "a fraction": 7.5,
    "10 to the 255th": 10**255,
    "with a line break": "7\n8",
    "with a zero": "7\0",
    "of 300 characters": "7" * 300,
}
BEARERS: dict[str, Any] = {
    "left out": OMITTED,
    "null": None,
    "a number": 7,
    "true": True,
    "a list": ["t"],
    "an object": {"plainTextToken": "t"},
    "empty": "",
    "with a line break": "t\r\nX-Evil: 1",
    "with a zero": "t\0",
    "with a space": "t t",
    "not ASCII": "토큰",
    "of 64 KB": "t" * 8000,
}
PAYLOADS = {
    "not JSON": b"name=hong",
    "an array": to_json([make_claims()]),
    "a string": to_json("claims"),
    "null": b"null",
    "a number": b"7",
    "an empty object": b"{}",
    "two objects": to_json(make_claims()) * 2,
    "bad UTF-8": to_json(make_claims(padding="@")).replace(b"@", b"\xff\xfe"),
    "a raw surrogate": to_json(make_claims(padding="@")).replace(b"@", b"\xed\xa0\x80"),
    "UTF-16": to_json(make_claims()).decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + to_json(make_claims()),
    "1200 levels": claims_json(padding="[" * 1200 + "]" * 1200),
    "a hundred thousand brackets": b"[" * 8000,
    "a comma too many": to_json(make_claims())[:-1] + b",}",
}


def numbered(*numbers: int | str, value: str = "x") -> list[str]:
    return [f"{COOKIE}.{number}={value}" for number in numbers]


def renamed(pieces: list[str], *numbers: int | str) -> str:
    """Return these chunks with other numbers."""
    values = [piece.partition("=")[2] for piece in pieces]
    return cookie_header(*(f"{COOKIE}.{number}={value}" for number, value in zip(numbers, values, strict=True)))


CHUNKS = {
    "the first is missing": cookie_header(*THREE[1:]),
    "the middle one is missing": cookie_header(THREE[0], THREE[2]),
    "the last is missing": cookie_header(*THREE[:-1]),
    "contents swapped": renamed(TWO, 1, 0),
    "contents turned round": renamed(THREE, 1, 2, 0),
    "a gap in the numbers": renamed(TWO, 0, 2),
    "counted from one": renamed(TWO, 1, 2),
    "of two tokens": cookie_header(TWO[0], THREE[1]),
    "empty ones": cookie_header(*numbered(0, 1, value="")),
    "one empty one": cookie_header(*numbered(0, value="")),
    "four": cookie_header(*chunk_cookies(token_of_length(12_000))),
    "fifty": cookie_header(*numbered(*range(50))),
    "fifty of a good token": cookie_header(*chunk_cookies(GOOD, -(-len(GOOD) // 50))),
    "of one letter, ten of them": cookie_header(*(f"{COOKIE}.{n}={letter}" for n, letter in enumerate(GOOD[:10]))),
    "a whole one that no browser would keep": cookie_pair(token_of_length(5000)),
}


def alone(**tables: dict[str, str]) -> Iterator[tuple[str, str]]:
    for kind, table in tables.items():
        for name, token in table.items():
            yield f"{kind}: {name}", cookie_pair(token)


ANONYMOUS = dict(
    alone(
        shape=SHAPES,
        tampering=TAMPERED,
        keys=KEYS,
        header=HEADERS,
        time={name: encrypt(make_claims(**given)) for name, given in TIMES.items()}
        | {name: encrypt(text) for name, text in SPELLED_TIMES.items()},
        content={name: encrypt(payload) for name, payload in PAYLOADS.items()}
        | {f"user {name}": encrypt(make_claims(user=user)) for name, user in USERS.items()}
        | {f"id {name}": encrypt(make_claims(user={**USER, "id": value})) for name, value in IDS.items()}
        | {f"bearer {name}": encrypt(make_claims(accessToken=value)) for name, value in BEARERS.items()},
    )
) | {f"chunks: {name}": header for name, header in CHUNKS.items()}

LOOK_ALIKES = {
    "a letter more": f"{COOKIE}X",
    "a letter more, after a dot": f"{COOKIE}.x",
    "a dot": f"{COOKIE}.",
    "a negative number": f"{COOKIE}.-1",
    "a signed number": f"{COOKIE}.+0",
    "an Arabic digit": f"{COOKIE}.\N{ARABIC-INDIC DIGIT ZERO}",
    "a full-width digit": f"{COOKIE}.\N{FULLWIDTH DIGIT ZERO}",
    "a superscript digit": f"{COOKIE}.\N{SUPERSCRIPT TWO}",
    "two digits": f"{COOKIE}.00",
    "eleven digits": f"{COOKIE}.99999999999",
    "4400 digits": f"{COOKIE}.{'9' * 4400}",
    "a fraction": f"{COOKIE}.0.0",
    "a longer name": f"{COOKIE}-of-another-app",
    "something before": f"x-{COOKIE}",
    "the name on https": f"__Secure-{COOKIE}",
    "a prefix that it never has": f"__Host-{COOKIE}",
    "a prefix behind an odd space": f"\u2000{COOKIE}",
    "capitals": COOKIE.title(),
    "Auth.js v5's name": "authjs.session-token",
    "no name": f"={COOKIE}",
}


# --- The site that gets all of these


@pytest.fixture(scope="module")
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture(scope="module")
def gate(backend: ScriptedBackend) -> Iterator[Site]:
    """A site that never checks sessions with the backend."""
    with running_site(backend_url=backend.url, session_revalidate=0) as running:
        yield running


def ask(site: Site, path: str, cookies: str = "", **fields: str) -> requests.Response:
    """Send one request with this Cookie header only; with fields, a form."""
    headers = {"Cookie": cookies.encode("utf-8", "surrogateescape")} if cookies else {}
    visitor = site.new_visitor()
    if fields:
        return visitor.post(path, data=fields, headers=headers)
    return visitor.get(path, headers=headers)


@pytest.fixture
def door(backend: ScriptedBackend) -> Iterator[Site]:
    """The same site for sign-outs, which revoke a session in every copy."""
    with running_site(backend_url=backend.url, session_revalidate=0) as running:
        yield running


@pytest.fixture(scope="module")
def form(gate: Site) -> tuple[str, str]:
    """Return the visitor cookie of a browser that has opened a form, and the CSRF token in it."""
    visitor = gate.new_visitor()
    token = visitor.csrf_token()
    return cookie_pair(str(visitor.cookies["munjigi.visitor"]), "munjigi.visitor"), token


READ = ("/account", "/api/auth/session", "/auth/login/email")


def read(site: Site, path: str, cookies: str = "") -> requests.Response:
    """Read a page fast enough: three slow answers in a row are due to the cookie, not to the machine."""
    for _ in range(3):
        response = ask(site, path, cookies)
        if response.elapsed.total_seconds() < SLOWEST:
            return response
    pytest.fail(f"{path} takes {response.elapsed}")


def sign_out(site: Site, form: tuple[str, str], cookies: str = "") -> requests.Response:
    visitor_cookie, token = form
    return ask(site, "/auth/logout", cookie_header(*filter(None, (cookies, visitor_cookie))), csrfToken=token)


def seen(response: requests.Response, *, has_expired: bool = False) -> object:
    """Return all of an answer except its random parts and its session cookies.

    has_expired: the session has, so that the way to the sign-in page says so, which is left out too.
    """
    random_values = [
        response.headers.get("X-Request-Id"),
        *re.findall(r'name="csrfToken"[^>]*value="([^"]*)"', response.text),
    ]
    text = response.text
    for value in filter(None, random_values):
        text = text.replace(value, "RANDOM")
    headers = {name: value for name, value in response.headers.items() if name not in _CHANGING}
    if has_expired:
        text = text.replace("error=SessionExpired&amp;", "")
        headers = {name: value.replace("error=SessionExpired&", "") for name, value in headers.items()}
    return response.status_code, headers, text, {name for name in cookie_names(response) if COOKIE not in name}


_CHANGING = ("Date", "X-Request-Id", "Set-Cookie", "Content-Length")


def cleared(response: requests.Response) -> set[str]:
    """Return the names of the session cookies that this answer deletes; it must set none."""
    lines = [line.split("; ") for line in set_cookies(response) if COOKIE in line]
    for pair, *attributes in lines:
        assert pair.endswith("=")
        assert {"Max-Age=0", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(attributes)
    return {pair[:-1] for pair, *_ in lines}


def brought(cookies: str) -> set[str]:
    """Return the names of the session cookies in a Cookie header."""
    names = (piece.partition("=")[0] for piece in cookies.split("; "))
    return {name for name in names if re.fullmatch(rf"{re.escape(COOKIE)}(\.[0-9])?", name)}


@pytest.fixture(scope="module")
def nobody(gate: Site, form: tuple[str, str]) -> dict[str, object]:
    """Return the answers that a visitor without cookies gets."""
    answers = {path: seen(read(gate, path)) for path in READ}
    return {**answers, "/auth/logout": seen(sign_out(gate, form))}


def opened(gate: Site, cookies: str) -> ReadResult:
    """Return what `SessionCookie.read` finds in this Cookie header, decoded as by the server."""
    header = cookies.encode("utf-8", "surrogateescape").decode("latin-1")
    return SessionCookie(gate.app.extensions["munjigi"].settings, Clock()).read(header)


@pytest.mark.parametrize("row", SESSIONS)
def test_a_valid_cookie_is_read_as_its_session(gate: Site, row: str) -> None:
    cookies, told = SESSIONS[row]
    found = opened(gate, cookies)
    assert found.session
    assert found.session.user.to_json() == {"name": None, "nick_name": None, "email": None, **told["user"]}
    assert found.session.access_token == told["accessToken"]
    assert found.session.expires_at == told["exp"]
    assert found.copies[0].uses_current_key
    assert set(found.names) == brought(cookies)


@pytest.mark.parametrize("row", ANONYMOUS)
def test_an_invalid_cookie_is_read_as_no_session(gate: Site, row: str) -> None:
    found = opened(gate, ANONYMOUS[row])
    assert found.session is None
    assert set(found.names) == brought(ANONYMOUS[row]) != set()


def test_a_session_at_its_absolute_age_is_not_even_looked_up_as_used(gate: Site) -> None:
    """Whatever use another process has recorded, perhaps under a longer `SESSION_ABSOLUTE_AGE`."""
    aged = {age: opened(gate, cookie_pair(encrypt(make_claims_aged(age)))) for age in (MONTH + 5, ABSOLUTE_AGE + 5)}
    assert [len(result.idle_copies) for result in aged.values()] == [1, 0]
    assert not any(result.copies for result in aged.values())


@pytest.mark.parametrize("row", LOOK_ALIKES)
def test_a_cookie_with_a_similar_name_is_not_read(gate: Site, row: str) -> None:
    assert opened(gate, cookie_pair(GOOD, LOOK_ALIKES[row])) == ReadResult(())
    both = opened(
        gate, cookie_header(cookie_pair(OTHER, LOOK_ALIKES[row]), cookie_pair(GOOD), cookie_pair("x", LOOK_ALIKES[row]))
    )
    assert both.session
    assert both.session.user.to_json() == USER
    assert both.names == (COOKIE,)


@pytest.mark.parametrize("row", sample_rows(SESSIONS))
def test_a_valid_cookie_signs_its_user_in(
    gate: Site, door: Site, backend: ScriptedBackend, form: tuple[str, str], row: str
) -> None:
    cookies, told = SESSIONS[row]
    user = {"name": None, "nick_name": None, "email": None, **told["user"]}
    account, session, login = (read(gate, path, cookies) for path in READ)
    page = Page(account)
    assert page.status == 200
    shown = [page.input_value("name") or None, page.input_value("nick_name") or None, *page.texts("dl//dd")]
    assert shown == [user["name"], user["nick_name"], *filter(None, (user["email"], str(user["id"])))]
    assert session.json()["user"] == user
    assert (login.status_code, login.headers["Location"]) == (303, f"{gate.url}/")
    assert not {name for answer in (account, session, login) for name in cookie_names(answer) if COOKIE in name}
    calls = len(backend.calls)
    out = sign_out(door, form, cookies)
    assert out.status_code == 303
    assert cleared(out) == brought(cookies)
    assert backend.calls[calls] == ("POST", "/logout", f"Bearer {told['accessToken']}")


KINDS = sorted({row.partition(":")[0] for row in ANONYMOUS})


@pytest.mark.parametrize(
    "row", [one for kind in KINDS for one in sample_rows(row for row in ANONYMOUS if row.startswith(kind))]
)
def test_an_invalid_cookie_is_no_session_and_is_deleted(
    gate: Site, backend: ScriptedBackend, form: tuple[str, str], nobody: dict[str, object], row: str
) -> None:
    cookies = ANONYMOUS[row]
    calls = len(backend.calls)
    has_expired = row.startswith("time: exp")
    for path in READ:
        response = read(gate, path, cookies)
        assert seen(response, has_expired=has_expired) == nobody[path]
        assert cleared(response) == brought(cookies) != set()
    response = sign_out(gate, form, cookies)
    assert seen(response) == nobody["/auth/logout"]
    assert cleared(response) == brought(cookies)
    assert len(backend.calls) == calls, "the backend was told of a token that is none"


@pytest.mark.parametrize("row", sample_rows(LOOK_ALIKES))
def test_a_cookie_with_a_similar_name_is_left_alone(gate: Site, nobody: dict[str, object], row: str) -> None:
    name = LOOK_ALIKES[row]
    for path in READ:
        response = read(gate, path, cookie_pair(GOOD, name))
        assert seen(response) == nobody[path]
        assert not cleared(response)
    both = read(
        gate, "/api/auth/session", cookie_header(cookie_pair(OTHER, name), cookie_pair(GOOD), cookie_pair("x", name))
    )
    assert both.json()["user"] == USER
    assert not set_cookies(both)


def test_the_session_and_visitor_cookies_cannot_be_swapped(gate: Site, form: tuple[str, str]) -> None:
    visitor_cookie, token = form
    response = ask(gate, "/api/auth/session", cookie_pair(visitor_cookie.partition("=")[2]))
    assert response.json() == {}
    assert cleared(response) == {COOKIE}
    swapped = cookie_header(cookie_pair(GOOD), cookie_pair(GOOD, "munjigi.visitor"))
    assert ask(gate, "/auth/logout", swapped, csrfToken=token).status_code == 400


def test_the_visitor_cookie_cannot_sign_a_user_in(gate: Site) -> None:
    """Even with a valid signature, and with every key that Flask-Login uses."""
    flask_login = {"_user_id": "7", "_fresh": True, "_id": "x", "_remember": "set"}
    visitor = cookie_pair(str(signer(gate).dumps(flask_login)), "munjigi.visitor")
    assert ask(gate, "/api/auth/session", visitor).json() == {}
    assert ask(gate, "/account", visitor).status_code == 303


@pytest.mark.parametrize("value", [f"Bearer {GOOD}", f"bearer {GOOD}", "Bearer %", "Bearer", "Basic eDp5"])
def test_a_session_token_in_the_authorization_header_is_ignored(gate: Site, value: str) -> None:
    visitor = gate.new_visitor(Authorization=value)
    response = visitor.get("/api/auth/session")
    assert (response.status_code, response.json()) == (200, {})
    assert visitor.get("/account").status_code == 303


def test_a_thousand_damaged_tokens_never_become_another_user(gate: Site) -> None:
    chance, nobodys = random.Random(20), 0
    for _ in range(1000):
        found = opened(gate, cookie_pair(damaged(GOOD, chance)))
        assert found.session is None or found.session.user.to_json() == USER
        nobodys += found.session is None
    assert nobodys > 900


def test_damaged_tokens_cause_no_error_at_the_site(gate: Site) -> None:
    chance = random.Random(21)
    for _ in range(30):
        response = ask(gate, "/api/auth/session", cookie_pair(damaged(GOOD, chance)))
        assert response.status_code == 200
        assert response.json() == {} or response.json()["user"] == USER


def damaged(token: str, chance: random.Random) -> str:
    """Change, insert, delete or repeat up to three bytes; the result may be any byte that does not end a header."""
    raw = bytearray(token.encode())
    for _ in range(chance.randint(1, 3)):
        at, byte = chance.randrange(len(raw)), chance.choice([*range(10), 11, 12, *range(14, 256)])
        match chance.randrange(4):
            case 0:
                raw[at] = byte
            case 1:
                raw.insert(at, byte)
            case 2:
                del raw[at]
            case _:
                raw[at:at] = raw[at : at + chance.randint(1, 40)]
    return raw.decode("utf-8", "surrogateescape")


# --- Cookies that the site sets


def signer(site: Site) -> Any:
    return SecureCookieSessionInterface().get_signing_serializer(site.app)


def issued(response: requests.Response) -> str | None:
    """Return the session token that an answer sets, joined from its cookies, or None."""
    pairs = [line.partition(";")[0] for line in set_cookies(response) if COOKIE in line and "Max-Age=0" not in line]
    return tokens_of(pairs) or None


def new_claims(response: requests.Response) -> dict[str, Any]:
    token = issued(response)
    assert token, "no new token"
    return decrypt(token)


def held(visitor: Visitor) -> set[str]:
    """Return the names of the session cookies that a browser has."""
    return {name for name in visitor.cookies.keys() if COOKIE in name}  # noqa: SIM118  # a jar is no dict


def sid_of(visitor: Visitor) -> str:
    return str(decrypt(str(visitor.cookies[COOKIE]))["sid"])


@pytest.fixture
def generous() -> Iterator[tuple[ScriptedBackend, Site]]:
    """A backend whose users and tokens a test can enlarge, and a site in front of it."""
    with scripted_backend() as backend, running_site(backend_url=backend.url, session_revalidate=0) as site:
        yield backend, site


@pytest.mark.parametrize(
    ("age", "new"),
    [(0, False), (DAY, False), (3 * DAY - 60, False), (3 * DAY + 1, True), (29 * DAY, True), (MONTH - 60, True)],
)
def test_a_token_is_refreshed_after_a_tenth_of_its_lifetime(gate: Site, age: int, new: bool) -> None:
    old = make_claims_aged(age)
    response = ask(gate, "/api/auth/session", cookie_pair(encrypt(old)))
    assert response.json()["user"] == USER
    if not new:
        assert not set_cookies(response)
        return
    now = int(time.time())
    told = new_claims(response)
    assert now - 5 <= told["iat"] <= now
    assert told["exp"] == told["iat"] + MONTH
    assert told["auth_time"] == old["iat"]
    assert told["jti"] != old["jti"]
    kept = ("user", "accessToken", "name", "email", "sub")
    assert {name: told[name] for name in kept} == {name: old[name] for name in kept}
    assert response.json()["expires"] == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(told["exp"]))
    ends = time.gmtime(old["iat"] + ABSOLUTE_AGE)
    assert f"; Expires={time.strftime('%a, %d %b %Y %H:%M:%S GMT', ends)};" in set_cookies(response)[0]


def test_the_refresh_follows_the_configured_lifetime(make_site: SiteMaker) -> None:
    site = make_site(session_max_age=3600, session_revalidate=0)
    for age, new in ((300, False), (370, True)):
        old = make_claims_aged(age)
        response = ask(site, "/api/auth/session", cookie_pair(encrypt({**old, "exp": old["iat"] + 3600})))
        assert bool(issued(response)) is new


def test_reading_a_fresh_session_sets_no_cookie(visitor: Visitor) -> None:
    visitor.sign_in()
    for path in ("/", "/account", "/api/auth/session", "/auth/logout", "/auth/login/email"):
        assert COOKIE not in cookie_names(visitor.get(path))


def test_a_session_in_regular_use_ends_at_its_absolute_age(gate: Site) -> None:
    told, auth_time, days = make_claims(), int(time.time()), 0
    while True:
        response = ask(gate, "/api/auth/session", cookie_pair(encrypt(told)))
        if response.json() == {}:
            break
        if issued(response):
            told = new_claims(response)
            assert abs(told["auth_time"] - auth_time) <= 5
        assert told["exp"] <= auth_time + ABSOLUTE_AGE + 5
        told = {**told, **{name: told[name] - 4 * DAY for name in ("iat", "exp", "auth_time") if name in told}}
        auth_time -= 4 * DAY
        days += 4
    assert days == 92


def test_a_token_never_outlives_the_absolute_age(gate: Site) -> None:
    signed_in = NOW - 89 * DAY
    response = ask(gate, "/api/auth/session", cookie_pair(encrypt(make_claims_aged(DAY, auth_time=signed_in))))
    end = time.gmtime(signed_in + ABSOLUTE_AGE)
    assert response.json()["expires"] == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", end)
    assert not set_cookies(response)
    signed_in = NOW - 80 * DAY
    response = ask(gate, "/api/auth/session", cookie_pair(encrypt(make_claims_aged(25 * DAY, auth_time=signed_in))))
    assert new_claims(response)["exp"] == signed_in + ABSOLUTE_AGE


@pytest.mark.parametrize("fallbacks", [OLD_SECRET, f"{OTHER_SECRET},{OLD_SECRET}"])
def test_a_token_with_a_fallback_key_is_reissued_with_the_current_key(make_site: SiteMaker, fallbacks: str) -> None:
    site = make_site(secret_key_fallbacks=fallbacks, session_revalidate=0)
    old = make_claims(sid="kept")
    response = ask(site, "/api/auth/session", cookie_pair(encrypt(old, derive_session_key(OLD_SECRET))))
    assert response.json()["user"] == USER
    told = new_claims(response)
    assert (told["sid"], told["accessToken"]) == ("kept", old["accessToken"])
    with pytest.raises(InvalidTag):
        decrypt(issued(response) or "", OLD_SECRET)
    assert not set_cookies(ask(site, "/api/auth/session", cookie_pair(issued(response) or "")))


def test_a_token_with_a_removed_key_is_no_session(gate: Site) -> None:
    response = ask(gate, "/api/auth/session", cookie_pair(encrypt(make_claims(), derive_session_key(OLD_SECRET))))
    assert response.json() == {}
    assert cleared(response) == {COOKIE}


class OverTls(Visitor):
    """A browser behind a TLS proxy: it sends `Secure` cookies although the test's socket is plain."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["headers"] = {
            "Cookie": cookie_header(*(cookie_pair(str(held.value), held.name) for held in self.cookies))
        }
        return super().request(*args, **kwargs)


@pytest.mark.parametrize(
    ("site_url", "name", "visitor_name"),
    [
        (None, COOKIE, "munjigi.visitor"),
        ("http://127.0.0.1/login-site", COOKIE, "munjigi.visitor"),
        ("https://login.example.com", f"__Secure-{COOKIE}", "__Host-munjigi.visitor"),
        ("https://www.example.com/login-site", f"__Secure-{COOKIE}", "__Secure-munjigi.visitor"),
    ],
    ids=["http", "http below a path", "https", "https below a path"],
)
def test_cookie_names_and_attributes_follow_the_site_url(
    make_site: SiteMaker, site_url: str | None, name: str, visitor_name: str
) -> None:
    site = make_site(**({"site_url": site_url} if site_url else {}))
    visitor = OverTls(site.url, {})
    path = "/login-site" if site_url and site_url.endswith("/login-site") else ""
    secure = {"Secure"} if name != COOKIE else set()

    def post(page: str, **fields: str) -> dict[str, set[str]]:
        token = visitor.get(f"{path}/api/auth/csrf").json()["csrfToken"]
        lines = set_cookies(visitor.post(path + page, data={"csrfToken": token, **fields}))
        assert all(len(line.partition(";")[0]) <= 4096 for line in lines)
        return {line.partition("=")[0]: set(line.split("; ")[1:]) for line in lines}

    written = post("/auth/login/email", email=MINJI, password="correct-horse")
    device = name.replace(COOKIE, "munjigi.device")
    assert set(written) == {name, visitor_name, device}
    year = {attribute for attribute in written[device] if attribute.startswith(("Expires=", "Max-Age=31536000"))}
    assert written[device] - year == {"HttpOnly", f"Path={path or '/'}", "SameSite=Lax"} | secure
    assert len(year) == 2
    expires = {attribute for attribute in written[name] if attribute.startswith("Expires=")}
    assert len(expires) == 1
    assert written[name] - expires == {"HttpOnly", "Path=/", "SameSite=Lax"} | secure
    assert written[visitor_name] == {"HttpOnly", f"Path={path or '/'}", "SameSite=Lax"} | secure
    assert visitor.get(f"{path}/api/auth/session").json()["user"]["email"] == MINJI
    written = post("/auth/logout")
    assert {"Max-Age=0", "HttpOnly", "Path=/", "SameSite=Lax"} | secure <= written[name]
    assert visitor.get(f"{path}/api/auth/session").json() == {}


def test_on_https_a_cookie_without_the_secure_prefix_is_ignored(make_site: SiteMaker) -> None:
    site = make_site(site_url="https://login.example.com", session_revalidate=0)
    response = ask(site, "/api/auth/session", cookie_pair(GOOD))
    assert (response.json(), set_cookies(response)) == ({}, [])
    both = cookie_header(cookie_pair(OTHER), cookie_pair(GOOD, f"__Secure-{COOKIE}"))
    assert ask(site, "/api/auth/session", both).json()["user"] == USER


# --- Large sessions: names with four bytes per character, and long tokens


LARGE = {"id": 7, "name": "😀" * 200, "nick_name": "𠮷" * 200, "email": "😀" * 254}
BESIDE_THE_CIPHERTEXT = len(encrypt(b""))


def make_room(backend: ScriptedBackend, site: Site, length: int) -> None:
    """Set the backend's user and token so that the session token of a sign-in has this length."""
    payload = (length - BESIDE_THE_CIPHERTEXT) * 3 // 4
    backend.user = LARGE if payload > 4000 else {"id": 7}
    backend.token = "t"
    probe = issued(site.new_visitor().sign_in())
    assert probe
    backend.token = "t" * (payload - len(get_part(probe, CIPHERTEXT)) + 1)


# No Base64 text has a length of 4n + 1, so 3934 and 7866 are impossible.
@pytest.mark.parametrize(("length", "count"), [(3933, 1), (3935, 2), (7865, 2), (7867, 3), (11799, 3)])
def test_a_token_is_split_at_next_auths_chunk_size(
    generous: tuple[ScriptedBackend, Site], length: int, count: int
) -> None:
    backend, site = generous
    make_room(backend, site, length)
    visitor = site.new_visitor()
    response = visitor.sign_in()
    assert response.status_code == 303
    assert len(issued(response) or "") == length
    assert held(visitor) == ({COOKIE} if count == 1 else {f"{COOKIE}.{n}" for n in range(count)})
    assert visitor.get_session()["user"]["id"] == 7


def test_a_session_of_three_cookies_works(generous: tuple[ScriptedBackend, Site]) -> None:
    backend, site = generous
    make_room(backend, site, 3 * CHUNK_SIZE)
    visitor = site.new_visitor()
    response = visitor.sign_in()
    assert all(len(line) <= 4096 for line in set_cookies(response))
    read = visitor.get("/api/auth/session")
    assert read.json()["user"] == backend.user
    assert len(read.request.headers["Cookie"]) < 12_500
    assert visitor.get_page("/account").input_value("name") == backend.user["name"]
    out = visitor.submit("/auth/logout", {})
    assert backend.calls[-1] == ("POST", "/logout", f"Bearer {backend.token}")
    assert cleared(out) == {f"{COOKIE}.{n}" for n in range(3)}
    assert held(visitor) == set()
    assert not visitor.is_signed_in


def test_a_session_too_large_for_three_cookies_refuses_the_sign_in(
    generous: tuple[ScriptedBackend, Site], caplog: pytest.LogCaptureFixture
) -> None:
    backend, site = generous
    visitor = site.new_visitor()
    visitor.sign_in()
    before = sid_of(visitor)
    make_room(backend, site, 3 * CHUNK_SIZE + 1)
    response = visitor.sign_in()
    assert response.status_code == 502
    assert "is not set up correctly" in Page(response).message
    assert COOKIE not in "".join(cookie_names(response))
    assert sid_of(visitor) == before, "whoever was signed in is no more"
    assert backend.calls[-1] == ("POST", "/logout", f"Bearer {backend.token}")
    assert f"over 3 cookies of {CHUNK_SIZE}" in caplog.text
    assert backend.token not in caplog.text


def test_a_user_who_outgrows_the_cookies_stays_signed_in(caplog: pytest.LogCaptureFixture) -> None:
    with scripted_backend() as backend, running_site(backend_url=backend.url) as site:
        backend.user = LARGE
        token = encrypt(make_claims(accessToken="t" * 4096, padding="x" * 1000))
        response = ask(site, "/api/auth/session", cookie_header(*chunk_cookies(token)))
        assert backend.request_count("/user") == 1
    assert response.json()["user"] == USER
    assert not set_cookies(response)
    assert "session not renewed, the old one is kept" in caplog.text


def test_chunks_of_a_larger_or_smaller_session_are_deleted(generous: tuple[ScriptedBackend, Site]) -> None:
    backend, site = generous
    numbered = {f"{COOKIE}.{n}" for n in range(3)}
    visitor = site.new_visitor()
    for large in (True, False, True):
        make_room(backend, site, 9000 if large else 1000)
        response = visitor.sign_in()
        deleted = {line.partition("=")[0] for line in set_cookies(response) if "Max-Age=0" in line}
        assert held(visitor) == (numbered if large else {COOKIE})
        assert visitor.get_session()["user"]["id"] == 7
    assert deleted == {COOKIE}


@pytest.mark.parametrize(
    "cookies",
    [
        cookie_header(*chunk_cookies(encrypt(make_claims_aged(4 * DAY, padding="x" * 8000)))),
        cookie_header(cookie_pair(encrypt(make_claims_aged(4 * DAY))), *(f"{COOKIE}.{n}=x" for n in range(3))),
    ],
    ids=["chunks", "a whole one, and stale chunks"],
)
def test_a_refreshed_token_replaces_every_old_chunk(gate: Site, cookies: str) -> None:
    response = ask(gate, "/api/auth/session", cookies)
    deleted = {line.partition("=")[0] for line in set_cookies(response) if "Max-Age=0" in line}
    assert deleted == {f"{COOKIE}.{n}" for n in range(3)}
    assert new_claims(response)["user"] == USER


# --- Session fixation


def plant(visitor: Visitor, *cookies: str) -> None:
    """Put cookies into a browser, as a page of a sibling host can."""
    for piece in cookies:
        name, _, value = piece.partition("=")
        visitor.cookies.set(name, value, domain="localhost.local", path="/")


@pytest.mark.parametrize(
    "planted",
    [
        [cookie_pair(encrypt(make_claims(sid="planted")))],
        chunk_cookies(encrypt(make_claims(sid="planted", padding="x" * 8000))),
        [cookie_pair("x"), f"{COOKIE}.0=x", f"{COOKIE}.7=x"],
    ],
    ids=["a session", "a session in chunks", "junk"],
)
def test_a_planted_session_does_not_survive_the_sign_in(gate: Site, planted: list[str]) -> None:
    victim = gate.new_visitor()
    plant(victim, *planted)
    victim.sign_in()
    assert held(victim) == {COOKIE}
    told = decrypt(str(victim.cookies[COOKIE]))
    assert told["sid"] != "planted"
    assert told["auth_time"] >= NOW
    assert victim.get_session()["user"]["email"] == USER["email"]


def test_every_sign_in_is_a_new_session(visitor: Visitor) -> None:
    sids = set()
    for _ in range(3):
        visitor.sign_in()
        sids.add(sid_of(visitor))
    assert len(sids) == 3


def test_a_planted_visitor_cookie_does_not_survive_the_sign_in(site: Site) -> None:
    attacker, victim = site.new_visitor(), site.new_visitor()
    known = attacker.csrf_token()
    planted = str(attacker.cookies["munjigi.visitor"])
    plant(victim, cookie_pair(planted, "munjigi.visitor"))
    assert victim.csrf_token() != ""
    assert victim.post("/auth/login/email", data=credentials(csrfToken=known)).status_code == 303
    assert victim.cookies["munjigi.visitor"] != planted
    assert victim.post("/auth/logout", data={"csrfToken": known}).status_code == 400
    assert victim.is_signed_in
    assert victim.submit("/auth/logout", {}).status_code == 303
    assert not victim.is_signed_in


def credentials(**fields: str) -> dict[str, str]:
    return {"email": MINJI, "password": "correct-horse", **fields}


def test_the_csrf_token_of_a_session_is_refused_after_sign_out(visitor: Visitor) -> None:
    visitor.sign_in()
    known = visitor.csrf_token()
    visitor.submit("/auth/logout", {})
    assert visitor.post("/auth/login/email", data=credentials(csrfToken=known)).status_code == 400
    assert not visitor.is_signed_in


def test_the_chosen_language_survives_sign_in_and_sign_out(visitor: Visitor) -> None:
    assert visitor.get_page("/").document.get("lang") == "en"
    visitor.get("/?lang=ko")
    visitor.sign_in()
    assert visitor.get_page("/").document.get("lang") == "ko"
    visitor.submit("/auth/logout", {})
    assert visitor.get_page("/").document.get("lang") == "ko"


def test_the_visitor_cookie_holds_only_a_csrf_token_messages_and_a_language(site: Site, visitor: Visitor) -> None:
    def contents() -> set[str]:
        return set(signer(site).loads(str(visitor.cookies["munjigi.visitor"])))

    visitor.sign_in()
    assert contents() == {"csrfToken"}
    for path in ("/account", "/api/auth/session", "/auth/logout"):
        visitor.get(path)
    assert contents() == {"csrfToken"}
    visitor.get("/?lang=ko")
    visitor.submit("/auth/logout", {})
    assert contents() == {"csrfToken", "locale", "_flashes"}


def test_a_compressed_visitor_cookie_is_read(site: Site) -> None:
    """Ours are uncompressed; those of an earlier release may be compressed."""
    packed = str(signer(site).dumps({"locale": "ja", "_flashes": [("message", "a" * 200)]}))
    assert packed.startswith(".")
    page = Page(ask(site, "/", cookie_pair(packed, "munjigi.visitor")))
    assert page.document.get("lang") == "ja"
    assert page.status_messages == ["a" * 200]


# --- Beside other programs


def test_a_token_of_the_articles_next_auth_setup_is_a_session() -> None:
    """It has no `sid`, `auth_time` or `checked_at`; the backend is asked for the user once."""
    with scripted_backend() as backend, running_site(backend_url=backend.url) as site:
        backend.user = USER
        token = encrypt(make_claims(accessToken="1|article"))
        for _ in range(3):
            response = ask(site, "/api/auth/session", cookie_pair(token))
            assert response.json()["user"] == USER
            assert not set_cookies(response)
        assert backend.calls == [("POST", "/user", "Bearer 1|article")]


def test_copies_of_the_articles_token_share_one_session_id(gate: Site) -> None:
    def anew(**given: Any) -> dict[str, Any]:
        return new_claims(ask(gate, "/api/auth/session", cookie_pair(encrypt(make_claims_aged(4 * DAY, **given)))))

    first, second = anew(accessToken="1|one"), anew(accessToken="1|one")
    assert first["sid"] == second["sid"] != anew(accessToken="1|another")["sid"]
    assert len(first["sid"]) >= 32
    assert "1|one" not in first["sid"]
    assert anew(**{name: first[name] for name in ("sid", "auth_time", "accessToken")})["sid"] == first["sid"]


REMEMBERED = "remember_token=7|0123456789abcdef"


def test_a_remember_token_of_another_flask_app_is_ignored(gate: Site, form: tuple[str, str]) -> None:
    account = read(gate, "/account", cookie_header(REMEMBERED, cookie_pair(GOOD)))
    assert account.status_code == 200
    assert read(gate, "/account", REMEMBERED).status_code == 303
    for answer in (account, sign_out(gate, form, cookie_header(REMEMBERED, cookie_pair(encrypt(make_claims()))))):
        assert "remember_token" not in cookie_names(answer)


def test_a_remember_token_of_another_flask_app_is_kept(visitor: Visitor) -> None:
    plant(visitor, REMEMBERED)
    visitor.sign_in()
    assert visitor.get_page("/").heading.startswith("Signed in as")
    visitor.submit("/auth/logout", {})
    assert visitor.get_page("/").heading == "Not signed in"
    assert visitor.cookies["remember_token"] == REMEMBERED.partition("=")[2]


# --- Cookies that are there twice: the site cannot delete one with a `Domain` or another `Path`


def brings(visitor: Visitor, *before: str) -> dict[str, str]:
    """Return the headers of a request that has these cookies before those of the visitor."""
    own = [f"{cookie.name}={cookie.value}" for cookie in visitor.cookies]
    return {"Cookie": cookie_header(*before, *own)}


STALE = {
    "garbage": "x",
    "expired": EXPIRED,
    "of another key": encrypt(make_claims(), derive_session_key(OTHER_SECRET)),
    "valid, of an earlier sign-in": encrypt(make_claims_aged(3600, user={**USER, "id": 8})),
}


@pytest.mark.parametrize("stale", STALE.values(), ids=STALE)
def test_a_stale_session_cookie_before_the_own_one_does_not_matter(
    gate: Site, caplog: pytest.LogCaptureFixture, stale: str
) -> None:
    visitor = gate.new_visitor()
    before = cookie_pair(stale)
    token = visitor.csrf_token()
    fields = {"csrfToken": token, "email": "hong@example.com", "password": "x"}
    assert visitor.post("/auth/login/email", data=fields, headers=brings(visitor, before)).status_code == 303
    for path in ("/api/auth/session", "/account", "/api/auth/session?again"):
        response = visitor.get(path, headers=brings(visitor, before))
        assert "hong@example.com" in response.text
        assert COOKIE not in cookie_names(response)
    assert visitor.get("/auth/verify", headers=brings(visitor, before)).headers["X-Auth-User-Id"] == "7"


def test_a_repeated_session_cookie_is_named_in_the_log(
    make_site: SiteMaker, backend: ScriptedBackend, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(backend.url)
    for _ in range(3):
        assert ask(site, "/account", cookie_header(cookie_pair("x"), cookie_pair(GOOD))).status_code == 200
    lines = [record.message for record in caplog.records if "more than once" in record.message]
    assert len(lines) == 1
    assert COOKIE in lines[0]


def test_after_signing_out_no_copy_of_a_session_cookie_signs_in(door: Site, form: tuple[str, str]) -> None:
    cookies = cookie_header(cookie_pair(GOOD), cookie_pair(OTHER))
    assert sign_out(door, form, cookies).status_code == 303
    for token in (GOOD, OTHER):
        assert ask(door, "/api/auth/session", cookie_pair(token)).json() == {}


def test_a_copy_that_the_backend_refuses_makes_way_for_another(make_site: SiteMaker, backend: ScriptedBackend) -> None:
    """The refused one may be one that the site cannot delete."""
    site = make_site(backend.url)
    good, refused = (
        encrypt(make_claims(iat=NOW - age, accessToken=token)) for age, token in ((900, "1|good"), (600, "2|refused"))
    )
    backend.refused_tokens = {"2|refused"}
    try:
        for _ in range(2):
            for tokens in ((good, refused), (refused, good)):
                response = ask(site, "/api/auth/session", cookie_header(*map(cookie_pair, tokens)))
                assert response.json()["user"]["id"] == 7
    finally:
        backend.reset()


@pytest.mark.parametrize("stale", ["x", "signed"])
def test_a_stale_visitor_cookie_before_the_own_one_does_not_break_forms(gate: Site, stale: str) -> None:
    """Neither one that is not valid nor an older one that is."""
    older = gate.new_visitor()
    older.csrf_token()
    if stale == "signed":
        serializer = SecureCookieSessionInterface().get_signing_serializer(gate.app)
        assert serializer
        stale = _signed_earlier(serializer, {"csrfToken": "0" * 40})
    before = cookie_pair(stale, "munjigi.visitor")
    person = gate.new_visitor()
    token = str(person.get("/api/auth/csrf", headers={"Cookie": before}).json()["csrfToken"])
    if stale != "x":  # the site reads the older one, which is the only one
        person.csrf_token()
        token = str(person.get("/api/auth/csrf", headers=brings(person, before)).json()["csrfToken"])
    fields = {"csrfToken": token, "email": "hong@example.com", "password": "x"}
    assert person.post("/auth/login/email", data=fields, headers=brings(person, before)).status_code == 303


def _signed_earlier(serializer: Any, data: dict[str, str]) -> str:
    class Earlier(serializer.signer):  # type: ignore[misc]
        def get_timestamp(self) -> int:
            return int(time.time()) - 3600

    serializer.signer = Earlier
    return str(serializer.dumps(data))
