"""`id_token.verify` judges every kind of id_token, and some of each kind go through a whole sign-in.

There, a valid one signs in; any other ends at the login page before the userinfo and the backend are requested.
"""

import hashlib
import hmac
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from joserfc import jwe
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey

import providers
from providers.base import Identity, ProviderResponses
from services.backend.user import validate_identity
from services.oauth.document_cache import FRESH_SECONDS, REFRESH_PAUSE_SECONDS, DocumentCache
from services.oauth.id_token import Expected, verify
from services.oauth.signed_jwt import InvalidToken, KeyNotFound, public_keys
from tests.support.faulty_backend import FaultyBackend, faulty_backend, http_response
from tests.support.http_faults import MIB
from tests.support.issuer import (
    ACCESS_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    JWKS,
    KEY_PATHS,
    SUBJECT,
    USERINFO,
    Issuer,
    Json,
    as_objects,
    assert_no_secrets_logged,
    assert_rejected,
    assert_signed_in,
    base64url,
    ec_key,
    ed25519_key,
    post_callback,
    public_jwk,
    reset_servers,
    rsa_key,
    send_callback,
    sign_in_via_provider,
    sign_jwt,
    start_sign_in,
    unsigned_jwt,
)
from tests.support.memory import read_memory
from tests.support.site import ManualClock, Site, Visitor, a_context
from tests.support.tables import sample_rows

Row = Callable[[Issuer, Json], object]
"""A function of the issuer and the claims to sign that returns the value of `id_token`."""


