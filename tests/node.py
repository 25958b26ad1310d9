"""The packages from npm that the site is held against, and a page of somebody's front end made of them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route

from tests.commands import require_marker
from tests.site import SECRET

HERE = Path(__file__).parent
_PACKAGES = HERE / "node_modules"
_PAGE = '<!doctype html><html lang="en"><title>Front</title><p id="root"></p><script src="{}.js"></script></html>'
CLEAN_ENVIRON = {
    name: value for name, value in os.environ.items() if not name.startswith(("NEXTAUTH", "AUTH_", "VERCEL"))
}
"""The environment, less what next-auth would take its settings from."""


def find_node(package: str = "next-auth") -> str:
    """The program, which finds this package; without either the test is left out, or fails where CI runs it."""
    require_marker("external")
    found = shutil.which("node")
    stop = pytest.fail if os.environ.get("CI") else pytest.skip
    if found is None:
        stop("there is no node here")
    if not (_PACKAGES / package).is_dir():
        stop("the packages of tests/package.json are not installed: npm ci --prefix tests")
    return found


def build_bundle(folder: Path, **defined: str) -> str:
    """next_auth_react.jsx and all that it needs, as one script. `defined`: what it finds in `process.env`."""
    find_node()
    options = ["--bundle", "--jsx=automatic", "--log-level=error", f"--outfile={folder / 'front.js'}"]
    environ = {"NODE_ENV": "production", **defined}
    options += [f'--define:process.env.{name}="{value}"' for name, value in environ.items()]
    command = [
        str(_PACKAGES / ".bin" / "esbuild"),
        str(HERE / "next_auth_react.jsx"),
        "--define:process.env={}",
        *options,
    ]
    subprocess.run(command, check=True, timeout=60)
    return (folder / "front.js").read_text("utf-8")


def route_front_end(context: BrowserContext, address: str, bundle: str) -> None:
    """Let a page with this script lie at this address, on the site's own origin, as behind one proxy."""

    def answer(route: Route) -> None:
        is_script = route.request.url.endswith(".js")
        kind = "text/javascript" if is_script else "text/html"
        route.fulfill(body=bundle if is_script else _PAGE.format(address), content_type=kind)

    context.route(lambda url: url.partition("?")[0] in (address, f"{address}.js"), answer)


@contextmanager
def next_auth_site(backend_url: str) -> Iterator[str]:
    """The address of a site with the unmodified next-auth, before this backend."""
    environ = {**CLEAN_ENVIRON, "BACKEND_URL": backend_url, "NEXTAUTH_SECRET": SECRET, "NODE_ENV": "production"}
    command = [find_node(), str(HERE / "next_auth_site.mjs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().strip()
            assert address, "next_auth_site.mjs has ended; its last words are above"
            yield address
        finally:
            process.terminate()
