"""`flask doctor`: it finds each fault and says how to fix it."""

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

import config
import dev
import doctor
import providers
from app import create_app
from dev.stand_ins import create_stand_ins
from doctor import redis, settings_check, site, unread_settings
from doctor.finding import ERROR, OK, WARNING, Finding
from services.clock import Clock
from services.http.client import HttpClient
from services.http.response import UpstreamResponse
from services.sessions.cookie import SessionCookie
from tests.support.commands import ROOT, free_port_pair
from tests.support.issuer import Issuer
from tests.support.signing_keys import private_pem, public_pem
from tests.support.site import SECRET, make_settings, running_site, serve_in_thread

Environ = dict[str, str]


@pytest.fixture(scope="module")
def environ() -> Iterator[Environ]:
    """The settings of a site whose backend and providers are with running stand-ins."""
    port = free_port_pair()
    settings = dev.completed({"SECRET_KEY": SECRET}, port)
    with serve_in_thread("127.0.0.1", lambda _: create_stand_ins(settings, port), port + 1):
        yield settings


def findings(environ: Environ, **changes: str) -> dict[tuple[str, str], Finding]:
    results = doctor.check({**environ, **changes}, create_app)
    return {(finding.kind, finding.subject): finding for finding in results}


def errors(environ: Environ, **changes: str) -> dict[str, Finding]:
    return {subject: finding for (kind, subject), finding in findings(environ, **changes).items() if kind == ERROR}


def test_a_site_without_faults_has_no_errors(environ: Environ) -> None:
    results = findings(environ)
    assert ERROR not in {kind for kind, _ in results}
    assert {subject for kind, subject in results if kind == OK} >= {"settings", "redis"}


@pytest.mark.parametrize("name", providers.names())
def test_each_provider_has_the_callback_url_to_register(environ: Environ, name: str) -> None:
    finding = next(finding for finding in doctor.check(environ, create_app) if finding.subject == name)
    assert finding.kind in (OK, WARNING)
    assert f"{environ['SITE_URL']}/api/auth/callback/{name}" in finding.message + finding.fix


def test_a_wrong_client_secret_is_an_error(environ: Environ) -> None:
    results = errors(environ, GOOGLE_CLIENT_SECRET="another-secret")
    assert list(results) == ["google"]
    assert "invalid_client" in results["google"].message


def test_an_unreachable_provider_is_an_error(environ: Environ) -> None:
    assert list(errors(environ, GITHUB_BASE_URL="http://127.0.0.1:9")) == ["github"]


def test_all_invalid_settings_are_listed_and_no_network_call_is_made() -> None:
    results = list(doctor.check({"SECRET_KEY": "changeme-changeme-changeme-changeme"}, create_app))
    assert [finding.kind for finding in results] == [ERROR] * 3
    assert "changeme" not in str(results)


def test_an_unreachable_redis_is_an_error_and_its_password_is_not_shown(environ: Environ) -> None:
    results = errors(environ, REDIS_URL="redis://:hunter2@127.0.0.1:9/0")
    assert list(results) == ["redis"]
    assert "hunter2" not in str(results)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("EXPOSE_ACCESS_TOKEN", "true"),
        ("SESSION_REVALIDATE", "0"),
        ("BACKEND_LOGOUT_PATH", ""),
        ("SITE_URL", "http://login.example.com"),
        ("WORKERS", "2"),
        ("LOGIN_IDENTIFIER", "username"),
    ],
)
def test_a_valid_setting_that_is_not_recommended_is_a_warning(environ: Environ, setting: str, value: str) -> None:
    subject = {"WORKERS": "REDIS_URL"}.get(setting, setting)
    assert (WARNING, subject) not in findings(environ)
    assert (WARNING, subject) in findings(environ, **{setting: value})


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("SESSION_REVALIDAT", "Is it SESSION_REVALIDATE?"),
        ("LOGIN_LIMITS_PER_IP", "Is it LOGIN_LIMIT_PER_IP?"),
        ("SITE_NAME_FILE", "Set SITE_NAME itself."),
        ("GITHUB_AUTO_LOGIN", "Remove it."),
    ],
)
def test_a_variable_that_looks_like_a_setting_but_has_no_effect_is_a_warning(name: str, fix: str) -> None:
    finding = next(each for each in unread(**{name: "a-value-of-theirs"}) if each.subject == name)
    assert (finding.kind, finding.fix) == ("warning", fix)
    assert "a-value-of-theirs" not in finding.message


