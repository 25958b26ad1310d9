"""LINE: OpenID Connect; the id_token is signed with the channel secret and is the only source of the email address.

docs/providers/line.md
"""

import settings_readers as read
from providers.base import Identity, InAppBrowser, Provider, ProviderResponses


def _identity(responses: ProviderResponses) -> Identity:
    claims = responses.claims
    return Identity(
        subject=claims["sub"],
        name=claims.get("name"),
        email=claims.get("email"),  # LINE does not say whether it is verified
        picture=claims.get("picture"),
    )


_MARK = (
    '<path d="M12 2.3c6 0 10.8 3.8 10.8 8.6 0 2.5-1.4 4.6-3.5 6.6-2.2 2-5 3.7-6.5 4.3-.7.3-1-.1-.9-.7l.2-1.7C6 '
    "19.3 1.2 15.6 1.2 10.9 1.2 6.1 6 2.3 12 2.3zM4.7 8.3v5.2h3.5v-1.1H5.9V8.3zM9.1 8.3v5.2h1.2V8.3zM11.3 "
    "8.3v5.2h1.2v-3.1l2.3 3.1h1.1V8.3h-1.2v3.1l-2.3-3.1zM16.9 "
    '8.3v5.2h3.5v-1.1h-2.3v-1h2.3v-1.1h-2.3v-.9h2.3V8.3z" fill="#06c755" fill-rule="evenodd"/>'
)

provider = Provider(
    id="line",
    order=60,
    label={"en": "LINE"},
    button_text={"en": "Log in with LINE", "ja": "LINEでログイン", "ko": "LINE으로 로그인"},
    colors=("#ffffff", "#1b1f1d", "#868e89"),  # white text on LINE green has too little contrast
    mark=_MARK,
    issuer="https://access.line.me",
    authorize_url="https://access.line.me/oauth2/v2.1/authorize",
    token_url="https://api.line.me/oauth2/v2.1/token",
    is_oidc=True,
    algorithms=("HS256",),
    signed_with_secret=True,
    scope="profile openid email",
    optional_params={
        "prompt": read.choice("consent", "login"),
        "max_age": read.integer(0, 31536000),
        "ui_locales": read.header_value,
        "bot_prompt": read.choice("normal", "aggressive"),
        "initial_amr_display": read.choice("lineqr"),
        "switch_amr": read.choice("true", "false"),
        "disable_auto_login": read.choice("true", "false"),
        "disable_ios_auto_login": read.choice("true", "false"),
    },
    reauthenticate_params={"prompt": "login"},
    in_app_browser=InAppBrowser({"en": "LINE"}, r"\bLine/\d", "{url}{joint}openExternalBrowser=1"),
    identity=_identity,
)
