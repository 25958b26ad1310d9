"""The fictional users of the stand-in providers. Each has a different kind of profile data."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    key: str
    description: str
    name: str | None = "김하늘"
    nickname: str | None = "하늘"
    email: str | None = "haneul.kim@example.com"
    email_verified: bool = True
    picture: str | None = "https://pictures.example.com/haneul.png"

    @property
    def number(self) -> int:
        """A number below 2^20 derived from the key, for user ids that stay the same between starts."""
        return int(hashlib.sha256(self.key.encode()).hexdigest()[:5], 16)

    @property
    def hexadecimal(self) -> str:
        return hashlib.sha256(self.key.encode()).hexdigest()


HANEUL = Person("haneul", "signs in, complete profile")
NO_EMAIL = Person("no-email", "no e-mail address shared", "이바다", "바다", None, email_verified=False)
UNVERIFIED = Person(
    "unverified", "e-mail address not verified", "박노을", "노을", "noeul.park@example.com", email_verified=False
)
NAMELESS = Person("nameless", "no name, no picture", None, None, "nameless@example.com", picture=None)
ODD = Person(
    "odd",
    "name with markup, emoji and right-to-left marks",
    "<script>alert('name')</script> 👩‍👩‍👧‍👦 \u202eتجربة\u202c \"&amp;",
    "<b>odd</b> 🦊",
    "odd+sign.in'quote@example.com",
)
LONG = Person("long", "name of 1,000 characters", "가나다라마바사아자차" * 100, "길다" * 200, "long@example.com")
TAKEN = Person(
    "taken", "e-mail address of the backend account minji@example.com (409)", "김민지", "민지", "minji@example.com"
)

PERSONS = (HANEUL, NO_EMAIL, UNVERIFIED, NAMELESS, ODD, LONG, TAKEN)
