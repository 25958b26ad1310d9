"""The names of all settings, as they appear in the environment."""

from dataclasses import fields

import providers
from config import Settings

SETTINGS = {field.name.upper(): field for field in fields(Settings) if field.metadata}
PROVIDER_SETTINGS = [
    f"{name.upper()}_{part}" for name in providers.names() for part in providers.find(name).all_settings
]
