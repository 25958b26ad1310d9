"""Measure session reads with wrk too, a second load generator, to confirm the rate."""

import asyncio
import re
import shutil

_RATE = re.compile(rb"Requests/sec: *([0-9.]+)")


def is_installed() -> bool:
    return bool(shutil.which("wrk"))


async def rate(port: int, connections: int, request: bytes) -> float:
    """Return the requests per second of a one-second run that repeats this GET request."""
    first, *headers = request.decode().rstrip().split("\r\n")
    options = ["-t1", f"-c{connections}", "-d1s", *(word for header in headers for word in ("-H", header))]
    command = ["wrk", *options, f"http://127.0.0.1:{port}{first.split()[1]}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    match = _RATE.search(output)
    if match is None or b"Non-2xx" in output:
        raise RuntimeError(f"wrk: {output.decode()}")
    return float(match[1])
