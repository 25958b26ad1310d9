"""Compile the translations that are complete: `make messages` runs it.

The site offers the languages whose catalog is compiled. A catalog that is new, or that still has texts to be filled in,
is not compiled; a compiled one that has lost a text is compiled all the same, since the site offers it already.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

TRANSLATIONS = Path(__file__).parents[1] / "translations"


def unfinished(catalog: Catalog) -> Iterator[Message]:
    """The messages that are missing or fuzzy, or that have other placeholders than the English text."""
    for message in catalog:
        strings = message.string if isinstance(message.string, tuple | list) else [message.string]
        if message.id and (not all(strings) or message.fuzzy or any(message.check(catalog))):
            yield message


def compile_complete(translations: Path) -> Iterator[str]:
    """Write the `.mo` files. Yields a line for each catalog that is not complete."""
    for path in sorted(translations.glob("*/LC_MESSAGES/messages.po")):
        with path.open("rb") as file:
            catalog = read_po(file, locale=path.parts[-3])
        compiled = path.with_suffix(".mo")
        if missing := list(unfinished(catalog)):
            offered = "missing ones are in English" if compiled.exists() else "the site does not offer it yet"
            yield f"{path.parts[-3]}: {len(missing)} of {len(catalog)} texts to be filled in: {offered}"
            if not compiled.exists():
                continue
        content = io.BytesIO()
        write_mo(content, catalog)
        compiled.write_bytes(content.getvalue())


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in compile_complete(TRANSLATIONS))
