"""`flask doctor`: each thing broken in turn is found, said so, and comes with what to do."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, redirect, request

import dev
import doctor
import providers
from dev.stand_ins import create_stand_ins
from doctor import ADVICE, OK, WRONG, Finding
from services.upstream import Answer
from tests.commands import ROOT, free_ports
from tests.site import SECRET, served

Environ = dict[str, str]


@pytest.fixture(scope="module")
def environ() -> Iterator[Environ]:
    """A site for which everything is there: all that the stand-ins stand for."""
    port = free_ports()
    settings = dev.completed({"SECRET_KEY": SECRET}, port)
    with served("127.0.0.1", lambda _: create_stand_ins(settings, port), port + 1):
        yield settings


def findings(environ: Environ, **changed: str) -> dict[tuple[str, str], Finding]:
    return {(one.kind, one.what): one for one in doctor.examine({**environ, **changed})}


def wrong(environ: Environ, **changed: str) -> dict[str, Finding]:
    return {what: one for (kind, what), one in findings(environ, **changed).items() if kind == WRONG}


def test_where_everything_is_right_nothing_is_wrong(environ: Environ) -> None:
    found = findings(environ)
    assert not [one for (kind, _), one in found.items() if kind == WRONG]
    assert {what for kind, what in found if kind == OK} >= {"settings", "shared state"}


@pytest.mark.parametrize("name", providers.names())
def test_each_provider_has_the_address_to_register(environ: Environ, name: str) -> None:
    (found,) = [one for one in doctor.examine(environ) if one.what == name]
    assert found.kind in (OK, ADVICE)
    assert f"{environ['SITE_URL']}/api/auth/callback/{name}" in found.found + found.do


def test_a_secret_that_a_provider_does_not_know_is_found(environ: Environ) -> None:
    found = wrong(environ, GOOGLE_CLIENT_SECRET="another-secret")
    assert list(found) == ["google"]
    assert "invalid_client" in found["google"].found


def test_a_provider_that_is_not_there_is_found(environ: Environ) -> None:
    assert list(wrong(environ, GITHUB_BASE_URL="http://127.0.0.1:9")) == ["github"]


def test_bad_settings_are_all_told_and_nobody_is_asked() -> None:
    found = list(doctor.examine({"SECRET_KEY": "changeme-changeme-changeme-changeme"}))
    assert [one.kind for one in found] == [WRONG] * 3
    assert "changeme" not in str(found)


def test_a_redis_that_is_not_there_is_found_and_its_password_not_told(environ: Environ) -> None:
    found = wrong(environ, STATE_URL="redis://:hunter2@127.0.0.1:9/0")
    assert list(found) == ["shared state"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("EXPOSE_ACCESS_TOKEN", "true"),
        ("SESSION_RECHECK", "0"),
        ("BACKEND_LOGOUT_PATH", ""),
        ("SITE_URL", "http://login.example.com"),
        ("WORKERS", "2"),
    ],
)
def test_what_is_allowed_but_costs_something_is_said(environ: Environ, setting: str, value: str) -> None:
    told = {"WORKERS": "STATE_URL"}.get(setting, setting)
    assert (ADVICE, told) not in findings(environ)
    assert (ADVICE, told) in findings(environ, **{setting: value})


def test_https_without_a_proxy_that_is_counted_is_said(environ: Environ) -> None:
    assert (ADVICE, "PROXY_HOPS") in findings(environ, SITE_URL="https://login.example.com")


# A backend with one thing wrong.


def backend(login: Any = ({"message": "No."}, 401), user: Any = ({"message": "Unauthenticated."}, 401)) -> Flask:
    app = Flask("backend")
    app.add_url_rule("/login", "login", (lambda: login() if callable(login) else login), methods=["POST"])
    app.add_url_rule("/user", "user", (lambda: user() if callable(user) else user), methods=["POST"])
    return app


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"login": ("<h1>Sign in</h1>", 200)}, "lets in somebody who does not exist"),
        ({"login": ({"data": {}}, 200)}, "lets in somebody who does not exist"),
        ({"login": lambda: redirect("/home")}, "page for browsers"),
        ({"login": ("expired", 419)}, "CSRF"),
        ({"login": ("<h1>Not Found</h1>", 404)}, "BACKEND_LOGIN_PATH"),
        ({"login": ({"message": "broken"}, 500)}, "401 or 422"),
        ({"user": ({"data": {"user": {"id": 1}}}, 200)}, "Without a token it must be 401"),
    ],
    ids=["HTML", "anybody", "redirect", "CSRF", "another path", "500", "user for all"],
)
def test_each_fault_of_a_backend_is_told_apart(environ: Environ, broken: Any, told: str) -> None:
    with served("127.0.0.1", lambda _: backend(**broken)) as port:
        found = wrong(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="")
    assert list(found) == ["backend"]
    assert told in found["backend"].do


def test_a_clock_that_is_off_is_found() -> None:
    then = datetime.now(UTC) - timedelta(minutes=5)
    (found,) = doctor._clock(Answer(401, {"Date": format_datetime(then, usegmt=True)}, b"{}"))
    assert re.search("30[01] seconds off", found.found)
    assert not list(doctor._clock(Answer(401, {"Date": format_datetime(datetime.now(UTC), usegmt=True)}, b"{}")))


def test_nothing_that_could_be_a_password_or_a_name_of_a_person_is_sent(environ: Environ) -> None:
    seen: list[Any] = []

    def login() -> Any:
        seen.append(request.get_json())
        return {}, 401

    with served("127.0.0.1", lambda _: backend(login)) as port:
        wrong(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="")
    assert [one["email"] for one in seen] == ["doctor@munjigi.invalid"]


# The command.


def test_the_command_says_it_plainly_in_a_pipe_and_fails_if_anything_is_wrong(tmp_path: Path) -> None:
    flask = (sys.executable, "-m", "flask", "--app", f"{ROOT}/dev", "doctor")
    given = {"SITE_URL": "http://localhost:1", "SECRET_KEY": SECRET, "BACKEND_URL": "http://127.0.0.1:9"}

    def told_by(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*flask, *options], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=60, check=False
        )

    plain = told_by()
    assert plain.returncode == 1
    assert "wrong  backend: http://127.0.0.1:9/login: no connection can be made" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert SECRET not in plain.stdout + plain.stderr
    told = json.loads(told_by("--json").stdout)
    assert {"kind", "what", "found", "do"} == set(told[0])
