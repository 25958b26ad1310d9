"""Google: OpenID Connect. docs/providers/google.md"""

from providers.base import Answers, Identity, Provider


def _identity(answers: Answers) -> Identity:
    claims = answers.claims
    email = claims.get("email")
    # Its rule: it vouches for its own addresses and for those of a Workspace, not for others verified once.
    own = isinstance(email, str) and email.lower().endswith("@gmail.com")
    return Identity(
        subject=claims["sub"],
        name=claims.get("name"),
        email=email,
        email_verified=claims.get("email_verified") is True and (own or bool(claims.get("hd"))),
        picture=claims.get("picture"),
    )


provider = Provider(
    id="google",
    label={"en": "Google"},
    button={"en": "Sign in with Google", "ja": "Google でログイン", "ko": "Google 계정으로 로그인"},
    colours=("#ffffff", "#1f1f1f", "#747775"),
    issuer="https://accounts.google.com",
    other_issuers=("accounts.google.com",),
    authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    token_url="https://oauth2.googleapis.com/token",
    keys_url="https://www.googleapis.com/oauth2/v3/certs",
    openid=True,
    scope="openid email profile",
    refuses_in_app=True,  # 403 disallowed_useragent
    identity=_identity,
)
