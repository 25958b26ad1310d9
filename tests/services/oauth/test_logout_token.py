"""An OpenID Connect issuer ends sessions: Back-Channel Logout 1.0.

The modules of the conformance suite are in `test_openid_rp_plans.py`.
"""

import hmac
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

import providers
from services.clock import Clock
from services.oauth.document_cache import REFRESH_PAUSE_SECONDS
from services.oauth.logout_token import EVENT, MAX_AGE_SECONDS, Expected, verify
from services.oauth.signed_jwt import InvalidToken, public_keys
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, http_response
from tests.support.issuer import (
    CLIENT_ID,
    DISCOVERY,
    INVALID_LOGOUT_TOKENS,
    JWKS,
    LOGOUT_TYPE,
    Issuer,
    Json,
    as_objects,
    assert_no_secrets_logged,
    assert_signed_in,
    base64url,
    ec_key,
    ed25519_key,
    logout_claims,
    logout_token,
    public_jwk,
    reset_servers,
    rsa_key,
    sign_in_via_provider,
    sign_jwt,
    unsigned_jwt,
)
from tests.support.redis_server import redis_server
from tests.support.site import ManualClock, Site, Visitor, running_site


@pytest.fixture(autouse=True)
def well(
    issuer: Issuer, backend: FaultyBackend, site: Site, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    clock.reset()
    reset_servers(issuer, backend, site)
    issuer.subject, issuer.sid = uuid.uuid4().hex, uuid.uuid4().hex
    caplog.set_level(logging.INFO, "munjigi")
    yield
    assert_no_secrets_logged(caplog)


def signed_in(site: Site, issuer: Issuer, provider: str = "oidc", **claims: object) -> Visitor:
    visitor = site.new_visitor()
    issuer.extra_claims = {"sub": issuer.subject, "sid": issuer.sid, **claims}
    issuer.userinfo = {"sub": issuer.extra_claims["sub"]}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, provider))
    return visitor


def send(site: Site, token: object, provider: str = "oidc") -> requests.Response:
    """Send a logout token, as an issuer does: without cookies."""
    return site.new_visitor().post(f"/api/auth/backchannel-logout/{provider}", data={"logout_token": token})


def expect_accepted(answer: requests.Response) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content == b""
    assert "Set-Cookie" not in answer.headers


def expect_refused(answer: requests.Response) -> None:
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["error"] == "invalid_request"
    assert answer.json()["error_description"]


# --- Which sessions end


def test_a_token_with_a_sid_ends_the_sessions_of_that_session_only(site: Site, issuer: Issuer) -> None:
    phone, laptop, tablet = signed_in(site, issuer), signed_in(site, issuer, sid="another"), signed_in(site, issuer)
    for claims in ({}, {"sub": ...}):
        expect_accepted(send(site, logout_token(issuer, **claims)))
        assert not phone.is_signed_in
        assert not tablet.is_signed_in
        assert laptop.is_signed_in


def test_a_token_without_a_sid_ends_all_sessions_of_the_person(site: Site, issuer: Issuer) -> None:
    phone, laptop, no_sid = (signed_in(site, issuer, sid=sid) for sid in ("a", "b", None))
    jun = signed_in(site, issuer, sub="another")
    expect_accepted(send(site, logout_token(issuer, sid=...)))
    assert not phone.is_signed_in
    assert not laptop.is_signed_in
    assert not no_sid.is_signed_in
    assert jun.is_signed_in


@pytest.mark.parametrize("claims", [{}, {"sid": ...}], ids=["sid", "sub"])
def test_who_signs_in_again_stays_signed_in(site: Site, issuer: Issuer, claims: Json) -> None:
    """Within the same second, with the same session at the issuer."""
    for _ in range(4):
        visitor = signed_in(site, issuer)
        expect_accepted(send(site, logout_token(issuer, **claims)))
        assert not visitor.is_signed_in
    assert signed_in(site, issuer).is_signed_in


