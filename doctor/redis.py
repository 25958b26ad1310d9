"""Checks that Redis is reachable and accepts writes."""

import time
from collections.abc import Iterator

import config
from doctor.finding import ERROR, OK, Finding
from services.event_loop import wait_for
from services.state.redis import client_of, close_storage, open_storage

_KEY = "munjigi:doctor"


def check(settings: config.Settings) -> Iterator[Finding]:
    if settings.redis_url is None:
        if (settings.workers or 1) > 1 and settings.backend.refresh:
            fix = "Set REDIS_URL: two processes must not send the same refresh token."
            yield Finding(ERROR, "redis", f"missing: {settings.workers} processes refresh the backend's tokens", fix)
        else:
            yield Finding(OK, "redis", "not used: login limits and revoked sessions are kept in this process")
        return
    try:
        version = wait_for(_write(settings.redis_url))
    except Exception as error:  # the client raises errors of its own, of redis-py and of the operating system
        fix = "Check REDIS_URL, its password, and the memory limit of Redis."
        yield Finding(ERROR, "redis", f"not usable: {type(error).__name__}", fix)
        return
    yield Finding(OK, "redis", f"Redis {version} accepts writes")


async def _write(url: str) -> str:
    """Add an entry to a stream and delete it. Returns the version of Redis."""
    storage = open_storage(url, read_seconds=2.0)
    try:
        client = client_of(storage)
        info = await client.info("server")
        server = info if "redis_version" in info else next(iter(info.values()))  # a cluster answers for each node
        await client.xadd(_KEY, {"at": str(time.time())}, maxlen=1)
        await client.delete(_KEY)
        return str(server["redis_version"])
    finally:
        await close_storage(storage)
