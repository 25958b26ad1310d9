"""`make matrix`: run the everyday tests on every Python that is supported and can be found on this machine.

For each version of the classifiers in pyproject.toml it looks for `python3.X` on PATH, in pyenv and in uv, makes a
virtual environment in `.matrix/`, installs the pinned packages and runs the tests of `make test`. The table at the end
has a line for each version, also for those that were not found.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
MARKERS = "not browser and not server and not external and not corpus"
"""Those of `make test`."""


def supported_versions(root: Path = ROOT) -> list[str]:
    """Return the versions that pyproject.toml names, such as "3.11"."""
    classifiers = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    matches = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", text) for text in classifiers)
    return [match[1] for match in matches if match]


def find_python(version: str, environ: Mapping[str, str]) -> str | None:
    """Return the path of an interpreter of this version: on PATH, else the newest one in pyenv, else in uv."""
    path = environ.get("PATH", "")
    executable = shutil.which(f"python{version}", path=path)
    if executable and _version(executable).startswith(
        f"{version}."
    ):  # a shim of pyenv's may have no interpreter behind it
        return executable
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    releases = [folder for folder in pyenv.glob(f"versions/{version}.*") if (folder / "bin" / "python").exists()]
    if releases:
        return str(
            max(releases, key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.name)]) / "bin/python"
        )
    if uv := shutil.which("uv", path=path):
        done = subprocess.run(
            [uv, "python", "find", "--no-project", version], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() or None
    return None


def _version(python: str) -> str:
    """Return the full version of an interpreter, or an empty text if it does not start."""
    done = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    version: str
    result: str
    seconds: float | None = None
    failed: bool = False


def check(python: str, processes: str) -> Row:
    """Install the packages for this interpreter and run the tests."""
    version = _version(python)
    folder = ROOT / ".matrix" / version
    own_python = str(folder / "bin" / "python")
    print(f"== Python {version}: packages", flush=True)
    if not Path(own_python).exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    requirements = [word for name in REQUIREMENTS for word in ("-r", str(ROOT / name))]
    pip = [own_python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", *requirements]
    if subprocess.run(pip, check=False).returncode:
        return Row(version, "the packages cannot be installed", failed=True)
    print(f"== Python {version}: tests", flush=True)
    start = time.monotonic()
    command = [own_python, "-m", "pytest", "-q", "-n", processes, "--dist", "loadgroup", "-m", MARKERS]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    return Row(version, _summary(done.stdout, done.returncode), time.monotonic() - start, done.returncode != 0)


def _summary(output: str, status: int) -> str:
    """Return the counts of pytest's last line, "2100 passed, 3 skipped"."""
    counts = re.findall(r"\d+ (?:passed|failed|error|errors|skipped|xfailed)", output.strip().rpartition("\n")[2])
    return ", ".join(counts) if counts else f"pytest ended with status {status}"


def table(rows: Iterable[Row]) -> str:
    lines = [("Python", "everyday tests", "time")]
    lines += [(row.version, row.result, f"{row.seconds:.0f} s" if row.seconds else "") for row in rows]
    return "\n".join(f"{version:9} {result:40} {duration}".rstrip() for version, result, duration in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", help="such as 3.13; without any, all that pyproject.toml names")
    parser.add_argument("-n", "--processes", default="auto", help="processes of pytest (auto)")
    options = parser.parse_args()
    rows = []
    for version in options.versions or supported_versions():
        python = find_python(version, os.environ)
        rows.append(check(python, options.processes) if python else Row(version, "not found on this machine"))
    print(table(rows))
    return int(any(row.failed for row in rows) or not any(row.seconds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
