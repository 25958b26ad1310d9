"""`flask doctor --sign-in`: it finds out how an unknown backend signs people in, and prints settings that work."""

import contextlib
import copy
import functools
import io
import itertools
import logging
import os
import pty
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dotenv import dotenv_values
from flask import Flask, Response, request

import backends
from app import create_app
from backends.validation import setting_names
from dev import exchanges
from dev.backend import PASSWORD as DEVELOPMENT_PASSWORD
from dev.backend import create_backend
from doctor.command import doctor_command
from tests.support.commands import ROOT
from tests.support.real_backends import running_backend
from tests.support.site import MINJI, running_site, serve_in_thread
from tests.support.unknown_backends import (
    IDENTIFIER,
    NAME,
    PASSWORD,
    USERNAME,
    Accounts,
    Shape,
    codes_backend,
    members_backend,
    shaped_backend,
    unknown_backend,
)


@dataclass(frozen=True)
class Unknown:
    """A backend that no file describes, as its operator sees it."""

    make: Callable[[Accounts], Flask]
    account: str
    field: str
    """The field of the site's form that has the account."""
    path: str = ""


UNKNOWN = {
    "members": Unknown(members_backend, IDENTIFIER, "email", "/svc/v3"),
    "codes": Unknown(codes_backend, USERNAME, "username"),
}
Learned = tuple[Unknown, str, Accounts, Result]


def run_doctor(backend_url: str, account: str, password: str = PASSWORD, *options: str, **environ: str) -> Result:
    """Run the command in a folder without `.env`, with the account on its standard input."""
    variables = {"BACKEND_URL": backend_url, **environ}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        command = doctor_command(create_app)
        return CliRunner().invoke(command, ["--sign-in", *options], f"{account}\n{password}\n", variables)


def settings_in(output: str) -> dict[str, str]:
    """The lines for `.env` that the command has printed."""
    lines = [line for line in output.splitlines() if line.partition("=")[0].replace("_", "").isupper()]
    return {name: value for name, value in dotenv_values(stream=io.StringIO("\n".join(lines))).items() if value}


def settings_work(backend_url: str, output: str, account: str, field: str = "email") -> bool:
    """Whether a site with the printed settings refuses a wrong password, signs in, and knows the name."""
    settings: dict[str, Any] = {name.lower(): value for name, value in settings_in(output).items()}
    with running_site(backend_url, backend_logout_path=None, backend_profile_path=None, **settings) as site:
        visitor = site.new_visitor()
        wrong = visitor.submit("/auth/login/email", {field: account, "password": "wrong-password"})
        right = visitor.submit("/auth/login/email", {field: account, "password": PASSWORD})
        is_signed_in = bool(visitor.is_signed_in) and visitor.get_session()["user"]["name"] == NAME
        return (wrong.status_code, right.status_code, is_signed_in) == (401, 303, True)


@pytest.fixture(scope="module", params=UNKNOWN)
def learned(request: pytest.FixtureRequest) -> Iterator[Learned]:
    """An unknown backend, its URL, its accounts after the command, and what the command printed about it."""
    unknown = UNKNOWN[request.param]
    with unknown_backend(unknown.make) as (url, accounts):
        result = run_doctor(url + unknown.path, unknown.account)
        assert result.exit_code == 0, result.output
        yield unknown, url + unknown.path, copy.deepcopy(accounts), result


def test_few_attempts_are_made_with_the_account(learned: Learned) -> None:
    *_, accounts, _ = learned
    assert accounts.successes == 2
    assert accounts.attempts == 3


def test_the_printed_settings_sign_people_in_at_a_backend_that_nothing_describes(learned: Learned) -> None:
    unknown, url, _, result = learned
    assert settings_work(url, result.output, unknown.account, unknown.field)


def test_no_password_token_or_other_value_is_printed(learned: Learned) -> None:
    *_, accounts, result = learned
    assert len(accounts.issued) > 4
    assert not [value for value in accounts.issued if value in result.output]
    assert "characters" in result.output


