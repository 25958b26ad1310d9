"""GitHub: OAuth 2.0 with PKCE and `iss` in the callback (RFC 9207). Token errors have status 200."""

from typing import Any

from dev.personas import HANEUL, PERSONS, Person
from dev.providers.base import Account, Json, Persona, Provider

_ISSUER = "https://github.com/login/oauth"
_DOCS = "https://docs.github.com/apps/oauth-apps/troubleshooting"


def _emails(person: Person, login: str, number: int) -> list[Json]:
    private = f"{number}+{login}@users.noreply.github.com"
    listed: list[Json] = []
    if person.email:
        listed.append(
            {"email": person.email, "primary": True, "verified": person.email_verified, "visibility": "private"}
        )
    return [*listed, {"email": private, "primary": not listed, "verified": True, "visibility": None}]


def _persona(key: str, description: str, person: Person, **quirks: Any) -> Persona:
    number = 90000001 + Person(key, description).number
    login = f"{key}-dev"
    user = {
        "login": login,
        "id": number,
        "node_id": "U_kgDOEXAMPLE",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
        "html_url": f"https://github.com/{login}",
        "type": "User",
        "name": person.name,
        "email": None,
    }
    return Persona(
        key,
        description,
        str(number),
        api_responses={"/user": user | quirks, "/user/emails": _emails(person, login, number)},
    )


_PERSONAS = (
    *(_persona(person.key, person.description, person) for person in PERSONS),
    _persona("public", "e-mail address public in the profile", HANEUL, email=HANEUL.email),
)


def _account(user: Json, emails: list[Json]) -> Account:
    primary = [entry["email"] for entry in emails if entry["primary"] and entry["verified"]]
    return Account(str(user["id"]), user["name"] or user["login"], user["login"], primary[0] if primary else None)


def _error(error: str, description: str) -> tuple[int, Json]:
    return 200, {"error": error, "error_description": description, "error_uri": _DOCS}


provider = Provider(
    id="github",
    name="GitHub",
    client_id="Ov23lidevelopment0001",
    personas=_PERSONAS,
    authorization_path="/login/oauth/authorize",
    token_path="/login/oauth/access_token",
    account=_account,
    user_urls=("https://api.github.com/user", "https://api.github.com/user/emails"),
    issuer=_ISSUER,
    id_token="never",
    auth_methods=("client_secret_post", "client_secret_basic"),
    extra_callback_parameters=lambda _persona, _scopes: {"iss": _ISSUER},
    cancel_error={
        "error": "access_denied",
        "error_description": "The user has denied your application access.",
        "error_uri": _DOCS,
    },
    token_response=lambda scopes: {"token_type": "bearer", "scope": ",".join(scopes)},
    form_encoded=True,
    errors={
        "invalid_client": _error("incorrect_client_credentials", "The client_id and/or client_secret are incorrect."),
        "invalid_grant": _error("bad_verification_code", "The code passed is incorrect or expired."),
        "redirect_uri_mismatch": _error("redirect_uri_mismatch", "The redirect_uri must match the registered one."),
        "unsupported_grant_type": _error("unsupported_grant_type", "The grant_type is not supported."),
        "invalid_token": (401, {"message": "Bad credentials", "documentation_url": _DOCS}),
    },
    requires_user_agent=True,
    required_scopes={"/user/emails": "user:email"},
)
