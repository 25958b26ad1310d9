"""The person who is signed in, as the backend knows them and Flask-Login wants them."""

import re
import unicodedata
from dataclasses import dataclass

from flask_login import UserMixin

from providers.base import Identity

_LONGEST_TEXT = 200
_LONGEST_ADDRESS = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LONGEST_ID = 255
_ADDRESS = re.compile(r"[^@\s,;<>\x00-\x1f\x7f]{1,64}@[^@\s,;<>\x00-\x1f\x7f]{1,189}")


@dataclass(frozen=True)
class User(UserMixin):  # type: ignore[misc]  # Flask-Login has no type hints
    id: int | str
    """The backend's own: a number above zero, or a text such as a UUID."""
    name: str | None = None
    nick_name: str | None = None
    email: str | None = None

    @classmethod
    def from_json(cls, data: object) -> "User":
        """The user in a backend's answer or a session token; raises `ValueError` if there is no usable id.

        Texts are bounded and cleaned rather than refused: a strange name is no reason to lock anyone out.
        """
        if not isinstance(data, dict):
            raise ValueError("user is no object")
        return cls(
            id=_sound_id(data.get("id")),
            name=clean_text(data.get("name"), _LONGEST_TEXT),
            nick_name=clean_text(data.get("nick_name"), _LONGEST_TEXT),
            email=clean_text(data.get("email"), _LONGEST_ADDRESS),
        )

    def to_json(self) -> dict[str, int | str | None]:
        return {"id": self.id, "name": self.name, "nick_name": self.nick_name, "email": self.email}

    @property
    def shown_name(self) -> str:
        return self.nick_name or self.name or self.email or str(self.id)


def _sound_id(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return value
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and clean_text(value) == value:
        return value
    raise ValueError("user has no usable id")


def clean_text(value: object, longest: int = _LONGEST_ID) -> str | None:
    """Text without control characters and lone surrogates, cut to `longest`; None for nothing and for no text.

    Text that went through once stays as it is.
    """
    if not isinstance(value, str):
        return None
    if value.isprintable():  # nothing to clean: what nearly every text is
        return value.strip()[:longest].rstrip() or None
    kept = "".join(char for char in value[: 2 * longest] if unicodedata.category(char) not in ("Cc", "Cs"))
    return kept.strip()[:longest].rstrip() or None


def _is_address(text: str) -> bool:
    """One address, to a backend that normalises it too: a full-width @ is one there (GHSA-7rqj-j65f-68wh)."""
    return all(_ADDRESS.fullmatch(one) for one in (text, unicodedata.normalize("NFKC", text[:1000])))


def validate_identity(identity: Identity, provider: str) -> Identity:
    """What a provider says, with each field what it says it is, bounded; raises `ValueError` without a subject."""
    subject = identity.subject
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if not isinstance(subject, str) or not subject or len(subject) > _LONGEST_ID or not subject.isprintable():
        raise ValueError("no subject")
    email = identity.email if isinstance(identity.email, str) and _is_address(identity.email) else None
    picture = identity.picture if isinstance(identity.picture, str) else ""
    return Identity(
        provider=provider,
        subject=subject,
        name=clean_text(identity.name, _LONGEST_TEXT),
        nickname=clean_text(identity.nickname, _LONGEST_TEXT),
        email=email,
        email_verified=email is not None and identity.email_verified is True,
        picture=picture if picture.startswith("https://") and len(picture) <= 2000 else None,
    )
