"""Measure the cost of a long list of revoked sessions: `python -m bench.revoked_sessions [SIZE ...]`.

Needs `redis-server` and `redis-cli`. One sign-out shows the format of an entry. Then `SIZE` such entries are added,
and another sign-out follows. A new process is synced when it rejects the session of the second sign-out.
The default sizes are one million and ten million.
"""

import asyncio
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import cast

import redis
import uvloop

from bench import load, sites, tasks
from bench.load import Connection, connections
from bench.processes import cpu_seconds, free_ports, unique_memory
from bench.sites import Site
from bench.visitors import SESSION, Visitor

MILLION = 1_000_000
MAX_SYNC_SECONDS = 600.0
_BATCH_SIZE = 100_000
_HEAD = ("revoked sessions", "synced after", "CPU to sync", "process memory", "session read", "Redis memory")


@dataclass(frozen=True)
class Result:
    seconds: float
    cpu: float
    memory: int
    """Bytes of the processes of the site."""
    read: float
    """CPU seconds of a session read after the sync."""


def main(sizes: list[int]) -> None:
    print("  ".join(_HEAD))
    with sites.backend() as backend, _redis() as url:
        for size in sizes:
            result, redis_bytes = uvloop.run(measure(backend, url, size))
            cells = (
                f"{size:,}",
                f"{result.seconds:.1f} s",
                f"{result.cpu:.1f} s",
                f"{result.memory / 1e6:.0f} MB",
                f"{result.read * 1e6:.0f} µs",
                f"{redis_bytes / 1e6:.0f} MB",
            )
            print("  ".join(cell.rjust(len(name)) for cell, name in zip(cells, _HEAD, strict=True)), flush=True)


async def measure(backend: Site, url: str, size: int) -> tuple[Result, int]:
    """Return the result, and the bytes of the list in Redis."""
    client = redis.Redis.from_url(url)
    client.flushall()
    before = _memory(client)
    with _site(backend, url) as site:
        await _revoke_session(site)
        key, fields = _first_entry(client)
        _add_entries(url, key, fields, size)
        last_read = await _revoke_session(site)
    redis_bytes = _memory(client) - before
    started = time.monotonic()
    with _site(backend, url) as site:
        await asyncio.wait_for(_wait_until_rejected(site, last_read), MAX_SYNC_SECONDS)
        seconds, cpu, memory = time.monotonic() - started, cpu_seconds(site.process), unique_memory(site.process) or 0
        visitor = await tasks.signed_in(site.port, Visitor())
        before_reads = cpu_seconds(site.process)
        count, _ = await load.run(site.port, tasks.FEW, 2.0, tasks.session_read(visitor))
        return Result(seconds, cpu, memory, (cpu_seconds(site.process) - before_reads) / count), redis_bytes


def _site(backend: Site, url: str) -> AbstractContextManager[Site]:
    return sites.munjigi(backend.port, REDIS_URL=url)


async def _revoke_session(site: Site) -> bytes:
    """Sign in and out. Returns the bytes of a session read with the revoked session."""
    visitor = await tasks.signed_in(site.port, Visitor())
    read = visitor.get(SESSION)
    async with connections(site.port, 1) as [connection]:
        await visitor.sign_out(connection)
    await asyncio.sleep(1)  # the entry may be written after the response
    return read


async def _wait_until_rejected(site: Site, read: bytes) -> None:
    async def body(connection: Connection) -> bytes:
        return (await connection.ask(read)).body

    while True:
        async with connections(site.port, 1) as [connection]:
            if (await body(connection)).strip() in (b"{}", b"null"):
                return
        await asyncio.sleep(0.05)


def _first_entry(client: "redis.Redis") -> tuple[bytes, dict[bytes, bytes]]:
    """Return the key of the Redis stream of revoked sessions, and the fields of its only entry."""
    streams = [key for key in client.scan_iter() if client.type(key) == b"stream"]
    if len(streams) != 1:
        sys.exit(f"expected one stream of revoked sessions in Redis, found {len(streams)}")
    [(_, fields)] = cast(list[tuple[bytes, dict[bytes, bytes]]], client.xrange(streams[0]))
    return streams[0], fields


def _add_entries(url: str, key: bytes, fields: dict[bytes, bytes], size: int) -> None:
    """Add `size` entries with these fields and random bytes as the longest value."""
    longest = max(fields, key=lambda name: len(fields[name]))
    words = [b"XADD", key, b"*"]
    for name, value in sorted(fields.items(), key=lambda item: item[0] == longest):
        words += [name, value]
    head = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words[:-1])
    head += b"$%d\r\n" % len(words[-1])
    with subprocess.Popen(
        [_program("redis-cli"), "-u", url, "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as cli:
        assert cli.stdin
        for start in range(0, size, _BATCH_SIZE):
            values = (secrets.token_bytes(len(words[-1])) for _ in range(min(_BATCH_SIZE, size - start)))
            cli.stdin.write(b"".join(head + value + b"\r\n" for value in values))
        cli.stdin.close()
        assert cli.wait() == 0


def _memory(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory"])


@contextmanager
def _redis() -> Iterator[str]:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        command = [_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def _program(name: str) -> str:
    return shutil.which(name) or sys.exit(f"{name} is not installed")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [MILLION, 10 * MILLION])