def test_variables_of_other_programs_are_no_warning() -> None:
    names = "LANGUAGE PATH SESSION_MANAGER GITHUB_ACTIONS GITHUB_TOKEN GOOGLE_APPLICATION_CREDENTIALS KAKAO_CLIENT_ID"
    more = "SECRET_KEY_BASE BACKEND_CLIENT_SECRET OTEL_SERVICE_NAME HTTP_PROXY NO_PROXY NEXTAUTH_URL REDIS_HOST"
    assert unread(**dict.fromkeys(f"{names} {more}".split(), "x")) == []


def unread(**variables: str) -> list[Finding]:
    github = {"PROVIDERS": "github", "GITHUB_CLIENT_ID": "an-id", "GITHUB_CLIENT_SECRET": "a-secret"}
    required = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
    recorded = unread_settings.RecordedEnviron(required | github | variables)
    settings = config.load(recorded)
    return list(unread_settings.check(recorded, recorded.names_read, settings))


def test_in_place_of_an_exposed_token_the_proxy_is_recommended(environ: Environ) -> None:
    finding = findings(environ, EXPOSE_ACCESS_TOKEN="true")[WARNING, "EXPOSE_ACCESS_TOKEN"]
    assert "FORWARD_ACCESS_TOKEN" in finding.fix


@pytest.mark.parametrize(("backend", "is_told"), [("spring", True), ("laravel", False)])
def test_several_processes_without_redis_may_send_one_refresh_token(backend: str, is_told: bool) -> None:
    """The production server writes this warning at its start."""
    settings = make_settings(workers=2, backend=backend, backend_profile_path=None)
    (warning,) = [each for each in settings_check.check(settings) if each.subject == "REDIS_URL"]
    assert ("refresh token" in warning.message) is is_told
    (finding,) = redis.check(settings)
    assert (finding.kind, finding.subject) == (ERROR if is_told else OK, "redis")


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("laravel", "BACKEND_LOGOUT_PATH", "/logout"),
        ("nestjs", "BACKEND_LOGOUT_PATH", "/logout"),
        ("djoser", "BACKEND_LOGOUT", "POST /logout"),
        ("pocketbase", "BACKEND_LOGOUT", "POST /logout"),
    ],
)
def test_the_setting_for_a_logout_that_is_missing_can_be_set(name: str, setting: str, value: str) -> None:
    """With djoser, whose file has no such call, a path alone would be refused at the start."""
    url = {"SITE_URL": "http://localhost:8080", "SECRET_KEY": SECRET, "BACKEND_URL": "http://127.0.0.1:9"}
    settings = {**url, "BACKEND": name}
    assert {subject for _, subject in findings(settings) if "LOGOUT" in subject} == {setting}
    after = findings(settings, **{setting: value})
    assert not {subject for kind, subject in after if "LOGOUT" in subject or (kind, subject) == (ERROR, "settings")}


def test_https_without_proxy_hops_is_a_warning(environ: Environ) -> None:
    assert (WARNING, "PROXY_HOPS") in findings(environ, SITE_URL="https://login.example.com")


# --- Backends with one fault.


