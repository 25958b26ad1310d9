"""Any OpenID Connect issuer that the operator names. docs/providers/oidc.md"""

import settings_readers as read
from providers.base import Answers, Identity, Need, Provider, at


def _identity(answers: Answers) -> Identity:
    # Address and "verified" from the same document: half of each would vouch for an address that nobody checked.
    said = answers.user if at(answers.user, "email") else answers.claims
    claims = {**(answers.user or {}), **answers.claims}
    names = (claims.get("given_name"), claims.get("family_name"))
    return Identity(
        subject=answers.claims["sub"],
        name=claims.get("name") or " ".join(part for part in names if isinstance(part, str)),
        nickname=claims.get("nickname") or claims.get("preferred_username"),
        email=at(said, "email"),
        email_verified=at(said, "email_verified"),
        picture=claims.get("picture"),
    )


provider = Provider(
    id="oidc",
    label={"en": "OpenID Connect"},
    discovery=True,
    openid=True,
    algorithms=("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
    scope="openid email profile",
    secret_required=False,
    needs={
        "ISSUER": Need(read.issuer, "https://login.example.org", required=True),
        "LABEL": Need(read.words, "Example"),
    },
    identity=_identity,
)
