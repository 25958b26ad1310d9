"""Kakao: plain OAuth 2.0, which every app has; its OpenID Connect is a switch. docs/providers/kakao.md"""

from providers.base import Answers, App, Identity, Provider, at


def _identity(answers: Answers) -> Identity:
    account = at(answers.user, "kakao_account")
    profile = at(account, "profile")
    picture = None if at(profile, "is_default_image") else at(profile, "profile_image_url")
    return Identity(
        subject=at(answers.user, "id"),
        name=at(account, "name"),
        nickname=at(profile, "nickname") or at(answers.user, "properties", "nickname"),
        # An address that is no longer valid belongs to another account by now.
        email=at(account, "email") if at(account, "is_email_valid") is True else None,
        email_verified=at(account, "is_email_valid") is True and at(account, "is_email_verified") is True,
        picture=picture.replace("http://", "https://", 1) if isinstance(picture, str) else None,
    )


provider = Provider(
    id="kakao",
    label={"en": "Kakao", "ja": "カカオ", "ko": "카카오"},
    button={"en": "Login with Kakao", "ko": "카카오 로그인"},
    colours=("#fee500", "#191919", "#fee500"),
    issuer="https://kauth.kakao.com",
    authorize_url="https://kauth.kakao.com/oauth/authorize",
    token_url="https://kauth.kakao.com/oauth/token",
    user_url="https://kapi.kakao.com/v2/user/me",
    secret_required=False,  # older apps have none
    app=App(
        {"en": "KakaoTalk", "ja": "カカオトーク", "ko": "카카오톡"},
        r"\bKAKAOTALK\b",
        "kakaotalk://web/openExternal?url={quoted}",
    ),
    identity=_identity,
)
