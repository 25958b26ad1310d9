"""The signed-in user, as the backend describes it and as Flask-Login expects it."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flask_login import UserMixin

from providers.base import Identity
from services import identifiers

_MAX_TEXT = 200
"""Characters of a name, which the session cookie holds. The rest of a longer one is cut off."""
_MAX_EMAIL = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets. A longer address is cut off; that of a provider is dropped."""
_MAX_ID = 255
"""Characters of an id, which the session cookie holds; OpenID Connect Core 1.0, 2, has the same for `sub`."""
MAX_EXACT_NUMBER = 2**53
"""From here on, JavaScript reads different integers as the same number."""
_EMAIL = re.compile(r"[^@\s,;<>\x00-\x1f\x7f]{1,64}@[^@\s,;<>\x00-\x1f\x7f]+")
"""RFC 5321, 4.5.3.1.1: 64 characters before the `@`."""
_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_REMOVED = ("Cc", "Cs")
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Mn", "Mc", "Me")
"""Unicode categories of invisible characters. Unassigned ones (Cn) may be visible in newer fonts."""
_BLANKS = re.compile(
    r"[\u115f\u1160\u3164\uffa0"  # Hangul fillers
    r"\u2800\U0001d159\U00013441\U00013442"  # empty Braille pattern, notehead and hieroglyphs
    r"\u2065\ufff0-\ufff8\U000e0000-\U000e0fff"  # reserved for invisible characters
    r"\ufdd0-\ufdef\ufffe\uffff]"  # never characters
)
"""Invisible characters of other categories: Unicode's Default_Ignorable_Code_Point, and blank symbols."""


@dataclass(frozen=True)
class User(UserMixin):  # type: ignore[misc]  # Flask-Login has no type hints
    id: int | str
    """The backend's id: a number above zero, or a text such as a UUID. A number that JavaScript cannot hold is text."""
    name: str | None = None
    nick_name: str | None = None
    email: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)
    """Further fields, as `USER_CLAIMS` names them. Never logged."""

    @classmethod
    def from_json(cls, data: object) -> "User":
        """The user in a backend's response or in a session token; raises `ValueError` without a valid id.

        Claims are not read: they are elsewhere in both, and an app may have changed the `user` of a session token.

        Texts are cut and cleaned, not rejected: an unusual name must not lock anyone out.
        """
        if not isinstance(data, dict):
            raise ValueError("user is not an object")
        return cls(
            id=_validate_id(data.get("id")),
            name=clean_name(data.get("name")),
            nick_name=clean_name(data.get("nick_name")),
            email=_clean_email(data.get("email")),
        )

    def to_json(self) -> dict[str, object]:
        return {**self.to_json_without_claims(), **self.claims}

    def to_json_without_claims(self) -> dict[str, object]:
        return {"id": self.id, "name": self.name, "nick_name": self.nick_name, "email": self.email}

    def without_claims(self) -> "User":
        return replace(self, claims={})

    def is_same_person(self, other: "User") -> bool:
        """Compare ids as text: after an upgrade, a backend may send `"7"` instead of `7`."""
        return str(self.id) == str(other.id)

    @property
    def display_name(self) -> str:
        return self.nick_name or self.name or self.email or str(self.id)

    @property
    def initial(self) -> str:
        """The first visible character of the display name."""
        return next(filter(has_visible_character, self.display_name), "")


def _validate_id(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**_MAX_ID:
        return value if value < MAX_EXACT_NUMBER else str(value)
    if isinstance(value, str) and 0 < len(value) <= _MAX_ID and _without_controls(value).strip() == value:
        return value
    raise ValueError(f"user has no valid id: a whole number above 0, or 1 to {_MAX_ID} printable characters")


def clean_text(value: object, max_length: int = _MAX_ID) -> str | None:
    """Text without control characters and lone surrogates, cut to `max_length`; None if it is empty or not text.

    Cleaning a text twice gives the same text.
    """
    if not isinstance(value, str):
        return None
    return _without_controls(value[: 2 * max_length]).strip()[:max_length].rstrip() or None


def without_bidi_controls(text: str) -> str:
    """The text of a message without the controls that could reorder the text around it."""
    return _BIDI_CONTROLS.sub("", text)


def clean_name(value: object) -> str | None:
    """A name, cleaned as by `clean_text` and in NFC (Unicode UAX #15); None if no character of it is visible."""
    if not isinstance(value, str):
        return None
    text = clean_text(unicodedata.normalize("NFC", _without_controls(value[: 2 * _MAX_TEXT])), _MAX_TEXT)
    return text if text and has_visible_character(text) else None


def _clean_email(value: object) -> str | None:
    email = clean_text(value, _MAX_EMAIL)
    return email if email and has_visible_character(email) else None


def has_visible_character(text: str) -> bool:
    return any(unicodedata.category(char) not in _INVISIBLE and not _BLANKS.match(char) for char in text)


def _without_controls(text: str) -> str:
    if text.isprintable():  # the usual case: nothing to remove
        return text
    return "".join(char for char in text if unicodedata.category(char) not in _REMOVED)


def _is_email(text: str) -> bool:
    """Whether this is a single address, also after normalization by a backend: NFKC turns a full-width @ into an @
    (GHSA-7rqj-j65f-68wh).
    """
    return len(text) <= _MAX_EMAIL and all(
        _EMAIL.fullmatch(form) for form in (text, unicodedata.normalize("NFKC", text))
    )


def _provider_email(value: object) -> str | None:
    """A provider's address; None if it is no address.

    It is kept as the provider has verified it. Only a domain with other letters than ASCII gets the spelling of a typed
    one, so that a backend sees that both are one account.
    """
    if not isinstance(value, str) or not _is_email(value):
        return None
    email = value if value.rpartition("@")[2].isascii() else identifiers.with_ascii_domain(value)
    return email if _is_email(email) else None  # a domain in ASCII is longer


def validate_identity(identity: Identity, provider: str) -> Identity:
    """An identity with bounded fields of the right types; raises `ValueError` without a subject."""
    subject = identity.subject
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if not isinstance(subject, str) or not subject or len(subject) > _MAX_ID or not subject.isprintable():
        raise ValueError(f"no subject of 1 to {_MAX_ID} printable characters")
    email = _provider_email(identity.email)
    picture = identity.picture if isinstance(identity.picture, str) else ""
    return Identity(
        provider=provider,
        subject=subject,
        name=clean_name(identity.name),
        name_is_unsigned=identity.name_is_unsigned,
        nickname=clean_name(identity.nickname),
        email=email,
        email_verified=email is not None and identity.email_verified is True,
        picture=picture if picture.startswith("https://") else None,
    )
