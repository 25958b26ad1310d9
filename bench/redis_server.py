"""A Redis of the measurements' own, and a list of ended sessions in it as long as asked for."""

import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.processes import free_ports
from services.ended import STREAM

_AT_ONCE = 100_000


def fill(url: str, size: int) -> None:
    """Entries as the site writes them."""
    command = [_program("redis-cli"), "-u", url, "--pipe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as cli:
        assert cli.stdin
        head = b"*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$1\r\ns\r\n$8\r\n" % (len(STREAM), STREAM.encode())
        for start in range(0, size, _AT_ONCE):
            keys = secrets.token_bytes(8 * min(_AT_ONCE, size - start))
            cli.stdin.write(b"".join(head + keys[at : at + 8] + b"\r\n" for at in range(0, len(keys), 8)))
        cli.stdin.close()
        assert cli.wait() == 0


@contextmanager
def running() -> Iterator[str]:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen([_program("redis-server"), *options], stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def _program(name: str) -> str:
    return shutil.which(name) or sys.exit(f"there is no {name} here")


def is_here() -> bool:
    return bool(shutil.which("redis-server") and shutil.which("redis-cli"))
