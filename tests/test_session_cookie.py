"""The session cookie: what is one, what is none, and what the site writes back.

Hostile cookies are sent to the running site; they come from `forge`, which shares no code with it.
"""

import json
import os
import random
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from hashlib import sha256
from http.cookiejar import DefaultCookiePolicy
from types import EllipsisType
from typing import Any

import pytest
import requests
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from flask.sessions import SecureCookieSessionInterface

from tests.forge import (
    CHUNK_SIZE,
    CIPHERTEXT,
    COOKIE,
    DAY,
    HEADER,
    IV,
    LEFT_OUT,
    MONTH,
    TAG,
    USER,
    aged,
    base64url,
    chunks,
    claims,
    compact,
    cookie,
    derived,
    flipped,
    jar,
    key_of,
    of_length,
    part_of,
    seal,
    seal_cbc,
    seal_wrapped,
    seal_zipped,
    signed,
    spelled,
    unseal,
    with_part,
)
from tests.scripted import Backend, scripted
from tests.site import MINJI, Page, Site, SiteMaker, Visitor, cookie_names, running_site, set_cookies

SLOWEST = 0.25
"""Seconds for an answer to any cookie."""
OLD_SECRET = "an-older-secret-0f-this-very-site-8Zq"
OTHER_SECRET = "somebody-elses-secret-1aB2cD3eF4gH5"
MAX_AGE, ABSOLUTE_AGE = MONTH, 90 * DAY

GOOD = seal(claims())
OTHER = seal(claims(user={**USER, "id": 8}))
TWO, THREE = chunks(of_length(2 * CHUNK_SIZE - 9)), chunks(of_length(3 * CHUNK_SIZE - 9))
NOW = int(time.time())


# What is a session: a Cookie header, and the claims whose person is then signed in.


def good(**given: Any) -> tuple[str, dict[str, Any]]:
    made = claims(**given)
    return cookie(seal(made)), made


def of(header: str, token: str) -> tuple[str, dict[str, Any]]:
    return header, unseal(token)


def tokens_of(pieces: list[str]) -> str:
    return "".join(piece.partition("=")[2] for piece in pieces)


SESSIONS = {
    "valid: as next-auth makes it": good(),
    "valid: a name of astral characters": good(user={**USER, "name": "😀 𠮷野家", "nick_name": None}),
    "valid: a name with HTML in it": good(user={**USER, "nick_name": '"><svg/onload=alert(1)>{{7*7}}'}),
    "valid: no names at all": good(user={"id": 9}),
    "valid: an id of text": good(user={**USER, "id": "0b1f6a52-7c1e-4f0e-9a57-0a4f7f1d2c3b"}),
    "valid: two chunks": of(jar(*TWO), tokens_of(TWO)),
    "valid: three full chunks": of(jar(*THREE), tokens_of(THREE)),
    "valid: chunks in another order": of(jar(*reversed(THREE)), tokens_of(THREE)),
    "valid: among cookies of others": of(jar("a=b", cookie(GOOD), "_ga=GA1.1", "x"), GOOD),
    "chunks: cut at other places": of(jar(*chunks(GOOD, 100)[:0], *chunks(GOOD, 200)), GOOD),
    "chunks: a single one": of(jar(cookie(GOOD, f"{COOKIE}.0")), GOOD),
    "chunks: the whole one goes before stale ones": of(jar(*TWO, cookie(GOOD)), GOOD),
    "chunks: empty ones beside the whole one": of(jar(f"{COOKIE}.0=", cookie(GOOD), f"{COOKIE}.1="), GOOD),
    "duplicate: the first counts": of(jar(cookie(GOOD), cookie(OTHER)), GOOD),
    "duplicate: the first counts, the other way round": of(jar(cookie(OTHER), cookie(GOOD)), OTHER),
    "duplicate: a good one before a bad one": of(jar(cookie(GOOD), cookie("x")), GOOD),
    "duplicate: a good chunk before a bad one": of(jar(*TWO, f"{COOKIE}.0=x"), tokens_of(TWO)),
    "shape: in quotes, which RFC 6265 allows around a value": of(cookie(f'"{GOOD}"'), GOOD),
    "time: issued by a clock an hour ahead": good(iat=NOW + 3600, exp=NOW + MONTH),
    "time: begun": good(nbf=NOW - 1),
    "time: seconds left": good(iat=NOW - MONTH + 60, exp=NOW + 60),
    "content: a bearer of 3 KB": good(accessToken="t" * 3072),
    "content: further claims": good(picture=None, role=["admin"], provider={"x": 1}),
    "content: a sid and provider that are no words": good(sid="a b", provider=7),
}


