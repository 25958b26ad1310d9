"""OpenID Connect issuers on a real socket whose responses a test controls, by bytes or by claims.

One server plays all of them: an issuer with discovery at the root, and those that `<ID>_BASE_URL` redirects to it
below `/<id>`. By default every sign-in succeeds as the user `SUBJECT`.
"""

import json
import socket
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

from services.clock import Clock
from services.oauth.logout_token import EVENT
from tests.support.faulty_backend import SECRET_MARKER, FaultyBackend, ScriptedResponse, http_response
from tests.support.site import Page, Site, Visitor, cookie_names

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
"""The providers with fixed endpoints, and the `iss` of their id_tokens."""
GITHUB = {"token": "/github/login/oauth/access_token", "user": "/github/user", "emails": "/github/user/emails"}
TOKEN_PATHS = {"google": "/google/token", "line": "/line/oauth2/v2.1/token", "apple": "/apple/auth/token"}
KEY_PATHS = {"google": "/google/oauth2/v3/certs", "apple": "/apple/auth/keys"}


@cache
def rsa_key(name: str, bits: int = 2048) -> RSAKey:
    """Return the RSA key of this name: one key per process."""
    return RSAKey.generate_key(bits, {"kid": name})


@cache
def ec_key(curve: str) -> ECKey:
    return ECKey.generate_key(curve, {"kid": "k1"})


@cache
def ed25519_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": "k1"})


def as_objects(*values: object) -> tuple[object, ...]:
    """Return the values as a tuple of `object`, for values of unrelated types."""
    return values


def public_jwk(key: Key, **changes: object) -> Json:
    """Return the public JWK (RFC 7517) with these changes; None removes a member."""
    jwk = {**key.as_dict(private=False), "use": "sig", **changes}
    return {name: value for name, value in jwk.items() if value is not None}


def base64url(raw: bytes | str) -> str:
    return urlsafe_b64encode(raw.encode() if isinstance(raw, str) else raw).decode()


class _PermissiveRegistry(jws.JWSRegistry):
    """Allows any header and any payload."""

    max_header_length = 10**7
    max_payload_length = 10**7

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        pass


def sign_jwt(claims: Json | bytes, key: Key | None = None, **header: object) -> str:
    """Return a compact JWS, signed with RS256 and the key `k1` by default; None removes a header member."""
    all_members = {"alg": "RS256", "kid": "k1", **header}
    members = {name: value for name, value in all_members.items() if value is not None}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(members, body, key or rsa_key("k1"), registry=_PermissiveRegistry())


def unsigned_jwt(head: object, claims: Json, signature: str = "") -> str:
    return f"{base64url(json.dumps(head))}.{base64url(json.dumps(claims))}.{signature}"


