"""LINE: an id_token that is signed with the channel secret, and alone has the address. docs/providers/line.md"""

from providers.base import Answers, App, Identity, Provider


def _identity(answers: Answers) -> Identity:
    claims = answers.claims
    return Identity(
        subject=claims["sub"],
        name=claims.get("name"),
        email=claims.get("email"),  # without any word on whether it is verified
        picture=claims.get("picture"),
    )


provider = Provider(
    id="line",
    label={"en": "LINE"},
    button={"en": "Log in with LINE", "ja": "LINEでログイン", "ko": "LINE으로 로그인"},
    colours=("#ffffff", "#1b1f1d", "#868e89"),  # white on its green cannot be read well enough
    issuer="https://access.line.me",
    authorize_url="https://access.line.me/oauth2/v2.1/authorize",
    token_url="https://api.line.me/oauth2/v2.1/token",
    openid=True,
    algorithms=("HS256",),
    signed_with_secret=True,
    scope="profile openid email",
    app=App({"en": "LINE"}, r"\bLine/\d", "{url}{joint}openExternalBrowser=1"),
    identity=_identity,
)