# What is none: a Cookie header of each kind of attack.


def parts(token: str) -> list[str]:
    return token.split(".")


TAMPERED = {
    "first bit of the iv": flipped(GOOD, IV, 0),
    "last bit of the iv": flipped(GOOD, IV, -1),
    "first bit of the ciphertext": flipped(GOOD, CIPHERTEXT, 0),
    "last bit of the ciphertext": flipped(GOOD, CIPHERTEXT, -1),
    "first bit of the tag": flipped(GOOD, TAG, 0),
    "last bit of the tag": flipped(GOOD, TAG, -1),
    "tag and ciphertext of two tokens": with_part(GOOD, TAG, part_of(OTHER, TAG)),
    "iv of another token": with_part(GOOD, IV, part_of(OTHER, IV)),
    "ciphertext of another token": with_part(GOOD, CIPHERTEXT, part_of(OTHER, CIPHERTEXT)),
    "no ciphertext": seal(b""),
    "ciphertext cut": with_part(GOOD, CIPHERTEXT, part_of(GOOD, CIPHERTEXT)[:-1]),
    "ciphertext longer": with_part(GOOD, CIPHERTEXT, part_of(GOOD, CIPHERTEXT) + b"\0"),
    **{f"tag of {n} bytes": with_part(GOOD, TAG, part_of(GOOD, TAG)[:n]) for n in (0, 1, 4, 8, 12, 15)},
    "tag of 17 bytes": with_part(GOOD, TAG, part_of(GOOD, TAG) + b"\0"),
    **{f"iv of {n} bytes": with_part(GOOD, IV, part_of(GOOD, IV)[:n]) for n in (0, 1, 8, 11)},
    **{f"iv of {n} bytes that opens": seal(claims(), iv=os.urandom(n)) for n in (8, 11, 16)},
    "base64 with its padding": f"{GOOD}==",
    "base64 with padding inside": with_part(GOOD, IV, parts(GOOD)[IV] + "="),
    "base64 in the standard alphabet": seal(claims(padding="???>>>"), iv=b"\xfb\xff" * 6).replace("-", "+", 1),
    "base64 of impossible length": f"{GOOD}AAA",
    "base64 with junk inside": with_part(GOOD, CIPHERTEXT, parts(GOOD)[CIPHERTEXT][:8] + "!" + parts(GOOD)[3][8:]),
    "base64 with a space inside": with_part(GOOD, CIPHERTEXT, parts(GOOD)[CIPHERTEXT][:8] + " " + parts(GOOD)[3][8:]),
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
    "an encrypted key": seal(claims(), encrypted_key=b"k" * 40),
    "an encrypted key of one letter": with_part(GOOD, 1, "A"),
    "two tokens": f"{GOOD},{OTHER}",
    "a bearer": f"Bearer {GOOD}",
}
V5_PURPOSE = f"Auth.js Generated Encryption Key ({COOKIE})"
STATE = {"value": "t3ij", "provider": "kakao", "iat": NOW, "exp": NOW + 900, "jti": "1"}
KEYS = {
    "another secret": seal(claims(), key_of(OTHER_SECRET)),
    "a secret of ours in other letters": seal(claims(), key_of(OTHER_SECRET.upper())),
    "an old secret that is no fallback": seal(claims(), key_of(OLD_SECRET)),
    "the plain hash of the secret": seal(claims(), sha256(b"Q7x1vN0tA-secret-that-is-long-enough").digest()),
    "the first bytes of the secret": seal(claims(), b"Q7x1vN0tA-secret-that-is-long-enough"[:32]),
    "zeros": seal(claims(), bytes(32)),
    "an empty secret": seal(claims(), key_of("")),
    "half the key": seal(claims(), key_of()[:16]),
    "Auth.js v5's key": seal(claims(), derived("Q7x1vN0tA-secret-that-is-long-enough", COOKIE, V5_PURPOSE, 32)),
    "an Auth.js v5 token": seal_cbc(
        claims(),
        derived("Q7x1vN0tA-secret-that-is-long-enough", COOKIE, V5_PURPOSE, 64),
        "A256CBC-HS512",
        hashes.SHA512(),
    ),
    "a state cookie": seal(STATE, key_of(salt="next-auth.state")),
    "a session under the key of state cookies": seal(claims(), key_of(salt="next-auth.state")),
    "a session salted with its own name": seal(claims(), key_of(salt=COOKIE)),
    "a state payload under the key of sessions": seal(STATE),
}


