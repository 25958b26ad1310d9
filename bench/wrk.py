"""Another load generator's word on the empty view, where it is installed: ours shall not be what a figure shows."""

import asyncio
import re
import shutil

_RATE = re.compile(rb"Requests/sec: *([0-9.]+)")


def is_here() -> bool:
    return bool(shutil.which("wrk"))


async def rate(port: int, connections: int, asked: bytes) -> float:
    """A second of these requests, of one path with its headers."""
    _, *headers = asked.decode().rstrip().split("\r\n")
    options = ["-t1", f"-c{connections}", "-d1s", *(word for header in headers for word in ("-H", header))]
    command = ["wrk", *options, f"http://127.0.0.1:{port}/"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    found = _RATE.search(output)
    if found is None or b"Non-2xx" in output:
        raise RuntimeError(f"wrk: {output.decode()}")
    return float(found[1])
