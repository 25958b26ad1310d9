"""The rules that every backend's calls and answers keep, whatever `backends/` says about them."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
import responses

import backends
import errors
from backends.base import Backend
from services.backend import results
from services.backend.answer import Answer
from services.backend.client import BackendClient, Revocation
from services.backend.tokens import Tokens, jwt_expiry, parse_expiry
from services.backend.user import User
from services.clock import Clock
from services.http.aiohttp_adapter import NoResponseError, NotSentError
from services.http.client import HttpClient
from services.http.response import UpstreamResponse
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, faulty_backend, http_response, keep_alive
from tests.support.site import ManualClock, Site, a_context, make_settings, running_site

NOW = int(time.time())
PRESETS = [name for name in backends.names() if name != "custom"]
BASE: dict[str, Any] = {
    "backend": "custom",
    "backend_login": "POST /login",
    "backend_token": "token",
    "backend_user": "GET /user",
    "backend_logout_path": None,
    "backend_profile_path": None,
}


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(backend: FaultyBackend) -> None:
    backend.reset()
    for path in ("/login", "/refresh", "/users/7%2F..%2Fadmin?x=a%26b%3D1"):
        backend.responses[path] = keep_alive(http_response({"token": "tok", "refresh": "ref"}))
    backend.responses["/user"] = keep_alive(http_response({"id": 7}))


def client_of(server: FaultyBackend, http: HttpClient, **settings: Any) -> BackendClient:
    return BackendClient(make_settings(**{**BASE, "backend_url": server.url, **settings}), http, Clock())


def answer(body: Any = b"", status: int = 200, cookies: tuple[str, ...] = (), **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(
        UpstreamResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, cookies)
    )


def read_tokens(preset: Backend, call: str, read: Answer) -> Tokens:
    return results.tokens(preset, call, read, NOW)


READERS: dict[str, Callable[[Backend, str, Answer], object]] = {
    "login": read_tokens,
    "refresh": read_tokens,
    "user": results.user,
}
"""How the answers of each call are read."""


# --- Requests


HOSTILE = ['"}', "{token}", "{password}", "a&b=c", "가 ㅎ", "a\x00b", "\r\nX: y", "+ %20", "../../x?y#z"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("form", ["true", "false"])
def test_values_are_encoded_and_never_read_as_templates(
    backend: FaultyBackend, http: HttpClient, text: str, form: str
) -> None:
    client = client_of(backend, http, backend_login_form=form)
    client.login(text, "pass", a_context())
    client.login("name", text, a_context())
    bodies = [dict(parse_qsl(call.body.decode())) if form == "true" else call.json for call in backend.calls]
    assert bodies == [{"email": text, "password": "pass"}, {"email": "name", "password": text}]
    assert not any("X" in call.headers for call in backend.calls)


def test_values_in_a_path_are_percent_encoded(backend: FaultyBackend, http: HttpClient) -> None:
    client = client_of(backend, http, backend_login="POST /users/{identifier}?x={password}", backend_login_body="a=1")
    client.login("7/../admin", "a&b=1", a_context())
    assert backend.calls[0].path == "/users/7%2F..%2Fadmin?x=a%26b%3D1"
    assert backend.calls[0].json == {"a": "1"}


@pytest.mark.parametrize("text", ["a;b", "a,b", 'a"b', "a\\b"])
def test_a_value_that_a_cookie_cannot_have_is_not_sent(backend: FaultyBackend, http: HttpClient, text: str) -> None:
    send = {"backend_refresh": "POST /refresh", "backend_refresh_token": "refresh"}
    client = client_of(backend, http, **send, backend_refresh_send="cookie:r")
    with pytest.raises(errors.BackendUnavailable, match="cannot be sent in Cookie"):
        client.refresh(Tokens("tok", text), a_context())
    assert backend.calls == []


def test_a_constant_that_is_not_set_is_left_out(backend: FaultyBackend, http: HttpClient) -> None:
    settings = {"backend_headers": "X-Secret={BACKEND_CLIENT_SECRET}"}
    body = "email={identifier} password={password} secret={BACKEND_CLIENT_SECRET}"
    client_of(backend, http, **settings, backend_login_body=body).login("a", "b", a_context())
    assert backend.calls[0].json == {"email": "a", "password": "b"}
    assert "X-Secret" not in backend.calls[0].headers


def test_the_token_is_sent_in_one_place_only(backend: FaultyBackend, http: HttpClient) -> None:
    client_of(backend, http).user("tok", a_context())
    client_of(backend, http, backend_user="POST /user", backend_user_body="t={token}").user("tok", a_context())
    assert [call.headers["Authorization"] for call in backend.calls] == ["Bearer tok", None]
    assert [call.json for call in backend.calls] == [None, {"t": "tok"}]


@pytest.mark.parametrize(
    ("send", "body", "headers"),
    [
        ("json:r", {"r": "ref"}, {}),
        ("json:data.r", {"data": {"r": "ref"}}, {}),
        ("cookie:r", None, {"Cookie": "r=ref"}),
        ("bearer", None, {"Authorization": "Bearer ref"}),
    ],
)
def test_the_refresh_token_is_sent_as_the_operator_says(
    backend: FaultyBackend, http: HttpClient, send: str, body: object, headers: dict[str, str]
) -> None:
    settings = {"backend_refresh": "POST /refresh", "backend_refresh_token": "refresh", "backend_refresh_send": send}
    client_of(backend, http, **settings).refresh(Tokens("old", "ref"), a_context())
    (call,) = backend.calls
    assert call.json == body
    assert {name: call.headers[name] for name in ("Cookie", "Authorization") if name in call.headers} == headers


def test_a_token_and_a_refresh_token_can_both_be_cookies(backend: FaultyBackend, http: HttpClient) -> None:
    lines = b"Set-Cookie: sid=tok; HttpOnly\r\nSet-Cookie: r=ref; HttpOnly\r\n\r\n"
    backend.responses["/login"] = keep_alive(http_response({}).replace(b"\r\n\r\n", b"\r\n" + lines, 1))
    settings = {"backend_token": "cookie:sid", "backend_token_header": "Cookie: sid={token}"}
    settings |= {"backend_refresh": "POST /refresh", "backend_refresh_send": "cookie:r"}
    settings |= {"backend_refresh_token": "cookie:r", "backend_logout": "POST /logout"}
    client = client_of(backend, http, **settings, backend_headers="Accept-Charset=utf-8")
    tokens = client.login("a", "b", a_context()).tokens
    client.user(tokens.access, a_context())
    client.logout(tokens, a_context())
    assert [call.headers["Cookie"] for call in backend.calls] == [None, "sid=tok", "sid=tok; r=ref"]


SENT = "services.http.aiohttp_adapter.AiohttpAdapter.send"


@pytest.mark.parametrize("fault", [NotSentError, NoResponseError])
def test_a_refresh_is_never_repeated(backend: FaultyBackend, http: HttpClient, fault: type[Exception]) -> None:
    client = client_of(backend, http, backend_refresh="POST /refresh")
    with responses.RequestsMock(target=SENT) as network:
        network.post(f"{backend.url}/refresh", body=fault())
        with pytest.raises(errors.BackendUnavailable):
            client.refresh(Tokens("old"), a_context())
        assert len(network.calls) == 1


def test_no_cookie_of_an_answer_is_sent_back(backend: FaultyBackend, http: HttpClient) -> None:
    backend.responses["/login"] = keep_alive(http_response({"token": "tok"}, Set_Cookie="sid=1; Path=/"))
    client = client_of(backend, http)
    client.login("a", "b", a_context())
    client.login("a", "b", a_context())
    client.user("tok", a_context())
    assert not any("Cookie" in call.headers for call in backend.calls)


# --- Places in answers


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("a.b.1.c", "x"),
        ("a.b.2.c", None),
        ("a.b.-1.c", None),
        ("a.b.c", None),
        ("a.0", None),
        ("n", 0),
        ("empty|a.b.1.c", "x"),
        ("nothing|empty", ""),
        ("nothing|null", None),
        ("header:X-Token", "abc"),
        ("header:authorization", "a b"),
        ("header:X-None|header:X-Token", "abc"),
        ("cookie:refresh", "r=1%2B2"),
        ("cookie:moved", "new"),
        ("cookie:gone", None),
        ("cookie:other", None),
    ],
)
def test_a_place_has_its_value(place: str, value: object) -> None:
    body = {"a": {"b": [{}, {"c": "x"}]}, "n": 0, "empty": "", "null": None}
    cookies = (
        "first=1; Path=/x; HttpOnly",
        'refresh="r=1%2B2"; Max-Age=5',
        "gone=; Max-Age=0",
        "moved=old; max-age=0; Path=/old",
        "moved=new; Path=/",
        "moved=; Path=/older",
        "gone=deleted; Max-Age=0",
    )
    assert answer(body, cookies=cookies, X_Token="abc", authorization="bearer  a b").get(place) == value


@pytest.mark.parametrize(
    ("places", "name"),
    [
        ("first+last", "Minji Kim"),
        ("last+first", "Kim Minji"),
        ("ko.first_name+ko.last_name", "김민지"),
        ("ko.last_name+ko.first_name", "김민지"),
        ("ja.given+ja.familyName", "佐々木さくら"),
        ("zh.given+zh.surname", "王小明"),
        ("first+ko.last_name", "Minji 김"),
        ("missing+ko.last_name", "김"),
        ("ko.first_name+missing", "민지"),
        ("ko.team+ko.first_name", "개발팀 민지"),
        ("ko.first_name+number", "민지"),
        ("missing+number", None),
    ],
)
def test_a_name_in_hangul_or_chinese_characters_has_the_family_name_first(places: str, name: str | None) -> None:
    names = {
        "first": " Minji ",
        "last": "Kim",
        "number": 7,
        "ko": {"first_name": "민지", "last_name": "김", "team": "개발팀"},
        "ja": {"given": "さくら", "familyName": "佐々木"},
        "zh": {"given": "小明", "surname": "王"},
    }
    backend = replace(backends.find("custom"), user_fields={"id": "id", "name": places})
    answer = Answer(UpstreamResponse(200, {}, json.dumps({"id": 7, **names}).encode()))
    assert results.user(backend, "user", answer).name == name


@pytest.mark.parametrize(
    ("body", "value"), [(b" 17|abc\n", "17|abc"), (b'"17|abc"', "17|abc"), (b"\xff", None), (b"", ""), (b"null", None)]
)
def test_the_whole_body_is_a_value(body: bytes, value: object) -> None:
    assert answer(body).get("body") == value


def test_each_of_several_set_cookie_headers_is_read(backend: FaultyBackend, http: HttpClient) -> None:
    lines = b"Set-Cookie: a=1\r\nSet-Cookie: r=ref; Path=/elsewhere; HttpOnly\r\nSet-Cookie: b=2\r\n\r\n"
    backend.responses["/login"] = keep_alive(http_response({"token": "tok"}).replace(b"\r\n\r\n", b"\r\n" + lines, 1))
    send = {"backend_refresh": "POST /refresh", "backend_refresh_send": "cookie:r"}
    login = client_of(backend, http, **send, backend_refresh_token="cookie:r").login("a", "b", a_context())
    assert login.tokens.refresh == "ref"


@pytest.mark.parametrize("bad", [None, "", "a b", "a\r\nb", "가", 5, True, ["t"], {"t": 1}], ids=ascii)
def test_only_text_that_a_header_can_have_is_a_token(bad: object) -> None:
    laravel = backends.find("laravel")
    read = answer({"data": {"token": {"plainTextToken": bad}}})
    with pytest.raises(errors.BackendUnavailable):
        results.tokens(laravel, "login", read, NOW)


def test_an_invalid_refresh_token_is_not_used_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    tokens = results.tokens(
        backends.find("strapi"), "login", answer({"jwt": "tok", "refreshToken": "secret token"}), NOW
    )
    assert tokens == Tokens("tok")
    assert "refresh token" in caplog.text
    assert "secret token" not in caplog.text


def test_tokens_are_not_in_the_repr() -> None:
    assert "secret" not in repr(Tokens("secret-1", "secret-2"))


# --- What answers mean


@pytest.mark.parametrize("status", [202, 204, 302, 400, 401, 403, 404, 429, 500])
def test_a_token_is_taken_from_an_answer_of_success_only(status: int) -> None:
    with pytest.raises(errors.SiteError):
        READERS["login"](
            backends.find("laravel"), "login", answer({"data": {"token": {"plainTextToken": "tok"}}}, status)
        )


@pytest.mark.parametrize("name", PRESETS)
def test_a_wrong_client_registration_is_the_operators(name: str) -> None:
    with pytest.raises(errors.Configuration):
        results.tokens(backends.find(name), "login", answer({"error": "invalid_client"}, 401), NOW)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("page", [b"<!doctype html><h1>No</h1>", b"\xef\xbb\xbf\r\n<html>", b"<?xml version='1.0'?>"])
def test_a_page_says_nothing_about_the_person(name: str, page: bytes) -> None:
    preset = backends.find(name)
    for status in {200, 400, 401, 403, 404, 410, 422, *(rule.status for rule in preset.meanings)}:
        for call, read in READERS.items():
            with pytest.raises(errors.ServerSideError):
                read(preset, call, answer(page, status))


def test_a_user_that_is_missing_is_not_a_session_that_is_over() -> None:
    """Only JSON's null is: a backend in maintenance may answer any other JSON."""
    for name, over in (("better-auth", None), ("payload", {"user": None})):
        with pytest.raises(errors.SessionExpired):
            results.user(backends.find(name), "user", answer(over))
        others: list[Any] = [{}, {"maintenance": True}, "null", [], {"user": {}}, {"user": ""}]
        for other in others:
            with pytest.raises(errors.BackendUnavailable):
                results.user(backends.find(name), "user", answer(other))


