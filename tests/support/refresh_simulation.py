"""Simulates sites whose backend rotates refresh tokens, with everything that can go wrong.

A run has one to three processes of the site, their Redis, a backend and two browsers with several tabs, on a loop with
virtual time. What happens in it depends on its seed alone. Real are the services of sessions, the sign-in and the
calls to the backend; a stand-in are the HTTP client, the connection to Redis and the browser.

    .venv/bin/python -m tests.support.refresh_simulation --runs 5000
    .venv/bin/python -m tests.support.refresh_simulation --seed 17 --verbose
"""

import argparse
import asyncio
import contextlib
import json
import logging
import random
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import flask
from flask_login import LoginManager

import errors
import services
from config import Settings
from services import event_loop, sign_out
from services.http.client import UpstreamError
from services.http.response import UpstreamResponse
from services.request_context import Deadline, RequestContext
from services.response_cookies import Cookie
from services.sessions import token_store
from services.sessions.cookie import SessionCookie
from services.sessions.model import Session
from services.sessions.token_store import Claim, TokenStore
from tests.support import forge
from tests.support.fake_redis import FakeRedisClient, FakeRedisServer, fake_connections
from tests.support.site import make_settings
from tests.support.virtual_time import LoopClock, run_in_virtual_time

MAX_ANSWER_SECONDS = 45.0
"""A refresh takes at most 15 seconds, and a request that revalidates the session may wait for two of them."""
CLOCK_SECONDS = 30.0
"""How much a clock differs from the true time at most, so that two differ by 60 seconds."""
_QUIET_SECONDS = 200.0
"""At the end, nothing fails for so long. Then each session that the backend honors must work."""
_EXPIRY_TOLERANCE = 180.0
"""A session may end so much earlier than its refresh token, as clocks differ."""
_USER = {"id": 7, "name": "홍길동", "nick_name": None, "email": "hong@example.com"}


@dataclass(frozen=True)
class Variant:
    """How a backend treats its tokens."""

    name: str
    rotates: bool = True
    reuse_seconds: int = 0
    """A refresh token is accepted again for so long after its first use."""
    old_access_dies: bool = False
    """A refresh ends the previous access token."""
    tells_expiry: bool = True
    tells_refresh_expiry: bool = True
    is_jwt: bool = False
    """Access tokens tell when they expire, by the backend's clock."""


VARIANTS = (
    Variant("rotation"),
    Variant("rotation, reuse for 10 s", reuse_seconds=10),
    Variant("no rotation", rotates=False),
    Variant("rotation, old access token ends", old_access_dies=True),
    Variant("rotation, refresh token without expiry", tells_refresh_expiry=False),
    Variant("rotation, access token without expiry", tells_expiry=False),
    Variant("rotation, access token is a JWT", tells_expiry=False, is_jwt=True),
)
FAULTS = (
    "backend loses answers",
    "backend is slow",
    "backend is down",
    "processes end",
    "processes pause",
    "Redis is down",
    "Redis loses its data",
    "Redis fails over",
    "Redis is flushed",
    "Redis answers get lost",
    "a process is cut off from Redis",
    "clocks differ",
    "responses get lost or late",
    "memory is full",
)
NAIVE = ("no single flight", "no store", "no Redis")
"""What a simpler implementation would leave out."""
EXPLAINED = (
    "answer lost",
    "process ended before the answer came",
    "process ended before it could save the answer",
    "process ended while Redis was unavailable",
    "process ended, and Redis lost its data",
    "process ended, without Redis",
    "memory full, without Redis",
    "the only process with the tokens is cut off from Redis",
    "Redis was emptied while it was in use",
)
"""Why a session could not be saved."""


@dataclass
class Send:
    """A refresh token that has reached the backend."""

    process: "Process"
    arrived_at: float
    """By the backend's clock."""
    arrived: float
    """By the loop's time."""
    outcome: str
    """`rotated`, `repeated` (within the reuse window) or `refused`."""
    delivered_at: float | None = None


@dataclass
class Family:
    """The tokens of one sign-in at the backend."""

    number: int = 0
    ended_by: str | None = None
    issued_at: float = 0.0
    sends: dict[int, list[Send]] = field(default_factory=dict)
    logout_numbers: list[int] = field(default_factory=list)


@dataclass
class Login:
    """A session of a browser."""

    family: Family
    session: Session
    signed_out: sign_out.SignOutOutcome | None = None
    sign_out_requested: bool = False
    ended: bool = False
    cause: str | None = None
    """Why a spent refresh token was sent."""


@dataclass(frozen=True)
class Response:
    has_session: bool
    cookies: Sequence[Cookie] = ()