@pytest.mark.parametrize("claims", [{}, {"sid": ...}], ids=["sid", "sub"])
def test_a_token_that_comes_late_leaves_later_sessions_alone(
    site: Site, issuer: Issuer, clock: ManualClock, claims: Json
) -> None:
    before = signed_in(site, issuer)
    clock.advance(30)
    late = logout_token(issuer, **claims)
    clock.advance(30)
    after = signed_in(site, issuer)
    expect_accepted(send(site, late))
    assert not before.is_signed_in
    assert after.is_signed_in


@pytest.mark.parametrize("seconds", [-50, 50])
def test_the_clock_of_the_issuer_may_differ(site: Site, issuer: Issuer, seconds: int) -> None:
    issuer.clock = ManualClock()
    issuer.clock.advance(seconds)
    before = signed_in(site, issuer)
    expect_accepted(send(site, logout_token(issuer)))
    assert not before.is_signed_in
    assert signed_in(site, issuer).is_signed_in


def test_the_sessions_of_other_providers_and_of_passwords_do_not_end(site: Site, issuer: Issuer) -> None:
    google, password = signed_in(site, issuer, "google"), site.new_visitor()
    password.sign_in()
    for claims in ({}, {"sid": ...}):
        expect_accepted(send(site, logout_token(issuer, **claims)))
    assert google.is_signed_in
    assert password.is_signed_in


def test_a_session_that_ended_already_is_no_error(site: Site, issuer: Issuer) -> None:
    visitor = signed_in(site, issuer)
    visitor.submit("/auth/logout", {})
    expect_accepted(send(site, logout_token(issuer)))


def test_a_token_ends_sessions_once(site: Site, issuer: Issuer) -> None:
    token = logout_token(issuer)
    expect_accepted(send(site, token))
    visitor = signed_in(site, issuer)
    expect_refused(send(site, token))
    assert visitor.is_signed_in


def test_forward_auth_refuses_the_session_at_once(site: Site, issuer: Issuer) -> None:
    visitor = signed_in(site, issuer)
    assert visitor.get("/auth/verify").status_code == 204
    send(site, logout_token(issuer))
    assert visitor.get("/auth/verify").status_code == 401


def test_an_answer_to_the_same_sign_in_that_comes_later_does_not_bring_the_session_back(
    site: Site, issuer: Issuer
) -> None:
    visitor = site.new_visitor()
    answer = sign_in_via_provider(visitor, issuer)
    send(site, logout_token(issuer))
    again = site.new_visitor()
    again.get(answer.url)
    assert not again.is_signed_in


# --- Who may send a token, and how


def test_a_token_that_is_signed_with_a_new_key_is_accepted(site: Site, issuer: Issuer, clock: ManualClock) -> None:
    visitor = signed_in(site, issuer)
    issuer.jwks = {"keys": [public_jwk(rsa_key("k2"))]}
    clock.advance(REFRESH_PAUSE_SECONDS + 1)
    expect_accepted(send(site, sign_jwt(logout_claims(issuer), rsa_key("k2"), kid="k2", typ=LOGOUT_TYPE)))
    assert not visitor.is_signed_in


@pytest.mark.parametrize("provider", ["github", "line", "kakao", "email", "nobody", "..", "%FF", "oidc%00"])
def test_a_provider_that_is_off_or_has_no_keys_has_no_such_address(site: Site, issuer: Issuer, provider: str) -> None:
    assert send(site, logout_token(issuer), provider).status_code in (404, 405)


def test_a_token_of_one_provider_is_refused_at_the_address_of_another(site: Site, issuer: Issuer) -> None:
    expect_refused(send(site, logout_token(issuer), "google"))


