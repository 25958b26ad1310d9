"""Is the shared state there, and does it take entries?"""

import time
from collections.abc import Iterator

import config
from doctor.finding import OK, WRONG, Finding
from services.shared_state import connected


def examine(settings: config.Settings) -> Iterator[Finding]:
    if settings.state_url == "memory://":
        yield Finding(OK, "shared state", "none: limits and ended sessions are this one process's")
        return
    try:
        client = connected(settings.state_url, 2.0).storage
        known = client.info("server")
        version = next(iter(known.values())) if "redis_version" not in known else known
        client.xadd("munjigi:doctor", {"at": str(time.time())}, maxlen=1)
        client.delete("munjigi:doctor")
    except Exception as error:  # whatever the client makes of what it meets
        yield Finding(
            WRONG, "shared state", f"no use: {type(error).__name__}", "Check STATE_URL, its password, and its memory."
        )
        return
    yield Finding(OK, "shared state", f"Redis {version['redis_version']} takes entries")
