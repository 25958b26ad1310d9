"""The `munjigi` command, and the folder of the site for programs that import an installed Munjigi.

In a checkout, the modules of the site (`app`, `config`, `services`, …) are beside this folder. The wheel has them
inside it: at the top level of `site-packages` they would replace other packages' modules of the same names.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

_PACKAGE = Path(__file__).parent
FOLDER = _PACKAGE if (_PACKAGE / "app.py").exists() else _PACKAGE.parent
"""Has `app.py`, `config.py` and the other modules of the site."""


def add_to_path() -> None:
    """Let `import app`, `import serve` and so on find the modules of the site, also if others have the same names."""
    if sys.path[:1] != [str(FOLDER)]:
        sys.path.insert(0, str(FOLDER))


def create_app() -> "Flask":
    """Create the site with the settings of the environment, for another WSGI server: `munjigi:create_app()`."""
    add_to_path()
    import app  # noqa: PLC0415  # found only now

    return app.create_app()
