"""What a browser loads to show the sign-in page: the page, its style sheets, scripts and pictures, compressed."""

from contextlib import closing
from html.parser import HTMLParser
from http.client import HTTPConnection
from urllib.parse import urlsplit

from bench.load import WrongAnswer
from bench.visitors import PAGE


class Assets(HTMLParser):
    """The paths of what the page loads. `nomodule` scripts are for browsers of ten years ago."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        rel = (found.get("rel") or "").split()
        if tag == "link" and {"stylesheet", "icon", "preload", "modulepreload"}.intersection(rel):
            self.paths.add(found["href"] or "")
        elif tag in ("script", "img") and found.get("src") and "nomodule" not in found:
            self.paths.add(found["src"] or "")
        elif tag == "use":
            self.paths.add((found.get("href") or "").partition("#")[0])


def of_the_page(port: int) -> int:
    """Bytes on the wire, response headers with them."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        _, page = _loaded(connection, PAGE, "identity")
        assets = Assets()
        assets.feed(page.decode())
        return sum(_loaded(connection, path)[0] for path in (PAGE, *sorted(filter(None, assets.paths))))


def _loaded(connection: HTTPConnection, path: str, encoding: str = "gzip, deflate, br, zstd") -> tuple[int, bytes]:
    connection.request("GET", urlsplit(path).path, headers={"Host": "login.example.com", "Accept-Encoding": encoding})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise WrongAnswer(f"{path}: {response.status}")
    head = sum(len(f"{name}: {value}\r\n") for name, value in response.getheaders())
    return head + len(f"HTTP/1.1 {response.status} {response.reason}\r\n\r\n") + len(body), body
