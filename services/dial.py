"""Connections made within bounded time, to whom the certificate names. Only `adapter.py` uses this."""

import socket
import ssl
import time
from collections.abc import Sequence

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from services.lookup import Lookup

_SHORTEST = 0.01
_lookup = Lookup()


def connected(host: str, port: int, within: float) -> socket.socket:
    """The time is for looking up the name and for trying all of its addresses; what is left stays the timeout."""
    ends = time.monotonic() + within
    addresses = _lookup.addresses(host, port, within)
    return one_of(addresses, port, ends - time.monotonic())


def one_of(addresses: Sequence[str], port: int, within: float) -> socket.socket:
    """A connection to the first that answers; its timeout is what is left then, for the TLS handshake."""
    ends = time.monotonic() + within
    for number, address in enumerate(addresses, 1):
        share = (ends - time.monotonic()) / (len(addresses) - number + 1)  # one that swallows packets leaves some
        try:
            found = socket.create_connection((address, port), max(share, _SHORTEST))
        except OSError:
            if number == len(addresses):
                raise
        else:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.settimeout(max(ends - time.monotonic(), _SHORTEST))
            return found
    raise OSError("the name has no address")


def trust() -> ssl.SSLContext:
    """Who is believed: a private CA that the system or SSL_CERT_FILE trusts, beside certifi's. Takes 16 ms to read."""
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    return context


def secured(plain: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The same connection after a TLS handshake with that host and no other."""
    try:
        return context.wrap_socket(plain, server_hostname=host.rstrip("."))
    except (OSError, ValueError):
        plain.close()
        raise
