"""One connection: a call over it takes no longer, and brings no more, than it may.

What `requests` calls a timeout starts anew with each byte; here it is for all of a call. Answers are read by the
standard library's `http.client`. Only `adapter.py` uses this.
"""

import io
import ssl
import time
from contextlib import suppress
from http.client import HTTPResponse, IncompleteRead
from socket import socket
from typing import Any

_MOST_READ = 4 * 1024 * 1024
"""Bytes of an answer as it comes, with its headers and the sizes of its chunks."""


class _Wire(io.RawIOBase):
    """What a socket brings until the call's time is over, or it has brought too much."""

    def __init__(self, connected: socket) -> None:
        self._socket = connected
        self._ends: float | None = None
        self.count = 0

    def readable(self) -> bool:
        return True

    def opens(self, ends: float) -> None:
        self._ends, self.count = ends, 0

    def shuts(self) -> None:
        """What has come has come: nothing further is waited for."""
        self._ends = None

    def readinto(self, buffer: Any) -> int | None:
        if self._ends is None:
            return None
        self._socket.settimeout(_left(self._ends))
        count = self._socket.recv_into(buffer)
        self.count += count
        if self.count > _MOST_READ:  # http.client reads a chunk "of -1 bytes" to its end, past the cap on bodies
            raise OSError("endless answer")
        return count


class _Reader(io.BufferedReader):
    """What came. `HTTPResponse` closes it at the end of each answer, but the next one comes from here as well."""

    def close(self) -> None:
        pass


class Connection:
    """One call after the other. `is_clean`: whether the last one left nothing behind, so that another may follow."""

    def __init__(self, connected: socket) -> None:
        self._socket = connected
        self._wire = _Wire(connected)
        self._reader = _Reader(self._wire)
        self.is_clean = True
        self.used_at = 0.0

    def makefile(self, _: str) -> io.BufferedReader:
        """What `HTTPResponse` wants of a socket."""
        return self._reader

    def close(self) -> None:
        self._socket.close()

    def is_silent(self) -> bool:
        """Whether it still stands, and nothing has been said on it since the last answer."""
        try:
            self._socket.settimeout(0)
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def call(self, method: str, message: bytes, ends: float, most: int) -> tuple[HTTPResponse, bytes]:
        """The answer, with its body up to so many bytes; raises what sockets and `http.client` raise."""
        self.is_clean = False
        self._wire.opens(ends)
        self._socket.settimeout(_left(ends))
        with suppress(BrokenPipeError):  # it may have answered before it closed
            self._socket.sendall(message)
        answer = HTTPResponse(self, method=method)  # type: ignore[arg-type]  # `makefile` is all that it calls
        answer.begin()
        body = _body(answer, most)
        self._wire.shuts()
        self.is_clean = _is_whole(answer) and not self._reader.peek(1)
        return answer, body

    def has_answered(self) -> bool:
        """Whether a byte came since the call began."""
        return self._wire.count > 0


def _left(ends: float) -> float:
    if (left := ends - time.monotonic()) > 0:
        return left
    raise TimeoutError("timed out")


def _body(answer: HTTPResponse, most: int) -> bytes:
    if not answer.headers.get("Content-Length", "0").isdecimal():
        return b""  # who reads its headers refuses it
    body = answer.read(most)
    if len(body) < most and answer.length:
        raise IncompleteRead(body, answer.length)
    return body


def _is_whole(answer: HTTPResponse) -> bool:
    """Whether all of it was read, and it had one end that nobody could see elsewhere."""
    headers = answer.headers
    ends = [*headers.get_all("Content-Length", []), *headers.get_all("Transfer-Encoding", [])]
    return (
        answer.isclosed()
        and not answer.will_close
        and answer.status >= 200  # after 103 comes another answer
        and (ends in ([], ["0"]) if answer.status in (204, 304) else len(ends) == 1)
        and not headers.defects  # the parser stops at a line that is no header
    )