class Backend:
    """Ends a family of tokens if a refresh token comes that was used before."""

    def __init__(self, world: "World", variant: Variant, life: int, refresh_life: int, offset: float) -> None:
        self._world = world
        self.variant = variant
        self.life, self.refresh_life = life, refresh_life
        self.clock = LoopClock(world.loop, offset)
        self.families: list[Family] = []
        self.is_down = False

    def answer(self, path: str, token: str, process: "Process", sent_at: float) -> tuple[int, Any, Send | None]:
        if path == "/login":
            self.families.append(Family(issued_at=self.clock.time()))
            return 200, self._tokens(len(self.families) - 1), None
        kind, number, count = self._parse(token)
        family, current = self.families[number], count
        if path == "/user":
            return (200, _USER, None) if self.accepts(token) else (401, {}, None)
        if path == "/logout":
            family.logout_numbers.append(current)
            if family.ended_by is None and (current == family.number or not self.variant.rotates):
                family.ended_by = "sign-out"
            return 204, {}, None
        assert kind == "refresh"
        return self._refresh(family, number, current, process, sent_at)

    def accepts(self, access_token: str) -> bool:
        kind, number, count = self._parse(access_token)
        assert kind == "access"
        family = self.families[number]
        is_newest = count == family.number
        age = self.clock.time() - family.issued_at
        return family.ended_by is None and (
            (is_newest and age < self.life)
            or (not is_newest and not self.variant.old_access_dies and age < self.life / 5)
        )

    def honors(self, family: Family) -> bool:
        age = self.clock.time() - family.issued_at
        return family.ended_by is None and age < self.refresh_life - _EXPIRY_TOLERANCE

    def _refresh(
        self, family: Family, number: int, count: int, process: "Process", sent_at: float
    ) -> tuple[int, Any, Send | None]:
        now = self.clock.time()
        sends = family.sends.setdefault(count, [])
        send = Send(process, now, self._world.loop.time(), "rotated")
        if sends and self.variant.rotates:
            self._world.note_spent(family, count, sends, process, sent_at)
        sends.append(send)
        if now - family.issued_at >= self.refresh_life:
            family.ended_by = family.ended_by or "expiry"
        is_spent = self.variant.rotates and count != family.number
        first = next((each for each in sends if each.outcome == "rotated"), send)
        if family.ended_by is None and is_spent:
            if count == family.number - 1 and now - first.arrived_at <= self.variant.reuse_seconds:
                send.outcome = "repeated"
                return 200, self._tokens(number), send
            family.ended_by = "reuse"
        if family.ended_by:
            send.outcome = "refused"
            return 401, {}, send
        family.number += 1
        family.issued_at = now
        self._world.log("process %d has sent token %d of session %d", process.slot, count, number)
        return 200, self._tokens(number), send

    def _parse(self, token: str) -> tuple[str, int, int]:
        if token.count(".") == 2 and token.startswith("eyJ"):
            claims = json.loads(forge.decode_base64url(token.split(".")[1]))
            return "access", claims["family"], claims["count"]
        kind, family, count = token.split(".")
        return kind, int(family), int(count)

    def _tokens(self, number: int) -> dict[str, Any]:
        family, now = self.families[number], int(self.clock.time())
        count = family.number
        answer: dict[str, Any] = {"token": f"access.{number}.{count}", "refresh": f"refresh.{number}.{count}"}
        if not self.variant.rotates:
            answer["refresh"] = f"refresh.{number}.0"
        if self.variant.is_jwt:
            claims = {"family": number, "count": count, "iat": now, "exp": now + self.life}
            answer["token"] = f"eyJ0.{forge.base64url(json.dumps(claims).encode())}.c2ln"
        if self.variant.tells_expiry:
            answer["expires_in"] = self.life
        if self.variant.tells_refresh_expiry:
            answer["refresh_expires_in"] = self.refresh_life
        return answer


