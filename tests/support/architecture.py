"""The top-level packages and modules of the product, their files, and what each file imports."""

import ast
from pathlib import Path

from tests.support.commands import ROOT

PACKAGES: tuple[str, ...] = (
    "errors",
    "settings_readers",
    "backends",
    "providers",
    "config",
    "services",
    "web",
    "blueprints",
    "doctor",
    "app",
    "server",
    "dev",
    "serve",
    "munjigi",
)
"""In import order: a package may import only packages that are listed before it."""
FILES = sorted(path for package in PACKAGES for path in [*ROOT.glob(f"{package}.py"), *ROOT.glob(f"{package}/**/*.py")])


def relative_path(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    """Return the top-level package or module that contains the file."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return the full names of all modules that the file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names
