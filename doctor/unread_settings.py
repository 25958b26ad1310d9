"""Variables that look like settings, and that nothing reads: a name with a typing error has no effect and no error."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import config
import providers
from backends import overrides
from doctor.finding import WARNING, Finding

_SIMILARITY = 0.88
"""Of names, as `difflib` measures it: one wrong, missing or additional letter in a name of ten letters."""


class RecordedEnviron(Mapping[str, str]):
    """Variables that record which of them were read. One that is not set counts, too."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.names_read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names_read.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


def check(environ: Mapping[str, str], names_read: set[str], settings: config.Settings) -> Iterator[Finding]:
    of_providers = {suffix for provider in providers.in_order() for suffix in provider.all_settings}
    names_of_listed = {f"{each.id.upper()}_{suffix}" for each in settings.registrations for suffix in of_providers}
    for name in sorted(set(environ) - names_read - set(overrides.CONSTANTS)):  # those may be of another backend
        setting = name.removesuffix("_FILE")
        if setting != name and setting in names_read:
            yield Finding(WARNING, name, "has no effect: only secrets are read from files", f"Set {setting} itself.")
        elif name in names_of_listed:
            yield Finding(WARNING, name, "has no effect: this provider has no such setting", "Remove it.")
        elif "_" in name and (similar := get_close_matches(name, names_read, 1, _SIMILARITY)):
            yield Finding(WARNING, name, "has no effect: no setting has this name", f"Is it {similar[0]}?")
