"""A backend that gives each social token a user of its own, and people whose browsers treat cookies as browsers do."""

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

from tests.faulty_backend import SECRET_MARKER
from tests.scripted_provider import Json, ScriptedProviders, scripted_providers
from tests.site import Site, Visitor, cookie_names, running_site, serve_in_thread

SESSION = "next-auth.session-token"


@dataclass
class SocialBackend:
    providers: ScriptedProviders
    url: str = ""
    user_delay: float = 0.0
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    """Path, bearer and JSON of each call."""
    bearers: dict[str, str] = field(default_factory=dict)
    """Bearer -> the name of the person whose it is."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, path: str) -> list[Any]:
        return [body for asked, _, body in self.calls if asked == path]

    @property
    def handed_over(self) -> list[tuple[str, Any]]:
        """What came to the social path, by the provider's name there."""
        path = "/login/social/callback/"
        return [(asked.removeprefix(path), body) for asked, _, body in self.calls if asked.startswith(path)]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, bearer = environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = json.loads(raw) if raw else None
        with self.lock:
            self.calls.append((path, bearer, body))
            status, answer = self._answer(path, bearer, body)
        if path == "/user":
            time.sleep(self.user_delay)
        start_response(f"{status} Whatever", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def _answer(self, path: str, bearer: str, body: Any) -> tuple[int, Json]:
        if path.startswith("/login"):
            new = f"{next(self.numbers)}|{SECRET_MARKER}"
            self.bearers[new] = self.providers.names.get(body.get("social_token"), body.get("email", ""))
            return 201, {"data": {"token": {"plainTextToken": new}}}
        name = self.bearers.get(bearer)
        if name is None:
            return 401, {"message": "Unauthenticated."}
        if path == "/logout":
            del self.bearers[bearer]
            return 204, {}
        person = {
            "id": int(bearer.partition("|")[0]),
            "name": name,
            "nick_name": None,
            "email": "haneul.kim@example.com",
        }
        return 200, {"data": {"user": person}}


@contextmanager
def social_backend(providers: ScriptedProviders) -> Iterator[SocialBackend]:
    backend = SocialBackend(providers)
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend


class Browser(Visitor):
    """`localhost` is a secure place, and a POST from another site brings the SameSite=None cookies alone."""

    def __init__(self, url: str, **headers: str) -> None:
        super().__init__(url, headers)
        self.cookies.set_policy(DefaultCookiePolicy(secure_protocols=("http", "https")))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """With the cookies of our own jar: `requests` would send those of a copy that has forgotten its policy."""
        prepared = super().prepare_request(request)
        if "Cookie" not in request.headers:
            prepared.headers.pop("Cookie", None)
            prepared.prepare_cookies(self.cookies)
        return prepared

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().request(method, url, *args, **kwargs)
        assert response.status_code < 500 or response.status_code in (502, 503, 504), response.text
        return response

    def start(self, provider: str, **fields: str) -> str:
        """The address at the provider where a sign-in leads."""
        response = self.submit(f"/api/auth/signin/{provider}", {"json": "true", **fields})
        assert response.status_code == 200, response.text
        return str(response.json()["url"])

    def come_back(self, provider: str, answer: dict[str, Any] | list[tuple[str, str]]) -> requests.Response:
        """Carry the provider's answer to the callback, as this provider has it carried."""
        path = f"/api/auth/callback/{provider}"
        if provider == "apple":
            return self.post_from_elsewhere(path, answer)
        return self.get(path, params=answer)

    def post_from_elsewhere(self, path: str, answer: Any, **headers: str) -> requests.Response:
        held_back = [cookie for cookie in self.cookies if not _is_sent_cross_site(cookie)]
        for cookie in held_back:
            self.cookies.clear(cookie.domain, cookie.path, cookie.name)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        origin = {**form, "Origin": "https://provider.example", "Sec-Fetch-Site": "cross-site", **headers}
        response = self.post(path, data=answer, headers=origin)
        written = cookie_names(response)
        for cookie in held_back:
            if cookie.name not in written:
                self.cookies.set_cookie(cookie)
        return response

    def named(self, start: str) -> list[str]:
        return [cookie.name for cookie in self.cookies if cookie.name.startswith(start)]

    @property
    def attempts(self) -> list[str]:
        return self.named("munjigi.attempt.")

    @property
    def who(self) -> str | None:
        """The name of the person who is signed in."""
        user = self.session().get("user")
        return str(user["name"]) if user else None


def _is_sent_cross_site(cookie: Cookie) -> bool:
    return cookie.get_nonstandard_attr("SameSite") == "None" and cookie.secure


def new_browser(site: Site) -> Browser:
    return Browser(site.url)


def error_code(response: requests.Response) -> str:
    """The code of the error page that this answer leads to; empty where it leads elsewhere."""
    assert response.status_code == 303, (response.status_code, response.text[:300])
    address = urlsplit(response.headers["Location"])
    assert address.hostname == "localhost"
    return parse_qs(address.query).get("error", [""])[0] if address.path == "/auth/login/email" else ""


@dataclass
class SocialSetup:
    site: Site
    providers: ScriptedProviders
    backend: SocialBackend


@contextmanager
def social_setup(*names: str, **given: Any) -> Iterator[SocialSetup]:
    with scripted_providers() as scripted, social_backend(scripted) as backend:
        environ = {**scripted.environ(*names), **given}
        with running_site(backend.url, **environ) as site:
            yield SocialSetup(site, scripted, backend)
