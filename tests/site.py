"""A site on real sockets, with its backend beside it, and someone who visits it."""

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urljoin

import html5lib
import requests
from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

import app
import config
import settings_readers
from dev.backend import PASSWORD, create_backend
from services.backend.user import User
from services.clock import Clock
from services.sessions.cookie import SessionCookie
from services.sessions.model import Session

SECRET = "Q7x1vN0tA-secret-that-is-long-enough"
MINJI = "minji@example.com"
NO_LIMITS_ENVIRON = dict.fromkeys(
    ("LOGIN_LIMIT_PER_IP", "LOGIN_LIMIT_PER_ACCOUNT_AND_IP", "LOGIN_LIMIT_PER_ACCOUNT"), "9999/second"
)
"""For tests all visitors have one address, and many are one person."""


class ManualClock(Clock):
    """The system's clock, moved on by as many seconds as a test says."""

    def __init__(self) -> None:
        self._moved = 0.0

    def time(self) -> float:
        return super().time() + self._moved

    def monotonic(self) -> float:
        return super().monotonic() + self._moved

    def advance(self, seconds: float) -> None:
        self._moved += seconds

    def reset(self) -> None:
        """Back to the system's time."""
        self._moved = 0.0


class _SilentRequestHandler(WSGIRequestHandler):
    def log_request(self, *args: Any) -> None:
        pass


