"""`flask doctor` finds each fault, names it, and says what to do."""

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
from app import create_app
from dev.stand_ins import create_stand_ins
from doctor import site
from doctor.finding import ADVICE, OK, WRONG, Finding
from services.clock import Clock
from services.http.client import HttpClient
from services.http.response import UpstreamResponse
from services.sessions.cookie import SessionCookie
from tests.support.commands import ROOT, free_port_pair
from tests.support.site import SECRET, make_settings, running_site, serve_in_thread

Environ = dict[str, str]


@pytest.fixture(scope="module")
def environ() -> Iterator[Environ]:
    """A complete setup, with stand-ins for every service."""
    port = free_port_pair()
    settings = dev.completed({"SECRET_KEY": SECRET}, port)
    with serve_in_thread("127.0.0.1", lambda _: create_stand_ins(settings, port), port + 1):
        yield settings


def findings(environ: Environ, **changed: str) -> dict[tuple[str, str], Finding]:
    return {(one.kind, one.what): one for one in doctor.examine({**environ, **changed})}


def wrong(environ: Environ, **changed: str) -> dict[str, Finding]:
    return {what: one for (kind, what), one in findings(environ, **changed).items() if kind == WRONG}


def test_a_correct_setup_has_no_errors(environ: Environ) -> None:
    found = findings(environ)
    assert not [one for (kind, _), one in found.items() if kind == WRONG]
    assert {what for kind, what in found if kind == OK} >= {"settings", "shared state"}


@pytest.mark.parametrize("name", providers.names())
def test_each_provider_shows_the_redirect_uri_to_register(environ: Environ, name: str) -> None:
    (found,) = [one for one in doctor.examine(environ) if one.what == name]
    assert found.kind in (OK, ADVICE)
    assert f"{environ['SITE_URL']}/api/auth/callback/{name}" in found.found + found.do


def test_a_wrong_client_secret_is_found(environ: Environ) -> None:
    found = wrong(environ, GOOGLE_CLIENT_SECRET="another-secret")
    assert list(found) == ["google"]
    assert "invalid_client" in found["google"].found


def test_an_unreachable_provider_is_found(environ: Environ) -> None:
    assert list(wrong(environ, GITHUB_BASE_URL="http://127.0.0.1:9")) == ["github"]


def test_all_invalid_settings_are_reported_without_any_network_call() -> None:
    found = list(doctor.examine({"SECRET_KEY": "changeme-changeme-changeme-changeme"}))
    assert [one.kind for one in found] == [WRONG] * 3
    assert "changeme" not in str(found)


def test_an_unreachable_redis_is_found_and_its_password_is_not_shown(environ: Environ) -> None:
    found = wrong(environ, REDIS_URL="redis://:hunter2@127.0.0.1:9/0")
    assert list(found) == ["shared state"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("EXPOSE_ACCESS_TOKEN", "true"),
        ("SESSION_REVALIDATE", "0"),
        ("BACKEND_LOGOUT_PATH", ""),
        ("SITE_URL", "http://login.example.com"),
        ("WORKERS", "2"),
    ],
)
def test_a_risky_setting_gets_a_warning(environ: Environ, setting: str, value: str) -> None:
    told = {"WORKERS": "REDIS_URL"}.get(setting, setting)
    assert (ADVICE, told) not in findings(environ)
    assert (ADVICE, told) in findings(environ, **{setting: value})


def test_https_with_proxy_hops_0_gets_a_warning(environ: Environ) -> None:
    assert (ADVICE, "PROXY_HOPS") in findings(environ, SITE_URL="https://login.example.com")


# --- Backends with one fault


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
def test_each_backend_fault_gets_its_own_advice(environ: Environ, broken: Any, told: str) -> None:
    with serve_in_thread("127.0.0.1", lambda _: backend(**broken)) as port:
        found = wrong(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="")
    assert list(found) == ["backend"]
    assert told in found["backend"].do


def test_a_wrong_clock_is_found() -> None:
    then = datetime.now(UTC) - timedelta(minutes=5)
    (found,) = doctor.backend._clock(UpstreamResponse(401, {"Date": format_datetime(then, usegmt=True)}, b"{}"))
    assert re.search("30[01] seconds off", found.found)
    assert not list(
        doctor.backend._clock(UpstreamResponse(401, {"Date": format_datetime(datetime.now(UTC), usegmt=True)}, b"{}"))
    )


def test_the_doctor_sends_a_made_up_account_only(environ: Environ) -> None:
    seen: list[Any] = []

    def login() -> Any:
        seen.append(request.get_json())
        return {}, 401

    with serve_in_thread("127.0.0.1", lambda _: backend(login)) as port:
        wrong(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="")
    assert [one["email"] for one in seen] == ["doctor@munjigi.invalid"]


# --- The site at its public URL


