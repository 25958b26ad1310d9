"""`make serve`: the production server, from a settings file, in front of a backend."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

import serve
from dev.backend import create_backend
from tests.commands import ROOT, Command, free_ports, listens, running
from tests.redis_server import redis_server
from tests.site import SECRET, Visitor, served, settings

pytestmark = pytest.mark.server

SERVE = (sys.executable, str(ROOT / "serve.py"))
OPERATIONS = ROOT / "docs" / "operations.md"


@contextmanager
def serving(
    folder: Path, backend_delay: float = 0.0, script: Path = ROOT / "serve.py", **given: str
) -> Iterator[tuple[Command, Visitor]]:
    """The server, started in a folder with an `.env` of these settings, by itself or by a script of the operator's."""
    port = free_ports()
    with served("127.0.0.1", lambda _: create_backend(backend_delay)) as backend_port:
        lines = {
            "SITE_URL": f"http://localhost:{port}",
            "SECRET_KEY": SECRET,
            "BACKEND_URL": f"http://127.0.0.1:{backend_port}",
            "PORT": str(port),
            **given,
        }
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        environ, start = {"PYTHONPATH": str(ROOT)}, (sys.executable, str(script))
        with running(*start, log=folder / "output", cwd=folder, environ=environ) as command:
            command.wait_for(f"http://localhost:{port}/health/ready")
            yield command, Visitor(f"http://localhost:{port}", {})


def test_a_person_signs_in_at_the_production_server_and_one_line_tells_of_it(tmp_path: Path) -> None:
    with serving(tmp_path, LOG_FORMAT="json") as (command, visitor):
        assert visitor.sign_in(password="wrong").status_code == 401
        assert visitor.sign_in().status_code == 303
        assert visitor.page("/").heading == "Signed in as 민지"
        visitor.submit("/auth/logout", {})
        assert command.stop() == 0
        for event in ('"event": "sign_in_failed"', '"event": "signed_in"', '"event": "signed_out"'):
            assert command.output.count(event) == 1
        for secret in ("correct-horse", "wrong", "minji", "eyJ"):
            assert secret not in command.output


