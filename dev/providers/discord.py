"""Discord: OAuth 2.0 with PKCE. Ids are long numbers as strings, and each endpoint has its own error format."""

from flask import Response

from dev.personas import HANEUL, PERSONS, Person
from dev.providers.base import Account, Failure, Json, Persona, Provider

_AVATAR = "0123456789abcdef0123456789abcdef"
_RATE_LIMITED = '{"message": "You are being rate limited.", "retry_after": 0.5, "global": false}'


def _persona(key: str, description: str, person: Person, avatar: str = _AVATAR) -> Persona:
    subject = f"80000000000{Person(key, description).number:07}"
    user = {
        "id": subject,
        "username": f"{key}.dev",
        "discriminator": "0",
        "global_name": person.name,
        "avatar": avatar if person.picture else None,
        "verified": person.email_verified,
        "email": person.email,
        "locale": "ko",
        "mfa_enabled": True,
        "public_flags": 0,
    }
    return Persona(key, description, subject, api_responses={"/api/users/@me": user})


_PERSONAS = (
    *(_persona(person.key, person.description, person) for person in PERSONS),
    _persona("moving", "animated picture", HANEUL, f"a_{_AVATAR}"),
)


def _account(user: Json) -> Account:
    email = user["email"] if user["verified"] else None
    return Account(user["id"], user["global_name"] or user["username"], user["username"], email)


def _rate_limited() -> Response:
    return Response(_RATE_LIMITED, 429, mimetype="application/json")


provider = Provider(
    id="discord",
    name="Discord",
    client_id="800000000000000000",
    personas=_PERSONAS,
    authorization_path="/oauth2/authorize",
    token_path="/api/oauth2/token",
    account=_account,
    user_urls=("https://discord.com/api/users/@me",),
    id_token="never",
    auth_methods=("client_secret_post", "client_secret_basic"),
    cancel_error={
        "error": "access_denied",
        "error_description": "The resource owner or authorization server denied the request",
    },
    token_response=lambda scopes: {
        "token_type": "Bearer",
        "expires_in": 604800,
        "refresh_token": "D43f5y0-made-up",
        "scope": " ".join(scopes),
    },
    errors={
        "invalid_client": (401, {"error": "invalid_client"}),
        "invalid_grant": (400, {"error": "invalid_grant", "error_description": 'Invalid "code" in request.'}),
        "invalid_token": (401, {"message": "401: Unauthorized", "code": 0}),
    },
    requires_user_agent=True,
    failures={
        "rate_limited": Failure("token endpoint: rate limited", "token", respond=_rate_limited),
        "user_rate_limited": Failure("user endpoint: rate limited", "user", respond=_rate_limited),
    },
)
