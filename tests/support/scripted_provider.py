"""Identity providers on a real socket that respond as their samples say. They record every request.

The sample of a provider is `provider_samples/<id>.json`: its endpoints, their responses and the expected result.
This module shares no code with the site or with the stand-ins in `dev`, so it cannot repeat their mistakes.
"""

import base64
import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

import providers.base
from providers.base import Example, Identity, Registration
from tests.support.faulty_backend import SECRET_MARKER
from tests.support.site import serve_in_thread

SAMPLES = Path(__file__).parent / "provider_samples"
Json = dict[str, Any]


def load_sample(name: str, case: str = "", settings: Mapping[str, str] | None = None) -> Json:
    """Return the sample of this provider, or the variant of it that is named `case`.

    It is in `provider_samples/<id>.json`, or else made of the examples in the provider's file and of these settings.
    """
    path = SAMPLES / f"{name}.json"
    sample: Json = (
        json.loads(path.read_text("utf-8")) if path.exists() else _sample_of(providers.find(name), settings or {})
    )
    return {**sample, **sample["cases"][case], "case": case} if case else sample


def _sample_of(provider: providers.base.Provider, given: Mapping[str, str]) -> Json:
    further = {key: spec.example for key, spec in provider.settings.items() if spec.required} | {**given}
    settings = {"CLIENT_ID": f"{provider.id}-client", "CLIENT_SECRET": f"of-this-test{SECRET_MARKER}", **further}
    defaults = {key: spec.default for key, spec in provider.settings.items()}
    registration = Registration(provider, {**defaults, **settings})
    scope = {"scope": provider.scope} if provider.scope else {}
    first, *others = (_responses(provider, registration, example) for example in provider.examples)
    return {
        "settings": settings,
        "issuer": provider.issuer or "",
        "authorize": {
            "path": _path(registration, provider.authorize_url),
            "asks": {**scope, **provider.authorize_params},
        },
        "token": {
            "path": _path(registration, provider.token_url),
            "auth": provider.client_auth,
            "repeats": list(provider.token_params),
            "answer": {"token_type": "Bearer", "expires_in": 3600},
        },
        **({"keys_path": _path(registration, provider.keys_url)} if provider.keys_url else {}),
        "algorithm": "HS256" if provider.signed_with_secret else "RS256",
        **first,
        "cases": {example.description: other for example, other in zip(provider.examples[1:], others, strict=True)},
    }


def _identity_fields(identity: Identity) -> Json:
    """The fields that an example states. A subject is text for the backend, also if the provider has numbers."""
    stated = {
        key: value
        for key, value in asdict(identity).items()
        if key not in ("provider", "social_token", "access_token", "id_token")
    }
    return {**stated, "subject": str(identity.subject)}


def _path(registration: Registration, url: str) -> str:
    return urlsplit(registration.url(url)).path


def _responses(provider: providers.base.Provider, registration: Registration, example: Example) -> Json:
    identity = example.identity
    email = {"email": identity.email} if identity and identity.email_verified else {}
    return {
        **({"claims": dict(example.claims)} if provider.is_oidc else {}),
        **(
            {"user": {"path": _path(registration, provider.user_url), "answer": example.user}}
            if provider.user_url
            else {}
        ),
        **(
            {"more": {"path": _path(registration, provider.optional_url), "answer": example.extra}}
            if provider.optional_url
            else {}
        ),
        **({"identity": _identity_fields(identity)} if identity else {"error": "OAuthCallback"}),
        "body": {
            "social_token": f"<{provider.backend_token}>",
            **(email if provider.backend_token == "id_token" else {}),
        },
    }


@cache
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "this-year", "use": "sig"})


@cache
def apple_key() -> str:
    return ECKey.generate_key("P-256").as_pem(private=True).decode()


