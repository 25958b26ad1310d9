"""What happened, one line an event, and which request it happened in.

No line holds a password, a token or an e-mail address: an account is a keyed hash of its address, the same
through all lines, so that an operator can follow one person without knowing who it is. The same facts go to
whoever listens to an event's signal (Flask's way, `blinker`); the sender is the site. Receivers run in a thread of
their own (`signal_delivery.py`).
"""

import hmac
import ipaddress
import logging
import random
import re
import unicodedata
from functools import lru_cache
from typing import Any

from blinker import Namespace, Signal
from flask import Flask, current_app, g, request

from services.observability.signals import SignalDelivery

log = logging.getLogger("munjigi.audit")

_signals = Namespace()
signed_in = _signals.signal("signed_in", doc="Somebody is signed in.")
signed_out = _signals.signal("signed_out", doc="Somebody signed out; `everywhere`: of all sessions.")
sign_in_failed = _signals.signal("sign_in_failed", doc="A sign-in ended with an error: `outcome` is its code.")
csrf_failed = _signals.signal("csrf_failed", doc="A form came without its token, or from another site.")
rate_limited = _signals.signal("rate_limited", doc="Somebody tried too often; `limit` says which limit it was.")
session_expired = _signals.signal(
    "session_expired", doc="Somebody came with a session that the backend, or its owner, had ended."
)

upstream_request_finished = _signals.signal(
    "upstream_request_finished",
    doc="A call went out: its `host`, its `answer` (`2xx`, …, `none`) and the `seconds` it took.",
)

redis_state_changed = _signals.signal(
    "redis_state_changed", doc="The shared state is away, or back: which `part` of it, and whether it is `up`."
)


audited = Signal("Each event with its facts, sent within the request: for what counts them in this process.")
delivery = SignalDelivery()


def request_id() -> str:
    """The id of this request: in the log, on error pages, in `X-Request-Id` to the backend and the browser."""
    known: str | None = g.get("request_id")
    if known is None:
        known = g.request_id = new_request_id()
    return known


def new_request_id() -> str:
    # No secret, so not from the system: its random source lets go of the interpreter lock, which costs more.
    return f"{random.getrandbits(64):016x}"


_WITH_PORT = re.compile(r"\[([^]]*)](?::[0-9]+)?|([^:]*):[0-9]+")
"""`[2001:db8::1]:443`, `203.0.113.9:443`: some proxies write the port too."""


@lru_cache(1024)
def client_address(text: str | None) -> str | None:
    """One IP address without port, brackets or zone; None for anything else. A mapped IPv4 is given as such."""
    written = _WITH_PORT.fullmatch(text or "")
    try:
        address = ipaddress.ip_address((written[1] or written[2]) if written else text or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address).partition("%")[0]  # a zone may be any text


def normalize_email(email: str) -> str:
    """What two spellings of one e-mail address have in common."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def account_hash(email: str | None, key: str) -> str | None:
    if not email:
        return None
    return hmac.new(key.encode(), b"account:" + normalize_email(email).encode(), "sha256").hexdigest()[:16]


def audit(event: str, level: int = logging.INFO, **facts: str | int | bool | None) -> None:
    """Write the event, and send its signal. `facts`: short words and numbers; those that are None are left out."""
    known: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}
    if address := client_address(request.remote_addr):
        known = {"address": address, **known}
    log.log(level, event, extra={"facts": known})
    site: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # as Flask sends its own
    audited.send(site, event=event, facts=known)
    delivery.send(_signals[event], site, known)