@pytest.fixture(autouse=True)
def well(
    issuer: Issuer, backend: FaultyBackend, site: Site, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    clock.reset()
    reset_servers(issuer, backend, site)
    caplog.set_level(logging.INFO, "munjigi")
    yield
    assert_no_secrets_logged(caplog)


def refused(visitor: Visitor, issuer: Issuer, backend: FaultyBackend, provider: str = "oidc") -> None:
    response = sign_in_via_provider(visitor, issuer, provider)
    assert_rejected(visitor, response, "OAuthCallback")
    assert issuer.requests_to(USERINFO) == []
    assert backend.calls == []
    assert response.elapsed.total_seconds() < 4


NONCE = "n-0S6_WzA2Mj"


def verified(issuer: Issuer, row: Row) -> Json:
    """Return the claims of the row's id_token as the client of this issuer reads it; raises `InvalidToken`."""
    issuer.nonce = NONCE
    found = {"id_token": row(issuer, issuer.valid_claims())}
    found = {} if found["id_token"] is ... else json.loads(json.dumps(found))
    published = json.loads(json.dumps(issuer.jwks))
    algorithms = providers.find("oidc").algorithms
    expected = Expected((issuer.url,), CLIENT_ID, NONCE, ACCESS_TOKEN, algorithms, issuer.clock.time())
    return verify(found.get("id_token"), partial(public_keys, published), expected)


def is_unfit(issuer: Issuer, row: Row) -> bool:
    with pytest.raises(InvalidToken):
        verified(issuer, row)
    return True


# --- Claims


def but(**changes: object) -> Row:
    """Sign the claims with these changes; `...` removes a claim."""
    return lambda _, claims: sign_jwt({n: v for n, v in {**claims, **changes}.items() if v is not ...})


def from_now(**seconds: float) -> Row:
    return lambda _, claims: sign_jwt({**claims, **{name: int(time.time()) + off for name, off in seconds.items()}})


def literal(name: str, text: str) -> Row:
    """Set the claim to this literal JSON."""
    return lambda _, claims: sign_jwt(json.dumps({**claims, name: "@@"}).replace('"@@"', text).encode())


def half_hash(text: str, name: str = "sha256") -> str:
    digest = hashlib.new(name, text.encode()).digest()
    return base64url(digest[: len(digest) // 2])


GOOD_CLAIMS: dict[str, Row] = {
    "as they should be": but(),
    "a list with our id alone": but(aud=[CLIENT_ID]),
    "our id as the authorized party": but(azp=CLIENT_ID),
    "the hash of the access token": but(at_hash=half_hash(ACCESS_TOKEN)),
    "over for less than our leeway": from_now(iat=-500, exp=-30),
    "issued by a clock that is 30 s ahead": from_now(iat=30, nbf=30),
    "issued nine minutes ago": from_now(iat=-540),
    "times with fractions": lambda _, claims: sign_jwt({**claims, "iat": time.time(), "exp": time.time() + 60.5}),
    "a time of the person's sign-in": from_now(auth_time=-100_000),
    "a subject of 255 characters": lambda issuer, claims: of(issuer, claims, "s" * 255),
    "a subject with the name of a property": lambda issuer, claims: of(issuer, claims, "__proto__"),
    "a subject in decomposed Unicode": lambda issuer, claims: of(issuer, claims, "Ha\u0308ns"),
    "claims that nobody knows": but(more={"a": [1, None]}, amr=["pwd"], acr="0"),
    "170 kB of claims": but(groups=["g" * 36] * 4_200),
    "a header of 40 KB": lambda _, claims: sign_jwt(claims, x="x" * 40_000),
    "a name of 10,000 characters": but(name="n" * 10_000),
    "names and address in the token": but(name="하늘", email="h@example.com", email_verified=True),
}
BAD_CLAIMS: dict[str, Row] = {
    "the nonce of nobody": but(nonce="another"),
    "no nonce": but(nonce=...),
    "no nonce, said to be unsupported": but(nonce=..., nonce_supported=False),
    "a nonce that is null": but(nonce=None),
    "an empty nonce": but(nonce=""),
    "a nonce in a list": lambda _, claims: sign_jwt({**claims, "nonce": [claims["nonce"]]}),
    "a nonce beyond ASCII": but(nonce="\u00e9"),
    "a nonce that is a lone surrogate": literal("nonce", '"\\ud800"'),
    "another issuer": but(iss="https://evil.example"),
    "an issuer with a slash at its end": lambda issuer, claims: sign_jwt({**claims, "iss": f"{issuer.url}/"}),
    "an issuer in upper case": lambda issuer, claims: sign_jwt({**claims, "iss": issuer.url.upper()}),
    "an https issuer": lambda issuer, claims: sign_jwt({**claims, "iss": issuer.url.replace("http:", "https:")}),
    "no issuer": but(iss=...),
    "an issuer in a list": lambda issuer, claims: sign_jwt({**claims, "iss": [issuer.url]}),
    "an issuer that is null": but(iss=None),
    "another audience": but(aud="other-client"),
    "another audience, our id as azp": but(aud="other-client", azp=CLIENT_ID),
    "a list of another audience, our id as azp": but(aud=["other-client"], azp=CLIENT_ID),
    "no audience": but(aud=...),
    "no audience, our id as azp": but(aud=..., azp=CLIENT_ID),
    **{
        f"the audience {value!r}": but(aud=value, azp=CLIENT_ID)
        for value in as_objects("", [], None, {}, 0, [[]], True)
    },
    "our audience among others": but(aud=[CLIENT_ID, "other-client"]),
    "our audience among others, another azp": but(aud=[CLIENT_ID, "other-client"], azp="other-client"),
    "our audience among others, our azp": but(aud=[CLIENT_ID, "other-client"], azp=CLIENT_ID),
    "our audience twice": but(aud=[CLIENT_ID, CLIENT_ID]),
    "another authorized party": but(azp="other-client"),
    **{f"the authorized party {value!r}": but(azp=value) for value in as_objects("", None, [], 0, [CLIENT_ID])},
    "our audience in upper case": but(aud=CLIENT_ID.upper()),
    "our audience and a space": but(aud=f"{CLIENT_ID} "),
    "the beginning of our audience": but(aud=CLIENT_ID[:-1]),
    "our audience as a key": but(aud={CLIENT_ID: 1}),
    "over for an hour": from_now(exp=-3600),
    "over for 100 s": from_now(exp=-100),
    "no end": but(exp=...),
    **{
        f"the end {value!r}": but(exp=value)
        for value in as_objects("9999999999", None, True, -1, [9999999999], {}, 2**60)
    },
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
    **{
        f"the subject {value!r}": but(sub=value)
        for value in as_objects(248289761001, ["248289761001"], None, "", True, {})
    },
    "a subject of 256 characters": but(sub="s" * 256),
    "a sign-in time that is a text": but(auth_time="yesterday"),
    "methods that are no list": but(amr="pwd"),
    "the hash of another access token": but(at_hash=half_hash("another")),
    "the hash by another algorithm": but(at_hash=half_hash(ACCESS_TOKEN, "sha512")),
    "the whole hash": but(at_hash=base64url(hashlib.sha256(ACCESS_TOKEN.encode()).digest())),
    **{f"the hash {value!r}": but(at_hash=value) for value in as_objects("", None, 5, [], True, "é")},
    "the subject twice": lambda _, claims: sign_jwt(json.dumps(claims)[:-1].encode() + b', "sub": "other"}'),
    "the audience twice": lambda _, claims: sign_jwt(b'{"aud": "other", ' + json.dumps(claims)[1:].encode()),
    "a BOM": lambda _, claims: sign_jwt(b"\xef\xbb\xbf" + json.dumps(claims).encode()),
    "UTF-16": lambda _, claims: sign_jwt(json.dumps(claims).encode("utf-16")),
    "invalid UTF-8": lambda _, claims: sign_jwt(json.dumps(claims)[:-1].encode() + b', "x": "\xff"}'),
    "a list of claims": lambda _, claims: sign_jwt(json.dumps([claims]).encode()),
    "no claims": lambda *_: sign_jwt(b""),
    "null": lambda *_: sign_jwt(b"null"),
    "1,200 levels": lambda _, claims: sign_jwt(b'{"x": ' + b"[" * 1200 + b"]" * 1200 + json.dumps(claims)[1:].encode()),
}


def of(issuer: Issuer, claims: Json, subject: str) -> str:
    """Sign for another subject, and use it in the userinfo too."""
    issuer.userinfo = {"sub": subject}
    return sign_jwt({**claims, "sub": subject})


@pytest.mark.parametrize("row", GOOD_CLAIMS)
def test_valid_claims_are_accepted(issuer: Issuer, row: str) -> None:
    assert verified(issuer, GOOD_CLAIMS[row])["nonce"] == NONCE


@pytest.mark.parametrize("row", BAD_CLAIMS)
def test_invalid_claims_are_refused(issuer: Issuer, row: str) -> None:
    assert is_unfit(issuer, BAD_CLAIMS[row])


def test_the_reason_names_the_size_limit_of_an_id_token(issuer: Issuer) -> None:
    with pytest.raises(InvalidToken, match="at most 262144 are read"):
        verified(issuer, but(more="x" * 200_000))


@pytest.mark.parametrize("row", GOOD_CLAIMS)
def test_valid_claims_sign_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.make_id_token = lambda claims: GOOD_CLAIMS[row](issuer, claims)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("row", sample_rows(BAD_CLAIMS))
def test_invalid_claims_sign_nobody_in(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.make_id_token = lambda claims: BAD_CLAIMS[row](issuer, claims)
    refused(visitor, issuer, backend)


def test_an_id_token_of_an_earlier_sign_in_is_refused(
    issuer: Issuer, backend: FaultyBackend, site: Site, visitor: Visitor
) -> None:
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    earlier = sign_jwt(issuer.valid_claims())
    issuer.make_id_token = lambda _: earlier
    issuer.calls, backend.calls = [], []
    refused(site.new_visitor(), issuer, backend)


def test_an_id_token_of_another_tab_is_refused(issuer: Issuer, backend: FaultyBackend, visitor: Visitor) -> None:
    first, second = start_sign_in(visitor, issuer), start_sign_in(visitor, issuer)
    issuer.nonce = second["nonce"]
    assert_rejected(visitor, send_callback(visitor, first), "OAuthCallback")
    assert backend.calls == []
    assert_signed_in(visitor, send_callback(visitor, second))


# --- Signatures


def with_key(key: Any, alg: str) -> Row:
    def row(issuer: Issuer, claims: Json) -> str:
        issuer.jwks = {"keys": [public_jwk(key)]}
        hashed = "sha512" if alg == "EdDSA" else f"sha{alg[2:]}"
        return sign_jwt({**claims, "at_hash": half_hash(ACCESS_TOKEN, hashed)}, key, alg=alg)

    return row


def mac(secret: bytes, claims: Json, **header: object) -> str:
    head = {name: value for name, value in {"alg": "HS256", "kid": "k1", **header}.items() if value is not None}
    text = unsigned_jwt(head, claims)[:-1]
    return f"{text}.{base64url(hmac.digest(secret, text.encode(), head['alg'].replace('HS', 'sha')))}"  # type: ignore[attr-defined]


def with_header(**header: object) -> Row:
    return lambda _, claims: sign_jwt(claims, None, **header)


def says_alg(alg: object) -> Row:
    return lambda _, claims: unsigned_jwt({"alg": alg, "kid": "k1"}, claims)


def always(value: object) -> Row:
    return lambda *_: value


def tampered(change: Callable[[str, str, str], tuple[str, str, str]]) -> Row:
    return lambda _, claims: ".".join(change(*sign_jwt(claims).split(".")))


def flipped(part: str, at: int) -> str:
    return f"{part[:at]}{'A' if part[at] != 'A' else 'B'}{part[at + 1 :]}"


def modulus() -> bytes:
    number = rsa_key("k1").public_key.public_numbers().n
    return number.to_bytes(256, "big")


SIGNATURES: dict[str, Row] = {
    **{alg: with_key(rsa_key("k1"), alg) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
    "ES256": with_key(ec_key("P-256"), "ES256"),
    "ES512": with_key(ec_key("P-521"), "ES512"),
    "EdDSA": with_key(ed25519_key(), "EdDSA"),
    "typ in lower case": lambda _, claims: sign_jwt(claims, typ="jwt"),
    "a header that nobody knows": lambda _, claims: sign_jwt(claims, rh="0.A", x5t="abc"),
    "a long chain of certificates beside it": lambda _, claims: sign_jwt(claims, x5c=["QUJD" * 500]),
    "an address of keys that are not fetched": lambda issuer, claims: sign_jwt(claims, jku=f"{issuer.url}/nowhere"),
    "no key id where there is one key": lambda _, claims: sign_jwt(claims, kid=None),
}
FORGERIES: dict[str, Row] = {
    **{f"alg {alg!r}": says_alg(alg)
       for alg in as_objects("none", "None", "NONE", "nOnE", "", None, 5, ["RS256"], {}, "RS256", "rs256")},
    "alg none and a signature": lambda _, claims: unsigned_jwt({"alg": "none", "kid": "k1"}, claims, "AAAA"),
    "no alg": lambda _, claims: unsigned_jwt({"kid": "k1"}, claims),
    "the public key's PEM as a secret": lambda _, claims: mac(rsa_key("k1").as_pem(private=False), claims),
    "the public key's DER as a secret": lambda _, claims: mac(rsa_key("k1").as_der(private=False), claims),
    "the public JWK as a secret": lambda _, claims: mac(json.dumps(public_jwk(rsa_key("k1"))).encode(), claims),
    "the modulus as a secret": lambda _, claims: mac(modulus(), claims),
    "the client secret": lambda _, claims: mac(CLIENT_SECRET.encode(), claims),
    "an empty secret": lambda _, claims: mac(b"", claims),
    "another key under the same id": lambda _, claims: sign_jwt(claims, rsa_key("other")),
    "another key under no id": lambda _, claims: sign_jwt(claims, rsa_key("other"), kid=None),
    "another algorithm of the key's": lambda _, claims: sign_jwt(claims, alg="RS256").replace(
        base64url('{"alg":"RS256","kid":"k1"}'), base64url('{"alg":"PS256","kid":"k1"}')),
    "one bit of the claims changed": tampered(lambda head, body, mark: (head, flipped(body, 30), mark)),
    "other claims": tampered(lambda head, body, mark: (head, base64url('{"sub":"x"}'), mark)),
    "the signature changed": tampered(lambda head, body, mark: (head, body, flipped(mark, 9))),
    "no signature": tampered(lambda head, body, mark: (head, body, "")),
    "the signature of another token": lambda _, claims: ".".join(
        [*sign_jwt({**claims, "sub": "x"}).split(".")[:2], sign_jwt(claims).split(".")[2]]),
    "a key of its own in the header": lambda _, claims: sign_jwt(
        claims, rsa_key("other"), jwk=public_jwk(rsa_key("other"))),
    "a certificate of its own": lambda _, claims: sign_jwt(claims, rsa_key("other"), x5c=["QUJD"]),
    "an extension that must be known": lambda _, claims: sign_jwt(claims, crit=["bork"], bork=1),
    "an empty list of extensions": lambda _, claims: sign_jwt(claims, crit=[]),
    "unencoded claims": lambda _, claims: sign_jwt(claims, b64=False, crit=["b64"]),
    "b64 alone": lambda _, claims: sign_jwt(claims, b64=True),
    **{f"typ {typ!r}": with_header(typ=typ)
       for typ in as_objects("logout+jwt", "at+jwt", "secevent+jwt", 5, ["JWT"], "")},
    **{f"the key id {str(kid)[:20]!r}": with_header(kid=kid)
       for kid in as_objects("../../dev/null", "k" * 10_000, "k1\x00", "' OR 1=1", "", "K1", 1, ["k1"], True)},
    "a key id that is null": lambda _, claims: ".".join([base64url('{"alg":"RS256","kid":null}'), "e30", "AAAA"]),
    "a header of 300 KB": lambda _, claims: sign_jwt(claims, x="x" * 300_000),
    "claims of 600 KB": lambda _, claims: sign_jwt({**claims, "x": "x" * 600_000}),
    "a header of 1,200 levels": lambda *_: f"{base64url('[' * 1200 + ']' * 1200)}.e30.AAAA",
    "a header that is no object": lambda *_: f"{base64url('[]')}.e30.AAAA",
    "a header twice": tampered(lambda _, body, mark: (base64url('{"alg":"none","alg":"RS256"}'), body, mark)),
    "two parts": lambda _, claims: sign_jwt(claims).rpartition(".")[0],
    "four parts": lambda _, claims: f"{sign_jwt(claims)}.AAAA",
    "a line end after it": lambda _, claims: f"{sign_jwt(claims)}\n",
    "characters beyond ASCII": lambda _, claims: f"é{sign_jwt(claims)}",
    "dots": lambda *_: "..",
    "the access token": lambda *_: ACCESS_TOKEN,
    "a JWE": lambda *_: jwe.encrypt_compact(
        {"alg": "dir", "enc": "A256GCM"}, "{}", OctKey.import_key(CLIENT_SECRET[:32]), ["dir", "A256GCM"]),
    **{f"instead of a token {value!r}": always(value) for value in as_objects(None, "", 5, [], {}, True)},
    "nothing": lambda *_: ...,
}  # fmt: skip


@pytest.mark.parametrize("row", SIGNATURES)
def test_a_valid_signature_is_accepted(issuer: Issuer, row: str) -> None:
    assert verified(issuer, SIGNATURES[row])["sub"] == SUBJECT


@pytest.mark.parametrize("row", FORGERIES)
def test_a_forged_signature_is_refused(issuer: Issuer, row: str) -> None:
    assert is_unfit(issuer, FORGERIES[row])


@pytest.mark.parametrize("row", sample_rows(SIGNATURES))
def test_a_valid_signature_signs_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.make_id_token = lambda claims: SIGNATURES[row](issuer, claims)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("row", sample_rows(FORGERIES))
def test_a_forged_signature_signs_nobody_in(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.make_id_token = lambda claims: FORGERIES[row](issuer, claims)
    refused(visitor, issuer, backend)
    assert len(issuer.requests_to(JWKS)) <= 2


@pytest.mark.parametrize("header", ["jku", "x5u"])
def test_keys_are_never_fetched_from_a_url_in_the_token(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, header: str
) -> None:
    with faulty_backend() as elsewhere:
        issuer.make_id_token = lambda claims: sign_jwt(claims, rsa_key("other"), **{header: f"{elsewhere.url}/jwks"})
        refused(visitor, issuer, backend)
        assert elsewhere.connection_count == 0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("row", ["a header of 300 KB", "claims of 600 KB", "a header of 1,200 levels"])
def test_an_enormous_id_token_is_refused_at_once(issuer: Issuer, visitor: Visitor, row: str) -> None:
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    token = FORGERIES[row](issuer, issuer.valid_claims())
    issuer.make_id_token = lambda _: token
    asked = start_sign_in(visitor, issuer)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = read_memory("VmRSS")
    response = send_callback(visitor, asked)
    assert read_memory("VmHWM") - before < 20 * MIB
    assert response.elapsed.total_seconds() < 1


# --- Providers with issuers, algorithms and keys of their own

GOOGLE: dict[str, Row] = {
    "as it should be": but(),
    "its other name": but(iss="accounts.google.com"),
}
NOT_GOOGLE: dict[str, Row] = {
    "another issuer": lambda issuer, claims: sign_jwt({**claims, "iss": issuer.url}),
    "a name that only begins like it": but(iss="https://accounts.google.com.evil.example"),
    "PS256, which is not its own": lambda _, claims: sign_jwt(claims, alg="PS256"),
    **{row: FORGERIES[row] for row in ("alg 'none'", "the client secret", "another key under the same id", "nothing")},
    **{row: BAD_CLAIMS[row] for row in ("another audience, our id as azp", "no nonce", "over for 100 s")},
}


@pytest.mark.parametrize("row", [*GOOGLE, *NOT_GOOGLE])
def test_googles_issuer_and_audience_are_checked(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str
) -> None:
    issuer.make_id_token = lambda claims: (GOOGLE | NOT_GOOGLE)[row](issuer, claims)
    if row in GOOGLE:
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, "google"))
    else:
        refused(visitor, issuer, backend, "google")
    assert len(issuer.requests_to(KEY_PATHS["google"])) <= 2


BY_SECRET: dict[str, Row] = {
    "as it should be": lambda _, claims: mac(CLIENT_SECRET.encode(), claims, kid=None),
    "a key id, which says nothing": lambda _, claims: mac(CLIENT_SECRET.encode(), claims),
}
NOT_BY_SECRET: dict[str, Row] = {
    "RS256": but(),
    "another secret": lambda _, claims: mac(CLIENT_SECRET[:-1].encode(), claims),
    "an empty secret": lambda _, claims: mac(b"", claims),
    "HS512": lambda _, claims: mac(CLIENT_SECRET.encode(), claims, alg="HS512"),
    "alg none": FORGERIES["alg 'none'"],
    "the right secret and another nonce": lambda _, claims: mac(CLIENT_SECRET.encode(), {**claims, "nonce": "other"}),
    "nothing": FORGERIES["nothing"],
}


@pytest.mark.parametrize("row", [*BY_SECRET, *NOT_BY_SECRET])
def test_line_id_tokens_are_signed_with_the_client_secret(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str
) -> None:
    issuer.make_id_token = lambda claims: (BY_SECRET | NOT_BY_SECRET)[row](issuer, claims)
    if row in BY_SECRET:
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, "line"))
    else:
        refused(visitor, issuer, backend, "line")
    assert [call.path for call in issuer.calls] == ["/line/oauth2/v2.1/token"]


# --- Keys


def published(*keys: object, alg: str = "RS256", **header: object) -> Row:
    """Sign with `k1` (unless the header names another) while these keys are published."""

    def row(issuer: Issuer, claims: Json) -> str:
        issuer.jwks = {"keys": list(keys)}
        return sign_jwt(claims, rsa_key("k1"), alg=alg, **header)

    return row


def key_set(document: object) -> Row:
    def row(issuer: Issuer, claims: Json) -> str:
        issuer.jwks = document
        return sign_jwt(claims)

    return row


def padded(issuer: Issuer, claims: Json) -> str:
    """Sign with a short key whose modulus is padded to look longer."""
    token = weak(issuer, claims)
    number = rsa_key("short", 1024).public_key.public_numbers().n
    issuer.jwks = {"keys": [public_jwk(rsa_key("short", 1024), kid="k1", n=base64url(number.to_bytes(300, "big")))]}
    return token


def weak(issuer: Issuer, claims: Json) -> str:
    with warnings.catch_warnings(action="ignore", category=SecurityWarning):
        key = rsa_key("short", 1024)
    issuer.jwks = {"keys": [public_jwk(key, kid="k1")]}
    return sign_jwt(claims, key)


K1, OTHER = public_jwk(rsa_key("k1")), public_jwk(rsa_key("other"), kid="k2")
GOOD_KEYS: dict[str, Row] = {
    "one of two, by its id": published(OTHER, K1),
    "one without a use": published(public_jwk(rsa_key("k1"), use=None)),
    "one that says what it is for": published({**K1, "alg": "RS256", "key_ops": ["verify"]}),
    "one with members of its own": published({**K1, "x5t": 5, "x5c": "no list", "more": {}}),
    "one of two with the same id": published(public_jwk(rsa_key("other"), kid="k1"), K1),
    "one beside what is no key": published(None, 5, [], {}, "key", {"kty": []}, {**K1, "kty": "oct", "k": "AA"}, K1),
    "the only one, not named, beside one that encrypts": published(K1, {**OTHER, "use": "enc"}, kid=None),
    "the only one, without an id": published(public_jwk(rsa_key("k1"), kid=None), kid=None),
    "one of 1,000": published(*[{**OTHER, "kid": str(n)} for n in range(1_000)], K1),
    "one of 10,000 small ones": published(*[{"kty": "RSA", "kid": str(n)} for n in range(10_000)], K1),
    "one whose id has 10,000 characters": published({**K1, "kid": "k" * 10_000}, kid="k" * 10_000),
}  # fmt: skip
BAD_KEYS: dict[str, Row] = {
    "none": published(),
    "no list": key_set({"keys": {"k1": K1}}),
    "null for a list": key_set({"keys": None}),
    "no member of that name": key_set({}),
    "two, and the token names none": published(K1, OTHER, kid=None),
    "another id": published(public_jwk(rsa_key("k1"), kid="k2")),
    "no id, but the token names one": published(public_jwk(rsa_key("k1"), kid=None)),
    "one that encrypts": published({**K1, "use": "enc"}),
    "one whose use is null": published({**K1, "use": None}),
    "one that may not verify": published({**K1, "key_ops": ["encrypt"]}),
    "one with its private part": published({**rsa_key("k1").as_dict(private=True), "use": "sig"}),
    "one of another kind": published(public_jwk(ec_key("P-256"))),
    "one that says it is of another kind": published({**K1, "kty": "EC"}),
    "one of no known kind": published({**K1, "kty": "AKP"}),
    "one for key agreement": published({"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "k1"}, alg="RS256"),
    "one that is too short": weak,
    "one that only looks long enough": padded,
    "one that is far too long": published({**K1, "n": "_" + "v" * 700_000 + "w"}),
    "one with an exponent of 1": published({**K1, "e": "AQ"}),
    "one with numbers that are none": published({**K1, "n": 5, "e": None}),
    "one cut off": published({**K1, "n": ""}),
    "one beyond ASCII": published({**K1, "n": "é"}),
}


@pytest.mark.parametrize("row", GOOD_KEYS)
def test_a_matching_key_of_the_jwks_signs_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.make_id_token = lambda claims: GOOD_KEYS[row](issuer, claims)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert len(issuer.requests_to(JWKS)) == 1


@pytest.mark.parametrize("row", GOOD_KEYS)
def test_a_matching_key_of_the_jwks_is_found(issuer: Issuer, row: str) -> None:
    assert verified(issuer, GOOD_KEYS[row])["sub"] == SUBJECT


@pytest.mark.parametrize("row", BAD_KEYS)
def test_an_unsuitable_key_of_the_jwks_is_not_used(issuer: Issuer, row: str) -> None:
    with pytest.raises(KeyNotFound):
        verified(issuer, BAD_KEYS[row])


@pytest.mark.parametrize("row", sample_rows(BAD_KEYS))
def test_an_unsuitable_key_of_the_jwks_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str
) -> None:
    issuer.make_id_token = lambda claims: BAD_KEYS[row](issuer, claims)
    refused(visitor, issuer, backend)
    assert len(issuer.requests_to(JWKS)) == 2


ROTATIONS: dict[str, tuple[Json, Row]] = {
    "another id": (K1, published(OTHER)),
    "the same id": (K1, published(public_jwk(rsa_key("other"), kid="k1"))),
    "no id": (public_jwk(rsa_key("k1"), kid=None), published(public_jwk(rsa_key("other"), kid=None))),
}


@pytest.mark.parametrize("row", ROTATIONS)
def test_a_rotated_key_is_fetched(issuer: Issuer, visitor: Visitor, row: str) -> None:
    former = ROTATIONS[row][0]
    kid = former.get("kid")
    issuer.jwks = {"keys": [former]}
    issuer.make_id_token = lambda claims: sign_jwt(claims, kid=kid)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    new = {"another id": "k2", "the same id": "k1", "no id": None}[row]
    issuer.jwks = {"keys": [public_jwk(rsa_key("other"), kid=new)]}
    issuer.make_id_token = lambda claims: sign_jwt(claims, rsa_key("other"), kid=new)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert len(issuer.requests_to(JWKS)) == 2


def test_a_withdrawn_key_is_accepted_for_at_most_an_hour(
    issuer: Issuer, site: Site, visitor: Visitor, clock: ManualClock
) -> None:
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    issuer.jwks = {"keys": [OTHER]}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    clock.advance(FRESH_SECONDS + 1)
    other = site.new_visitor()
    assert_rejected(other, sign_in_via_provider(other, issuer), "OAuthCallback")


def test_unknown_key_ids_cause_one_fetch_a_minute(issuer: Issuer, visitor: Visitor, clock: ManualClock) -> None:
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    for minute in (1, 2):
        for number in range(20):
            issuer.make_id_token = partial(sign_jwt, key=rsa_key("other"), kid=f"{minute}-{number}")
            assert "OAuthCallback" in sign_in_via_provider(visitor, issuer).headers["Location"]
        assert len(issuer.requests_to(JWKS)) == 1 + minute
        clock.advance(REFRESH_PAUSE_SECONDS + 1)
    issuer.make_id_token = sign_jwt
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


def test_a_thousand_unknown_key_ids_cause_one_fetch_a_minute(clock: ManualClock) -> None:
    fetched: list[str] = []

    def get_document(url: str, *_: object, **__: object) -> Json:
        fetched.append(url)
        return {}

    documents = DocumentCache(cast(Any, SimpleNamespace(get_document=get_document)), clock)
    documents.get("/jwks", a_context())
    for _ in range(1000):
        documents.refresh("/jwks", a_context())
        clock.advance(0.3)
    assert len(fetched) == 1 + 1000 * 0.3 // REFRESH_PAUSE_SECONDS


# --- The user

SOMEBODY_ELSE: dict[str, object] = {
    "another subject": {"sub": "248289761002"},
    "no subject": {"email": "h@example.com"},
    "the subject as a number": {"sub": 248289761001},
    "the subject in a list": {"sub": ["248289761001"]},
    "a space more": {"sub": "248289761001 "},
}


@pytest.mark.parametrize("row", SOMEBODY_ELSE)
def test_userinfo_with_another_subject_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str
) -> None:
    issuer.userinfo = SOMEBODY_ELSE[row]
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "OAuthCallback")
    assert len(issuer.requests_to(USERINFO)) == 1
    assert backend.calls == []


UNREAD: dict[str, bytes] = {
    "a signed JWT": http_response(sign_jwt({"sub": SUBJECT}).encode(), Content_Type="application/jwt"),
    "HTML": http_response(b"<h1>~secret~</h1>", Content_Type="text/html"),
    "204": http_response(status=204, Content_Length=None),
    "the subject twice": http_response(b'{"sub": "1", "sub": "248289761001"}'),
    "202": http_response({"sub": SUBJECT}, 202),
    "a list": http_response([{"sub": SUBJECT, "name": "~secret~"}]),
    "a text": http_response(SUBJECT),
    "null": http_response(None),
    "too large": http_response({"sub": SUBJECT, "name": "n" * 2**20}),
}


@pytest.mark.parametrize("row", UNREAD)
def test_an_unreadable_userinfo_answer_does_not_prevent_a_sign_in_that_the_id_token_proves(
    issuer: Issuer, visitor: Visitor, row: str
) -> None:
    issuer.responses[USERINFO] = UNREAD[row]
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert len(issuer.requests_to(USERINFO)) == 1


@pytest.mark.parametrize(
    ("userinfo", "reason"),
    [
        ({}, "its userinfo has no sub"),
        ({"error": "temporarily_unavailable"}, "its userinfo has no sub"),
        ({"sub": "x"}, "its userinfo is about another person"),
    ],
)
def test_the_log_says_why_a_userinfo_answer_is_refused(
    issuer: Issuer, visitor: Visitor, caplog: pytest.LogCaptureFixture, userinfo: Json, reason: str
) -> None:
    issuer.userinfo = userinfo
    sign_in_via_provider(visitor, issuer)
    assert reason in [
        record.__dict__["fields"].get("reason") for record in caplog.records if "fields" in record.__dict__
    ]


def test_the_log_says_that_a_userinfo_answer_is_a_jwt(
    issuer: Issuer, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.responses[USERINFO] = UNREAD["a signed JWT"]
    sign_in_via_provider(visitor, issuer)
    assert f"optional call to a provider failed: {USERINFO} answered 200 with a JWT" in caplog.messages


@pytest.mark.parametrize(
    "strange",
    [{"name": 5}, {"given_name": ["x"]}, {"family_name": {}}, {"nickname": "n" * 9999}, {"picture": "javascript:x"},
     {"email": ["x"]}, {"name": "a\ud800\x00"}],
    ids=str,
)  # fmt: skip
def test_an_invalid_name_in_the_userinfo_does_not_prevent_sign_in(
    issuer: Issuer, visitor: Visitor, strange: Json
) -> None:
    issuer.userinfo = {"sub": SUBJECT, **strange}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


ADDRESSES: dict[str, tuple[object, str | None]] = {
    "an address": ("haneul@example.com", "haneul@example.com"),
    "upper case": ("Haneul@Example.COM", "Haneul@Example.COM"),
    "a dot at its end": ("haneul@example.com.", "haneul@example.com."),
    "punycode": ("haneul@xn--9t4b11yi5a.example", "haneul@xn--9t4b11yi5a.example"),
    "Korean": ("haneul@도메인.example", "haneul@xn--hq1bm8jm9l.example"),
    "nothing": ("", None),
    "null": (None, None),
    "a list": (["haneul@example.com"], None),
    "1,000 characters": (f"{'h' * 1000}@example.com", None),
    "65 characters before the at sign": (f"{'h' * 65}@example.com", None),
    "64 characters before the at sign": (f"{'h' * 64}@example.com", f"{'h' * 64}@example.com"),
    "a domain of 252 characters": (f"h@{'e' * 248}.com", f"h@{'e' * 248}.com"),
    "255 characters": (f"h@{'e' * 249}.com", None),
    "two at signs": ("a@b@example.com", None),
    "two addresses": ("victim@example.com,evil@example.org", None),
    "two addresses and a semicolon": ("victim@example.com;evil@example.org", None),
    "a full-width at sign": ("victim\uff20example.com", None),
    "a full-width at sign before another": ("victim\uff20example.com@evil.example", None),
    "a full-width at sign after another": ("victim@example.com\uff20evil.example", None),
    "a full-width comma": ("victim@example.com\uff0cevil", None),
    "a small at sign": ("victim\ufe6bexample.com@evil.example", None),
    "a line end": ("haneul@example.com\r\nBcc: x@example.com", None),
    "a line separator": ("haneul@example.com\u2028x", None),
    "NUL": ("haneul@example.com\x00", None),
    "a name before it": ("Haneul <haneul@example.com>", None),
}


@pytest.mark.parametrize("row", ADDRESSES)
def test_a_verified_address_is_passed_on_as_it_is_but_for_a_korean_domain_or_not_at_all(
    issuer: Issuer, backend: FaultyBackend, site: Site, row: str
) -> None:
    said, handed_on = ADDRESSES[row]
    assert apples_address(issuer, backend, site, email=said, email_verified=True) == handed_on


@pytest.mark.parametrize("said", [False, None, 1, 0, "false", "TRUE", "1", [], {}, ...], ids=str)
def test_an_unverified_address_is_not_passed_on(
    issuer: Issuer, backend: FaultyBackend, site: Site, said: object
) -> None:
    assert apples_address(issuer, backend, site, email="h@example.com", email_verified=said) is None


def test_apples_email_verified_may_be_the_string_true(issuer: Issuer, backend: FaultyBackend, site: Site) -> None:
    assert apples_address(issuer, backend, site, email="h@example.com", email_verified="true") == "h@example.com"


def apples_address(issuer: Issuer, backend: FaultyBackend, site: Site, **claims: object) -> object:
    """Return the address that the backend gets from a sign-in with Apple, the only provider that passes one on."""
    issuer.make_id_token = lambda good: sign_jwt({n: v for n, v in {**good, **claims}.items() if v is not ...})
    visitor = site.new_visitor()
    asked = start_sign_in(visitor, issuer, "apple")
    response = post_callback(visitor, asked, user='{"email": "evil@example.org"}')
    assert response.status_code == 303
    (call,) = backend.requests_to("/login/social/callback/apple")
    assert isinstance(call.json, dict)
    assert set(call.json) <= {"social_token", "email"}
    return call.json.get("email")


VOUCHED: dict[str, tuple[str, ProviderResponses, tuple[str | None, bool]]] = {
    "only the boolean": (
        "oidc", ProviderResponses({"sub": "1", "email": "h@e.co", "email_verified": "true"}), ("h@e.co", False)),
    "the boolean": (
        "oidc", ProviderResponses({"sub": "1", "email": "h@e.co", "email_verified": True}), ("h@e.co", True)),
    "the word for another address": (
        "oidc",
        ProviderResponses({"sub": "1", "email": "v@e.co", "email_verified": True}, {"sub": "1", "email": "h@e.co"}),
        ("h@e.co", False),
    ),
    "an outside address at Google": (
        "google", ProviderResponses({"sub": "1", "email": "h@e.co", "email_verified": True}), ("h@e.co", False)),
    "a Workspace address": (
        "google",
        ProviderResponses({"sub": "1", "email": "h@e.co", "email_verified": True, "hd": "e.co"}), ("h@e.co", True)),
    "Kakao without one": ("kakao", ProviderResponses({}, {"id": 1, "kakao_account": {}}), (None, False)),
    "Kakao, no longer valid": ("kakao", ProviderResponses({}, {"id": 1, "kakao_account": {
        "email": "h@e.co", "is_email_valid": False, "is_email_verified": True}}), (None, False)),
    "Kakao, not verified": ("kakao", ProviderResponses({}, {"id": 1, "kakao_account": {
        "email": "h@e.co", "is_email_valid": True, "is_email_verified": False}}), ("h@e.co", False)),
    "GitHub without one": ("github", ProviderResponses({}, {"id": 1, "email": None}, None), (None, False)),
    "GitHub, the public one": ("github", ProviderResponses({}, {"id": 1, "email": "p@e.co"}, []), (None, False)),
    "GitHub, primary and not verified": ("github", ProviderResponses({}, {"id": 1}, [
        {"email": "h@e.co", "primary": True}, {"email": "o@e.co", "verified": True}]), (None, False)),
    "GitHub, primary and verified": ("github", ProviderResponses({}, {"id": 1}, [
        {"email": "h@e.co", "primary": True, "verified": True}]), ("h@e.co", True)),
}  # fmt: skip


@pytest.mark.parametrize("row", VOUCHED)
def test_each_provider_marks_addresses_as_verified_by_its_own_rule(row: str) -> None:
    name, answers, expected = VOUCHED[row]
    found = validate_identity(providers.find(name).identity(answers), name)
    assert (found.email, found.email_verified) == expected


@pytest.mark.parametrize("subject", ["", "s" * 256, "a\x00", "a\n", None, True, 1.0, ["1"], {}], ids=repr)
def test_an_invalid_subject_is_refused(subject: object) -> None:
    with pytest.raises(ValueError, match="subject"):
        validate_identity(Identity(subject=subject), "oidc")


@pytest.mark.parametrize("subject", ["__proto__", "Ha\u0308ns", "H\u00e4ns", "A", "a", "s" * 255, " "])
def test_any_other_subject_is_used_unchanged(subject: str) -> None:
    assert validate_identity(Identity(subject=subject), "oidc").subject == subject
