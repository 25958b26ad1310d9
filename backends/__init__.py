"""Kinds of backends. Each module defines `backend`, a value of `backends.base.Backend`; its name is the id."""

import pkgutil
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from backends.base import Backend

_NOT_BACKENDS = ("base", "overrides", "validation")


@lru_cache(1)
def names() -> tuple[str, ...]:
    """The ids that the setting `BACKEND` accepts, sorted. A `-` in an id is a `_` in the name of the module."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name.replace("_", "-") for name in modules if name not in _NOT_BACKENDS))


def find(name: str) -> Backend:
    """Import and return the backend with this id, which must be one of `names()`."""
    module = import_module(f"backends.{name.replace('-', '_')}")
    return module.backend  # type: ignore[no-any-return]  # import_module is untyped
