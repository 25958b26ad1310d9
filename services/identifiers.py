"""What people type to say who they are, in one spelling for the backend, the login limits and the audit log.

`clean` removes what nobody sees. `normalize` also writes the domain of an email address as browsers send it, in ASCII:
Chromium turns `kim@한국.kr` in an `<input type=email>` into `kim@xn--3e0b707e.kr` before it sends the form, other
browsers and JSON clients do not. Without this, a backend would have two accounts for one address.
"""

import re
import unicodedata

import idna

_IGNORABLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Unicode's Default_Ignorable_Code_Point outside of the category Cf: fillers, joiners and variation selectors."""


def clean(text: str) -> str:
    """The text without invisible characters, in NFKC, without spaces around it. Not for passwords.

    Copied text often has them: a zero-width space, a byte order mark, a soft hyphen, marks of the writing direction.
    NFKC (Unicode UAX #15) maps full-width letters, digits and signs to ASCII.
    """
    if text.isascii():
        return text.strip()
    return _without_invisible(unicodedata.normalize("NFKC", _without_invisible(text))).strip()


def normalize(text: str) -> str:
    """As `clean`; the domain of an email address in lower case and ASCII (IDNA, UTS #46), without a dot at its end."""
    local_part, at_sign, domain = clean(text).rpartition("@")
    return local_part + at_sign + _ascii_domain(domain) if at_sign else domain


def with_unicode_domain(email: str) -> str:
    """The address with its `xn--` labels decoded, to compare it as a person reads it."""
    local_part, at_sign, domain = email.rpartition("@")
    return local_part + at_sign + ".".join(map(_decode_label, domain.split(".")))


def _without_invisible(text: str) -> str:
    return "".join(char for char in _IGNORABLE.sub("", text) if unicodedata.category(char) != "Cf")


def _ascii_domain(domain: str) -> str:
    try:
        # The mapping that browsers use (UTS #46, 4, non-transitional), which maps full-width dots too. Whether a label
        # may be registered (IDNA 2008) is not asked: the backend knows its accounts.
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
