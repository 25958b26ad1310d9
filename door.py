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

LONGEST_REST = 30.0
"""Seconds; then a thread stands at the door once more, where the server lets it go if nothing comes for as long."""
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
        self.leave()  # its thread ended


class _Body:
    """A request's body, and whether nothing of it is left: to read what has come, or to wait for it, is the site's."""

    def __init__(self, server: Any, length: str | None) -> None:
        self._server = server
        self.is_over = length == "0"

    def read(self, *size: int) -> bytes:
        found: bytes = self._server.read(*size)
        self.is_over = self.is_over or not size or len(found) < size[0]
        return found


class Door:
    """What Granian calls for each request, in the thread that took it: what a WSGI site (PEP 3333) needs."""

    def __init__(self, site: Callable[..., Iterable[bytes]], begin: Callable[[], None] = lambda: None) -> None:
        """`begin`: what a thread does before it takes up a request."""
        self._site, self._begin = site, begin
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._at_door = 0
        self._resting: list[_Place] = []

    def __call__(self, proto: Any, request: dict[str, Any]) -> None:
        self._begin()
        place = getattr(self._mine, "place", None) or self._new_place()
        may_rest = True
        if "CONTENT_LENGTH" in request or "HTTP_TRANSFER_ENCODING" in request:
            place.leave()  # a body may have to be waited for
            may_rest = self._answered(proto, request)
        else:
            self._answer(proto, request)
        request.clear()  # who it was is not kept while this thread rests
        if self._at_door != 1 or not place.at_door:
            self._return(place, may_rest=may_rest)

    def _answered(self, proto: Any, request: dict[str, Any]) -> bool:
        """Whether the body was read to its end. If not, Granian takes it away when this call is over, and not before:
        until then the connection would stand still."""
        body = request["wsgi.input"] = _Body(request["wsgi.input"], request.get("CONTENT_LENGTH"))
        self._answer(proto, request)
        return body.is_over

    def _answer(self, proto: Any, request: dict[str, Any]) -> None:
        try:
            proto.response_bytes(*self._said(_EVERY | request))
        except Exception:
            log.exception("the site has no answer")
            proto.response_bytes(500, [], b"")

    def _said(self, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        begun: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            begun[:] = int(status[:3]), headers

        body = self._site(environ, start_response)
        try:
            return (*begun, b"".join(body))
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

    def _return(self, place: _Place, *, may_rest: bool) -> None:
        """Back to the door if nobody is there, else to rest until somebody leaves it."""
        with self._lock:
            self._at_door -= place.at_door
            place.at_door = True
            if not self._at_door or not may_rest:
                self._at_door += 1
                return
            self._resting.append(place)
        if not place.bell.acquire(timeout=LONGEST_REST):
            self._rest_no_longer(place)

    def _rest_no_longer(self, place: _Place) -> None:
        with self._lock:
            if place in self._resting:
                self._resting.remove(place)
                self._at_door += 1
                return
        place.bell.acquire()  # it rang in this moment