def test_the_refresh_of_a_backend_with_a_rotating_token_is_found() -> None:
    with unknown_backend(members_backend) as (url, _):
        result = run_doctor(f"{url}/svc/v3", IDENTIFIER)
    settings = settings_in(result.output)
    assert settings["BACKEND_REFRESH"] == "POST /members/reissue"
    assert settings["BACKEND_REFRESH_SEND"] == "json:refreshJwt"
    assert "it rotates" in result.output
    assert "a second refresh with the same token is refused" in result.output
    assert "the access token is no longer accepted" in result.output


@pytest.mark.corpus
def test_nothing_is_logged_that_the_account_or_the_backend_keeps_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with unknown_backend(members_backend) as (url, accounts):
        run_doctor(f"{url}/svc/v3", IDENTIFIER)
        assert not [value for value in accounts.issued if value in caplog.text]


def test_a_backend_that_uses_values_as_keys_has_them_hidden() -> None:
    def keys_backend(accounts: Accounts) -> Flask:
        app = Flask("keys")

        @app.post("/login")
        def login() -> dict[str, object]:
            token = accounts.issue("tok_canary_abcdefghijklmnop", accounts.access)
            return {"token": token, "sessions": {token: {PASSWORD: 1, IDENTIFIER: 1, "01055512345": 2}}}

        return app

    with unknown_backend(keys_backend) as (url, accounts):
        output = run_doctor(url, IDENTIFIER, PASSWORD, "--login", "POST /login").output
        assert "sessions.<key>" in output or "sessions.[hidden]" in output
        assert not [value for value in (*accounts.issued, IDENTIFIER, "01055512345") if value in output]


def test_a_wrong_password_is_reported_and_sent_only_a_few_times() -> None:
    with unknown_backend(members_backend) as (url, accounts):
        result = run_doctor(f"{url}/svc/v3", IDENTIFIER, "Not-the-pass-phrase")
        assert result.exit_code == 1
        assert "the password is wrong" in result.output
        assert 1 <= accounts.attempts <= 4
        assert "Not-the-pass-phrase" not in result.output


def test_a_password_is_sent_at_most_four_times_to_a_backend_that_explains_nothing() -> None:
    with unknown_backend(functools.partial(shaped_backend, Shape(identifier="konto"))) as (url, accounts):
        result = run_doctor(url, IDENTIFIER)
        assert result.exit_code == 1
        assert accounts.requests_with_account == 4


def test_a_backend_that_its_setting_describes_is_signed_in_to_once() -> None:
    with serve_in_thread("127.0.0.1", lambda _: create_backend()) as port:
        result = run_doctor(f"http://127.0.0.1:{port}", MINJI, DEVELOPMENT_PASSWORD, BACKEND_LOGOUT_PATH="/logout")
    assert result.exit_code == 0, result.output
    assert "The settings fit this backend." in result.output
    assert "data.token.plainTextToken: text, " in result.output
    assert "the access token is no longer accepted" in result.output
    assert not settings_in(result.output)


def test_fields_that_apps_are_to_get_and_the_user_does_not_have_are_reported() -> None:
    with serve_in_thread("127.0.0.1", lambda _: create_backend()) as port:
        result = run_doctor(
            f"http://127.0.0.1:{port}", MINJI, DEVELOPMENT_PASSWORD, USER_CLAIMS="roles nick=nick_name plan"
        )
    assert "USER_CLAIMS: the user has no roles, plan, or it is too large." in result.output
    assert "took the user's id, name, nick_name, email, nick" in result.output


@pytest.mark.parametrize(
    ("account", "wanted"),
    [("nextstep@example.com", "a code (sms, app, recovery)"), ("identity@example.com", "a visit to another page")],
)
def test_an_account_with_a_second_factor_is_no_failure(account: str, wanted: str) -> None:
    with serve_in_thread("127.0.0.1", lambda _: create_backend()) as port:
        url = f"http://127.0.0.1:{port}"
        result = run_doctor(url, account, DEVELOPMENT_PASSWORD, BACKEND_NEXT_STEP_URLS=url)
        refused = run_doctor(url, "identity@example.com", DEVELOPMENT_PASSWORD)
    assert result.exit_code == 0, result.output
    assert f"this account needs a next step: {wanted}" in result.output
    assert "The settings fit this backend, up to the next step" in result.output
    assert refused.exit_code == 1
    assert "Configuration" in refused.output


