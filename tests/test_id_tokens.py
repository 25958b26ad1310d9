"""id_tokens of every kind: `id_tokens.verify` judges each of them, and some of each kind make the whole journey.

There, a sound one signs in; any other ends at the sign-in page, before the issuer is asked about the person and
before the backend hears of it.
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
from typing import Any

import pytest
from joserfc import jwe
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey

import providers
from providers.base import Identity, ProviderResponses
from services.backend.user import validate_identity
from services.oauth.id_token import Expected, InvalidIdToken, UnknownKey, public_keys, verify
from services.oauth.metadata_cache import FRESH_SECONDS, PAUSE_SECONDS, MetadataCache
from tests.faulty_backend import UNLIMITED, FaultyBackend, answer, faulty_backend
from tests.issuer import (
    ACCESS_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    KEY_PATHS,
    KEYS,
    SUBJECT,
    USERINFO,
    Issuer,
    Json,
    all_is_well,
    come_back,
    come_back_by_form,
    edwards,
    elliptic,
    encoded,
    hold_to_silence,
    let_in,
    mixed,
    public,
    rsa,
    signed,
    start,
    travel,
    turned_away,
    unsigned,
)
from tests.site import ManualClock, Site, Visitor, running_site
from tests.tables import some
from tests.test_backend_faults import MIB, memory

Row = Callable[[Issuer, Json], object]
"""From the issuer and the claims that it should sign to what it gives for an id_token."""


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def issuer(clock: ManualClock) -> Iterator[Issuer]:
    running = Issuer()
    running.clock = clock
    yield running
    running.refuse()
    running.hang_up()


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(backend.url, clock=clock, **issuer.settings(), **UNLIMITED) as running:
        yield running


@pytest.fixture(autouse=True)
def well(
    issuer: Issuer, backend: FaultyBackend, site: Site, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    clock.reset()
    all_is_well(issuer, backend, site)
    caplog.set_level(logging.INFO, "munjigi")
    yield
    hold_to_silence(caplog)


def refused(visitor: Visitor, issuer: Issuer, backend: FaultyBackend, provider: str = "oidc") -> None:
    response = travel(visitor, issuer, provider)
    turned_away(visitor, response, "OAuthCallback")
    assert issuer.asked(USERINFO) == []
    assert backend.calls == []
    assert response.elapsed.total_seconds() < 4


NONCE = "n-0S6_WzA2Mj"


def verified(issuer: Issuer, row: Row) -> Json:
    """The claims of the row's id_token, as this issuer's discovered client reads it; raises `InvalidIdToken`."""
    issuer.nonce = NONCE
    found = {"id_token": row(issuer, issuer.good_claims())}
    found = {} if found["id_token"] is ... else json.loads(json.dumps(found))
    published = json.loads(json.dumps(issuer.published))
    algorithms = providers.find("oidc").algorithms
    expected = Expected((issuer.url,), CLIENT_ID, NONCE, ACCESS_TOKEN, algorithms, issuer.clock.time())
    return verify(found.get("id_token"), partial(public_keys, published), expected)


def is_unfit(issuer: Issuer, row: Row) -> bool:
    with pytest.raises(InvalidIdToken):
        verified(issuer, row)
    return True


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
    **{f"the audience {value!r}": but(aud=value, azp=CLIENT_ID) for value in mixed("", [], None, {}, 0, [[]], True)},
    "our audience among others": but(aud=[CLIENT_ID, "other-client"]),
    "our audience among others, another azp": but(aud=[CLIENT_ID, "other-client"], azp="other-client"),
    "our audience among others, our azp": but(aud=[CLIENT_ID, "other-client"], azp=CLIENT_ID),
    "our audience twice": but(aud=[CLIENT_ID, CLIENT_ID]),
    "another authorized party": but(azp="other-client"),
    **{f"the authorized party {value!r}": but(azp=value) for value in mixed("", None, [], 0, [CLIENT_ID])},
    "our audience in upper case": but(aud=CLIENT_ID.upper()),
    "our audience and a space": but(aud=f"{CLIENT_ID} "),
    "the beginning of our audience": but(aud=CLIENT_ID[:-1]),
    "our audience as a key": but(aud={CLIENT_ID: 1}),
    "over for an hour": from_now(exp=-3600),
    "over for 100 s": from_now(exp=-100),
    "no end": but(exp=...),
    **{f"the end {value!r}": but(exp=value) for value in mixed("9999999999", None, True, -1, [9999999999], {}, 2**60)},
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
    **{f"the subject {value!r}": but(sub=value) for value in mixed(248289761001, ["248289761001"], None, "", True, {})},
    "a subject of 256 characters": but(sub="s" * 256),
    "a sign-in time that is a text": but(auth_time="yesterday"),
    "methods that are no list": but(amr="pwd"),
    "the hash of another access token": but(at_hash=half_hash("another")),
    "the hash by another algorithm": but(at_hash=half_hash(ACCESS_TOKEN, "sha512")),
    "the whole hash": but(at_hash=encoded(hashlib.sha256(ACCESS_TOKEN.encode()).digest())),
    **{f"the hash {value!r}": but(at_hash=value) for value in mixed("", None, 5, [], True, "é")},
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
def test_sound_claims_are_believed(issuer: Issuer, row: str) -> None:
    assert verified(issuer, GOOD_CLAIMS[row])["nonce"] == NONCE


@pytest.mark.parametrize("row", BAD_CLAIMS)
def test_other_claims_are_not(issuer: Issuer, row: str) -> None:
    assert is_unfit(issuer, BAD_CLAIMS[row])


@pytest.mark.parametrize("row", GOOD_CLAIMS)
def test_sound_claims_sign_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: GOOD_CLAIMS[row](issuer, claims)
    let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize("row", some(BAD_CLAIMS))
def test_other_claims_sign_nobody_in(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: BAD_CLAIMS[row](issuer, claims)
    refused(visitor, issuer, backend)


def test_a_token_of_an_earlier_sign_in_is_of_no_use(
    issuer: Issuer, backend: FaultyBackend, site: Site, visitor: Visitor
) -> None:
    let_in(visitor, travel(visitor, issuer))
    earlier = signed(issuer.good_claims())
    issuer.id_token = lambda _: earlier
    issuer.calls, backend.calls = [], []
    refused(site.visitor(), issuer, backend)


def test_nor_is_one_of_another_tab(issuer: Issuer, backend: FaultyBackend, visitor: Visitor) -> None:
    first, second = start(visitor, issuer), start(visitor, issuer)
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
    head = {name: value for name, value in {"alg": "HS256", "kid": "k1", **header}.items() if value is not None}
    text = unsigned(head, claims)[:-1]
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), head['alg'].replace('HS', 'sha')))}"  # type: ignore[attr-defined]


def with_header(**header: object) -> Row:
    return lambda _, claims: signed(claims, None, **header)


def says_alg(alg: object) -> Row:
    return lambda _, claims: unsigned({"alg": alg, "kid": "k1"}, claims)


def always(value: object) -> Row:
    return lambda *_: value


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
    **{f"alg {alg!r}": says_alg(alg)
       for alg in mixed("none", "None", "NONE", "nOnE", "", None, 5, ["RS256"], {}, "RS256", "rs256")},
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
    **{f"typ {typ!r}": with_header(typ=typ)
       for typ in mixed("logout+jwt", "at+jwt", "secevent+jwt", 5, ["JWT"], "")},
    **{f"the key id {str(kid)[:20]!r}": with_header(kid=kid)
       for kid in mixed("../../dev/null", "k" * 10_000, "k1\x00", "' OR 1=1", "", "K1", 1, ["k1"], True)},
    "a key id that is null": lambda _, claims: ".".join([encoded('{"alg":"RS256","kid":null}'), "e30", "AAAA"]),
    "a header of 300 KB": lambda _, claims: signed(claims, x="x" * 300_000),
    "claims of 600 KB": lambda _, claims: signed({**claims, "x": "x" * 600_000}),
    "claims of 40 KB": lambda _, claims: signed({**claims, "x": "x" * 40_000}),
    "a header of 1,200 levels": lambda *_: f"{encoded('[' * 1200 + ']' * 1200)}.e30.AAAA",
    "a header that is no object": lambda *_: f"{encoded('[]')}.e30.AAAA",
    "a header twice": tampered(lambda _, body, mark: (encoded('{"alg":"none","alg":"RS256"}'), body, mark)),
    "two parts": lambda _, claims: signed(claims).rpartition(".")[0],
    "four parts": lambda _, claims: f"{signed(claims)}.AAAA",
    "a line end after it": lambda _, claims: f"{signed(claims)}\n",
    "characters beyond ASCII": lambda _, claims: f"é{signed(claims)}",
    "dots": lambda *_: "..",
    "the access token": lambda *_: ACCESS_TOKEN,
    "a JWE": lambda *_: jwe.encrypt_compact(
        {"alg": "dir", "enc": "A256GCM"}, "{}", OctKey.import_key(CLIENT_SECRET[:32]), ["dir", "A256GCM"]),
    **{f"instead of a token {value!r}": always(value) for value in mixed(None, "", 5, [], {}, True)},
    "nothing": lambda *_: ...,
}  # fmt: skip


@pytest.mark.parametrize("row", SIGNATURES)
def test_a_right_signature_is_believed(issuer: Issuer, row: str) -> None:
    assert verified(issuer, SIGNATURES[row])["sub"] == SUBJECT


@pytest.mark.parametrize("row", FORGERIES)
def test_no_other_is(issuer: Issuer, row: str) -> None:
    assert is_unfit(issuer, FORGERIES[row])


@pytest.mark.parametrize("row", some(SIGNATURES))
def test_a_right_signature_signs_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: SIGNATURES[row](issuer, claims)
    let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize("row", some(FORGERIES))
def test_no_other_signs_anybody_in(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: FORGERIES[row](issuer, claims)
    refused(visitor, issuer, backend)
    assert len(issuer.asked(KEYS)) <= 2


@pytest.mark.parametrize("header", ["jku", "x5u"])
def test_keys_are_never_fetched_from_where_a_token_says(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, header: str
) -> None:
    with faulty_backend() as elsewhere:
        issuer.id_token = lambda claims: signed(claims, rsa("other"), **{header: f"{elsewhere.url}/jwks"})
        refused(visitor, issuer, backend)
        assert elsewhere.connections == 0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("row", ["a header of 300 KB", "claims of 600 KB", "a header of 1,200 levels"])
def test_a_giant_token_is_refused_at_once(issuer: Issuer, visitor: Visitor, row: str) -> None:
    let_in(visitor, travel(visitor, issuer))
    token = FORGERIES[row](issuer, issuer.good_claims())
    issuer.id_token = lambda _: token
    asked = start(visitor, issuer)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = memory("VmRSS")
    response = come_back(visitor, asked)
    assert memory("VmHWM") - before < 20 * MIB
    assert response.elapsed.total_seconds() < 1


# --- Other issuers: with their own names, algorithms and keys

GOOGLE: dict[str, Row] = {
    "as it should be": but(),
    "its other name": but(iss="accounts.google.com"),
}
NOT_GOOGLE: dict[str, Row] = {
    "another issuer": lambda issuer, claims: signed({**claims, "iss": issuer.url}),
    "a name that only begins like it": but(iss="https://accounts.google.com.evil.example"),
    "PS256, which is not its own": lambda _, claims: signed(claims, alg="PS256"),
    **{row: FORGERIES[row] for row in ("alg 'none'", "the client secret", "another key under the same id", "nothing")},
    **{row: BAD_CLAIMS[row] for row in ("another audience, our id as azp", "no nonce", "over for 100 s")},
}


@pytest.mark.parametrize("row", [*GOOGLE, *NOT_GOOGLE])
def test_google(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: (GOOGLE | NOT_GOOGLE)[row](issuer, claims)
    if row in GOOGLE:
        let_in(visitor, travel(visitor, issuer, "google"))
    else:
        refused(visitor, issuer, backend, "google")
    assert len(issuer.asked(KEY_PATHS["google"])) <= 2


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
def test_line_signs_with_the_client_secret(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: (BY_SECRET | NOT_BY_SECRET)[row](issuer, claims)
    if row in BY_SECRET:
        let_in(visitor, travel(visitor, issuer, "line"))
    else:
        refused(visitor, issuer, backend, "line")
    assert [call.path for call in issuer.calls] == ["/line/oauth2/v2.1/token"]


# --- Keys


def published(*keys: object, alg: str = "RS256", **header: object) -> Row:
    """A token signed by `k1` (unless the header says otherwise), beside these keys."""

    def row(issuer: Issuer, claims: Json) -> str:
        issuer.published = {"keys": list(keys)}
        return signed(claims, rsa("k1"), alg=alg, **header)

    return row


def key_set(document: object) -> Row:
    def row(issuer: Issuer, claims: Json) -> str:
        issuer.published = document
        return signed(claims)

    return row


def padded(issuer: Issuer, claims: Json) -> str:
    """A short key whose modulus looks longer."""
    token = weak(issuer, claims)
    number = rsa("short", 1024).public_key.public_numbers().n
    issuer.published = {"keys": [public(rsa("short", 1024), kid="k1", n=encoded(number.to_bytes(300, "big")))]}
    return token


def weak(issuer: Issuer, claims: Json) -> str:
    with warnings.catch_warnings(action="ignore", category=SecurityWarning):
        key = rsa("short", 1024)
    issuer.published = {"keys": [public(key, kid="k1")]}
    return signed(claims, key)


K1, OTHER = public(rsa("k1")), public(rsa("other"), kid="k2")
GOOD_KEYS: dict[str, Row] = {
    "one of two, by its id": published(OTHER, K1),
    "one without a use": published(public(rsa("k1"), use=None)),
    "one that says what it is for": published({**K1, "alg": "RS256", "key_ops": ["verify"]}),
    "one with members of its own": published({**K1, "x5t": 5, "x5c": "no list", "more": {}}),
    "one of two with the same id": published(public(rsa("other"), kid="k1"), K1),
    "one beside what is no key": published(None, 5, [], {}, "key", {"kty": []}, {**K1, "kty": "oct", "k": "AA"}, K1),
    "the only one, not named, beside one that encrypts": published(K1, {**OTHER, "use": "enc"}, kid=None),
    "the only one, without an id": published(public(rsa("k1"), kid=None), kid=None),
}  # fmt: skip
BAD_KEYS: dict[str, Row] = {
    "none": published(),
    "no list": key_set({"keys": {"k1": K1}}),
    "null for a list": key_set({"keys": None}),
    "no member of that name": key_set({}),
    "two, and the token names none": published(K1, OTHER, kid=None),
    "another id": published(public(rsa("k1"), kid="k2")),
    "no id, but the token names one": published(public(rsa("k1"), kid=None)),
    "one that encrypts": published({**K1, "use": "enc"}),
    "one whose use is null": published({**K1, "use": None}),
    "one that may not verify": published({**K1, "key_ops": ["encrypt"]}),
    "one with its private part": published({**rsa("k1").as_dict(private=True), "use": "sig"}),
    "one of another kind": published(public(elliptic("P-256"))),
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
    "101 of them": published(K1, *[{}] * 100),
    "10,000 of them": published(K1, *[{**OTHER, "n": "AQAB", "kid": str(n)} for n in range(10_000)]),
}


@pytest.mark.parametrize("row", GOOD_KEYS)
def test_a_key_that_explains_the_signature_signs_in(issuer: Issuer, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: GOOD_KEYS[row](issuer, claims)
    let_in(visitor, travel(visitor, issuer))
    assert len(issuer.asked(KEYS)) == 1


@pytest.mark.parametrize("row", GOOD_KEYS)
def test_a_key_that_explains_the_signature_is_found(issuer: Issuer, row: str) -> None:
    assert verified(issuer, GOOD_KEYS[row])["sub"] == SUBJECT


@pytest.mark.parametrize("row", BAD_KEYS)
def test_no_other_key_is_taken_for_it(issuer: Issuer, row: str) -> None:
    with pytest.raises(UnknownKey):
        verified(issuer, BAD_KEYS[row])


@pytest.mark.parametrize("row", some(BAD_KEYS))
def test_no_other_key_does(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.id_token = lambda claims: BAD_KEYS[row](issuer, claims)
    refused(visitor, issuer, backend)
    assert len(issuer.asked(KEYS)) == 2


ROTATIONS: dict[str, tuple[Json, Row]] = {
    "another id": (K1, published(OTHER)),
    "the same id": (K1, published(public(rsa("other"), kid="k1"))),
    "no id": (public(rsa("k1"), kid=None), published(public(rsa("other"), kid=None))),
}


@pytest.mark.parametrize("row", ROTATIONS)
def test_a_new_key_is_picked_up(issuer: Issuer, visitor: Visitor, row: str) -> None:
    former = ROTATIONS[row][0]
    kid = former.get("kid")
    issuer.published = {"keys": [former]}
    issuer.id_token = lambda claims: signed(claims, kid=kid)
    let_in(visitor, travel(visitor, issuer))
    new = {"another id": "k2", "the same id": "k1", "no id": None}[row]
    issuer.published = {"keys": [public(rsa("other"), kid=new)]}
    issuer.id_token = lambda claims: signed(claims, rsa("other"), kid=new)
    let_in(visitor, travel(visitor, issuer))
    let_in(visitor, travel(visitor, issuer))
    assert len(issuer.asked(KEYS)) == 2


def test_a_key_that_is_withdrawn_is_good_for_an_hour_at_most(
    issuer: Issuer, site: Site, visitor: Visitor, clock: ManualClock
) -> None:
    let_in(visitor, travel(visitor, issuer))
    issuer.published = {"keys": [OTHER]}
    let_in(visitor, travel(visitor, issuer))
    clock.advance(FRESH_SECONDS + 1)
    other = site.visitor()
    turned_away(other, travel(other, issuer), "OAuthCallback")


def test_made_up_key_ids_cost_one_look_a_minute(issuer: Issuer, visitor: Visitor, clock: ManualClock) -> None:
    let_in(visitor, travel(visitor, issuer))
    for minute in (1, 2):
        for number in range(20):
            issuer.id_token = partial(signed, key=rsa("other"), kid=f"{minute}-{number}")
            assert "OAuthCallback" in travel(visitor, issuer).headers["Location"]
        assert len(issuer.asked(KEYS)) == 1 + minute
        clock.advance(PAUSE_SECONDS + 1)
    issuer.id_token = signed
    let_in(visitor, travel(visitor, issuer))


def test_a_thousand_of_them_too(clock: ManualClock) -> None:
    fetched: list[str] = []

    def fetch(url: str, briefly: bool) -> Json:
        fetched.append(url)
        return {}

    documents = MetadataCache(fetch, lambda: 1.0, clock=clock)
    documents.get("/jwks")
    for _ in range(1000):
        documents.again("/jwks")
        clock.advance(0.3)
    assert len(fetched) == 1 + 1000 * 0.3 // PAUSE_SECONDS


# --- Who the person is

SOMEBODY_ELSE: dict[str, object] = {
    "another subject": {"sub": "248289761002"},
    "no subject": {"email": "h@example.com"},
    "the subject as a number": {"sub": 248289761001},
    "the subject in a list": {"sub": ["248289761001"]},
    "a space more": {"sub": "248289761001 "},
    "a list": [{"sub": SUBJECT}],
    "a text": SUBJECT,
    "null": None,
}


@pytest.mark.parametrize("row", SOMEBODY_ELSE)
def test_userinfo_about_somebody_else_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str
) -> None:
    issuer.person = SOMEBODY_ELSE[row]
    turned_away(visitor, travel(visitor, issuer), "OAuthCallback")
    assert len(issuer.asked(USERINFO)) == 1
    assert backend.calls == []


UNREAD: dict[str, bytes] = {
    "a signed JWT": answer(signed({"sub": SUBJECT}).encode(), Content_Type="application/jwt"),
    "HTML": answer(b"<h1>~secret~</h1>", Content_Type="text/html"),
    "204": answer(status=204, Content_Length=None),
    "the subject twice": answer(b'{"sub": "1", "sub": "248289761001"}'),
    "202": answer({"sub": SUBJECT}, 202),
}


@pytest.mark.parametrize("row", UNREAD)
def test_nor_does_what_is_no_userinfo(issuer: Issuer, backend: FaultyBackend, visitor: Visitor, row: str) -> None:
    issuer.answers[USERINFO] = UNREAD[row]
    turned_away(visitor, travel(visitor, issuer), "OAuthCallback")
    assert backend.calls == []


@pytest.mark.parametrize(
    "strange",
    [{"name": 5}, {"given_name": ["x"]}, {"family_name": {}}, {"nickname": "n" * 9999}, {"picture": "javascript:x"},
     {"email": ["x"]}, {"name": "a\ud800\x00"}],
    ids=str,
)  # fmt: skip
def test_a_strange_name_locks_nobody_out(issuer: Issuer, visitor: Visitor, strange: Json) -> None:
    issuer.person = {"sub": SUBJECT, **strange}
    let_in(visitor, travel(visitor, issuer))


ADDRESSES: dict[str, tuple[object, str | None]] = {
    "an address": ("haneul@example.com", "haneul@example.com"),
    "upper case": ("Haneul@Example.COM", "Haneul@Example.COM"),
    "a dot at its end": ("haneul@example.com.", "haneul@example.com."),
    "punycode": ("haneul@xn--9t4b11yi5a.example", "haneul@xn--9t4b11yi5a.example"),
    "nothing": ("", None),
    "null": (None, None),
    "a list": (["haneul@example.com"], None),
    "1,000 characters": (f"{'h' * 1000}@example.com", None),
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
def test_an_address_is_handed_on_as_it_is_or_not_at_all(
    issuer: Issuer, backend: FaultyBackend, site: Site, row: str
) -> None:
    said, handed_on = ADDRESSES[row]
    assert apples_address(issuer, backend, site, email=said, email_verified=True) == handed_on


@pytest.mark.parametrize("said", [False, None, 1, 0, "false", "TRUE", "1", [], {}, ...], ids=str)
def test_an_address_that_nobody_has_verified_is_not(
    issuer: Issuer, backend: FaultyBackend, site: Site, said: object
) -> None:
    assert apples_address(issuer, backend, site, email="h@example.com", email_verified=said) is None


def test_one_verified_as_apple_writes_it_is(issuer: Issuer, backend: FaultyBackend, site: Site) -> None:
    assert apples_address(issuer, backend, site, email="h@example.com", email_verified="true") == "h@example.com"


def apples_address(issuer: Issuer, backend: FaultyBackend, site: Site, **claims: object) -> object:
    """The address that the backend gets from a sign-in with Apple, the only one that hands one on."""
    issuer.id_token = lambda good: signed({n: v for n, v in {**good, **claims}.items() if v is not ...})
    visitor = site.visitor()
    asked = start(visitor, issuer, "apple")
    response = come_back_by_form(visitor, asked, user='{"email": "evil@example.org"}')
    assert response.status_code == 303
    (call,) = backend.asked("/login/social/callback/apple")
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
def test_who_vouches_for_an_address(row: str) -> None:
    name, answers, expected = VOUCHED[row]
    found = validate_identity(providers.find(name).identity(answers), name)
    assert (found.email, found.email_verified) == expected


@pytest.mark.parametrize("subject", ["", "s" * 256, "a\x00", "a\n", None, True, 1.0, ["1"], {}], ids=repr)
def test_a_subject_that_is_none_is_nobody(subject: object) -> None:
    with pytest.raises(ValueError, match="no subject"):
        validate_identity(Identity(subject=subject), "oidc")


@pytest.mark.parametrize("subject", ["__proto__", "Ha\u0308ns", "H\u00e4ns", "A", "a", "s" * 255, " "])
def test_any_other_is_taken_to_the_letter(subject: str) -> None:
    assert validate_identity(Identity(subject=subject), "oidc").subject == subject