JSON_OF_ANY_SHAPE: list[Any] = [
    None, True, 0, 2**70, 1e308, "", "text", [], [None], [[[]]], {}, {"": None}, {"user": []}, {"data": [{"flows": 1}]},
    {"data": {"flows": [None, 5, "x", {"id": [], "is_pending": True}]}}, {"errors": {"email": {"a": 1}}},
    {"errors": [None, {"param": {}, "message": []}, {"param": ["a", 5]}]}, {"errors": "x"}, {"error": [{}]},
    {"detail": [{"loc": [], "msg": None}]}, {"response": {"field_errors": [1]}}, {"id": {"a": 1}}, {"id": -1},
    {"id": True}, {"id": 1.5}, {"message": {"a": 1}}, {"non_field_errors": {}}, {"token": {}, "expires_in": "x"},
]  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_json_of_any_shape_is_an_error_of_the_site(name: str) -> None:
    preset = backends.find(name)
    for body in JSON_OF_ANY_SHAPE:
        for status in (200, 201, 204, 400, 401, 403, 404, 410, 422, 429, 500, 503):
            for call, read in READERS.items():
                with pytest.raises(errors.SiteError):
                    read(preset, call, answer(body, status))


@pytest.mark.parametrize(
    ("place", "status", "body"),
    [
        ("errors", 422, {"errors": {"name": ["No."], "nickname": "Neither."}}),
        ("400 body", 400, {"name": ["No."], "nickname": ["Neither."], "detail": "x", "code": 5}),
        (
            "detail",
            422,
            {"detail": [{"loc": ["body", "name"], "msg": "No."}, {"loc": ["nickname"], "msg": "Neither."}]},
        ),
        (
            "400 e.e",
            400,
            {"e": {"e": [{"path": ["name"], "message": "No."}, {"path": "nickname", "message": "Neither."}]}},
        ),
        (
            "errors",
            422,
            {"errors": [{"param": "name", "message": "No."}, {"param": "nickname", "message": "Neither."}]},
        ),
    ],
)
def test_messages_for_fields_are_read_from_their_place(
    backend: FaultyBackend, http: HttpClient, place: str, status: int, body: object
) -> None:
    backend.responses["/profile"] = keep_alive(http_response(body, status))
    profile = {"backend_profile": "PATCH /profile", "backend_profile_body": "name={name} nickname={nick_name}"}
    client = client_of(backend, http, **profile, backend_field_errors=place)
    with pytest.raises(errors.InvalidFields) as refusal:
        client.save_profile("tok", User(7), "a", "b", a_context())
    assert refusal.value.fields == {"name": "No.", "nick_name": "Neither."}