def test_an_unreachable_backend_is_reported() -> None:
    result = run_doctor("http://127.0.0.1:9", IDENTIFIER)
    assert result.exit_code == 1
    assert "Check BACKEND_URL" in result.output


def test_invalid_settings_are_reported_and_nothing_is_sent() -> None:
    with unknown_backend(codes_backend) as (url, accounts):
        result = run_doctor(url, USERNAME, SESSION_MAX_AGE="soon")
        assert result.exit_code == 1
        assert "SESSION_MAX_AGE" in result.output
        assert accounts.attempts == 0


def test_it_warns_of_a_real_sign_in_before_it_asks_for_the_account() -> None:
    result = run_doctor("http://127.0.0.1:9", "", "")
    assert result.output.startswith("This signs in at the backend with a real account")
    assert result.exit_code == 2


SHAPES = {
    "a Rails-like login with nested fields and the token in Authorization": Shape(
        login="POST /users/sign_in",
        identifier="user.email",
        password="user.password",
        validation="none",
        token_at="header:Authorization",
        unknown_path="json",
        logout="DELETE /users/sign_out",
        user="GET /users/me",
    ),
    "FastAPI with form data, the scheme and 422": Shape(
        login="POST /token",
        identifier="username",
        form=True,
        validation="fastapi",
        token_at="access_token",
        user="GET /users/me",
        logout="",
    ),
    "FastAPI with unusual fields": Shape(
        login="POST /v1/sessions",
        identifier="login_id",
        password="user_pw",
        validation="fastapi",
        token_at="data.session_token",
        user="GET /v1/users/me",
        user_at="data.user",
        logout="DELETE /v1/sessions",
    ),
    "Laravel with device_name and the token as text": Shape(
        login="POST /api/sanctum/token",
        validation="laravel",
        required=("device_name",),
        token_at="body",
        user="GET /api/user",
        unknown_path="json",
    ),
    "Express with HTML for unknown paths and a sentence for missing fields": Shape(
        login="POST /api/v1/auth/signin",
        validation="sentence",
        unknown_path="html",
        user="GET /api/v1/auth/me",
        person=(("_id", "65aa0f"), ("firstName", "Canary"), ("lastName", "Kim"), ("email", IDENTIFIER)),
        wrong=(400, '{"message": "Invalid credentials"}'),
        user_refusal=(403, '{"message": "jwt malformed"}'),
    ),
    "NestJS validation and a single-page app for unknown paths": Shape(
        login="POST /auth/signin",
        validation="nest",
        unknown_path="page",
        token_at="accessToken",
        refresh_at="refreshToken",
        refresh="POST /auth/refresh-token",
        user="GET /auth/profile",
        user_at="data",
        logout="POST /auth/logout",
        logout_works=False,
    ),
    "Spring with an empty 403, and the refresh token in a cookie": Shape(
        login="POST /api/members/login",
        unknown_path="empty403",
        wrong=(401, ""),
        token_at="data.accessToken",
        refresh_at="cookie:refreshToken",
        refresh="POST /api/members/reissue",
        refresh_by="cookie:refreshToken",
        refreshed_at="accessToken",
        user="GET /api/members/me",
        user_at="data",
        user_refusal=(403, ""),
        person=(("memberId", 5512), ("email", IDENTIFIER), ("nickname", "c"), ("name", NAME), ("kakaoId", 7)),
        logout="POST /api/members/logout",
    ),
    "a token scheme of its own": Shape(
        login="POST /rest-auth/login",
        validation="laravel",
        token_at="key",
        send="Authorization: Token {token}",
        user="GET /rest-auth/user",
        person=(("pk", 3), ("username", NAME), ("email", IDENTIFIER)),
        logout="POST /rest-auth/logout",
    ),
    "a session cookie": Shape(
        login="POST /login",
        validation="laravel",
        token_at="cookie:sid_token",
        send="Cookie: sid_token={token}",
        user="GET /account",
        logout="POST /logout",
    ),
    "the user in the answer to the login alone": Shape(
        login="POST /api/login",
        with_user=True,
        user="",
        logout="",
        unknown_path="empty401",
        token_at="result.jwtToken",
        more=(("expiresIn", 3600),),
    ),
    "an API description": Shape(
        login="POST /haus/login-door",
        identifier="wer",
        password="kennwort_password",
        openapi=True,
        user="GET /haus/account",
        logout="",
    ),
    "an account of the company beside the person": Shape(
        login="POST /api/v1/member/signIn",
        user="GET /api/v1/member/my-info",
        others=(("/api/v1/member/account", (("id", 1), ("name", "The company"))),),
    ),
    "a list of users": Shape(user="GET /api/users/me", user_at="data.0", validation="sentence"),
}


