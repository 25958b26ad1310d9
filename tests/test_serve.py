"""`make serve`: the production server with a settings file and a backend."""

import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

import serve
from tests.support.commands import ROOT, Command, free_port_pair, is_listening, run_command
from tests.support.production import SERVE_COMMAND, production_server
from tests.support.redis_server import redis_server
from tests.support.site import make_settings

pytestmark = pytest.mark.server

OPERATIONS = ROOT / "docs" / "operations.md"
PATIENT = """
import serve
from server import http_protocol

http_protocol.SHUTDOWN_IDLE_SECONDS = 20

if __name__ == "__main__":
    serve.main()
"""


def test_a_person_signs_in_and_each_event_is_one_log_line(tmp_path: Path) -> None:
    with production_server(tmp_path, LOG_FORMAT="json") as (command, visitor):
        assert visitor.sign_in(password="wrong").status_code == 401
        assert visitor.sign_in().status_code == 303
        assert visitor.get_page("/").heading == "Signed in as 민지"
        visitor.submit("/auth/logout", {})
        assert command.stop() == 0
        for event in ('"event": "sign_in_failed"', '"event": "signed_in"', '"event": "signed_out"'):
            assert command.output.count(event) == 1
        for secret in ("correct-horse", "wrong", "minji", "eyJ"):
            assert secret not in command.output


