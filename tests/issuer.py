"""OpenID issuers on a real socket whose every answer a test may change, byte by byte or claim by claim.

One server plays them all: a discovered one at its root, and below `/<id>` those that `<ID>_BASE_URL` moves there.
As long as nothing else is asked for, whoever starts a sign-in comes back as `SUBJECT`.
"""

import json
import socket
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

from services.clock import Clock
from tests.faulty_backend import SECRET_MARKER, FaultyBackend, ScriptedResponse, http_response
from tests.site import Page, Site, Visitor, cookie_names

Json = dict[str, Any]
CLIENT_ID = "munjigi-client"
CLIENT_SECRET = f"{SECRET_MARKER}-of-the-client-itself-0123456789"
ACCESS_TOKEN = f"{SECRET_MARKER}-access-token"
CODE = f"{SECRET_MARKER}-code"
SUBJECT = "248289761001"
EMAIL = "haneul@example.com"
DISCOVERY, JWKS, TOKEN, USERINFO = "/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"
ISSUERS = {
    "google": "https://accounts.google.com",
    "line": "https://access.line.me",
    "apple": "https://appleid.apple.com",
}
"""The issuers whose addresses are not discovered, and how they call themselves."""
GITHUB = {"token": "/github/login/oauth/access_token", "user": "/github/user", "emails": "/github/user/emails"}
TOKEN_PATHS = {"google": "/google/token", "line": "/line/oauth2/v2.1/token", "apple": "/apple/auth/token"}
KEY_PATHS = {"google": "/google/oauth2/v3/certs", "apple": "/apple/auth/keys"}


@cache
def rsa_key(name: str, bits: int = 2048) -> RSAKey:
    """The same key each time in one process."""
    return RSAKey.generate_key(bits, {"kid": name})


@cache
def ec_key(curve: str) -> ECKey:
    return ECKey.generate_key(curve, {"kid": "k1"})


@cache
def ed25519_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": "k1"})


def as_objects(*values: object) -> tuple[object, ...]:
    """For the type checker: they have nothing in common."""
    return values


def public_jwk(key: Key, **changes: object) -> Json:
    """As it stands in a key set; None leaves a member out."""
    found = {**key.as_dict(private=False), "use": "sig", **changes}
    return {name: value for name, value in found.items() if value is not None}


def base64url(raw: bytes | str) -> str:
    return urlsafe_b64encode(raw.encode() if isinstance(raw, str) else raw).decode()


class _PermissiveRegistry(jws.JWSRegistry):
    """Signs whatever a test wants signed."""

    max_header_length = 10**7
    max_payload_length = 10**7

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        pass


def sign_jwt(claims: Json | bytes, key: Key | None = None, **header: object) -> str:
    """A compact JWS of RS256 with `k1` unless said otherwise; None leaves a header out."""
    whole = {"alg": "RS256", "kid": "k1", **header}
    head = {name: value for name, value in whole.items() if value is not None}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(head, body, key or rsa_key("k1"), registry=_PermissiveRegistry())


def unsigned_jwt(head: object, claims: Json, signature: str = "") -> str:
    return f"{base64url(json.dumps(head))}.{base64url(json.dumps(claims))}.{signature}"


class Issuer(FaultyBackend):
    def __init__(self, *args: Any) -> None:
        self.nonce: str | None = None
        self.clock = Clock()
        """What its id_tokens are dated by: that of the site, where a test moves it."""
        super().__init__(*args)

    def heal(self) -> None:
        """All is well again, and what was asked before is forgotten. `answers` has what goes before all else."""
        self.metadata: Json = {}
        self.published: object = {"keys": [public_jwk(rsa_key("k1"))]}
        self.tokens: Json = {}
        self.id_token: Callable[[Json], object] = sign_jwt
        self.person: object = {"sub": SUBJECT, "name": "하늘", "email": EMAIL, "email_verified": True}
        self.claims: Json = {}
        self.calls = []
        self.connections = 0
        self.greeting = None
        self.answers: dict[str, ScriptedResponse] = {
            DISCOVERY: self._says(self.document),
            **dict.fromkeys((JWKS, *KEY_PATHS.values()), self._says(lambda: self.published)),
            **dict.fromkeys((TOKEN, *TOKEN_PATHS.values()), self._says(self.token_answer)),
            USERINFO: self._says(lambda: self.person),
            GITHUB["token"]: self._says(lambda: {"access_token": ACCESS_TOKEN, "token_type": "bearer", "scope": ""}),
            GITHUB["user"]: self._says(lambda: {"id": 5, "login": "haneul", "email": None}),
            GITHUB["emails"]: self._says(list),
        }

    def document(self) -> Json:
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}{TOKEN}",
            "jwks_uri": f"{self.url}{JWKS}",
            "userinfo_endpoint": f"{self.url}{USERINFO}",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            **self.metadata,
        }
        return {name: value for name, value in found.items() if value is not None}

    def good_claims(self, provider: str = "oidc") -> Json:
        now = int(self.clock.time())
        return {
            "iss": ISSUERS.get(provider, self.url),
            "sub": SUBJECT,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 3600,
            "nonce": self.nonce,
            **self.claims,
        }

    def token_answer(self) -> Json:
        asked = self.calls[-1].path.strip("/").split("/")[0]
        claims = self.good_claims(asked)
        id_token = self.id_token(claims)
        if asked == "line" and self.id_token is sign_jwt:
            id_token = sign_jwt(claims, OctKey.import_key(CLIENT_SECRET), alg="HS256")
        found = {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3600, "id_token": id_token}
        return {name: value for name, value in {**found, **self.tokens}.items() if value is not ...}

    def _says(self, body: Callable[[], object]) -> ScriptedResponse:
        def script(connection: socket.socket) -> bool:
            connection.sendall(http_response(body()))
            return True

        return script

    def settings(self) -> dict[str, Any]:
        """Of a site that this server signs people in to."""
        moved = {f"{name}_base_url": f"{self.url}/{name}" for name in (*ISSUERS, "github")}
        names = ("oidc", *ISSUERS, "github")
        return {
            "providers": ",".join(names),
            "oidc_issuer": self.url,
            **moved,
            **{f"{name}_client_id": CLIENT_ID for name in names},
            **{f"{name}_client_secret": CLIENT_SECRET for name in names},
        }

    def form(self) -> dict[str, str]:
        """What the token endpoint was last sent."""
        sent = [call for call in self.calls if call.path in (TOKEN, *TOKEN_PATHS.values())]
        return dict(parse_qsl(sent[-1].body.decode()))


