"""Munjigi as `pip install` leaves it: the wheel of this checkout, installed beside the packages of these tests."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import ROOT, require_marker


@dataclass(frozen=True)
class Installation:
    wheel: Path
    bin: Path

    @property
    def munjigi(self) -> str:
        return str(self.bin / "munjigi")

    def run(self, *command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the virtual environment, with these variables and PATH only."""
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=cwd,
            env={"PATH": os.environ["PATH"], **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build the `wheel` or `sdist` of the sources into an empty folder, without access to the network."""
    require_marker("server")
    _run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder), cwd=source)
    (path,) = folder.iterdir()
    return path


def install(wheel: Path, folder: Path) -> Installation:
    """Install the wheel into a new virtual environment that also sees the packages of these tests."""
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder.parent)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
    offline = ("--no-deps", "--no-index", "--no-compile", "--no-warn-script-location", "--disable-pip-version-check")
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", "-q", *offline, str(wheel), cwd=folder)
    return Installation(wheel, folder / "bin")


def installation(folder: Path) -> Installation:
    """Build the wheel of this checkout and install it."""
    return install(build("wheel", ROOT, folder / "dist"), folder / "venv")


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
