"""A Redis in memory that can fail, for tests on a loop with virtual time (`virtual_time.py`).

It knows the commands that the session services send, as `redis.asyncio` has them.
`tests/system/test_refresh_simulation.py` compares it with a real server.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from redis.exceptions import ConnectionError as RedisConnectionError

from services.sessions import revocation_feed, token_store
from services.state import redis as redis_state

MAX_BLOCK_SECONDS = 900.0
"""How long a read of the stream waits for an entry. The site asks for a second; a longer wait is cheaper, and the
site does not see the difference."""
_FOREVER = 10**9


class FakeRedisServer:
    def __init__(self, get_time: Callable[[], float]) -> None:
        self._get_time = get_time
        """Seconds since 1970."""
        self.is_up = True
        self.data: dict[str, tuple[bytes, float]] = {}
        """Value, and when it expires."""
        self.read_keys: set[str] = set()
        self.hashes: dict[str, dict[str, Any]] = {}
        """Without times of expiry."""
        self.stream: list[tuple[int, dict[bytes, bytes]]] = []
        self._history: list[tuple[float, str, tuple[bytes, float] | None]] = []
        """Time, key and previous value of each write."""
        self.newest_counts: dict[str, int] = {}
        """The newest tokens of each session that were ever saved."""
        self.changed = asyncio.Event()

    def get(self, key: str) -> bytes | None:
        self.read_keys.add(key)
        value, expires_at = self.data.get(key, (None, 0.0))
        return value if expires_at > self._get_time() else None

    def set(
        self, key: str, value: Any, *, nx: bool = False, px: int | None = None, ex: int | None = None
    ) -> bool | None:
        if nx and self.get(key) is not None:
            return None
        seconds = px / 1000 if px is not None else ex if ex is not None else _FOREVER
        self._write(key, (value if isinstance(value, bytes) else str(value).encode(), self._get_time() + seconds))
        return True

    def expire(self, key: str, seconds: int) -> bool:
        if (value := self.get(key)) is None:
            return False
        self._write(key, (value, self._get_time() + seconds))
        return True

    def ttl(self, key: str) -> int:
        _, expires_at = self.data.get(key, (b"", 0.0))
        return round(expires_at - self._get_time()) if self.get(key) is not None else -2

    def delete(self, key: str) -> int:
        existed = self.get(key) is not None
        self._write(key, None)
        return int(existed)

    def eval(self, script: str, _: int, key: str, *arguments: Any) -> Any:
        return SCRIPTS[script](self, key, *arguments)

    def xadd(self, _: str, fields: dict[str, Any], **__: Any) -> None:
        latest = self.stream[-1][0] if self.stream else 0
        encoded = {
            name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()
        }
        self.stream.append((max(latest + 1, int(self._get_time() * 1000)), encoded))
        self.wake()

    def xread(self, last_id: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        after = int(last_id.partition("-")[0])
        return [(b"%d-0" % number, fields) for number, fields in self.stream if number > after][:count]

    def stop(self) -> None:
        self.is_up = False
        self.wake()

    def start(self, *, lost_seconds: float = 0.0) -> None:
        """Start again. lost_seconds: of the last writes, those of so many seconds are lost."""
        since = self._get_time() - lost_seconds
        while self._history and self._history[-1][0] > since:
            _, key, previous = self._history.pop()
            self._restore(key, previous)
        self.stream = [entry for entry in self.stream if entry[0] <= since * 1000]
        self.is_up = True
        self.wake()

    def wake(self) -> None:
        """Let waiting reads look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def _write(self, key: str, value: tuple[bytes, float] | None) -> None:
        self._history.append((self._get_time(), key, self.data.get(key)))
        self._restore(key, value)

    def _restore(self, key: str, value: tuple[bytes, float] | None) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value


def _save_if_newer(server: FakeRedisServer, key: str, count: int, value: bytes, seconds: int, ended: bytes) -> int:
    server.newest_counts[key] = max(count, server.newest_counts.get(key, 0))
    saved = server.get(key)
    if saved == ended:
        return -1
    if saved and int(saved.partition(b":")[0]) > count:
        return 0
    server.set(key, value, ex=seconds)
    return 1


def _end(server: FakeRedisServer, key: str, value: bytes, seconds: int) -> bytes | None:
    saved = server.get(key)
    server.set(key, value, ex=seconds)
    return saved


