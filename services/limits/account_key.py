"""A key shared by all spellings of an identifier that a backend may treat as the same account."""

import re
import unicodedata

from services import identifiers

_LATIN = re.compile(r"LATIN (?:SMALL|CAPITAL) (?:LETTER|LIGATURE) (?:LONG |INSULAR |DOTLESS )?(\w{1,2})(?: |$)")
"""Unicode names of variants of a Latin letter: with a stroke, in a circle, as a superscript."""


SUBSCRIBER_LENGTH = 8
"""Telephone numbers are counted by their last digits, which are the same with and without a country code. Numbers of
two countries may share a count."""


def account_key(identifier: str, kind: str = "email") -> str:
    """The identifier without case, accents, punctuation and the script of its digits.

    Many databases compare without accents, so letters are decomposed (NFKD) and their marks left out. By the first
    weight of the Unicode collation, with which MySQL 8 compares by default, any script's 5 is a 5, and `ł` is an `l`.
    Others compare in upper case, in which a dotless i is an `I` (CVE-2019-19844).
    """
    text = identifiers.with_unicode_domain(identifiers.fold_case(identifier))
    key = "".join(map(_fold, unicodedata.normalize("NFKD", text.replace("ð", "d"))))
    return key[-SUBSCRIBER_LENGTH:] if kind in ("phone", "any") and key.isdigit() else key


def _fold(char: str) -> str:
    if char.isascii():
        return char if char.isalnum() or char == "@" else ""
    number = unicodedata.numeric(char, -1)
    if number in range(10):
        return str(int(number))
    latin = _LATIN.search(unicodedata.name(char, ""))
    return latin[1].lower() if latin else char if char.isalnum() else ""
