"""docs/moving-from-flask.md: a hand-written Flask app that is moved with the code and the configuration of the page."""

import json
import re
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from flask_login import logout_user
from werkzeug.security import generate_password_hash

from tests.support.commands import ROOT
from tests.support.handwritten_flask_app import PASSWORD, Users, create_app
from tests.support.markdown import MarkdownPage
from tests.support.production import production_server
from tests.support.proxies import DeployedConfig
from tests.support.redirects import destination
from tests.support.site import MINJI, Visitor, serve_in_thread

PAGE = MarkdownPage(ROOT / "docs" / "moving-from-flask.md")
HONG = "hong@example.com"


def blocks(language: str) -> list[str]:
    return [block.text for block in PAGE.code_blocks if block.language == language]


@dataclass
class MovedApp:
    app: Flask
    users: Users


def tokeninfo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer as Google does for the tokens `<aud>:<sub>`; 400 for all others."""
    token = dict(parse_qsl(environ["QUERY_STRING"])).get("access_token", "")
    aud, _, sub = token.partition(":")
    start_response("200 OK" if sub else "400 Bad Request", [("Content-Type", "application/json")])
    return [json.dumps({"aud": aud, "sub": sub} if sub else {"error": "invalid_token"}).encode()]


@pytest.fixture(scope="module")
def google_url() -> Iterator[str]:
    with serve_in_thread("127.0.0.1", lambda _: tokeninfo) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def moved(google_url: str) -> MovedApp:
    """The app after step 3: with the calls, and with the user from the header."""
    users = Users()
    app, login_manager, csrf = create_app(users)
    calls, registration, user, google = blocks("python")
    google = google.replace("https://oauth2.googleapis.com", google_url).replace(
        "<the client id of Munjigi at Google>", "ours"
    )
    modules: dict[str, dict[str, Any]] = {
        "models": {
            "find_user": users.find_user,
            "find_user_by_email": users.find_user_by_email,
            "find_user_by_google": users.find_user_by_google,
        },
        "app": {"login_manager": login_manager},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, members in modules.items():
            patch.setitem(sys.modules, name, _module(name, members))
        patch.setitem(sys.modules, "munjigi_calls", _module("munjigi_calls", {}, calls))
        _module("munjigi_google", {}, google)
        _module("app_with_calls", {"app": app, "csrf": csrf}, registration)
        _module("munjigi_user", {}, user)

    def logout() -> Any:
        logout_user()
        return app.redirect("/auth/logout")

    app.view_functions["logout"] = logout
    return MovedApp(app, users)


def _module(name: str, members: dict[str, Any], code: str = "") -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(members)
    exec(compile(code, f"{PAGE.name}: {name}", "exec"), vars(module))
    return module


# The calls


@pytest.fixture
def client(moved: MovedApp) -> FlaskClient:
    return moved.app.test_client()


def sign_in(client: FlaskClient, email: str = MINJI, password: str = PASSWORD) -> Any:
    return client.post("/munjigi/login", json={"email": email, "password": password, "device_name": "web"})


def user_status(client: FlaskClient, token: str) -> int:
    return client.post("/munjigi/user", headers={"Authorization": f"Bearer {token}"}).status_code


@pytest.mark.parametrize("email", [HONG, "Hong@Example.com"])
def test_the_calls_answer_as_the_default_backend(client: FlaskClient, email: str) -> None:
    token = sign_in(client, email).json["data"]["token"]["plainTextToken"]
    user = client.post("/munjigi/user", headers={"Authorization": f"Bearer {token}"})
    assert user.json == {"data": {"user": {"id": 2, "name": "홍길동", "nick_name": None, "email": HONG}}}


@pytest.mark.parametrize(("email", "password"), [(MINJI, "wrong"), (MINJI, ""), ("nobody@example.com", PASSWORD)])
def test_a_wrong_password_gets_401(client: FlaskClient, email: str, password: str) -> None:
    assert sign_in(client, email, password).status_code == 401


def test_an_account_without_a_password_cannot_sign_in_with_one(client: FlaskClient, moved: MovedApp) -> None:
    user = moved.users.find_user(1)
    assert user is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user, "password_hash", None)
        assert sign_in(client, password="").status_code == 401


@pytest.mark.parametrize("token", ["", "x", "WzEsICJhIl0.aaaa.bbbb"])
def test_a_made_up_token_gets_401(client: FlaskClient, token: str) -> None:
    assert user_status(client, token) == 401


def test_a_new_password_ends_the_tokens(client: FlaskClient, moved: MovedApp) -> None:
    user = moved.users.find_user(1)
    assert user is not None
    token = sign_in(client).json["data"]["token"]["plainTextToken"]
    assert user_status(client, token) == 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user, "password_hash", generate_password_hash("another"))
        assert user_status(client, token) == 401


def google_sign_in(client: FlaskClient, token: object) -> Any:
    return client.post("/munjigi/login/social/callback/google", json={"social_token": token})


def test_a_token_of_google_signs_in_who_has_its_subject(client: FlaskClient) -> None:
    token = google_sign_in(client, "ours:1087").json["data"]["token"]["plainTextToken"]
    user = client.post("/munjigi/user", headers={"Authorization": f"Bearer {token}"})
    assert user.json["data"]["user"]["email"] == MINJI  # type: ignore[index]


@pytest.mark.parametrize(
    ("token", "status"), [("theirs:1087", 401), ("ours:", 401), ("x", 401), (None, 401), ("ours:1", 409)]
)
def test_another_apps_token_and_an_unknown_person_are_refused(
    client: FlaskClient, token: str | None, status: int
) -> None:
    assert google_sign_in(client, token).status_code == status


def test_a_page_that_needs_a_user_leads_to_the_sign_in_page_and_back(client: FlaskClient) -> None:
    sent = client.get("/bookings?from=1&to=2")
    parts = urlsplit(sent.headers["Location"])
    assert (sent.status_code, parts.path) == (303, "/auth/login/email")
    assert parse_qs(parts.query) == {"callbackUrl": ["/bookings?from=1&to=2"]}


# Behind nginx, with Munjigi


@dataclass
class Front:
    proxy: DeployedConfig
    app_url: str

    def visitor(self, **headers: str) -> Visitor:
        visitor = Visitor(self.proxy.url, headers)
        visitor.verify = str(self.proxy.certificate)
        return visitor

    def old_session(self, email: str) -> Visitor:
        """Sign in at the app's own page, as before the move, which the proxy still shows."""
        visitor = self.visitor()
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', visitor.get("/login").text)
        fields = {"csrf_token": token, "email": email, "password": PASSWORD}
        done = visitor.post("/login", data=fields, headers={"Referer": f"{self.proxy.url}/login"})
        assert urlsplit(done.headers["Location"]).path == "/bookings"
        return visitor


