"""How the text of a setting becomes its value.

Each reader takes the text (never empty, without spaces around it) and returns the value, or raises
`ValueError` with what is wrong, worded to follow the setting's name: "must be …". A reader of
something that may be secret never repeats the text.
"""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import limits

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
TRANSLATIONS = Path(__file__).parent / "translations"


def base_url(text: str) -> str:
    """An absolute http(s) address, normalised (lower-case host, no default port, no slash at the end)."""
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
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    at_port = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{at_port}{_normal_path(parts.path)}"


def _normal_path(path: str) -> str:
    if "//" in path or re.search(r"/\.{1,2}(/|$)", path):
        raise ValueError("must have a plain path, without '//' or '..'")
    return path.rstrip("/")


def api_path(text: str) -> str:
    """A path below BACKEND_URL."""
    if not re.fullmatch(r"/[\w\-.~%/{}:@]*", text, re.ASCII) or "//" in text:
        raise ValueError("must be a path that starts with one '/'")
    return text


def link(text: str) -> str:
    """Where a link or picture of the page points: a path of this site or an http(s) address."""
    if re.fullmatch(r"/(?![/\\])[^\s\\\"'<>;]*", text):
        return text
    if not re.fullmatch(r"https?://[^\s\\\"'<>;]+", text) or not urlsplit(text).hostname:
        raise ValueError("must be an https:// address or a path that starts with '/'")
    return text


def secret(text: str) -> str:
    """A key that is hard to guess; never repeated in a message."""
    if len(text) < 32:
        raise ValueError(f"has {len(text)} characters; it must have at least 32")
    if any(word in text.lower() for word in _PLACEHOLDERS) or len(set(text)) < 8:
        raise ValueError("is a placeholder, not a secret")
    return text


def secrets(text: str) -> tuple[str, ...]:
    return tuple(secret(part.strip()) for part in text.split(",") if part.strip())


def whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {text[:20]!r}")
        return int(text)

    return read


def seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) or not 0.1 <= float(text) <= 120:
        raise ValueError(f"must be a number of seconds from 0.1 to 120, not {text[:20]!r}")
    return float(text)


def flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, not {text[:20]!r}")
    return text.lower() == "true"


def one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {text[:20]!r}")
        return text.lower()

    return read


def languages() -> tuple[str, ...]:
    """The languages of the pages: English, in which they are written, and each that has a compiled translation."""
    return ("en", *sorted(path.parts[-3] for path in TRANSLATIONS.glob("*/LC_MESSAGES/messages.mo")))


def language(text: str) -> str:
    named = {code.lower(): code for code in languages()}
    return named[one_of(*named)(text.replace("-", "_"))]


def colour(text: str) -> str:
    """A CSS colour as `#rrggbb`."""
    if not re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", text):
        raise ValueError(f"must be a colour written #rgb or #rrggbb, not {text[:20]!r}")
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return f"#{digits.lower()}"


def words(text: str) -> str:
    if len(text) > 60 or not text.isprintable():
        raise ValueError("must be at most 60 characters on one line")
    return text


def client_cert(text: str) -> Path:
    """A PEM file with a certificate and the key that belongs to it."""
    try:
        ssl.create_default_context().load_cert_chain(text)
    except FileNotFoundError:
        raise ValueError("must be a file that exists") from None
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise ValueError("must be a PEM file with a certificate and its key, without a passphrase") from None
    return Path(text).resolve()


def proxy_url(text: str) -> str:
    """An HTTP proxy; never repeated in a message, for it may hold a password."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.path not in ("", "/") or parts.query or re.search(r"\s", text):
        raise ValueError("must be written like http://proxy.example.com:3128")
    return text


def host_names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower().lstrip(".") for part in text.split(",") if part.strip())
    if wrong := [name for name in names if not re.fullmatch(r"[\w.\-:]+", name)]:
        raise ValueError(f"must be a list of host names, not {wrong[0][:20]!r}")
    return names


def folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise ValueError("must be a folder that exists")
    return Path(text).resolve()


def rate(text: str) -> limits.RateLimitItem:
    """How often something may be done: `5/5minutes`."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}/([1-9][0-9]{0,2})?(second|minute|hour|day)s?", text):
        raise ValueError(f"must be written like 30/minute or 5/5minutes, not {text[:20]!r}")
    return limits.parse(text)


def redis_url(text: str) -> str:
    """A Redis or a cluster; never repeated in a message, for it may contain a password."""
    try:
        parts = urlsplit(text)
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        sound = all(host.hostname and host.port != 0 for host in hosts)
        # Any other option would take the site's place: how long it waits, how answers are read.
        sound = sound and all(option.startswith("ssl_") for option in parts.query.split("&") if option)
    except ValueError:
        sound = False
    if not sound or parts.scheme not in ("redis", "rediss", "redis+cluster"):
        raise ValueError("must be redis://host:port/0, rediss://… or redis+cluster://host:port,host:port")
    return text


def credential(text: str) -> str:
    """A client id or secret as a provider's console shows it; never repeated in a message."""
    if not re.fullmatch(r"[!-~]{1,2000}", text):
        raise ValueError("must be printable ASCII without spaces")
    return text


def path_word(text: str) -> str:
    if not re.fullmatch(r"[\w\-]{1,60}", text, re.ASCII):
        raise ValueError(f"must be one word of letters, digits, '-' and '_', not {text[:20]!r}")
    return text


def safe_base_url(text: str) -> str:
    """A base address over https, or on this machine: tokens travel there."""
    _refuse_open_network(base_url(text))
    return base_url(text)


def issuer(text: str) -> str:
    """An issuer, which is compared to the letter, a slash at its end included (OpenID Connect Discovery, 4.3)."""
    _refuse_open_network(base_url(text))
    return text


def _refuse_open_network(url: str) -> None:
    if not is_safe(url):
        raise ValueError("must start with https:// (http:// only for this machine)")


def is_safe(url: str, loopback: bool = True) -> bool:
    """Whether what is sent there stays secret: https, or (if allowed) http on this machine."""
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return sound and (parts.scheme == "https" or (loopback and local and parts.scheme == "http"))