class Issuer(FaultyBackend):
    def __init__(self, tls: ssl.SSLContext | None = None, clock: Clock | None = None) -> None:
        self.nonce: str | None = None
        self.subject, self.sid = SUBJECT, "08a5019c-17e1-4977-8f42-65a12843ea02"
        """Of logout tokens; `extra_claims` decides about id_tokens."""
        self._first_clock = clock or Clock()
        super().__init__(tls)

    def reset(self) -> None:
        """Restore the clock and the default responses, and clear the recorded requests.

        An entry in `responses` takes precedence over `metadata`, `jwks`, `token_fields` and the other attributes.
        """
        self.clock = self._first_clock
        """Dates the id_tokens. Set it to the clock of the site if the test moves that clock."""
        self.metadata: Json = {}
        self.jwks: object = {"keys": [public_jwk(rsa_key("k1"))]}
        self.token_fields: Json = {}
        self.make_id_token: Callable[[Json], object] = sign_jwt
        self.userinfo: object = {"sub": SUBJECT, "name": "하늘", "email": EMAIL, "email_verified": True}
        self.extra_claims: Json = {}
        self.calls = []
        self.connection_count = 0
        self.on_connect = None
        self.responses: dict[str, ScriptedResponse] = {
            DISCOVERY: self._json_response(self.discovery_document),
            **dict.fromkeys((JWKS, *KEY_PATHS.values()), self._json_response(lambda: self.jwks)),
            **dict.fromkeys((TOKEN, *TOKEN_PATHS.values()), self._json_response(self.token_response)),
            USERINFO: self._json_response(lambda: self.userinfo),
            GITHUB["token"]: self._json_response(
                lambda: {"access_token": ACCESS_TOKEN, "token_type": "bearer", "scope": ""}
            ),
            GITHUB["user"]: self._json_response(lambda: {"id": 5, "login": "haneul", "email": None}),
            GITHUB["emails"]: self._json_response(list),
        }

    def discovery_document(self) -> Json:
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}{TOKEN}",
            "jwks_uri": f"{self.url}{JWKS}",
            "userinfo_endpoint": f"{self.url}{USERINFO}",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            **self.metadata,
        }
        return {name: value for name, value in document.items() if value is not None}

    def valid_claims(self, provider: str = "oidc") -> Json:
        now = int(self.clock.time())
        return {
            "iss": ISSUERS.get(provider, self.url),
            "sub": SUBJECT,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 3600,
            "nonce": self.nonce,
            **self.extra_claims,
        }

    def token_response(self) -> Json:
        provider = self.calls[-1].path.strip("/").split("/")[0]
        claims = self.valid_claims(provider)
        id_token = self.make_id_token(claims)
        if provider == "line" and self.make_id_token is sign_jwt:
            id_token = sign_jwt(claims, OctKey.import_key(CLIENT_SECRET), alg="HS256")
        body = {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3600, "id_token": id_token}
        return {name: value for name, value in {**body, **self.token_fields}.items() if value is not ...}

    def _json_response(self, body: Callable[[], object]) -> ScriptedResponse:
        def script(connection: socket.socket) -> bool:
            connection.sendall(http_response(body()))
            return True

        return script

    def site_settings(self) -> dict[str, Any]:
        """Return the settings of a site that uses these issuers."""
        base_urls = {f"{name}_base_url": f"{self.url}/{name}" for name in (*ISSUERS, "github")}
        names = ("oidc", *ISSUERS, "github")
        return {
            "providers": ",".join(names),
            "oidc_issuer": self.url,
            **base_urls,
            **{f"{name}_client_id": CLIENT_ID for name in names},
            **{f"{name}_client_secret": CLIENT_SECRET for name in names},
        }

    @property
    def key(self) -> RSAKey:
        return rsa_key("k1")

    def verify_hint(self, logout_url: str) -> Json:
        """Return the claims of the `id_token_hint` in this URL, after the checks of an issuer.

        It must be one of its own id_tokens, for this client, about the person who signs out (`subject`).
        """
        (token,) = parse_qs(urlsplit(logout_url).query)["id_token_hint"]
        claims: Json = json.loads(jws.deserialize_compact(token, self.key, registry=_PermissiveRegistry()).payload)
        assert (claims["iss"], claims["aud"], claims["sub"]) == (self.url, CLIENT_ID, self.subject)
        return claims

    def last_token_request(self) -> dict[str, str]:
        """Return the form of the last token request."""
        token_requests = [call for call in self.calls if call.path in (TOKEN, *TOKEN_PATHS.values())]
        return dict(parse_qsl(token_requests[-1].body.decode()))


@contextmanager
def running_issuer(clock: Clock | None = None) -> Iterator[Issuer]:
    """Run the issuers. `clock`: that of the site, if the test moves it."""
    issuer = Issuer(clock=clock)
    try:
        yield issuer
    finally:
        issuer.stop_listening()
        issuer.close_connections()


# --- Logout tokens

LOGOUT_TYPE = "logout+jwt"


def logout_claims(issuer: Issuer, **changes: object) -> Json:
    """Return the claims of a valid logout token with these changes; `...` removes a claim."""
    now = int(issuer.clock.time())
    claims = {
        "iss": issuer.url,
        "sub": issuer.subject,
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 120,
        "jti": uuid.uuid4().hex,
        "events": {EVENT: {}},
        "sid": issuer.sid,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def logout_token(issuer: Issuer, **changes: object) -> str:
    return sign_jwt(logout_claims(issuer, **changes), typ=LOGOUT_TYPE)


INVALID_LOGOUT_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "alg-none": lambda issuer: unsigned_jwt({"alg": "none", "typ": LOGOUT_TYPE}, logout_claims(issuer)),
    "no-event": lambda issuer: logout_token(issuer, events=...),
    "with-nonce": lambda issuer: logout_token(issuer, nonce=issuer.nonce),
    "wrong-alg": lambda issuer: sign_jwt(
        logout_claims(issuer), OctKey.import_key(CLIENT_SECRET), alg="HS256", typ=LOGOUT_TYPE
    ),
    "wrong-aud": lambda issuer: logout_token(issuer, aud=f"{CLIENT_ID}1"),
    "wrong-event": lambda issuer: logout_token(issuer, events={f"{EVENT}1": {}}),
    "wrong-iss": lambda issuer: logout_token(issuer, iss=f"{issuer.url}1"),
}
"""By the end of the names of the modules in the conformance suite."""


