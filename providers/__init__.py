"""Identity providers. Each module defines `provider`, a value of `providers.base.Provider`; its name is the id."""

import pkgutil
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from providers.base import Provider

_SVG = '<svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false">{}</svg>'


@lru_cache(1)
def names() -> tuple[str, ...]:
    """The ids that the setting `PROVIDERS` accepts, sorted."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name for name in modules if name != "base"))


def find(name: str) -> Provider:
    """Import and return the provider with this id, which must be one of `names()`.

    `<id>:<name>` is the provider `<name>`, which is described by the same file: one of several issuers.
    """
    module, _, further_name = name.partition(":")
    provider: Provider = import_module(f"providers.{module}").provider
    return provider.named(further_name) if further_name else provider


@lru_cache(1)
def in_order() -> tuple[Provider, ...]:
    """All providers, in the order in which lists show them."""
    return tuple(sorted(map(find, names()), key=lambda provider: (provider.order, provider.id)))


def mark_templates() -> dict[str, str]:
    """The logos of the providers: source by template name, `marks/<id>.svg`."""
    return {f"marks/{provider.id}.svg": _SVG.format(provider.mark) for provider in in_order() if provider.mark}
