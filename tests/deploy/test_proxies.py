"""An app behind nginx and Caddy with the files of `deploy/`."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests

from tests.support.commands import ROOT, Command
from tests.support.markdown import MarkdownPage
from tests.support.production import production_server
from tests.support.proxies import DeployedConfig
from tests.support.redirects import destination
from tests.support.scripted import TOKEN, USER, ScriptedBackend, scripted_backend
from tests.support.site import Visitor, cookie_names

pytestmark = [pytest.mark.server, pytest.mark.external]

HONG = {"X-Auth-User-Id": "7", "X-Auth-User-Email": "hong@example.com", "X-Auth-User-Name": quote("홍길동")}
MADE_UP = {"User-Id": "666", "User-Name": "Root", "User-Email": "root@example.com", "Sign-In": "https://evil.example/"}


class _App(BaseHTTPRequestHandler):
    """An app that returns the headers it received, with `_` and `-` distinguished: many servers treat them alike."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = {name: value for name, value in self.headers.items() if re.match("x.auth", name, re.IGNORECASE)}
        body = json.dumps({"path": self.path, "told": told, "names": self.headers.keys()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def somebodys_app() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _App) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Front:
    """A proxy in front of the production server and an app."""

    proxy: DeployedConfig
    server: Command
    backend: ScriptedBackend

    def visitor(self, **headers: str) -> Visitor:
        visitor = Visitor(self.proxy.url, headers)
        visitor.verify = str(self.proxy.certificate)
        return visitor

    def member(self, **headers: str) -> Visitor:
        visitor = self.visitor(**headers)
        assert visitor.sign_in().status_code == 303
        return visitor


FILES = {"nginx": "nginx-forward-auth.conf", "caddy": "Caddyfile"}


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    text = (ROOT / "deploy" / FILES[request.param]).read_text("utf-8")
    with fronted(request.param, text, tmp_path_factory.mktemp(request.param)) as front:
        yield front


@contextmanager
def fronted(kind: str, text: str, folder: Path) -> Iterator[Front]:
    proxy = DeployedConfig(kind, text, folder)
    with (
        scripted_backend() as backend,
        production_server(folder, SITE_URL=proxy.url, BACKEND_URL=backend.url, PROXY_HOPS="1") as (server, direct),
        somebodys_app() as app_port,
        proxy.running(urlsplit(direct.url).port or 0, app_port),
    ):
        yield Front(proxy, server, backend)


@pytest.fixture
def front(running: Front) -> Front:
    """Reset the backend's user, which an earlier test may have changed."""
    running.backend.user, running.backend.token = dict(USER), TOKEN
    return running


def told(visitor: Visitor) -> dict[str, str]:
    """Return the identity headers that the app received, without the empty ones."""
    answer = visitor.get("/")
    assert answer.status_code == 200
    return {name: value for name, value in answer.json()["told"].items() if value}


def test_an_anonymous_request_is_sent_to_sign_in_and_returns_to_the_same_url(front: Front) -> None:
    visitor = front.visitor()
    sent = visitor.get("/rooms/한강?from=1&to=2&q=a%26b#x")
    assert (sent.status_code, urlsplit(sent.headers["Location"]).path) == (303, "/auth/login/email")
    page = visitor.get_page(sent.headers["Location"])
    back = visitor.sign_in(callbackUrl=str(page.input_value("callbackUrl")))
    assert destination(back) == f"{front.proxy.url}/rooms/%ED%95%9C%EA%B0%95?from=1&to=2&q=a%26b"
    assert cookie_names(back) >= {"__Secure-next-auth.session-token", "__Host-munjigi.visitor"}
    shown = visitor.get(destination(back)).json()
    assert (shown["path"], shown["told"]) == ("/rooms/%ED%95%9C%EA%B0%95?from=1&to=2&q=a%26b", HONG)


@pytest.mark.parametrize("spelling", ["X-Auth-", "x-auth-", "X_Auth_", "X-Auth_", "X_Auth-"])
def test_a_client_cannot_forge_identity_headers(front: Front, spelling: str) -> None:
    made_up = {spelling + name: value for name, value in MADE_UP.items()}
    if "_" in spelling:
        made_up |= {name.replace("-", "_"): value for name, value in made_up.items()}
    nobody = front.visitor(**made_up).get("/")
    assert (nobody.status_code, urlsplit(nobody.headers["Location"]).netloc) == (303, urlsplit(front.proxy.url).netloc)
    assert told(front.member(**made_up)) == HONG


@pytest.mark.parametrize("value", ["close, X-Auth-User-Id", "x-auth-user-name,X-AUTH-USER-EMAIL"])
def test_a_client_cannot_remove_identity_headers_by_naming_them_in_connection(front: Front, value: str) -> None:
    answer = front.member().get("/", headers={"Connection": value})
    assert answer.status_code == 400 or answer.json()["told"] == HONG


def test_a_websocket_handshake_is_checked_like_any_other_request(front: Front) -> None:
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert front.visitor().get("/socket", headers=handshake).status_code == 303
    assert front.member().get("/socket", headers=handshake).status_code == 200


def test_a_missing_name_or_address_cannot_be_forged(front: Front) -> None:
    front.backend.user |= {"name": None, "email": None}
    assert told(front.member(**{f"X-Auth-{name}": value for name, value in MADE_UP.items()})) == {"X-Auth-User-Id": "7"}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X_Forwarded_For", "X-Forwarded_For"])
def test_a_client_cannot_forge_its_ip_address(front: Front, header: str) -> None:
    front.member(**{header: "203.0.113.9"})
    assert "203.0.113.9" not in front.server.output
    assert "address=127.0.0.1" in front.server.output


def test_signing_out_takes_effect_at_once_for_copies_of_the_cookie(front: Front) -> None:
    visitor, copy = front.member(), front.visitor()
    copy.cookies.update(visitor.cookies)
    assert told(copy) == HONG
    visitor.submit("/auth/logout", {})
    assert visitor.get("/").status_code == 303
    assert copy.get("/").status_code == 303


def test_the_largest_session_and_the_longest_name_pass_the_proxy(front: Front) -> None:
    front.backend.token = "x" * 4096
    front.backend.user |= {"name": "홍" * 200, "nick_name": "길" * 200}
    visitor = front.member()
    assert sum("session-token" in cookie.name for cookie in visitor.cookies) == 3
    assert told(visitor) == {**HONG, "X-Auth-User-Name": quote("홍" * 200)}


# The two configurations of docs/operations.md, without an app.


def of_the_docs(kind: str) -> str:
    (block,) = [one for one in MarkdownPage(ROOT / "docs" / "operations.md").code_blocks if one.language == kind]
    return "\n" + block.text


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_the_site_works_behind_the_proxy_settings_of_the_docs(kind: str, tmp_path: Path) -> None:
    with fronted(kind, of_the_docs(kind), tmp_path) as front:
        test_a_client_cannot_forge_its_ip_address(front, "X-Forwarded-For")
        front.backend.token = "x" * 4096
        front.backend.user |= {"name": "홍" * 200, "nick_name": "길" * 200}
        visitor = front.member()
        assert visitor.get_session()["user"]["name"] == "홍" * 200
        refused = visitor.post("/auth/login/email", data={"email": "x" * 70_000})
        assert refused.status_code in (413, 502)  # Caddy 2.6 answers 502 when the server closes the connection


@pytest.mark.parametrize(
    ("kind", "text"),
    [(kind, (ROOT / "deploy" / name).read_text("utf-8")) for kind, name in FILES.items()]
    + [(kind, of_the_docs(kind)) for kind in FILES],
    ids=["nginx with an app", "Caddy with an app", "nginx", "Caddy"],
)
def test_headers_with_underscores_do_not_reach_the_site(kind: str, text: str, tmp_path: Path) -> None:
    """Many servers pass `X_Forwarded_For` to an app as `X-Forwarded-For`."""
    proxy = DeployedConfig(kind, text, tmp_path)
    with somebodys_app() as port, proxy.running(port, port):
        made_up = {"X_Forwarded_For": "203.0.113.9", "X-Forwarded_For": "203.0.113.9", "x_other": "1"}
        answer = requests.get(
            f"{proxy.url}/auth/login/email", headers=made_up, verify=str(proxy.certificate), timeout=5
        )
    names = answer.json()["names"]
    assert "X-Forwarded-For" in names
    assert [name for name in names if "_" in name] == []
