"""The return addresses of `redirects.json` with their verdicts, and where a browser goes when redirected to one.

Each entry has: `value` (the address), `cat` (its category), `allowed` (whether it stays on the site), `expect` (the
URL that a browser should reach), `strict` (whether exactly that URL is required).
"""

import html
import json
import re
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import ada_url
from flask.testing import FlaskClient

ORIGIN = "http://localhost:5000"
"""The origin that the verdicts are for."""
FORM = "application/x-www-form-urlencoded"
RETURN_ADDRESSES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "redirects.json").read_text("utf-8"))
_BY_CATEGORY = groupby(sorted(RETURN_ADDRESSES, key=itemgetter("cat")), key=itemgetter("cat"))
ONE_OF_EACH_CATEGORY = [entry for _, entries in _BY_CATEGORY for entry in islice(entries, 1)]


def sign_in(client: FlaskClient, fields: dict[str, str], query: str = "", password: str = "correct-horse") -> Any:
    form = {"email": "minji@example.com", "password": password, "csrfToken": csrf_token(client), **fields}
    return client.post(f"/auth/login/email{query}", data=encode_form(form), content_type=FORM)


def csrf_token(client: FlaskClient) -> str:
    return str(client.get("/api/auth/csrf").json["csrfToken"])  # type: ignore[index]


def encode_form(form: dict[str, str]) -> bytes:
    # A lone surrogate is not valid UTF-8; a hostile client can still send its bytes.
    return urlencode(form, errors="surrogatepass").encode()


def destination(response: Any) -> str:
    """Return where a response sends the browser: its `Location`, or the URL of its meta refresh."""
    if "Location" in response.headers:
        return str(response.headers["Location"])
    refresh = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]*)">', response.text)
    assert refresh, "neither a redirect nor a meta refresh"
    assert f'href="{refresh[1]}"' in response.text, "no link for browsers that ignore a meta refresh"
    return html.unescape(refresh[1])


def resolve_as_browser(location: str) -> ada_url.URL:
    """Return the URL that a browser opens for this `Location` header (WHATWG URL standard)."""
    return ada_url.URL(location, base=f"{ORIGIN}/auth/login/email")


def is_misdirected(entry: dict[str, Any], location: str) -> bool:
    """Return whether `location` takes a browser off the site, or to another page than the entry expects."""
    url = resolve_as_browser(location)
    own = url.origin == ORIGIN and not url.username and not url.password and location.isprintable()
    expected = entry["expect"] if entry["allowed"] else f"{ORIGIN}/"
    return not own or (entry["strict"] and url.href != expected)
