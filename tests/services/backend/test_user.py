"""The user of a backend: which names and ids count, and how they are shown."""

import unicodedata
from typing import Any

import pytest

from providers.base import Identity
from services.backend.user import User, clean_name, validate_identity
from tests.support.scripted import USER

HANGUL_FILLER, BRAILLE_BLANK = "\u3164", "\u2800"
INVISIBLE = [
    "",
    "   ",
    HANGUL_FILLER,
    "\uffa0",
    "\u115f\u1160",
    BRAILLE_BLANK,
    "\u200b",
    "\u200d\u200c",
    "\u00ad",
    "\u034f",
    "\u180e",
    "\u2060\ufeff",
    "\u2028\u2029",
    "\u00a0\u2003\u3000",
    "\u0301",
    "\u20dd",
    "\ufe0f",
    "\U000e0020\U000e007f",
    "\U000e01ff",
    "\U0001d159",
    "\U00013441",
    "\ufffe",
    "\ufdd0",
    f" {HANGUL_FILLER}\u200b{BRAILLE_BLANK} ",
    HANGUL_FILLER * 500,
]
VISIBLE = ["김민지", "A", "7", "☺", "👩‍👩‍👧", "_", "อำ", "\u0645\u200c\u06cc", "𠮷", f"{HANGUL_FILLER}김", "\U000323b0"]


def codes(text: str) -> str:
    return " ".join(f"{ord(char):04X}" for char in text[:5])


@pytest.mark.parametrize("name", INVISIBLE, ids=codes)
def test_a_name_without_a_visible_character_is_no_name(name: str) -> None:
    user = User.from_json({**USER, "name": name, "nick_name": name})
    assert (user.name, user.nick_name) == (None, None)
    assert (user.display_name, user.initial) == (USER["email"], "h")
    identity = validate_identity(Identity(subject="1", name=name, nickname=name), "kakao")
    assert (identity.name, identity.nickname) == (None, None)


@pytest.mark.parametrize("name", VISIBLE)
def test_a_name_with_a_visible_character_is_kept(name: str) -> None:
    assert clean_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("email", INVISIBLE, ids=codes)
def test_an_address_without_visible_characters_is_no_address(email: str) -> None:
    user = User.from_json({"id": 7, "email": email})
    assert (user.email, user.display_name) == (None, "7")


@pytest.mark.parametrize(
    ("email", "kept"),
    [
        ("kim@한국.kr", "kim@xn--3e0b707e.kr"),
        ("kim@xn--3e0b707e.kr", "kim@xn--3e0b707e.kr"),
        ("Kim@EXAMPLE.com", "Kim@EXAMPLE.com"),
        ("ki\u200bm@example.com", "ki\u200bm@example.com"),
        (f"kim@{'한국.' * 60}kr", None),
    ],
    ids=["Korean", "IDNA", "upper case", "invisible", "long"],
)
def test_a_providers_address_has_the_domain_in_the_same_spelling_as_a_typed_one(email: str, kept: str | None) -> None:
    """Else a backend does not notice that the address has an account already. The part that was verified stays."""
    assert validate_identity(Identity(subject="1", email=email, email_verified=True), "oidc").email == kept


def test_the_initial_is_the_first_visible_character() -> None:
    assert User(id=1, name=f"\u200b{HANGUL_FILLER}민지").initial == "민"


@pytest.mark.parametrize("name", ["김민지", "Zoë Čapek", "がぎぐ", "\u0958" * 300, "\ufb2c" * 300, "e\x00\u0301" * 200])
def test_names_are_in_nfc_and_cleaning_twice_changes_nothing(name: str) -> None:
    cleaned = clean_name(unicodedata.normalize("NFD", name))
    assert cleaned
    assert len(cleaned) <= 200
    assert unicodedata.is_normalized("NFC", cleaned)
    assert clean_name(cleaned) == cleaned


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (7, 7),
        ("7", "7"),
        (2**53 - 1, 2**53 - 1),
        (2**53, "9007199254740992"),
        (2**53 + 1, "9007199254740993"),
        (2**63 - 1, "9223372036854775807"),
        (2**64 - 1, "18446744073709551615"),
        (10**254, f"1{'0' * 254}"),
        ("e\u0301", "e\u0301"),
    ],
)
def test_an_id_that_javascript_cannot_hold_is_text(given: Any, kept: Any) -> None:
    user = User.from_json({"id": given})
    assert user.to_json()["id"] == kept
    assert type(user.id) is type(kept)


@pytest.mark.parametrize("other", [-1, -(2**60), 7.0, 9007199254740993.0, float("inf"), 10**255, 10**400, True, "7 "])
def test_other_numbers_are_no_id(other: Any) -> None:
    with pytest.raises(ValueError, match="id"):
        User.from_json({"id": other})


def test_ids_are_compared_as_text() -> None:
    assert User(id=7).is_same_person(User(id="7"))
    assert not User(id=7).is_same_person(User(id="07"))