def backend(login: Any = ({"message": "No."}, 401), user: Any = ({"message": "Unauthenticated."}, 401)) -> Flask:
    app = Flask("backend")
    app.add_url_rule("/login", "login", (lambda: login() if callable(login) else login), methods=["POST"])
    app.add_url_rule("/user", "user", (lambda: user() if callable(user) else user), methods=["POST"])
    return app


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        ({"login": ("<h1>Sign in</h1>", 200)}, "accepts unknown credentials"),
        ({"login": ({"data": {}}, 200)}, "accepts unknown credentials"),
        ({"login": lambda: redirect("/home")}, "The path is for browsers"),
        ({"login": ("expired", 419)}, "CSRF"),
        ({"login": ("<h1>Not Found</h1>", 404)}, "BACKEND_LOGIN_PATH"),
        ({"login": ({"message": "broken"}, 500)}, "401 or 422"),
        ({"user": ({"data": {"user": {"id": 1}}}, 200)}, "Answer 401 without a valid token"),
        ({"login": ("<h1>Authorization Required</h1>", 401)}, "A proxy or firewall"),
        ({"user": ("<h1>Authorization Required</h1>", 401)}, "A proxy or firewall"),
        ({"login": ("<h1>Just a moment</h1>", 403, {"cf-mitigated": "challenge"})}, "bot protection"),
        ({"user": ({}, 401, {"cf-mitigated": "challenge"})}, "bot protection"),
    ],
    ids=[
        "HTML",
        "any credentials",
        "redirect",
        "CSRF",
        "another path",
        "500",
        "user without a token",
        "401 as a page",
        "401 as a page for the user",
        "challenge",
        "challenge for the user",
    ],
)
def test_each_fault_of_a_backend_has_its_own_fix(environ: Environ, fault: Any, fix: str) -> None:
    with serve_in_thread("127.0.0.1", lambda _: backend(**fault)) as port:
        results = errors(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="")
    assert list(results) == ["backend"]
    assert fix in results["backend"].fix


@pytest.mark.parametrize(("status", "kind"), [(400, OK), (401, OK), (403, OK), (404, WARNING), (500, WARNING)])
def test_a_refresh_that_is_not_clearly_refused_is_a_warning(environ: Environ, status: int, kind: str) -> None:
    app = backend()
    app.add_url_rule("/refresh", "refresh", lambda: ({}, status), methods=["POST"])
    refresh = {"BACKEND_REFRESH": "POST /refresh", "BACKEND_REFRESH_TOKEN": "refresh"}
    with serve_in_thread("127.0.0.1", lambda _: app) as port:
        settings = {**environ, **refresh, "BACKEND_REFRESH_SEND": "json:refresh", "PROVIDERS": ""}
        results = list(doctor.check({**settings, "BACKEND_URL": f"http://127.0.0.1:{port}"}, create_app))
    (finding,) = [result for result in results if "to an unknown refresh token" in result.message]
    assert ("BACKEND_REFRESH=none" in finding.fix) is (status == 404)
    assert (finding.subject, finding.kind) == ("backend", kind)
    assert f"answers {status}" in finding.message


def test_several_processes_that_refresh_tokens_without_redis_are_an_error(environ: Environ) -> None:
    refresh = {"BACKEND_REFRESH": "POST /refresh", "BACKEND_REFRESH_TOKEN": "refresh", "WORKERS": "2"}
    results = errors(environ, **refresh, BACKEND_REFRESH_SEND="json:refresh", REDIS_URL="")
    assert "REDIS_URL" in results["redis"].fix
    assert "redis" not in errors(
        environ, **{**refresh, "WORKERS": "1"}, BACKEND_REFRESH_SEND="json:refresh", REDIS_URL=""
    )


@pytest.mark.parametrize("login", [("", 401), ("Unauthorized", 401)])
def test_a_401_without_json_is_accepted(environ: Environ, login: Any) -> None:
    with serve_in_thread("127.0.0.1", lambda _: backend(login=login)) as port:
        assert errors(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="") == {}


@pytest.mark.parametrize("login", [("Bad credentials", 400), ("", 403)])
def test_a_refusal_of_spring_without_json_is_accepted(login: Any) -> None:
    calls = {"BACKEND_LOGIN_PATH": "/login", "BACKEND_USER": "POST /user", "BACKEND_REFRESH": "none"}
    settings = {"SITE_URL": "http://localhost:8080", "SECRET_KEY": SECRET, **calls}
    with serve_in_thread("127.0.0.1", lambda _: backend(login=login)) as port:
        url = f"http://127.0.0.1:{port}"
        assert "backend" not in errors(settings, BACKEND_URL=url, BACKEND="spring")
        assert "backend" in errors(settings, BACKEND_URL=url, BACKEND="nestjs")


def test_a_clock_that_differs_from_the_backends_is_an_error() -> None:
    def response(time: datetime) -> UpstreamResponse:
        return UpstreamResponse(401, {"Date": format_datetime(time, usegmt=True)}, b"{}")

    now = datetime.now(UTC)
    (finding,) = doctor.backend._check_clock(response(now - timedelta(minutes=5)))
    assert re.search("by 30[01] seconds", finding.message)
    assert not list(doctor.backend._check_clock(response(now)))