def headed(header: str, key: bytes | None = None) -> str:
    return seal(claims(), key, header)


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
    "A128GCM": headed('{"alg":"dir","enc":"A128GCM"}', key_of()[:16]),
    "A192GCM": headed('{"alg":"dir","enc":"A192GCM"}', key_of()[:24]),
    "A256KW under the same key": seal_wrapped(claims()),
    "RSA1_5": seal(claims(), header='{"alg":"RSA1_5","enc":"A256GCM"}', encrypted_key=os.urandom(256)),
    "CBC under the same key": seal_cbc(claims(), key_of(), "A128CBC-HS256", hashes.SHA256()),
    "PBES2 of a billion rounds": seal(
        claims(),
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
    "a signed token, alg none": signed(claims(), "none"),
    "a signed token, HS256": signed(claims(), "HS256"),
    "zip, small": seal_zipped(claims()),
    "zip, a bomb": seal_zipped(compact(claims(padding="x" * 3_000_000))),
    "zip without payload": seal(b"", header='{"alg":"dir","enc":"A256GCM","zip":"DEF"}'),
}
FUTURE = NOW + MONTH
TIMES: dict[str, Any] = {
    "expired an hour ago": {"exp": NOW - 3600},
    "expired 30 s ago": {"exp": NOW - 30},
    "expired 5 s ago": {"exp": NOW - 5},
    "no exp": {"exp": LEFT_OUT},
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
    "no iat": {"iat": LEFT_OUT},
    "iat a string": {"iat": str(NOW)},
    "iat null": {"iat": None},
    "iat negative": {"iat": -1},
    "issued longer ago than a session may last": {"iat": NOW - ABSOLUTE_AGE - 1},
    "signed in longer ago than a session may last": {"auth_time": NOW - ABSOLUTE_AGE - 1},
    "auth_time a string": {"auth_time": str(NOW)},
    "auth_time null": {"auth_time": None},
    "checked_at a string": {"checked_at": "never"},
}
SPELLED_TIMES = {f"exp {text[:6]}": spelled(exp=text) for text in ("1e400", "-1e400", "NaN", "Infinity", "9" * 4400)}
USERS: dict[str, Any] = {
    "null": None,
    "left out": LEFT_OUT,
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
    "2 to the 63rd": 2**63,
    "with a line break": "7\n8",
    "with a zero": "7\0",
    "of 300 characters": "7" * 300,
}
BEARERS: dict[str, Any] = {
    "left out": LEFT_OUT,
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
    "an array": compact([claims()]),
    "a string": compact("claims"),
    "null": b"null",
    "a number": b"7",
    "an empty object": b"{}",
    "two objects": compact(claims()) * 2,
    "bad UTF-8": compact(claims(padding="@")).replace(b"@", b"\xff\xfe"),
    "a raw surrogate": compact(claims(padding="@")).replace(b"@", b"\xed\xa0\x80"),
    "UTF-16": compact(claims()).decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + compact(claims()),
    "1200 levels": spelled(padding="[" * 1200 + "]" * 1200),
    "a hundred thousand brackets": b"[" * 8000,
    "a comma too many": compact(claims())[:-1] + b",}",
}


def numbered(*numbers: int | str, value: str = "x") -> list[str]:
    return [f"{COOKIE}.{number}={value}" for number in numbers]


