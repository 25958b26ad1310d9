"""Google: OpenID Connect. docs/providers/google.md"""

import settings_readers as read
from providers.base import Identity, Provider, ProviderResponses


def _identity(responses: ProviderResponses) -> Identity:
    claims = responses.claims
    email = claims.get("email")
    # Google is authoritative for gmail.com and Workspace addresses only; others may have changed owner since they were
    # verified (docs/providers/google.md).
    is_gmail = isinstance(email, str) and email.lower().endswith("@gmail.com")
    return Identity(
        subject=claims["sub"],
        name=claims.get("name"),
        email=email,
        email_verified=claims.get("email_verified") is True and (is_gmail or bool(claims.get("hd"))),
        picture=claims.get("picture"),
    )


_MARK = (
    '<g fill="none" stroke-width="4.2">'
    '<path d="M17.85 6.54A8 8 0 0 0 4.87 8.37" stroke="#EA4335"/>'
    '<path d="M4.87 8.37a8 8 0 0 0 0 7.26" stroke="#FBBC05"/>'
    '<path d="M4.87 15.63a8 8 0 0 0 12.27 2.5" stroke="#34A853"/>'
    '<path d="M17.14 18.13A8 8 0 0 0 20 12h-8" stroke="#4285F4"/>'
    "</g>"
)

provider = Provider(
    id="google",
    order=40,
    label={"en": "Google"},
    button_text={
        "en": "Sign in with Google",
        "de": "Über Google anmelden",
        "es": "Acceder con Google",
        "fr": "Se connecter avec Google",
        "ja": "Google でログイン",
        "ko": "Google 계정으로 로그인",
        "vi": "Đăng nhập bằng Google",
        "zh_Hans": "使用 Google 账号登录",
        "zh_Hant": "使用 Google 帳戶登入",
    },
    colors=("#ffffff", "#1f1f1f", "#747775"),
    mark=_MARK,
    issuer="https://accounts.google.com",
    other_issuers=("accounts.google.com",),
    authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    token_url="https://oauth2.googleapis.com/token",
    keys_url="https://www.googleapis.com/oauth2/v3/certs",
    is_oidc=True,
    scope="openid email profile",
    optional_params={
        "prompt": read.choice("consent", "select_account"),
        "hd": read.domain,
        "access_type": read.choice("online", "offline"),
        "include_granted_scopes": read.choice("true", "false"),
    },
    param_claims={"hd": "hd"},
    refuses_in_app=True,  # 403 disallowed_useragent
    identity=_identity,
)
