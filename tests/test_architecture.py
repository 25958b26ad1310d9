"""The import direction of the packages (docs/decisions/0001-packages.md): each imports only packages below it."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.architecture import FILES, PACKAGES, imports, package_of, relative_path
from tests.support.commands import ROOT

PROVIDERS = ("kakao", "naver", "apple", "google", "github", "discord")
"""Without LINE, whose name is a common word."""


@pytest.mark.parametrize("path", FILES, ids=relative_path)
def test_a_package_imports_only_packages_below_it(path: Path) -> None:
    above = PACKAGES[PACKAGES.index(package_of(path)) + 1 :]
    known = {module.partition(".")[0] for module in imports(path)}
    assert known.isdisjoint(above)


@pytest.mark.parametrize("path", FILES, ids=relative_path)
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
        relative_path(path)
        for path in FILES
        if any(re.match(rf"{re.escape(module)}(\.|$)", name) for name in imports(path))
    }


def test_network_libraries_are_imported_in_one_module_each() -> None:
    client, adapter = "services/http/client.py", "services/http/aiohttp_adapter.py"
    assert using("aiohttp") == using("urllib3") == {adapter}
    assert using("requests") == {client, adapter}
    assert using("services.http.aiohttp_adapter") == {client}
    assert using("redis") == {"services/state/redis.py"}


def test_the_server_and_greenlets_are_imported_in_one_place_each() -> None:
    assert using("uvicorn") == {"serve.py", "server/http_protocol.py"}
    assert using("greenlet") == {"services/event_loop.py"}


def test_authlib_is_imported_in_two_modules() -> None:
    assert using("authlib") == {"services/oauth/client.py", "services/oauth/id_token.py"}


def test_the_environment_is_read_in_few_modules() -> None:
    reading = {relative_path(path) for path in FILES if "os.environ" in path.read_text("utf-8")}
    assert reading == {
        "app.py",
        "serve.py",
        "server/worker.py",
        "services/http/aiohttp_adapter.py",  # OpenSSL's SSL_CERT_FILE
        "doctor/command.py",
        "dev/__init__.py",
    }


def test_each_cookie_is_set_in_one_module() -> None:
    writing = {relative_path(path) for path in FILES if ".set_cookie(" in path.read_text("utf-8")}
    assert writing == {
        "services/sessions/cookie.py",
        "services/oauth/attempts.py",
        "services/limits/device_cookie.py",
        "web/provider_buttons.py",
    }


def test_no_module_or_template_mentions_a_provider_or_development() -> None:
    site = [path for path in FILES if package_of(path) not in ("dev", "providers")] + sorted(
        ROOT.glob("templates/*.html")
    )
    for path in site:
        words = set(re.findall(r"[a-z]+", path.read_text("utf-8").lower()))
        assert words.isdisjoint(PROVIDERS), relative_path(path)
        assert not re.search(r"\bif .*\b(dev|debug|development)\b", path.read_text("utf-8").lower()), relative_path(
            path
        )
