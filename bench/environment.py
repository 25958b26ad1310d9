"""Describe the measured versions and the machine."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.sites import NEXT_AUTH_FOLDER, ROOT, commit


def lines(*, beside: Path | None, with_next_auth: bool) -> list[str]:
    texts = [
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.machine()}.",
        f"Munjigi {commit(ROOT)}: Python {platform.python_version()}, Flask {version('flask')}, one worker process.",
    ]
    if beside:
        texts.append(f"Beside it {commit(beside)}, another checkout with its own packages and the same settings.")
    if with_next_auth:
        node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
        versions = f"Node.js {node.lstrip('v')}, Next.js {_installed('next')}"
        texts.append(f"next-auth {_installed('next-auth')}: {versions}, one process.")
    return texts


def _processor() -> str:
    """Return the name of the processor, from `/proc/cpuinfo` or from Python."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def _installed(package: str) -> str:
    return str(json.loads((NEXT_AUTH_FOLDER / "node_modules" / package / "package.json").read_text())["version"])
