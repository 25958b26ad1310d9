"""Is the shared state there, and does it take entries?"""

import time
from collections.abc import Iterator

import config
from doctor.finding import OK, WRONG, Finding
from services.event_loop import wait_for
from services.state.redis import client_of, close_storage, open_storage


def examine(settings: config.Settings) -> Iterator[Finding]:
    if settings.redis_url is None:
        yield Finding(OK, "shared state", "none: limits and ended sessions are this one process's")
        return
    try:
        version = wait_for(_write(settings.redis_url))
    except Exception as error:  # whatever the client makes of what it meets
        yield Finding(
            WRONG, "shared state", f"no use: {type(error).__name__}", "Check REDIS_URL, its password, and its memory."
        )
        return
    yield Finding(OK, "shared state", f"Redis {version} takes entries")


async def _write(url: str) -> str:
    """The version of the Redis at this address, once it has taken an entry."""
    storage = open_storage(url, read_seconds=2.0)
    try:
        client = client_of(storage)
        known = await client.info("server")
        nodes = known if "redis_version" in known else next(iter(known.values()))
        await client.xadd("munjigi:doctor", {"at": str(time.time())}, maxlen=1)
        await client.delete("munjigi:doctor")
        return str(nodes["redis_version"])
    finally:
        await close_storage(storage)
