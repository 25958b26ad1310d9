"""What `examples/` shows works: the Flask app runs here, and the Next.js app is held to what it says of itself."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import config_readers
from services.user import User
from tests.commands import FLASK, ROOT, free_ports, running
from tests.forge import COOKIE
from tests.scripted import USER, Backend, scripted
from tests.site import SECRET, Site, Visitor, running_site

EXAMPLES = ROOT / "examples"
NEXT_APP = EXAMPLES / "nextjs-front-end"
FLASK_APP = EXAMPLES / "flask-app"
WAYS = ("/asked", "/opened")


@pytest.fixture
def backend() -> Iterator[Backend]:
    with scripted() as started:
        yield started


@pytest.fixture
def site(backend: Backend) -> Iterator[Site]:
    with running_site(backend_url=backend.url) as started:
        yield started


@pytest.fixture
def service(site: Site, tmp_path: Path) -> Iterator[str]:
    port = free_ports()
    command = (FLASK, "--app", "members", "run", "--host", "localhost", "--port", str(port))
    environ = {"MUNJIGI_URL": site.url, "SECRET_KEY": SECRET, "FLASK_SKIP_DOTENV": "1"}
    with running(*command, log=tmp_path / "output", environ=environ, cwd=FLASK_APP) as started:
        started.wait_for(f"http://localhost:{port}/asked")
        yield f"http://localhost:{port}"


def seen(visitor: Visitor, service: str) -> list[Any]:
    """Whom the service takes this visitor for, by each of its ways; a status where it lets nobody in."""
    answers = [visitor.get(service + way) for way in WAYS]
    return [answer.json()["user"] if answer.ok else answer.status_code for answer in answers]


def test_the_flask_app_knows_who_is_signed_in_and_who_is_not(site: Site, service: str) -> None:
    visitor = site.visitor()
    assert seen(visitor, service) == [401, 401]
    visitor.sign_in()
    assert seen(visitor, service) == [USER, USER]
    visitor.submit("/auth/logout", {})
    assert seen(visitor, service) == [401, 401]


def test_the_flask_app_puts_a_large_session_together(site: Site, backend: Backend, service: str) -> None:
    backend.token, backend.user = "t" * 4000, {**USER, "name": "😀" * 200, "nick_name": "홍" * 200}
    visitor = site.visitor()
    visitor.sign_in()
    assert {f"{COOKIE}.{number}" for number in range(3)} <= set(visitor.cookies.keys())
    assert seen(visitor, service) == [backend.user, backend.user]


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c.d.e", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA"])
def test_the_flask_app_lets_nobody_in_with_a_made_up_cookie(site: Site, service: str, cookie: str) -> None:
    stranger = site.visitor(Cookie=f"{COOKIE}={cookie}")
    assert seen(stranger, service) == [401, 401]


def test_only_who_asks_learns_that_the_backend_has_ended_a_session(site: Site, backend: Backend, service: str) -> None:
    visitor = site.visitor_since(3600, User.from_json(USER))
    assert seen(visitor, service) == [USER, USER]
    visitor = site.visitor_since(3600, User.from_json(USER))
    backend.user_status = 401
    assert seen(visitor, service) == [401, USER]


def test_the_flask_app_has_the_versions_that_run_here() -> None:
    pinned = (FLASK_APP / "requirements.txt").read_text("utf-8").split()
    assert set(pinned) <= set(re.findall(r"^\S+==\S+", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE))


def test_the_next_app_has_the_next_auth_that_is_tested_here() -> None:
    ours, tested = (json.loads((at / "package.json").read_text("utf-8")) for at in (NEXT_APP, ROOT / "tests"))
    exact = ours["dependencies"] | ours["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in exact.values())
    for name in ("next-auth", "react", "react-dom"):
        assert exact[name] == tested["dependencies"][name]
    packages = json.loads((NEXT_APP / "package-lock.json").read_text("utf-8"))["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in exact} == exact
    fetched = [one["resolved"] for path, one in packages.items() if path]
    assert all(address.startswith("https://registry.npmjs.org/") for address in fetched)


def test_the_next_app_has_no_next_auth_of_its_own() -> None:
    assert not (NEXT_APP / "pages" / "api").exists()
    assert not (NEXT_APP / "app").exists()


def test_what_the_sign_in_page_needs_is_under_what_the_next_app_passes_on(site: Site) -> None:
    config = (NEXT_APP / "next.config.mjs").read_text("utf-8")
    passed_on = tuple(re.findall(r'source: "(/[a-z/]+/):path\*"', config))
    assert passed_on == ("/auth/", "/api/auth/")
    page = site.visitor().page("/auth/login/email")
    named = {element.get(name) for name in ("href", "src", "action") for element in page.all(f"*[@{name}]")}
    own = {address for address in named if address.startswith("/")} - {"/"}
    assert own
    assert all(address.startswith(passed_on) for address in own)


def test_the_command_beside_the_next_app_has_its_settings() -> None:
    lines = (NEXT_APP / ".env.development").read_text("utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    command = f"make run SITE_URL={given['NEXTAUTH_URL']} SECRET_KEY={given['NEXTAUTH_SECRET']}"
    assert f"$ {command}\n" in (NEXT_APP / "README.md").read_text("utf-8")
    assert config_readers.secret(given["NEXTAUTH_SECRET"])


@pytest.mark.parametrize("readme", sorted(EXAMPLES.glob("*/README.md")), ids=lambda path: path.parent.name)
def test_every_file_that_an_examples_readme_names_is_there(readme: Path) -> None:
    text = readme.read_text("utf-8")
    named = re.findall(r"`([\w./-]+\.(?:tsx?|mjs|py|development))`", text) + re.findall(r"\]\(([^):]+)\)", text)
    assert named
    assert all((readme.parent / name).exists() for name in named)
