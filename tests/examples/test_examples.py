"""The projects in `examples/` work: the Flask ones run here; for the Next.js app its files are checked."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

import settings_readers
from dev.backend import PASSWORD
from services.backend.user import User
from tests.support.commands import FLASK, ROOT, free_port_pair, run_command
from tests.support.forge import COOKIE
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.site import MINJI, SECRET, Site, Visitor, running_site, serve_in_thread

EXAMPLES = ROOT / "examples"
NEXT_APP = EXAMPLES / "nextjs-front-end"
FLASK_APP = EXAMPLES / "flask-app"
BACKEND = EXAMPLES / "flask-backend"
WAYS = ("/fetched", "/decrypted")


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as started:
        yield started


@pytest.fixture
def site(backend: ScriptedBackend) -> Iterator[Site]:
    with running_site(backend_url=backend.url) as started:
        yield started


@pytest.fixture
def service(site: Site, tmp_path: Path) -> Iterator[str]:
    port = free_port_pair()
    command = (FLASK, "--app", "members", "run", "--host", "localhost", "--port", str(port))
    environ = {"MUNJIGI_URL": site.url, "SECRET_KEY": SECRET, "FLASK_SKIP_DOTENV": "1"}
    with run_command(*command, log=tmp_path / "output", environ=environ, cwd=FLASK_APP) as started:
        started.wait_for(f"http://localhost:{port}/fetched")
        yield f"http://localhost:{port}"


def seen(visitor: Visitor, service: str) -> list[Any]:
    """Return the user that each endpoint of the service sees, or the status of a refusal."""
    answers = [visitor.get(service + way) for way in WAYS]
    return [answer.json()["user"] if answer.ok else answer.status_code for answer in answers]


@pytest.mark.server
def test_the_flask_app_reads_the_session(site: Site, service: str) -> None:
    visitor = site.new_visitor()
    assert seen(visitor, service) == [401, 401]
    visitor.sign_in()
    assert seen(visitor, service) == [USER, USER]
    visitor.submit("/auth/logout", {})
    assert seen(visitor, service) == [401, 401]


@pytest.mark.server
def test_the_flask_app_reads_a_session_of_several_cookies(site: Site, backend: ScriptedBackend, service: str) -> None:
    backend.token, backend.user = "t" * 4000, {**USER, "name": "😀" * 200, "nick_name": "홍" * 200}
    visitor = site.new_visitor()
    visitor.sign_in()
    assert {f"{COOKIE}.{number}" for number in range(3)} <= set(visitor.cookies.keys())
    assert seen(visitor, service) == [backend.user, backend.user]


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c.d.e", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA"])
@pytest.mark.server
def test_the_flask_app_refuses_a_forged_cookie(site: Site, service: str, cookie: str) -> None:
    stranger = site.new_visitor(Cookie=f"{COOKIE}={cookie}")
    assert seen(stranger, service) == [401, 401]


@pytest.mark.server
def test_only_the_endpoint_that_asks_the_site_notices_a_revoked_session(
    site: Site, backend: ScriptedBackend, service: str
) -> None:
    visitor = site.visitor_signed_in_ago(3600, User.from_json(USER))
    assert seen(visitor, service) == [USER, USER]
    visitor = site.visitor_signed_in_ago(3600, User.from_json(USER))
    backend.user_status = 401
    assert seen(visitor, service) == [401, USER]


@pytest.mark.parametrize("example", [FLASK_APP, BACKEND], ids=lambda path: path.name)
def test_an_example_pins_the_versions_of_this_repository(example: Path) -> None:
    pinned = (example / "requirements.txt").read_text("utf-8").split()
    assert set(pinned) <= set(re.findall(r"^\S+==\S+", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE))


def test_the_next_app_uses_the_next_auth_version_that_is_tested_here() -> None:
    ours, tested = (json.loads((at / "package.json").read_text("utf-8")) for at in (NEXT_APP, ROOT / "tests"))
    exact = ours["dependencies"] | ours["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in exact.values())
    for name in ("next-auth", "react", "react-dom"):
        assert exact[name] == tested["dependencies"][name]
    packages = json.loads((NEXT_APP / "package-lock.json").read_text("utf-8"))["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in exact} == exact
    fetched = [one["resolved"] for path, one in packages.items() if path]
    assert all(address.startswith("https://registry.npmjs.org/") for address in fetched)


def test_the_next_app_has_no_next_auth_routes_of_its_own() -> None:
    assert not (NEXT_APP / "pages" / "api").exists()
    assert not (NEXT_APP / "app").exists()


def test_the_next_app_proxies_every_path_that_the_login_page_uses(site: Site) -> None:
    config = (NEXT_APP / "next.config.mjs").read_text("utf-8")
    passed_on = tuple(re.findall(r'source: "(/[a-z/]+/):path\*"', config))
    assert passed_on == ("/auth/", "/api/auth/")
    page = site.new_visitor().get_page("/auth/login/email")
    named = {element.get(name) for name in ("href", "src", "action") for element in page.find_all(f"*[@{name}]")}
    own = {address for address in named if address.startswith("/")} - {"/"}
    assert own
    assert all(address.startswith(passed_on) for address in own)


def test_the_readme_of_the_next_app_shows_its_settings() -> None:
    lines = (NEXT_APP / ".env.development").read_text("utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    command = f"make run SITE_URL={given['NEXTAUTH_URL']} SECRET_KEY={given['NEXTAUTH_SECRET']}"
    assert f"$ {command}\n" in (NEXT_APP / "README.md").read_text("utf-8")
    assert settings_readers.secret(given["NEXTAUTH_SECRET"])


@pytest.mark.parametrize("readme", sorted(EXAMPLES.glob("*/README.md")), ids=lambda path: path.parent.name)
def test_every_file_in_an_example_readme_exists(readme: Path) -> None:
    text = readme.read_text("utf-8")
    named = re.findall(r"`([\w./-]+\.(?:tsx?|mjs|py|development))`", text)
    assert named
    assert all((readme.parent / name).exists() for name in named)


# --- The Flask backend

OF_KAKAO = {"app_id": 1234567, "id": 4012345678}
ACCOUNT = {"is_email_valid": True, "is_email_verified": True, "email": "haneul.kim@example.com"}
ANSWERS: dict[str, Any] = {
    "/v1/user/access_token_info": {"ours": OF_KAKAO, "taken": OF_KAKAO, "foreign": {**OF_KAKAO, "app_id": 7}},
    "/v2/user/me": {
        "ours": {"id": 4012345678, "kakao_account": {**ACCOUNT, "profile": {"nickname": "하늘"}}},
        "taken": {"id": 4099999999, "kakao_account": {**ACCOUNT, "email": "Minji@example.com"}},
        "foreign": {"id": 4012345678},
    },
    "/tokeninfo": {"ours": {"aud": "our-web"}, "foreign": {"aud": "their-web"}},
    "/v1/userinfo": {
        "ours": {"sub": "g-1", "email": "g@example.com", "email_verified": "true", "name": "G"},
        "foreign": {"sub": "g-2", "email": "g2@example.com", "email_verified": True, "name": "G"},
    },
    "/applications/our-app/token": {"ours": {"user": {"id": 9001, "login": "octo"}}},
}
"""Answers of the providers about a token, by path; any other token is unknown."""


def provider_api(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
    asked = environ["QUERY_STRING"].removeprefix("access_token=") or body.get("access_token")
    token = asked or environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
    if token == "down":
        start_response("503 Service Unavailable", [])
        return [b""]
    answer = ANSWERS.get(environ["PATH_INFO"], {}).get(token)
    start_response("200 OK" if answer else "401 Unauthorized", [("Content-Type", "application/json")])
    return [json.dumps(answer or {}).encode()]


@pytest.fixture(scope="module")
def own_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example backend, started as in its README, with one account."""
    folder = tmp_path_factory.mktemp("flask-backend")
    command = (FLASK, "--app", "backend")
    port = free_port_pair()
    with serve_in_thread("127.0.0.1", lambda _: provider_api) as api:
        names = ("KAKAO_API", "GOOGLE_API", "GOOGLE_USER_API", "GITHUB_API")
        environ = dict.fromkeys(names, f"http://127.0.0.1:{api}") | {
            "DATABASE": str(folder / "users.sqlite"),
            "FLASK_SKIP_DOTENV": "1",
            "KAKAO_APPS": "1234567",
            "GOOGLE_APPS": "our-ios,our-web",
            "GITHUB_APPS": "our-app:secret",
        }
        for password in ("forgotten", PASSWORD):
            adding = (*command, "add-user", MINJI, password, "김민지")
            with run_command(*adding, log=folder / "added", environ=environ, cwd=BACKEND) as added:
                assert added.process.wait(20) == 0, added.output
        serving = (*command, "run", "--port", str(port))
        with run_command(*serving, log=folder / "output", environ=environ, cwd=BACKEND) as started:
            started.wait_for(f"http://127.0.0.1:{port}/")
            databases[port] = environ["DATABASE"]
            yield f"http://127.0.0.1:{port}"


