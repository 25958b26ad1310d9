"""Apple: the callback is a form POST, the client secret is a signed JWT, and there is no user endpoint."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from dev.personas import HANEUL, PERSONS, Person
from dev.providers.base import Account, Client, Failure, Json, Persona, Provider

_ISSUER = "https://appleid.apple.com"
_MAX_SECRET_SECONDS = 15_777_000
_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _persona(person: Person) -> Persona:
    subject = f"000313.{person.hexadecimal[:32]}.1218"
    claims: Json = {"nonce_supported": True}
    user: Json = {}
    if person.email:
        claims |= {"email": person.email, "email_verified": str(person.email_verified).lower()}
        user["email"] = person.email
    if person.name:
        user["name"] = {"firstName": person.name[1:], "lastName": person.name[:1]}
    return Persona(
        person.key, person.description, subject, claims, first_consent_user=json.dumps(user, ensure_ascii=False)
    )


_RELAY = _persona(
    replace(
        HANEUL, key="relay", description="private relay e-mail address", email="ab12cd34ef@privaterelay.appleid.com"
    )
)
_MALFORMED = _persona(replace(HANEUL, key="malformed", description="`user` of the first consent is not JSON"))


def _private_key(_base_url: str, secret: str) -> str:
    """Derive the key from the secret, so that both processes of the reloader have the same one."""
    number = int.from_bytes(hmac.digest(secret.encode(), b"ES256", hashlib.sha512)) % (_ORDER_P256 - 1) + 1
    return (
        ec.derive_private_key(number, ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def _settings(base_url: str, secret: str) -> dict[str, str]:
    key = _private_key(base_url, secret)
    return {"TEAM_ID": "TEAM000001", "KEY_ID": "KEY0000001", "PRIVATE_KEY": key, "BASE_URL": base_url}


def _is_valid_client_secret(client: Client, client_secret: str) -> bool:
    """Verify Apple's client secret: a JWT, signed with the registered key, that expires within six months.

    https://developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret
    """
    try:
        token = jwt.decode(client_secret, ECKey.import_key(client.settings["PRIVATE_KEY"]), algorithms=["ES256"])
    except (JoseError, ValueError):
        return False
    expected = {
        "iss": client.settings["TEAM_ID"],
        "sub": client.settings["CLIENT_ID"],
        "aud": _ISSUER,
    }
    claims = token.claims
    if token.header.get("kid") != client.settings["KEY_ID"] or expected.items() - claims.items():
        return False
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not isinstance(issued_at, int) or not isinstance(expires_at, int):
        return False
    return issued_at - 60 <= time.time() < expires_at <= issued_at + _MAX_SECRET_SECONDS


def _validate_request(params: Mapping[str, str]) -> str | None:
    scopes = set(params.get("scope", "").split()) & {"name", "email"}
    if scopes and params.get("response_mode") != "form_post":
        return "invalid_request: response_mode must be form_post when name or email scope is requested"
    return None


def _account(claims: Json) -> Account:
    return Account(claims["sub"])


def _boolean_flags(claims: Json) -> Json:
    return claims | {name: True for name in ("email_verified", "is_private_email") if claims.get(name) == "true"}


provider = Provider(
    id="apple",
    name="Apple",
    client_id="com.example.login.web",
    personas=(
        *(_persona(person) for person in PERSONS),
        replace(_RELAY, claims=_RELAY.claims | {"is_private_email": "true"}),
        replace(_MALFORMED, first_consent_user='{"name": {"firstName": '),
    ),
    authorization_path="/auth/authorize",
    token_path="/auth/token",
    account=_account,
    jwks_url="https://appleid.apple.com/auth/keys",
    social_token="id_token",
    issuer=_ISSUER,
    issuers=lambda _: (_ISSUER, "https://account.apple.com"),
    id_token="always",
    pkce_required=False,
    notification_events=("consent-revoked", "account-delete", "email-disabled", "email-enabled", "a-new-kind"),
    is_valid_secret=_is_valid_client_secret,
    settings=_settings,
    validate_request=_validate_request,
    cancel_error={"error": "user_cancelled_authorize"},
    token_response=lambda _: {"token_type": "Bearer", "expires_in": 3600, "refresh_token": "r9s8.0.made-up"},
    errors={
        "invalid_client": (400, {"error": "invalid_client"}),
        "invalid_grant": (
            400,
            {"error": "invalid_grant", "error_description": "The code has expired or has been revoked."},
        ),
    },
    failures={
        "booleans": Failure("flags of the id_token are booleans, not strings", "id_token", _boolean_flags),
        "new_issuer": Failure(
            "issuer is https://account.apple.com (as in June 2025)",
            "id_token",
            lambda claims: claims | {"iss": "https://account.apple.com"},
        ),
    },
)
