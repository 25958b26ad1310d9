"""The npm packages that the site is tested with, and a front-end page made of them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route

from tests.support.commands import require_marker
from tests.support.site import SECRET

HERE = Path(__file__).parent
_PACKAGES = HERE.parent / "node_modules"
_PAGE = '<!doctype html><html lang="en"><title>Front</title><p id="root"></p><script src="{}.js"></script></html>'
CLEAN_ENVIRON = {
    name: value for name, value in os.environ.items() if not name.startswith(("NEXTAUTH", "AUTH_", "VERCEL"))
}
"""The environment without the settings of next-auth."""


def find_node(package: str = "next-auth") -> str:
    """Return the path of Node.js. Skips the test without Node.js or this npm package; in CI the test fails."""
    require_marker("external")
    path = shutil.which("node")
    stop = pytest.fail if os.environ.get("CI") else pytest.skip
    if path is None:
        stop("there is no node here")
    if not (_PACKAGES / package).is_dir():
        stop("the packages of tests/package.json are not installed: npm ci --prefix tests")
    return path


def build_bundle(folder: Path, **defined: str) -> str:
    """Bundle next_auth_react.jsx with its dependencies into one script. `defined`: values of `process.env`."""
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


def route_front_end(context: BrowserContext, url: str, bundle: str) -> None:
    """Serve a page with this script at this URL, on the origin of the site, as behind a shared proxy."""

    def answer(route: Route) -> None:
        is_script = route.request.url.endswith(".js")
        content_type = "text/javascript" if is_script else "text/html"
        route.fulfill(body=bundle if is_script else _PAGE.format(url), content_type=content_type)

    context.route(lambda request_url: request_url.partition("?")[0] in (url, f"{url}.js"), answer)


@contextmanager
def next_auth_site(backend_url: str) -> Iterator[str]:
    """Run a site with the unmodified next-auth and this backend. Yields its URL."""
    environ = {**CLEAN_ENVIRON, "BACKEND_URL": backend_url, "NEXTAUTH_SECRET": SECRET, "NODE_ENV": "production"}
    command = [find_node(), str(HERE / "next_auth_site.mjs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            assert url, "next_auth_site.mjs has ended; see its output above"
            yield url
        finally:
            process.terminate()
