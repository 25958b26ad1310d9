"""Identity providers. Each module defines `provider`, a value of `providers.base.Provider`; its name is the id."""

import pkgutil
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from providers.base import Provider


@lru_cache(1)
def names() -> tuple[str, ...]:
    """The ids that the setting `PROVIDERS` accepts, sorted."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name for name in modules if name != "base"))


def find(name: str) -> Provider:
    """Import and return the provider with this id, which must be one of `names()`."""
    return import_module(f"providers.{name}").provider  # type: ignore[no-any-return]  # import_module is untyped