@pytest.mark.corpus
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_backends_of_other_shapes_are_learned(shape: Shape) -> None:
    with unknown_backend(functools.partial(shaped_backend, shape)) as (url, accounts):
        result = run_doctor(url, IDENTIFIER)
        assert result.exit_code == 0, result.output
        assert accounts.attempts <= 6
        assert not [value for value in accounts.issued if value in result.output]
        assert settings_work(url, result.output, IDENTIFIER), result.output


LEARNED_FROM_URL = {
    name
    for name in backends.names()
    if name != "custom" and not setting_names(backends.find(name)) and name not in ("laravel", "flask-security")
}
"""Without those that need settings of their own, and those whose recorded login is not the one of the usual path."""


@pytest.mark.corpus
@pytest.mark.parametrize("backend_id", sorted(LEARNED_FROM_URL))
def test_a_known_kind_of_backend_is_recognized_from_its_url_alone(backend_id: str) -> None:
    by_username = backend_id in {"djoser", "nestjs", "spring-header"}
    with serve_in_thread("127.0.0.1", lambda _: create_backend(protocol=backend_id)) as port:
        account = "minji" if by_username else MINJI
        result = run_doctor(f"http://127.0.0.1:{port}", account, DEVELOPMENT_PASSWORD)
    assert settings_in(result.output)["BACKEND"] == backend_id


OWN_SETTINGS = {"supabase": "BACKEND_API_KEY", "parse": "BACKEND_CLIENT_ID"}


@pytest.mark.corpus
@pytest.mark.parametrize("backend_id", OWN_SETTINGS)
def test_a_kind_of_backend_with_settings_of_its_own_is_recognized_once_they_are_there(backend_id: str) -> None:
    recorded = exchanges.load(backend_id)
    account = "minji" if backend_id == "parse" else MINJI
    with serve_in_thread("127.0.0.1", lambda _: create_backend(protocol=backend_id)) as port:
        url = f"http://127.0.0.1:{port}"
        result = run_doctor(url, account, DEVELOPMENT_PASSWORD, **recorded.settings)
        assert result.exit_code == 0, result.output
        assert settings_in(result.output)["BACKEND"] == backend_id
        without = run_doctor(url, account, DEVELOPMENT_PASSWORD)
    assert without.exit_code == 1
    assert f"{backend_id} ({OWN_SETTINGS[backend_id]}" in without.output


def test_of_several_places_the_one_that_had_the_token_is_said() -> None:
    with serve_in_thread("127.0.0.1", lambda _: create_backend(protocol="spring")) as port:
        result = run_doctor(f"http://127.0.0.1:{port}", MINJI, DEVELOPMENT_PASSWORD, BACKEND="spring")
    assert "took the access token from data.accessToken\n" in result.output
    assert "took the refresh token from data.refreshToken\n" in result.output


