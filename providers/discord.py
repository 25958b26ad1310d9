"""Discord: plain OAuth 2.0; one address says all, the picture's has to be put together. docs/providers/discord.md"""

from typing import Any

from providers.base import Answers, Identity, Provider, at


def _identity(answers: Answers) -> Identity:
    user = answers.user
    return Identity(
        subject=at(user, "id"),  # never the username, which people may change
        name=at(user, "global_name") or at(user, "username"),
        nickname=at(user, "username"),
        email=at(user, "email"),
        email_verified=at(user, "verified"),
        picture=_picture(at(user, "id"), at(user, "avatar")),
    )


def _picture(subject: Any, avatar: Any) -> str | None:
    """None for who has chosen none: what Discord shows then is the same for many."""
    if not (subject and avatar and isinstance(avatar, str)):
        return None
    kind = "gif" if avatar.startswith("a_") else "png"  # a moving one
    return f"https://cdn.discordapp.com/avatars/{subject}/{avatar}.{kind}"


provider = Provider(
    id="discord",
    label={"en": "Discord", "ko": "디스코드"},
    colours=("#5865f2", "#ffffff", "#5865f2"),
    authorize_url="https://discord.com/oauth2/authorize",
    token_url="https://discord.com/api/oauth2/token",
    user_url="https://discord.com/api/users/@me",
    scope="identify email",
    identity=_identity,
)
