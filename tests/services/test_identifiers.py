"""What people type as their address reaches the backend and the limits in one spelling."""

import unicodedata

import pytest

from services import identifiers
from services.limits.account_key import account_key
from services.observability.audit import account_hash
from tests.support.site import SECRET

INVISIBLE = [
    "\u200b",  # zero-width space
    "\u200c",
    "\u200d",
    "\u2060",  # word joiner
    "\ufeff",  # byte order mark
    "\u00ad",  # soft hyphen
    "\u200e",  # marks of the writing direction
    "\u200f",
    "\u202a",
    "\u202e",
    "\u2066",
    "\u2069",
    "\u061c",
    "\u180e",
    "\u2062",
    "\u034f",
    "\u115f",
    "\u3164",  # Hangul filler
    "\uffa0",
    "\ufe0f",  # variation selector
    "\U000e0041",
    "\U000e0100",
]
SPACES = [" ", "\t", "\r\n", "\u00a0", "\u2003", "\u202f", "\u205f", "\u3000", "\u2028", "\u0085"]


@pytest.mark.parametrize("char", INVISIBLE, ids=ascii)
@pytest.mark.parametrize(
    "template", ["{}kim@example.com", "ki{}m@example.com", "kim{}@exa{}mple.com", "kim@example.com{}"]
)
def test_invisible_characters_are_removed_wherever_they_are(char: str, template: str) -> None:
    assert identifiers.clean(template.replace("{}", char)) == "kim@example.com"


@pytest.mark.parametrize("space", SPACES, ids=ascii)
def test_spaces_of_every_kind_are_removed_at_both_ends(space: str) -> None:
    assert identifiers.clean(f"{space}kim@example.com{space}\u200b{space}") == "kim@example.com"


def test_visible_characters_stay_and_text_is_composed() -> None:
    for text in ("민지", "홍 길동", "jos\u00e9", "user_1", "+82 10-1234-5678", "नमस्ते"):
        assert identifiers.clean(text) == text
    assert identifiers.clean(unicodedata.normalize("NFD", "민지")) == "민지"


ONE_SPELLING = {
    "kim@xn--3e0b707e.kr": [
        "kim@한국.kr",
        "kim@XN--3E0B707E.KR",
        "kim@한국.KR",
        "kim@한국.kr.",
        "kim@한국。kr",
        "kim@한국．kr",
        "kim@한국｡kr",
        "kim＠한국.kr",
        "kim@" + unicodedata.normalize("NFD", "한국") + ".kr",
        "kim@한\u200b국.kr",
        " kim@xn--3e0b707e.kr ",
    ],
    "Kim@example.com": ["Kim@EXAMPLE.com", "Kim@example.com.", "Kim@ｅｘａｍｐｌｅ．ｃｏｍ", "Kim@example。com。"],
    "kim@xn--fa-hia.de": ["kim@faß.de", "kim@FAß.de"],  # not fass.de: browsers use the non-transitional mapping
    "kim@xn--i-7iq.ws": ["kim@i❤.ws", "kim@i❤\ufe0f.ws"],  # outside of IDNA 2008, but registered
    "민지@xn--3e0b707e.kr": ["민지@한국.kr"],
    "kim": ["kim", " kim\u200b"],
    "Kim.Kim": ["Kim.Kim"],
    "kim@my_host.example": ["kim@my_host.example"],
}


@pytest.mark.parametrize("expected", ONE_SPELLING, ids=ascii)
def test_each_address_has_one_spelling(expected: str) -> None:
    for text in ONE_SPELLING[expected]:
        assert identifiers.normalize(text) == expected, ascii(text)
        assert account_key(text) == account_key(expected)
        assert account_hash(text, SECRET) == account_hash(expected, SECRET)
    assert identifiers.normalize(expected) == expected


@pytest.mark.parametrize(
    "text", ["@", "kim@", "@한국", "kim@..", "kim@\ufffd.kr", "kim@xn--", "kim@xn--\u00e9", "a@b@한국"]
)
def test_what_is_no_domain_does_not_fail(text: str) -> None:
    assert identifiers.normalize(identifiers.normalize(text)) == identifiers.normalize(text)
    assert isinstance(account_key(text), str)