SPRING = {
    "BACKEND": "spring",
    "BACKEND_LOGIN": "POST /api/v1/auth/authenticate",
    "BACKEND_USER": "GET /api/v1/users/me",
    "BACKEND_REFRESH": "none",
    "BACKEND_LOGOUT": "none",
}


def silent_backend(_: Accounts) -> Flask:
    """A Spring Boot without an AuthenticationEntryPoint: it refuses everything with an empty 403."""
    app = Flask("silent")
    app.before_request(lambda: None if request.path in ("/api/v1/auth/authenticate", "/api/v1/users/me") else ("", 403))

    @app.post("/api/v1/auth/authenticate")
    def login() -> Any:
        given = request.get_json()
        return {"access_token": "t" * 40} if given == {"email": IDENTIFIER, "password": PASSWORD} else ("", 403)

    @app.get("/api/v1/users/me")
    def user() -> Any:
        is_known = request.headers.get("Authorization") == f"Bearer {'t' * 40}"
        return {"id": 7, "name": NAME, "email": IDENTIFIER} if is_known else ("", 403)

    return app


def test_the_settings_of_a_backend_that_refuses_everything_alike_are_tried() -> None:
    with unknown_backend(silent_backend) as (url, _):
        result = run_doctor(url, IDENTIFIER, **SPRING)
    assert result.exit_code == 0, result.output
    assert "The settings fit this backend." in result.output


def test_the_way_to_send_the_refresh_token_is_kept_with_its_call() -> None:
    refresh = {"BACKEND_REFRESH": "POST /api/v1/auth/refresh", "BACKEND_REFRESH_SEND": "bearer"}
    with unknown_backend(silent_backend) as (url, _):
        other = {**SPRING, **refresh, "BACKEND_USER": "GET /api/v1/members/me"}
        result = run_doctor(url, IDENTIFIER, **other)
    assert "BACKEND_REFRESH_SEND is required" not in result.output


@pytest.mark.corpus
def test_a_token_endpoint_gets_no_password_and_the_settings_for_it_are_said() -> None:
    bodies: list[str] = []

    def token_backend(_: Accounts) -> Flask:
        app = Flask("tokens")

        @app.post("/o/token/")
        def token() -> tuple[dict[str, str], int]:
            bodies.append(request.get_data(as_text=True))
            return {"error": "unsupported_grant_type"}, 400

        return app

    with unknown_backend(token_backend) as (url, _):
        result = run_doctor(url, IDENTIFIER)
    assert result.exit_code == 1
    for line in ("BACKEND=oauth2", "BACKEND_LOGIN_PATH=/o/token/", "BACKEND_REFRESH_PATH=/o/token/"):
        assert line in result.output
    assert "BACKEND_CLIENT_ID=" in result.output
    assert bodies
    assert not [body for body in bodies if PASSWORD in body]


def limiting_backend(seconds: int, accounts: Accounts) -> Flask:
    """The backend `codes`, which refuses the first request and says how long to wait."""
    app = codes_backend(accounts)
    requests = itertools.count()

    @app.before_request
    def limit() -> Response | None:
        return Response(status=429, headers={"Retry-After": str(seconds)}) if next(requests) == 0 else None

    return app


@pytest.mark.corpus
def test_a_backend_that_limits_requests_is_waited_for() -> None:
    with unknown_backend(functools.partial(limiting_backend, 1)) as (url, _):
        result = run_doctor(url, USERNAME)
    assert "waiting 1 seconds" in result.output
    assert result.exit_code == 0


def test_a_backend_that_limits_requests_for_long_is_left_alone() -> None:
    with unknown_backend(functools.partial(limiting_backend, 600)) as (url, accounts):
        result = run_doctor(url, USERNAME)
        assert "limits requests from here, for 600 seconds" in result.output
        assert (result.exit_code, accounts.attempts) == (1, 0)


