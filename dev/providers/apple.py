"""Apple: the callback is a posted form, the client's secret a signed token, and there is no user endpoint."""

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

from dev.personas import EVERYBODY, HANEUL, Person
from dev.providers.base import Account, Client, Failure, Json, Persona, Provider

_ISSUER = "https://appleid.apple.com"
_LONGEST_SECRET = 15_777_000
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
    return Persona(person.key, person.shows, subject, claims, first_consent=json.dumps(user, ensure_ascii=False))


_RELAY = _persona(
    replace(HANEUL, key="relay", shows="hides the address behind a relay", email="ab12cd34ef@privaterelay.appleid.com")
)
_MALFORMED = _persona(replace(HANEUL, key="malformed", shows="`user` of the first consent is not JSON"))


def _private_key(_base_url: str, secret: str) -> str:
    """The same key for the same secret: the reloader's two processes must agree, and no further file is kept."""
    number = int.from_bytes(hmac.digest(secret.encode(), b"ES256", hashlib.sha512)) % (_ORDER_P256 - 1) + 1
    return (
        ec.derive_private_key(number, ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def _with_key(base_url: str, secret: str) -> dict[str, str]:
    key = _private_key(base_url, secret)
    return {"TEAM_ID": "TEAM000001", "KEY_ID": "KEY0000001", "PRIVATE_KEY": key, "BASE_URL": base_url}


def _signed_by_the_client(client: Client, given: str) -> bool:
    """A client secret as Apple wants it: signed with the registered key, for Apple, not expired, not too long-lived."""
    try:
        token = jwt.decode(given, ECKey.import_key(client.settings["PRIVATE_KEY"]), algorithms=["ES256"])
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
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int):
        return False
    return issued - 60 <= time.time() < expires <= issued + _LONGEST_SECRET


def _objection(wish: Mapping[str, str]) -> str | None:
    asks = set(wish.get("scope", "").split()) & {"name", "email"}
    if asks and wish.get("response_mode") != "form_post":
        return "invalid_request: response_mode must be form_post when name or email scope is requested"
    return None


def _taken(claims: Json) -> Account:
    return Account(claims["sub"])


def _flags_as_booleans(claims: Json) -> Json:
    return claims | {name: True for name in ("email_verified", "is_private_email") if claims.get(name) == "true"}


APPLE = Provider(
    id="apple",
    name="Apple",
    client_id="com.example.login.web",
    personas=(
        *(_persona(person) for person in EVERYBODY),
        replace(_RELAY, claims=_RELAY.claims | {"is_private_email": "true"}),
        replace(_MALFORMED, first_consent='{"name": {"firstName": '),
    ),
    authorization_path="/auth/authorize",
    token_path="/auth/token",
    account=_taken,
    jwks_url="https://appleid.apple.com/auth/keys",
    social_token="id_token",
    issuer=_ISSUER,
    id_token="always",
    pkce_required=False,
    accepts_secret=_signed_by_the_client,
    settings=_with_key,
    objection=_objection,
    cancelled={"error": "user_cancelled_authorize"},
    token_answer=lambda _: {"token_type": "Bearer", "expires_in": 3600, "refresh_token": "r9s8.0.made-up"},
    errors={
        "invalid_client": (400, {"error": "invalid_client"}),
        "invalid_grant": (
            400,
            {"error": "invalid_grant", "error_description": "The code has expired or has been revoked."},
        ),
    },
    variants={
        "booleans": Failure("flags of the id_token are booleans, not strings", "id_token", _flags_as_booleans),
        "new_issuer": Failure(
            "issuer is https://account.apple.com (as in June 2025)",
            "id_token",
            lambda claims: claims | {"iss": "https://account.apple.com"},
        ),
    },
)
