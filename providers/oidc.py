"""Any OpenID Connect issuer, set by the operator. docs/providers/oidc.md"""

import settings_readers as read
from providers.base import Identity, Provider, ProviderResponses, dig
from settings_readers import SettingSpec


def _identity(responses: ProviderResponses) -> Identity:
    # `email` and `email_verified` must come from the same document, or an unverified address could count as verified.
    email_source = responses.user if dig(responses.user, "email") else responses.claims
    claims = {**(responses.user or {}), **responses.claims}
    names = (claims.get("given_name"), claims.get("family_name"))
    return Identity(
        subject=responses.claims["sub"],
        name=claims.get("name") or " ".join(part for part in names if isinstance(part, str)),
        nickname=claims.get("nickname") or claims.get("preferred_username"),
        email=dig(email_source, "email"),
        email_verified=dig(email_source, "email_verified"),
        picture=claims.get("picture"),
    )


_MARK = (
    '<g fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round">'
    '<circle cx="8" cy="16" r="4.9"/>'
    '<path d="M11.6 12.4 20.8 3.2M16.4 7.6l3.2 3.2"/>'
    "</g>"
)

provider = Provider(
    id="oidc",
    order=90,
    label={"en": "OpenID Connect"},
    mark=_MARK,
    discovery=True,
    is_oidc=True,
    algorithms=("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
    scope="openid email profile",
    optional_params={
        "prompt": read.choice("login", "consent", "select_account", "create"),
        "max_age": read.integer(0, 31536000),
        "acr_values": read.header_value,
        "ui_locales": read.header_value,
        "display": read.choice("page", "popup", "touch", "wap"),
        # Of Auth0, Keycloak, Entra, Okta and Cognito: which of their own providers signs the person in.
        "connection": read.header_value,
        "kc_idp_hint": read.header_value,
        "domain_hint": read.domain,
        "idp": read.header_value,
        "identity_provider": read.header_value,
    },
    reauthenticate_params={"prompt": "login", "max_age": "0"},
    secret_required=False,
    settings={
        "ISSUER": SettingSpec(
            read.issuer,
            "https://login.example.org",
            required=True,
            meaning="The issuer identifier, exactly as in its discovery document.",
        ),
        "LABEL": SettingSpec(read.single_line, "Example", meaning="The provider's name on the button."),
    },
    identity=_identity,
)