@pytest.mark.corpus
def test_the_calls_that_the_operator_names_are_used() -> None:
    shape = Shape(
        login="POST /x/enter", identifier="wer", password="was", user="GET /x/person", unknown_path="empty401"
    )
    with unknown_backend(functools.partial(shaped_backend, shape)) as (url, accounts):
        assert run_doctor(url, IDENTIFIER).exit_code == 1
        assert accounts.attempts == 0
        options = (
            "--login",
            "POST /x/enter",
            "--login-body",
            "wer={identifier} was={password}",
            "--user",
            "GET /x/person",
        )
        result = run_doctor(url, IDENTIFIER, PASSWORD, *options)
        assert result.exit_code == 0, result.output
        assert settings_work(url, result.output, IDENTIFIER)


def korean_backend(  # noqa: C901 -- one view each
    accounts: Accounts,
    person: dict[str, object] | None = None,
    prefix: str = "",
    user_path: str = "/member/me",
    *,
    logout_works: bool = True,
) -> Flask:
    """A logout that answers the same with and without a valid token."""
    app = Flask("korean")

    def token() -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ")

    @app.errorhandler(404)
    def not_found(_: Exception) -> tuple[dict[str, object], int]:
        return {"result": "no such call"}, 404

    @app.post(f"{prefix}/member/login")
    def login() -> tuple[dict[str, object], int]:
        body = request.get_json(silent=True) or {}
        if missing := [name for name in ("loginId", "password") if not body.get(name)]:
            return {"message": f"{missing[0]} is required"}, 400
        if not accounts.check(body["loginId"], body["password"]):
            return {"message": "Not this one."}, 401
        return {"result": {"accessToken": accounts.issue(secrets.token_urlsafe(30), accounts.access)}}, 200

    @app.get(f"{prefix}{user_path}")
    def user() -> tuple[dict[str, object], int]:
        if token() not in accounts.access:
            return {"result": "fail"}, 401
        return {"result": {"profile": person or {"userNo": 7, "name": NAME, "email": IDENTIFIER}}}, 200

    @app.post(f"{prefix}/member/logout")
    def logout() -> dict[str, str]:
        if logout_works:
            accounts.access.discard(token())
        return {"result": "ok"}

    return app


@pytest.mark.corpus
@pytest.mark.parametrize("environ", [{}, {"BACKEND_LOGOUT": "POST /member/logout"}], ids=["unnamed", "named"])
def test_a_logout_that_answers_the_same_without_a_valid_token_is_found(environ: dict[str, str]) -> None:
    with unknown_backend(korean_backend) as (url, _):
        result = run_doctor(url, USERNAME, **environ)
    assert result.exit_code == 0, result.output
    assert settings_in(result.output)["BACKEND_LOGOUT"] == "POST /member/logout"
    assert "the access token is no longer accepted" in result.output
    assert "remove BACKEND_LOGOUT" not in result.output


@pytest.mark.corpus
@pytest.mark.parametrize("backend", [{}, {"BACKEND": "custom"}, {"BACKEND": "nestjs"}], ids=["no", "custom", "other"])
def test_a_logout_that_the_operator_names_is_kept_although_it_ends_no_token(backend: dict[str, str]) -> None:
    with unknown_backend(functools.partial(korean_backend, logout_works=False)) as (url, _):
        unnamed = run_doctor(url, USERNAME)
        named = run_doctor(url, USERNAME, **backend, BACKEND_LOGOUT="POST /member/logout")
    assert "BACKEND_LOGOUT" not in settings_in(unnamed.output)
    assert settings_in(named.output)["BACKEND_LOGOUT"] == "POST /member/logout"
    assert "! BACKEND_LOGOUT=POST /member/logout is kept, but nothing shows that it ends the token." in named.output
    assert "remove BACKEND_LOGOUT" not in named.output


@pytest.mark.corpus
@pytest.mark.parametrize("prefix", ["/api/v2", "/api/v3"])
def test_a_login_below_a_version_is_found(prefix: str) -> None:
    with unknown_backend(functools.partial(korean_backend, prefix=prefix)) as (url, _):
        result = run_doctor(url, USERNAME)
    assert result.exit_code == 0, result.output
    assert settings_in(result.output)["BACKEND_LOGIN"] == f"POST {prefix}/member/login"


