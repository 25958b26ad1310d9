"""`make release-check`: may this commit be a release? Says all that speaks against it.

Whether each sentence is translated, and compiled, is a test (`tests/translations/test_translations.py`) like the
others: they run next.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==[^\s;]+(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+")
"""A requirement as `make lock` writes it, its lines joined."""


def problems(root: Path) -> Iterator[str]:
    """One line each; none if the version has one name everywhere, and what is here is what was committed."""
    version = _found(root / "services" / "__init__.py", r'^__version__ = "(.+)"$')
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if project != version:
        yield f"pyproject.toml says {project}, services/__init__.py {version}"
    top = _found(root / "CHANGELOG.md", r"^## (.+)$")
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", top):
        yield f"the top section of CHANGELOG.md is {top!r}, not {version!r} with its date in brackets"
    tags = _git(root, "tag", "--points-at", "HEAD").split()
    if tags != [f"v{version}"]:
        yield f"the tag of this commit is {' and '.join(tags) or 'missing'}, not v{version}"
    if changed := _git(root, "status", "--porcelain"):
        yield f"not committed:\n{changed.rstrip()}"
    for name in ("requirements", "requirements-dev"):
        yield from _unpinned(root, name)


def _unpinned(root: Path, name: str) -> Iterator[str]:
    lines = re.sub(r" *#.*", "", (root / f"{name}.txt").read_text("utf-8")).replace("\\\n", "").splitlines()
    entries = [" ".join(line.split()) for line in lines if line.strip()]
    yield from (f"{name}.txt: not pinned with its hashes: {entry}" for entry in entries if not _PIN.fullmatch(entry))
    pinned = {_same(found[1]) for entry in entries if (found := _PIN.fullmatch(entry))}
    wanted = re.findall(r"^[A-Za-z0-9._-]+", (root / f"{name}.in").read_text("utf-8"), re.MULTILINE)
    yield from (f"{name}.txt lacks {one}: make lock" for one in wanted if one[0] != "-" and _same(one) not in pinned)


def _same(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _found(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else "none"


def _git(root: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True).stdout


def main() -> None:
    found = list(problems(Path.cwd()))
    sys.exit("\n".join(["This is no release yet.", *found]) if found else 0)


if __name__ == "__main__":
    main()
