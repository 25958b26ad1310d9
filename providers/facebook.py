"""Facebook: plain OAuth 2.0; calls prove that they know the app secret, and errors are objects.

docs/providers/facebook.md
"""

import hmac
from typing import Any

import settings_readers as read
from providers.base import Example, Identity, InAppBrowser, Provider, ProviderResponses, Registration, dig

_APP_SECRET_PROOF = "appsecret_proof"
_FIELDS = "id,name,email,picture.width(256)"


def _identity(responses: ProviderResponses) -> Identity:
    picture = dig(responses.user, "picture", "data")
    return Identity(
        subject=dig(responses.user, "id"),
        name=dig(responses.user, "name"),
        email=dig(responses.user, "email"),  # Facebook does not say whether it is verified
        picture=None if dig(picture, "is_silhouette") is not False else dig(picture, "url"),
    )


def _proof(registration: Registration, access_token: str) -> dict[str, str]:
    """Return the proof that apps can be set to require for each call."""
    proof = hmac.digest((registration.secret or "").encode(), access_token.encode(), "sha256").hex()
    return {_APP_SECRET_PROOF: proof}


def _error_code(error: Any) -> Any:
    """Return the code of an error object: the word of RFC 6749 for those of the registration, or the number as text."""
    code = dig(error, "error_subcode") or dig(error, "code")
    return (
        {101: "invalid_client", 191: "redirect_uri_mismatch"}.get(code, str(code)) if isinstance(code, int) else error
    )


_PICTURE = {"height": 256, "is_silhouette": False, "url": "https://platform-lookaside.fbsbx.com/p/1", "width": 256}
_USER = {"id": "10223344556677889", "name": "김하늘", "picture": {"data": _PICTURE}}

provider = Provider(
    id="facebook",
    label={"en": "Facebook", "ko": "페이스북"},
    button_text={"en": "Continue with Facebook", "ja": "Facebookで続ける", "ko": "Facebook으로 계속하기"},
    colors=("#0866ff", "#ffffff", "#0866ff"),
    mark='<path d="M23 12a11 11 0 1 0-13.6 10.7v-7.3H7.1V12h2.3v-1.5c0-3.8 1.7-5.5 5.4-5.5.7 0 1.9.1 2.4.3v3.1'
    'l-1.3-.1c-1.8 0-2.5.7-2.5 2.5V12h3.7l-.6 3.4h-3.1v7.5A11 11 0 0 0 23 12z" fill="currentColor"/>',
    issuer="https://www.facebook.com",
    authorize_url="https://www.facebook.com/v25.0/dialog/oauth",
    token_url="https://graph.facebook.com/v25.0/oauth/access_token",
    user_url=f"https://graph.facebook.com/v25.0/me?fields={_FIELDS}",
    user_params=_proof,
    scope="email,public_profile",
    optional_params={
        "auth_type": read.choice("rerequest", "reauthenticate"),
        "display": read.choice("page", "popup", "touch"),
        "config_id": read.header_value,
    },
    reauthenticate_params={"auth_type": "reauthenticate"},
    code_reuse_errors=frozenset({"36009", "36007"}),  # used, expired
    error_code=_error_code,
    in_app_browser=InAppBrowser({"en": "Facebook", "ko": "페이스북"}, r"\bFBA[NV]/|\bFB_IAB/"),
    identity=_identity,
    examples=(
        Example(
            "complete profile",
            Identity(
                subject="10223344556677889",
                name="김하늘",
                email="haneul.kim@example.com",
                picture="https://platform-lookaside.fbsbx.com/p/1",
            ),
            user={**_USER, "email": "haneul.kim@example.com"},
        ),
        Example(
            "no email: an account with a phone number, or not granted",
            Identity(subject="10223344556677889", name="김하늘", picture="https://platform-lookaside.fbsbx.com/p/1"),
            user=_USER,
        ),
        Example(
            "a silhouette instead of a picture",
            Identity(subject="10223344556677889", name="김하늘"),
            user={**_USER, "picture": {"data": {**_PICTURE, "is_silhouette": True}}},
        ),
        Example("no id", None, user={"name": "김하늘"}),
    ),
)
