"""One thread at the door: it answers what it can, and gives its place to another before it waits.

Granian wakes threads that wait for work in turn, whichever ran last, and each then waits for the interpreter as well.
With a hundred of them an empty view costs twice what it costs with one (docs/decisions/0015). So here one thread
takes requests and the others rest; who has waited for a backend goes to rest when the answer is sent.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from services import waiting

log = logging.getLogger("munjigi.serve")

_EVERY: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,  # the server ends it where the body ends
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}


class _Place:
    """Where a thread is: at the door, or away from it."""

    def __init__(self, given_up: Callable[[], None]) -> None:
        self.at_door = True
        self.bell = threading.Lock()
        self.bell.acquire()
        self._given_up = given_up

    def leave(self) -> None:
        if self.at_door:
            self.at_door = False
            self._given_up()

    def __del__(self) -> None:
        self.leave()  # its thread ended: Granian lets one go that nobody has needed for half a minute


class Door:
    """What Granian calls for each request, in the thread that took it: a WSGI server's other half (PEP 3333)."""

    def __init__(self, site: Callable[..., Iterable[bytes]]) -> None:
        self._site = site
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._at_door = 0
        self._resting: list[_Place] = []

    def __call__(self, proto: Any, request: dict[str, Any]) -> None:
        place = getattr(self._mine, "place", None) or self._new_place()
        if "CONTENT_LENGTH" in request or "HTTP_TRANSFER_ENCODING" in request:  # and so may have to be waited for
            place.leave()
        try:
            self._answer(proto, _EVERY | request)
        except Exception:
            log.exception("the site has no answer")
            proto.response_bytes(500, [], b"")
        if self._at_door != 1 or not place.at_door:
            self._return(place)

    def _answer(self, proto: Any, environ: dict[str, Any]) -> None:
        begun: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            begun[:] = int(status[:3]), headers

        body = self._site(environ, start_response)
        try:
            proto.response_bytes(*begun, b"".join(body))
        finally:
            if hasattr(body, "close"):
                body.close()

    def _new_place(self) -> _Place:
        """Of a thread that Granian has just started."""
        place = self._mine.place = _Place(self._given_up)
        waiting.tell(place.leave)
        with self._lock:
            self._at_door += 1
        return place

    def _given_up(self) -> None:
        with self._lock:
            self._at_door -= 1
            if not self._at_door and self._resting:
                self._at_door = 1
                self._resting.pop().bell.release()

    def _return(self, place: _Place) -> None:
        """Back to the door if nobody is there, else to rest until somebody leaves it."""
        with self._lock:
            self._at_door -= place.at_door
            place.at_door = True
            if not self._at_door:
                self._at_door = 1
                return
            self._resting.append(place)
        place.bell.acquire()