databases: dict[int | None, str] = {}
"""The file of each running example backend, by its port."""


@pytest.mark.server
def test_with_the_example_backend_people_sign_in_change_their_name_and_sign_out(own_backend: str) -> None:
    with running_site(backend_url=own_backend) as site:
        visitor = site.new_visitor()
        assert visitor.sign_in(password="wrong").status_code == 401
        assert visitor.sign_in("nobody@example.com").status_code == 401
        assert visitor.sign_in("Minji@Example.com").status_code == 303
        assert visitor.submit("/account", {"name": "새봄", "nick_name": ""}).status_code == 303
        assert visitor.get_session()["user"] == {"id": 1, "name": "새봄", "nick_name": None, "email": MINJI}
        visitor.submit("/auth/logout", {})
        assert not visitor.is_signed_in


@pytest.mark.server
def test_a_token_of_the_example_backend_is_invalid_after_sign_out(own_backend: str) -> None:
    token = handed_out(requests.post(f"{own_backend}/login", json={"email": MINJI, "password": PASSWORD}, timeout=5))
    bearer = {"Authorization": f"Bearer {token}"}
    asked = [requests.post(f"{own_backend}/{path}", headers=bearer, timeout=5) for path in ("user", "logout", "user")]
    assert [answer.status_code for answer in asked] == [200, 204, 401]


