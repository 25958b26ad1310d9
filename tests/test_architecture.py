"""Rules that import-linter cannot check. Its contracts are in pyproject.toml, and `make check` runs them."""

import ast
import re
from pathlib import Path

import pytest

import backends
import providers
from tests.support.architecture import FILES, PACKAGES, imports, package_of, relative_path
from tests.support.commands import ROOT

MODULE_IMPORTS: dict[str, set[str]] = {
    "errors": set(),
    "settings_readers": set(),
    "config": {"backends", "providers", "settings_readers"},
    "app": {*PACKAGES} - {"app", "server", "dev", "serve", "munjigi"},
    "serve": {"config", "doctor", "server"},
}
"""What each module at the top level may import: import-linter reads the imports of packages only."""
PROVIDERS = {*providers.names()} - {"line", "oidc"}
"""The provider ids that no other code may contain. `line` and `oidc` are ordinary words of the code."""


def files_containing(text: str) -> set[str]:
    return {relative_path(path) for path in FILES if text in path.read_text("utf-8")}


@pytest.mark.parametrize("module", MODULE_IMPORTS)
def test_a_module_at_the_top_level_imports_only_packages_below_it(module: str) -> None:
    imported = {name.partition(".")[0] for name in imports(ROOT / f"{module}.py")}
    assert imported & {*PACKAGES} <= MODULE_IMPORTS[module]


@pytest.mark.parametrize("path", FILES, ids=relative_path)
def test_a_module_does_no_work_when_it_is_imported(path: Path) -> None:
    declarations = (
        ast.Import,
        ast.ImportFrom,
        ast.Assign,
        ast.AnnAssign,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Expr,
    )
    for node in ast.parse(path.read_text("utf-8")).body:
        is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        is_main = isinstance(node, ast.If) and re.search("__main__|TYPE_CHECKING", ast.dump(node.test))
        assert (isinstance(node, declarations) and not is_call) or is_main, f"line {node.lineno}"


def test_the_environment_is_read_where_the_site_is_created() -> None:
    assert files_containing("os.environ") == {
        "app.py",
        "serve.py",
        "server/worker.py",
        "services/http/aiohttp_adapter.py",  # SSL_CERT_FILE, which OpenSSL reads
        "doctor/command.py",
        "dev/__init__.py",
    }


def test_each_cookie_is_set_in_one_module() -> None:
    assert files_containing(".set_cookie(") == {"web/request_context.py"}


def test_only_the_modules_of_a_provider_contain_its_name() -> None:
    browsers = ROOT / "services" / "observability" / "user_agent.py"  # some have the name of a provider
    paths = [path for path in FILES if package_of(path) not in ("dev", "providers") and path != browsers]
    for path in [*paths, *sorted(ROOT.glob("templates/*.html"))]:
        words = set(re.findall(r"[a-z]+", path.read_text("utf-8").lower()))
        assert words.isdisjoint(PROVIDERS), relative_path(path)


def test_no_condition_of_the_site_depends_on_a_development_mode() -> None:
    paths = [path for path in FILES if package_of(path) != "dev"]
    for path in [*paths, *sorted(ROOT.glob("templates/*.html"))]:
        assert not re.search(r"\bif .*\b(dev|debug|development)\b", path.read_text("utf-8").lower()), relative_path(
            path
        )


ORDINARY_WORDS = {"custom", "parse", "payload", "spring"}
"""Ids of backends that the code uses as words."""


def test_the_engine_of_backends_contains_no_name_of_one() -> None:
    names = {name.replace("-", "_") for name in backends.names()} - ORDINARY_WORDS
    for path in FILES:
        if package_of(path) not in ("services", "web", "blueprints"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
        texts += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
        words = {word for text in texts for word in re.findall(r"[a-z_]+", str(text).lower().replace("-", "_"))}
        assert words.isdisjoint(names), relative_path(path)