def test_the_signal_receiver_of_the_docs_works(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", OPERATIONS.read_text("utf-8"), re.DOTALL)
    (example,) = (example for example in examples if "slowed down" in example)
    script = tmp_path / "alarm.py"
    script.write_text(example)
    with production_server(tmp_path, script=script, LOGIN_LIMIT_PER_ACCOUNT_AND_IP="1/hour") as (command, visitor):
        assert [visitor.sign_in(password="wrong").status_code for _ in range(2)] == [401, 429]
        assert command.stop() == 0
        assert command.output.count("slowed down: account 127.0.0.1") == 1
        assert "Traceback" not in command.output


def test_all_invalid_settings_are_named_and_the_server_does_not_start(tmp_path: Path) -> None:
    port = free_port_pair()
    wrong = {
        "SITE_URL": "login.example.com",
        "SECRET_KEY": "changeme",
        "BACKEND_URL": "",
        "SESSION_MAX_AGE": "soon",
        "BACKEND_CONCURRENCY": "0",
        "PORT": str(port),
    }
    with run_command(*SERVE_COMMAND, log=tmp_path / "output", cwd=tmp_path, environ=wrong) as command:
        assert command.process.wait(20) == 1
        assert "5 settings need attention" in command.output
        assert all(name in command.output for name in wrong if name != "PORT")
        assert "changeme" not in command.output
        assert "Traceback" not in command.output
        assert not is_listening(port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_shutdown_waits_for_the_sign_in_in_progress(tmp_path: Path, number: int) -> None:
    with production_server(tmp_path, backend_delay=0.7) as (command, visitor):
        token = visitor.csrf_token()
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
        assert not is_listening(int(visitor.url.rpartition(":")[2]))


def test_during_the_shutdown_delay_the_server_is_not_ready_and_still_serves(tmp_path: Path) -> None:
    with production_server(tmp_path, SHUTDOWN_DELAY="1") as (command, visitor):
        assert visitor.get("/health/ready").status_code == 200
        command.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert visitor.get("/health/ready").status_code == 503
        assert visitor.get("/health/live").status_code == 200
        assert visitor.sign_in().status_code == 303
        assert command.process.wait(10) == 0


def answer_to(request: bytes, connection: socket.socket) -> bytes:
    """Send a request whose answer is a JSON object, and return the answer."""
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"}\n") and (data := connection.recv(65536)):
        answer += data
    return answer


def test_a_request_that_arrives_as_the_server_stops_is_answered(tmp_path: Path) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    script = tmp_path / "patient.py"
    script.write_text(PATIENT)
    with production_server(tmp_path, script=script) as (command, visitor):
        port = int(visitor.url.rpartition(":")[2])
        with (
            socket.create_connection(("localhost", port), 10) as new,
            socket.create_connection(("localhost", port), 10) as used,
        ):
            assert answer_to(request, used).startswith(b"HTTP/1.1 200")
            command.process.send_signal(signal.SIGTERM)
            while is_listening(port):
                time.sleep(0.01)
            for connection in (new, used):
                answer = answer_to(request, connection)
                assert answer.startswith(b"HTTP/1.1 200")
                assert b"connection: close" in answer
        assert command.process.wait(30) == 0


def test_workers_that_die_are_replaced(tmp_path: Path) -> None:
    with production_server(tmp_path, WORKERS="2") as (command, visitor):
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


def test_a_session_of_three_cookies_passes_the_header_limit(tmp_path: Path) -> None:
    with production_server(tmp_path) as (_, visitor):
        cookies = "; ".join(f"next-auth.session-token.{n}={'x' * 3933}" for n in range(3)) + f"; other={'y' * 4000}"
        response = requests.get(f"{visitor.url}/api/auth/session", headers={"Cookie": cookies}, timeout=5)
        assert (response.status_code, response.json()) == (200, {})


def test_plain_http_for_another_host_logs_a_warning(tmp_path: Path) -> None:
    with production_server(tmp_path, SITE_URL="http://login.example.com") as (command, _):
        assert "passwords and sessions are sent unencrypted" in command.output


def test_behind_two_proxies_the_log_has_the_visitors_address(tmp_path: Path) -> None:
    with production_server(tmp_path, PROXY_HOPS="2", LOG_FORMAT="json") as (command, visitor):
        visitor.headers["X-Forwarded-For"] = "6.6.6.6, 203.0.113.9, 10.0.0.2"
        visitor.sign_in()
        assert command.stop() == 0
        assert '"address": "203.0.113.9"' in command.output


@pytest.mark.external
def test_two_workers_with_redis_share_limits_and_revocations(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as server,
        production_server(tmp_path, WORKERS="2", REDIS_URL=server.url, LOGIN_LIMIT_PER_ACCOUNT_AND_IP="5/minute") as (
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
        fields = {"csrfToken": visitor.csrf_token(), "email": "minji@example.com", "password": "wrong"}
        stranger = {"Cookie": f"munjigi.visitor={visitor.cookies['munjigi.visitor']}"}
        form = f"{visitor.url}/auth/login/email"
        with ThreadPoolExecutor(40) as crowd:
            guesses = [crowd.submit(requests.post, form, fields, headers=stranger, timeout=20) for _ in range(40)]
        assert "unavailable" not in command.output
        assert sorted(guess.result().status_code for guess in guesses) == [401] * 5 + [429] * 35
        assert "REDIS_URL is not set" not in command.output


def _sessions(url: str, token: str) -> list[bool]:
    """Return whether this cookie is a session, over so many new connections that both workers have answered."""
    headers = {"Cookie": f"next-auth.session-token={token}", "Connection": "close"}
    address = f"{url}/api/auth/session"
    with ThreadPoolExecutor(10) as crowd:
        return list(crowd.map(lambda _: bool(requests.get(address, headers=headers, timeout=5).json()), range(60)))


def test_several_workers_without_redis_log_a_warning(tmp_path: Path) -> None:
    with production_server(tmp_path, WORKERS="2") as (command, _):
        assert "REDIS_URL is not set, but WORKERS is greater than 1" in command.output


def test_the_default_number_of_workers_is_one_without_redis_and_one_per_core_with_it() -> None:
    redis = "redis://127.0.0.1:6379/0"
    assert serve.workers(make_settings()) == 1
    assert serve.workers(make_settings(redis_url=redis)) == os.cpu_count()
    assert serve.workers(make_settings(redis_url=redis, workers=3)) == 3
