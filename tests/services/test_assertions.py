"""`X-Auth-Assertion`: who asks, signed, for apps behind forward auth."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, KeySet

import config
from config import SettingsError
from tests.support.commands import require_program
from tests.support.forge import encrypt, make_claims
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.signing_keys import private_pem, public_pem
from tests.support.site import MINJI, SECRET, ManualClock, Site, SiteMaker, Visitor, running_site

JWKS = "/.well-known/jwks.json"


@pytest.fixture
def signing_site(shared_site: SiteMaker) -> Site:
    return shared_site(assertion_private_key=private_pem())


def member(site: Site) -> Visitor:
    visitor = site.new_visitor()
    visitor.sign_in()
    return visitor


def assertion(visitor: Visitor, **headers: str) -> str:
    response = visitor.get("/auth/verify", headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert response.status_code == 204
    return response.headers["X-Auth-Assertion"]


def keys_of(site: Site) -> Any:
    return KeySet.import_key_set(site.new_visitor().get(JWKS).json())


def claims_of(text: str) -> dict[str, Any]:
    claims = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    assert isinstance(claims, dict)
    return claims


def test_an_assertion_says_who_asks_and_is_verified_with_the_public_keys(signing_site: Site) -> None:
    visitor = member(signing_site)
    token = jwt.decode(
        assertion(visitor, X_Forwarded_Host="app.example.com"), keys_of(signing_site), algorithms=["ES256"]
    )
    key = ECKey.import_key(private_pem())
    assert token.header == {"typ": "JWT", "alg": "ES256", "kid": key.thumbprint()}
    claims = dict(token.claims)
    assert claims.pop("exp") - claims["iat"] == 60
    assert abs(claims.pop("iat") - time.time()) < 60
    assert abs(claims.pop("auth_time") - time.time()) < 60
    assert len(claims.pop("sid")) > 10
    assert claims == {
        "iss": signing_site.url,
        "aud": "app.example.com",
        "sub": "1",
        "email": MINJI,
        "name": "김민지",
    }


def test_the_public_keys_have_no_private_part_and_may_be_cached(signing_site: Site) -> None:
    response = signing_site.new_visitor().get(JWKS)
    (key,) = response.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")
    assert key["kid"] == ECKey.import_key(private_pem()).thumbprint()
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert "Set-Cookie" not in response.headers


def test_without_a_key_there_is_no_assertion_and_no_key_set(site: Site) -> None:
    assert "X-Auth-Assertion" not in member(site).get("/auth/verify").headers
    assert site.new_visitor().get(JWKS).status_code == 404


def test_the_key_set_is_below_the_path_of_the_site_too() -> None:
    with running_site(path="/in", assertion_private_key=private_pem()) as site:
        visitor = site.new_visitor()
        assert visitor.get(f"/in{JWKS}").json() == visitor.get(JWKS).json() != {}


def test_an_anonymous_request_gets_no_assertion(signing_site: Site) -> None:
    response = signing_site.new_visitor().get("/auth/verify")
    assert response.status_code == 401
    assert "X-Auth-Assertion" not in response.headers


@pytest.mark.parametrize(
    ("sent", "audience"),
    [
        ("app.example.com", "app.example.com"),
        ("App.Example.com:8443", "app.example.com:8443"),
        ("app.example.com:80", "app.example.com"),
        ("[2001:DB8:0::1]:3000", "[2001:db8::1]:3000"),
        ("xn--bj0bj06e.kr", "xn--bj0bj06e.kr"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_the_audience_is_the_host_that_was_asked(signing_site: Site, sent: str, audience: str) -> None:
    assert claims_of(assertion(member(signing_site), X_Forwarded_Host=sent))["aud"] == audience


def test_without_a_forwarded_host_the_audience_is_the_host_of_the_site(signing_site: Site) -> None:
    assert f"http://{claims_of(assertion(member(signing_site)))['aud']}" == signing_site.url


@pytest.mark.parametrize(
    "sent",
    [
        "", "a b", "a,b", "app.example.com, evil.example", "a/b", "a?b", "a#b", "u@a", "a:b", "a:", "a:0",
        "a:99999", "http://a", "//a", "[::1", "::1", "a..b", "a" * 64, "a." * 200 + "b", "1.2.3", "é.example", "*",
        "a\x7f", "%61",
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_host_gets_no_assertion(signing_site: Site, sent: str) -> None:
    """An empty header: if it was missing, Caddy would pass on what the client sent."""
    response = member(signing_site).get("/auth/verify", headers={"X-Forwarded-Host": sent.encode()})
    assert (response.status_code, response.headers["X-Auth-Assertion"]) == (204, "")


def test_the_audience_is_never_the_host_header(signing_site: Site) -> None:
    cookie = member(signing_site).cookies["next-auth.session-token"]
    text = assertion(signing_site.new_visitor(Cookie=f"next-auth.session-token={cookie}"), Host="evil.example")
    assert claims_of(text)["aud"] != "evil.example"


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        yield running


def test_an_assertion_is_reused_for_seconds_and_follows_the_user(backend: ScriptedBackend) -> None:
    clock = ManualClock()
    backend.user |= {"roles": ["admin"], "name": None}
    with running_site(
        backend_url=backend.url, clock=clock, assertion_private_key=private_pem(), user_claims="roles"
    ) as site:
        visitor = member(site)
        first = assertion(visitor)
        assert claims_of(first)["roles"] == ["admin"]
        assert "name" not in claims_of(first)
        clock.advance(20)
        assert claims_of(assertion(visitor))["iat"] >= claims_of(first)["iat"] + 19
        backend.user |= {"name": "새 이름"}
        visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token()})
        assert claims_of(assertion(visitor))["name"] == "새 이름"
        backend.user |= {"roles": ["guest"]}
        visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token()})
        assert claims_of(assertion(visitor))["roles"] == ["guest"]
        other = member(site)
        assert claims_of(assertion(other))["sid"] != claims_of(assertion(visitor))["sid"]
        copy = site.new_visitor()
        copy.cookies.update(visitor.cookies)
        visitor.submit("/auth/logout", {})
        assert copy.get("/auth/verify").status_code == 401


def test_the_same_assertion_is_sent_again_within_seconds(signing_site: Site) -> None:
    visitor = member(signing_site)
    assert len({assertion(visitor) for _ in range(10)}) <= 3, "ten signatures would differ"


def test_a_session_that_nextauth_has_issued_has_no_auth_time(backend: ScriptedBackend) -> None:
    """NextAuth renews `iat` with each token, so nothing says when the person signed in."""
    with running_site(backend_url=backend.url, assertion_private_key=private_pem()) as site:
        adopted = site.new_visitor()
        adopted.cookies.set("next-auth.session-token", encrypt(make_claims(user=USER)), domain="localhost.local")
        assert "auth_time" not in claims_of(assertion(adopted))
        backend.user |= {"name": "새 이름"}
        adopted.post("/api/auth/session", json={"csrfToken": adopted.csrf_token()})
        assert claims_of(assertion(adopted))["name"] == "새 이름"
        assert "auth_time" not in claims_of(assertion(adopted)), "not even after the site has written the cookie"


def test_the_sid_of_an_assertion_ends_the_session_at_the_backends_word() -> None:
    token = "the-Backend-tells-with-this-one-only"
    with running_site(assertion_private_key=private_pem(), backend_events_token=token) as site:
        visitor, other = member(site), member(site)
        sid = claims_of(assertion(visitor))["sid"]
        answer = site.new_visitor().post(
            "/api/auth/sessions/revoke", json={"sid": sid}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 204
        assert (visitor.get("/auth/verify").status_code, other.get("/auth/verify").status_code) == (401, 204)


def test_auth_time_is_the_sign_in_also_after_all_sessions_have_ended() -> None:
    """Sessions that start after that count as later ones inside the site. An app must not see a time of the future."""
    with running_site(assertion_private_key=private_pem()) as site:
        first = member(site)
        assert first.submit("/auth/logout", {"everywhere": "1"}).status_code == 303
        assert first.get("/auth/verify").status_code == 401
        second = member(site)
        claims = claims_of(assertion(second))
        assert claims["auth_time"] <= claims["iat"]
        second.post("/api/auth/session", json={"csrfToken": second.csrf_token(), "data": {"name": "새 이름"}})
        renewed = claims_of(assertion(second))
        assert (renewed["name"], renewed["auth_time"]) == ("새 이름", claims["auth_time"]), "by the cookie too"


# --- Rotation


def test_keys_are_rotated_without_a_gap() -> None:
    """An app that loaded the keys before a step verifies what is signed after it."""
    old, new = private_pem("old"), private_pem("new")
    steps = [old, old + public_pem("new"), new + public_pem("old"), new]
    known: Any = None
    for step in steps:
        with running_site(assertion_private_key=step) as site:
            text = assertion(member(site))
            if known:
                jwt.decode(text, known, algorithms=["ES256"])
            known = keys_of(site)
            jwt.decode(text, known, algorithms=["ES256"])
    with pytest.raises((BadSignatureError, ValueError)):
        jwt.decode(text, ECKey.import_key(old), algorithms=["ES256"])


# --- The setting

ENVIRON = {"SITE_URL": "https://a.example", "SECRET_KEY": SECRET, "BACKEND_URL": "https://b.example"}


@pytest.mark.parametrize(
    "text",
    [
        private_pem(),
        private_pem().replace("\n", "\\n"),
        base64.b64encode(private_pem().encode()).decode(),
        private_pem() + public_pem("next") + private_pem("after"),
    ],
    ids=["PEM", "one line", "base64", "three keys"],
)
def test_a_key_may_be_written_in_several_ways(text: str) -> None:
    loaded = config.load({**ENVIRON, "ASSERTION_PRIVATE_KEY": text})
    assert loaded.assertion_private_key[0].thumbprint() == ECKey.import_key(private_pem()).thumbprint()
    assert "PRIVATE" not in repr(loaded)


def test_a_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(private_pem())
    loaded = config.load({**ENVIRON, "ASSERTION_PRIVATE_KEY_FILE": str(tmp_path / "key.pem")})
    assert len(loaded.assertion_private_key) == 1


@pytest.mark.external
@pytest.mark.parametrize("options", [["-noout"], []], ids=["the key", "with its parameters"])
def test_the_command_of_the_docs_makes_a_key(options: list[str]) -> None:
    command = [require_program("openssl"), "ecparam", "-name", "prime256v1", "-genkey", *options]
    made = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert config.load({**ENVIRON, "ASSERTION_PRIVATE_KEY": made.stdout}).assertion_private_key


@pytest.mark.parametrize(
    "wrong",
    [
        "?",
        SECRET,
        private_pem("other curve", ec.SECP384R1),
        private_pem("bitcoin", ec.SECP256K1),
        public_pem(),
        public_pem("next") + private_pem(),
        private_pem() * 2,
        private_pem() + public_pem(),
        "".join(private_pem(str(number)) for number in range(6)),
        private_pem()[:-30],
        private_pem().replace("M", "N", 3),
        private_pem() + private_pem("cut")[:60],
        private_pem() + "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----",
    ],
    ids=range(15),
)
def test_other_keys_are_refused_at_the_start_and_not_shown(wrong: str) -> None:
    with pytest.raises(SettingsError) as caught:
        config.load({**ENVIRON, "ASSERTION_PRIVATE_KEY": wrong})
    assert "ASSERTION_PRIVATE_KEY must" in str(caught.value)
    assert wrong not in str(caught.value)
    assert "MI" not in str(caught.value)