# --- The journey


def post_sign_in(visitor: Visitor, issuer: Issuer, provider: str = "oidc") -> requests.Response:
    """Set out: the answer names the address to go on to."""
    response = visitor.submit(f"/api/auth/signin/{provider}", {"json": "true"})
    assert response.status_code == 200, response.text
    return response


def start_sign_in(visitor: Visitor, issuer: Issuer, provider: str = "oidc") -> dict[str, str]:
    """Set out: what the provider is asked there."""
    url = urlsplit(post_sign_in(visitor, issuer, provider).json()["url"])
    assert url.path != "/auth/login/email", url.query
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    issuer.nonce = asked.get("nonce")
    return asked


def send_callback(visitor: Visitor, asked: dict[str, str], provider: str = "oidc", **extra: str) -> requests.Response:
    query = {"code": CODE, "state": asked["state"], **extra}
    return visitor.get(f"/api/auth/callback/{provider}", params=query)


def sign_in_via_provider(visitor: Visitor, issuer: Issuer, provider: str = "oidc") -> requests.Response:
    return send_callback(visitor, start_sign_in(visitor, issuer, provider), provider)


def post_callback(visitor: Visitor, asked: dict[str, str], **form: str) -> requests.Response:
    """Apple's callback: a POST from its own site, with the cookie that is `Secure` even on localhost."""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    url, fields = f"{visitor.url}/api/auth/callback/apple", {"code": CODE, "state": asked["state"], **form}
    return requests.post(url, fields, headers={"Cookie": cookies}, allow_redirects=False, timeout=9)


def assert_signed_in(visitor: Visitor, response: requests.Response) -> None:
    assert response.status_code == 303, response.text
    assert "next-auth.session-token" in cookie_names(response), response.headers["Location"]
    assert visitor.is_signed_in


def assert_rejected(visitor: Visitor, response: requests.Response, code: str) -> Page:
    """Back at the sign-in page with this code, nobody signed in, and nothing of the fault or of a secret shown."""
    assert response.status_code == 303, response.text
    assert "next-auth.session-token" not in cookie_names(response)
    return assert_error_page(visitor, response.headers["Location"], code)


def assert_error_page(visitor: Visitor, url: str, code: str) -> Page:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{visitor.url}/auth/login/email"
    assert query["error"] == [code]
    page = visitor.page(url)
    assert page.status in (200, 502, 503, 504)
    assert page.problem
    assert SECRET_MARKER not in f"{url}{page.response.headers}{page.text}"
    assert EMAIL not in page.text
    assert not visitor.is_signed_in
    return page


# --- Around it


def reset_servers(issuer: Issuer, backend: FaultyBackend, site: Site) -> None:
    """Both healed, and nothing that was published before kept by the site."""
    issuer.heal()
    backend.heal()
    backend.answers |= {
        f"/login/social/callback/{name}": backend.answers["/login"] for name in ("oidc", *ISSUERS, "github")
    }
    clear_metadata_cache(site)


def clear_metadata_cache(site: Site) -> None:
    site.app.extensions["munjigi"].oauth._directory._documents._entries.clear()


def assert_no_secrets_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No traceback in the log, no secret, no id_token, no address, nothing that an issuer made up."""
    for record in caplog.get_records("call"):
        line = f"{record.getMessage()} {getattr(record, 'facts', '')}"
        assert record.exc_info is None, line
        for secret in (SECRET_MARKER, "eyJ", EMAIL):
            assert secret not in line
