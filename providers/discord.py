"""Discord: plain OAuth 2.0; the picture's URL is built from the user's id and avatar hash. docs/providers/discord.md"""

from typing import Any

import settings_readers as read
from providers.base import Identity, Provider, ProviderResponses, dig


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
)
