"""id_tokens of every kind, over the whole journey: a sound one signs in, any other ends at the sign-in page,
before the issuer is asked about the person and before the backend hears of it (facts: security.md 2.4, T-1 to T-55).
"""

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from services.documents import PAUSE_SECONDS, Documents
from tests.faulty_backend import UNLIMITED, FaultyBackend, faulty_backend
from tests.issuer import (
    ACCESS_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    KEY_PATHS,
    KEYS,
    USERINFO,
    Clock,
    Issuer,
    Json,
    all_is_well,
    come_back,
    edwards,
    elliptic,
    encoded,
    hold_to_silence,
    let_in,
    public,
    rsa,
    signed,
    start,
    travel,
    turned_away,
    unsigned,
)
from tests.site import Site, Visitor, running_site
from tests.test_backend_faults import MIB, memory

Row = Callable[[Issuer, Json], object]
"""From the issuer and the claims that it should sign to what it gives for an id_token."""
_CACHED_MINUTE = PAUSE_SECONDS + 1


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    running = Issuer()
    yield running
    running.refuse()
    running.hang_up()


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer) -> Iterator[Site]:
    with running_site(backend.url, **issuer.settings(), **UNLIMITED) as running:
        yield running


@pytest.fixture(autouse=True)
def well(issuer: Issuer, backend: FaultyBackend, site: Site, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    all_is_well(issuer, backend, site)
    caplog.set_level(logging.INFO, "munjigi")
    yield
    hold_to_silence(caplog)


def refused(visitor: Visitor, issuer: Issuer, backend: FaultyBackend, provider: str = "oidc") -> None:
    response = travel(visitor, issuer, provider)
    turned_away(visitor, response, "OAuthCallback")
    assert issuer.asked(USERINFO) == []
    assert backend.calls == []
    assert response.elapsed.total_seconds() < 1


# --- Claims


def but(**changes: object) -> Row:
    """The claims with these changes, rightly signed; `...` leaves one out."""
    return lambda _, claims: signed({n: v for n, v in {**claims, **changes}.items() if v is not ...})


def from_now(**seconds: float) -> Row:
    return lambda _, claims: signed({**claims, **{name: int(time.time()) + off for name, off in seconds.items()}})


def literal(name: str, text: str) -> Row:
    """The claim's JSON, written as it stands here."""
    return lambda _, claims: signed(json.dumps({**claims, name: "@@"}).replace('"@@"', text).encode())


def half_hash(text: str, name: str = "sha256") -> str:
    digest = hashlib.new(name, text.encode()).digest()
    return encoded(digest[: len(digest) // 2])


GOOD_CLAIMS: dict[str, Row] = {
    "as they should be": but(),
    "a list with our id alone": but(aud=[CLIENT_ID]),
    "our id as the authorized party": but(azp=CLIENT_ID),
    "the hash of the access token": but(at_hash=half_hash(ACCESS_TOKEN)),
    "over for less than our leeway": from_now(iat=-500, exp=-30),
    "issued by a clock that is 30 s ahead": from_now(iat=30, nbf=30),
    "issued nine minutes ago": from_now(iat=-540),
    "times with fractions": lambda _, claims: signed({**claims, "iat": time.time(), "exp": time.time() + 60.5}),
    "a time of the person's sign-in": from_now(auth_time=-100_000),
    "a subject of 255 characters": lambda issuer, claims: of(issuer, claims, "s" * 255),
    "a subject with the name of a property": lambda issuer, claims: of(issuer, claims, "__proto__"),
    "a subject in decomposed Unicode": lambda issuer, claims: of(issuer, claims, "Ha\u0308ns"),
    "claims that nobody knows": but(more={"a": [1, None]}, amr=["pwd"], acr="0"),
    "names and address in the token": but(name="하늘", email="h@example.com", email_verified=True),
}
BAD_CLAIMS: dict[str, Row] = {
    "the nonce of nobody": but(nonce="another"),
    "no nonce": but(nonce=...),
    "no nonce, said to be unsupported": but(nonce=..., nonce_supported=False),
    "a nonce that is null": but(nonce=None),
    "an empty nonce": but(nonce=""),
    "a nonce in a list": lambda _, claims: signed({**claims, "nonce": [claims["nonce"]]}),
    "a nonce beyond ASCII": but(nonce="\u00e9"),
    "a nonce that is a lone surrogate": literal("nonce", '"\\ud800"'),
    "another issuer": but(iss="https://evil.example"),
    "an issuer with a slash at its end": lambda issuer, claims: signed({**claims, "iss": f"{issuer.url}/"}),
    "an issuer in upper case": lambda issuer, claims: signed({**claims, "iss": issuer.url.upper()}),
    "an https issuer": lambda issuer, claims: signed({**claims, "iss": issuer.url.replace("http:", "https:")}),
    "no issuer": but(iss=...),
    "an issuer in a list": lambda issuer, claims: signed({**claims, "iss": [issuer.url]}),
    "an issuer that is null": but(iss=None),
    "another audience": but(aud="other-client"),
    "another audience, our id as azp": but(aud="other-client", azp=CLIENT_ID),
    "a list of another audience, our id as azp": but(aud=["other-client"], azp=CLIENT_ID),
    "no audience": but(aud=...),
    "no audience, our id as azp": but(aud=..., azp=CLIENT_ID),
    **{f"the audience {value!r}": but(aud=value, azp=CLIENT_ID) for value in ("", [], None, {}, 0, [[]], True)},
    "our audience among others": but(aud=[CLIENT_ID, "other-client"]),
    "our audience among others, another azp": but(aud=[CLIENT_ID, "other-client"], azp="other-client"),
    "our audience among others, our azp": but(aud=[CLIENT_ID, "other-client"], azp=CLIENT_ID),
    "our audience twice": but(aud=[CLIENT_ID, CLIENT_ID]),
    "another authorized party": but(azp="other-client"),
    **{f"the authorized party {value!r}": but(azp=value) for value in ("", None, [], 0, [CLIENT_ID])},
    "our audience in upper case": but(aud=CLIENT_ID.upper()),
    "our audience and a space": but(aud=f"{CLIENT_ID} "),
    "the beginning of our audience": but(aud=CLIENT_ID[:-1]),
    "our audience as a key": but(aud={CLIENT_ID: 1}),
    "over for an hour": from_now(exp=-3600),
    "over for 100 s": from_now(exp=-100),
    "no end": but(exp=...),
    **{f"the end {value!r}": but(exp=value) for value in ("9999999999", None, True, -1, [9999999999], {}, 2**60)},
    **{f"the end {text}": literal("exp", text) for text in ("1e400", "-1e400", "NaN", "Infinity", "9" * 5000)},
    "no time of issue": but(iat=...),
    "a time of issue that is a text": but(iat="1"),
    "issued tomorrow": from_now(iat=86400, exp=90000),
    "issued ten years ago": from_now(iat=-315360000),
    "issued twelve minutes ago": from_now(iat=-720),
    "not good before an hour": from_now(nbf=3600),
    "not before a text": but(nbf="0"),
    "not before null": but(nbf=None),
    "no subject": but(sub=...),
    **{f"the subject {value!r}": but(sub=value) for value in (248289761001, ["248289761001"], None, "", True, {})},
    "a subject of 256 characters": but(sub="s" * 256),
    "a sign-in time that is a text": but(auth_time="yesterday"),
    "methods that are no list": but(amr="pwd"),
    "the hash of another access token": but(at_hash=half_hash("another")),
    "the hash by another algorithm": but(at_hash=half_hash(ACCESS_TOKEN, "sha512")),
    "the whole hash": but(at_hash=encoded(hashlib.sha256(ACCESS_TOKEN.encode()).digest())),
    **{f"the hash {value!r}": but(at_hash=value) for value in ("", None, 5, [], True, "é")},
    "the subject twice": lambda _, claims: signed(json.dumps(claims)[:-1].encode() + b', "sub": "other"}'),
    "the audience twice": lambda _, claims: signed(b'{"aud": "other", ' + json.dumps(claims)[1:].encode()),
    "a BOM": lambda _, claims: signed(b"\xef\xbb\xbf" + json.dumps(claims).encode()),
    "UTF-16": lambda _, claims: signed(json.dumps(claims).encode("utf-16")),
    "invalid UTF-8": lambda _, claims: signed(json.dumps(claims)[:-1].encode() + b', "x": "\xff"}'),
    "a list of claims": lambda _, claims: signed(json.dumps([claims]).encode()),
    "no claims": lambda *_: signed(b""),
    "null": lambda *_: signed(b"null"),
    "1,200 levels": lambda _, claims: signed(b'{"x": ' + b"[" * 1200 + b"]" * 1200 + json.dumps(claims)[1:].encode()),
}


def of(issuer: Issuer, claims: Json, subject: str) -> str:
    """About another subject, in userinfo too."""
    issuer.person = {"sub": subject}
    return signed({**claims, "sub": subject})


@pytest.mark.parametrize("row", GOOD_CLAIMS)
def test_sound_claims_sign_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: GOOD_CLAIMS[row](issuer, claims)
    let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize("row", BAD_CLAIMS)
def test_other_claims_sign_nobody_in(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: BAD_CLAIMS[row](issuer, claims)
    refused(visitor, issuer, backend)


def test_a_token_of_an_earlier_sign_in_is_of_no_use(issuer: Issuer, backend: FaultyBackend, visitor: Visitor) -> None:
    let_in(visitor, travel(visitor, issuer))
    earlier = signed(issuer.good_claims())
    issuer.id_token = lambda _: earlier
    issuer.calls, backend.calls = [], []
    turned_out = visitor.__class__(visitor.url, {})
    refused(turned_out, issuer, backend)


def test_nor_is_one_of_another_tab(issuer: Issuer, backend: FaultyBackend, visitor: Visitor) -> None:
    first, second = start(visitor, issuer), start(visitor, issuer)
    assert first
    assert second
    issuer.nonce = second["nonce"]
    turned_away(visitor, come_back(visitor, first), "OAuthCallback")
    assert backend.calls == []
    let_in(visitor, come_back(visitor, second))


# --- Signatures


def with_key(key: Any, alg: str) -> Row:
    def row(issuer: Issuer, claims: Json) -> str:
        issuer.published = {"keys": [public(key)]}
        hashed = "sha512" if alg == "EdDSA" else f"sha{alg[2:]}"
        return signed({**claims, "at_hash": half_hash(ACCESS_TOKEN, hashed)}, key, alg=alg)

    return row


def mac(secret: bytes, claims: Json, **header: object) -> str:
    head = {"alg": "HS256", "kid": "k1", **header}
    text = unsigned(head, claims)[:-1]
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), head['alg'].replace('HS', 'sha')))}"  # type: ignore[attr-defined]


