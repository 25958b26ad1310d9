"""Who may know whom (docs/decisions/0001): a room imports only rooms below it, and nothing imports `dev`."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES: tuple[str, ...] = (
    "errors",
    "settings_readers",
    "providers",
    "config",
    "services",
    "web",
    "blueprints",
    "app",
    "doctor",
    "server",
    "dev",
    "serve",
)
"""From the ground up."""
PROVIDERS = ("kakao", "naver", "apple", "google", "github", "discord")
"""And LINE, whose name is a word of every module."""
FILES = sorted(path for room in PACKAGES for path in [*ROOT.glob(f"{room}.py"), *ROOT.glob(f"{room}/**/*.py")])


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_room_knows_only_the_rooms_below_it(path: Path) -> None:
    above = PACKAGES[PACKAGES.index(package_of(path)) + 1 :]
    known = {module.partition(".")[0] for module in imports(path)}
    assert known.isdisjoint(above)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_module_does_no_work_when_it_is_imported(path: Path) -> None:
    for node in ast.parse(path.read_text("utf-8")).body:
        called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        allowed = isinstance(
            node,
            ast.Import
            | ast.ImportFrom
            | ast.Assign
            | ast.AnnAssign
            | ast.FunctionDef
            | ast.AsyncFunctionDef
            | ast.ClassDef
            | ast.Expr,
        )
        is_main = isinstance(node, ast.If) and re.search("__main__|TYPE_CHECKING", ast.dump(node.test))
        assert (allowed and not called) or is_main, f"line {node.lineno}"


def using(module: str) -> set[str]:
    return {
        named(path) for path in FILES if any(re.match(rf"{re.escape(module)}(\.|$)", name) for name in imports(path))
    }


def test_one_room_opens_connections_and_one_asks_it_to() -> None:
    client, adapter = "services/http/client.py", "services/http/aiohttp_adapter.py"
    assert using("aiohttp") == using("urllib3") == {adapter}
    assert using("requests") == {client, adapter}
    assert using("services.http.aiohttp_adapter") == {client}
    assert using("redis") == {"services/state/redis.py"}


def test_one_room_knows_the_server_and_one_the_event_loop() -> None:
    assert using("uvicorn") == {"serve.py", "server/http_protocol.py"}
    assert using("greenlet") == {"services/event_loop.py"}


def test_one_room_knows_authlib() -> None:
    assert using("authlib") == {"services/oauth/client.py", "services/oauth/id_token.py"}


def test_the_environment_is_read_where_the_site_is_put_together() -> None:
    reading = {named(path) for path in FILES if "os.environ" in path.read_text("utf-8")}
    assert reading == {
        "app.py",
        "serve.py",
        "server/worker.py",
        "services/http/aiohttp_adapter.py",  # SSL_CERT_FILE, which OpenSSL reads
        "doctor/command.py",
        "dev/__init__.py",
    }


def test_each_cookie_is_written_in_one_place() -> None:
    writing = {named(path) for path in FILES if ".set_cookie(" in path.read_text("utf-8")}
    assert writing == {
        "services/sessions/cookie.py",
        "services/oauth/attempts.py",
        "services/limits/device_cookie.py",
        "web/provider_buttons.py",
    }


def test_no_line_of_the_site_knows_a_provider_or_development() -> None:
    site = [path for path in FILES if package_of(path) not in ("dev", "providers")] + sorted(
        ROOT.glob("templates/*.html")
    )
    for path in site:
        words = set(re.findall(r"[a-z]+", path.read_text("utf-8").lower()))
        assert words.isdisjoint(PROVIDERS), named(path)
        assert not re.search(r"\bif .*\b(dev|debug|development)\b", path.read_text("utf-8").lower()), named(path)
