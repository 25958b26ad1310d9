"""What was measured, and where: a figure means nothing without it."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.contenders import NEXT_AUTH, threads


def lines(*, with_next_auth: bool) -> list[str]:
    ours = f"Python {platform.python_version()}, Flask {version('flask')}, Granian {version('granian')}"
    found = [here(), f"Munjigi: {ours}, WORKERS=1 THREADS={threads()}."]
    if with_next_auth:
        node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
        theirs = f"Node.js {node.strip().lstrip('v')}, Next.js {_package('next')}, one process"
        found.append(f"next-auth {_package('next-auth')}: {theirs}.")
    return found


def here() -> str:
    return f"{os.cpu_count()} cores, {_model()}, {platform.system()} {platform.machine()}."


def _model() -> str:
    """As Linux has it; elsewhere what there is."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def _package(name: str) -> str:
    return str(json.loads((NEXT_AUTH / "node_modules" / name / "package.json").read_text())["version"])
