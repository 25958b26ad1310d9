"""`BACKEND=custom`, and the settings that replace single parts of any other backend."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import backends
import config
from backends import overrides, validation
from backends.base import Meaning, Rule
from config import SettingsError
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, faulty_backend, http_response, keep_alive
from tests.support.secret_settings import secret_settings
from tests.support.site import SECRET, Site, make_settings, running_site

GOOD = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
CUSTOM = {
    **GOOD,
    "BACKEND": "custom",
    "BACKEND_LOGIN": "POST /api/auth/login",
    "BACKEND_TOKEN": "data.accessToken",
    "BACKEND_USER": "GET /api/members/me",
}


def problems(**changes: str) -> str:
    with pytest.raises(SettingsError) as caught:
        config.load({**CUSTOM, **changes})
    return str(caught.value)


# --- What is refused at the start


def test_every_missing_part_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        config.load({**GOOD, "BACKEND": "custom"})
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "BACKEND_LOGIN",
        "BACKEND_TOKEN",
        "BACKEND_USER",
    ]
    assert all("for example: " in problem for problem in caught.value.problems)


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    message = problems(BACKEND="larvael")
    assert "BACKEND must be one of allauth, better-auth, custom" in message
    assert "'larvael'" in message


PASSKEY_CALLS = {
    "PASSKEYS": "true",
    "BACKEND_PASSKEY_OPTIONS": "POST /options",
    "BACKEND_PASSKEY": "POST /passkey",
    "BACKEND_PASSKEY_BODY": "credential={credential}",
}


@pytest.mark.parametrize(
    ("changes", "named", "words"),
    [
        ({"BACKEND_LOGIN_BODY": "email={identifer} password={password}"}, "BACKEND_LOGIN_BODY", "uses {identifer}"),
        ({"BACKEND_LOGIN_BODY": "email={identifier} password={token}"}, "BACKEND_LOGIN_BODY", "uses {token}"),
        ({"BACKEND_LOGIN_BODY": "email={identifier}"}, "BACKEND_LOGIN_BODY", "must use {password}"),
        ({"BACKEND_LOGIN": "GET /login"}, "BACKEND_LOGIN_BODY", "must use {identifier}"),
        ({"BACKEND_USER": "GET /users/{user_id}"}, "BACKEND_USER", "uses {user_id}"),
        ({"BACKEND_USER_BODY": "token={token}"}, "BACKEND_USER_BODY", "a GET has no body"),
        ({"BACKEND_USER_FORM": "true"}, "BACKEND_USER_FORM", "needs BACKEND_USER_BODY"),
        ({"BACKEND_TOKEN_HEADER": "none"}, "BACKEND_TOKEN_HEADER", "must not be none"),
        ({"BACKEND_HEADERS": "apikey={API_KEY}"}, "BACKEND_HEADERS", "not {API_KEY}"),
        ({"BACKEND_HEADERS": "apikey={BACKEND_APIKEY}"}, "BACKEND_APIKEY", "is required"),
        ({"BACKEND_LOGIN_PATH": "/other"}, "BACKEND_LOGIN_PATH", "must be unset if BACKEND_LOGIN is set"),
        ({"PASSKEYS": "true"}, "PASSKEYS", "needs BACKEND_PASSKEY and BACKEND_PASSKEY_OPTIONS"),
        (PASSKEY_CALLS | {"PASSKEYS": "false"}, "BACKEND_PASSKEY", "needs PASSKEYS=true"),
        (PASSKEY_CALLS | {"BACKEND_PASSKEY_OPTIONS": "none"}, "BACKEND_PASSKEY_OPTIONS", "is required if"),
        (PASSKEY_CALLS | {"BACKEND_PASSKEY_BODY": "a=b"}, "BACKEND_PASSKEY_BODY", "must use {credential}"),
        (
            PASSKEY_CALLS | {"BACKEND_PASSKEY_BODY": "a={credential} b={challenge}"},
            "BACKEND_PASSKEY_CHALLENGE",
            "is required: the passkey call sends {challenge}",
        ),
        (
            PASSKEY_CALLS | {"BACKEND_PASSKEY_REGISTER": "POST /r", "BACKEND_PASSKEY_REGISTER_BODY": "c={credential}"},
            "BACKEND_PASSKEY_REGISTER_OPTIONS",
            "is required if BACKEND_PASSKEY_REGISTER is set",
        ),
        (
            PASSKEY_CALLS | {"BACKEND_PASSKEY_LIST": "GET /p"},
            "BACKEND_PASSKEY_REGISTER",
            "is required if BACKEND_PASSKEY_LIST is set",
        ),
        (
            PASSKEY_CALLS | {"BACKEND_PASSKEY_REMOVE": "DELETE /p/{passkey}"},
            "BACKEND_PASSKEY_LIST",
            "is required if BACKEND_PASSKEY_REMOVE is set",
        ),
        (PASSKEY_CALLS | {"BACKEND_PASSKEY_REMOVE": "DELETE /p"}, "BACKEND_PASSKEY_REMOVE_PATH", "must use {passkey}"),
        (
            PASSKEY_CALLS | {"BACKEND_PASSKEY_LIST_FIELDS": "label=x"},
            "BACKEND_PASSKEY_LIST_FIELDS",
            "can only have id, name, created_at, used_at",
        ),
        (
            {"BACKEND_REFRESH": "POST /r", "BACKEND_REFRESH_SEND": "json:refresh"},
            "BACKEND_REFRESH_TOKEN",
            "is required",
        ),
        (
            {"BACKEND_REFRESH": "POST /r", "BACKEND_REFRESH_TOKEN": "refresh"},
            "BACKEND_REFRESH_SEND",
            "does not send {refresh_token}",
        ),
        (
            {"BACKEND_REFRESH_SEND": "bearer", "BACKEND_REFRESH_BODY": "a={refresh_token}"},
            "BACKEND_REFRESH_SEND",
            "must be unset if BACKEND_REFRESH_BODY",
        ),
        (
            {"BACKEND_LOGIN_BODY": "user.name={identifier} user.password={password}", "BACKEND_LOGIN_FORM": "true"},
            "BACKEND_LOGIN_FORM",
            "no nested values",
        ),
        (
            {"BACKEND": "djoser", "BACKEND_TOKEN": "", "BACKEND_LOGOUT_PATH": "/x"},
            "BACKEND_LOGOUT_PATH",
            "no such call",
        ),
        ({"BACKEND": "supabase"}, "BACKEND_API_KEY", "is required"),
        (
            {"BACKEND_REGISTER_PATH": "/x", "BACKEND_REGISTER_BODY": "e={identifier}"},
            "BACKEND_REGISTER_BODY",
            "{password}",
        ),
        ({"BACKEND_REGISTER": "GET /x"}, "BACKEND_REGISTER_BODY", "must use"),
        ({"BACKEND_FORGOT": "POST /x", "BACKEND_FORGOT_BODY": "e={token}"}, "BACKEND_FORGOT_BODY", "uses {token}"),
        ({"BACKEND_RESET": "POST /x"}, "BACKEND_FORGOT", "is required if BACKEND_RESET is set"),
        ({"BACKEND_VERIFY_EMAIL": "GET /x"}, "BACKEND_VERIFY_EMAIL_BODY", "must use {code}"),
        ({"BACKEND_LOGIN": "none"}, "BACKEND_LOGIN", "is required"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes: dict[str, str], named: str, words: str) -> None:
    message = problems(**changes)
    line = next(line for line in message.splitlines() if line.strip().startswith(f"{named} "))
    assert words in line
    assert f"for example: {named}=" in message


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("BACKEND_LOGIN", "/login"),
        ("BACKEND_LOGIN", "post /login"),
        ("BACKEND_LOGIN", "POST login"),
        ("BACKEND_LOGIN", "POST //evil.example/login"),
        ("BACKEND_LOGIN", "POST http://evil.example/login"),
        ("BACKEND_LOGIN", "POST https://evil.example"),
        ("BACKEND_LOGIN", "POST https://user@evil.example/login"),
        ("BACKEND_LOGIN", "POST /login\r\nX: y"),
        ("BACKEND_LOGIN", "TRACE /login"),
        ("BACKEND_LOGIN_BODY", "email"),
        ("BACKEND_LOGIN_BODY", "email='{identifier}"),
        ("BACKEND_LOGIN_BODY", "a={identifier} a.b={password}"),
        ("BACKEND_LOGIN_BODY", "email={identifier} password={password} remember:=yes"),
        ("BACKEND_LOGIN_FORM", "form"),
        ("BACKEND_MAIL_LINK_PARAMETERS", "token=token"),
        ("BACKEND_MAIL_LINK_PARAMETERS", "code=a&b"),
        ("BACKEND_MAILS_CODE", "six"),
        ("BACKEND_TOKEN", "data..token"),
        ("BACKEND_TOKEN", "a b"),
        ("BACKEND_TOKEN", "header:"),
        ("BACKEND_TOKEN_HEADER", "Bearer {token}"),
        ("BACKEND_TOKEN_HEADER", "Authorization: Bearer"),
        ("BACKEND_TOKEN_HEADER", "Host: {token}"),
        ("BACKEND_TOKEN_HEADER", "X Y: {token}"),
        ("BACKEND_HEADERS", "Content-Length=5"),
        ("BACKEND_HEADERS", "x"),
        ("BACKEND_REFRESH_SEND", "json"),
        ("BACKEND_REFRESH_SEND", "bearer:x"),
        ("BACKEND_EXPIRES", "expires_in"),
        ("BACKEND_EXPIRES", "expires_in:h"),
        ("BACKEND_USER_FIELDS", "id=pk phone=tel"),
        ("BACKEND_USER_FIELDS", "id=header:x"),
        ("BACKEND_MEANINGS", "400 wrong"),
        ("BACKEND_MEANINGS", "400 code=X unverified"),
        ("BACKEND_MEANINGS", "99 * locked"),
        ("BACKEND_FIELD_ERRORS", "4xx errors"),
        ("BACKEND_LOGOUT_DONE", "204,401"),
        ("BACKEND_RETRY_AFTER", "X-Retry-After: x"),
    ],
)
def test_a_part_that_cannot_be_read_is_refused(name: str, wrong: str) -> None:
    assert f"{name} " in problems(**{name: wrong})


@pytest.mark.parametrize("name", [*overrides.SETTINGS])
def test_the_example_of_each_part_can_be_read(name: str) -> None:
    spec = overrides.SETTINGS[name]
    assert spec.reader(spec.example) is not None


# --- What is read


def test_rules_are_read_in_the_order_of_the_operator_and_come_before_those_of_the_file() -> None:
    loaded = config.load({**GOOD, "BACKEND": "payload", "BACKEND_MEANINGS": "401 a.b=x y locked; 410 * session_over;"})
    assert loaded.backend.meanings[:2] == (
        Rule(401, "a.b", "x y", Meaning.LOCKED),
        Rule(410, "*", ..., Meaning.SESSION_OVER),
    )
    assert loaded.backend.meanings[2:] == backends.find("payload").meanings


def test_a_part_replaces_that_part_alone() -> None:
    loaded = config.load(
        {**GOOD, "BACKEND": "djoser", "BACKEND_LOGIN_PATH": "/v2/login", "BACKEND_USER_FIELDS": "name=n"}
    )
    djoser = backends.find("djoser")
    assert loaded.backend.login
    assert djoser.login
    assert (loaded.backend.login.path, loaded.backend.login.body) == ("/v2/login", djoser.login.body)
    assert loaded.backend.user_fields == {**djoser.user_fields, "name": "n"}
    assert loaded.backend.user == djoser.user


@pytest.mark.parametrize("name", [name for name in backends.names() if name != "custom"])
def test_a_backend_needs_no_other_settings_than_its_credentials(name: str) -> None:
    backend = backends.find(name)
    required = [
        setting for setting in validation.setting_names(backend) if overrides.constant(backend, setting).required
    ]
    needed = dict.fromkeys(required, "value")
    assert config.load({**GOOD, **needed, "BACKEND": name}).backend.id == name


def test_no_secret_of_a_backend_is_printed() -> None:
    loaded = config.load({**CUSTOM, "BACKEND_HEADERS": "apikey={BACKEND_API_KEY}", "BACKEND_API_KEY": "hunter2"})
    assert loaded.backend_constants == {"BACKEND_API_KEY": "hunter2"}
    assert "hunter2" not in repr(loaded)
    assert "hunter 2" not in problems(BACKEND_HEADERS="apikey={BACKEND_API_KEY}", BACKEND_API_KEY="hunter 2")
    for name in ("BACKEND_HEADERS", "BACKEND_LOGIN_BODY"):
        assert "hunter2" not in problems(**{name: "apikey= hunter2"})
        assert "hunter2" not in problems(**{name: "apikey:'hunter2"})
    inline = {"BACKEND_HEADERS": "apikey=hunter2", "BACKEND_LOGIN_BODY": "a={identifier} b={password} c=hunter2"}
    assert "hunter2" not in repr(config.load({**CUSTOM, **inline}))


# --- Secrets in files


def test_a_secret_is_read_from_a_file_without_its_last_line_break(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\n")
    loaded = config.load(
        {**{name: text for name, text in GOOD.items() if name != "SECRET_KEY"}, "SECRET_KEY_FILE": str(path)}
    )
    assert loaded.secret_key == SECRET


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("BACKEND_API_KEY", {"BACKEND_HEADERS": "apikey={BACKEND_API_KEY}"}),
        ("BACKEND_CLIENT_SECRET", {"BACKEND_HEADERS": "x={BACKEND_CLIENT_SECRET}"}),
        ("BACKEND_ANOTHER_KEY", {"BACKEND_HEADERS": "x={BACKEND_ANOTHER_KEY}"}),
        ("METRICS_TOKEN", {}),
        ("REDIS_URL", {}),
        ("KAKAO_CLIENT_SECRET", {"PROVIDERS": "kakao", "KAKAO_CLIENT_ID": "x"}),
    ],
)
def test_any_secret_can_be_in_a_file(tmp_path: Path, name: str, settings: dict[str, str]) -> None:
    path = tmp_path / "secret"
    path.write_text("rediss://redis.example.com/0" if name == "REDIS_URL" else SECRET)
    loaded = config.load({**CUSTOM, **settings, f"{name}_FILE": str(path)})
    values = {**loaded.backend_constants, "METRICS_TOKEN": loaded.metrics_token, "REDIS_URL": loaded.redis_url}
    values |= {f"{one.id.upper()}_CLIENT_SECRET": one.secret for one in loaded.registrations}
    assert values[name] == path.read_text()


def test_a_secret_in_both_places_or_in_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET)
    assert "SECRET_KEY must be unset if SECRET_KEY_FILE is set" in problems(SECRET_KEY_FILE=str(path))
    assert "SECRET_KEY_FILE must be a file" in problems(SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path / "none"))
    assert "SECRET_KEY_FILE must be a file" in problems(SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path))
    path.write_bytes(b"\xff\xfe")
    assert "SECRET_KEY_FILE must be a file" in problems(SECRET_KEY="", SECRET_KEY_FILE=str(path))
    path.write_text("\n")
    assert "the file of REDIS_URL_FILE is empty" in problems(REDIS_URL_FILE=str(path))


@pytest.mark.parametrize(("name", "settings"), [*secret_settings()])
def test_no_secret_may_be_given_twice(name: str, settings: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    both = {name: SECRET, f"{name}_FILE": str(path)}
    told = problems(**settings, **both)
    assert f"{name} must be unset if {name}_FILE is set" in told
    assert SECRET not in told
    none = problems(**settings, **{name: "", f"{name}_FILE": str(tmp_path / "none")})
    assert f"{name}_FILE must be a file that can be opened" in none


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_text("Hotel Haru")
    assert config.load({**CUSTOM, "SITE_NAME_FILE": str(path)}).site_name == "Munjigi"


# --- A backend that only settings describe


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


DESCRIBED: dict[str, Any] = {
    "backend": "custom",
    "backend_login": "POST /api/auth/login",
    "backend_login_body": "account.id={identifier} account.pw={password} device_name='web app' remember:=true",
    "backend_headers": "apikey={BACKEND_API_KEY}",
    "backend_api_key": "key-1",
    "backend_token": "result.tokens.0.value",
    "backend_token_header": "access: {token}",
    "backend_user": "GET /api/members/me",
    "backend_user_at": "result.member",
    "backend_user_fields": "id=memberId name=lastName+firstName nick_name=nickname email=emailAddress",
    "backend_logout_path": None,
    "backend_logout": "DELETE /api/auth/session",
    "backend_profile_path": None,
    "backend_meanings": "400 code=NOT_CONFIRMED not_verified; 200 result.otp=true next_step; 410 * session_over",
}
MEMBER = {
    "memberId": "m-7",
    "firstName": "민지",
    "lastName": "김",
    "nickname": "민",
    "emailAddress": "minji@example.com",
}


@pytest.fixture(scope="module")
def site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, **DESCRIBED, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(backend: FaultyBackend) -> None:
    backend.reset()
    backend.responses |= {
        "/api/auth/login": keep_alive(http_response({"result": {"tokens": [{"value": "tok"}], "otp": False}})),
        "/api/members/me": keep_alive(http_response({"result": {"member": MEMBER}})),
        "/api/auth/session": keep_alive(http_response(status=204, Content_Length=None)),
    }


def test_a_person_signs_in_and_out_at_a_backend_that_only_settings_describe(backend: FaultyBackend, site: Site) -> None:
    visitor = site.new_visitor()
    assert visitor.sign_in(password='p"w').status_code == 303
    assert visitor.get_session()["user"] == {
        "id": "m-7",
        "name": "김민지",
        "nick_name": "민",
        "email": "minji@example.com",
    }
    visitor.submit("/auth/logout", {})
    assert [(call.method, call.path) for call in backend.calls] == [
        ("POST", "/api/auth/login"),
        ("GET", "/api/members/me"),
        ("DELETE", "/api/auth/session"),
    ]
    body = {"account": {"id": "minji@example.com", "pw": 'p"w'}, "device_name": "web app", "remember": True}
    assert backend.calls[0].json == body
    assert [call.headers["access"] for call in backend.calls] == [None, "tok", "tok"]
    assert [call.headers["apikey"] for call in backend.calls] == ["key-1"] * 3
    assert not any("Authorization" in call.headers for call in backend.calls)


def test_credentials_in_the_query_are_not_sent_in_a_body_too(backend: FaultyBackend) -> None:
    line = "POST /signin?username={identifier}&password={password}"
    settings: dict[str, Any] = {**DESCRIBED, "backend_login": line, "backend_token": "token", "backend_user": "GET /me"}
    settings |= dict.fromkeys(("backend_login_body", "backend_user_at", "backend_user_fields"))
    backend.responses["/signin?username=minji%40example.com&password=a%26b"] = keep_alive(http_response({"token": "t"}))
    backend.responses["/me"] = keep_alive(http_response({"id": 7}))
    with running_site(backend.url, **settings) as site:
        assert site.new_visitor().sign_in(password="a&b").status_code == 303
    assert backend.calls[0].body == b""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (http_response({"code": "NOT_CONFIRMED"}, 400), 403),
        (http_response({"code": "OTHER"}, 400), 401),
        (http_response({"result": {"tokens": [{"value": "tok"}], "otp": True}}), 403),
    ],
)
def test_the_operators_rules_come_before_statuses_and_tokens(
    backend: FaultyBackend, site: Site, raw: bytes, status: int
) -> None:
    backend.responses["/api/auth/login"] = keep_alive(raw)
    assert site.new_visitor().sign_in().status_code == status
    assert [call.path for call in backend.calls] == ["/api/auth/login"]


def test_the_default_of_every_site_is_unchanged() -> None:
    laravel = make_settings().backend
    assert laravel == overrides.override(
        backends.find("laravel"),
        dict.fromkeys(overrides.SETTINGS) | {"BACKEND_LOGOUT_PATH": "/logout", "BACKEND_PROFILE_PATH": "/profile"},
    )