@pytest.mark.corpus
def test_a_login_that_is_not_found_takes_a_bounded_number_of_requests_and_the_address_is_suggested() -> None:
    requests: list[str] = []

    def nothing_backend(_: Accounts) -> Flask:
        app = Flask("nothing")
        app.before_request(lambda: requests.append(request.path))
        return app

    with unknown_backend(nothing_backend) as (url, _):
        result = run_doctor(url, USERNAME)
    assert result.exit_code == 1
    assert 'Name the call with --login "POST /path"' in result.output
    assert f"BACKEND_URL={url}/api/v2" in result.output
    assert len(requests) < 450


def test_the_operator_is_not_told_to_name_a_login_that_is_named() -> None:
    with unknown_backend(korean_backend) as (url, _):
        result = run_doctor(url, USERNAME, PASSWORD, "--login", "POST /member/sesam")
        wrong = run_doctor(url, USERNAME, "wrong-password", *NAMED)
    for output in (result.output, wrong.output):
        assert "--login " not in output
    assert "POST /member/sesam gave no token: the path, the fields or the password is wrong" in result.output
    assert "--login-body" in result.output
    assert "--login-body" not in wrong.output


KOREAN_PERSON: dict[str, object] = {
    "memNo": 7, "lastNm": "Kim", "firstNm": "Canary", "alias": None, "mailAddr": IDENTIFIER,
}  # fmt: skip
NAMED = ("--login", "POST /member/login", "--login-body", "loginId={identifier} password={password}")


@pytest.mark.corpus
def test_abbreviations_of_korean_fields_are_known() -> None:
    names_backend = functools.partial(korean_backend, person={"mbrNo": 7, "memNm": NAME, "emailAddr": IDENTIFIER})
    with unknown_backend(names_backend) as (url, _):
        assert settings_in(run_doctor(url, USERNAME, PASSWORD, *NAMED).output)["BACKEND_USER_FIELDS"] == (
            "id=mbrNo name=memNm email=emailAddr"
        )
    with unknown_backend(functools.partial(korean_backend, person=KOREAN_PERSON)) as (url, _):
        assert settings_in(run_doctor(url, USERNAME, PASSWORD, *NAMED).output)["BACKEND_USER_FIELDS"] == (
            "id=memNo name=firstNm+lastNm nick_name=alias email=mailAddr"
        )


def test_the_keys_of_an_answer_without_a_known_id_are_printed_and_the_setting_is_used() -> None:
    person = {"kennzahl": 7, "rufname": NAME}
    options = (*NAMED, "--user", "GET /wer")
    with unknown_backend(functools.partial(korean_backend, person=person, user_path="/wer")) as (url, accounts):
        failed = run_doctor(url, USERNAME, PASSWORD, *options)
        assert failed.exit_code == 1
        assert "result.profile.kennzahl: number" in failed.output
        assert f"result.profile.rufname: text, {len(NAME)} characters" in failed.output
        assert "No id was recognized among these keys: set BACKEND_USER_FIELDS=id=<key>" in failed.output
        assert "--user" not in failed.output
        assert not [value for value in accounts.issued if value in failed.output]
        fields = {"BACKEND_USER_FIELDS": "id=kennzahl"}
        found = run_doctor(url, USERNAME, PASSWORD, *options, **fields)
        assert found.exit_code == 0, found.output
        assert settings_in(found.output)["BACKEND_USER_AT"] == "result.profile"
        assert settings_in(found.output)["BACKEND_USER_FIELDS"] == "id=kennzahl"
        places = {"BACKEND_USER_FIELDS": "id=kennzahl name=rufname", "BACKEND_USER_AT": "result.profile"}
        result = run_doctor(url, USERNAME, PASSWORD, *options, **places)
        assert {name: settings_in(result.output)[name] for name in places} == places


