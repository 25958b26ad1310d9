"""Google: standard OpenID Connect, but it renames scopes in responses and adds parameters to the callback."""

from dev.personas import HANEUL, PERSONS, Person
from dev.providers.base import Account, Json, Persona, Provider

_ISSUER = "https://accounts.google.com"
_SCOPE_URLS = {
    "email": "https://www.googleapis.com/auth/userinfo.email",
    "profile": "https://www.googleapis.com/auth/userinfo.profile",
}


def _persona(
    key: str, description: str, person: Person, email: str | None, hosted_domain: str | None = None
) -> Persona:
    subject = f"1082042680333{Person(key, description).number:08}"
    claims: Json = {"name": person.name, "picture": person.picture, "email": email, "hd": hosted_domain}
    if email:
        claims["email_verified"] = person.email_verified
    claims = {name: value for name, value in claims.items() if value is not None}
    return Persona(key, description, subject, claims, {"/v1/userinfo": {"sub": subject} | claims})


_PERSONAS = (
    *(_persona(person.key, person.description, person, person.email) for person in PERSONS),
    _persona("gmail", "gmail.com address (Google is authoritative)", HANEUL, "haneul.kim@gmail.com"),
    _persona("workspace", "Workspace account (`hd`)", HANEUL, "haneul@company.example.com", "company.example.com"),
)


def rewrite_scopes(scopes: list[str]) -> str:
    return " ".join(_SCOPE_URLS.get(scope, scope) for scope in scopes)


def _callback_extras(persona: Persona, scopes: list[str]) -> dict[str, str]:
    extras = {
        "scope": f"{' '.join(scopes)} {rewrite_scopes(scopes)}",
        "authuser": "0",
        "prompt": "consent",
        "iss": _ISSUER,
    }
    return extras | ({"hd": persona.claims["hd"]} if "hd" in persona.claims else {})


def _account(user: Json) -> Account:
    return Account(user["sub"], user.get("name"), None, user.get("email"))


provider = Provider(
    id="google",
    name="Google",
    client_id="1234567890-development.apps.googleusercontent.com",
    personas=_PERSONAS,
    authorization_path="/o/oauth2/v2/auth",
    token_path="/token",
    account=_account,
    jwks_url="https://www.googleapis.com/oauth2/v3/certs",
    user_urls=("https://openidconnect.googleapis.com/v1/userinfo",),
    issuer=_ISSUER,
    discovery_path="/.well-known/openid-configuration",
    auth_methods=("client_secret_post", "client_secret_basic"),
    extra_callback_parameters=_callback_extras,
    token_response=lambda scopes: {"expires_in": 3599, "token_type": "Bearer", "scope": rewrite_scopes(scopes)},
    errors={
        "invalid_client": (
            401,
            {"error": "invalid_client", "error_description": "The OAuth client was not found."},
        ),
        "invalid_grant": (400, {"error": "invalid_grant", "error_description": "Malformed auth code."}),
        "redirect_uri_mismatch": (400, {"error": "redirect_uri_mismatch", "error_description": "Bad Request"}),
    },
)
