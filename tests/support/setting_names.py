"""The names of all settings, as they appear in the environment."""

from dataclasses import fields

import backends
import providers
from backends import overrides
from config import Settings

SETTINGS = {field.name.upper(): field for field in fields(Settings) if field.metadata}
PROVIDER_SETTINGS = [
    f"{name.upper()}_{part}" for name in providers.names() for part in providers.find(name).all_settings
]
BACKEND_SETTINGS = [
    *overrides.SETTINGS,
    *overrides.CONSTANTS,
    *sorted(
        {setting for name in backends.names() for setting in backends.find(name).settings} - {*overrides.CONSTANTS}
    ),
]