def test_the_answer_of_a_named_user_call_that_refuses_the_token_is_printed() -> None:
    with unknown_backend(korean_backend) as (url, _):
        result = run_doctor(url, USERNAME, PASSWORD, *NAMED, "--user", "GET /nowhere")
    assert result.exit_code == 1
    assert "GET /nowhere answered 404" in result.output
    assert "GET /nowhere does not return the user" in result.output


def test_a_guessed_name_is_marked_and_the_fields_that_were_not_found_are_said() -> None:
    person: dict[str, object] = {"userNo": 7, "loginId": USERNAME, "rufname": NAME}
    with unknown_backend(functools.partial(korean_backend, person=person)) as (url, _):
        output = run_doctor(url, USERNAME, PASSWORD, *NAMED).output
    assert "! Guessed: the name is loginId." in output
    assert "found no email: set BACKEND_USER_FIELDS=email=<key>" in output
    with unknown_backend(functools.partial(korean_backend, person={"userNo": 7, "alias": USERNAME})) as (url, _):
        output = run_doctor(url, USERNAME, PASSWORD, *NAMED).output
    assert "found no name and no email" in output
    assert "! Guessed: the name" not in output


def test_a_setting_that_does_not_fit_is_replaced_and_the_others_to_remove_are_named() -> None:
    settings = {"BACKEND": "custom", "BACKEND_LOGIN": "POST /api/account/login", "BACKEND_TOKEN": "data.token"}
    with unknown_backend(codes_backend) as (url, _):
        body = {"BACKEND_LOGIN_BODY": "loginId={identifier} password={password}", "BACKEND_USER_AT": "nowhere"}
        wrong = {"BACKEND_USER": "GET /api/account/profile", "BACKEND_EXPIRES": "data.lifetime:s"}
        result = run_doctor(url, USERNAME, **settings, **body, **wrong)
        assert result.exit_code == 0, result.output
        printed = settings_in(result.output)
        assert (printed["BACKEND_TOKEN"], printed["BACKEND_USER_AT"]) == ("header:X-Haru-Auth", "data")
        assert "remove BACKEND_EXPIRES" in result.output
        assert settings_work(url, result.output, USERNAME, "username")


def test_options_for_a_sign_in_need_one() -> None:
    result = CliRunner().invoke(doctor_command(create_app), ["--user", "GET /me"])
    assert result.exit_code == 2
    assert "--sign-in" in result.output


@pytest.mark.server
def test_the_password_is_asked_for_without_an_echo(tmp_path: Path) -> None:
    with unknown_backend(codes_backend) as (url, accounts):
        environ = {**os.environ, "BACKEND_URL": url, "PYTHONPATH": str(ROOT)}
        controller, terminal = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "doctor", "--sign-in"],
            stdin=terminal, stdout=terminal, stderr=terminal, env=environ, cwd=tmp_path, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        output = ""
        answers = {"Continue?": "y", "Account:": USERNAME, "Password:": PASSWORD}
        with contextlib.suppress(OSError):  # the terminal is closed at the end
            while text := os.read(controller, 4096).decode():
                output += text
                for prompt in [prompt for prompt in answers if output.rstrip(" [y/N]:").endswith(prompt.rstrip(":"))]:
                    os.write(controller, f"{answers.pop(prompt)}\n".encode())
        os.close(controller)
        assert process.wait(60) == 0, output
        assert accounts.successes == 2
        assert PASSWORD not in output


@pytest.mark.external
@pytest.mark.server
@pytest.mark.parametrize(
    "backend_id", ["djoser", "dj-rest-auth", "allauth", "fastapi-users", "flask-security", "better-auth"]
)
def test_a_real_backend_is_recognized_from_its_url_alone(backend_id: str, tmp_path: Path) -> None:
    with running_backend(backend_id, tmp_path) as backend:
        account = backend.create_account()
        result = run_doctor(backend.url, account.identifier, account.password)
        assert result.exit_code == 0, result.output
        assert settings_in(result.output)["BACKEND"] == backend_id
        assert account.password not in result.output