class _Http:
    """The HTTP client of a process, whose requests or answers get lost."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._world = process.world

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        within: float,
        json: Any = None,
        form: Any = None,
        retry: bool = False,
    ) -> UpstreamResponse:
        if within <= 0:
            raise UpstreamError("no time left for this call", 504, was_sent=False)
        path = "/" + url.rpartition("/")[2]
        token = (json or {}).get("refresh") or headers.get("Authorization", "").removeprefix("Bearer ")
        return event_loop.wait_for(self._send(path, token, within))

    async def _send(self, path: str, token: str, within: float) -> UpstreamResponse:
        world, rng = self._world, self._world.rng
        await self._process.gate()
        fault = world.backend_fault()
        if fault == "not sent":
            await asyncio.sleep(0.001)
            raise UpstreamError("connection refused", 502, was_sent=False)
        arrived = world.loop.create_future()
        world.start(self._reach(path, token, fault, world.loop.time(), arrived))
        try:
            async with asyncio.timeout(within):
                status, answer, send = await arrived
                if fault == "reset":
                    raise UpstreamError("connection reset", 502)
                if fault == "silent":
                    await asyncio.sleep(10**5)
                slow = {"slow answer": rng.uniform(1, 14), "answer in 1 s": 1.0, "answer in 5 s": 5.0}
                await asyncio.sleep(slow.get(fault, rng.uniform(0.01, 0.1)))
                await self._process.gate()
        except TimeoutError:
            await self._process.gate()
            raise UpstreamError("timeout", 504) from None
        if send:
            world.log("process %d has got the answer", self._process.slot)
            send.delivered_at = world.loop.time()
        return UpstreamResponse(status, {}, json.dumps(answer).encode())

    async def _reach(self, path: str, token: str, fault: str, sent_at: float, arrived: "asyncio.Future[Any]") -> None:
        """The way of a request to the backend, which goes on if the process does not wait any more."""
        rng = self._world.rng
        await asyncio.sleep(rng.uniform(0.01, 0.1) if fault != "slow request" else rng.uniform(1, 14))
        if fault == "lost":
            return
        result = self._world.backend.answer(path, token, self._process, sent_at)
        if not arrived.done():
            arrived.set_result(result)


class Process:
    """One process of the site, until it ends."""

    def __init__(self, world: "World", slot: int, offset: float) -> None:
        self.world, self.slot = world, slot
        self.clock = clock = LoopClock(world.loop, offset)
        self.paused_until = 0.0
        self.cut_off_until = 0.0
        self.last_pause = self.last_cut_off = -1000.0
        self.ended_at: float | None = None
        self.tasks: dict[asyncio.Task[Any], None] = {}
        number = len(world.all_processes)
        world.all_processes.append(self)
        settings = replace(world.settings, redis_url=f"redis://simulated/{number}" if world.has_redis else None)
        with (
            patch.object(services, "_http_client", lambda *_, **__: _Http(self)),
            patch.object(services, "TokenStore", _store(world.naive)),
        ):
            built = services.Services.build(settings, _app, self.context, clock)
        self.store, self.revoked = built.refresher.store, built.revoked_sessions
        if world.naive == "no single flight":
            built.refresher._flights = _NoFlights()  # type: ignore[assignment]
        self.sessions, self.profile = built.sessions, built.profile
        self.sign_in, self.sign_out = built.sign_in, built.sign_out
        self.cookie = SessionCookie(settings, clock)
        self.revoked.start_feed()

    def context(self) -> RequestContext:
        if "context" not in flask.g:
            flask.g.context = RequestContext(
                client_ip=None, locale="en", request_id="r", deadline=Deadline(10, self.clock)
            )
        return flask.g.context  # type: ignore[no-any-return]

    async def gate(self) -> None:
        """Wait while the process is paused; never return once it has ended."""
        while self.paused_until > self.world.loop.time():
            await asyncio.sleep(self.paused_until - self.world.loop.time())
        if self.ended_at is not None:
            raise asyncio.CancelledError

    @property
    def is_cut_off(self) -> bool:
        return self.cut_off_until > self.world.loop.time()

    def end(self) -> None:
        self.ended_at = self.world.loop.time()
        self.revoked.stop_feed()
        for task in list(self.tasks):
            task.cancel()

    async def serve(self, door: str, cookie_header: str, login: Login | None) -> tuple[Response, Any]:
        """Answer a request at this door, as `server/` does: on the loop, or in a greenlet."""
        await self.gate()
        if door in ("session", "verify") and self.sessions.load_if_fresh(
            cookie_header, can_set_cookies=door == "session"
        ):
            return Response(True), None
        return await event_loop.run(self._serve, door, cookie_header, login)

    def _serve(self, door: str, cookie_header: str, login: Login | None) -> tuple[Response, Any]:
        with _app.test_request_context("/", headers={"Cookie": cookie_header} if cookie_header else {}):
            result: Any = None
            match door:
                case "sign in":
                    self.sign_in.with_password("hong@example.com", "password", self.context())
                    result = self.sessions.load()
                case "sign out":
                    result = self.sign_out.end_session(self.context())
                case "repeat":
                    assert login
                    self.sign_in.repeat(_registration, login.session, self.context())
                case "update":
                    if self.sessions.load():
                        with contextlib.suppress(errors.SiteError):
                            self.profile.refresh(self.context())
                case "verify":
                    return Response(self.sessions.load_without_set_cookie() is not None), None
            has_session = self.sessions.load() is not None
            self.sessions.set_cookies()
            return Response(has_session, list(self.context().response_cookies)), result


class Browser:
    """A browser with tabs that share their cookies."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.jar: dict[str, str] = {}
        self.login: Login | None = None

    async def browse(self, ends_at: float) -> None:
        world, rng = self.world, self.world.rng
        while world.loop.time() < ends_at:
            if self.login is None or self.login.ended or self.login.sign_out_requested:
                await self.sign_in()
                await asyncio.sleep(rng.uniform(0.1, 2))
                continue
            tabs = [self._tab(rng.uniform(0, 0.6)) for _ in range(rng.choice((1, 1, 2, 3, 5)))]
            if rng.random() < world.sign_out_rate:
                tabs.append(self._sign_out(rng.uniform(0, 0.6)))
            if rng.random() < 0.05:
                tabs.append(self._repeat(rng.uniform(0, 0.6)))
            requests = [world.start(tab) for tab in tabs]
            if rng.random() < 0.7:
                await asyncio.wait(requests)
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        rng, life = self.world.rng, self.world.backend.life
        if self.world.has_long_pauses and rng.random() < 0.1:
            return rng.uniform(3700, 5000)
        return rng.choice((rng.uniform(0.1, 5), rng.uniform(0.6, 1.0) * life, rng.uniform(0.8, 1.4) * life))

    async def sign_in(self, slot: int | None = None) -> None:
        world, family = self.world, len(self.world.backend.families)
        response, session = await self.request("sign in", slot)
        if response is not None and session is not None:
            family = world.backend._parse(session.access_token)[1]
            self.login = Login(world.backend.families[family], session)
            world.logins.append(self.login)
            world.counts["sessions"] += 1
            world.log("session %d starts", family)

    async def _tab(self, delay: float) -> None:
        await asyncio.sleep(delay)
        await self.request(self.world.rng.choice(self.world.doors))

    async def _repeat(self, delay: float) -> None:
        await asyncio.sleep(delay)
        if self.login and not self.login.sign_out_requested:
            await self.request("repeat")

    async def _sign_out(self, delay: float) -> None:
        await asyncio.sleep(delay)
        if (login := self.login) and not login.sign_out_requested and self.jar:
            login.sign_out_requested = True
            _, outcome = await self.request("sign out")
            login.signed_out = outcome
            self.world.counts["sign-outs by the person"] += 1

    async def request(self, door: str, slot: int | None = None) -> tuple[Response | None, Any]:
        """Send a request to a process, and keep the cookies of the response, if it comes."""
        world, rng, login = self.world, self.world.rng, self.login
        cookie_header = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        await asyncio.sleep(rng.uniform(0.001, 0.05))
        process = world.processes[rng.randrange(len(world.processes)) if slot is None else slot]
        world.counts["requests"] += 1
        if process.ended_at is not None:
            return None, None
        started_at = world.loop.time()
        task = world.start(process.serve(door, cookie_header, login))
        process.tasks[task] = None
        await asyncio.wait([task])
        process.tasks.pop(task, None)
        if task.cancelled():
            return None, None
        if error := task.exception():
            if isinstance(error, errors.SiteError):
                return None, None  # an error page
            raise error
        response, result = task.result()
        world.note_answer(door, process, started_at)
        if not response.has_session and cookie_header and door not in ("sign in", "sign out"):
            world.note_signed_out(cookie_header, door, process)
        if await world.is_response_lost():
            return None, result
        self._keep(response.cookies)
        return response, result

    def _keep(self, cookies: Sequence[Cookie]) -> None:
        for cookie in cookies:
            if cookie.max_age == 0:
                self.jar.pop(cookie.name, None)
            else:
                self.jar[cookie.name] = cookie.value