@dataclass(frozen=True)
class Grant:
    """What an authorization code was issued for."""

    provider: str
    sample: Json
    params: dict[str, str]
    person: str


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, list[str]]
    query: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The form with one value for each field."""
        assert all(len(values) == 1 for values in self.form.values()), "a field is repeated"
        return {name: values[0] for name, values in self.form.items()}


@dataclass
class ScriptedProviders:
    """All providers, each below its id. A code is valid once and with its PKCE verifier only."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    names_by_token: dict[str, str] = field(default_factory=dict)
    """User name by access token and by id_token."""
    issued_tokens: list[str] = field(default_factory=list)
    """All access tokens, refresh tokens and id_tokens that were issued."""
    metadata: Json = field(default_factory=dict)
    """Changes to the discovery document."""
    verifies_pkce: bool = True
    token_delay: float = 0.0
    """Seconds before the token endpoint responds."""
    token_error: tuple[int, Json] | None = None
    """Status and body of the token endpoint's error response, instead of tokens."""
    user_error: tuple[int, Json] | None = None
    """The same of the endpoints about the user."""
    samples: dict[str, Json] = field(default_factory=dict)
    """Samples with other paths than `load_sample(<id>)`, by the provider's id."""

    def __post_init__(self) -> None:
        self._grants: dict[str, Grant] = {}
        self._by_token: dict[str, Grant] = {}
        self._numbers = itertools.count(1)

    def environ(self, *names: str) -> dict[str, str]:
        """Return the settings of a site that uses these providers."""
        environ = {"PROVIDERS": ",".join(names)}
        for name in names:
            settings = {"BASE_URL": f"{self.url}/{name}", **load_sample(name)["settings"]}
            for setting, template in settings.items():
                value = template.replace("<url>", f"{self.url}/{name}").replace("<EC key>", apple_key())
                environ[f"{name.upper()}_{setting}"] = value
        return environ

    def issuer(self, name: str) -> str:
        return str(load_sample(name)["issuer"]).replace("<url>", f"{self.url}/{name}")

    def approve(self, authorization_url: str, sample: Json | None = None, person: str = "하늘") -> dict[str, str]:
        """Grant this authorization request as `person`. Return the callback parameters."""
        parts = urlsplit(authorization_url)
        name = parts.path.split("/")[1]
        params = {key: values[0] for key, values in parse_qs(parts.query, strict_parsing=True).items()}
        code = f"code-{next(self._numbers)}{SECRET_MARKER}"
        self._grants[code] = Grant(name, sample or load_sample(name), params, person)
        user = self._grants[code].sample.get("form")
        return {"code": code, "state": params["state"], **({"user": user} if user else {})}

    def requests_to(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    def token_requests(self, name: str) -> list[Call]:
        return self.requests_to(f"/{name}{load_sample(name)['token']['path']}")

    # --- The server

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {key.removeprefix("HTTP_"): value for key, value in environ.items() if key.startswith("HTTP_")}
        form = parse_qs(raw.decode(), keep_blank_values=True)
        path = environ["PATH_INFO"]
        self.calls.append(Call(environ["REQUEST_METHOD"], path, headers, form, environ.get("QUERY_STRING", "")))
        _, name, rest = path.split("/", 2)
        status, body = self._respond(name, f"/{rest}", self.calls[-1])
        start_response(f"{status} Whatever", [("Content-Type", "application/json;charset=UTF-8")])
        return [json.dumps(body).encode()]

    def _respond(self, name: str, path: str, call: Call) -> tuple[int, object]:
        sample = self.samples.get(name) or load_sample(name)
        if path == sample["token"]["path"]:
            time.sleep(self.token_delay)
            return self.token_error or self._tokens(call)
        if path == sample.get("keys_path"):
            return 200, {"keys": [rsa_key().as_dict(private=False)]}
        if path == "/.well-known/openid-configuration":
            return 200, {**self._metadata(f"{self.url}/{name}", sample), **self.metadata}
        if self.user_error:
            return self.user_error
        grant = self._by_token.get(call.headers.get("AUTHORIZATION", "").removeprefix("Bearer "))
        endpoint = grant and next(
            (grant.sample.get(key) for key in ("user", "more") if _path_of(sample, key) == path), None
        )
        return (200, endpoint["answer"]) if endpoint else (404 if grant else 401, {"message": "No."})

    def _metadata(self, url: str, sample: Json) -> Json:
        return {
            "issuer": url,
            "authorization_endpoint": url + sample["authorize"]["path"],
            "token_endpoint": url + sample["token"]["path"],
            "userinfo_endpoint": url + sample["user"]["path"],
            "jwks_uri": url + sample["keys_path"],
            "token_endpoint_auth_methods_supported": [sample["token"]["auth"]],
        }

    def _tokens(self, call: Call) -> tuple[int, object]:
        grant = self._grants.pop(call.form.get("code", [""])[0], None)
        if grant is None or call.form.get("redirect_uri") != [grant.params["redirect_uri"]]:
            return 400, {"error": "invalid_grant"}
        verifier = call.form.get("code_verifier", [""])[0]
        if self.verifies_pkce and pkce_challenge(verifier) != grant.params["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        token = f"{grant.provider}-{next(self._numbers)}{SECRET_MARKER}"
        self._by_token[token] = grant
        body = {**grant.sample["token"]["answer"], "access_token": token}
        self.names_by_token[token] = grant.person
        if "claims" in grant.sample:
            body["id_token"] = self._id_token(grant, token)
            self.names_by_token[body["id_token"]] = grant.person
        self.issued_tokens += filter(None, map(body.get, ("access_token", "refresh_token", "id_token")))
        return 200, body

    def _id_token(self, grant: Grant, access_token: str) -> str:
        now, sample = int(time.time()), grant.sample
        claims = {
            "iss": self.issuer(grant.provider),
            "aud": sample["settings"]["CLIENT_ID"],
            "iat": now,
            "exp": now + 3600,
            "nonce": grant.params.get("nonce"),
            "at_hash": base64url(hashlib.sha256(access_token.encode()).digest()[:16]),
            **sample["claims"],
        }
        if sample["algorithm"] == "HS256":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(sample["settings"]["CLIENT_SECRET"]))
        return jwt.encode({"alg": "RS256", "kid": rsa_key().kid}, claims, rsa_key())


def _path_of(sample: Mapping[str, Any], name: str) -> str | None:
    return sample[name]["path"] if name in sample else None


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def pkce_challenge(verifier: str) -> str:
    """Return the S256 code challenge (RFC 7636, section 4.2)."""
    return base64url(hashlib.sha256(verifier.encode()).digest())


@contextmanager
def scripted_providers() -> Iterator[ScriptedProviders]:
    scripted = ScriptedProviders()
    with serve_in_thread("127.0.0.1", lambda _: scripted) as port:
        scripted.url = f"http://127.0.0.1:{port}"
        yield scripted