def site_findings(site_url: str, cookie_site_url: str | None = None) -> list[tuple[str, str]]:
    names = cookie_names(cookie_site_url or site_url)
    given = make_settings(site_url=site_url)
    client = HttpClient("doctor", max_concurrency=1)
    return [(one.kind, one.found + one.do) for one in site.examine(given, client, names)]


def cookie_names(site_url: str) -> tuple[str, str]:
    given = make_settings(site_url=site_url)
    return SessionCookie(given, Clock()).name, create_app(given).config["SESSION_COOKIE_NAME"]


@pytest.mark.parametrize(
    ("site_url", "session", "visitor"),
    [
        ("http://localhost:1", "next-auth.session-token", "munjigi.visitor"),
        ("https://login.example.com", "__Secure-next-auth.session-token", "__Host-munjigi.visitor"),
        ("https://example.com/login", "__Secure-next-auth.session-token", "__Secure-munjigi.visitor"),
    ],
)
def test_the_cookie_names_for_the_site_url_are_shown(
    environ: Environ, site_url: str, session: str, visitor: str
) -> None:
    told = findings(environ, SITE_URL=site_url)[OK, "settings"].found
    assert told.endswith(f"cookies {session} and {visitor}")


def test_a_running_site_is_checked_at_its_public_url() -> None:
    with running_site(path="/login-site") as running:
        told = site_findings(running.url)
    assert [kind for kind, _ in told] == [OK, OK]
    assert "munjigi.visitor arrives" in told[0][1]
    assert "3 cookies passes" in told[1][1]


def test_a_site_that_is_not_running_is_a_warning() -> None:
    ((kind, told),) = site_findings("http://127.0.0.1:9")
    assert (kind, "no connection can be made" in told) == (ADVICE, True)


LIVE, SECURE = ({"status": "ok"}, 200), "__Host-munjigi.visitor=x; Secure; HttpOnly; Path=/"


def front(live: Any = LIVE, cookie: str | None = "munjigi.visitor=x; Path=/", most: int = 99_999) -> Flask:
    """Return an app that answers at the site's URL in place of the site."""
    app = Flask("front")

    @app.get("/health/live")
    def alive() -> Any:
        found = live() if callable(live) else live
        return found if len(request.headers.get("Cookie", "")) <= most else ("too large", 400)

    @app.get("/api/auth/csrf")
    def csrf() -> Any:
        return {"csrfToken": "x"}, 200, {"Set-Cookie": cookie} if cookie else {}

    return app


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"live": ("<h1>It works!</h1>", 200)}, "answered 200, which is not ours"),
        ({"live": ("Bad Gateway", 502)}, "answered 502, which is not ours"),
        ({"live": lambda: redirect("https://login.example.com/")}, "say so in SITE_URL"),
        ({"cookie": None}, "takes Set-Cookie away"),
        ({"cookie": SECURE}, "is __Host-munjigi.visitor, not munjigi.visitor"),
        ({"cookie": "munjigi.visitor=x; Domain=example.com; Path=/"}, "got a Domain"),
        ({"most": 8192}, "3 cookies does not pass: 400"),
    ],
    ids=["another page", "proxy alone", "http for https", "no cookie", "another prefix", "a domain", "small headers"],
)
def test_each_proxy_fault_gets_its_own_message(broken: Any, told: str) -> None:
    with serve_in_thread("127.0.0.1", lambda _: front(**broken)) as port:
        found = site_findings(f"http://127.0.0.1:{port}")
    ((_, text),) = [one for one in found if one[0] == WRONG]
    assert told in text


@pytest.mark.parametrize(("cookie", "kind"), [(SECURE, OK), (SECURE.replace("Secure; ", ""), WRONG)])
def test_behind_tls_a_cookie_must_keep_the_secure_attribute(cookie: str, kind: str) -> None:
    answer = UpstreamResponse(200, {"Set-Cookie": cookie}, b"{}")
    given = make_settings(site_url="https://login.example.com")
    assert site._judge_cookie(given, answer, "__Host-munjigi.visitor").kind == kind


# --- The command


def test_the_command_prints_plain_text_to_a_pipe_and_fails_on_errors(tmp_path: Path) -> None:
    flask = (sys.executable, "-m", "flask", "--app", f"{ROOT}/dev", "doctor")
    given = {"SITE_URL": "http://localhost:1", "SECRET_KEY": SECRET, "BACKEND_URL": "http://127.0.0.1:9"}
    given["PYTHONPATH"] = str(ROOT)

    def told_by(*options: str, by: tuple[str, ...] = flask) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*by, *options], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=60, check=False
        )

    plain = told_by()
    assert plain.returncode == 1
    assert "wrong  backend: http://127.0.0.1:9/login: no connection can be made" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert SECRET not in plain.stdout + plain.stderr
    told = json.loads(told_by("--json").stdout)
    assert {"kind", "what", "found", "do"} == set(told[0])
    alone = told_by("--json", by=(sys.executable, "-m", "doctor"))
    assert (alone.returncode, json.loads(alone.stdout)) == (1, told)