def test_an_id_token_ends_no_session(site: Site, issuer: Issuer) -> None:
    tokens: list[str] = []

    def make_id_token(claims: Json) -> str:
        tokens.append(sign_jwt(claims))
        return tokens[-1]

    issuer.make_id_token = make_id_token
    visitor = signed_in(site, issuer)
    expect_refused(send(site, tokens[-1]))
    assert visitor.is_signed_in


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"logout_token": ""},
        {"logout_token": "x"},
        {"logout_token": "a.b.c"},
        {"logout_token": ["a", "b"]},
        {"id_token": "x"},
        b"logout_token=%ff%00",
        b"\xff\x00",
        b"=&=&;",
    ],
    ids=str,
)
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json", "text/plain", ""])
def test_a_request_without_a_token_gets_400(site: Site, content_type: str, body: dict[str, object] | bytes) -> None:
    headers = {"Content-Type": content_type}
    expect_refused(site.new_visitor().post("/api/auth/backchannel-logout/oidc", data=body, headers=headers))


def test_a_body_that_is_too_large_gets_413(site: Site) -> None:
    assert send(site, "x" * 70_000).status_code == 413


def test_a_token_in_the_query_is_not_read(site: Site, issuer: Issuer) -> None:
    visitor = signed_in(site, issuer)
    query = {"logout_token": logout_token(issuer)}
    expect_refused(site.new_visitor().post("/api/auth/backchannel-logout/oidc", params=query))
    assert site.new_visitor().get("/api/auth/backchannel-logout/oidc", params=query).status_code == 405
    assert visitor.is_signed_in


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
def test_while_the_issuer_cannot_be_reached_the_token_is_refused_and_may_come_again(
    site: Site, issuer: Issuer, path: str
) -> None:
    token, response = logout_token(issuer), issuer.responses[path]
    issuer.responses[path] = http_response(status=503)
    answer = send(site, token)
    assert (answer.status_code, answer.json()["error"]) == (400, "temporarily_unavailable")
    issuer.responses[path] = response
    site.app.extensions["munjigi"].oauth.metadata._cache._entries.clear()
    expect_accepted(send(site, token))


