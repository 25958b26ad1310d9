"""Readers: functions that parse and validate the text of one setting.

A reader takes the text, which is stripped and not empty, and returns the value. It raises `ValueError` with a message
that continues the name of the setting: "must be …". The message of a reader for secrets never contains the text.
"""

import base64
import ipaddress
import re
import shlex
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import limits
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

_PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "your-secret",
    "your_secret",
    "placeholder",
    "replace",
    "openssl",
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_NUMERIC_HOST = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)\.?$")
"""Browsers read a host whose last label is a number as an IPv4 address: `127.1` is `127.0.0.1`."""
TRANSLATIONS = Path(__file__).parent / "translations"


@dataclass(frozen=True)
class SettingSpec:
    """How to read one setting: the reader of its text, an example for error messages, and the default."""

    reader: Callable[[str], Any]
    example: str
    default: Any = None
    required: bool = False
    may_be_empty: bool = False
    """An empty value is not the default."""
    secret: bool = False
    """The value can also be read from the file that `<NAME>_FILE` names."""
    meaning: str = ""
    """A sentence for the docs and `.env.example`, in Markdown. Only settings of single providers have it here."""


REGISTER_FIELD_KINDS = ("text", "email", "tel", "date", "checkbox")
_RESERVED_FIELDS = frozenset({"csrfToken", "callbackUrl", "lang", "password", "identifier", "json"})


@dataclass(frozen=True)
class RegisterField:
    """A further field of the sign-up form."""

    name: str
    """The member of the call's body that gets the value; a dot makes an object."""
    kind: str
    """One of `REGISTER_FIELD_KINDS`, a type of HTML's `input`."""
    required: bool
    labels: Mapping[str, str]
    """By language; `""` is the label in all others. Empty if the site knows a label for this name."""

    @property
    def key(self) -> str:
        """Its name in the form."""
        return self.name.rpartition(".")[2]


def localized_text(text: str) -> dict[str, str]:
    """Return a text by language: `Company;ko=회사;ja=会社` is "Company" in all languages but two."""
    default, *others = (part.strip() for part in text.split(";"))
    pairs = [other.partition("=") for other in others]
    if not default or not all(re.fullmatch(r"[a-zA-Z]{2,3}([-_]\w+)?", code) and value for code, _, value in pairs):
        raise ValueError("must be a text, and behind ';' further ones such as ko=…")
    return {"": single_line(default), **{code.replace("-", "_"): single_line(value) for code, _, value in pairs}}


