"""The Redis that the processes of the site share (`REDIS_URL`), behind a circuit breaker.

Redis is optional at any time: sign-ins work without it. Each command has a timeout. After a failure, no command is sent
for a while; then one request tries whether Redis is back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from services.clock import Clock
from services.event_loop import PerLoop, within
from services.observability.audit import redis_state_changed

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage

log = logging.getLogger("munjigi.state")

ANSWER_SECONDS = 0.5
"""The timeout of a command, including a new connection if needed (0.3 s to another data center over TLS)."""
CLIENT_SECONDS = 2.0
"""The client's own timeouts of a read and a connection: longer, because they also run while the loop is busy."""
RETRY_SECONDS = 2.0
"""How long no command is sent after a failure."""
_MAX_CONNECTIONS = 16
"""Connections of a process. A command takes a millisecond, so these serve thousands of sign-ins a second."""

_T = TypeVar("_T")


def open_storage(url: str, read_seconds: float = CLIENT_SECONDS) -> "RedisStorage":
    """Rate limit storage at this address; see `client_of`."""
    # Imported when needed: 6 MB, and a sixth of the time that the site takes to start.
    from limits.storage import storage_from_string  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.exceptions import ConnectionError as RedisConnectionError  # noqa: PLC0415

    options: dict[str, Any] = {
        "implementation": "redispy",
        "socket_timeout": read_seconds,
        "socket_connect_timeout": CLIENT_SECONDS,
        # Retry at once if the connection was closed meanwhile, but never after a timeout.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        "protocol": 2,
    }
    return storage_from_string(f"async+{url}", **options)  # type: ignore[return-value]  # settings allow no other


def client_of(storage: "RedisStorage") -> Any:
    """The `redis.asyncio` client below a storage, for one Redis or for a cluster."""
    return cast(Any, storage.bridge).get_connection()


async def close_storage(storage: "RedisStorage") -> None:
    client = client_of(storage)
    await client.aclose()
    # After a failed command, the `aclose()` of a cluster's client closes nothing (redis-py 8.1).
    if nodes := getattr(client, "nodes_manager", None):
        await nodes.aclose()
        await nodes.aclose("startup_nodes")


class _Connection:
    """The storage of one event loop, and the number of commands that may use it at a time."""

    def __init__(self, url: str) -> None:
        self.storage = open_storage(url)
        self.slots = asyncio.Semaphore(_MAX_CONNECTIONS)


async def _close(connection: _Connection) -> None:
    await close_storage(connection.storage)


class Redis:
    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self._clock = clock
        self._connections = PerLoop(lambda: _Connection(url), _close)
        self._retry_at = 0.0
        self._failures = 0
        self._is_down = False

    async def run(
        self, operation: Callable[["RedisStorage"], Coroutine[Any, Any, _T]], otherwise: Callable[[], Awaitable[_T]]
    ) -> _T:
        """The result of an operation on Redis, or of `otherwise` if it fails or while Redis is unavailable."""
        if self._clock.monotonic() < self._retry_at:
            return await otherwise()
        if self._is_down:
            self._retry_at = self._clock.monotonic() + RETRY_SECONDS  # one request tries; the others do not wait
        failures = self._failures
        try:
            result = await operation(self._connections.get().storage)
        except Exception as error:  # any exception of the client: a sign-in must not fail because of Redis
            self._mark_down(error)
            return await otherwise()
        self._mark_up(failures)
        return result

    async def send(self, command: Callable[[Any], Coroutine[Any, Any, Any]], default: object = None) -> Any:
        """The result of a command, or the default if it fails or while Redis is unavailable.

        command: receives the `redis.asyncio` client, and may send several commands within the timeout of one.
        """

        async def operation(storage: "RedisStorage") -> Any:
            return await self.command(lambda: command(client_of(storage)))

        async def otherwise() -> Any:
            return default

        return await self.run(operation, otherwise)

    async def command(self, command: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Send one command of an operation when a connection is free; raises `TimeoutError`."""
        async with self._connections.get().slots:
            return await within(ANSWER_SECONDS, command())

    def close(self) -> None:
        """Close the connections of all event loops, without waiting."""
        self._connections.close_soon()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._connections.close()

    def _mark_down(self, error: Exception) -> None:
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        self._failures += 1
        if not self._is_down:
            log.error("Redis is unavailable, using in-process limits: %s", type(error).__name__)
        self._is_down = True
        redis_state_changed.send(self, part="counts", up=False)

    def _mark_up(self, failures: int) -> None:
        if self._is_down and self._failures == failures:  # a command that was sent before the failure does not count
            log.warning("Redis is available again")
            self._is_down, self._retry_at = False, 0.0
            redis_state_changed.send(self, part="counts", up=True)
