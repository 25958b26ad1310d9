"""An app behind nginx and Caddy with the files of `deploy/`."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from app import create_app
from services.backend.user import User
from services.clock import Clock
from services.sessions.cookie import SessionCookie
from services.sessions.model import Session
from tests.support.commands import ROOT, Command, free_port_pair
from tests.support.markdown import MarkdownPage
from tests.support.production import production_server
from tests.support.proxies import DeployedConfig, nginx
from tests.support.redirects import destination
from tests.support.scripted import TOKEN, USER, ScriptedBackend, scripted_backend
from tests.support.signing_keys import private_pem
from tests.support.site import ACCOUNT_PATHS, LINK_PATHS, Visitor, cookie_names, make_settings

pytestmark = [pytest.mark.server, pytest.mark.external]

HONG = {"X-Auth-User-Id": "7", "X-Auth-User-Email": "hong@example.com", "X-Auth-User-Name": quote("홍길동")}
MADE_UP = {
    "User-Id": "666",
    "User-Name": "Root",
    "User-Email": "root@example.com",
    "Sign-In": "https://evil.example/",
    "Assertion": "a.b.c",
}


class _App(BaseHTTPRequestHandler):
    """An app that returns the headers it received, with `_` and `-` distinguished: many servers treat them alike."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {name: value for name, value in self.headers.items() if re.match("x.auth", name, re.IGNORECASE)}
        received = {name: self.headers.get_all(name) for name in ("Authorization", "Cookie")}
        body = json.dumps({"path": self.path, "told": told, "names": self.headers.keys(), **received}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

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
def fronted(kind: str, text: str, folder: Path, **settings: Any) -> Iterator[Front]:
    proxy = DeployedConfig(kind, text, folder)
    settings = {"SITE_URL": proxy.url, "PROXY_HOPS": "1", "FORWARD_ACCESS_TOKEN": "true", **settings}
    with (
        scripted_backend() as backend,
        production_server(folder, BACKEND_URL=backend.url, **settings) as (server, direct),
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


def test_every_page_of_the_site_is_reached_without_a_session(front: Front) -> None:
    """All but those that browsers must not reach, and `/`, which is the app's. Its pages have a request id."""
    others = ("/", "/auth/verify", "/health/", "/metrics")
    paths = {
        re.sub("<.*?>", "x", rule.rule)
        for rule in create_app(make_settings(**ACCOUNT_PATHS, **LINK_PATHS)).url_map.iter_rules()
        if not rule.rule.startswith(others[2:]) and rule.rule not in others
    }
    assert len(paths) > 30
    visitor = front.visitor()
    answered_by_the_app = {path for path in paths if "X-Request-Id" not in visitor.get(path).headers}
    assert answered_by_the_app == set()


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


# The access token for the app, and requests of other sites.


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer made-up"}], ids=str)
def test_the_app_gets_the_access_token_and_not_what_the_client_sent(front: Front, headers: dict[str, str]) -> None:
    response = front.member().get("/", headers=headers)
    assert response.json()["Authorization"] == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("kind", FILES)
def test_without_the_setting_the_app_gets_no_token(kind: str, tmp_path: Path) -> None:
    text = (ROOT / "deploy" / FILES[kind]).read_text("utf-8")
    with fronted(kind, text, tmp_path, FORWARD_ACCESS_TOKEN="false") as front:
        received = front.member().get("/", headers={"Authorization": "Bearer made-up"}).json()["Authorization"]
    assert received in (None, [""])


def test_no_answer_to_a_browser_has_the_access_token(front: Front) -> None:
    visitor = front.member()
    paths = ("/auth/verify", "/auth//verify", "/auth/%76erify", "/auth/./verify", "/auth/verify/", "/auth/verify?a=1")
    for path in (*paths, "/munjigi-verify", "/auth/static/../verify", "/AUTH/VERIFY"):
        for method in ("GET", "HEAD", "POST"):
            response = visitor.request(method, path, headers={"X-Forwarded-Method": "GET", "Origin": front.proxy.url})
            assert "Authorization" not in response.headers, path
            assert TOKEN not in str(response.headers), path
    for path in paths[:4]:
        assert visitor.get(path).status_code == 404, path


COOKIES = ["", "theme=dark", "a=1; b=2; c=3"]


@pytest.mark.parametrize("others", COOKIES)
@pytest.mark.parametrize("chunks", [1, 3])
def test_the_app_gets_all_cookies_but_the_session(front: Front, others: str, chunks: int) -> None:
    front.backend.token = "x" * (4096 if chunks == 3 else 40)
    front.backend.user |= {"name": "홍" * 200, "nick_name": "길" * 200} if chunks == 3 else {}
    visitor = front.member()
    session = [f"{cookie.name}={cookie.value}" for cookie in visitor.cookies if "session-token" in cookie.name]
    assert len(session) == chunks
    visitor.cookies.clear()
    pairs = others.split("; ") if others else []
    for sent in ([*pairs, *session], [*session, *pairs], [*pairs[:1], *session[:1], *pairs[1:], *session[1:]]):
        (received,) = visitor.get("/", headers={"Cookie": "; ".join(sent)}).json()["Cookie"] or [""]
        assert [pair.strip() for pair in received.split(";") if pair.strip()] == pairs


def test_a_request_of_another_site_is_refused_unless_it_only_reads(front: Front) -> None:
    visitor = front.member()
    own = {"Origin": front.proxy.url, "Sec-Fetch-Site": "same-origin"}
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    spoofed = {"X-Forwarded-Method": "GET", "X-HTTP-Method-Override": "GET"}
    for method in ("POST", "PUT", "DELETE"):
        assert visitor.request(method, "/orders", data={"a": "1"}, headers=own).status_code == 200
        for headers in (other, other | spoofed, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
            refused = visitor.request(method, "/orders", data={"a": "1"}, headers=headers)
            assert (refused.status_code, "Location" in refused.headers) == (403, False)
    assert visitor.get("/orders", headers=other).status_code == 200
    assert "cross-site request to an app rejected: method='DELETE' path='/orders'" in front.server.output


def test_another_site_cannot_open_a_websocket(front: Front) -> None:
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    visitor = front.member()
    assert visitor.get("/socket", headers={**handshake, "Origin": front.proxy.url}).status_code == 200
    assert visitor.get("/socket", headers={**handshake, "Origin": "https://evil.example"}).status_code == 403


def test_a_script_without_a_session_gets_401_and_a_page_the_sign_in_page(front: Front) -> None:
    visitor = front.visitor()
    for mode, status in {"cors": 401, "same-origin": 401, "no-cors": 401, "navigate": 303, None: 303}.items():
        assert visitor.get("/", headers={"Sec-Fetch-Mode": mode} if mode else {}).status_code == status


def test_request_headers_that_are_too_large_for_the_site_are_no_fault_of_the_app(front: Front) -> None:
    response = front.member().get("/", headers={"X-Large": "x" * 12_000, "X-Larger": "x" * 12_500})
    assert response.status_code == 431


def test_an_app_whose_check_fails_answers_502(running: Front, tmp_path: Path) -> None:
    """nginx would turn it into a 500."""
    kind = "nginx" if "auth_request" in running.proxy.text else "caddy"
    proxy = DeployedConfig(kind, running.proxy.text, tmp_path)
    with somebodys_app() as app_port, proxy.running(1, app_port):
        response = requests.get(proxy.url, verify=str(proxy.certificate), timeout=10)
    assert response.status_code == 502


@pytest.mark.parametrize("kind", FILES)
def test_an_app_gets_an_assertion_for_its_host_that_the_public_keys_verify(kind: str, tmp_path: Path) -> None:
    text = (ROOT / "deploy" / FILES[kind]).read_text("utf-8")
    text = text.replace("copy_headers X-Auth-User-Id", "copy_headers X-Auth-Assertion X-Auth-User-Id")
    with fronted(kind, text, tmp_path, ASSERTION_PRIVATE_KEY=private_pem().replace("\n", "\\n")) as front:
        visitor = front.member(**{"X-Forwarded-Host": "evil.example", "X-Auth-Assertion": "a.b.c"})
        keys = KeySet.import_key_set(front.visitor().get("/.well-known/jwks.json").json())
        claims = jwt.decode(told(visitor)["X-Auth-Assertion"], keys, algorithms=["ES256"]).claims
        assert claims["iss"] == front.proxy.url
        assert claims["aud"] == urlsplit(front.proxy.url).netloc
        assert claims["sub"] == "7"


def with_recent_sign_in(kind: str) -> str:
    """The file of `deploy/` with the blocks of docs/forward-auth.md."""
    text = (ROOT / "deploy" / FILES[kind]).read_text("utf-8")
    page = MarkdownPage(ROOT / "docs" / "forward-auth.md")
    blocks = [block.text for block in page.code_blocks if block.language == kind]
    anchors = ["        proxy_set_header Cookie", "    location = /munjigi-verify {"]
    if kind == "caddy":
        anchors = ["\t\t\tforward_auth 127.0.0.1:8000 {"]
    for anchor, block in zip(anchors, blocks, strict=True):
        assert text.count(anchor) == 1
        text = text.replace(anchor, f"{block}\n{anchor}")
    return text


@pytest.mark.parametrize("kind", FILES)
def test_an_old_sign_in_has_to_be_confirmed_for_the_pages_that_demand_it(kind: str, tmp_path: Path) -> None:
    with fronted(kind, with_recent_sign_in(kind), tmp_path) as front:
        assert front.member().get("/billing/cards").status_code == 200
        now = int(time.time())
        old = Session(
            user=User.from_json(USER),
            access_token=TOKEN,
            provider="email",
            sid="an-old-session",
            auth_time=now - 700,
            checked_at=now,
            expires_at=now + 2592000,
        )
        visitor = front.visitor(**{"X-Auth-User-Id": "666"})
        name, token = "__Secure-next-auth.session-token", SessionCookie(make_settings(), Clock()).encrypt(old)
        visitor.cookies.set(name, token, domain="127.0.0.1", secure=True)
        for path in ("/billing", "/billing/cards?a=1", "/%62illing/cards", "//billing/cards", "/x/../billing/"):
            sent = visitor.get(f"{front.proxy.url}{path}")
            assert (sent.status_code, urlsplit(sent.headers["Location"]).path) == (303, "/auth/login/confirm"), path
        assert told(visitor) == HONG
        assert visitor.get("/billing", headers={"Sec-Fetch-Mode": "cors"}).status_code == 401
        page = visitor.get_page(visitor.get("/billing/cards?a=1").headers["Location"])
        back = str(page.input_value("callbackUrl"))
        assert back == f"{front.proxy.url}/billing/cards?a=1"
        confirmed = visitor.submit("/auth/login/confirm", {"password": "x", "callbackUrl": back})
        assert destination(confirmed) == back
        assert visitor.get(back).json()["told"] == HONG


# The two configurations of docs/operations.md, without an app.


def of_the_docs(kind: str) -> str:
    (block,) = [one for one in MarkdownPage(ROOT / "docs" / "operations.md").code_blocks if one.language == kind]
    return "\n" + block.text


def test_a_user_signs_in_behind_the_nginx_of_compose(tmp_path: Path) -> None:
    """The file as it is, with another address of the site and another port. The proxy is the public address."""
    port = free_port_pair()
    url = f"http://localhost:{port}"
    with production_server(tmp_path, SITE_URL=url, PROXY_HOPS="1", LOG_FORMAT="json") as (command, direct):
        text = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
        site = direct.url.removeprefix("http://").replace("localhost", "127.0.0.1")
        text = text.replace("munjigi:8000;", f"{site};").replace("listen 80;", f"listen 127.0.0.1:{port};")
        with nginx(tmp_path, url, text):
            visitor = Visitor(url, {})
            visitor.headers["X-Forwarded-For"] = "203.0.113.9"  # of the client's own making: not the last one
            assert visitor.sign_in().status_code == 303
            assert visitor.get_page("/").heading == "Signed in as 민지"
            assert visitor.get("/metrics").status_code == 404
        assert '"event": "signed_in"' in command.output
        assert "203.0.113.9" not in command.output


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