def register_fields(text: str) -> tuple[RegisterField, ...]:
    """Return the fields: `name[:kind][?][=label]`, separated by spaces; a `?` if it may be left empty."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("has a quote that is not closed") from None
    fields = tuple(map(_register_field, words))
    keys = [field.key for field in fields]
    if len(set(keys)) < len(keys):
        raise ValueError("must name each field once")
    return fields


def _register_field(word: str) -> RegisterField:
    declaration, equals, label = word.partition("=")
    match = re.fullmatch(r"((?:[A-Za-z]\w{0,39}\.)*([A-Za-z]\w{0,39}))(?::([a-z]+))?(\?)?", declaration, re.ASCII)
    if match is None or match[2] in _RESERVED_FIELDS:
        raise ValueError(
            f"must have names of letters, digits and '_', which the form does not use: {declaration[:40]!r}"
        )
    kind = match[3] or "text"
    if kind not in REGISTER_FIELD_KINDS:
        raise ValueError(f"knows {', '.join(REGISTER_FIELD_KINDS)}, not {kind[:20]!r}")
    return RegisterField(match[1], kind, match[4] is None, localized_text(label) if equals else {})


def base_url(text: str) -> str:
    """Return an absolute http(s) URL in normal form.

    Lower-case host, the shortest form of an IPv6 address, no default port, no trailing slash.
    """
    if not text.isascii() or re.search(r"[\s\\<>\"]", text):
        raise ValueError("must be an address in ASCII without spaces (a Korean host in its xn-- form)")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must be an address whose host and port can be read") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must start with https:// or http:// and name a host")
    if parts.username is not None or parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError("must have no user name, no '?' and no '#'")
    if not re.fullmatch(r"(\[.*\]|[^\[\]:]*)(:[0-9]*)?", parts.netloc):
        raise ValueError("must be an address whose host and port can be read")
    if port == 0:
        raise ValueError("must have a port from 1 to 65535")
    host = _normal_host(parts.hostname)
    port_suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{port_suffix}{_normal_path(parts.path)}"


def origin(text: str) -> str:
    """Return scheme, host and port in the form of the `Origin` header (RFC 6454, 7)."""
    url = base_url(text)
    if urlsplit(url).path:
        raise ValueError("must be an address without a path")
    _require_safe(url)
    return url


def origins(text: str) -> tuple[str, ...]:
    return tuple(origin(part.strip()) for part in text.split(",") if part.strip())


def site_url(text: str) -> str:
    """Return the URL of the site. Its origin is compared with the `Origin` header that browsers send."""
    url = base_url(text)
    if (urlsplit(url).hostname or "").endswith("."):
        raise ValueError("must have no dot at the end of the host: for browsers, that is another site")
    if not re.fullmatch(r"[\w\-.~/@:+=]*", urlsplit(url).path, re.ASCII):
        raise ValueError("must have a path of ASCII letters, digits, '-', '_', '.' and '~'")  # it goes into cookies
    return url


def _normal_host(host: str) -> str:
    """Return a host in the form that browsers use (WHATWG URL, 3.5): of its spellings, only one is a site's origin."""
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            address = None
        if address is None or address.scope_id or address.ipv4_mapped:
            raise ValueError("must have a valid IPv6 address without a zone, or an IPv4 address, or a host name")
        return f"[{address.compressed}]"
    if _NUMERIC_HOST.search(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError("must have an IPv4 address written as four decimal numbers, or a host name") from None
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise ValueError("must have a host name of letters, digits, '-' and '.' (a Korean host in its xn-- form)")
    return host


def _normal_path(path: str) -> str:
    if "//" in path or re.search(r"/\.{1,2}(/|$)", path):
        raise ValueError("must have a plain path, without '//' or '..'")
    return path.rstrip("/")


def api_path(text: str) -> str:
    """Return a path below BACKEND_URL."""
    if not re.fullmatch(r"/[\w\-.~%/{}:@]*", text, re.ASCII) or "//" in text:
        raise ValueError("must be a path that starts with one '/'")
    return text


def link(text: str) -> str:
    """Return the target of a link or image: a path of this site, or an http(s) URL."""
    if re.fullmatch(r"/(?![/\\])[^\s\\\"'<>;]*", text):
        return text
    try:
        host = urlsplit(text).hostname if re.fullmatch(r"https?://[^\s\\\"'<>;]+", text) else None
    except ValueError:
        host = None
    if not host:
        raise ValueError("must be an https:// address or a path that starts with '/'")
    _normal_host(host)  # it is part of a header: of the Content-Security-Policy
    return text


def secret(text: str) -> str:
    """Return a secret of at least 32 characters that is not a placeholder."""
    if len(text) < 32:
        raise ValueError(f"has {len(text)} characters; it must have at least 32")
    if any(placeholder in text.lower() for placeholder in _PLACEHOLDERS) or len(set(text)) < 8:
        raise ValueError("is a placeholder, not a secret")
    return text


def secrets(text: str) -> tuple[str, ...]:
    """Return comma-separated secrets."""
    return tuple(secret(part.strip()) for part in text.split(",") if part.strip())


MAX_SIGNING_KEYS = 5
"""The one that signs, and those before and after it. Each is in the list that apps load."""


def signing_keys(text: str) -> tuple[ECKey, ...]:
    """Return the P-256 keys in PEM text, of which the first is private. No message repeats the text.

    text: PEM, PEM with `\\n` as line breaks, or base64 of PEM.
    """
    pem = text.replace("\\n", "\n")
    try:
        if "-----BEGIN" not in pem:
            pem = base64.b64decode(pem, validate=True).decode()
        blocks = re.findall(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", pem, re.DOTALL)
        texts = re.findall(r"-----BEGIN (?!EC PARAMETERS)[A-Z ]+-----.*?-----END [A-Z ]+-----", pem, re.DOTALL)
        if pem.count("-----BEGIN") != len(blocks):
            raise ValueError("a block has no end")
        keys = tuple(ECKey.import_key(text) for text in texts)
    except (ValueError, TypeError, JoseError, UnsupportedAlgorithm):
        raise ValueError("must be PEM text of P-256 keys without a passphrase") from None
    if any(key.curve_name != "P-256" for key in keys):
        raise ValueError("must be PEM text of P-256 keys: of another curve, ES256 cannot sign with them")
    if not keys or not keys[0].is_private:
        raise ValueError("must have the private key first: public keys of the next or the previous one may follow")
    if len(keys) > MAX_SIGNING_KEYS or len({key.thumbprint() for key in keys}) < len(keys):
        raise ValueError(f"must have each key once, and at most {MAX_SIGNING_KEYS}")
    for key in keys:
        key.ensure_kid()  # the thumbprint (RFC 7638)
    return keys


MAX_USER_CLAIMS = 10
"""Each is a part of the session cookie, and a header of each request that a proxy passes on."""
_RESERVED_CLAIMS = (
    "id", "name", "nick-name", "email", "image", "iss", "aud", "sub", "iat", "exp", "nbf", "jti", "sid", "auth-time",
    "amr", "acr", "azp", "nonce", "cnf", "act",
)  # fmt: skip
"""Names that the user, the session and the assertion already have, or that JWTs give a meaning (RFC 7519, 4.1)."""


@dataclass(frozen=True)
class UserClaim:
    """A further field of the backend's user."""

    name: str
    place: str
    """Where the user of the backend's answer has it: keys and list indexes, separated by dots."""

    @property
    def header(self) -> str:
        """The header of a forward-auth check that has it: `X-Auth-User-Department-Name` for `department.name`."""
        return "X-Auth-User-" + "-".join(part[0].upper() + part[1:] for part in re.split(r"[._-]+", self.name))


def user_claims(text: str) -> tuple[UserClaim, ...]:
    """Return the claims of a list such as `roles plan dept=department.name`, separated by spaces or commas."""
    claims = tuple(_user_claim(word) for word in re.split(r"[\s,]+", text) if word)
    if len(claims) > MAX_USER_CLAIMS:
        raise ValueError(f"must have at most {MAX_USER_CLAIMS} claims")
    if len({claim.header.lower() for claim in claims}) < len(claims):
        raise ValueError("must have each claim once: `a.b`, `a_b` and `A-B` are the same header")
    return claims


def _user_claim(word: str) -> UserClaim:
    name, separator, place = word.partition("=")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([._-][A-Za-z0-9]+)*", name, re.ASCII) or len(name) > 64:
        raise ValueError(f"must have names of letters, digits, '.', '_' and '-', not {name[:20]!r}")
    place = place if separator else name
    if not re.fullmatch(r"[\w\-]+(\.[\w\-]+)*", place, re.ASCII) or len(place) > 200:
        raise ValueError(f"must have places like department.name, not {place[:20]!r}")
    if re.sub(r"[._]", "-", name).lower() in _RESERVED_CLAIMS:
        raise ValueError(f"must not have {name!r}: that name has a meaning already. Write new_name={name}")
    return UserClaim(name, place)


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """Make a reader of whole numbers in this range."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}, not {text[:20]!r}")
        return int(text)

    return read


def seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) or not 0.1 <= float(text) <= 120:
        raise ValueError(f"must be a number of seconds from 0.1 to 120, not {text[:20]!r}")
    return float(text)


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, not {text[:20]!r}")
    return text.lower() == "true"


@dataclass(frozen=True)
class Choice:
    """A reader that accepts these words, in any case, and returns them in lower case."""

    words: tuple[str, ...]

    def __call__(self, text: str) -> str:
        if text.lower() not in self.words:
            raise ValueError(f"must be one of {', '.join(self.words)}, not {text[:20]!r}")
        return text.lower()


def choice(*words: str) -> Choice:
    """Make a reader that accepts one of these words."""
    return Choice(words)


def languages() -> tuple[str, ...]:
    """Return the codes of the languages that the pages have: `en`, and each with a compiled translation."""
    return ("en", *sorted(path.parts[-3] for path in TRANSLATIONS.glob("*/LC_MESSAGES/messages.mo")))


def language(text: str) -> str:
    """Return the code of a language that the pages have."""
    codes = {code.lower(): code for code in languages()}
    return codes[choice(*codes)(text.replace("-", "_"))]


def language_list(text: str) -> tuple[str, ...]:
    """Return the codes of languages that the pages have, separated by commas: `ko,en,zh-Hant`."""
    codes = tuple(language(part.strip()) for part in text.split(",") if part.strip())
    if not codes or len(set(codes)) < len(codes):
        raise ValueError("must name languages, each once")
    return codes


def color(text: str) -> str:
    """Return a CSS color as `#rrggbb`."""
    if not re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", text):
        raise ValueError(f"must be a color written #rgb or #rrggbb, not {text[:20]!r}")
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return f"#{digits.lower()}"


def hsts(text: str) -> str:
    """Return the value of `Strict-Transport-Security` (RFC 6797, 6.1) in normal form.

    Browsers ignore a value without `max-age`. The preload lists need a year and `includeSubDomains`
    (https://hstspreload.org).
    """
    directives = [part.strip() for part in text.split(";") if part.strip()]
    names = [directive.lower() for directive in directives[1:]]
    max_age = re.fullmatch(r'max-age\s*=\s*("?)([0-9]{1,10})\1', directives[0] if directives else "", re.IGNORECASE)
    if not max_age:
        raise ValueError("must start with max-age=<seconds>")
    if len(set(names)) < len(names) or not {"includesubdomains", "preload"}.issuperset(names):
        raise ValueError("must have only includeSubDomains and preload after max-age, separated by semicolons")
    if "preload" in names and ("includesubdomains" not in names or int(max_age[2]) < 31536000):
        raise ValueError("must have max-age=31536000 or more, and includeSubDomains, for preload")
    suffix = "; includeSubDomains" if "includesubdomains" in names else ""
    return f"max-age={int(max_age[2])}{suffix}{'; preload' if 'preload' in names else ''}"


def single_line(text: str) -> str:
    """Return a text of up to 60 characters: it has to fit on a button of a phone."""
    if len(text) > 60 or not text.isprintable():
        raise ValueError("must be at most 60 characters on one line")
    return text


def client_cert(text: str) -> Path:
    """Return the path of a PEM file that has a certificate and its private key, without a passphrase."""
    try:
        ssl.create_default_context().load_cert_chain(text)
    except FileNotFoundError:
        raise ValueError("must be a file that exists") from None
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise ValueError("must be a PEM file with a certificate and its key, without a passphrase") from None
    return Path(text).resolve()


def proxy_url(text: str) -> str:
    """Return the URL of an HTTP proxy. It may contain a password, so no message repeats it."""
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or parts.path not in ("", "/") or parts.query or re.search(r"\s", text):
        raise ValueError("must be written like http://proxy.example.com:3128")
    return text


def host_names(text: str) -> tuple[str, ...]:
    """Return comma-separated host names and IP addresses in normal form, without a leading or trailing dot."""
    names = tuple(part.strip().lower().strip(".") for part in text.split(",") if part.strip())
    if invalid := [name for name in names if not re.fullmatch(r"[\w.\-:]+|\[[\da-f:.]+\]", name, re.ASCII)]:
        raise ValueError(f"must be a list of host names, not {invalid[0][:20]!r}")
    return tuple(_normal_address(name.strip("[]")) for name in names)


def _normal_address(name: str) -> str:
    """Return an IP address in its shortest form, and any other name unchanged."""
    try:
        return ipaddress.ip_address(name).compressed
    except ValueError:
        return name


def folder(text: str) -> Path:
    """Return the absolute path of a folder that exists."""
    if not Path(text).is_dir():
        raise ValueError("must be a folder that exists")
    return Path(text).resolve()


def rate(text: str) -> limits.RateLimitItem:
    """Return a rate limit, for example `5/5minutes`."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}/([1-9][0-9]{0,2})?(second|minute|hour|day)s?", text):
        raise ValueError(
            f"must be written like 30/minute or 5/5minutes, up to 999999999 in 999 days, not {text[:20]!r}"
        )
    return limits.parse(text)


def redis_url(text: str) -> str:
    """Return the URL of a Redis server or cluster. It may contain a password, so no message repeats it."""
    try:
        parts = urlsplit(text)
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        is_valid = all(host.hostname and host.port != 0 for host in hosts)
        # Other options would override those that the site sets itself, such as timeouts and decoding.
        is_valid = is_valid and all(option.startswith("ssl_") for option in parts.query.split("&") if option)
    except ValueError:
        is_valid = False
    if not is_valid or parts.scheme not in ("redis", "rediss", "redis+cluster"):
        raise ValueError("must be redis://host:port/0, rediss://… or redis+cluster://host:port,host:port")
    return text


def credential(text: str) -> str:
    """Return a client id or secret. No message repeats it."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be printable ASCII without spaces")
    return text


def header_value(text: str) -> str:
    """Return a text that a header can have. No message repeats it."""
    if not re.fullmatch(r"[ -~]{1,2000}", text):
        raise ValueError("must be printable ASCII")
    return text


def domain(text: str) -> str:
    """Return a domain name in lower case."""
    if len(text) > 253 or not _HOST_NAME.fullmatch(text.lower()) or "." not in text.strip("."):
        raise ValueError(f"must be a domain such as example.com, not {text[:20]!r}")
    return text.lower()


def path_segment(text: str) -> str:
    """Return one segment of a URL path."""
    if not re.fullmatch(r"[\w\-]+", text, re.ASCII):
        raise ValueError(f"must be one word of letters, digits, '-' and '_', not {text[:20]!r}")
    return text


def safe_base_url(text: str) -> str:
    """Return a base URL that tokens may be sent to: https, or http on this machine."""
    _require_safe(base_url(text))
    return base_url(text)


def issuer(text: str) -> str:
    """Return an issuer unchanged: it is compared character by character (OpenID Connect Discovery, 4.3)."""
    _require_safe(base_url(text))
    return text


def _require_safe(url: str) -> None:
    if not is_safe(url):
        raise ValueError("must start with https:// (http:// only for this machine)")


def is_safe(url: str, loopback: bool = True) -> bool:
    """Whether tokens may be sent to `url`: it is https, or, if `loopback` allows it, http on this machine."""
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    return is_valid and (parts.scheme == "https" or (parts.scheme == "http" and loopback and _is_loopback(parts)))


def _is_loopback(parts: SplitResult) -> bool:
    try:
        return _normal_host(parts.hostname or "") in ("localhost", "127.0.0.1", "[::1]")
    except ValueError:
        return False