def renamed(pieces: list[str], *numbers: int | str) -> str:
    """These chunks under other numbers."""
    values = [piece.partition("=")[2] for piece in pieces]
    return jar(*(f"{COOKIE}.{number}={value}" for number, value in zip(numbers, values, strict=True)))


CHUNKS = {
    "the first is missing": jar(*THREE[1:]),
    "the middle one is missing": jar(THREE[0], THREE[2]),
    "the last is missing": jar(*THREE[:-1]),
    "contents swapped": renamed(TWO, 1, 0),
    "contents turned round": renamed(THREE, 1, 2, 0),
    "a gap in the numbers": renamed(TWO, 0, 2),
    "counted from one": renamed(TWO, 1, 2),
    "a stale one more": jar(*TWO, THREE[2]),
    "of two tokens": jar(TWO[0], THREE[1]),
    "a bad whole one beside good chunks": jar(*TWO, cookie("x")),
    "an empty whole one beside good chunks": jar(*TWO, cookie("")),
    "a bad chunk before a good one of its name": jar(f"{COOKIE}.0=x", *TWO),
    "empty ones": jar(*numbered(0, 1, value="")),
    "one empty one": jar(*numbered(0, value="")),
    "an empty one more": jar(*TWO, *numbered(2, value="")),
    "four": jar(*chunks(of_length(12_000))),
    "fifty": jar(*numbered(*range(50))),
    "fifty of a good token": jar(*chunks(GOOD, -(-len(GOOD) // 50))),
    "of one letter, ten of them": jar(*(f"{COOKIE}.{n}={letter}" for n, letter in enumerate(GOOD[:10]))),
    "a whole one that no browser would keep": cookie(of_length(5000)),
}


def alone(**tables: dict[str, str]) -> Iterator[tuple[str, str]]:
    for kind, table in tables.items():
        for name, token in table.items():
            yield f"{kind}: {name}", cookie(token)


ANONYMOUS = dict(
    alone(
        shape=SHAPES,
        tampering=TAMPERED,
        keys=KEYS,
        header=HEADERS,
        time={name: seal(claims(**given)) for name, given in TIMES.items()}
        | {name: seal(text) for name, text in SPELLED_TIMES.items()},
        content={name: seal(payload) for name, payload in PAYLOADS.items()}
        | {f"user {name}": seal(claims(user=user)) for name, user in USERS.items()}
        | {f"id {name}": seal(claims(user={**USER, "id": value})) for name, value in IDS.items()}
        | {f"bearer {name}": seal(claims(accessToken=value)) for name, value in BEARERS.items()},
    )
) | {f"chunks: {name}": header for name, header in CHUNKS.items()}

LOOK_ALIKES = {
    "a letter more": f"{COOKIE}X",
    "a letter more, after a dot": f"{COOKIE}.x",
    "a dot": f"{COOKIE}.",
    "a negative number": f"{COOKIE}.-1",
    "a signed number": f"{COOKIE}.+0",
    "an Arabic digit": f"{COOKIE}.٠",
    "a full-width digit": f"{COOKIE}.0",
    "a superscript digit": f"{COOKIE}.²",
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


# The site that all of these are sent to.


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with scripted() as running:
        yield running


@pytest.fixture(scope="module")
def gate(backend: Backend) -> Iterator[Site]:
    """A site that believes its own tokens, and asks the backend about none of them."""
    with running_site(backend_url=backend.url, session_recheck=0) as running:
        yield running


def ask(site: Site, path: str, cookies: str = "", **fields: str) -> requests.Response:
    """One request with this Cookie header and no other; with fields, a form."""
    headers = {"Cookie": cookies.encode("utf-8", "surrogateescape")} if cookies else {}
    visitor = site.visitor()
    if fields:
        return visitor.post(path, data=fields, headers=headers)  # type: ignore[arg-type]  # headers may be bytes
    return visitor.get(path, headers=headers)


@pytest.fixture(scope="module")
def form(gate: Site) -> tuple[str, str]:
    """The visitor cookie of someone who has opened a form of the site, and the token in it."""
    visitor = gate.visitor()
    token = visitor.csrf()
    return cookie(str(visitor.cookies["munjigi.visitor"]), "munjigi.visitor"), token


READ = ("/account", "/api/auth/session", "/auth/login/email")


def read(site: Site, path: str, cookies: str = "") -> requests.Response:
    """A read, fast enough: what is slow three times over is slow because of the cookie, not of the machine."""
    for _ in range(3):
        response = ask(site, path, cookies)
        if response.elapsed.total_seconds() < SLOWEST:
            return response
    pytest.fail(f"{path} takes {response.elapsed}")


def sign_out(site: Site, form: tuple[str, str], cookies: str = "") -> requests.Response:
    visitor_cookie, token = form
    return ask(site, "/auth/logout", jar(*filter(None, (cookies, visitor_cookie))), csrfToken=token)


def seen(response: requests.Response) -> object:
    """All that an answer tells, less what is random in any two, and the session's own cookies."""
    random_values = [
        response.headers.get("X-Request-Id"),
        *re.findall(r'name="csrfToken"[^>]*value="([^"]*)"', response.text),
    ]
    text = response.text
    for value in filter(None, random_values):
        text = text.replace(value, "RANDOM")
    headers = {name: value for name, value in response.headers.items() if name not in _CHANGING}
    return response.status_code, headers, text, {name for name in cookie_names(response) if COOKIE not in name}


_CHANGING = ("Date", "X-Request-Id", "Set-Cookie", "Content-Length")


def cleared(response: requests.Response) -> set[str]:
    """Names of the session cookies that this answer deletes; it must set none."""
    lines = [line.split("; ") for line in set_cookies(response) if COOKIE in line]
    for pair, *attributes in lines:
        assert pair.endswith("=")
        assert {"Max-Age=0", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(attributes)
    return {pair[:-1] for pair, *_ in lines}


def brought(cookies: str) -> set[str]:
    """Names of the session cookies in a Cookie header."""
    names = (piece.partition("=")[0] for piece in cookies.split("; "))
    return {name for name in names if re.fullmatch(rf"{re.escape(COOKIE)}(\.[0-9])?", name)}


@pytest.fixture(scope="module")
def nobody(gate: Site, form: tuple[str, str]) -> dict[str, object]:
    """What a visitor without cookies is told."""
    answers = {path: seen(read(gate, path)) for path in READ}
    return {**answers, "/auth/logout": seen(sign_out(gate, form))}


@pytest.mark.parametrize(("cookies", "told"), SESSIONS.values(), ids=SESSIONS)
def test_a_sound_cookie_is_the_session_of_the_person_in_it(
    gate: Site, backend: Backend, form: tuple[str, str], cookies: str, told: dict[str, Any]
) -> None:
    user = {"name": None, "nick_name": None, "email": None, **told["user"]}
    account, session, login = (read(gate, path, cookies) for path in READ)
    page = Page(account)
    assert page.status == 200
    shown = [page.value("name") or None, page.value("nick_name") or None, *page.texts("dl/dd")]
    assert shown == [user["name"], user["nick_name"], *filter(None, (user["email"], str(user["id"])))]
    assert session.json()["user"] == user
    assert (login.status_code, login.headers["Location"]) == (303, f"{gate.url}/")
    assert not {name for answer in (account, session, login) for name in cookie_names(answer) if COOKIE in name}
    out = sign_out(gate, form, cookies)
    assert out.status_code == 303
    assert cleared(out) == brought(cookies)
    assert backend.calls[-1] == ("POST", "/logout", f"Bearer {told['accessToken']}")


@pytest.mark.parametrize("cookies", ANONYMOUS.values(), ids=ANONYMOUS)
def test_any_other_cookie_is_nobodys_and_is_deleted(
    gate: Site, backend: Backend, form: tuple[str, str], nobody: dict[str, object], cookies: str
) -> None:
    calls = len(backend.calls)
    for path in READ:
        response = read(gate, path, cookies)
        assert seen(response) == nobody[path]
        assert cleared(response) == brought(cookies) != set()
    response = sign_out(gate, form, cookies)
    assert seen(response) == nobody["/auth/logout"]
    assert cleared(response) == brought(cookies)
    assert len(backend.calls) == calls, "the backend was told of a token that is none"
