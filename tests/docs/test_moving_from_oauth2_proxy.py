"""docs/moving-from-oauth2-proxy.md: its nginx configuration protects one path with Munjigi and the rest as before."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage
from tests.support.production import production_server
from tests.support.proxies import DeployedConfig
from tests.support.redirects import destination
from tests.support.scripted import TOKEN, scripted_backend
from tests.support.site import Visitor, serve_in_thread

pytestmark = [pytest.mark.server, pytest.mark.external]

PAGE = MarkdownPage(ROOT / "docs" / "moving-from-oauth2-proxy.md")
OLD_SESSION = {"Cookie": "_oauth2_proxy=theirs"}
NAMES = ("X-User", "X-Email", "X-Access-Token", "Authorization")


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the headers that oauth2-proxy and Munjigi add."""
    headers = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}") for name in NAMES}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(headers).encode()]


def oauth2_proxy(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer as oauth2-proxy with `--set-xauthrequest` and `--pass-access-token` does, by its documentation."""
    if environ["PATH_INFO"] == "/oauth2/auth":
        if environ.get("HTTP_COOKIE") == OLD_SESSION["Cookie"]:
            names = ("User", "hong"), ("Email", "hong@example.com"), ("Access-Token", "of-the-provider")
            start_response("202 Accepted", [(f"X-Auth-Request-{name}", value) for name, value in names])
        else:
            start_response("401 Unauthorized", [])
    else:
        start_response("200 OK", [])
    return [b""]


@dataclass
class Front:
    proxy: DeployedConfig

    def visitor(self, **headers: str) -> Visitor:
        visitor = Visitor(self.proxy.url, headers)
        visitor.verify = str(self.proxy.certificate)
        return visitor


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    (text,) = [block.text for block in PAGE.code_blocks if block.language == "nginx"]
    folder = tmp_path_factory.mktemp("oauth2-proxy")
    with (
        serve_in_thread("127.0.0.1", lambda _: oauth2_proxy) as oauth2_proxy_port,
        serve_in_thread("127.0.0.1", lambda _: app) as app_port,
        scripted_backend() as backend,
    ):
        proxy = DeployedConfig("nginx", text.replace("127.0.0.1:4180", f"127.0.0.1:{oauth2_proxy_port}"), folder)
        settings: dict[str, Any] = {"SITE_URL": proxy.url, "PROXY_HOPS": "1", "FORWARD_ACCESS_TOKEN": "true"}
        with (
            production_server(folder, BACKEND_URL=backend.url, **settings) as (_, direct),
            proxy.running(urlsplit(direct.url).port or 0, app_port),
        ):
            yield Front(proxy)


def test_the_other_paths_stay_with_oauth2_proxy(front: Front) -> None:
    sent = front.visitor().get("/orders?from=1")
    assert sent.headers["Location"].startswith(f"{front.proxy.url}/oauth2/sign_in?rd=")
    assert front.visitor().get("/oauth2/sign_in").status_code == 200
    seen = front.visitor(**OLD_SESSION).get("/orders").json()
    assert seen == dict(zip(NAMES, ("hong", "hong@example.com", "of-the-provider", None), strict=True))


def test_the_moved_path_has_the_same_headers_from_munjigi(front: Front) -> None:
    visitor = front.visitor()
    sent = visitor.get("/reports/?from=1")
    assert (sent.status_code, urlsplit(sent.headers["Location"]).path) == (303, "/auth/login/email")
    page = visitor.get_page(sent.headers["Location"])
    back = visitor.sign_in(callbackUrl=str(page.input_value("callbackUrl")))
    assert destination(back) == f"{front.proxy.url}/reports/?from=1"
    assert visitor.get("/reports/").json() == dict(zip(NAMES, ("7", "hong@example.com", TOKEN, None), strict=True))


def test_a_session_of_one_is_none_at_the_other(front: Front) -> None:
    assert front.visitor(**OLD_SESSION).get("/reports/").status_code == 303
    visitor = front.visitor()
    visitor.sign_in()
    assert visitor.get("/orders").status_code == 302


def test_a_client_cannot_make_up_headers_of_the_moved_path(front: Front) -> None:
    visitor = front.visitor(**{"X-User": "666", "X-Email": "e", "X-Access-Token": "t", "Authorization": "Bearer t"})
    assert visitor.get("/reports/").status_code == 303
    visitor.sign_in()
    assert visitor.get("/reports/").json()["X-User"] == "7"
    assert visitor.get("/reports/").json()["Authorization"] is None


@pytest.mark.parametrize("path", ["/auth/verify", "/munjigi-verify", "/oauth2/auth"])
def test_browsers_cannot_reach_the_checks(front: Front, path: str) -> None:
    visitor = front.visitor()
    visitor.sign_in()
    assert visitor.get(path).status_code == 404


def test_a_script_gets_401_instead_of_the_sign_in_page(front: Front) -> None:
    assert front.visitor(**{"Sec-Fetch-Mode": "cors"}).get("/reports/").status_code == 401
