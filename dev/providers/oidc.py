"""An OpenID Connect issuer that the site configures by discovery."""

from dataclasses import replace

from dev.personas import HANEUL, PERSONS, Person
from dev.providers.base import Account, Json, Persona, Provider


def _persona(person: Person) -> Persona:
    subject = f"user-{person.hexadecimal[:16]}"
    claims: Json = {
        "name": person.name,
        "preferred_username": person.nickname,
        "picture": person.picture,
        "email": person.email,
    }
    if person.email:
        claims["email_verified"] = person.email_verified
    claims = {name: value for name, value in claims.items() if value is not None}
    return Persona(person.key, person.description, subject, claims, {"/userinfo": {"sub": subject} | claims})


_USERINFO_ONLY = _persona(
    replace(HANEUL, key="userinfo", description="name and e-mail address only at the userinfo endpoint")
)
_STRING_FLAG = _persona(replace(HANEUL, key="string-flag", description='`email_verified` is the string "true"'))


def _settings(base_url: str, secret: str) -> dict[str, str]:
    return {"CLIENT_SECRET": secret, "ISSUER": base_url, "LABEL": "Example"}


def _account(user: Json) -> Account:
    return Account(user["sub"], user.get("name"), user.get("preferred_username"), user.get("email"))


provider = Provider(
    id="oidc",
    name="Example",
    client_id="munjigi-development",
    personas=(
        *(_persona(person) for person in PERSONS),
        replace(_USERINFO_ONLY, claims={}),
        replace(_STRING_FLAG, claims=_STRING_FLAG.claims | {"email_verified": "true"}),
    ),
    authorization_path="/authorize",
    token_path="/token",
    account=_account,
    jwks_url="/jwks",
    logout_path="/logout",
    discovery_path="/.well-known/openid-configuration",
    auth_methods=("client_secret_post", "client_secret_basic"),
    settings=_settings,
)
