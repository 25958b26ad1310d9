"""Addresses of a name, within bounded time: the system's resolver may take half a minute, and cannot be told not to.

Only `dial.py` uses this.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future

from services.hands import Hands

_MOST_NAMES = 16
"""Looked up at once. Those who ask for one name share one lookup, so that a dead name cannot take all places."""


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Lookup:
    def __init__(self, look_up: Callable[[str, int], list[str]] = _look_up) -> None:
        self._look_up = look_up
        self._hands = Hands(_MOST_NAMES, "munjigi-lookup")
        self._running: dict[tuple[str, int], Future[list[str]]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int, within: float) -> list[str]:
        """Raises `TimeoutError`, or `socket.gaierror` as the resolver does."""
        if _is_address(host):
            return [host]
        name = (host, port)
        with self._lock:
            asked = self._running.get(name)
            if asked is None:
                asked = self._running[name] = self._hands.submit(lambda: self._once(name))
        return asked.result(within)

    def _once(self, name: tuple[str, int]) -> list[str]:
        try:
            return self._look_up(*name)
        finally:
            with self._lock:  # so that it is not before it is there
                del self._running[name]