# --- When tokens expire


@pytest.mark.parametrize(
    ("value", "unit", "seconds"),
    [
        (3600, "s", 3600),
        ("3600", "s", 3600),
        (900_000, "ms", 900),
        (NOW + 60, "at", 60),
        (str(NOW + 60), "at", 60),
        ((NOW + 60) * 1000, "at", 60),
        (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW + 60)), "at", 60),
    ],
    ids=["s", "s as text", "ms", "at", "at as text", "at in ms", "ISO 8601"],
)
def test_a_time_of_expiry_is_read_in_its_unit(value: object, unit: str, seconds: int) -> None:
    assert parse_expiry(value, unit, NOW) == NOW + seconds


@pytest.mark.parametrize("unit", ["s", "ms", "at"])
@pytest.mark.parametrize(
    "value", [None, True, "", "soon", "-1-1", -(10**12), 1e308, float("inf"), float("nan"), "9" * 400, [], {}]
)
def test_a_time_that_is_none_is_unknown(value: object, unit: str) -> None:
    assert parse_expiry(value, unit, NOW) is None


def jwt(claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sig"


@pytest.mark.parametrize(
    ("token", "expiry"),
    [
        (jwt({"exp": 1_700_000_000}), 1_700_000_000),
        (jwt({"exp": 1_700_000_000.5}), 1_700_000_000),
        (jwt({"exp": "soon"}), None),
        (jwt({}), None),
        (jwt([]), None),
        ("a.b.c", None),
        ("a.!.c", None),
        ("17|abc", None),
        (f"e30.{'W' * 4000}.c", None),
    ],
)
def test_the_expiry_of_a_jwt_is_a_hint(token: str, expiry: int | None) -> None:
    assert jwt_expiry(token) == expiry


# --- A token that cannot be used

FROM_LOGIN = {
    **BASE,
    "backend_user": None,
    "backend_user_from_login": "true",
    "backend_user_at": "user",
    "backend_refresh_token": "refresh",
    "backend_logout": "POST /logout",
    "backend_logout_body": "refresh={refresh_token}",
}


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, clock: ManualClock) -> Iterator[Site]:
    with running_site(backend.url, clock=clock, **FROM_LOGIN, **NO_LIMITS) as running:
        yield running