@contextmanager
def serve_in_thread(host: str, make: Callable[[int], Any], port: int = 0) -> Iterator[int]:
    """Serve what `make(port)` gives in threads of this process, on any port unless one is given; the port."""
    server: BaseWSGIServer = make_server(
        host, port, lambda *_: [], threaded=True, request_handler=_SilentRequestHandler
    )
    server.app = make(server.port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_settings(**given: object) -> config.Settings:
    """Settings as the environment would give them; `None` leaves one unset."""
    environ = {
        "SITE_URL": "http://localhost:5000",
        "SECRET_KEY": SECRET,
        "BACKEND_URL": "http://127.0.0.1:1",
        "BACKEND_LOGOUT_PATH": "/logout",
        "BACKEND_PROFILE_PATH": "/profile",
        **NO_LIMITS_ENVIRON,
        **{name.upper(): str(value) for name, value in given.items() if value is not None},
    }
    return config.load({name: text for name, text in environ.items() if given.get(name.lower(), "") is not None})


class Site:
    """A running site. `backend`: its stand-in, unless another backend was given."""

    def __init__(self, url: str, site: Flask, backend: Flask | None, clock: Clock) -> None:
        self.url = url
        self.app = site
        self.backend = backend
        self.clock = clock

    def new_visitor(self, **headers: str) -> "Visitor":
        return Visitor(self.url, headers)

    def visitor_signed_in_ago(self, seconds: int, user: User, access_token: str = "17|token") -> "Visitor":
        """Someone who signed in so long ago, and about whom the backend was last asked then."""
        then = int(self.clock.time()) - seconds
        session = Session(
            user=user,
            access_token=access_token,
            provider="email",
            sid=uuid.uuid4().hex,
            auth_time=then,
            checked_at=then,
            expires_at=then + 2592000,
        )
        visitor = self.new_visitor()
        token = SessionCookie(make_settings(), self.clock).seal(session)
        visitor.cookies.set("next-auth.session-token", token, domain="localhost.local", path="/")
        return visitor


@contextmanager
def running_site(
    backend_url: str | None = None,
    delay: float = 0.0,
    path: str = "",
    clock: Clock | None = None,
    **given: object,
) -> Iterator[Site]:
    """The site, below this path, before this backend or before a stand-in of its own; further settings by name."""
    built: list[Flask] = []

    def make(port: int) -> Flask:
        url = f"http://localhost:{port}{path}"
        own = make_settings(**{"site_url": url, "backend_url": where, **given})
        built.append(app.create_app(own, clock=clock))
        return built[0]

    backend = create_backend(delay)
    with serve_in_thread("127.0.0.1", lambda _: backend) as backend_port:
        where = backend_url or f"http://127.0.0.1:{backend_port}"
        with serve_in_thread("localhost", make) as port:
            # As the production server does; in a thread, for this one may run the loop of a browser's driver.
            start = threading.Thread(target=built[0].extensions["munjigi"].revoked_sessions.ensure_synced)
            start.start()
            start.join()
            try:
                yield Site(f"http://localhost:{port}", built[0], None if backend_url else backend, clock or Clock())
            finally:
                built[0].extensions["munjigi"].close()


SiteMaker = Callable[..., Site]


@contextmanager
def shared_sites() -> Iterator[SiteMaker]:
    """What gives the running site with these settings: each starts once, and all end together."""
    running: dict[tuple[object, ...], Site] = {}
    with ExitStack() as stack:

        def shared(backend_url: str | None = None, **given: Any) -> Site:
            wanted = (backend_url, *sorted(given.items()))
            if wanted not in running:
                running[wanted] = stack.enter_context(running_site(backend_url, **given))
            return running[wanted]

        yield shared


class Page:
    """An answer with HTML. Every page that a test opens is held to what is true of all pages."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.text = response.text
        parser = html5lib.HTMLParser(namespaceHTMLElements=False)
        self.document = parser.parse(response.content, transport_encoding="utf-8")
        assert not parser.errors, parser.errors
        self._check_html()

    def _check_html(self) -> None:
        ids = [element.get("id") for element in self.find_all("*") if element.get("id")]
        assert len(ids) == len(set(ids)), "an id is used twice"
        assert len(self.find_all("h1")) == 1, "a page has one h1"
        assert self.document.get("lang", "").replace("-", "_") in settings_readers.languages()
        assert self.document.find("head/title").text.strip()
        for element in self.find_all("*"):
            assert not any(name == "style" or name.startswith("on") for name in element.attrib), "inline code"
            assert element.tag not in ("script", "style") or element.get("src"), "inline code"
            assert not element.get("tabindex") or int(element.get("tabindex")) <= 0
        for field in self.find_all("input"):
            if field.get("type") != "hidden":
                assert self.find_all(f"label[@for='{field.get('id')}']"), f"no label for {field.get('id')}"
        for described in self.find_all("*[@aria-describedby]"):
            assert described.get("aria-describedby") in ids
        for form in self.find_all("form"):
            assert form.get("method") == "post"
            assert form.find(".//input[@name='csrfToken']") is not None, "a form without a CSRF token"

    def find_all(self, path: str) -> list[Any]:
        return list(self.document.findall(f".//{path}"))

    def texts(self, path: str) -> list[str]:
        return [" ".join("".join(element.itertext()).split()) for element in self.find_all(path)]

    @property
    def heading(self) -> str:
        return self.texts("h1")[0]

    @property
    def title(self) -> str:
        return self.texts("title")[0]

    @property
    def message(self) -> str:
        """What the page says first of all, as a failure or calmly; empty where there is nothing to say."""
        return " ".join(self.texts("div[@role='alert']") + self.texts("p[@role='status'][@autofocus]"))

    @property
    def status_messages(self) -> list[str]:
        return self.texts("p[@role='status']")

    def input_value(self, name: str) -> str | None:
        found = self.find_all(f"input[@name='{name}']")
        return found[0].get("value") if found else None


class Visitor(requests.Session):
    """Someone with a browser of their own: cookies, and no redirect followed unseen."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        super().__init__()
        self.url = url
        self.trust_env = False
        self.headers.update({"Accept": "text/html", "Accept-Language": "en", **headers})

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["allow_redirects"] = False  # `get` would follow
        kwargs.setdefault("timeout", 30)
        return super().request(method, urljoin(self.url, url), *args, **kwargs)

    def get_page(self, path: str, **kwargs: Any) -> Page:
        return Page(self.get(path, **kwargs))

    def submit(self, path: str, fields: dict[str, str], **kwargs: Any) -> requests.Response:
        """Fill in a form of the site and post it, its CSRF token with it."""
        return self.post(path, data={"csrfToken": self.csrf_token(), **fields}, **kwargs)

    def csrf_token(self) -> str:
        return str(self.get("/api/auth/csrf").json()["csrfToken"])

    def sign_in(self, email: str = MINJI, password: str = PASSWORD, **fields: str) -> requests.Response:
        return self.submit("/auth/login/email", {"email": email, "password": password, **fields})

    def get_session(self) -> dict[str, Any]:
        body = self.get("/api/auth/session").json()
        assert isinstance(body, dict)
        return body

    @property
    def is_signed_in(self) -> bool:
        return bool(self.get_session())


def set_cookies(response: requests.Response) -> list[str]:
    """Every Set-Cookie line of a response, in order."""
    return response.raw.headers.getlist("Set-Cookie")


def cookie_names(response: requests.Response) -> set[str]:
    return {re.split("=", line, maxsplit=1)[0] for line in set_cookies(response)}
