"""The settings that are secrets."""

from collections.abc import Iterator

import providers
from backends import overrides
from tests.support.setting_names import SETTINGS


def secret_settings() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of each setting that is a secret, and the settings with which `BACKEND=custom` reads it."""
    yield from ((name, {}) for name, field in SETTINGS.items() if field.metadata["secret"])
    for name in providers.names():
        for part, spec in providers.find(name).all_settings.items():
            if spec.secret:
                yield f"{name.upper()}_{part}", {"PROVIDERS": name, f"{name.upper()}_CLIENT_ID": "x"}
    for name, spec in overrides.CONSTANTS.items():
        if spec.secret:
            yield name, {"BACKEND_HEADERS": f"x={{{name}}}"}