class World:
    """All of a run."""

    def __init__(
        self,
        seed: int,
        naive: str | None = None,
        *,
        verbose: bool = False,
        variant: Variant | None = None,
        faults: Sequence[str] | None = None,
        process_count: int | None = None,
    ) -> None:
        """Those that are not given depend on the seed. Several processes have a Redis."""
        self.seed, self.naive = seed, naive
        self.rng = rng = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.max_seconds = 0.0
        self.is_verbose = verbose
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.logins: list[Login] = []
        variant = variant or rng.choice(VARIANTS)
        process_count = process_count or rng.choice((1, 2, 2, 3))
        self.has_redis = process_count > 1
        faults = [fault for fault in FAULTS if rng.random() < 0.25] if faults is None else faults
        self.faults = [fault for fault in faults if self.has_redis or "Redis" not in fault]
        self.revalidate = rng.choice((30, 60, 300)) if variant.tells_expiry or variant.is_jwt else 30
        self.has_long_pauses = rng.random() < 0.15
        life = rng.choice((60, 120, 300))
        self.sign_out_rate = rng.choice((0.0, 0.0, 0.1))
        self.doors = rng.choice((("session", "verify", "update"), ("session",), ("verify",), ("session", "verify")))
        if naive == "no Redis":
            self.has_redis = False
        self.settings = _settings(variant, self.revalidate)
        clocks = [rng.uniform(-CLOCK_SECONDS, CLOCK_SECONDS) for _ in range(process_count + 2)]
        if "clocks differ" not in self.faults:
            clocks = [0.0] * len(clocks)
        self.backend = Backend(self, variant, life, 20000 if self.has_long_pauses else 3600, clocks[0])
        self.redis = FakeRedisServer(LoopClock(self.loop, clocks[1]).time)
        self.redis_lost_at = self.redis_flushed_at = self.redis_was_down_at = -1000.0
        self._offsets = clocks[2:]
        self.ends_at = life * rng.choice((5, 8))
        self.is_quiet = False
        self.next_faults: list[str] = []
        """Of the next calls of the backend, before those that happen by chance."""
        self.process_count = process_count
        self.processes: list[Process] = []
        """By slot: those that run, or have run last."""
        self.all_processes: list[Process] = []

    def log(self, text: str, *values: object) -> None:
        if self.is_verbose:
            sys.stderr.write(f"{self.loop.time():9.3f}  {text % values}\n")

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = self.loop.create_task(coroutine)
        self._tasks[task] = None
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, errors.SiteError):
            self.violations.append(f"seed {self.seed}: {error!r}")

    def start_processes(self) -> None:
        self.log(
            "%s; %d processes, Redis: %s; %s", self.backend.variant, self.process_count, self.has_redis, self.faults
        )
        self.processes = [Process(self, slot, offset) for slot, offset in enumerate(self._offsets)]

    async def run(self) -> None:
        self.start_processes()
        chaos = self.start(self._break_things())
        browsers = [Browser(self) for _ in range(2)]
        await asyncio.gather(*(browser.browse(self.ends_at) for browser in browsers))
        chaos.cancel()
        self._heal()
        await asyncio.sleep(_QUIET_SECONDS)
        for browser in browsers:
            await self._check_end(browser)
        self._check_sign_outs()
        for process in self.processes:
            process.end()

    def backend_fault(self) -> str:
        """What happens to a call of the backend."""
        if self.next_faults:
            return self.next_faults.pop(0)
        if self.is_quiet:
            return ""
        number = self.rng.random()
        if self.backend.is_down:
            return "not sent" if number < 0.7 else "lost"
        if "backend loses answers" in self.faults and number < 0.15:
            return self.rng.choice(("reset", "silent", "lost", "not sent"))
        if "backend is slow" in self.faults and number > 0.6:
            return self.rng.choice(("slow request", "slow answer"))
        return ""

    def is_redis_answer_lost(self) -> bool:
        return "Redis answers get lost" in self.faults and not self.is_quiet and self.rng.random() < 0.03

    async def is_response_lost(self) -> bool:
        await asyncio.sleep(self.rng.uniform(0.001, 0.05))
        if "responses get lost or late" not in self.faults or self.is_quiet:
            return False
        number = self.rng.random()
        if number < 0.3:
            await asyncio.sleep(self.rng.uniform(0.1, 20))
        return number > 0.85

    async def _break_things(self) -> None:
        breaks: list[Callable[[], Coroutine[Any, Any, None]]] = []
        for fault, break_it in (
            ("backend is down", self._stop_backend),
            ("processes end", self._restart_process),
            ("processes pause", self._pause_process),
            ("Redis is down", self._stop_redis),
            ("Redis loses its data", self._empty_redis),
            ("Redis fails over", self._fail_over),
            ("Redis is flushed", self._flush_redis),
            ("a process is cut off from Redis", self._cut_off),
        ):
            if fault in self.faults:
                breaks.append(break_it)
        while breaks:
            await asyncio.sleep(self.rng.uniform(1, 60))
            self.start(self.rng.choice(breaks)())

    async def _stop_backend(self) -> None:
        self.backend.is_down = True
        self.counts["backend outages"] += 1
        await asyncio.sleep(self.rng.uniform(1, 60))
        self.backend.is_down = False

    async def _restart_process(self) -> None:
        slot = self.rng.randrange(self.process_count)
        if self.processes[slot].ended_at is not None:
            return
        self.log("process %d ends", slot)
        self.processes[slot].end()
        self.counts["process restarts"] += 1
        await asyncio.sleep(self.rng.uniform(0.5, 5))
        self.log("process %d starts", slot)
        self.replace_process(slot)

    def replace_process(self, slot: int) -> None:
        self.processes[slot] = Process(self, slot, self._offsets[slot])

    async def _pause_process(self) -> None:
        process = self.rng.choice(self.processes)
        self.counts["process pauses"] += 1
        process.paused_until = process.last_pause = self.loop.time() + self.rng.uniform(0.5, 40)
        self.log("process %d pauses until %.1f", process.slot, process.paused_until)

    async def _cut_off(self) -> None:
        process = self.rng.choice(self.processes)
        self.counts["cut off from Redis"] += 1
        process.cut_off_until = process.last_cut_off = self.loop.time() + self.rng.uniform(1, 40)
        self.log("process %d is cut off from Redis until %.1f", process.slot, process.cut_off_until)
        self.redis.wake()

    async def _stop_redis(self, lost_seconds: float = 0.0) -> None:
        if not self.redis.is_up:
            return
        self.log("Redis stops")
        self.redis.stop()
        self.counts["Redis outages"] += 1
        await asyncio.sleep(self.rng.uniform(0.5, 60))
        self.redis_was_down_at = self.loop.time()
        if lost_seconds:
            self.redis_lost_at = self.loop.time()
        if not self.redis.is_up:
            self.log("Redis starts, without the last %.1f s", lost_seconds)
            self.redis.start(lost_seconds=lost_seconds)

    async def _empty_redis(self) -> None:
        await self._stop_redis(10**8)

    async def _fail_over(self) -> None:
        """A replica that lacks the last writes takes over."""
        await self._stop_redis(60 + self.rng.uniform(0.5, 5))

    async def _flush_redis(self) -> None:
        if self.redis.is_up:
            self.log("Redis is flushed")
            self.counts["Redis flushed"] += 1
            self.redis_flushed_at = self.loop.time()
            self.redis.start(lost_seconds=10**8)

    def _heal(self) -> None:
        self.log("all is well")
        self.is_quiet = True
        self.backend.is_down = False
        if not self.redis.is_up:
            self.redis.start()
        for slot, process in enumerate(self.processes):
            process.cut_off_until = min(process.cut_off_until, self.loop.time())
            process.paused_until = min(process.paused_until, self.loop.time())
            if process.ended_at is not None:
                self.replace_process(slot)

    # What has to hold

    def note_answer(self, door: str, process: Process, started_at: float) -> None:
        seconds = self.loop.time() - started_at
        if process.last_pause > started_at:  # it was stopped meanwhile
            return
        self.max_seconds = max(self.max_seconds, seconds)
        if seconds > MAX_ANSWER_SECONDS:
            self._violate(f"a request at {door} took {seconds:.1f} s")

    def note_spent(self, family: Family, count: int, sends: Sequence[Send], process: Process, sent_at: float) -> None:
        """A refresh token has come that was sent before."""
        first = next((send for send in sends if send.outcome == "rotated"), None)
        if first is None:
            return  # never accepted
        self.counts["spent tokens sent"] += 1
        login = next((login for login in self.logins if login.family is family), None)
        if login is None:
            return
        # Nobody waits any more for the answer to a request that comes so late.
        cause = self._cause(login, first, count, process) if sent_at > first.arrived else "answer lost"
        login.cause = login.cause or cause
        self.log("spent token %d of session %d: %s", count, self.backend.families.index(family), cause)
        if cause not in EXPLAINED and not self.naive:
            self._violate(f"spent token {count} sent: {cause}")

    def _cause(self, login: Login, first: Send, count: int, process: Process) -> str:
        if any(send.delivered_at is not None for send in self._accepted(login.family, count)):
            return (
                self._cause_of_full_memory(first)
                or self._cause_with_newer_tokens(login, first, count, process)
                or self._loss(login, first, count)
            )
        if first.process.ended_at is not None and first.process.ended_at < self.loop.time():
            return "process ended before the answer came"
        return "answer lost"

    def _cause_with_newer_tokens(self, login: Login, first: Send, count: int, process: Process) -> str | None:
        """Why a spent token was sent although somebody has newer ones; None if nobody has."""
        key = login.session.key
        holders = [each for each in self.processes if each.ended_at is None and _known_count(each, key) > count]
        saved = self.redis.get(token_store._name(key)) if self.has_redis else None
        if saved and int(saved.partition(b":")[0]) > count:
            return "although Redis has newer ones"
        if not holders:
            return None
        if process in holders:
            return "although this process has newer ones"
        if self.redis_flushed_at > (first.delivered_at or 0):
            return "Redis was emptied while it was in use"
        if all(each.last_cut_off > (first.delivered_at or 0) - 1 for each in holders):
            return "the only process with the tokens is cut off from Redis"
        return "although another process has newer ones"

    def _cause_of_full_memory(self, first: Send) -> str | None:
        """Why nobody may have known newer tokens when this request looked, although somebody does when it arrives."""
        if "memory is full" not in self.faults:
            return None
        if not self.has_redis:
            return "memory full, without Redis"
        has_lost = max(self.redis_lost_at, self.redis_flushed_at) > (first.delivered_at or 0)
        return "process ended, and Redis lost its data" if has_lost else None

    def _loss(self, login: Login, first: Send, count: int) -> str:
        """Why nobody has the tokens that an answer had."""
        delivered_at = first.delivered_at or 0.0
        was_saved = self._was_saved(login, count)
        lost_at = max(self.redis_lost_at, self.redis_flushed_at)
        if first.process.ended_at is None:
            if "memory is full" in self.faults and not self.has_redis:
                return "memory full, without Redis"
            if "memory is full" in self.faults and (lost_at > delivered_at or not was_saved):
                return "process ended, and Redis lost its data"
            return "although the process that got newer ones still runs"
        if not self.has_redis:
            return "process ended, without Redis"
        if not was_saved:
            if (
                self.redis_was_down_at > delivered_at
                or first.process.last_cut_off > delivered_at
                or not self.redis.is_up
            ):
                return "process ended while Redis was unavailable"
            if first.process.ended_at - delivered_at < 3:
                return "process ended before it could save the answer"
            return "although there was time to save newer ones"
        return "process ended, and Redis lost its data" if lost_at > delivered_at else "although newer ones were saved"

    def _was_saved(self, login: Login, count: int) -> bool:
        return self.redis.newest_counts.get(token_store._name(login.session.key), 0) > count

    def _accepted(self, family: Family, count: int) -> list[Send]:
        return [send for send in family.sends.get(count, ()) if send.outcome != "refused"]

    def note_signed_out(self, cookie_header: str, door: str, process: Process) -> None:
        """A request with these cookies was answered without a session."""
        cookies = process.cookie.read(cookie_header)
        sids = {copy.session.sid for copy in (*cookies.copies, *cookies.idle_copies)}
        login = next((login for login in self.logins if login.session.sid in sids), None)
        if login is None or login.ended or login.sign_out_requested:
            return
        login.ended = True
        family = login.family
        self.log("session %d has ended at %s of process %d", self.backend.families.index(family), door, process.slot)
        if family.ended_by == "reuse":
            self.counts["wrongly signed out"] += 1
            self.counts[f"not saved: {login.cause}"] += 1
        elif self.backend.honors(family):
            self.counts["wrongly signed out"] += 1
            self._violate(f"signed out at {door}, and the backend honors the session")
        else:
            self.counts["ended by the refresh token's expiry"] += 1

    async def _check_end(self, browser: Browser) -> None:
        login = browser.login
        if login is None or login.ended or login.sign_out_requested or not browser.jar:
            return
        for slot in range(self.process_count):
            await browser.request("session", slot)
        if login.ended or not self.backend.honors(login.family):
            return
        session = self.processes[0].cookie.read("; ".join(f"{k}={v}" for k, v in browser.jar.items())).session
        if session is None or session.sid != login.session.sid:
            return  # the late response to a sign-out has deleted the cookie of the next session
        if (self.backend.variant.tells_expiry or self.backend.variant.is_jwt) and not self.backend.accepts(
            session.access_token
        ):
            self._violate("the access token is not valid at the end")

    def _check_sign_outs(self) -> None:
        for login in self.logins:
            family = login.family
            if (
                login.signed_out is not sign_out.SignOutOutcome.DONE
                or family.ended_by
                or not self.backend.honors(family)
            ):
                continue
            last = family.sends.get(family.number - 1, [])
            if family.number and not any(send.delivered_at is not None for send in last):
                self.counts["alive after sign-out: answer lost"] += 1
            elif self.has_redis and (
                {"Redis is down", "Redis loses its data", "Redis fails over", "Redis is flushed"} & {*self.faults}
                or {"a process is cut off from Redis", "Redis answers get lost"} & {*self.faults}
            ):
                self.counts["alive after sign-out: Redis failed"] += 1
            elif any(send.process.ended_at is not None for send in last):
                self.counts["alive after sign-out: process ended"] += 1
            else:
                self._violate(f"alive after sign-out, number {family.number}, revoked {family.logout_numbers}")

    def _violate(self, text: str) -> None:
        self.log("VIOLATION %s", text)
        if not self.naive:
            self.violations.append(f"seed {self.seed}: {text}")


