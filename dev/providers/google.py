"""Google: OpenID Connect by the book, but scopes come back under other names and the callback brings extras."""

from dev.personas import EVERYBODY, HANEUL, Person
from dev.providers.base import Account, Json, Persona, Provider

_ISSUER = "https://accounts.google.com"
_SCOPE_URLS = {
    "email": "https://www.googleapis.com/auth/userinfo.email",
    "profile": "https://www.googleapis.com/auth/userinfo.profile",
}


def _persona(key: str, shows: str, person: Person, email: str | None, hosted_domain: str | None = None) -> Persona:
    subject = f"1082042680333{Person(key, shows).number:08}"
    claims: Json = {"name": person.name, "picture": person.picture, "email": email, "hd": hosted_domain}
    if email:
        claims["email_verified"] = person.email_verified
    known = {name: value for name, value in claims.items() if value is not None}
    return Persona(key, shows, subject, known, {"/v1/userinfo": {"sub": subject} | known})


_PERSONAS = (
    *(_persona(person.key, person.shows, person, person.email) for person in EVERYBODY),
    _persona("gmail", "address at gmail.com: Google answers for it", HANEUL, "haneul.kim@gmail.com"),
    _persona("workspace", "Workspace account (`hd`)", HANEUL, "haneul@company.example.com", "company.example.com"),
)


def rewritten(scopes: list[str]) -> str:
    return " ".join(_SCOPE_URLS.get(scope, scope) for scope in scopes)


def _extras(persona: Persona, scopes: list[str]) -> dict[str, str]:
    extras = {"scope": f"{' '.join(scopes)} {rewritten(scopes)}", "authuser": "0", "prompt": "consent", "iss": _ISSUER}
    return extras | ({"hd": persona.claims["hd"]} if "hd" in persona.claims else {})


def _taken(user: Json) -> Account:
    return Account(user["sub"], user.get("name"), None, user.get("email"))


GOOGLE = Provider(
    id="google",
    name="Google",
    client_id="1234567890-development.apps.googleusercontent.com",
    personas=_PERSONAS,
    authorization_path="/o/oauth2/v2/auth",
    token_path="/token",
    account=_taken,
    jwks_url="https://www.googleapis.com/oauth2/v3/certs",
    user_urls=("https://openidconnect.googleapis.com/v1/userinfo",),
    issuer=_ISSUER,
    discovery_path="/.well-known/openid-configuration",
    auth_methods=("client_secret_post", "client_secret_basic"),
    callback_extras=_extras,
    token_answer=lambda scopes: {"expires_in": 3599, "token_type": "Bearer", "scope": rewritten(scopes)},
    errors={
        "invalid_client": (
            401,
            {"error": "invalid_client", "error_description": "The OAuth client was not found."},
        ),
        "invalid_grant": (400, {"error": "invalid_grant", "error_description": "Malformed auth code."}),
        "redirect_uri_mismatch": (400, {"error": "redirect_uri_mismatch", "error_description": "Bad Request"}),
    },
)
