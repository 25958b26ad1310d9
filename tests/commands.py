"""The commands of the project, run as people run them."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parent.parent
FLASK = str(Path(sys.executable).parent / "flask")
DEVELOPMENT_ENVIRON = {"FLASK_SKIP_DOTENV": "1", "FLASK_APP": "dev", "FLASK_RUN_HOST": "localhost"}
"""As `.flaskenv` has it, whatever `.env` a developer keeps."""


class Command:
    """A command under way, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def wait_for(self, url: str, seconds: float = 20) -> requests.Response:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                return requests.get(url, timeout=5, allow_redirects=False)
            except requests.ConnectionError:
                time.sleep(0.05)
        raise AssertionError(f"{url} does not answer:\n{self.output}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


markers: set[str] = set()
"""Of the test that runs now; empty outside of tests. Set by conftest.py."""


def require_marker(marker: str) -> None:
    """Fail a test that starts such a program without the marker: `make test` needs Python alone."""
    if "PYTEST_CURRENT_TEST" in os.environ and marker not in markers:
        pytest.fail(f"a test that starts this needs @pytest.mark.{marker}")


@contextmanager
def run_command(*command: str, log: Path, environ: dict[str, str], cwd: Path = ROOT) -> Iterator[Command]:
    """The command in a clean environment with these variables; stopped at the end, with all it started."""
    require_marker("server")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=cwd, env={**kept, **environ}, start_new_session=True
        )
        try:
            yield Command(process, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_port_pair() -> int:
    """A port that is free, as is the one after it; below those that the system gives to others meanwhile."""
    while True:
        port = random.randrange(20000, 32000, 2)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def require_program(name: str) -> str:
    """Where it is. Without it the test is left out, or fails where CI runs it."""
    require_marker("external")
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no {name} here")
    return found


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
