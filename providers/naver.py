"""Naver: plain OAuth 2.0; the user is wrapped in an envelope, and errors have status 200. docs/providers/naver.md"""

import settings_readers as read
from providers.base import Identity, InAppBrowser, Provider, ProviderResponses, dig


def _identity(responses: ProviderResponses) -> Identity:
    if dig(responses.user, "resultcode") != "00":
        raise ValueError("resultcode is not 00")
    user = dig(responses.user, "response")
    return Identity(
        subject=dig(user, "id"),
        name=dig(user, "name"),
        nickname=dig(user, "nickname"),
        email=dig(user, "email"),  # a contact address that users may change: never verified
        picture=dig(user, "profile_image"),
    )


provider = Provider(
    id="naver",
    order=20,
    label={"en": "NAVER", "ko": "네이버"},
    button_text={"en": "Log in with NAVER", "ko": "네이버 로그인"},
    colors=("#ffffff", "#1b1f1d", "#868e89"),  # white text on NAVER green has too little contrast
    mark='<path d="M4 4h5.6l4.8 7.2V4H20v16h-5.6l-4.8-7.2V20H4z" fill="#03c75a"/>',
    issuer="https://nid.naver.com",
    authorize_url="https://nid.naver.com/oauth2.0/authorize",
    token_url="https://nid.naver.com/oauth2.0/token",
    optional_params={"auth_type": read.choice("reprompt", "reauthenticate")},
    reauthenticate_params={"auth_type": "reauthenticate"},
    token_params=("state",),
    user_url="https://openapi.naver.com/v1/nid/me",
    code_reuse_errors=frozenset({"invalid_grant", "invalid_request"}),  # "no valid data in session"
    in_app_browser=InAppBrowser({"en": "NAVER", "ko": "네이버"}, r"\bNAVER\(inapp"),
    identity=_identity,
)