def test_a_user_name_in_a_field_of_its_own_is_no_warning(environ: Environ) -> None:
    body = "username={identifier} password={password}"
    results = findings(environ, LOGIN_IDENTIFIER="username", BACKEND_LOGIN_BODY=body)
    assert (WARNING, "LOGIN_IDENTIFIER") not in results


@pytest.mark.parametrize(("kind", "identifier"), [("username", "munjigi-doctor"), ("phone", "+99900000000")])
def test_the_backend_receives_an_unknown_identifier_of_the_kind_that_it_expects(
    environ: Environ, kind: str, identifier: str
) -> None:
    bodies: list[Any] = []

    def login() -> Any:
        bodies.append(request.get_json())
        return {}, 401

    with serve_in_thread("127.0.0.1", lambda _: backend(login)) as port:
        findings(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="", LOGIN_IDENTIFIER=kind)
    assert bodies[0]["email"] == identifier


def test_the_backend_receives_no_email_address_that_could_exist(environ: Environ) -> None:
    bodies: list[Any] = []

    def login() -> Any:
        bodies.append(request.get_json())
        return {}, 401

    with serve_in_thread("127.0.0.1", lambda _: backend(login)) as port:
        errors(environ, BACKEND_URL=f"http://127.0.0.1:{port}", PROVIDERS="")
    assert [body["email"] for body in bodies] == ["doctor@munjigi.invalid"]


# The site at its public URL.


def site_findings(site_url: str, **settings: str) -> list[tuple[str, str]]:
    client = HttpClient("doctor", max_concurrency=1)
    results = site.check(make_settings(site_url=site_url, **settings), client, cookie_names(site_url))
    return [(finding.kind, finding.message + finding.fix) for finding in results]


def cookie_names(site_url: str) -> tuple[str, str]:
    site_settings = make_settings(site_url=site_url)
    app = create_app(site_settings)
    return SessionCookie(site_settings, Clock()).name, app.config["SESSION_COOKIE_NAME"]


@pytest.mark.parametrize(
    ("site_url", "session", "visitor"),
    [
        ("http://localhost:1", "next-auth.session-token", "munjigi.visitor"),
        ("https://login.example.com", "__Secure-next-auth.session-token", "__Host-munjigi.visitor"),
        ("https://example.com/login", "__Secure-next-auth.session-token", "__Secure-munjigi.visitor"),
    ],
)
def test_the_names_of_the_cookies_are_shown(environ: Environ, site_url: str, session: str, visitor: str) -> None:
    message = findings(environ, SITE_URL=site_url)[OK, "settings"].message
    assert message.endswith(f"cookies {session} and {visitor}")


def test_a_running_site_is_checked_at_its_public_url() -> None:
    with running_site(path="/login-site") as running:
        results = site_findings(running.url)
    assert [kind for kind, _ in results] == [OK, OK, OK]
    assert "munjigi.visitor arrives unchanged" in results[0][1]
    assert "accepts forms of the origin http://localhost" in results[1][1]
    assert "accepts a session of 3 cookies" in results[2][1]


def test_a_site_that_is_not_running_is_a_warning() -> None:
    ((kind, text),) = site_findings("http://127.0.0.1:9")
    assert (kind, "no connection can be made" in text) == (WARNING, True)


def test_a_forwarded_access_token_that_browsers_can_read_is_an_error() -> None:
    with running_site() as running:
        results = site_findings(running.url, forward_access_token="true")
    assert [kind for kind, _ in results] == [OK, OK, OK, ERROR]
    assert "answer 404 there" in results[3][1]
    with serve_in_thread("127.0.0.1", lambda _: front()) as port:
        results = site_findings(f"http://127.0.0.1:{port}", forward_access_token="true")
    assert results[-1] == (OK, "browsers do not reach /auth/verify")