@pytest.fixture(scope="module")
def front(moved: MovedApp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("moved")
    (text,) = blocks("nginx")
    proxy = DeployedConfig("nginx", text, folder)
    (settings,) = blocks("ini")
    assert "BACKEND_URL=http://127.0.0.1:3000/munjigi" in settings
    with (
        serve_in_thread("127.0.0.1", lambda _: moved.app) as app_port,
        production_server(
            folder, SITE_URL=proxy.url, PROXY_HOPS="1", BACKEND_URL=f"http://127.0.0.1:{app_port}/munjigi"
        ) as (_, direct),
        proxy.running(urlsplit(direct.url).port or 0, app_port),
    ):
        yield Front(proxy, f"http://127.0.0.1:{app_port}")


def name(visitor: Visitor) -> str | None:
    """Return the name that the app's home page shows."""
    shown: str | None = visitor.get("/").json()["user"]
    return shown


behind_nginx = [pytest.mark.server, pytest.mark.external]


class TestBehindNginx:
    pytestmark = behind_nginx

    def test_who_signs_in_at_munjigi_is_signed_in_to_the_app(self, front: Front) -> None:
        visitor = front.visitor()
        assert name(visitor) is None
        sent = visitor.get("/bookings?from=1")
        page = visitor.get_page(sent.headers["Location"])
        back = visitor.sign_in(MINJI, PASSWORD, callbackUrl=str(page.input_value("callbackUrl")))
        assert destination(back) == f"{front.proxy.url}/bookings?from=1"
        assert visitor.get("/bookings?from=1").json() == {"user": "김민지"}

    def test_who_was_signed_in_before_the_move_still_is(self, front: Front) -> None:
        assert name(front.old_session(HONG)) == "홍길동"

    def test_a_sign_in_at_munjigi_counts_more_than_an_old_session(self, front: Front) -> None:
        visitor = front.old_session(HONG)
        visitor.sign_in(MINJI, PASSWORD)
        assert name(visitor) == "김민지"

    def test_the_old_sign_out_ends_both_sessions(self, front: Front) -> None:
        visitor = front.old_session(HONG)
        visitor.sign_in(MINJI, PASSWORD)
        assert destination(visitor.get("/logout")).endswith("/auth/logout")
        visitor.submit("/auth/logout", {})
        assert name(visitor) is None

    @pytest.mark.parametrize("header", ["X-Auth-User-Id", "x-auth-user-id", "X_Auth_User_Id"])
    def test_a_client_cannot_make_up_the_user(self, front: Front, header: str) -> None:
        made_up = {header: "1"}
        assert name(front.visitor(**made_up)) is None
        signed_in = front.visitor(**made_up)
        signed_in.sign_in(HONG, PASSWORD)
        assert name(signed_in) == "홍길동"

    @pytest.mark.parametrize("path", ["/munjigi/login", "/munjigi/user", "/auth/verify", "/auth/../munjigi/user"])
    def test_browsers_cannot_reach_the_calls(self, front: Front, path: str) -> None:
        assert front.visitor().get(path).status_code == 404
        assert front.visitor().post(path).status_code == 404
        assert requests.post(f"{front.app_url}/munjigi/user", timeout=30).status_code == 401, "Munjigi can"

    def test_a_form_of_another_site_is_refused(self, front: Front) -> None:
        visitor = front.visitor()
        visitor.sign_in(MINJI, PASSWORD)
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert visitor.post("/bookings", headers=headers).status_code == 403