SCRIPTS: dict[str, Callable[..., Any]] = {token_store._SAVE_IF_NEWER: _save_if_newer, token_store._END: _end}


class FakeRedisClient:
    """The client of one process.

    is_cut_off: returns whether commands of this process get no answer now.
    gate: awaited before and after each command, to pause the process.
    """

    def __init__(
        self,
        server: FakeRedisServer,
        rng: random.Random,
        is_cut_off: Callable[[], bool] = lambda: False,
        gate: Callable[[], Awaitable[None]] | None = None,
        is_answer_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self._server = server
        self._random = rng
        self._is_cut_off = is_cut_off
        self._gate = gate
        self._is_answer_lost = is_answer_lost
        self._has_read = False

    async def get(self, key: str) -> Any:
        return await self._run(lambda: self._server.get(key))

    async def ttl(self, key: str) -> Any:
        return await self._run(lambda: self._server.ttl(key))

    async def set(self, key: str, value: Any, **options: Any) -> Any:
        return await self._run(lambda: self._server.set(key, value, **options))

    async def expire(self, key: str, seconds: int) -> Any:
        return await self._run(lambda: self._server.expire(key, seconds))

    async def delete(self, key: str) -> Any:
        return await self._run(lambda: self._server.delete(key))

    async def eval(self, script: str, keys: int, key: str, *arguments: Any) -> Any:
        return await self._run(lambda: self._server.eval(script, keys, key, *arguments))

    async def hset(self, key: str, field: str, value: Any) -> Any:
        return await self._run(lambda: self._server.hashes.setdefault(key, {}).update({field: value}))

    async def hdel(self, key: str, *fields: str) -> Any:
        return await self._run(lambda: [self._server.hashes.get(key, {}).pop(field, None) for field in fields])

    async def xadd(self, stream: str, fields: dict[str, Any], **options: Any) -> Any:
        return await self._run(lambda: self._server.xadd(stream, fields))

    async def xread(self, streams: dict[str, str], count: int, block: int) -> Any:
        ((name, last_id),) = streams.items()
        wait_seconds = MAX_BLOCK_SECONDS if self._has_read else block / 1000
        self._has_read = True
        changed = self._server.changed
        entries = await self._run(lambda: self._server.xread(last_id, count), is_blocking=True)
        if not entries:
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), wait_seconds)
            entries = await self._run(lambda: self._server.xread(last_id, count), is_blocking=True)
        return [(name, entries)] if entries else []

    def pipeline(self, **_: Any) -> "_Pipeline":
        return _Pipeline(self)

    async def aclose(self) -> None:
        pass

    async def _run(self, command: Callable[[], Any], *, is_blocking: bool = False) -> Any:
        if self._gate:
            await self._gate()
        await asyncio.sleep(self._random.uniform(0.0001, 0.002))
        if self._is_cut_off():
            await asyncio.sleep(1.9)
            raise RedisConnectionError("timeout")
        if not self._server.is_up:
            raise RedisConnectionError("connection refused")
        result = command()
        if not is_blocking and self._is_answer_lost():
            await asyncio.sleep(1.9)
            raise RedisConnectionError("timeout")
        await asyncio.sleep(self._random.uniform(0.0001, 0.002))
        if self._gate:
            await self._gate()
        return result


class _Pipeline:
    def __init__(self, client: FakeRedisClient) -> None:
        self._client = client
        self._commands: list[tuple[str, dict[str, Any]]] = []

    async def __aenter__(self) -> "_Pipeline":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def xadd(self, stream: str, fields: dict[str, Any], **_: Any) -> None:
        self._commands.append((stream, fields))

    async def execute(self) -> None:
        for stream, fields in self._commands:
            await self._client.xadd(stream, fields)


@contextmanager
def fake_connections(get_client: Callable[[str], FakeRedisClient]) -> Iterator[None]:
    """The site connects to these clients, by the URL of its Redis."""

    def open_storage(url: str, *_: Any) -> Any:
        client = get_client(url)
        return SimpleNamespace(bridge=SimpleNamespace(get_connection=lambda: client))

    with (
        patch.object(redis_state, "open_storage", open_storage),
        patch.object(revocation_feed, "open_storage", open_storage),
    ):
        yield
