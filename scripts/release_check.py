"""`make release-check`: list everything that prevents a release of this commit.

The tests, which `tests/translations/test_translations.py` the
others: check the translations.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==[^\s;]+(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+")
"""A pinned requirement with hashes, as `make lock` writes it, in one line."""


def problems(root: Path) -> Iterator[str]:
    """Yield one line per problem with versions, tag, working tree and pinned requirements."""
    version = _search(root / "services" / "__init__.py", r'^__version__ = "(.+)"$')
    top = _search(root / "CHANGELOG.md", r"^## (.+)$")
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", top):
        yield f"the top section of CHANGELOG.md is {top!r}, not {version!r} with its date in brackets"
    tags = _git(root, "tag", "--points-at", "HEAD").split()
    if tags != [f"v{version}"]:
        yield f"the tag of this commit is {' and '.join(tags) or 'missing'}, not v{version}"
    if changes := _git(root, "status", "--porcelain"):
        yield f"not committed:\n{changes.rstrip()}"
    for name in ("requirements", "requirements-dev"):
        yield from _unpinned(root, name)


def _unpinned(root: Path, name: str) -> Iterator[str]:
    lines = re.sub(r" *#.*", "", (root / f"{name}.txt").read_text("utf-8")).replace("\\\n", "").splitlines()
    entries = [" ".join(line.split()) for line in lines if line.strip()]
    yield from (f"{name}.txt: not pinned with its hashes: {entry}" for entry in entries if not _PIN.fullmatch(entry))
    pinned = {_normalize(match[1]) for entry in entries if (match := _PIN.fullmatch(entry))}
    required = re.findall(r"^[A-Za-z0-9._-]+", (root / f"{name}.in").read_text("utf-8"), re.MULTILINE)
    yield from (
        f"{name}.txt lacks {package}: make lock"
        for package in required
        if package[0] != "-" and _normalize(package) not in pinned
    )


def _normalize(name: str) -> str:
    """Normalize the name of a package (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _search(path: Path, pattern: str) -> str:
    match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    return match[1] if match else "none"


def _git(root: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True).stdout


def main() -> None:
    lines = list(problems(Path.cwd()))
    sys.exit("\n".join(["This commit cannot be released.", *lines]) if lines else 0)


if __name__ == "__main__":
    main()
