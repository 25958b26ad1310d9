"""The stand-in providers: how a provider differs from the standards, and its accounts.

A provider without a file here has a stand-in that `derived.py` makes of its file in `providers/`.
"""

import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import providers
from dev.providers import derived
from dev.providers.base import Provider


@lru_cache(1)
def stand_ins() -> Mapping[str, Provider]:
    """All stand-ins by id, in the order of the buttons."""
    modules = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    return {
        provider.id: import_module(f"dev.providers.{provider.id}").provider
        if provider.id in modules
        else derived.stand_in(provider)
        for provider in providers.in_order()
        if provider.id in modules or provider.examples
    }


def find(name: str) -> Provider | None:
    """Return the stand-in for an entry of `PROVIDERS`, such as `kakao` or `oidc:staff`; None if there is none."""
    provider_id, _, issuer_name = name.partition(":")
    provider = stand_ins().get(provider_id)
    return provider.named(issuer_name) if provider and issuer_name else provider
