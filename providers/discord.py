"""Discord: plain OAuth 2.0; the picture's URL is built from the user's id and avatar hash. docs/providers/discord.md"""

from dataclasses import replace
from typing import Any

import settings_readers as read
from providers.base import Example, Identity, Provider, ProviderResponses, dig


def _identity(responses: ProviderResponses) -> Identity:
    user = responses.user
    return Identity(
        subject=dig(user, "id"),  # not the username: users may change it
        name=dig(user, "global_name") or dig(user, "username"),
        nickname=dig(user, "username"),
        email=dig(user, "email"),
        email_verified=dig(user, "verified"),
        picture=_picture(dig(user, "id"), dig(user, "avatar")),
    )


def _picture(subject: Any, avatar: Any) -> str | None:
    """Return the URL of the avatar; None if the user has the default one."""
    if not (subject and avatar and isinstance(avatar, str)):
        return None
    extension = "gif" if avatar.startswith("a_") else "png"  # a_ marks an animated avatar
    return f"https://cdn.discordapp.com/avatars/{subject}/{avatar}.{extension}"


_MARK = (
    '<path d="M8.6 4.6 9.4 6q2.6-.4 5.2 0l.8-1.4q2.3.4 4.2 1.4 3.4 5.2 2.9 11.4-2.3 1.8-5 2.4l-1.4-2q-4.1 '
    "1.1-8.2 0l-1.4 2q-2.7-.6-5-2.4Q1 11.2 4.4 6q1.9-1 4.2-1.4zM8.7 10.3a2 2.3 0 1 0 0 4.6 2 2.3 0 1 0 "
    '0-4.6zM15.3 10.3a2 2.3 0 1 0 0 4.6 2 2.3 0 1 0 0-4.6z" fill="currentColor" fill-rule="evenodd"/>'
)
_HANEUL = Identity(
    subject="800000000000000001",
    name="김하늘",
    nickname="haneul.kim",
    email="haneul.kim@example.com",
    email_verified=True,
    picture="https://cdn.discordapp.com/avatars/800000000000000001/0123456789abcdef0123456789abcdef.png",
)
_USER = {
    "id": "800000000000000001",
    "username": "haneul.kim",
    "discriminator": "0",
    "global_name": "김하늘",
    "avatar": "0123456789abcdef0123456789abcdef",
    "verified": True,
    "email": "haneul.kim@example.com",
    "locale": "ko",
    "mfa_enabled": True,
    "public_flags": 0,
}

provider = Provider(
    id="discord",
    order=70,
    label={"en": "Discord", "ko": "디스코드"},
    colors=("#5865f2", "#ffffff", "#5865f2"),
    mark=_MARK,
    issuer="https://discord.com",
    authorize_url="https://discord.com/oauth2/authorize",
    token_url="https://discord.com/api/oauth2/token",
    user_url="https://discord.com/api/users/@me",
    scope="identify email",
    optional_params={"prompt": read.choice("consent")},
    identity=_identity,
    examples=(
        Example("complete profile", _HANEUL, user=_USER),
        Example(
            "an account with a telephone number",
            replace(_HANEUL, email=None, email_verified=False),
            user={**_USER, "email": None, "verified": False},
        ),
        Example(
            "an address that is not verified", replace(_HANEUL, email_verified=False), user={**_USER, "verified": False}
        ),
        Example(
            "no display name, the default picture",
            replace(_HANEUL, name="haneul.kim", picture=None),
            user={**_USER, "global_name": None, "avatar": None},
        ),
        Example(
            "an animated picture",
            replace(_HANEUL, picture="https://cdn.discordapp.com/avatars/800000000000000001/a_0123456789abcdef.gif"),
            user={**_USER, "avatar": "a_0123456789abcdef"},
        ),
        Example("a flag that is a word", replace(_HANEUL, email_verified=False), user={**_USER, "verified": "true"}),
        Example("no id", None, user={"username": "haneul.kim"}),
    ),
)
