"""`make serve` and gunicorn with `app:create_app()` behave alike."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from dev.backend import create_backend
from tests.support.commands import ROOT, free_port_pair, run_command
from tests.support.production import production_server
from tests.support.redis_server import redis_server
from tests.support.site import SECRET, Visitor, serve_in_thread

pytestmark = [pytest.mark.server, pytest.mark.external]


@contextmanager
def under_gunicorn(folder: Path, *options: str, **given: str) -> Iterator[Visitor]:
    """Two gunicorn workers, forked after the application was created."""
    port = free_port_pair()
    gunicorn = str(Path(sys.executable).parent / "gunicorn")
    with serve_in_thread("127.0.0.1", lambda _: create_backend(0.0)) as backend_port:
        environ = {
            "SITE_URL": f"http://localhost:{port}",
            "SECRET_KEY": SECRET,
            "BACKEND_URL": f"http://127.0.0.1:{backend_port}",
            "BACKEND_LOGOUT_PATH": "/logout",
            **given,
        }
        command = [gunicorn, "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4", "--preload", *options]
        with run_command(*command, "app:create_app()", log=folder / "output", cwd=ROOT, environ=environ) as started:
            started.wait_for(f"http://localhost:{port}/health/live")
            yield Visitor(f"http://localhost:{port}", {})


def form_of(response: requests.Response) -> str:
    return re.sub(r'value="[^"]{20,}"', 'value=""', response.text)


STEPS: dict[str, Callable[[Visitor], requests.Response]] = {
    "the sign-in page": lambda visitor: visitor.get("/auth/login/email"),
    "nobody's session": lambda visitor: visitor.get("/api/auth/session"),
    "nobody may pass": lambda visitor: visitor.get("/auth/verify"),
    "a form without its token": lambda visitor: visitor.post("/auth/login/email", data={"email": "a@example.com"}),
    "a wrong password": lambda visitor: visitor.sign_in(password="wrong"),
    "nothing typed": lambda visitor: visitor.sign_in(email="", password=""),
    "a sign-in": lambda visitor: visitor.sign_in(),
    "the session": lambda visitor: visitor.get("/api/auth/session"),
    "one may pass": lambda visitor: visitor.get("/auth/verify"),
    "a cookie in another script": lambda visitor: visitor.get("/auth/verify", headers={"X-Other": "\u00e9"}),
    "the account": lambda visitor: visitor.get("/account"),
    "signing out": lambda visitor: visitor.submit("/auth/logout", {}),
    "nobody's session again": lambda visitor: visitor.get("/api/auth/session"),
    "no page": lambda visitor: visitor.get("/nothing"),
    "a body that is too long": lambda visitor: visitor.post("/auth/login/email", data={"a": "x" * 70_000}),
    "another method": lambda visitor: visitor.put("/auth/login/email", data={"a": "b"}),
    "no body": lambda visitor: visitor.head("/auth/login/email"),
}
_OF_THE_SERVER = {"date", "server", "connection", "content-length", "transfer-encoding", "x-request-id"}
"""Headers that differ between requests, or between servers by design."""


def seen(response: requests.Response, url: str) -> tuple[int, dict[str, str], str]:
    """Return the parts of an answer that a visitor sees, without the URL of the site."""
    text = re.sub(r"[0-9a-f]{16}", "<id>", form_of(response)).replace(url, "<site>")
    headers = {name.lower(): value.replace(url, "<site>") for name, value in response.headers.items()}
    headers["set-cookie"] = re.sub(r"=[^;,]*(, [^;,]* GMT)?", "=", headers.get("set-cookie", ""))
    headers["allow"] = ", ".join(sorted(headers.get("allow", "").split(", ")))  # a set, in any order
    kept = {name: value for name, value in headers.items() if name not in _OF_THE_SERVER}
    return response.status_code, kept, re.sub(r'"expires":"[^"]*"', "", text)


def test_both_servers_give_the_same_answers(tmp_path: Path) -> None:
    (tmp_path / "serve").mkdir()
    (tmp_path / "gunicorn").mkdir()
    with (
        production_server(tmp_path / "serve", BACKEND_LOGOUT_PATH="/logout") as (_, ours),
        under_gunicorn(tmp_path / "gunicorn") as theirs,
    ):
        for step, do in STEPS.items():
            assert seen(do(ours), ours.url) == seen(do(theirs), theirs.url), step


def test_forked_workers_follow_the_list_of_revoked_sessions(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, under_gunicorn(tmp_path, REDIS_URL=redis.url) as visitor:
        assert visitor.sign_in().status_code == 303
        cookie = {"Cookie": f"next-auth.session-token={visitor.cookies['next-auth.session-token']}"}

        def sessions() -> set[bool]:
            address, close = f"{visitor.url}/api/auth/session", {"Connection": "close"}
            asked = (requests.get(address, headers={**cookie, **close}, timeout=5) for _ in range(30))
            return {bool(response.json()) for response in asked}

        assert sessions() == {True}
        visitor.submit("/auth/logout", {})
        time.sleep(1)  # until then, other processes may not know it
        assert sessions() == {False}