def test_the_public_keys_of_assertions_are_checked_at_the_public_url() -> None:
    with running_site(assertion_private_key=private_pem()) as running:
        good = site_findings(running.url, assertion_private_key=private_pem())
        stale = site_findings(running.url, assertion_private_key=private_pem("new"))
        rotating = site_findings(running.url, assertion_private_key=private_pem() + public_pem("new"))
    assert [results[-1][0] for results in (good, stale, rotating)] == [OK, ERROR, OK]
    assert "Restart it" in stale[-1][1]
    assert "PRIVATE KEY-----" not in str((good, stale, rotating))
    with serve_in_thread("127.0.0.1", lambda _: front()) as port:
        hidden = site_findings(f"http://127.0.0.1:{port}", assertion_private_key=private_pem())
    assert (hidden[-1][0], "answers 404 without keys" in hidden[-1][1]) == (WARNING, True)


LIVE, SECURE = ({"status": "ok"}, 200), "__Host-munjigi.visitor=x; Secure; HttpOnly; Path=/"


def front(
    live: Any = LIVE,
    cookie: str | None = "munjigi.visitor=x; Path=/",
    max_cookie_bytes: int = 99_999,
    origin: str | None = None,
    referrer_policy: str = "same-origin",
) -> Flask:
    """A server at the public URL of the site, with one fault."""
    app = Flask("front")

    @app.get("/health/live")
    def health_live() -> Any:
        response = live() if callable(live) else live
        return response if len(request.headers.get("Cookie", "")) <= max_cookie_bytes else ("too large", 400)

    @app.get("/api/auth/csrf")
    def csrf() -> Any:
        return {"csrfToken": "x"}, 200, {"Set-Cookie": cookie} if cookie else {}

    @app.get("/auth/login/email")
    def sign_in_page() -> Any:
        return "", 200, {"Referrer-Policy": referrer_policy}

    @app.post("/auth/login/email")
    def sign_in() -> Any:
        is_wrong = (origin or request.headers["Origin"]) + "/" != request.host_url
        return {"error": "OriginMismatch" if is_wrong else "CookiesBlocked"}, 400

    return app


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"live": ("<h1>It works!</h1>", 200)}, "answers 200, but not from this site"),
        ({"live": ("Bad Gateway", 502)}, "answers 502, but not from this site"),
        ({"live": lambda: redirect("https://login.example.com/")}, "set SITE_URL to the https URL"),
        ({"cookie": None}, "removes Set-Cookie"),
        ({"cookie": SECURE}, "is __Host-munjigi.visitor, not munjigi.visitor"),
        ({"cookie": "munjigi.visitor=x; Domain=example.com; Path=/"}, "with a Domain"),
        ({"max_cookie_bytes": 8192}, "answers 400 to a session of 3 cookies"),
        ({"origin": "http://internal:8000"}, "refuses forms of the origin http://127.0.0.1"),
    ],
    ids=[
        "another page",
        "proxy alone",
        "http for https",
        "no cookie",
        "another prefix",
        "a domain",
        "small headers",
        "another origin",
    ],
)
def test_each_fault_in_front_of_the_site_has_its_own_message(fault: Any, text: str) -> None:
    with serve_in_thread("127.0.0.1", lambda _: front(**fault)) as port:
        results = site_findings(f"http://127.0.0.1:{port}")
    ((_, error),) = [result for result in results if result[0] == ERROR]
    assert text in error


def test_a_proxy_that_makes_browsers_hide_the_origin_is_a_warning() -> None:
    with serve_in_thread("127.0.0.1", lambda _: front(referrer_policy="same-origin, no-referrer")) as port:
        results = site_findings(f"http://127.0.0.1:{port}")
    ((_, warning),) = [result for result in results if result[0] == WARNING]
    assert "Referrer-Policy: no-referrer" in warning


@pytest.mark.parametrize(("cookie", "kind"), [(SECURE, OK), (SECURE.replace("Secure; ", ""), ERROR)])
def test_behind_tls_a_cookie_must_keep_the_secure_attribute(cookie: str, kind: str) -> None:
    response = UpstreamResponse(200, {"Set-Cookie": cookie}, b"{}")
    site_settings = make_settings(site_url="https://login.example.com")
    assert site._check_cookie(site_settings, response, "__Host-munjigi.visitor").kind == kind


# --- The command


