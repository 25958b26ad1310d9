"""Every door gives the same answer to "who is this?", at any moment and in any order.

The doors are the account page, the session as JSON, and forward auth, the latter two with and without Flask. Each
case tells the site of a change through one door, and then asks all of them, with the cookie from before the change
too: a browser may have another response under way, and `/auth/verify` cannot write cookies at all.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import flask
import pytest

from app import create_app
from tests.support.asgi import Browser, Response, create_asgi
from tests.support.redis_server import RedisServer, redis_server
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.site import ManualClock, Site, SiteMaker, Visitor, make_settings
from tests.support.tables import sample_pairs, sample_rows

Who = tuple[str, str, str] | None
"""Id, name and e-mail address, as text; None if nobody is signed in."""
INTERVAL = 300
COOKIE = "next-auth.session-token"


class Machine:
    """One process of the site, and its event loop."""

    def __init__(self, backend_url: str, clock: ManualClock, **settings: object) -> None:
        self._runner = asyncio.Runner()
        self._settings = {"backend_url": backend_url, **settings}
        self._clock = clock
        self.site: flask.Flask
        self._browser: Browser
        self._start()

    def _start(self) -> None:
        self.site = create_app(make_settings(**self._settings), clock=self._clock)
        self._browser = Browser(create_asgi(self.site))

    def restart(self) -> None:
        self._stop()
        self._start()

    def close(self) -> None:
        self._stop()
        self._runner.close()

    def _stop(self) -> None:
        self._runner.run(self.site.extensions["munjigi"].aclose())

    def get(self, path: str, cookies: dict[str, str]) -> Response:
        self._browser.cookies = cookies
        return self._runner.run(self._browser.get(path))

    def post(self, path: str, cookies: dict[str, str], **fields: str) -> Response:
        self._browser.cookies = cookies
        return self._runner.run(self._browser.post(path, **fields))

    def sign_in(self) -> dict[str, str]:
        """Sign in, and return the cookies of the browser."""
        cookies: dict[str, str] = {}
        assert self.post("/auth/login/email", cookies, email="hong@example.com", password="x").status == 303
        return cookies


def _page(machine: Machine, cookies: dict[str, str]) -> Who:
    response = machine.get("/account", cookies)
    if response.status == 303:
        return None
    email, user_id = re.findall(r"<dd><bdi[^>]*>(.*?)</bdi></dd>", response.body.decode())
    (name,) = re.findall(r'name="name"[^>]*? value="(.*?)"', response.body.decode())
    return unescape(user_id), unescape(name), unescape(email)


def _session(path: str) -> Callable[[Machine, dict[str, str]], Who]:
    def read(machine: Machine, cookies: dict[str, str]) -> Who:
        return _of_json(machine.get(path, cookies))

    return read


def _of_json(response: Response) -> Who:
    user = response.json().get("user")
    return (str(user["id"]), user["name"], user["email"]) if user else None


def _verify(path: str) -> Callable[[Machine, dict[str, str]], Who]:
    def read(machine: Machine, cookies: dict[str, str]) -> Who:
        response = machine.get(path, cookies)
        assert COOKIE not in response.header("Set-Cookie")
        if response.status == 401:
            return None
        user_id, name, email = (unquote(response.header(f"X-Auth-User-{field}")) for field in ("Id", "Name", "Email"))
        return user_id, name, email

    return read


def _update(machine: Machine, cookies: dict[str, str]) -> Who:
    return _of_json(machine.post("/api/auth/session", cookies))


DOORS = {
    "page": _page,
    "session": _session("/api/auth/session"),
    "session, by Flask": _session("/api/auth/session?x"),
    "verify": _verify("/auth/verify"),
    "verify, by Flask": _verify("/auth/verify?x"),
}
TELLERS = {**DOORS, "update": _update}
"""Through which the site may learn of a change."""
CHANGES: dict[str, tuple[dict[str, Any], Who]] = {
    "name": ({"name": "홍길순"}, ("7", "홍길순", "hong@example.com")),
    "e-mail address": ({"email": "gil@example.com"}, ("7", "홍길동", "gil@example.com")),
    "type of the id": ({"id": "7"}, ("7", "홍길동", "hong@example.com")),
    "name in another normal form": ({"name": "e\u0301"}, ("7", "é", "hong@example.com")),
    "token revoked": ({}, None),
    "another person": ({"id": 8}, None),
}
BEFORE: Who = ("7", "홍길동", "hong@example.com")


@pytest.fixture(scope="module")
def running_backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture
def backend(running_backend: ScriptedBackend) -> ScriptedBackend:
    running_backend.reset()
    return running_backend


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@contextmanager
def running(backend: ScriptedBackend, clock: ManualClock, **settings: object) -> Iterator[Machine]:
    machine = Machine(backend.url, clock, **settings)
    try:
        yield machine
    finally:
        machine.close()


@pytest.fixture
def machine(backend: ScriptedBackend, clock: ManualClock) -> Iterator[Machine]:
    with running(backend, clock) as made:
        yield made


def change(backend: ScriptedBackend, what: str) -> Who:
    """Change the user at the backend. Returns whom every door has to show from now on."""
    fields, who = CHANGES[what]
    backend.user = {**USER, **fields}
    backend.user_status = 401 if what == "token revoked" else 200
    return who


def assert_agreement(machine: Machine, cookies: dict[str, str], who: Who) -> None:
    """Ask all doors with these cookies in both orders, and then as a browser that takes the cookies it gets."""
    doors = list(DOORS.items())
    for name, read in (*doors, *reversed(doors)):
        assert read(machine, dict(cookies)) == who, name
    for name, read in doors:
        assert read(machine, cookies) == who, name


@pytest.mark.parametrize(("what", "teller"), sample_pairs(CHANGES, list(TELLERS)))
def test_what_one_door_learns_every_door_shows(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock, what: str, teller: str
) -> None:
    cookies = machine.sign_in()
    assert_agreement(machine, dict(cookies), BEFORE)
    clock.advance(INTERVAL + 10)
    who = change(backend, what)
    assert TELLERS[teller](machine, dict(cookies)) == who
    asked = backend.request_count("/user")
    assert_agreement(machine, cookies, who)
    assert backend.request_count("/user") == asked, "known already"


@pytest.mark.parametrize("what", sample_rows(CHANGES, 2))
def test_before_the_check_is_due_every_door_shows_the_user_as_known(
    machine: Machine, backend: ScriptedBackend, what: str
) -> None:
    cookies = machine.sign_in()
    change(backend, what)
    assert_agreement(machine, cookies, BEFORE)


@pytest.mark.parametrize("what", sample_rows(CHANGES, 2))
def test_a_second_change_replaces_the_first(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock, what: str
) -> None:
    cookies = machine.sign_in()
    for fields in ({"name": "하나", "email": None}, {"name": "둘"}):
        backend.user = {**USER, **fields}
        clock.advance(INTERVAL + 10)
        DOORS["verify"](machine, cookies)
    clock.advance(INTERVAL + 10)
    assert_agreement(machine, cookies, change(backend, what))


def test_a_change_that_is_taken_back_is_shown_to_old_and_new_cookies(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock
) -> None:
    old = machine.sign_in()
    new = dict(old)
    clock.advance(INTERVAL + 10)
    who = change(backend, "name")
    assert _page(machine, new) == who
    assert new[COOKIE] != old[COOKIE]
    clock.advance(INTERVAL + 10)
    backend.user = dict(USER)
    assert _page(machine, dict(new)) == BEFORE
    for cookies in (old, new):
        assert_agreement(machine, cookies, BEFORE)


def test_the_next_page_writes_what_forward_auth_has_learned_into_the_cookie(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock
) -> None:
    cookies = machine.sign_in()
    before = dict(cookies)
    clock.advance(INTERVAL + 10)
    who = change(backend, "e-mail address")
    assert DOORS["verify"](machine, cookies) == who
    assert cookies == before
    assert _page(machine, cookies) == who
    assert cookies[COOKIE] != before[COOKIE]
    machine.restart()
    backend.user_status = 500
    assert_agreement(machine, cookies, who)


@pytest.mark.parametrize(("what", "teller"), sample_pairs(CHANGES, list(DOORS), 4))
def test_after_a_restart_the_first_door_asks_and_all_agree(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock, what: str, teller: str
) -> None:
    cookies = machine.sign_in()
    clock.advance(INTERVAL + 10)
    who = change(backend, what)
    assert DOORS["verify"](machine, dict(cookies)) == who
    machine.restart()
    assert TELLERS[teller](machine, dict(cookies)) == who
    assert_agreement(machine, cookies, who)


@pytest.mark.parametrize("everywhere", ["", "1"])
def test_after_signing_out_no_door_knows_the_session(machine: Machine, clock: ManualClock, everywhere: str) -> None:
    cookies = machine.sign_in()
    copy = dict(cookies)
    assert machine.post("/auth/logout", cookies, everywhere=everywhere).status == 303
    assert_agreement(machine, copy, None)
    assert_agreement(machine, cookies, None)


def test_a_failing_backend_changes_no_answer(machine: Machine, backend: ScriptedBackend, clock: ManualClock) -> None:
    cookies = machine.sign_in()
    clock.advance(INTERVAL + 10)
    who = change(backend, "name")
    assert DOORS["verify"](machine, dict(cookies)) == who
    clock.advance(INTERVAL + 10)
    backend.user_status = 500
    assert_agreement(machine, cookies, who)


def test_a_revoked_token_stays_refused_while_the_backend_fails(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock
) -> None:
    cookies = machine.sign_in()
    clock.advance(INTERVAL + 10)
    backend.user_status = 401
    assert DOORS["verify"](machine, dict(cookies)) is None
    backend.user_status = 500
    assert_agreement(machine, cookies, None)


def test_an_answer_that_was_under_way_does_not_undo_a_later_one(backend: ScriptedBackend, clock: ManualClock) -> None:
    """A slow read and a change at the same time: the change is newer."""
    with running(backend, clock) as machine:
        cookies = machine.sign_in()
        (session,) = [machine.site.extensions["munjigi"].sessions.load_if_fresh(
            f"{COOKIE}={cookies[COOKIE]}", can_set_cookies=False
        )]  # fmt: skip
        memory = machine.site.extensions["munjigi"].sessions._memory
        asked_at = clock.time()
        clock.advance(10)
        backend.user["name"] = "새 이름"
        assert _update(machine, dict(cookies)) == ("7", "새 이름", "hong@example.com")
        memory.learn(session, session.user, asked_at)
        assert_agreement(machine, cookies, ("7", "새 이름", "hong@example.com"))


# --- Use: SESSION_MAX_AGE


DAY = 24 * 3600


@pytest.mark.parametrize("door", ["verify", "verify, by Flask"])
def test_use_behind_forward_auth_is_use(machine: Machine, clock: ManualClock, door: str) -> None:
    cookies = machine.sign_in()
    for _ in range(6):
        clock.advance(10 * DAY)
        assert DOORS[door](machine, dict(cookies)) == BEFORE
    assert_agreement(machine, cookies, BEFORE)
    clock.advance(29 * DAY)
    assert _page(machine, cookies) == BEFORE, "the page has written the cookie"


def test_without_use_a_session_ends(machine: Machine, clock: ManualClock) -> None:
    cookies = machine.sign_in()
    clock.advance(10 * DAY)
    assert DOORS["verify"](machine, dict(cookies)) == BEFORE
    clock.advance(30 * DAY + 10)
    assert_agreement(machine, cookies, None)


def test_use_does_not_outlast_the_absolute_age(machine: Machine, clock: ManualClock) -> None:
    cookies = machine.sign_in()
    for _ in range(8):
        clock.advance(10 * DAY)
        assert DOORS["verify"](machine, dict(cookies)) == BEFORE
    clock.advance(10 * DAY + 10)
    assert_agreement(machine, cookies, None)


# --- After a restart


def test_after_a_restart_due_sessions_do_not_ask_all_at_once(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock
) -> None:
    visitors = [machine.sign_in() for _ in range(20)]
    clock.advance(10 * INTERVAL)
    machine.restart()
    backend.calls.clear()
    for cookies in visitors:
        for read in DOORS.values():
            assert read(machine, dict(cookies)) == BEFORE
    assert backend.request_count("/user") < 10, "the first five, and those whose turn comes within seconds"
    clock.advance(INTERVAL / 2)
    for cookies in visitors:
        assert DOORS["verify"](machine, cookies) == BEFORE
    assert 5 < backend.request_count("/user") < 20
    clock.advance(INTERVAL / 2 + 10)
    for cookies in visitors:
        assert DOORS["verify"](machine, cookies) == BEFORE
    assert backend.request_count("/user") >= 20


def test_a_renewed_cookie_says_when_the_user_was_last_read(
    machine: Machine, backend: ScriptedBackend, clock: ManualClock
) -> None:
    cookies = machine.sign_in()
    clock.advance(4 * DAY)
    assert _page(machine, cookies) == BEFORE
    machine.restart()
    backend.calls.clear()
    assert_agreement(machine, cookies, BEFORE)
    assert backend.request_count("/user") == 0


# --- Several processes


def test_without_redis_another_process_learns_at_its_own_check(backend: ScriptedBackend, clock: ManualClock) -> None:
    with running(backend, clock) as first, running(backend, clock) as second:
        cookies = first.sign_in()
        clock.advance(INTERVAL / 2)
        who = change(backend, "name")
        assert _update(first, dict(cookies)) == who
        assert_agreement(second, dict(cookies), BEFORE)
        clock.advance(INTERVAL / 2 + 10)
        assert_agreement(second, cookies, who)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running_server:
        yield running_server


def who_is(visitor: Visitor, path: str = "/auth/verify") -> Who:
    response = visitor.get(path)
    if path != "/auth/verify":
        user = response.json().get("user")
        return (str(user["id"]), user["name"], user["email"]) if user else None
    if response.status_code == 401:
        return None
    user_id, name, email = (unquote(response.headers[f"X-Auth-User-{field}"]) for field in ("Id", "Name", "Email"))
    return user_id, name, email


def at(site: Site, visitor: Visitor) -> Visitor:
    """Return a visitor of another process with the same cookies."""
    other = site.new_visitor()
    other.cookies.update(visitor.cookies)
    return other


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.external
def test_with_redis_other_processes_and_a_new_one_show_what_one_has_learned(
    make_site: SiteMaker, backend: ScriptedBackend, clock: ManualClock, redis: RedisServer
) -> None:
    def start() -> Site:
        return make_site(backend.url, clock=clock, redis_url=redis.url)

    first, second = start(), start()
    visitor = first.new_visitor()
    visitor.sign_in("hong@example.com")
    old, there = at(first, visitor), at(second, visitor)
    assert who_is(there) == BEFORE
    clock.advance(INTERVAL / 2)
    who = change(backend, "e-mail address")
    assert visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token()}).json()["user"]["email"]
    asked = backend.request_count("/user")
    wait_until(lambda: who_is(there) == who)
    assert who_is(at(second, old), "/api/auth/session") == who
    assert backend.request_count("/user") == asked + 1, "the second process asks once"
    assert who_is(old) == who
    assert who_is(at(start(), old)) == who, "a new process, with the cookie from before"


@pytest.mark.external
def test_with_redis_use_behind_forward_auth_outlives_the_process(
    make_site: SiteMaker, backend: ScriptedBackend, clock: ManualClock, redis: RedisServer
) -> None:
    def start() -> Site:
        return make_site(backend.url, clock=clock, redis_url=redis.url)

    visitor = start().new_visitor()
    visitor.sign_in("hong@example.com")
    for _ in range(5):
        clock.advance(10 * DAY)
        visitor = at(start(), visitor)
        assert who_is(visitor) == BEFORE
    keys = redis.execute("KEYS", "munjigi:used:*")
    assert len(keys) == 1
    assert 0 < redis.execute("TTL", keys[0]) <= 30 * DAY
    assert b"hong" not in redis.execute("GET", keys[0])
    assert who_is(visitor, "/api/auth/session") == BEFORE
    clock.advance(31 * DAY)
    assert who_is(at(start(), visitor)) is None


@pytest.mark.external
def test_while_redis_is_away_each_process_answers_by_itself(
    make_site: SiteMaker, backend: ScriptedBackend, clock: ManualClock, redis: RedisServer
) -> None:
    site = make_site(backend.url, clock=clock, redis_url=redis.url)
    visitor = site.new_visitor()
    visitor.sign_in("hong@example.com")
    redis.kill()
    for _ in range(4):
        clock.advance(10 * DAY)
        assert who_is(visitor) == BEFORE
    clock.advance(INTERVAL + 10)
    who = change(backend, "name")
    assert who_is(visitor) == who
    assert who_is(visitor, "/api/auth/session") == who