def test_an_operators_own_receiver_is_told_as_the_docs_have_it(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", OPERATIONS.read_text("utf-8"), re.DOTALL)
    script = tmp_path / "alarm.py"
    script.write_text(example)
    with serving(tmp_path, script=script, LOGIN_LIMIT_PER_ACCOUNT_AND_IP="1/hour") as (command, visitor):
        assert [visitor.sign_in(password="wrong").status_code for _ in range(2)] == [401, 429]
        assert command.stop() == 0
        assert command.output.count("slowed down: account 127.0.0.1") == 1
        assert "Traceback" not in command.output


def test_five_wrong_settings_are_named_at_once_and_nothing_listens(tmp_path: Path) -> None:
    port = free_ports()
    wrong = {
        "SITE_URL": "login.example.com",
        "SECRET_KEY": "changeme",
        "BACKEND_URL": "",
        "SESSION_MAX_AGE": "soon",
        "BACKEND_CONCURRENCY": "0",
        "PORT": str(port),
    }
    with running(*SERVE, log=tmp_path / "output", cwd=tmp_path, environ=wrong) as command:
        assert command.process.wait(20) == 1
        assert "5 settings need attention" in command.output
        assert all(name in command.output for name in wrong if name != "PORT")
        assert "changeme" not in command.output
        assert "Traceback" not in command.output
        assert not listens(port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_the_sign_in_under_way_finish(tmp_path: Path, number: int) -> None:
    with serving(tmp_path, backend_delay=0.7) as (command, visitor):
        token = visitor.csrf()
        answers: list[int] = []

        def sign_in() -> None:
            fields = {"csrfToken": token, "email": "minji@example.com", "password": "correct-horse"}
            answers.append(visitor.post("/auth/login/email", data=fields).status_code)

        thread = threading.Thread(target=sign_in)
        thread.start()
        time.sleep(0.4)
        assert command.stop(number) == 0
        thread.join()
        assert answers == [303]
        assert not listens(int(visitor.url.rpartition(":")[2]))


def test_before_it_stops_the_server_says_so_to_the_balancer_and_goes_on_serving(tmp_path: Path) -> None:
    with serving(tmp_path, SHUTDOWN_DELAY="1") as (command, visitor):
        assert visitor.get("/health/ready").status_code == 200
        command.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert visitor.get("/health/ready").status_code == 503
        assert visitor.get("/health/live").status_code == 200
        assert visitor.sign_in().status_code == 303
        assert command.process.wait(10) == 0


def test_workers_that_die_are_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, WORKERS="2") as (command, visitor):
        before = _workers_of(command)
        assert len(before) == 2
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        ends = time.monotonic() + 20
        while len(after := _workers_of(command)) < 2 or set(after) & set(before):
            assert time.monotonic() < ends, command.output
            time.sleep(0.1)
        assert command.wait_for(f"{visitor.url}/health/live").status_code == 200
        assert visitor.sign_in().status_code == 303
        assert command.stop() == 0


def _workers_of(command: Command) -> list[int]:
    children = Path(f"/proc/{command.process.pid}/task/{command.process.pid}/children")
    if not children.exists():
        pytest.skip("this system does not tell the children of a process")
    return [int(pid) for pid in children.read_text().split() if "spawn_main" in _line(pid)]


def _line(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_three_chunks_of_a_session_and_more_pass_the_header_limit(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, visitor):
        cookies = "; ".join(f"next-auth.session-token.{n}={'x' * 3933}" for n in range(3)) + f"; other={'y' * 4000}"
        response = requests.get(f"{visitor.url}/api/auth/session", headers={"Cookie": cookies}, timeout=5)
        assert (response.status_code, response.json()) == (200, {})


def test_an_http_site_that_is_not_this_machine_is_warned_of(tmp_path: Path) -> None:
    with serving(tmp_path, SITE_URL="http://login.example.com") as (command, _):
        assert "passwords and sessions are sent unencrypted" in command.output


def test_a_visitor_behind_two_trusted_proxies_is_known_by_their_own_address(tmp_path: Path) -> None:
    with serving(tmp_path, PROXY_HOPS="2", LOG_FORMAT="json") as (command, visitor):
        visitor.headers["X-Forwarded-For"] = "6.6.6.6, 203.0.113.9, 10.0.0.2"
        visitor.sign_in()
        assert command.stop() == 0
        assert '"address": "203.0.113.9"' in command.output


@pytest.mark.external
def test_two_workers_with_redis_share_limits_and_each_sees_what_ended_at_the_other(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as server,
        serving(tmp_path, WORKERS="2", REDIS_URL=server.url, LOGIN_LIMIT_PER_ACCOUNT_AND_IP="5/minute") as (
            command,
            visitor,
        ),
    ):
        assert visitor.sign_in().status_code == 303
        token = visitor.cookies["next-auth.session-token"]
        assert set(_sessions(visitor.url, token)) == {True}
        visitor.submit("/auth/logout", {})
        time.sleep(1)
        assert set(_sessions(visitor.url, token)) == {False}
        fields = {"csrfToken": visitor.csrf(), "email": "minji@example.com", "password": "wrong"}
        stranger = {"Cookie": f"munjigi.visitor={visitor.cookies['munjigi.visitor']}"}
        form = f"{visitor.url}/auth/login/email"
        with ThreadPoolExecutor(40) as crowd:
            guesses = [crowd.submit(requests.post, form, fields, headers=stranger, timeout=20) for _ in range(40)]
        assert "unavailable" not in command.output
        assert sorted(guess.result().status_code for guess in guesses) == [401] * 5 + [429] * 35
        assert "REDIS_URL is not set" not in command.output


def _sessions(url: str, token: str) -> list[bool]:
    """Whether this cookie is somebody's, asked so often over new connections that both workers have been asked."""
    headers = {"Cookie": f"next-auth.session-token={token}", "Connection": "close"}
    address = f"{url}/api/auth/session"
    with ThreadPoolExecutor(10) as crowd:
        return list(crowd.map(lambda _: bool(requests.get(address, headers=headers, timeout=5).json()), range(60)))


def test_several_workers_without_redis_are_warned_of(tmp_path: Path) -> None:
    with serving(tmp_path, WORKERS="2") as (command, _):
        assert "REDIS_URL is not set, but WORKERS is greater than 1" in command.output


def test_there_is_one_worker_without_redis_and_one_a_core_with_it_unless_a_number_is_set() -> None:
    redis = "redis://127.0.0.1:6379/0"
    assert serve.workers(settings()) == 1
    assert serve.workers(settings(redis_url=redis)) == os.cpu_count()
    assert serve.workers(settings(redis_url=redis, workers=3)) == 3