@pytest.mark.parametrize("user", [None, {}, {"id": ""}, {"id": None, "name": "x"}, "minji", []])
def test_a_token_without_a_user_signs_nobody_in_and_is_revoked(
    backend: FaultyBackend, site: Site, user: object
) -> None:
    backend.responses["/login"] = keep_alive(http_response({"token": "tok", "refresh": "ref", "user": user}))
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 502
    assert not visitor.is_signed_in
    assert [call.path for call in backend.calls] == ["/login", "/logout"]
    assert backend.calls[1].headers["Authorization"] == "Bearer tok"
    assert backend.calls[1].json == {"refresh": "ref"}


def test_a_user_from_the_login_is_never_asked_for_again(backend: FaultyBackend, site: Site, clock: ManualClock) -> None:
    backend.responses["/login"] = keep_alive(http_response({"token": "tok", "user": {"id": 7, "name": "민지"}}))
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    clock.advance(3600)
    assert visitor.get_session()["user"]["name"] == "민지"
    assert visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token()}).json()["user"]["id"] == 7
    assert [call.path for call in backend.calls] == ["/login"]


def test_a_logout_that_leaves_the_token_alive_is_not_called_a_revocation(
    backend: FaultyBackend, http: HttpClient
) -> None:
    logout = {"backend_logout": "POST /logout"}
    assert client_of(backend, http).logout(Tokens("tok"), a_context()) is Revocation.UNSUPPORTED
    assert client_of(backend, http, **logout).logout(Tokens("tok"), a_context()) is Revocation.REVOKED
    survives = client_of(backend, http, **logout, backend_logout_revokes="false")
    assert survives.logout(Tokens("tok"), a_context()) is Revocation.ACCEPTED
    backend.responses["/logout"] = keep_alive(http_response({"message": "no"}, 404))
    assert client_of(backend, http, **logout).logout(Tokens("tok"), a_context()) is Revocation.FAILED
    done = client_of(backend, http, **logout, backend_logout_done="404")
    assert done.logout(Tokens("tok"), a_context()) is Revocation.REVOKED
    backend.responses["/logout"] = keep_alive(http_response(b"<h1>No</h1>", 404))
    assert done.logout(Tokens("tok"), a_context()) is Revocation.FAILED


def test_saving_a_profile_without_a_user_in_the_answer_or_a_call_for_it_keeps_the_names(
    backend: FaultyBackend, http: HttpClient
) -> None:
    backend.responses["/profile"] = keep_alive(http_response({"status": True}))
    settings = {**FROM_LOGIN, "backend_profile": "PATCH /profile", "backend_profile_body": "name={name}"}
    client = client_of(backend, http, **settings)
    assert client.save_profile("tok", User(7), "새", None, a_context()) is None
