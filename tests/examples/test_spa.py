"""The single-page app of `examples/spa` in Chromium, behind nginx and Caddy, which add the token to its API calls."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from tests.support.browser import LOGIN, development_site, fill_credentials, submit_main_form
from tests.support.commands import ROOT, free_port_pair, require_program, run_command
from tests.support.site import Visitor, serve_in_thread

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.server, pytest.mark.external]

EXAMPLE = ROOT / "examples" / "spa"
COMMANDS = {"nginx": ("nginx", "-c", "nginx.conf", "-e", "stderr", "-p"), "caddy": ("caddy", "run")}


@dataclass
class Received:
    """A request that arrived at the API."""

    method: str
    query: str
    token: str
    cookie: str | None


@dataclass
class Example:
    url: str
    api_url: str
    received: list[Received] = field(default_factory=list)

    @property
    def token(self) -> str:
        """The access token that the API got last."""
        return self.received[-1].token


def load_api(backend_url: str) -> Any:
    spec = importlib.util.spec_from_file_location("spa_api", EXAMPLE / "api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.BACKEND_URL = backend_url  # type: ignore[attr-defined]
    return module


def recorded(app: Any, received: list[Received]) -> Any:
    def record(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        request = Received(environ["REQUEST_METHOD"], environ["QUERY_STRING"], token, environ.get("HTTP_COOKIE"))
        received.append(request)
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    return record


@contextmanager
def running_proxy(kind: str, folder: Path, ports: dict[str, int]) -> Iterator[None]:
    """Run the proxy as the README does, in a copy of the example, with other ports."""
    require_program(kind)
    copy = shutil.copytree(EXAMPLE, folder / "spa")
    for name in ("nginx.conf", "Caddyfile"):
        text = (copy / name).read_text("utf-8").replace("/tmp/", f"{folder}/")
        for port, other in ports.items():
            assert f":{port}" in text
            text = text.replace(f":{port}", f":{other}")
        (copy / name).write_text(text, "utf-8")
    if os.geteuid() == 0:  # or the workers of nginx run as another user, who may not read the copy
        config = (copy / "nginx.conf").read_text("utf-8")
        (copy / "nginx.conf").write_text(f"user root;\n{config}", "utf-8")
    if kind == "caddy":  # its API would listen on the same port as that of another test
        config = (copy / "Caddyfile").read_text("utf-8")
        (copy / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{config}", "utf-8")
    command = (*COMMANDS[kind], str(copy)) if kind == "nginx" else COMMANDS[kind]
    with run_command(*command, log=folder / "output", environ={}, cwd=copy) as started:
        started.wait_for(f"http://127.0.0.1:{ports['8090']}/")
        yield


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, restore_logging: None
) -> Iterator[Example]:
    port, folder = free_port_pair(), tmp_path_factory.mktemp(request.param)
    url = f"http://localhost:{port}"
    with development_site({"SITE_URL": url, "FORWARD_ACCESS_TOKEN": "true"}) as site_url:
        site_port = int(site_url.rpartition(":")[2])
        found = Example(url, "")
        api = load_api(f"http://127.0.0.1:{site_port + 1}")
        with (
            serve_in_thread("127.0.0.1", lambda _: recorded(api.app, found.received)) as api_port,
            running_proxy(request.param, folder, {"8090": port, "8080": site_port, "8082": api_port}),
        ):
            found.api_url = f"http://127.0.0.1:{api_port}"
            yield found


@pytest.fixture
def context(browser: Browser, example: Example) -> Iterator[BrowserContext]:
    with browser.new_context(base_url=example.url, locale="en") as opened:
        opened.set_default_timeout(20_000)
        yield opened


def sign_in(page: Page) -> None:
    page.goto("/")
    page.wait_for_url("**/auth/login/email?*")
    fill_credentials(page)
    submit_main_form(page)
    expect(page.locator("main h1")).to_have_text("Notes of 김민지")


def add(page: Page, note: str) -> None:
    page.get_by_label("New note").fill(note)
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#notes li").last).to_have_text(note)


_STORED = """async () => JSON.stringify([
    document.documentElement.outerHTML, document.cookie, {...localStorage}, {...sessionStorage},
    await caches.keys(), await indexedDB.databases(), performance.getEntries().map(entry => entry.name),
    await (await fetch("/api/auth/session")).text(),
])"""
_STATUS = "async ([path, options]) => (await fetch(path, options)).status"


def test_the_page_leads_to_sign_in_and_its_calls_get_the_token_until_the_sign_out(
    example: Example, context: BrowserContext
) -> None:
    page, responses = context.new_page(), set[Response]()

    def remember(response: Response) -> None:
        responses.add(response)

    page.on("response", remember)
    sign_in(page)
    add(page, "우유 사기")
    add(page, "buy milk")
    page.reload()
    expect(page.locator("#notes li")).to_have_text(["우유 사기", "buy milk"])

    token = example.token
    assert len(token) > 20
    assert {request.token for request in example.received[-3:]} == {token}
    assert {request.cookie for request in example.received} == {None}, "the API gets no cookie"
    assert token not in page.evaluate(_STORED)
    for response in responses:
        assert token not in str(response.headers_array()), response.url
        assert "authorization" not in response.all_headers(), response.url
    for url in {response.url for response in responses}:
        assert token not in page.evaluate("async url => (await fetch(url)).text()", url), url
    for path in ("/auth/verify", "/auth/verify?a=1", "/munjigi-verify"):
        answer = page.evaluate("async path => [...(await fetch(path)).headers].join()", path)
        assert token not in answer
        assert "authorization" not in answer

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/auth/login/email?*")
    assert page.evaluate(_STATUS, ["/api/notes", {}]) == 401
    assert page.evaluate(_STATUS, ["/api/notes", {"method": "POST", "body": "x"}]) == 401
    stale = requests.get(f"{example.api_url}/api/notes", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert stale.status_code == 401, "signing out has revoked the token"


def test_a_link_into_the_api_leads_to_sign_in_and_back(example: Example, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/api/notes?link=1")
    assert LOGIN in page.url
    fill_credentials(page)
    submit_main_form(page)
    page.wait_for_url(f"{example.url}/api/notes?link=1")
    assert '"notes"' in page.content()


@pytest.fixture(params=["localhost", "127.0.0.1"], ids=["same-site", "cross-site"])
def other_origin(request: pytest.FixtureRequest) -> Iterator[str]:
    """A page of another origin. Cookies do not know ports: one at another port of localhost gets them sent."""

    def page(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<!doctype html><title>Another site</title>"]

    with serve_in_thread("127.0.0.1", lambda _: page) as port:
        yield f"http://{request.param}:{port}"


_POST_FORM = """url => {
    const form = document.createElement("form")
    Object.assign(form, {action: url, method: "post", enctype: "text/plain"})
    form.innerHTML = '<input name="stolen" value="1">'
    document.body.append(form)
    form.submit()
}"""
_FETCH = """([url, options]) => fetch(url, {credentials: "include", ...options}).then(
    answer => answer.type === "opaque" ? "opaque" : String(answer.status), error => error.name)"""
UNREADABLE = ("opaque", "TypeError")
_WEBSOCKET = """url => new Promise(done => {
    const socket = new WebSocket(url)
    socket.onopen = () => done("open")
    socket.onclose = () => done("closed")
})"""


def test_another_origin_can_neither_change_nor_read_anything(
    example: Example, context: BrowserContext, other_origin: str
) -> None:
    page = context.new_page()
    sign_in(page)
    count = len(example.received)
    other = context.new_page()
    other.goto(other_origin)
    url = f"{example.url}/api/notes"
    for method in ("POST", "PUT", "DELETE"):
        assert other.evaluate(_FETCH, [f"{url}?fetch", {"method": method, "body": "x"}]) == "TypeError"
    assert other.evaluate(_FETCH, [f"{url}?no-cors", {"method": "POST", "body": "x", "mode": "no-cors"}]) in UNREADABLE
    assert other.evaluate(_WEBSOCKET, f"ws{url.removeprefix('http')}?socket") == "closed"
    assert other.evaluate(_FETCH, [f"{example.url}/auth/verify", {}]) == "TypeError"
    with other.expect_navigation() as navigation:
        other.evaluate(_POST_FORM, f"{url}?form")
    assert (navigation.value.status, other.url) == (403, f"{url}?form")
    assert [request.query for request in example.received[count:]] == []

    assert page.evaluate(_WEBSOCKET, f"ws{url.removeprefix('http')}?own-socket") == "closed"  # the API has none
    assert page.evaluate(_STATUS, [f"{url}?own", {"method": "POST", "body": "x"}]) == 201
    assert [request.query for request in example.received[count:]] == ["own-socket", "own"]


@pytest.mark.parametrize("header", ["", "Bearer made-up", "Basic bWluamk6"])
def test_the_api_refuses_what_is_no_token_of_the_backend(example: Example, header: str) -> None:
    for url in (example.api_url, example.url):
        response = Visitor(url, {}).get("/api/notes", headers={"Authorization": header, "Sec-Fetch-Mode": "cors"})
        assert response.status_code == 401


def test_the_nginx_configuration_is_valid_as_it_is(tmp_path: Path) -> None:
    command = [require_program("nginx"), "-t", "-c", "nginx.conf", "-e", "stderr", "-p", str(EXAMPLE)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0, result.stderr
