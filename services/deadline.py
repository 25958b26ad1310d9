"""Connections whose timeout counts for a whole answer, and which read no more than an answer may have.

What `requests` calls a timeout starts anew with each byte. Only `upstream.py` uses this.
"""

import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import create_urllib3_context
from urllib3.util.connection import create_connection

from services.lookup import Lookup

_MOST_READ = 4 * 1024 * 1024
"""Bytes of an answer as it comes, with its headers and the sizes of its chunks."""


_SHORTEST = 0.01


class _Deadline(socket.socket):
    """A socket whose timeout counts for all reads since it was set, not for each one.

    urllib3 sets it once a call, to what is left of the call's time, before it reads the answer.
    """

    _ends: float | None = None
    _read = 0

    def settimeout(self, seconds: float | None) -> None:
        super().settimeout(seconds)
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._read = 0

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            super().settimeout(left)
        count = super().recv_into(*args, **kwargs)
        self._read += count
        if self._read > _MOST_READ:  # urllib3 reads a chunk "of -1 bytes" to its end, past the cap on bodies
            raise OSError("endless answer")
        return count


class _DeadlineTLS(_Deadline, ssl.SSLSocket):
    pass


_lookup = Lookup()


def one_of(addresses: Sequence[str], port: int, within: float, options: Any = None) -> socket.socket:
    """A connection to the first that answers; its timeout is what is left then, for the TLS handshake."""
    ends = time.monotonic() + within
    for number, address in enumerate(addresses, 1):
        share = (ends - time.monotonic()) / (len(addresses) - number + 1)  # one that swallows packets leaves some
        try:
            found = create_connection((address, port), max(share, _SHORTEST), socket_options=options)
        except OSError:
            if number == len(addresses):
                raise
        else:
            found.settimeout(max(ends - time.monotonic(), _SHORTEST))
            return found
    raise OSError("the name has no address")


class _OneTimeToConnect(HTTPConnection):
    """The time to connect is for looking up the name and for trying all of its addresses."""

    def _new_conn(self) -> socket.socket:
        try:
            return self._connected()
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def _connected(self) -> socket.socket:
        ends = time.monotonic() + float(self.timeout or 0)
        addresses = _lookup.addresses(self._dns_host, self.port, float(self.timeout or 0))
        return one_of(addresses, self.port, ends - time.monotonic(), self.socket_options)


class _DeadlineConnection(_OneTimeToConnect):
    def connect(self) -> None:
        super().connect()
        self.sock = _Deadline(fileno=self.sock.detach())
        self.sock.settimeout(self.timeout)


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _DeadlineConnectionTLS(_OneTimeToConnect, HTTPSConnection):
    pass


class _DeadlinePoolTLS(HTTPSConnectionPool):
    ConnectionCls = _DeadlineConnectionTLS


class DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = create_urllib3_context()
        context.load_default_certs()  # a private CA that the system or SSL_CERT_FILE trusts, beside certifi's
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        context.sslsocket_class = _DeadlineTLS
        super().init_poolmanager(*args, ssl_context=context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _DeadlinePool, "https": _DeadlinePoolTLS}

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """Requests would name certifi's file here, and each connection read it again: 16 ms of work, 100 at once."""
        conn.cert_reqs = "CERT_REQUIRED"
