"""LINE: OpenID Connect; the id_token is signed with the channel secret and is the only source of the email address.

docs/providers/line.md
"""

from providers.base import Identity, InAppBrowser, Provider, ProviderResponses


def _identity(responses: ProviderResponses) -> Identity:
    claims = responses.claims
    return Identity(
        subject=claims["sub"],
        name=claims.get("name"),
        email=claims.get("email"),  # LINE does not say whether it is verified
        picture=claims.get("picture"),
    )


provider = Provider(
    id="line",
    label={"en": "LINE"},
    button_text={"en": "Log in with LINE", "ja": "LINEでログイン", "ko": "LINE으로 로그인"},
    colors=("#ffffff", "#1b1f1d", "#868e89"),  # white text on LINE green has too little contrast
    issuer="https://access.line.me",
    authorize_url="https://access.line.me/oauth2/v2.1/authorize",
    token_url="https://api.line.me/oauth2/v2.1/token",
    is_oidc=True,
    algorithms=("HS256",),
    signed_with_secret=True,
    scope="profile openid email",
    reauthenticate_params={"prompt": "login"},
    in_app_browser=InAppBrowser({"en": "LINE"}, r"\bLine/\d", "{url}{joint}openExternalBrowser=1"),
    identity=_identity,
)
