"""Run commands of the project as processes, and find ports and programs for them."""

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

ROOT = Path(__file__).parents[2]
FLASK = str(Path(sys.executable).parent / "flask")
DEVELOPMENT_ENVIRON = {"FLASK_SKIP_DOTENV": "1", "FLASK_APP": "dev", "FLASK_RUN_HOST": "localhost"}
"""The environment of `.flaskenv`, without the developer's own `.env`."""


class Command:
    """A running command and its output."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def wait_for(self, url: str, seconds: float = 20) -> requests.Response:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return requests.get(url, timeout=5, allow_redirects=False)
            except requests.ConnectionError:
                time.sleep(0.05)
        raise AssertionError(f"{url} does not answer:\n{self.output}")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(20)


markers: set[str] = set()
"""Markers of the current test; empty outside of tests. conftest.py sets it."""


def require_marker(marker: str) -> None:
    """Fail a test that needs this marker and lacks it: `make test` must run with Python alone."""
    if "PYTEST_CURRENT_TEST" in os.environ and marker not in markers:
        pytest.fail(f"a test that starts this needs @pytest.mark.{marker}")


@contextmanager
def run_command(*command: str, log: Path, environ: dict[str, str], cwd: Path = ROOT) -> Iterator[Command]:
    """Run the command with these variables and PATH, HOME and LANG. At the end, kill it with its child processes."""
    require_marker("server")
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=cwd, env={**inherited, **environ}, start_new_session=True
        )
        try:
            yield Command(process, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_port_pair() -> int:
    """Return a port that is free with the port after it. It is below the range of ephemeral ports."""
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
    """Return the path of this program. Skips the test if it is not installed; in CI the test fails."""
    require_marker("external")
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    return path


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
