"""Forward auth: what a proxy is told before it lets a request through to somebody's app."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from flask import Flask, request

from dev.backend import PASSWORD
from tests.commands import ROOT, free_ports
from tests.scripted import Backend, scripted
from tests.site import MINJI, Site, Visitor, cookie_names, running_site, served

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
VERIFY = "/auth/verify"


def sign_in_address(response: requests.Response) -> str:
    return parse_qs(urlsplit(response.headers["X-Auth-Sign-In"]).query).get("callbackUrl", [""])[0]


def test_nobody_is_401_and_the_proxy_is_told_where_to_send_them(visitor: Visitor) -> None:
    response = visitor.get(VERIFY, headers={"X-Forwarded-Uri": "/rooms?from=1&to=2&q=%ED%95%9C"})
    assert (response.status_code, response.text, cookie_names(response)) == (401, "", set())
    assert sign_in_address(response) == f"{visitor.url}/rooms?from=1&to=2&q=%ED%95%9C"
    assert response.headers["X-Auth-Sign-In"].startswith(f"{visitor.url}/auth/login/email?")


@pytest.mark.parametrize("asked", ["//evil.example", "https://evil.example/", "\\evil", "javascript:alert(1)", "", "x"])
def test_a_made_up_address_leads_nowhere(visitor: Visitor, asked: str) -> None:
    response = visitor.get(VERIFY, headers={"X-Forwarded-Uri": asked})
    assert response.headers["X-Auth-Sign-In"] == f"{visitor.url}/auth/login/email"


def test_somebody_is_204_with_who_it_is(visitor: Visitor) -> None:
    visitor.sign_in()
    response = visitor.get(VERIFY)
    assert (response.status_code, response.content) == (204, b"")
    told = {name: value for name, value in response.headers.items() if name.startswith("X-Auth-")}
    assert told == {
        "X-Auth-User-Id": "1",
        "X-Auth-User-Email": MINJI,
        "X-Auth-User-Name": "%EA%B9%80%EB%AF%BC%EC%A7%80",
    }
    assert unquote(told["X-Auth-User-Name"]) == "김민지"


@pytest.fixture
def backend() -> Iterator[Backend]:
    with scripted() as running:
        yield running


def test_a_name_can_say_nothing_in_a_header(backend: Backend) -> None:
    backend.user = {"id": "a\u00e9", "name": "x\u2028y: z, %0d%0aX-Auth-User-Id: 1", "nick_name": None, "email": None}
    with running_site(backend_url=backend.url) as site:
        visitor = site.visitor()
        visitor.sign_in()
        response = visitor.get(VERIFY)
    assert response.headers["X-Auth-User-Id"] == "a%C3%A9"
    assert re.fullmatch(r"[A-Za-z0-9%._~-]+", response.headers["X-Auth-User-Name"])
    assert unquote(response.headers["X-Auth-User-Name"]) == backend.user["name"]
    assert "X-Auth-User-Email" not in response.headers


def test_it_sets_no_cookie_whatever_it_finds(site: Site) -> None:
    for junk in ("next-auth.session-token=x", "next-auth.session-token.0=x; munjigi.visitor=y"):
        response = site.visitor(Cookie=junk).get(VERIFY)
        assert (response.status_code, cookie_names(response)) == (401, set())


def test_a_session_that_the_backend_has_ended_does_not_pass(backend: Backend) -> None:
    with running_site(backend_url=backend.url, session_recheck=1) as site:
        visitor = site.visitor()
        visitor.sign_in()
        backend.user_status = 401
        time.sleep(1.1)
        response = visitor.get(VERIFY)
        assert (response.status_code, cookie_names(response)) == (401, set())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_405(visitor: Visitor, method: str) -> None:
    assert visitor.request(method, VERIFY).status_code == 405


# nginx, for real.


def create_app() -> Flask:
    """Somebody's app, which says what it was told."""
    app = Flask(__name__)

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def show(path: str) -> dict[str, str]:
        return {"path": path, **{name: value for name, value in request.headers if name.startswith("X-Auth")}}

    return app


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx with deploy/nginx-forward-auth.conf, but for its ports, host and TLS."""
    if NGINX is None:
        pytest.skip("there is no nginx here")
    folder, port = tmp_path_factory.mktemp("nginx"), free_ports()
    url = f"http://localhost:{port}"
    with running_site(site_url=url) as site, served("127.0.0.1", lambda _: create_app()) as app_port:
        block = (ROOT / "deploy" / "nginx-forward-auth.conf").read_text("utf-8")
        for there, here in {
            "127.0.0.1:8000": f"127.0.0.1:{urlsplit(site.url).port}",
            "127.0.0.1:3000": f"127.0.0.1:{app_port}",
            "listen 443 ssl": f"listen 127.0.0.1:{port}",
            "example.com;": "localhost;",
        }.items():
            assert there in block
            block = block.replace(there, here)
        block = re.sub(r"\n *ssl_certificate.*", "", block)
        paths = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error; events {{}}\n"
            f"http {{ access_log off; {paths}\n{block} }}"
        )
        with subprocess.Popen([NGINX, "-e", f"{folder}/error", "-p", str(folder), "-c", "nginx.conf"]) as nginx:
            _wait_for(url)
            yield url
            nginx.terminate()


def _wait_for(url: str) -> None:
    for _ in range(100):
        try:
            requests.get(f"{url}/auth/login/email", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("nginx did not start")


def test_behind_nginx_nobody_comes_in_and_everybody_comes_back_to_what_they_asked_for(front: str) -> None:
    visitor = Visitor(front, {})
    sent = visitor.get("/rooms/한강?from=1&to=2#x")
    assert sent.status_code == 303
    page = visitor.page(sent.headers["Location"])
    back = visitor.submit(
        "/auth/login/email", {"email": MINJI, "password": PASSWORD, "callbackUrl": str(page.value("callbackUrl"))}
    )
    assert back.headers["Location"] == f"{front}/rooms/%ED%95%9C%EA%B0%95?from=1&to=2"
    told = visitor.get(back.headers["Location"]).json()
    assert told["path"] == "rooms/한강"
    assert unquote(told["X-Auth-User-Name"]) == "김민지"


def test_behind_nginx_nobody_can_say_who_they_are(front: str) -> None:
    made_up = {"X-Auth-User-Id": "666", "X-Auth-User-Name": "Root", "X-Auth-User-Email": "root@example.com"}
    assert Visitor(front, made_up).get("/").status_code == 303
    visitor = Visitor(front, made_up)
    visitor.sign_in()
    assert visitor.get("/").json() | {"path": ""} == {
        "path": "",
        "X-Auth-User-Id": "1",
        "X-Auth-User-Email": MINJI,
        "X-Auth-User-Name": "%EA%B9%80%EB%AF%BC%EC%A7%80",
    }


def test_behind_nginx_signing_out_takes_effect_at_once(front: str) -> None:
    visitor = Visitor(front, {})
    visitor.sign_in()
    assert visitor.get("/").status_code == 200
    copied = Visitor(front, {})
    copied.cookies.update(visitor.cookies.copy())
    visitor.submit("/auth/logout", {})
    assert visitor.get("/").status_code == 303
    assert copied.get("/").status_code == 303


def test_behind_nginx_large_cookies_pass(front: str) -> None:
    visitor = Visitor(front, {})
    visitor.sign_in()
    for number in range(3):
        visitor.cookies.set(f"other{number}", "x" * 3800, domain="localhost.local", path="/")
    assert visitor.get("/").status_code == 200
