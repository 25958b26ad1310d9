"""Addresses of a name, within bounded time: the system's resolver may take half a minute, and cannot be told not to.

Only `deadline.py` uses this.
"""

import socket
import threading
from concurrent.futures import Future

from services.hands import Hands

_MOST_NAMES = 16
"""Looked up at once. Those who ask for one name share one lookup, so that a dead name cannot take all places."""


class Lookup:
    def __init__(self) -> None:
        self._hands = Hands(_MOST_NAMES, "munjigi-lookup")
        self._running: dict[tuple[str, int], Future[list[str]]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int, within: float) -> list[str]:
        """Raises `TimeoutError`, or `socket.gaierror` as the resolver does."""
        name = (host, port)
        with self._lock:
            asked = self._running.get(name)
            if asked is None:
                asked = self._running[name] = self._hands.submit(lambda: _look_up(host, port))
        asked.add_done_callback(lambda _: self._running.pop(name, None))
        return asked.result(within)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
