"""A backend with one user per provider token, and an HTTP client that handles cookies as browsers do."""

import itertools
import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import Cookie, DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.support.faulty_backend import SECRET_MARKER
from tests.support.scripted_provider import Json, ScriptedProviders, scripted_providers
from tests.support.site import Site, Visitor, cookie_names, running_site, serve_in_thread

SESSION = "next-auth.session-token"


@dataclass
class SocialBackend:
    providers: ScriptedProviders
    url: str = ""
    user_delay: float = 0.0
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    """Path, bearer token and JSON body of each request."""
    names_by_token: dict[str, str] = field(default_factory=dict)
    """User name by bearer token."""
    token_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def requests_to(self, path: str) -> list[Any]:
        return [body for request_path, _, body in self.calls if request_path == path]

    @property
    def social_logins(self) -> list[tuple[str, Any]]:
        """The provider and the JSON body of each social sign-in."""
        prefix = "/login/social/callback/"
        return [(path.removeprefix(prefix), body) for path, _, body in self.calls if path.startswith(prefix)]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, bearer = environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = json.loads(raw) if raw else None
        with self.lock:
            self.calls.append((path, bearer, body))
            status, response_body = self._respond(path, bearer, body)
        if path == "/user":
            time.sleep(self.user_delay)
        start_response(f"{status} Whatever", [("Content-Type", "application/json")])
        return [json.dumps(response_body).encode()]

    def _respond(self, path: str, bearer: str, body: Any) -> tuple[int, Json]:
        if path.startswith("/login"):
            token = f"{next(self.token_numbers)}|{SECRET_MARKER}"
            self.names_by_token[token] = self.providers.names_by_token.get(
                body.get("social_token"), body.get("email", "")
            )
            return 201, {"data": {"token": {"plainTextToken": token}}, "refresh": f"refresh-{token}"}
        name = self.names_by_token.get(bearer)
        if name is None:
            return 401, {"message": "Unauthenticated."}
        if path == "/logout":
            del self.names_by_token[bearer]
            return 204, {}
        user = {
            "id": int(bearer.partition("|")[0]),
            "name": name,
            "nick_name": None,
            "email": "haneul.kim@example.com",
        }
        return 200, {"data": {"user": user}}


@contextmanager
def social_backend(providers: ScriptedProviders) -> Iterator[SocialBackend]:
    backend = SocialBackend(providers)
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend


class Browser(Visitor):
    """Sends `Secure` cookies to localhost, and only `SameSite=None` cookies with a cross-site POST."""

    def __init__(self, url: str, **headers: str) -> None:
        super().__init__(url, headers)
        self.cookies.set_policy(DefaultCookiePolicy(secure_protocols=("http", "https")))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Use the session's own cookie jar: `requests` copies the jar and loses its policy."""
        prepared = super().prepare_request(request)
        if "Cookie" not in request.headers:
            prepared.headers.pop("Cookie", None)
            prepared.prepare_cookies(self.cookies)
        return prepared

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().request(method, url, *args, **kwargs)
        assert response.status_code < 500 or response.status_code in (502, 503, 504), response.text
        return response

    def start_sign_in(self, provider: str, **fields: str) -> str:
        """Start a sign-in. Return the authorization URL."""
        response = self.submit(f"/api/auth/signin/{provider}", {"json": "true", **fields})
        assert response.status_code == 200, response.text
        return str(response.json()["url"])

    def send_callback(self, provider: str, params: dict[str, Any] | list[tuple[str, str]]) -> requests.Response:
        """Send the callback parameters: Apple's as a cross-site POST, the others as a GET."""
        path = f"/api/auth/callback/{provider}"
        if provider == "apple":
            return self.post_cross_site(path, params)
        return self.get(path, params=params)

    def post_cross_site(self, path: str, form: Any, **headers: str) -> requests.Response:
        """POST from another site: with the `SameSite=None` cookies only."""
        withheld = [cookie for cookie in self.cookies if not _is_sent_cross_site(cookie)]
        for cookie in withheld:
            self.cookies.clear(cookie.domain, cookie.path, cookie.name)
        default_headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": "https://provider.example",
            "Sec-Fetch-Site": "cross-site",
        }
        response = self.post(path, data=form, headers={**default_headers, **headers})
        set_names = cookie_names(response)
        for cookie in withheld:
            if cookie.name not in set_names:
                self.cookies.set_cookie(cookie)
        return response

    def cookies_starting_with(self, prefix: str) -> list[str]:
        return [cookie.name for cookie in self.cookies if cookie.name.startswith(prefix)]

    @property
    def attempt_cookies(self) -> list[str]:
        return self.cookies_starting_with("munjigi.attempt.")

    @property
    def user_name(self) -> str | None:
        """The name of the signed-in user, or None."""
        user = self.get_session().get("user")
        return str(user["name"]) if user else None


def _is_sent_cross_site(cookie: Cookie) -> bool:
    return cookie.get_nonstandard_attr("SameSite") == "None" and cookie.secure


def new_browser(site: Site) -> Browser:
    return Browser(site.url)


def error_code(response: requests.Response) -> str:
    """Return the error code in the redirect to the sign-in page; empty if the redirect goes elsewhere."""
    assert response.status_code == 303, (response.status_code, response.text[:300])
    url = urlsplit(response.headers["Location"])
    assert url.hostname == "localhost"
    return parse_qs(url.query).get("error", [""])[0] if url.path == "/auth/login/email" else ""


@dataclass
class SocialSetup:
    site: Site
    providers: ScriptedProviders
    backend: SocialBackend


@contextmanager
def social_setup(*names: str, **settings: Any) -> Iterator[SocialSetup]:
    """Run a site with these providers and settings, a backend and the providers."""
    with scripted_providers() as providers, social_backend(providers) as backend:
        environ = {**providers.environ(*names), **settings}
        with running_site(backend.url, **environ) as site:
            yield SocialSetup(site, providers, backend)
