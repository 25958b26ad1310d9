"""The compressed size of the sign-in page with its style sheets, scripts and images."""

from contextlib import closing
from html.parser import HTMLParser
from http.client import HTTPConnection
from urllib.parse import urlsplit

from bench.load import WrongAnswer
from bench.visitors import PAGE


class Assets(HTMLParser):
    """Collects the paths that a current browser loads, without `nomodule` scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        rel = (attributes.get("rel") or "").split()
        if tag == "link" and {"stylesheet", "icon", "preload", "modulepreload"}.intersection(rel):
            self.paths.add(attributes["href"] or "")
        elif tag in ("script", "img") and attributes.get("src") and "nomodule" not in attributes:
            self.paths.add(attributes["src"] or "")
        elif tag == "use":
            self.paths.add((attributes.get("href") or "").partition("#")[0])


def page_bytes(port: int) -> int:
    """Return the size of the responses for the page and its assets, with headers, in bytes."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        _, page = _load(connection, PAGE, "identity")
        assets = Assets()
        assets.feed(page.decode())
        return sum(_load(connection, path)[0] for path in (PAGE, *sorted(filter(None, assets.paths))))


def _load(connection: HTTPConnection, path: str, encoding: str = "gzip, deflate, br, zstd") -> tuple[int, bytes]:
    connection.request("GET", urlsplit(path).path, headers={"Host": "login.example.com", "Accept-Encoding": encoding})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise WrongAnswer(f"{path}: {response.status}")
    headers = sum(len(f"{name}: {value}\r\n") for name, value in response.getheaders())
    return headers + len(f"HTTP/1.1 {response.status} {response.reason}\r\n\r\n") + len(body), body