@pytest.mark.server
def test_a_new_password_at_the_example_backend_ends_the_sessions_of_the_user(own_backend: str, tmp_path: Path) -> None:
    token = "the-Backend-tells-with-this-one-only"
    port = urlsplit(own_backend).port
    with running_site(backend_url=own_backend, backend_events_token=token, session_revalidate=0) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        assert visitor.is_signed_in
        environ = {"DATABASE": databases[port], "MUNJIGI_URL": site.url, "MUNJIGI_EVENTS_TOKEN": token}
        adding = (FLASK, "--app", "backend", "add-user", MINJI, PASSWORD, "김민지")
        with run_command(*adding, log=tmp_path / "added", environ=environ, cwd=BACKEND) as added:
            assert added.process.wait(20) == 0, added.output
        assert not visitor.is_signed_in


def handed_out(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["token"]["plainTextToken"])


def came_from(backend: str, provider: str, token: object) -> requests.Response:
    path = f"{backend}/login/social/callback/{provider}"
    return requests.post(path, json={"social_token": token, "email": MINJI}, timeout=10)


@pytest.mark.parametrize(
    ("provider", "email"), [("kakao", "haneul.kim@example.com"), ("google", None), ("github", None)]
)
@pytest.mark.server
def test_a_social_account_is_the_same_user_each_time(own_backend: str, provider: str, email: str) -> None:
    tokens = [handed_out(came_from(own_backend, provider, "ours")) for _ in range(2)]
    bearers = [{"Authorization": f"Bearer {token}"} for token in tokens]
    found = [requests.post(f"{own_backend}/user", headers=one, timeout=5).json()["data"]["user"] for one in bearers]
    assert found[0] == found[1]
    assert found[0]["email"] == email, "only what the provider calls verified, and nothing that the body says"


@pytest.mark.parametrize(
    ("provider", "token", "status"),
    [
        ("kakao", "foreign", 401),
        ("google", "foreign", 401),
        ("github", "foreign", 401),
        ("kakao", "made-up", 401),
        ("kakao", "taken", 409),
        ("kakao", "down", 503),
        ("kakao", 7, 422),
        ("naver", "ours", 404),
    ],
)
@pytest.mark.server
def test_the_example_backend_refuses_foreign_provider_tokens(
    own_backend: str, provider: str, token: object, status: int
) -> None:
    assert came_from(own_backend, provider, token).status_code == status
