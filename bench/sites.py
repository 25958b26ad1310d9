"""Start the measured sites as in production: this checkout, another checkout and next-auth."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from bench.load import WrongAnswer
from bench.processes import free_ports, running
from bench.visitors import SESSION, SITE_URL, NextAuthVisitor, Visitor

MUNJIGI, NEXT_AUTH = "Munjigi", "next-auth"
ROOT = Path(__file__).parents[1]
NEXT_AUTH_FOLDER = Path(__file__).parent / "next_auth"
_NEXT = NEXT_AUTH_FOLDER / "node_modules/next/dist/bin/next"
_SECRET = "Vq4W9zKsT2-only-for-measurements-mX7"
_PROVIDERS = ("kakao", "apple", "google")
_CREDENTIALS = {f"{name.upper()}_CLIENT_{part}": "bench" for name in _PROVIDERS for part in ("ID", "SECRET")}
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""The only inherited environment variables: other settings of the developer would change the results."""


@dataclass(frozen=True)
class Site:
    port: int
    process: int
    visitor: type[Visitor] = Visitor


Start = Callable[..., AbstractContextManager[Site]]
"""Takes the port of the backend and, except for next-auth, settings."""


@contextmanager
def backend() -> Iterator[Site]:
    (port,) = free_ports(1)
    with running("the stand-in backend", port, "-m", "bench.backend", str(port), folder=ROOT) as process:
        yield Site(port, process)


@contextmanager
def munjigi(backend_port: int, *, checkout: Path = ROOT, **settings: str) -> Iterator[Site]:
    """Run `serve.py` of this checkout, or of another checkout with its own virtual environment."""
    (port,) = free_ports(1)
    python = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
    environ = {**site_environ(port, backend_port), **settings}
    with running(
        f"the site of {commit(checkout)}", port, "serve.py", program=python, environ=environ, folder=checkout
    ) as process:
        yield Site(port, process)


@contextmanager
def next_auth(backend_port: int) -> Iterator[Site]:
    """Run `next start` in one process, after `next build`."""
    (port,) = free_ports(1)
    environ = {
        **_inherited(),
        "NODE_ENV": "production",
        "NEXT_TELEMETRY_DISABLED": "1",
        "NEXTAUTH_URL": SITE_URL,
        "NEXTAUTH_URL_INTERNAL": f"http://127.0.0.1:{port}",  # where server-side rendering fetches the CSRF token
        "NEXTAUTH_SECRET": _SECRET,
        "BACKEND_URL": f"http://127.0.0.1:{backend_port}",
        **_CREDENTIALS,
    }
    command = [str(_NEXT), "start", "--hostname", "127.0.0.1", "--port", str(port)]
    with running("next-auth", port, *command, program="node", environ=environ, folder=NEXT_AUTH_FOLDER) as process:
        yield Site(port, process, NextAuthVisitor)


def all_sites(beside: Path | None, *, with_next_auth: bool) -> dict[str, Start]:
    """Return the function that starts each site, by the name of its column."""
    sites: dict[str, Start] = {MUNJIGI: munjigi}
    if beside:
        sites[commit(beside)] = partial(munjigi, checkout=beside)
    if with_next_auth:
        sites[NEXT_AUTH] = next_auth
    return sites


def why_without_next_auth(*, quick: bool) -> str | None:
    """Return why next-auth cannot be measured, or None if it can."""
    if quick:
        return "QUICK=1"
    if not shutil.which("node"):
        return "Node.js is not installed"
    if not (NEXT_AUTH_FOLDER / ".next/BUILD_ID").exists():
        return "it is not built; `make bench` builds it where npm is installed"
    return None


def seconds_to_first_answer(start: Start, backend_port: int) -> float:
    """Return the seconds from the start of the command to the response to a session read."""
    started = time.perf_counter()
    with start(backend_port) as site, closing(HTTPConnection("127.0.0.1", site.port, timeout=20)) as connection:
        connection.request("GET", SESSION, headers={"Host": "login.example.com"})
        status = connection.getresponse().status
        seconds = time.perf_counter() - started
    if status != 200:
        raise WrongAnswer(f"the first response: {status}")
    return seconds


def commit(checkout: Path) -> str:
    """Return the commit of the checkout, with `-dirty` if it has uncommitted changes."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    described = subprocess.run(command, check=False, capture_output=True, text=True)
    return described.stdout.strip() or checkout.resolve().name


def site_environ(port: int, backend_port: int) -> dict[str, str]:
    """Return the settings of a site in production behind a proxy. All other settings have their defaults."""
    return {
        **_inherited(),
        "PYTHON_DOTENV_DISABLED": "1",
        "SITE_URL": SITE_URL,
        "SECRET_KEY": _SECRET,
        "BACKEND_URL": f"http://127.0.0.1:{backend_port}",
        "PROVIDERS": ",".join(_PROVIDERS),
        **_CREDENTIALS,
        "PROXY_HOPS": "1",
        "WORKERS": "1",
        "PORT": str(port),
    }


def _inherited() -> Mapping[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}
