"""What people type to say who they are reaches the backend and the limits in one spelling."""

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


PHONE_NUMBERS = {
    "01012345678": [
        "010-1234-5678",
        "010 1234 5678",
        "010.1234.5678",
        "010/1234/5678",
        "(010) 1234-5678",
        "[010]1234-5678",
        "010)1234-5678",
        "\uff10\uff11\uff10\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18",  # full-width
        "010\u20131234\u20135678",  # en dash
        "010\u22121234\u22125678",  # minus sign
        "010\u20111234\u20115678",  # non-breaking hyphen
        "010\u30fc1234\u30fc5678",  # the long vowel mark, typed in place of a hyphen
        "010\uff701234\uff705678",
        "010\u31611234\u31615678",  # the Korean vowel eu, on the keyboard's hyphen-like key
        "010\u00b71234\u00b75678",
        "010\u00a01234\u20095678",
        "\u200b010-1234-5678\ufeff",
        "\u202a+82 10-1234-5678\u202c",  # as contacts on a Mac or iPhone copy it
        "\u0660\u0661\u0660-1234-5678",  # Arabic digits
        "+82 10-1234-5678",
        "+82-10-1234-5678",
        "+82.10.1234.5678",
        "+821012345678",
        "+82 010-1234-5678",
        "+82 (0)10-1234-5678",
        "+82 ( 0 ) 10 1234 5678",
        "(+82) 10-1234-5678",
        "+ 82 10 1234 5678",
        "\uff0b82 10-1234-5678",
        "0082 10-1234-5678",
        "00821012345678",
        "00 82 (0)10 1234 5678",
        "82-10-1234-5678",
        "82 010 1234 5678",
        "tel:+82-10-1234-5678",
        "TEL: 010-1234-5678",
    ],
    "0111234567": ["011-123-4567", "+82 11-123-4567", "82111234567"],
    "021234567": ["02-123-4567", "+82 2-123-4567", "+82 (0)2 123 4567", "0082 2 123 4567"],
    "050712345678": ["0507-1234-5678", "+82 507-1234-5678"],
    "+12025550147": ["+1 (202) 555-0147", "+1-202-555-0147", "001 202 555 0147", "+1.202.555.0147"],
    "+442079460958": ["+44 20 7946 0958", "+44 (0)20 7946 0958", "0044 (0) 20 7946 0958"],
    "+819012345678": ["+81 90-1234-5678", "0081-90-1234-5678"],
    "09012345678": ["090-1234-5678", "\uff10\uff19\uff10\u2212\uff11\uff12\uff13\uff14\u2212\uff15\uff16\uff17\uff18"],
    "8201234567": ["820-123-4567"],  # no country code: no mobile number of Korea follows
    "12025550147": ["1 202 555 0147"],
    "1234": ["1234", "12-34"],
}


@pytest.mark.parametrize("expected", PHONE_NUMBERS)
def test_each_telephone_number_has_one_spelling(expected: str) -> None:
    for text in (expected, *PHONE_NUMBERS[expected]):
        assert identifiers.normalize(text, "phone") == expected, ascii(text)
        assert account_key(identifiers.normalize(text, "phone"), "phone") == account_key(expected, "phone")


def test_a_number_shares_its_count_with_the_same_number_with_a_country_code() -> None:
    for national, international in (("09012345678", "+819012345678"), ("02079460958", "+442079460958")):
        assert account_key(national, "phone") == account_key(international, "phone")
    keys = {account_key(number, "phone") for number in ("01012345678", "01012345679", "01022345678", "1234", "5678")}
    assert len(keys) == 5
    assert account_key("20231234", "username") != account_key("120231234", "username"), "these are no numbers"


USERNAMES = {
    "minji": [
        " minji ",
        "\uff4d\uff49\uff4e\uff4a\uff49",
        "mi\u200bnji",
        "minji\ufeff",
        "\u3000minji\u00a0",
        "mi\u00adnji",
    ],
    "Minji_1.x": ["Minji_1.x", "\uff2d\uff49nji\uff3f\uff11\uff0ex"],
    "민지": [unicodedata.normalize("NFD", "민지"), "민\u200b지"],
    "\u314b\u314b민지": ["\u314b\u314b민지", "\uffbb\uffbb민지"],  # letters of their own, also from half-width ones
    "ガギ": ["\uff76\uff9e\uff77\uff9e", unicodedata.normalize("NFD", "ガギ")],
    "홍 길동": ["홍\u00a0길동", "홍\u3000길동"],
    "josé": ["jose\u0301"],
    "010-1234-5678": ["010-1234-5678"],
    "kim@한국.kr": ["kim@한국.kr", "kim\uff20한국.kr"],
}


@pytest.mark.parametrize("expected", USERNAMES, ids=ascii)
def test_each_user_name_has_one_spelling_with_its_case(expected: str) -> None:
    for text in (expected, *USERNAMES[expected]):
        assert identifiers.normalize(text, "username") == expected, ascii(text)
        assert account_key(identifiers.normalize(text, "username"), "username") == account_key(expected, "username")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Kim@한국.KR.", "Kim@xn--3e0b707e.kr"),
        ("kim\uff20example.com", "kim@example.com"),
        ("010-1234-5678", "01012345678"),
        ("+82 10 1234 5678", "01012345678"),
        ("0082-10-1234-5678", "01012345678"),
        ("\uff10\uff11\uff10 1234 5678", "01012345678"),
        ("+1 (202) 555-0147", "+12025550147"),
        ("090-1234-5678", "09012345678"),
        ("Minji", "Minji"),
        ("\u314b\u314b", "\u314b\u314b"),
        ("2023-1234", "2023-1234"),  # not like a telephone number: as it was typed
        ("20231234", "20231234"),
        ("0012345678", "0012345678"),
        ("007", "007"),
        ("1-2", "1-2"),
        ("minji.kim", "minji.kim"),
        ("010-1234-5678a", "010-1234-5678a"),
        ("@minji", "@minji"),
        ("minji@", "minji@"),
        ("+", "+"),
    ],
)
def test_where_all_kinds_are_possible_the_text_decides(typed: str, expected: str) -> None:
    assert identifiers.normalize(typed, "any") == expected


@pytest.mark.parametrize("kind", ["email", "username", "phone", "any"])
def test_a_normalized_identifier_stays_as_it_is(kind: str) -> None:
    tables = (ONE_SPELLING, PHONE_NUMBERS, USERNAMES)
    texts = [text for table in tables for spellings in table.values() for text in spellings]
    texts += [
        "",
        " ",
        "+",
        "++82",
        "00",
        "000",
        "+82",
        "82",
        "(0)",
        "+(0)",
        "tel:",
        "tel:tel:+82",
        "\u0130",
        "a\u0345",
        "\ufb01",
    ]
    for text in texts:
        once = identifiers.normalize(text, kind)
        assert identifiers.normalize(once, kind) == once, (kind, ascii(text))
        assert isinstance(account_key(once, kind), str)
