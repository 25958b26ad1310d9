"""Normalizes the identifiers that people type: email addresses, user names and telephone numbers.

`normalize` returns the spelling for the backend, the limits and the audit log. `clean` and `clean_username` only remove
invisible characters; forms show their result again.
"""

import re
import unicodedata

import idna

_IGNORABLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Unicode's Default_Ignorable_Code_Point outside of the category Cf: fillers, joiners and variation selectors."""

_PHONE_SEPARATORS = re.compile(r"[\s()\[\]./\-\u00ad\u00b7\u02d7\u2010-\u2015\u2022\u2043\u2212\u30fb\u30fc\u1173]")
"""White space, brackets, dots, slashes, and the characters that are written in place of a hyphen: in NFKC also the long
vowel mark of Japanese and the vowel `ㅡ` of Korean."""
_KOREAN_NUMBER = re.compile(r"(?:\+82|82(?=0?1[016-9]))0?([1-9]\d{6,10})", re.ASCII)
"""A number with the country code of Korea: with its plus, or without it before a mobile number. It may keep the 0 that
numbers have within Korea."""
_PHONE_NUMBER = re.compile(r"\+[1-9]\d{6,14}|0[1-9]\d{7,10}", re.ASCII)
"""Digits that count as a telephone number, not as a user name, with `LOGIN_IDENTIFIER=any`."""


def clean(text: str) -> str:
    """The text without invisible characters, in NFKC, without spaces around it. Not for passwords.

    Copied text often has invisible characters: a zero-width space, a byte order mark, a soft hyphen, marks of the
    writing direction.
    NFKC (Unicode UAX #15) maps full-width letters, digits and signs to ASCII.
    """
    if text.isascii():
        return text.strip()
    return _without_invisible(unicodedata.normalize("NFKC", _without_invisible(text))).strip()


def clean_username(text: str) -> str:
    """A user name without invisible characters, full-width and half-width forms mapped, in NFC; with its case.

    As UsernameCasePreserved of RFC 8265 (3.4). Not NFKC, which would take the letters of `ㅋㅋ` for parts of syllables.
    """
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", "".join(map(_map_width, _without_invisible(text)))).strip()


def normalize(text: str, kind: str = "email") -> str:
    """The spelling for the backend. kind: the value of `LOGIN_IDENTIFIER`."""
    if kind == "any":
        kind = _kind_of(text)
    match kind:
        case "username":
            return clean_username(text)
        case "phone":
            return _normalize_phone(text)
        case _:
            return _normalize_email(text)


def fold_case(identifier: str) -> str:
    """The normalized identifier without case: equal for spellings that most backends take for one account."""
    return normalize(identifier).casefold()


def with_ascii_domain(email: str) -> str:
    """The address with its domain as `normalize` writes it."""
    local_part, at_sign, domain = email.rpartition("@")
    return local_part + at_sign + _ascii_domain(domain) if at_sign else domain


def with_unicode_domain(email: str) -> str:
    """The address with its `xn--` labels decoded, to compare it as a person reads it."""
    local_part, at_sign, domain = email.rpartition("@")
    return local_part + at_sign + ".".join(map(_decode_label, domain.split(".")))


def _kind_of(text: str) -> str:
    """The kind of an identifier. Digits are a user name unless they begin like a telephone number."""
    text = clean(text)
    if "@" in text[1:-1]:
        return "email"
    number = _normalize_phone(text)
    return "phone" if _PHONE_NUMBER.fullmatch(number) and (number[0] != "+" or "+" in text) else "username"


def _normalize_email(text: str) -> str:
    """As `clean`; the domain in lower case and ASCII (IDNA, UTS #46), without a dot at its end.

    Chromium turns `kim@한국.kr` in an `<input type=email>` into `kim@xn--3e0b707e.kr` before it sends the form, other
    browsers and JSON clients do not. Without this, a backend would have two accounts for one address.
    """
    return with_ascii_domain(clean(text))


def _normalize_phone(text: str) -> str:
    """The digits of a telephone number: `01012345678` for a Korean one, `+12025550147` for one with a country code.

    A number without a country code is not changed, since its country is unknown. Korean numbers are written without
    their country code, as people in Korea type them and backends store them: `010-1234-5678` and `+82 10-1234-5678`
    are equal.
    """
    text = re.sub(r"\s+", "", clean(text))
    text = re.sub(r"^(?:tel:)+", "", text, flags=re.IGNORECASE)  # RFC 3966
    text = "".join(str(unicodedata.decimal(char, char)) for char in text)
    if _PHONE_SEPARATORS.sub("", text).startswith(("+", "00")):
        text = text.replace("(0)", "")  # +82 (0)10: not dialed from abroad
    number = re.sub(r"^00(?=[1-9])", "+", _PHONE_SEPARATORS.sub("", text))  # the international prefix (ITU-T E.123)
    korean = _KOREAN_NUMBER.fullmatch(number)
    return f"0{korean[1]}" if korean else number


def _without_invisible(text: str) -> str:
    return "".join(char for char in _IGNORABLE.sub("", text) if unicodedata.category(char) != "Cf")


def _map_width(char: str) -> str:
    """An ASCII space for each space, and the ordinary form of a full-width or half-width character."""
    if unicodedata.category(char) == "Zs":
        return " "
    form, _, code = unicodedata.decomposition(char).partition(" ")
    return chr(int(code, 16)) if form in ("<wide>", "<narrow>") else char


def _ascii_domain(domain: str) -> str:
    try:
        # The mapping that browsers use (UTS #46, 4, non-transitional), which maps full-width dots too. Whether a label
        # may be registered (IDNA 2008) is not checked: the backend knows its accounts.
        mapped = idna.uts46_remap(domain, std3_rules=False, transitional=False)
    except idna.IDNAError:
        return domain.lower()
    return ".".join(map(_encode_label, mapped.rstrip(".").split(".")))


def _encode_label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"


def _decode_label(label: str) -> str:
    if not label.lower().startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label