@dataclass
class Result:
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    max_seconds: float = 0.0

    @property
    def wrongly_signed_out(self) -> float:
        """Of 1,000 sessions."""
        return 1000 * self.counts["wrongly signed out"] / max(1, self.counts["sessions"])


def simulate(seed: int, naive: str | None = None, *, verbose: bool = False) -> Result:
    """Run the simulation with this seed."""

    async def run() -> Result:
        with world_of_run(World(seed, naive, verbose=verbose)) as world:
            await world.run()
        counts = world.counts
        sends = [send for family in world.backend.families for each in family.sends.values() for send in each]
        counts["runs"] += 1
        counts["refreshes"] += sum(send.outcome == "rotated" for send in sends)
        counts["lost answers"] += sum(send.outcome != "refused" and send.delivered_at is None for send in sends)
        return Result(counts, world.violations, world.max_seconds)

    return run_in_virtual_time(run())


def simulate_many(seeds: Sequence[int], naive: str | None = None) -> Result:
    total = Result()
    for seed in seeds:
        result = simulate(seed, naive)
        total.counts += result.counts
        total.violations += result.violations
        total.max_seconds = max(total.max_seconds, result.max_seconds)
    return total


@contextmanager
def world_of_run(world: World) -> Iterator[World]:
    """Connections of this run's processes go to its Redis, and what is random depends on its seed."""

    def get_client(url: str) -> FakeRedisClient:
        process = world.all_processes[int(url.rpartition("/")[2])]
        return FakeRedisClient(
            world.redis, world.rng, lambda: process.is_cut_off, process.gate, world.is_redis_answer_lost
        )

    max_sessions = 1 if "memory is full" in world.faults else token_store.MAX_SESSIONS
    with (
        fake_connections(get_client),
        patch.object(token_store, "MAX_SESSIONS", max_sessions),
        patch.object(secrets, "token_urlsafe", lambda size: forge.base64url(world.rng.randbytes(size))),
    ):
        handler, log = _Handler(world), logging.getLogger("munjigi")
        logging.disable(logging.NOTSET if world.is_verbose else logging.CRITICAL)
        log.addHandler(handler)
        log.setLevel(logging.INFO if world.is_verbose else logging.NOTSET)
        try:
            yield world
        finally:
            log.removeHandler(handler)
            logging.disable(logging.NOTSET)


