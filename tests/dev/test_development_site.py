"""`flask run` in a fresh clone: the site with its stand-ins and no settings."""

import os
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dev.backend import accounts
from tests.support.commands import DEVELOPMENT_ENVIRON, FLASK, ROOT, free_port_pair, is_listening, run_command
from tests.support.site import Visitor

pytestmark = pytest.mark.server


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "output"


def visitor_at(port: int) -> Visitor:
    return Visitor(f"http://localhost:{port}", {})


def test_the_site_and_its_stand_in_start_and_stop_together(log: Path) -> None:
    port = free_port_pair()
    with run_command(FLASK, "run", "--port", str(port), log=log, environ=DEVELOPMENT_ENVIRON) as command:
        command.wait_for(f"http://localhost:{port}/health/live")
        assert f"http://localhost:{port}\n" in command.output
        for account, _ in accounts("laravel"):
            assert account.email in command.output
        visitor = visitor_at(port)
        page = visitor.get_page("/auth/login/email")
        assert all(account.email in page.text for account, _ in accounts("laravel"))
        assert visitor.sign_in().status_code == 303
        assert visitor.submit("/account", {"name": "새봄", "nick_name": ""}).status_code == 303
        assert visitor.get_session()["user"]["name"] == "새봄"
        assert "backend  PATCH  /profile   -> 200" in command.output
        assert "signed_in" in command.output
        visitor.get("/auth/password/reset?token=made-up-code-of-a-mail")
        assert '"GET /auth/password/reset?… HTTP/1.1' in command.output
        assert "made-up-code" not in command.output
        assert "correct-horse" not in command.output.partition("Serving Flask app")[2]
        command.stop()
        assert not is_listening(port)
        assert not is_listening(port + 1)


def test_a_request_to_127_0_0_1_is_redirected_to_localhost(log: Path) -> None:
    port = free_port_pair()
    with run_command(FLASK, "run", "--port", str(port), log=log, environ=DEVELOPMENT_ENVIRON) as command:
        response = command.wait_for(f"http://127.0.0.1:{port}/auth/login/email?callbackUrl=%2Faccount")
        assert response.status_code == 307
        assert response.headers["Location"] == f"http://localhost:{port}/auth/login/email?callbackUrl=%2Faccount"


def test_behind_another_server_the_start_message_names_that_servers_url(log: Path) -> None:
    port = free_port_pair()
    front = "http://localhost:3000"
    environ = {**DEVELOPMENT_ENVIRON, "SITE_URL": front}
    with run_command(FLASK, "run", "--port", str(port), log=log, environ=environ) as command:
        command.wait_for(f"http://localhost:{port}/health/live")
        assert f"Munjigi  ->  {front}\n" in command.output
        assert f"This server listens on port {port}." in command.output
        started = visitor_at(port).submit("/api/auth/signin/google", {"json": "true"}, headers={"Origin": front}).json()
        answer = requests.get(started["url"], timeout=5)
        assert answer.status_code == 200, "the stand-in sends people back there, and nowhere else"
        assert parse_qs(urlsplit(started["url"]).query)["redirect_uri"] == [f"{front}/api/auth/callback/google"]


def test_the_stand_in_survives_a_reload(log: Path) -> None:
    port = free_port_pair()
    with run_command(FLASK, "run", "--debug", "--port", str(port), log=log, environ=DEVELOPMENT_ENVIRON) as command:
        command.wait_for(f"http://localhost:{port}/health/live")
        visitor = visitor_at(port)
        assert visitor.sign_in().status_code == 303
        os.utime(ROOT / "dev" / "__init__.py")
        ends = time.monotonic() + 15
        while "Detected change" not in command.output and time.monotonic() < ends:
            time.sleep(0.1)
        assert "Detected change" in command.output
        time.sleep(0.5)
        command.wait_for(f"http://localhost:{port}/health/live")
        assert visitor.submit("/account", {"name": "아직 나", "nick_name": ""}).status_code == 303
        assert visitor.get_session()["user"]["name"] == "아직 나"
        assert command.output.count("Sign in with one of these") == 1


def test_commands_that_do_not_serve_start_no_stand_in(log: Path) -> None:
    with run_command(FLASK, "routes", log=log, environ=DEVELOPMENT_ENVIRON) as command:
        assert command.process.wait(20) == 0
        assert "/auth/login/email" in command.output
        assert "Sign in with one of these" not in command.output


def test_a_configured_backend_replaces_the_stand_in(log: Path) -> None:
    port = free_port_pair()
    environ = {**DEVELOPMENT_ENVIRON, "BACKEND_URL": "http://127.0.0.1:1"}
    with run_command(FLASK, "run", "--port", str(port), log=log, environ=environ) as command:
        command.wait_for(f"http://localhost:{port}/health/live")
        assert not is_listening(port + 1)
        assert "The backend is http://127.0.0.1:1 (BACKEND=laravel)." in command.output
        assert "This server listens" not in command.output
        visitor = visitor_at(port)
        assert "minji@" not in visitor.get_page("/auth/login/email").text
        assert visitor.sign_in().status_code == 503


def test_a_port_in_use_is_reported_in_one_line(log: Path) -> None:
    port = free_port_pair()
    with run_command(FLASK, "run", "--port", str(port), log=log, environ=DEVELOPMENT_ENVIRON) as first:
        first.wait_for(f"http://localhost:{port}/health/live")
        other = log.with_name("other")
        with run_command(FLASK, "run", "--port", str(port), log=other, environ=DEVELOPMENT_ENVIRON) as second:
            assert second.process.wait(20) != 0
            assert f"Error: the stand-in backend cannot listen on 127.0.0.1:{port + 1}" in second.output
            assert "Traceback" not in second.output


def test_all_invalid_settings_are_named_and_nothing_starts(log: Path) -> None:
    port = free_port_pair()
    environ = {**DEVELOPMENT_ENVIRON, "SESSION_MAX_AGE": "soon", "BRAND_COLOR": "red"}
    with run_command(FLASK, "run", "--port", str(port), log=log, environ=environ) as command:
        assert command.process.wait(20) != 0
        assert "2 settings need attention" in command.output
        assert "Traceback" not in command.output
        assert not is_listening(port)


def test_the_stand_in_backend_answers_a_missing_authorization_header_like_laravel(log: Path) -> None:
    port = free_port_pair()
    with run_command(FLASK, "run", "--port", str(port), log=log, environ=DEVELOPMENT_ENVIRON) as command:
        command.wait_for(f"http://localhost:{port}/health/live")
        backend = f"http://127.0.0.1:{port + 1}"
        assert requests.post(f"{backend}/user", timeout=5).status_code == 401
        assert requests.post(f"{backend}/login", json={}, timeout=5).status_code == 422
        answer = requests.post(f"{backend}/login", json={"email": "minji@example.com", "password": "x"}, timeout=5)
        assert answer.json()["errors"] == {"email": ["These credentials do not match our records."]}


def test_flaskenv_starts_the_development_site() -> None:
    lines = (ROOT / ".flaskenv").read_text("utf-8").splitlines()
    assert {"FLASK_APP=dev", "FLASK_RUN_HOST=localhost", "FLASK_RUN_PORT=8080"} <= set(lines)