def tampered(change: Callable[[str, str, str], tuple[str, str, str]]) -> Row:
    return lambda _, claims: ".".join(change(*signed(claims).split(".")))


def flipped(part: str, at: int) -> str:
    return f"{part[:at]}{'A' if part[at] != 'A' else 'B'}{part[at + 1 :]}"


def modulus() -> bytes:
    number = rsa("k1").public_key.public_numbers().n
    return number.to_bytes(256, "big")


SIGNATURES: dict[str, Row] = {
    **{alg: with_key(rsa("k1"), alg) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
    "ES256": with_key(elliptic("P-256"), "ES256"),
    "ES512": with_key(elliptic("P-521"), "ES512"),
    "EdDSA": with_key(edwards(), "EdDSA"),
    "typ in lower case": lambda _, claims: signed(claims, typ="jwt"),
    "a header that nobody knows": lambda _, claims: signed(claims, rh="0.A", x5t="abc"),
    "a long chain of certificates beside it": lambda _, claims: signed(claims, x5c=["QUJD" * 500]),
    "an address of keys that are not fetched": lambda issuer, claims: signed(claims, jku=f"{issuer.url}/nowhere"),
    "no key id where there is one key": lambda _, claims: signed(claims, kid=None),
}
FORGERIES: dict[str, Row] = {
    **{f"alg {alg!r}": (lambda _, claims, alg=alg: unsigned({"alg": alg, "kid": "k1"}, claims))
       for alg in ("none", "None", "NONE", "nOnE", "", None, 5, ["RS256"], {}, "RS256", "rs256")},
    "alg none and a signature": lambda _, claims: unsigned({"alg": "none", "kid": "k1"}, claims, "AAAA"),
    "no alg": lambda _, claims: unsigned({"kid": "k1"}, claims),
    "the public key's PEM as a secret": lambda _, claims: mac(rsa("k1").as_pem(private=False), claims),
    "the public key's DER as a secret": lambda _, claims: mac(rsa("k1").as_der(private=False), claims),
    "the public JWK as a secret": lambda _, claims: mac(json.dumps(public(rsa("k1"))).encode(), claims),
    "the modulus as a secret": lambda _, claims: mac(modulus(), claims),
    "the client secret": lambda _, claims: mac(CLIENT_SECRET.encode(), claims),
    "an empty secret": lambda _, claims: mac(b"", claims),
    "another key under the same id": lambda _, claims: signed(claims, rsa("other")),
    "another key under no id": lambda _, claims: signed(claims, rsa("other"), kid=None),
    "another algorithm of the key's": lambda _, claims: signed(claims, alg="RS256").replace(
        encoded('{"alg":"RS256","kid":"k1"}'), encoded('{"alg":"PS256","kid":"k1"}')),
    "one bit of the claims changed": tampered(lambda head, body, mark: (head, flipped(body, 30), mark)),
    "other claims": tampered(lambda head, body, mark: (head, encoded('{"sub":"x"}'), mark)),
    "the signature changed": tampered(lambda head, body, mark: (head, body, flipped(mark, 9))),
    "no signature": tampered(lambda head, body, mark: (head, body, "")),
    "the signature of another token": lambda _, claims: ".".join(
        [*signed({**claims, "sub": "x"}).split(".")[:2], signed(claims).split(".")[2]]),
    "a key of its own in the header": lambda _, claims: signed(claims, rsa("other"), jwk=public(rsa("other"))),
    "a certificate of its own": lambda _, claims: signed(claims, rsa("other"), x5c=["QUJD"]),
    "an extension that must be known": lambda _, claims: signed(claims, crit=["bork"], bork=1),
    "an empty list of extensions": lambda _, claims: signed(claims, crit=[]),
    "unencoded claims": lambda _, claims: signed(claims, b64=False, crit=["b64"]),
    "b64 alone": lambda _, claims: signed(claims, b64=True),
    **{f"typ {typ!r}": (lambda _, claims, typ=typ: signed(claims, typ=typ))
       for typ in ("logout+jwt", "at+jwt", "secevent+jwt", 5, ["JWT"], "")},
    **{f"the key id {str(kid)[:20]!r}": (lambda _, claims, kid=kid: signed(claims, kid=kid))
       for kid in ("../../dev/null", "k" * 10_000, "k1\x00", "' OR 1=1", "", "K1", 1, ["k1"], True)},
    "a key id that is null": lambda _, claims: ".".join([encoded('{"alg":"RS256","kid":null}'), "e30", "AAAA"]),
    "a header of 300 KB": lambda _, claims: signed(claims, x="x" * 300_000),
    "claims of 600 KB": lambda _, claims: signed({**claims, "x": "x" * 600_000}),
    "a header of 1,200 levels": lambda *_: f"{encoded('[' * 1200 + ']' * 1200)}.e30.AAAA",
    "a header that is no object": lambda *_: f"{encoded('[]')}.e30.AAAA",
    "a header twice": lambda _, claims: ".".join([encoded('{"alg":"none","alg":"RS256"}'), *signed(claims).split(".")[1:]]),
    "two parts": lambda _, claims: signed(claims).rpartition(".")[0],
    "four parts": lambda _, claims: f"{signed(claims)}.AAAA",
    "a line end after it": lambda _, claims: f"{signed(claims)}\n",
    "characters beyond ASCII": lambda _, claims: f"é{signed(claims)}",
    "dots": lambda *_: "..",
    "the access token": lambda *_: ACCESS_TOKEN,
    "a JWE": lambda _, claims: jwe.encrypt_compact(
        {"alg": "dir", "enc": "A256GCM"}, json.dumps(claims), OctKey.import_key(CLIENT_SECRET[:32]), ["dir", "A256GCM"]),
    **{f"instead of a token {value!r}": (lambda *_, value=value: value) for value in (None, "", 5, [], {}, True)},
    "nothing": lambda *_: ...,
}  # fmt: skip


@pytest.mark.parametrize("row", SIGNATURES)
def test_a_right_signature_signs_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: SIGNATURES[row](issuer, claims)
    let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize("row", FORGERIES)
def test_no_other_signs_anybody_in(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: FORGERIES[row](issuer, claims)
    refused(visitor, issuer, backend)
    assert len(issuer.asked(KEYS)) <= 2
