"""The signed-in user, as the backend describes it and as Flask-Login expects it."""

import re
import unicodedata
from dataclasses import dataclass

from flask_login import UserMixin

from providers.base import Identity

_MAX_TEXT = 200
_MAX_EMAIL = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
_MAX_ID = 255
_MAX_PICTURE = 2000
_EMAIL = re.compile(r"[^@\s,;<>\x00-\x1f\x7f]{1,64}@[^@\s,;<>\x00-\x1f\x7f]{1,189}")


@dataclass(frozen=True)
class User(UserMixin):  # type: ignore[misc]  # Flask-Login has no type hints
    id: int | str
    """The backend's id: a number above zero, or a text such as a UUID."""
    name: str | None = None
    nick_name: str | None = None
    email: str | None = None

    @classmethod
    def from_json(cls, data: object) -> "User":
        """The user in a backend's response or in a session token; raises `ValueError` without a valid id.

        Texts are bounded and cleaned, not rejected: an odd name must not lock anyone out.
        """
        if not isinstance(data, dict):
            raise ValueError("user is not an object")
        return cls(
            id=_validate_id(data.get("id")),
            name=clean_text(data.get("name"), _MAX_TEXT),
            nick_name=clean_text(data.get("nick_name"), _MAX_TEXT),
            email=clean_text(data.get("email"), _MAX_EMAIL),
        )

    def to_json(self) -> dict[str, int | str | None]:
        return {"id": self.id, "name": self.name, "nick_name": self.nick_name, "email": self.email}

    @property
    def display_name(self) -> str:
        return self.nick_name or self.name or self.email or str(self.id)


def _validate_id(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return value
    if isinstance(value, str) and 0 < len(value) <= _MAX_ID and clean_text(value) == value:
        return value
    raise ValueError("user has no valid id")


def clean_text(value: object, max_length: int = _MAX_ID) -> str | None:
    """Text without control characters and lone surrogates, cut to `max_length`; None if it is empty or not text.

    Cleaning a text twice gives the same text.
    """
    if not isinstance(value, str):
        return None
    if value.isprintable():  # the usual case: nothing to remove
        return value.strip()[:max_length].rstrip() or None
    allowed = "".join(char for char in value[: 2 * max_length] if unicodedata.category(char) not in ("Cc", "Cs"))
    return allowed.strip()[:max_length].rstrip() or None


def _is_email(text: str) -> bool:
    """Whether this is one address, also to a backend that normalizes it: NFKC turns a full-width @ into an @
    (GHSA-7rqj-j65f-68wh)."""
    return all(_EMAIL.fullmatch(form) for form in (text, unicodedata.normalize("NFKC", text[:1000])))


def validate_identity(identity: Identity, provider: str) -> Identity:
    """An identity with bounded fields of the right types; raises `ValueError` without a subject."""
    subject = identity.subject
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if not isinstance(subject, str) or not subject or len(subject) > _MAX_ID or not subject.isprintable():
        raise ValueError("no subject")
    email = identity.email if isinstance(identity.email, str) and _is_email(identity.email) else None
    picture = identity.picture if isinstance(identity.picture, str) else ""
    return Identity(
        provider=provider,
        subject=subject,
        name=clean_text(identity.name, _MAX_TEXT),
        nickname=clean_text(identity.nickname, _MAX_TEXT),
        email=email,
        email_verified=email is not None and identity.email_verified is True,
        picture=picture if picture.startswith("https://") and len(picture) <= _MAX_PICTURE else None,
    )