@pytest.mark.server
def test_the_command_prints_plain_text_to_a_pipe_and_exits_with_1_if_there_is_an_error(tmp_path: Path) -> None:
    flask = (sys.executable, "-m", "flask", "--app", f"{ROOT}/app", "doctor")
    environ = {"SITE_URL": "http://localhost:1", "SECRET_KEY": SECRET, "BACKEND_URL": "http://127.0.0.1:9"}
    environ["PYTHONPATH"] = str(ROOT)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    result = run(*flask)
    assert result.returncode == 1
    assert "error   backend: http://127.0.0.1:9/login: no connection can be made" in result.stdout
    assert "\x1b" not in result.stdout
    assert SECRET not in result.stdout + result.stderr
    as_json = json.loads(run(*flask, "--json").stdout)
    assert {"kind", "subject", "message", "fix"} == set(as_json[0])
    python_m = run(sys.executable, "-m", "doctor", "--json")
    assert (python_m.returncode, json.loads(python_m.stdout)) == (1, as_json)


def messages(environ: Environ, subject: str, **changes: str) -> list[str]:
    results = doctor.check({**environ, **changes}, create_app)
    return [f"{finding.kind}: {finding.message}" for finding in results if finding.subject == subject]


def test_a_provider_where_sign_outs_go_on_has_the_address_to_register(environ: Environ) -> None:
    back = f"register the logout URI {environ['SITE_URL']}/auth/logout/done"
    for name, path in {"oidc": "/oidc/logout", "kakao": "/kakao/oauth/logout"}.items():
        (message,) = [text for text in messages(environ, name, **{f"{name.upper()}_LOGOUT": "true"}) if "signs" in text]
        assert message.startswith("ok: signs people out at http://127.0.0.1:")
        assert message.endswith(f"{path}; {back}")


def test_an_issuer_with_back_channel_logout_has_the_address_to_register(environ: Environ) -> None:
    issuer = Issuer()
    try:
        issuer.metadata = {"backchannel_logout_supported": True}
        expected = f"register the back-channel logout URI {environ['SITE_URL']}/api/auth/backchannel-logout/oidc"
        assert expected in messages(environ, "oidc", OIDC_ISSUER=issuer.url)[-1]
        named = {"PROVIDERS": "oidc:staff", "STAFF_ISSUER": issuer.url, "STAFF_CLIENT_ID": "munjigi"}
        address = f"register the back-channel logout URI {environ['SITE_URL']}/api/auth/backchannel-logout/staff"
        assert address in messages(environ, "staff", **named)[-1]
        wrong = messages(environ, "oidc", OIDC_ISSUER=issuer.url, OIDC_LOGOUT="true")[-1]
        assert wrong == "error: OIDC_LOGOUT is set, but its metadata has no end_session_endpoint"
    finally:
        issuer.stop_listening()
        issuer.close_connections()


def test_a_provider_that_sends_notifications_has_the_address_to_register(environ: Environ) -> None:
    address = f"{environ['SITE_URL']}/api/auth/notifications/apple"
    assert any(
        text.startswith("ok: ") and text.endswith(f"register the notification endpoint {address}")
        for text in messages(environ, "apple")
    )
    assert not any("notification endpoint" in text for text in messages(environ, "google"))


def test_events_that_anybody_could_send_to_the_backend_are_warned_of(environ: Environ) -> None:
    subject, path = "BACKEND_PROVIDER_EVENT_PATH", {"BACKEND_PROVIDER_EVENT_PATH": "/provider-events"}
    (message,) = messages(environ, subject, **path)
    assert message.startswith("warning: is set without BACKEND_EVENTS_TOKEN")
    token = "the-Backend-tells-with-this-one-only"
    assert messages(environ, subject, **path, BACKEND_EVENTS_TOKEN=token) == []
    assert messages(environ, subject, **path, BACKEND_HEADERS="X-Key=abc") == []


def test_the_address_where_the_backend_ends_sessions_is_told(environ: Environ) -> None:
    token = "the-Backend-tells-with-this-one-only"
    (message,) = messages(environ, "BACKEND_EVENTS_TOKEN", BACKEND_EVENTS_TOKEN=token)
    assert message == f"ok: the backend can end sessions at {environ['SITE_URL']}/api/auth/sessions/revoke"
