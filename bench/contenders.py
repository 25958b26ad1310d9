"""What is measured: the site, an empty view on the same server, and next-auth, each as it runs in production."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import config
from bench.processes import free_ports, running
from bench.visitors import SITE_URL, NextAuthVisitor, Visitor

NEXT_AUTH = Path(__file__).parent / "next_auth"
SECRET = "Vq4W9zKsT2-only-for-measurements-mX7"
PROVIDERS = ("kakao", "apple", "google")
_CREDENTIALS = {f"{name.upper()}_CLIENT_{part}": "bench" for name in PROVIDERS for part in ("ID", "SECRET")}
_NEXT = NEXT_AUTH / "node_modules/next/dist/bin/next"


@dataclass(frozen=True)
class Contender:
    port: int
    process: int
    visitor: type[Visitor] = Visitor


@contextmanager
def backend() -> Iterator[Contender]:
    (port,) = free_ports(1)
    with running("the stand-in backend", port, "-m", "bench.backend", str(port)) as process:
        yield Contender(port, process)


@contextmanager
def site(behind: int, **settings: str) -> Iterator[Contender]:
    (port,) = free_ports(1)
    environ = _environ(port, behind, settings)
    with running("the site", port, "serve.py", environ=environ) as process:
        yield Contender(port, process)


@contextmanager
def empty_view(behind: int, **settings: str) -> Iterator[Contender]:
    (port,) = free_ports(1)
    environ = _environ(port, behind, settings)
    with running("the empty view", port, "-m", "bench.empty_view", environ=environ) as process:
        yield Contender(port, process)


@contextmanager
def next_auth(behind: int) -> Iterator[Contender]:
    """`next start`, one process, as it was built by `next build`."""
    (port,) = free_ports(1)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("NEXT", "AUTH_", "NODE_"))},
        "NODE_ENV": "production",
        "NEXT_TELEMETRY_DISABLED": "1",
        "NEXTAUTH_URL": SITE_URL,
        "NEXTAUTH_URL_INTERNAL": f"http://127.0.0.1:{port}",  # where its pages ask for the CSRF token
        "NEXTAUTH_SECRET": SECRET,
        "BACKEND_URL": f"http://127.0.0.1:{behind}",
        **_CREDENTIALS,
    }
    command = [str(_NEXT), "start", "--hostname", "127.0.0.1", "--port", str(port)]
    with running("next-auth", port, *command, program="node", environ=environ, folder=NEXT_AUTH) as process:
        yield Contender(port, process, NextAuthVisitor)


def why_without_next_auth(quick: bool) -> str | None:
    """In words, or None if it can be measured."""
    if quick:
        return "QUICK=1"
    if not shutil.which("node"):
        return "no Node.js here"
    if not (NEXT_AUTH / ".next/BUILD_ID").exists():
        return "it is not built here: `make bench` does that where npm is"
    return None


def threads() -> int:
    return config.load(_environ(8000, 8001, {})).threads


def _environ(port: int, behind: int, settings: Mapping[str, str]) -> Mapping[str, str]:
    """Settings as in production behind a proxy; all others have their defaults, but THREADS, which may be tried out."""
    ours = {field.name.upper() for field in fields(config.Settings)} - {"THREADS"}
    return {
        **{name: value for name, value in os.environ.items() if name not in ours},
        "PYTHON_DOTENV_DISABLED": "1",
        "SITE_URL": SITE_URL,
        "SECRET_KEY": SECRET,
        "BACKEND_URL": f"http://127.0.0.1:{behind}",
        "PROVIDERS": ",".join(PROVIDERS),
        **_CREDENTIALS,
        "PROXY_HOPS": "1",
        "WORKERS": "1",
        "PORT": str(port),
        **settings,
    }