# --- Sign-in steps


def post_sign_in(visitor: Visitor, provider: str = "oidc", **fields: str) -> requests.Response:
    """Start a sign-in. Return the response; its JSON has the authorization URL."""
    response = visitor.submit(f"/api/auth/signin/{provider}", {"json": "true", **fields})
    assert response.status_code == 200, response.text
    return response


def start_sign_in(visitor: Visitor, issuer: Issuer, provider: str = "oidc", **fields: str) -> dict[str, str]:
    """Start a sign-in. Return the parameters of the authorization request."""
    url = urlsplit(post_sign_in(visitor, provider, **fields).json()["url"])
    assert url.path != "/auth/login/email", url.query
    params = {name: values[0] for name, values in parse_qs(url.query).items()}
    issuer.nonce = params.get("nonce")
    return params


def send_callback(visitor: Visitor, params: dict[str, str], provider: str = "oidc", **extra: str) -> requests.Response:
    query = {"code": CODE, "state": params["state"], **extra}
    return visitor.get(f"/api/auth/callback/{provider}", params=query)


def sign_in_via_provider(visitor: Visitor, issuer: Issuer, provider: str = "oidc") -> requests.Response:
    return send_callback(visitor, start_sign_in(visitor, issuer, provider), provider)


def post_callback(visitor: Visitor, params: dict[str, str], provider: str = "apple", **form: str) -> requests.Response:
    """Send a callback by cross-site POST. It carries the `Secure` cookies, which `requests` omits on http."""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    url, fields = f"{visitor.url}/api/auth/callback/{provider}", {"code": CODE, "state": params["state"], **form}
    return requests.post(url, fields, headers={"Cookie": cookies}, allow_redirects=False, timeout=9)


def assert_signed_in(visitor: Visitor, response: requests.Response) -> None:
    assert response.status_code == 303, response.text
    assert "next-auth.session-token" in cookie_names(response), response.headers["Location"]
    assert visitor.is_signed_in


def assert_rejected(visitor: Visitor, response: requests.Response, code: str) -> Page:
    """Assert that the response redirects to the sign-in page with this error code and sets no session.

    Returns the page, after the checks of `assert_error_page`.
    """
    assert response.status_code == 303, response.text
    assert "next-auth.session-token" not in cookie_names(response)
    return assert_error_page(visitor, response.headers["Location"], code)


def assert_error_page(visitor: Visitor, url: str, code: str) -> Page:
    """Assert that this sign-in page shows a message for the error code, leaks no secret and signs nobody in."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{visitor.url}/auth/login/email"
    assert query["error"] == [code]
    page = visitor.get_page(url)
    assert page.status in (200, 502, 503, 504)
    assert page.message
    assert SECRET_MARKER not in f"{url}{page.response.headers}{page.text}"
    assert EMAIL not in page.text
    assert not visitor.is_signed_in
    return page


# --- Set-up and log checks


def reset_servers(issuer: Issuer, backend: FaultyBackend, site: Site) -> None:
    """Reset the issuer and the backend, and clear the document cache of the site."""
    issuer.reset()
    backend.reset()
    backend.responses |= {
        f"/login/social/callback/{name}": backend.responses["/login"] for name in ("oidc", *ISSUERS, "github")
    }
    clear_document_cache(site)


def clear_document_cache(site: Site) -> None:
    site.app.extensions["munjigi"].oauth.metadata._cache._entries.clear()


def assert_no_secrets_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Assert that the log has no traceback, secret, id_token or email address."""
    for record in caplog.get_records("call"):
        line = f"{record.getMessage()} {getattr(record, 'fields', '')}"
        assert record.exc_info is None, line
        for secret in (SECRET_MARKER, "eyJ", EMAIL):
            assert secret not in line