def test_the_log_says_who_ended_sessions_and_why_a_token_was_refused(
    site: Site, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    send(site, logout_token(issuer))
    send(site, logout_token(issuer, events=...))
    fields = [getattr(record, "fields", {}) for record in caplog.records if record.message == "session_revoked"]
    assert [(each["by"], each["scope"]) for each in fields] == [("oidc", "session")]
    assert "logout token refused: provider=oidc reason=it is not about a logout" in caplog.messages


# --- What a token must be like

VALID: dict[str, Callable[[Issuer], object]] = {
    "typ logout+jwt": logout_token,
    "typ in upper case": lambda issuer: sign_jwt(logout_claims(issuer), typ="LOGOUT+JWT"),
    "typ with application/": lambda issuer: sign_jwt(logout_claims(issuer), typ="application/logout+jwt"),
    "typ JWT": lambda issuer: sign_jwt(logout_claims(issuer), typ="JWT"),
    "no typ": lambda issuer: sign_jwt(logout_claims(issuer)),
    "aud as a list": lambda issuer: logout_token(issuer, aud=[CLIENT_ID]),
    "an unknown claim": lambda issuer: logout_token(issuer, trace_id="x"),
    "another event beside it": lambda issuer: logout_token(issuer, events={EVENT: {}, "urn:x": {}}),
    "a member in the event": lambda issuer: logout_token(issuer, events={EVENT: {"reason": "x"}}),
    "sub alone": lambda issuer: logout_token(issuer, sid=...),
    "sid alone": lambda issuer: logout_token(issuer, sub=...),
    "iat and exp with fractions": lambda issuer: logout_token(issuer, iat=issuer.clock.time(), exp=2**33 + 0.5),
    "issued ten minutes ago": lambda issuer: logout_token(issuer, iat=int(issuer.clock.time()) - MAX_AGE_SECONDS),
    "issued in 50 s": lambda issuer: logout_token(issuer, iat=int(issuer.clock.time()) + 50),
    "expired 50 s ago": lambda issuer: logout_token(issuer, exp=int(issuer.clock.time()) - 50),
    "ES256": lambda issuer: sign_jwt(logout_claims(issuer), ec_key("P-256"), alg="ES256", typ=LOGOUT_TYPE),
    "EdDSA": lambda issuer: sign_jwt(logout_claims(issuer), ed25519_key(), alg="EdDSA", typ=LOGOUT_TYPE),
}


def sign_with_public_key_as_secret(claims: Json) -> str:
    """Sign with HS256 and the public key as the secret (RFC 8725, 2.1)."""
    signing_input = unsigned_jwt({"alg": "HS256", "kid": "k1", "typ": LOGOUT_TYPE}, claims).removesuffix(".")
    mac = hmac.digest(rsa_key("k1").as_pem(private=False), signing_input.encode(), "sha256")
    return f"{signing_input}.{base64url(mac)}"


NO_TIMES = as_objects(..., None, "1", True, -1, 2**60, [], {})
NO_IDS = as_objects(None, "", 7, True, [], {}, ["x"], "x" * 256)
NO_EVENTS = as_objects(None, EVENT, [EVENT], [{EVENT: {}}], {}, {EVENT: None}, {EVENT: True}, {EVENT: []}, {EVENT: ""})
INVALID: dict[str, Callable[[Issuer], object]] = {
    **INVALID_LOGOUT_TOKENS,
    **{f"iat {value}": lambda issuer, value=value: logout_token(issuer, iat=value) for value in NO_TIMES},  # type: ignore[misc]
    **{f"exp {value}": lambda issuer, value=value: logout_token(issuer, exp=value) for value in NO_TIMES},  # type: ignore[misc]
    **{f"sub {value}": lambda issuer, value=value: logout_token(issuer, sub=value) for value in NO_IDS},  # type: ignore[misc]
    **{f"sid {value}": lambda issuer, value=value: logout_token(issuer, sid=value) for value in NO_IDS},  # type: ignore[misc]
    **{f"jti {value}": lambda issuer, value=value: logout_token(issuer, jti=value) for value in (*NO_IDS, ...)},  # type: ignore[misc]
    **{f"events {value}": lambda issuer, value=value: logout_token(issuer, events=value) for value in NO_EVENTS},  # type: ignore[misc]
    "neither sub nor sid": lambda issuer: logout_token(issuer, sub=..., sid=...),
    "nonce null": lambda issuer: logout_token(issuer, nonce=None),
    "nonce empty": lambda issuer: logout_token(issuer, nonce=""),
    "no iss": lambda issuer: logout_token(issuer, iss=...),
    "iss with a slash": lambda issuer: logout_token(issuer, iss=f"{issuer.url}/"),
    "iss as a list": lambda issuer: logout_token(issuer, iss=[issuer.url]),
    "no aud": lambda issuer: logout_token(issuer, aud=...),
    "aud empty": lambda issuer: logout_token(issuer, aud=[]),
    "aud of two": lambda issuer: logout_token(issuer, aud=[CLIENT_ID, "another"]),
    "issued long ago": lambda issuer: logout_token(issuer, iat=int(issuer.clock.time()) - MAX_AGE_SECONDS - 90),
    "issued in two minutes": lambda issuer: logout_token(issuer, iat=int(issuer.clock.time()) + 120),
    "expired": lambda issuer: logout_token(issuer, exp=int(issuer.clock.time()) - 90),
    "not valid yet": lambda issuer: logout_token(issuer, nbf=int(issuer.clock.time()) + 120),
    "nbf is text": lambda issuer: logout_token(issuer, nbf="x"),
    "typ at+jwt": lambda issuer: sign_jwt(logout_claims(issuer), typ="at+jwt"),
    "typ secevent+jwt": lambda issuer: sign_jwt(logout_claims(issuer), typ="secevent+jwt"),
    "typ null": lambda issuer: sign_jwt(logout_claims(issuer), typ=""),
    "crit": lambda issuer: sign_jwt(logout_claims(issuer), typ=LOGOUT_TYPE, crit=["exp"]),
    "alg None": lambda issuer: unsigned_jwt({"alg": "None"}, logout_claims(issuer)),
    "alg none with a signature": lambda issuer: unsigned_jwt({"alg": "none"}, logout_claims(issuer), "eA"),
    "the public key as a secret": lambda issuer: sign_with_public_key_as_secret(logout_claims(issuer)),
    "another key under the same kid": lambda issuer: sign_jwt(logout_claims(issuer), rsa_key("k2"), typ=LOGOUT_TYPE),
    "an unknown kid": lambda issuer: sign_jwt(logout_claims(issuer), rsa_key("k2"), kid="k2", typ=LOGOUT_TYPE),
    "a changed claim": lambda issuer: ".".join(
        part if number != 1 else unsigned_jwt({}, logout_claims(issuer, sub="x")).split(".")[1]
        for number, part in enumerate(logout_token(issuer).split("."))
    ),
    "no signature": lambda issuer: logout_token(issuer).rpartition(".")[0] + ".",
    "two parts": lambda issuer: logout_token(issuer).rpartition(".")[0],
    "five parts, as an encrypted token": lambda issuer: logout_token(issuer) + ".a.b",
    "claims are a list": lambda issuer: sign_jwt(b"[]", typ=LOGOUT_TYPE),
    "claims with a member twice": lambda issuer: sign_jwt(
        json.dumps(logout_claims(issuer)).encode().replace(b'{"iss"', b'{"sub": "x", "iss"'), typ=LOGOUT_TYPE
    ),
    "no text": lambda _: None,
    "endless": lambda _: "a." * 200_000,
}


def judged(issuer: Issuer, token: object) -> None:
    issuer.nonce = "n-0S6_WzA2Mj"
    keys = [public_jwk(key) for key in (rsa_key("k1"), ec_key("P-256"), ed25519_key())]
    jwks = {"keys": [{**jwk, "kid": f"k{number}"} for number, jwk in enumerate(keys, 1)]}
    expected = Expected((issuer.url,), CLIENT_ID, providers.find("oidc").algorithms, issuer.clock.time())
    every_key = [key for kid in ("k1", "k2", "k3") for key in public_keys(jwks, kid)]
    verify(token, lambda kid: every_key if kid == "k1" else [], expected)


@pytest.mark.parametrize("name", VALID)
def test_a_valid_token_is_accepted(issuer: Issuer, name: str) -> None:
    judged(issuer, VALID[name](issuer))


@pytest.mark.parametrize("name", INVALID)
def test_any_other_token_is_refused(issuer: Issuer, name: str) -> None:
    with pytest.raises(InvalidToken):
        judged(issuer, INVALID[name](issuer))


@pytest.mark.parametrize(
    "name", [name for name in INVALID if name not in (*INVALID_LOGOUT_TOKENS, "no text", "endless")]
)
@pytest.mark.corpus
def test_any_other_token_ends_no_session(site: Site, issuer: Issuer, name: str) -> None:
    visitor = signed_in(site, issuer)
    expect_refused(send(site, INVALID[name](issuer)))
    assert visitor.is_signed_in


@pytest.mark.external
def test_what_an_issuer_ends_is_over_at_other_processes_and_is_no_longer_listed(
    backend: FaultyBackend, issuer: Issuer, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path))
        settings = {**issuer.site_settings(), **NO_LIMITS, "redis_url": redis.url}
        here, there = (stack.enter_context(running_site(backend.url, **settings)) for _ in range(2))
        issuer.clock = Clock()
        phone, laptop = signed_in(here, issuer), signed_in(there, issuer, sid="another")
        for visitor in (phone, laptop):
            assert "Where you are signed in" in visitor.get("/account").text
        assert len(listed(phone)) == 2
        expect_accepted(send(here, logout_token(issuer, sid="another")))
        ends = time.monotonic() + 10
        while laptop.is_signed_in:
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert len(listed(phone)) == 1


def listed(visitor: Visitor) -> list[str]:
    """The sessions on the account page."""
    return visitor.get_page("/account").texts("section//li")
