"""Identity providers: one file each, found by its name. What a file has to hold is in `base.py`."""

import pkgutil
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from providers.base import Provider


@lru_cache(1)
def names() -> tuple[str, ...]:
    """The ids that `PROVIDERS` may list."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name for name in modules if name != "base"))


def find(name: str) -> Provider:
    """The provider of this id, one of `names()`."""
    return import_module(f"providers.{name}").provider  # type: ignore[no-any-return]  # each file has one