class _Handler(logging.Handler):
    """Shows what the site logs, with the run's time."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.log("  %s %s", record.getMessage(), getattr(record, "fields", ""))


class _NoFlights:
    """Each request refreshes on its own."""

    def run(self, _key: object, call: Callable[[], Any], _timeout: float) -> tuple[Any, bool]:
        return call(), True


class _UncoordinatedStore(TokenStore):
    def claim(self, session: Session, seconds: float) -> Claim:
        return Claim.OWN


class _NoStore(TokenStore):
    """The cookie alone has the tokens."""

    def apply(self, session: Session) -> Session:
        return session

    def load(self, session: Session) -> Session:
        return session

    def save(self, session: Session, ends_at: int) -> None:
        pass


def _store(naive: str | None) -> type[TokenStore]:
    return {"no single flight": _UncoordinatedStore, "no store": _NoStore}.get(naive or "", TokenStore)


def _known_count(process: Process, key: bytes) -> int:
    """The newest tokens of a session that a process has in memory. Looking does not count as a use."""
    entry = process.store._entries._Cache__data.get(key)  # type: ignore[attr-defined]
    return entry.count if entry else 0


@lru_cache
def _settings(variant: Variant, revalidate: int) -> Settings:
    return make_settings(
        backend="custom",
        backend_login="POST /login",
        backend_login_body="email={identifier} password={password}",
        backend_token="token",
        backend_refresh="POST /refresh",
        backend_refresh_token="refresh",
        backend_refresh_body="refresh={refresh_token}",
        backend_refresh_reuse_seconds=variant.reuse_seconds,
        backend_expires="expires_in:s",
        backend_refresh_expires="refresh_expires_in:s",
        backend_user="GET /user",
        backend_logout="POST /logout",
        backend_logout_path=None,
        backend_profile_path=None,
        backend_logout_body="refresh={refresh_token}",
        session_revalidate=revalidate,
    )


_app = flask.Flask("simulation")
_app.secret_key = "simulation"
_login_manager = LoginManager(_app)
_login_manager.session_protection = None
_login_manager.request_loader(lambda _: None)
_registration: Any = SimpleNamespace(id="kakao", provider=SimpleNamespace(form_post=False))


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate token refreshes.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="one run alone")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--naive", choices=NAIVE)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        result = simulate(arguments.seed, arguments.naive, verbose=arguments.verbose)
    else:
        result = simulate_many(range(arguments.first, arguments.first + arguments.runs), arguments.naive)
    lines = [f"| {name} | {count:,} |" for name, count in sorted(result.counts.items())]
    lines.append(f"| longest answer | {result.max_seconds:.1f} s |")
    lines.append(f"| wrongly signed out, per 1,000 sessions | {result.wrongly_signed_out:.1f} |")
    sys.stdout.write("\n".join([*lines, *result.violations]) + "\n")
    sys.exit(bool(result.violations))


if __name__ == "__main__":
    main()
