"""Concurrent requests, and unusual clocks."""

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from services.backend.user import User
from tests.support.faulty_backend import NO_LIMITS
from tests.support.forge import DAY, MONTH, USER, cookie_pair, decrypt, encrypt, make_claims
from tests.support.production import production_server
from tests.support.scripted import ScriptedBackend, scripted_backend
from tests.support.site import (
    SECRET,
    Site,
    SiteMaker,
    Visitor,
    cookie_names,
    running_site,
    serve_in_thread,
    set_cookies,
)
from tests.support.social_backend import SESSION, error_code, new_browser, social_setup

Found = TypeVar("Found")
OLD_SECRET = "an-older-secret-0f-this-very-site-8Zq"
LIMITS = {name.upper(): limit for name, limit in NO_LIMITS.items()}
SLOW = 0.5
"""Seconds that the backend takes, so that something else can happen meanwhile."""


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as backend:
        yield backend


def together(works: Sequence[Callable[[], Found]]) -> list[Found]:
    """Call all functions at the same moment."""
    ready = threading.Barrier(len(works))

    def work(one: Callable[[], Found]) -> Found:
        ready.wait()
        return one()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(work, works))


def meanwhile(slow: Callable[[], Found], quick: Callable[[], object], pause: float = SLOW / 2) -> Found:
    """Start the slow function, run the quick one meanwhile, and return the result of the slow one."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow)
        time.sleep(pause)
        quick()
        return running.result()


def cookies_of(visitor: Visitor) -> str:
    return "; ".join(f"{one.name}={one.value}" for one in visitor.cookies)


def tab(visitor: Visitor) -> Visitor:
    """Return another tab of this browser, with its current cookies."""
    return Visitor(visitor.url, {"Cookie": cookies_of(visitor)})


def session_in(response: requests.Response) -> str | None:
    """Return the session token that this answer sets."""
    found = SimpleCookie("\n".join(set_cookies(response)).replace("\n", "; ")).get(SESSION)
    return found.value if found is not None and found.value else None


def holder(site_url: str, token: str) -> dict[str, Any]:
    """Return the session of a browser with this token."""
    found: dict[str, Any] = Visitor(site_url, {"Cookie": cookie_pair(token)}).get_session().get("user", {})
    return found


# --- Sign-out during another request


def test_a_read_that_ends_after_sign_out_does_not_restore_the_session(
    make_site: SiteMaker, backend: ScriptedBackend
) -> None:
    site = make_site(backend.url)
    visitor = site.visitor_signed_in_ago(301, User.from_json({**USER, "name": "Before"}))
    backend.user_delay = SLOW  # the read gets the user with a new name, so it sets a new token
    late = meanwhile(lambda: tab(visitor).get("/api/auth/session"), lambda: visitor.submit("/auth/logout", {}))
    assert late.json()["user"]["name"] == USER["name"], "the test needs a late change"
    assert cookie_names(late) == set(), "the cookies of a later sign-in would be lost"


def test_a_name_change_that_ends_after_sign_out_does_not_restore_the_session(
    make_site: SiteMaker, backend: ScriptedBackend
) -> None:
    site = make_site(backend.url)
    visitor = site.new_visitor()
    visitor.sign_in()
    backend.user_delay = SLOW
    backend.user["name"] = "After"
    fields = {"csrfToken": visitor.csrf_token(), "name": "After", "nick_name": ""}
    late = meanwhile(lambda: tab(visitor).post("/account", data=fields), lambda: visitor.submit("/auth/logout", {}))
    assert backend.request_count("/profile") == 1, "the test needs a late change"
    assert SESSION not in cookie_names(late), "the cookies of a later sign-in would be lost"


def test_a_form_of_another_tab_redirects_to_sign_in_after_sign_out(
    make_site: SiteMaker, backend: ScriptedBackend
) -> None:
    visitor = make_site(backend.url).new_visitor()
    visitor.sign_in()
    fields = {"csrfToken": visitor.csrf_token(), "name": "x", "nick_name": ""}
    visitor.submit("/auth/logout", {})
    response = visitor.post("/account", data=fields)
    assert response.status_code == 303
    assert visitor.get_page(response.headers["Location"]).heading == "Sign in"
    assert not backend.request_count("/profile")


def test_a_concurrent_change_and_read_keep_the_change(make_site: SiteMaker, backend: ScriptedBackend) -> None:
    site = make_site(backend.url)
    visitor = site.visitor_signed_in_ago(301, User.from_json(USER))
    fields = {"csrfToken": visitor.csrf_token(), "name": "After", "nick_name": ""}
    backend.user["name"] = "After"
    answers = together([lambda: tab(visitor).post("/account", data=fields), lambda: tab(visitor).get("/account")])
    for token in filter(None, map(session_in, answers)):
        assert holder(site.url, token)["name"] == "After"


def test_a_repeated_callback_that_ends_after_sign_out_does_not_restore_the_session() -> None:
    with social_setup("kakao", session_revalidate=0, backend_logout_path=None) as here:
        visitor = new_browser(here.site)
        answer = here.providers.approve(visitor.start_sign_in("kakao"))
        copied = {"Cookie": cookies_of(visitor)}
        visitor.send_callback("kakao", answer)
        here.backend.user_delay = SLOW
        late = meanwhile(
            lambda: Visitor(here.site.url, copied).get("/api/auth/callback/kakao", params=answer),
            lambda: visitor.submit("/auth/logout", {}),
        )
        assert SESSION not in cookie_names(late)
        assert error_code(late) == "AttemptExpired"


@pytest.mark.parametrize("kept", [0, 1])
def test_signing_out_ends_both_sessions_of_a_repeated_callback(kept: int) -> None:
    with social_setup("kakao", session_revalidate=0, backend_logout_path=None) as here:
        visitor = new_browser(here.site)
        answer = here.providers.approve(visitor.start_sign_in("kakao"))
        before = {"Cookie": cookies_of(visitor)}

        def come_back() -> requests.Response:
            return Visitor(here.site.url, before).get("/api/auth/callback/kakao", params=answer)

        answers = together([come_back, come_back])
        signed_in = Visitor(here.site.url, {})
        for name, value in answers[kept].cookies.items():
            signed_in.cookies.set(name, value, domain="localhost.local", path="/")
        assert signed_in.is_signed_in
        signed_in.submit("/auth/logout", {})
        assert error_code(come_back()) == "AttemptExpired"
        for token in map(session_in, answers):
            assert holder(here.site.url, token or "") == {}


# --- Two sign-ins at once


def test_a_double_click_on_sign_in_is_no_error(make_site: SiteMaker, backend: ScriptedBackend) -> None:
    site = make_site(backend.url)
    visitor = site.new_visitor()
    visitor.csrf_token()
    fields = {"csrfToken": visitor.csrf_token(), "email": "hong@example.com", "password": "x"}
    answers = together([lambda: tab(visitor).post("/auth/login/email", data=fields)] * 2)
    assert [answer.status_code for answer in answers] == [303, 303]
    for token in map(session_in, answers):
        assert token
        assert holder(site.url, token)["id"] == USER["id"]


@pytest.mark.parametrize("order", [1, -1])
def test_two_users_in_two_tabs_leave_one_complete_session(make_site: SiteMaker, order: int) -> None:
    site = make_site()
    visitor = site.new_visitor()
    csrf = visitor.csrf_token()

    def sign_in(email: str) -> Callable[[], requests.Response]:
        fields = {"csrfToken": csrf, "email": email, "password": "correct-horse"}
        return lambda: tab(visitor).post("/auth/login/email", data=fields)

    emails = ["minji@example.com", "jun@example.com"]
    answers = together([sign_in(email) for email in emails])
    for answer in answers[::order]:  # in the order in which the browser stores the cookies
        last = session_in(answer)
    assert last
    email = emails[1 if order == 1 else 0]
    assert holder(site.url, last)["email"] == email
    assert (decrypt(last)["email"], decrypt(last)["user"]["email"]) == (email, email)


# --- Many users


class Echo:
    """A backend whose tokens name their user; it answers in any order."""

    def __init__(self) -> None:
        self.url = ""
        self._numbers = itertools.count()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        time.sleep(next(self._numbers) * 7 % 5 / 100)
        start_response("200 OK", [("Content-Type", "application/json")])
        if environ["PATH_INFO"] == "/login":
            name = json.loads(sent)["email"].partition("@")[0]
            return [json.dumps({"data": {"token": {"plainTextToken": f"of-{name}"}}}).encode()]
        name = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer of-")
        user = {"id": int(name[1:]), "name": name, "nick_name": name, "email": f"{name}@example.com"}
        return [json.dumps({"data": {"user": user}}).encode()]


@pytest.fixture
def echo() -> Iterator[Echo]:
    backend = Echo()
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend


@pytest.mark.server
def test_two_hundred_concurrent_users_never_see_another_user(tmp_path: Path, echo: Echo) -> None:
    numbers = itertools.count(1)

    def live(url: str) -> list[str]:
        name = f"u{next(numbers)}"
        visitor = Visitor(url, {"Connection": "close"})
        visitor.sign_in(f"{name}@example.com", "x")
        found = [visitor.get_session().get("user", {}).get("name", "nobody") for _ in range(2)]
        page = visitor.get_page("/").heading
        token = decrypt(visitor.cookies.get(SESSION) or "")
        seen = [
            *found,
            page.rpartition(" ")[2],
            token["name"],
            token["accessToken"].removeprefix("of-"),
            token["user"]["name"],
        ]
        return [f"{one} for {name}" for one in seen if one != name]

    with production_server(tmp_path, BACKEND_URL=echo.url, SESSION_REVALIDATE="1", **LIMITS) as (_, visitor):
        with ThreadPoolExecutor(50) as pool:
            wrong = list(itertools.chain(*pool.map(lambda _: live(visitor.url), range(200))))
        assert wrong == []


@pytest.mark.server
def test_two_workers_never_generate_the_same_secret(tmp_path: Path, echo: Echo) -> None:
    provider: dict[str, Any] = {"PROVIDERS": "google", "GOOGLE_CLIENT_ID": "x", "GOOGLE_CLIENT_SECRET": "y" * 32}
    with production_server(tmp_path, BACKEND_URL=echo.url, WORKERS="2", **provider, **LIMITS) as (_, visitor):

        def start(number: int) -> list[str]:
            one = Visitor(visitor.url, {"Connection": "close"})
            fields = {"json": "true"}
            url = one.submit("/api/auth/signin/google", fields).json()["url"]
            asked = parse_qs(urlsplit(url).query)
            return [asked[name][0] for name in ("state", "nonce", "code_challenge")]

        def sign_in(number: int) -> list[str]:
            one = Visitor(visitor.url, {"Connection": "close"})
            one.sign_in(f"u{number}@example.com", "x")
            token = one.cookies.get(SESSION) or ""
            known = decrypt(token)
            return [
                token.split(".")[2],
                known["sid"],
                known["jti"],
            ]

        with ThreadPoolExecutor(24) as pool:
            made = [*pool.map(start, range(500)), *pool.map(sign_in, range(1, 61))]
        every = list(itertools.chain(*made))
        assert len(every) == len(set(every)) == 500 * 3 + 60 * 3
        assert all(len(one) >= 16 for one in every)


# --- Key rotation


@pytest.mark.corpus
def test_during_a_key_rotation_both_servers_accept_each_session(make_site: SiteMaker, backend: ScriptedBackend) -> None:
    old = make_site(backend.url, secret_key=OLD_SECRET, secret_key_fallbacks=SECRET)  # can read the new key already
    new = make_site(backend.url, secret_key=SECRET, secret_key_fallbacks=OLD_SECRET)
    turns = itertools.cycle([old.url, new.url])
    lock = threading.Lock()

    def either() -> str:
        with lock:
            return next(turns)

    def live(_: int) -> list[int]:
        visitor = old.new_visitor()
        statuses = [visitor.sign_in().status_code]
        for _ in range(6):
            visitor.url = either()  # cookies are shared by all ports of a host
            statuses.append(200 if visitor.get_session().get("user", {}).get("id") == USER["id"] else 401)
            fields = {"csrfToken": visitor.csrf_token(), "name": "x", "nick_name": ""}
            visitor.url = either()
            statuses.append(visitor.post("/account", data=fields).status_code)
        return statuses

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(live, range(16)))
    assert {status for statuses in found for status in statuses} == {200, 303}


# --- Clocks

YEAR_2038 = 2**31


@pytest.fixture(scope="module")
def lone_site() -> Iterator[Site]:
    """A site without a backend."""
    with running_site("http://127.0.0.1:1", session_revalidate=0) as running:
        yield running


CLOCKS = {
    "an hour behind": ({"iat": -3600, "exp": MONTH - 3600}, True),
    "an hour ahead": ({"iat": 3600, "exp": MONTH + 3600}, True),
    "a second left": ({"iat": -MONTH + 5, "exp": 5}, True),
    "over by a second": ({"iat": -MONTH, "exp": -1}, False),
    "before 1970": ({"iat": -(10**10), "exp": 3600}, False),
    "issued a year ahead": ({"iat": 365 * DAY, "exp": 366 * DAY}, True),
    "checked tomorrow": ({"checked_at": DAY, "iat": 0, "exp": MONTH}, True),
    "signed in tomorrow": ({"auth_time": DAY, "iat": 0, "exp": MONTH}, True),
    "not before tomorrow": ({"nbf": DAY, "iat": 0, "exp": MONTH}, False),
}


@pytest.mark.parametrize("row", CLOCKS)
def test_a_session_survives_a_clock_jump_but_not_its_own_end(lone_site: Site, row: str) -> None:
    shifts, lives = CLOCKS[row]
    now = int(time.time())
    token = encrypt(make_claims(**{name: now + shift for name, shift in shifts.items()}))
    response = Visitor(lone_site.url, {"Cookie": cookie_pair(token)}).get("/api/auth/session")
    assert response.status_code == 200
    assert bool(response.json()) is lives
    if lives:
        end = time.mktime(time.strptime(response.json()["expires"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        assert end <= now + 366 * DAY


@pytest.mark.parametrize("end", [YEAR_2038 - 1, YEAR_2038, 2**32, 2**53])
def test_dates_after_2038_work(lone_site: Site, end: int) -> None:
    response = Visitor(lone_site.url, {"Cookie": cookie_pair(encrypt(make_claims(exp=end)))}).get("/api/auth/session")
    assert response.json()["user"]["id"] == USER["id"]
    assert re.fullmatch(r"20\d\d-.*Z", response.json()["expires"])


def test_a_session_ends_at_the_last_second_of_the_year_9999(lone_site: Site) -> None:
    last = 253402300799
    token = encrypt(make_claims(iat=last - 60, exp=last + MONTH))
    response = Visitor(lone_site.url, {"Cookie": cookie_pair(token)}).get("/api/auth/session")
    assert response.json()["expires"] == "9999-12-31T23:59:59.000Z"
