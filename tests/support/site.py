"""Run the site and a backend on real sockets, and visit it with an HTTP client."""

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
from services.request_context import Deadline, RequestContext
from services.sessions.cookie import SessionCookie
from services.sessions.model import Session

SECRET = "Q7x1vN0tA-secret-that-is-long-enough"
MINJI = "minji@example.com"
NO_LIMITS_ENVIRON = dict.fromkeys(
    (f"{kind}_LIMIT_PER_{what}" for kind in ("LOGIN", "MAIL") for what in ("IP", "ACCOUNT_AND_IP", "ACCOUNT")),
    "9999/second",
)
"""Rate limits that never apply: in tests all visitors share one IP address, and many share an account."""


ACCOUNT_PATHS: dict[str, Any] = {
    "backend_register_path": "/register",
    "backend_forgot_path": "/forgot-password",
    "backend_reset_path": "/reset-password",
    "backend_verify_email_path": "/email/verify",
    "backend_resend_verification_path": "/email/verification-notification",
    "backend_change_password_path": "/user/password",
}
"""Settings with which a site has all forms about an account. The stand-in backend has their calls."""
LINK_PATHS: dict[str, Any] = {
    "backend_link_path": "/user/providers",
    "backend_unlink_path": "/user/providers/{provider}",
    "backend_links_path": "/user/providers",
}
"""The same for the page of the connected providers."""


class ManualClock(Clock):
    """The system clock with an offset that a test sets."""

    def __init__(self) -> None:
        self._offset = 0.0

    def time(self) -> float:
        return super().time() + self._offset

    def monotonic(self) -> float:
        return super().monotonic() + self._offset

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._offset += seconds

    def reset(self) -> None:
        """Return to the system time."""
        self._offset = 0.0


def a_context() -> RequestContext:
    """What services are told about a request that nobody made."""
    return RequestContext(client_ip="203.0.113.9", locale="en", request_id="test", deadline=Deadline(10, Clock()))


class _SilentRequestHandler(WSGIRequestHandler):
    def log_request(self, *args: Any) -> None:
        pass


@contextmanager
def serve_in_thread(host: str, make: Callable[[int], Any], port: int = 0) -> Iterator[int]:
    """Serve the WSGI application that `make(port)` returns, in threads of this process. Yields the port."""
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


def make_settings(**changes: object) -> config.Settings:
    """Load settings from an environment with these changes; `None` leaves a setting unset."""
    environ = {
        "SITE_URL": "http://localhost:5000",
        "SECRET_KEY": SECRET,
        "BACKEND_URL": "http://127.0.0.1:1",
        "BACKEND_LOGOUT_PATH": "/logout",
        "BACKEND_PROFILE_PATH": "/profile",
        **NO_LIMITS_ENVIRON,
        **{name.upper(): str(value) for name, value in changes.items() if value is not None},
    }
    return config.load({name: text for name, text in environ.items() if changes.get(name.lower(), "") is not None})


class Site:
    """A running site. `backend` is its stand-in backend, or None if the site uses another backend."""

    def __init__(self, url: str, site: Flask, backend: Flask | None, clock: Clock) -> None:
        self.url = url
        self.app = site
        self.backend = backend
        self.clock = clock

    def new_visitor(self, **headers: str) -> "Visitor":
        return Visitor(self.url, headers)

    def visitor_signed_in_ago(self, seconds: int, user: User, access_token: str = "17|token") -> "Visitor":
        """Return a visitor who signed in `seconds` ago and whose session was not revalidated since."""
        signed_in_at = int(self.clock.time()) - seconds
        session = Session(
            user=user,
            access_token=access_token,
            provider="email",
            sid=uuid.uuid4().hex,
            auth_time=signed_in_at,
            checked_at=signed_in_at,
            expires_at=signed_in_at + 2592000,
        )
        visitor = self.new_visitor()
        token = SessionCookie(make_settings(), self.clock).encrypt(session)
        visitor.cookies.set("next-auth.session-token", token, domain="localhost.local", path="/")
        return visitor


@contextmanager
def running_site(
    backend_url: str | None = None,
    delay: float = 0.0,
    path: str = "",
    clock: Clock | None = None,
    **settings: object,
) -> Iterator[Site]:
    """Run a site below this path with these settings.

    It uses the backend at `backend_url`, or else a stand-in backend that waits `delay` seconds before each response.
    """
    apps: list[Flask] = []

    def make(port: int) -> Flask:
        url = f"http://localhost:{port}{path}"
        site_settings = make_settings(
            **{"site_url": url, "backend_url": site_backend_url, "backend_next_step_urls": stand_in_url, **settings}
        )
        apps.append(app.create_app(site_settings, clock=clock))
        return apps[0]

    backend = create_backend(delay)
    with serve_in_thread("127.0.0.1", lambda _: backend) as backend_port:
        stand_in_url = f"http://127.0.0.1:{backend_port}"
        site_backend_url = backend_url or stand_in_url
        with serve_in_thread("localhost", make) as port:
            # As the production server does. In a thread: this one may run the event loop of Playwright.
            start = threading.Thread(target=apps[0].extensions["munjigi"].revoked_sessions.wait_until_ready)
            start.start()
            start.join()
            try:
                yield Site(f"http://localhost:{port}", apps[0], None if backend_url else backend, clock or Clock())
            finally:
                apps[0].extensions["munjigi"].close()


SiteMaker = Callable[..., Site]


@contextmanager
def shared_sites() -> Iterator[SiteMaker]:
    """Yield a function that returns the running site with these settings. It starts each site once."""
    running: dict[tuple[object, ...], Site] = {}
    with ExitStack() as stack:

        def shared(backend_url: str | None = None, **settings: Any) -> Site:
            key = (backend_url, *sorted(settings.items()))
            if key not in running:
                running[key] = stack.enter_context(running_site(backend_url, **settings))
            return running[key]

        yield shared


class Page:
    """An HTML response. Each page that a test opens is checked for valid HTML and for the rules of all pages."""

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
        assert len(ids) == len(set(ids)), "a duplicate id"
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
            assert set(described.get("aria-describedby").split()) <= set(ids)
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
        """The error or notice at the top of the page; empty if there is none."""
        return " ".join(self.texts("div[@role='alert']") + self.texts("p[@role='status'][@autofocus]"))

    @property
    def status_messages(self) -> list[str]:
        return self.texts("p[@role='status']")

    def input_value(self, name: str) -> str | None:
        inputs = self.find_all(f"input[@name='{name}']")
        return inputs[0].get("value") if inputs else None


class Visitor(requests.Session):
    """An HTTP client with its own cookies, which never follows redirects."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        super().__init__()
        self.url = url
        self.trust_env = False
        self.headers.update({"Accept": "text/html", "Accept-Language": "en", **headers})

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["allow_redirects"] = False  # `get` sets it to True
        kwargs.setdefault("timeout", 30)
        return super().request(method, urljoin(self.url, url), *args, **kwargs)

    def get_page(self, path: str, **kwargs: Any) -> Page:
        return Page(self.get(path, **kwargs))

    def submit(self, path: str, fields: dict[str, str], **kwargs: Any) -> requests.Response:
        """Post form fields with a CSRF token."""
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
    """Return the `Set-Cookie` headers of a response, in order."""
    return response.raw.headers.getlist("Set-Cookie")


def cookie_names(response: requests.Response) -> set[str]:
    return {re.split("=", line, maxsplit=1)[0] for line in set_cookies(response)}
