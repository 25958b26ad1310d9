"""Kakao: plain OAuth 2.0, because OpenID Connect has to be switched on for each app. docs/providers/kakao.md"""

import settings_readers as read
from providers.base import Identity, InAppBrowser, Provider, ProviderResponses, dig


def _identity(responses: ProviderResponses) -> Identity:
    account = dig(responses.user, "kakao_account")
    profile = dig(account, "profile")
    picture = None if dig(profile, "is_default_image") else dig(profile, "profile_image_url")
    return Identity(
        subject=dig(responses.user, "id"),
        name=dig(account, "name"),
        nickname=dig(profile, "nickname") or dig(responses.user, "properties", "nickname"),
        # An invalid address now belongs to another Kakao account.
        email=dig(account, "email") if dig(account, "is_email_valid") is True else None,
        email_verified=dig(account, "is_email_valid") is True and dig(account, "is_email_verified") is True,
        picture=picture.replace("http://", "https://", 1) if isinstance(picture, str) else None,
    )


_MARK = (
    '<ellipse cx="12" cy="10.8" rx="10" ry="8.2" fill="#000"/>'
    '<path d="M5.4 15.6 4.3 21.2q-.1.8.6.4l6.3-4.2z" fill="#000"/>'
)

provider = Provider(
    id="kakao",
    order=10,
    label={"en": "Kakao", "ja": "カカオ", "ko": "카카오"},
    button_text={"en": "Login with Kakao", "ko": "카카오 로그인"},
    colors=("#fee500", "#191919", "#fee500"),
    mark=_MARK,
    issuer="https://kauth.kakao.com",
    authorize_url="https://kauth.kakao.com/oauth/authorize",
    token_url="https://kauth.kakao.com/oauth/token",
    user_url="https://kapi.kakao.com/v2/user/me",
    logout_url="https://kauth.kakao.com/oauth/logout",
    logout_redirect_param="logout_redirect_uri",
    optional_params={
        "prompt": read.choice("login", "create", "select_account"),
        "service_terms": read.header_value,
        "channel_public_id": read.header_value,
    },
    reauthenticate_params={"prompt": "login"},
    secret_required=False,  # older apps have no secret
    in_app_browser=InAppBrowser(
        {"en": "KakaoTalk", "ja": "カカオトーク", "ko": "카카오톡"},
        r"\bKAKAOTALK\b",
        "kakaotalk://web/openExternal?url={quoted}",
    ),
    auto_login_params={"prompt": "none"},
    identity=_identity,
)
