"""Two sites with one real Redis and everything that can happen to it; sign-in works without Redis too."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

import app
from services.backend.user import User
from services.clock import Clock
from services.event_loop import wait_for
from services.sessions.model import Session
from services.sessions.revocation_feed import STREAM
from services.sessions.revoked_sessions import RevokedSessions
from services.state.redis import Redis
from services.state.used_tokens import UsedTokens
from tests.support.certificates import certificate
from tests.support.commands import ROOT
from tests.support.redis_server import RedisServer, Relay, redis_cluster, redis_server, running_relay
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.site import ManualClock, Site, SiteMaker, Visitor, make_settings

pytestmark = pytest.mark.external

BUSY = 0.5
"""Seconds that a request may take on a busy machine."""
LIMITS = {"login_limit_per_account_and_ip": "5/minute"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as backend:
        yield backend


def signed_in(site: Site) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    return visitor


def copy(visitor: Visitor, site: Site) -> Visitor:
    """Return a browser at this site with the session cookie of the visitor."""
    thief = site.new_visitor()
    for cookie in visitor.cookies:
        if "session-token" in cookie.name:
            thief.cookies.set_cookie(cookie)
    return thief


def seconds_until(true: Callable[[], bool], most: float = 10.0) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + most, "it never happens"
        time.sleep(0.002)
    return time.monotonic() - began


def sign_out(visitor: Visitor, **fields: str) -> None:
    assert visitor.submit("/auth/logout", fields).status_code == 303


def wrong_guesses(site: Site, number: int, email: str = "minji@example.com") -> list[int]:
    visitor = site.new_visitor()
    return [visitor.sign_in(email, "wrong").status_code for _ in range(number)]


# --- Redis is available


@pytest.fixture(params=["redis", "rediss", "redis+cluster"])
def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Outlives all clients: CPython's `ssl` leaves a socket open if its peer closes during the handshake."""
    if request.param == "redis+cluster":
        with redis_cluster(tmp_path) as cluster:
            yield cluster.url
            followers_have_ended()
    else:
        with redis_server(tmp_path, tls=certificate(tmp_path) if request.param == "rediss" else None) as server:
            yield server.url
            followers_have_ended()


def followers_have_ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "munjigi-ended":
            thread.join(2)


def test_a_copied_cookie_is_invalid_at_the_other_site_within_a_second(redis_url: str, make_site: SiteMaker) -> None:
    here, there = make_site(redis_url=redis_url), make_site(redis_url=redis_url)
    visitor = signed_in(here)
    thief_here, thief = copy(visitor, here), copy(visitor, there)
    assert thief.is_signed_in
    sign_out(visitor)
    assert not thief_here.is_signed_in
    assert seconds_until(lambda: not thief.is_signed_in) < 1 + BUSY


def test_a_revocation_reaches_the_other_site_in_milliseconds(make_site: SiteMaker, server: RedisServer) -> None:
    here, there = make_site(redis_url=server.url), make_site(redis_url=server.url)
    delays = []
    for _ in range(50):
        visitor = signed_in(here)
        thief, token = copy(visitor, there), visitor.csrf_token()
        assert thief.is_signed_in
        visitor.post("/auth/logout", data={"csrfToken": token})
        delays.append(seconds_until(lambda thief=thief: not thief.is_signed_in))  # type: ignore[misc]
    assert statistics.median(delays) < 0.1
    assert max(delays) < 1


def test_signing_out_everywhere_ends_the_sessions_at_both_sites(
    make_site: SiteMaker, server: RedisServer, backend: ScriptedBackend
) -> None:
    here, there = make_site(backend.url, redis_url=server.url), make_site(backend.url, redis_url=server.url)
    phone, desk, tablet = signed_in(here), signed_in(there), signed_in(there)
    sign_out(phone, everywhere="1")
    seconds_until(lambda: not desk.is_signed_in, 1 + BUSY)
    assert not tablet.is_signed_in
    assert not copy(tablet, here).is_signed_in
    assert signed_in(there).is_signed_in
    assert signed_in(here).is_signed_in


def test_a_site_that_starts_later_knows_earlier_revocations(make_site: SiteMaker, server: RedisServer) -> None:
    visitor = signed_in(make_site(redis_url=server.url))
    kept = copy(visitor, make_site(redis_url=server.url))
    sign_out(visitor)
    later = make_site(redis_url=server.url)
    assert not copy(kept, later).is_signed_in


def two_hundred_guesses(sites: list[Site], email: str) -> list[int]:
    """Send two hundred guesses, fifty at a time, to all sites; return the statuses."""
    visitors = [site.new_visitor() for site in sites * (200 // len(sites))]
    tokens = [visitor.csrf_token() for visitor in visitors]
    start = threading.Barrier(50)

    def guess(visitor: Visitor, token: str) -> int:
        start.wait()
        fields = {"csrfToken": token, "email": email, "password": "wrong"}
        return visitor.post("/auth/login/email", data=fields).status_code

    with ThreadPoolExecutor(50) as crowd:
        return list(crowd.map(guess, visitors, tokens))


def test_two_hundred_guesses_at_two_sites_count_exactly(
    make_site: SiteMaker, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Repeated if a busy machine missed the timeout of Redis, as each site then counts alone, by design."""
    for attempt in range(5):
        caplog.clear()
        sites = [make_site(redis_url=server.url, **LIMITS) for _ in range(2)]
        answers = two_hundred_guesses(sites, f"guess{attempt}@example.com")
        if "Redis is unavailable" not in caplog.text:
            break
    assert sorted(answers) == [401] * 5 + [429] * 195


def test_a_successful_sign_in_resets_the_count_at_both_sites(make_site: SiteMaker, server: RedisServer) -> None:
    here, there = (make_site(redis_url=server.url, **LIMITS) for _ in range(2))
    assert wrong_guesses(here, 4) == [401] * 4
    assert signed_in(there).is_signed_in
    assert wrong_guesses(here, 6) == [401] * 5 + [429]


# --- Failures of Redis


@dataclass
class Shared:
    server: RedisServer
    relay: Relay


@dataclass(frozen=True)
class Fault:
    name: str
    hurt: Callable[[Shared], object]
    heal: Callable[[Shared], object]
    stops_limits: bool = True

    def __str__(self) -> str:
        return self.name


def hears(answer: bytes) -> tuple[Callable[[Shared], object], Callable[[Shared], object]]:
    def say(answer: bytes | None) -> Callable[[Shared], object]:
        return lambda redis: setattr(redis.relay, "fixed_reply", answer)

    return say(answer), say(None)


FAULTS = [
    Fault("killed", lambda redis: redis.server.kill(), lambda redis: redis.server.start()),
    Fault("paused", lambda redis: redis.server.pause(), lambda redis: redis.server.resume()),
    Fault("full", lambda redis: redis.server.refuse_writes(), lambda redis: redis.server.accept_writes()),
    Fault("slow", lambda redis: setattr(redis.relay, "delay", 5), lambda redis: setattr(redis.relay, "delay", 0)),
    Fault(
        "a password",
        lambda redis: redis.server.require_password("pa55"),
        lambda redis: redis.server.require_password(""),
    ),
    Fault(
        "a replica",
        lambda redis: redis.server.execute("REPLICAOF", "127.0.0.1", "1"),
        lambda redis: redis.server.execute("REPLICAOF", "NO", "ONE"),
    ),
    Fault(
        "another kind of key",
        lambda redis: (redis.server.execute("DEL", STREAM), redis.server.execute("SET", STREAM, "?")),
        lambda redis: redis.server.execute("DEL", STREAM),
        stops_limits=False,
    ),
    Fault("loading", *hears(b"-LOADING Redis is loading the dataset in memory\r\n")),
    Fault("cluster down", *hears(b"-CLUSTERDOWN The cluster is down\r\n")),
    Fault("moved", *hears(b"-MOVED 3999 127.0.0.1:1\r\n")),
    Fault("another protocol", *hears(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    Fault("hanging up", *hears(b"")),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_people_sign_in_and_out_during_each_redis_failure(
    make_site: SiteMaker, server: RedisServer, backend: ScriptedBackend, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    with running_relay(server.port) as between:
        limit = {"login_limit_per_ip": "12/minute"}
        here, there = (make_site(backend.url, redis_url=between.url, **limit) for _ in range(2))
        redis = Shared(server, between)
        ended = signed_in(here)
        known = [copy(ended, here), copy(ended, there)]
        sign_out(ended)
        seconds_until(lambda: not known[1].is_signed_in)

        fault.hurt(redis)
        visitor, answers = here.new_visitor(), []
        visitor.hooks["response"] = [lambda response, **_: answers.append(response.elapsed.total_seconds())]
        for _ in range(3):
            assert visitor.sign_in().status_code == 303
            assert visitor.is_signed_in
            meanwhile = copy(visitor, there)
            thief = copy(visitor, here)
            sign_out(visitor)
            assert not thief.is_signed_in
        assert max(answers) < 0.2 + BUSY
        assert not any(thief.is_signed_in for thief in known)
        if fault.stops_limits:
            assert [here.new_visitor().sign_in().status_code for _ in range(10)] == [303] * 9 + [429]

        fault.heal(redis)
        seconds_until(lambda: not meanwhile.is_signed_in)
        assert not any(thief.is_signed_in for thief in known)
        seconds_until(lambda: "Redis is available again" in _lines_after(caplog, visitor))
        fresh = signed_in(there)
        thief = copy(fresh, here)
        sign_out(fresh)
        seconds_until(lambda: not thief.is_signed_in)
        assert caplog.text.count("Redis is unavailable") == 1
        assert caplog.text.count("revocation feed disconnected") <= 2  # one for each site
        assert "Traceback" not in caplog.text


def _lines_after(caplog: pytest.LogCaptureFixture, visitor: Visitor) -> str:
    visitor.sign_in()
    return caplog.text


def test_a_site_that_starts_without_redis_connects_later(
    make_site: SiteMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    here, there = (make_site(redis_url=server.url) for _ in range(2))
    assert here.new_visitor().get("/health/ready").status_code == 200
    visitor = signed_in(here)
    thief = copy(visitor, there)
    sign_out(visitor)
    assert thief.is_signed_in  # the other site cannot know yet
    server.start()
    try:
        seconds_until(lambda: not thief.is_signed_in)
        seconds_until(lambda: "Redis is available again" in _lines_after(caplog, visitor))
    finally:
        server.kill()


def test_revoked_sessions_stay_revoked_after_a_redis_flush(make_site: SiteMaker, server: RedisServer) -> None:
    here, there = make_site(redis_url=server.url), make_site(redis_url=server.url)
    visitor, next_one = signed_in(here), signed_in(here)
    known, next_known = copy(visitor, there), copy(next_one, there)
    sign_out(visitor)
    seconds_until(lambda: not known.is_signed_in)
    server.flush()
    sign_out(next_one)
    seconds_until(lambda: not next_known.is_signed_in, 1 + BUSY)
    assert not known.is_signed_in


FOREIGN: list[dict[str, str | bytes]] = [
    {"s": "short"},
    {"s": b"much longer than a key of ours"},
    {"s": b""},
    {"p": b"12345678"},
    {"p": b"12345678", "t": "soon"},
    {"p": b"12345678", "t": "9" * 5000},
    {b"\xff\xfe".decode("latin-1"): b"\xff\xfe"},
    {"sid": "an older version's shape", "until": "2027"},
]


def test_foreign_stream_entries_do_not_stop_the_feed(
    make_site: SiteMaker, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = make_site(redis_url=server.url), make_site(redis_url=server.url)
    for entry in FOREIGN:
        server.execute("XADD", STREAM, "*", *(part for pair in entry.items() for part in pair))
    visitor = signed_in(here)
    thief = copy(visitor, there)
    sign_out(visitor)
    seconds_until(lambda: not thief.is_signed_in, 1 + BUSY)
    assert not copy(thief, make_site(redis_url=server.url)).is_signed_in  # nor by reading the stream from its start
    assert caplog.text.count("unknown entry") == 3 * len(FOREIGN)
    assert "feed disconnected" not in caplog.text


def test_an_unexpected_redis_answer_does_not_stop_the_feed(
    make_site: SiteMaker, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with running_relay(server.port) as between:
        here, there = (make_site(redis_url=between.url) for _ in range(2))
        between.fixed_reply = b"*1\r\n*1\r\n:7\r\n"
        seconds_until(lambda: caplog.text.count("feed disconnected") == 2)
        between.fixed_reply = None
        seconds_until(lambda: caplog.text.count("connected again") == 2)
        visitor = signed_in(here)
        thief = copy(visitor, there)
        sign_out(visitor)
        seconds_until(lambda: not thief.is_signed_in)


@pytest.mark.parametrize("with_the_list", [True, False])
def test_people_sign_in_and_out_while_a_cluster_node_is_down(
    make_site: SiteMaker, tmp_path: Path, backend: ScriptedBackend, with_the_list: bool
) -> None:
    with redis_cluster(tmp_path) as cluster:
        here, there = (make_site(backend.url, redis_url=cluster.url) for _ in range(2))
        holder = cluster.node_for(STREAM)
        victim = holder if with_the_list else next(node for node in cluster.nodes if node is not holder)
        sign_out(signed_in(here))
        victim.kill()
        answers: list[float] = []
        visitor = here.new_visitor()
        visitor.hooks["response"] = [lambda response, **_: answers.append(response.elapsed.total_seconds())]
        for _ in range(5):
            assert visitor.sign_in().status_code == 303
            thief = copy(visitor, there)
            sign_out(visitor)
        assert max(answers) < 2 + BUSY
        if with_the_list:
            assert thief.is_signed_in
            victim.start()
        seconds_until(lambda: not thief.is_signed_in, 20 if with_the_list else 2)


def test_a_site_is_not_ready_before_earlier_revocations_are_read(server: RedisServer) -> None:
    with running_relay(server.port) as between:
        between.delay = 0.2
        site = app.create_app(make_settings(redis_url=between.url))
        ended = site.extensions["munjigi"].revoked_sessions
        ready = site.test_client()
        threading.Thread(target=ended.wait_until_ready).start()
        seconds_until(lambda: ready.get("/health/ready").status_code == 503, 1)
        assert ready.get("/health/live").status_code == 200
        seconds_until(lambda: ready.get("/health/ready").status_code == 200)
        ended.stop_feed()


def test_a_process_exits_although_a_redis_call_hangs(server: RedisServer) -> None:
    program = f"""
from services.clock import Clock
from services.event_loop import wait_for
from services.state.redis import Redis, client_of

async def answer():
    return "gone on"

redis = Redis("{server.url}", Clock())
print(wait_for(redis.run(lambda storage: redis.command(lambda: client_of(storage).ping()), otherwise=answer)))
"""
    server.pause()
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=True)
    server.resume()
    assert output.stdout == b"gone on\n"


def test_many_concurrent_sign_ins_do_not_mark_redis_as_unavailable(
    make_site: SiteMaker, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(redis_url=server.url)
    visitors = [site.new_visitor() for _ in range(60)]  # more than there are connections to Redis
    tokens = [visitor.csrf_token() for visitor in visitors]
    fields = {"email": "minji@example.com", "password": "correct-horse"}

    def sign_in(visitor: Visitor, token: str) -> int:
        return visitor.post("/auth/login/email", data={"csrfToken": token, **fields}).status_code

    with ThreadPoolExecutor(len(visitors)) as crowd:
        assert list(crowd.map(sign_in, visitors, tokens)) == [303] * len(visitors)
    assert "unavailable" not in caplog.text


# --- What is stored, and for how long


def ended_sessions(max_age: int, url: str | None = None, clock: Clock | None = None) -> RevokedSessions:
    clock = clock or Clock()
    return RevokedSessions(replace(make_settings(), session_max_age=max_age), Redis(url, clock) if url else None, clock)


def a_session(sid: str) -> Session:
    user = User.from_json(USER)
    return Session(user=user, access_token="17|t", provider=None, sid=sid, auth_time=1, checked_at=1, expires_at=2**40)


def test_a_revocation_is_kept_for_the_lifetime_of_the_token() -> None:
    clock = ManualClock()
    ended = ended_sessions(1000, clock=clock)
    ended.revoke(a_session("first"))
    for number in range(30):
        clock.advance(90)
        ended.revoke(a_session(str(number)))
        if number < 10:
            assert ended.contains(a_session("first"))
        assert ended.contains(a_session(str(number)))
    assert not ended.contains(a_session("first"))
    kept = sum(len(bucket) for window in ended._windows for bucket in window.buckets.values()) // 6
    assert kept < 25


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_wrong_redis_clock_does_not_affect_revocation(server: RedisServer, hours: int) -> None:
    ended = ended_sessions(60, server.url)
    ended.wait_until_ready()
    key = sha256(b"sid:far").digest()[:8]
    server.execute("XADD", STREAM, f"{int((time.time() + hours * 3600) * 1000)}-0", "s", key)
    seconds_until(lambda: ended.contains(a_session("far")), 1 + BUSY)
    ended.stop_feed()


def test_the_data_in_redis_identify_nobody(make_site: SiteMaker, server: RedisServer) -> None:
    visitor = signed_in(make_site(redis_url=server.url))
    user = visitor.get_session()["user"]
    sign_out(visitor, everywhere="1")
    wrong_guesses(make_site(redis_url=server.url), 1)
    found = repr(server.execute("XRANGE", STREAM, "-", "+"))
    for key in server.execute("KEYS", "*"):
        found += repr((key, server.execute("DUMP", key)))
    assert found.count("LIMITS") >= 3
    for secret in ("minji", "correct-horse", "wrong", "next-auth", "eyJ", str(user["name"])):
        assert secret not in found


def test_what_the_backend_ends_at_one_site_is_over_at_the_other_within_a_second(
    make_site: SiteMaker, server: RedisServer
) -> None:
    token = "the-Backend-tells-with-this-one-only"
    sites = [make_site(redis_url=server.url, backend_events_token=token) for _ in range(2)]
    visitors = [signed_in(sites[1]) for _ in range(2)]
    user_id = visitors[0].get_session()["user"]["id"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = sites[0].new_visitor().post("/api/auth/sessions/revoke", json={"user_id": user_id}, headers=headers)
    ends = time.monotonic() + 1 + BUSY
    assert answer.status_code == 204
    while any(visitor.is_signed_in for visitor in visitors):
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_the_backend_ends_while_redis_is_down_is_known_elsewhere_once_it_is_back(
    make_site: SiteMaker, server: RedisServer
) -> None:
    token = "the-Backend-tells-with-this-one-only"
    sites = [make_site(redis_url=server.url, backend_events_token=token) for _ in range(2)]
    here, there = signed_in(sites[0]), signed_in(sites[1])
    server.kill()
    body, headers = {"user_id": here.get_session()["user"]["id"]}, {"Authorization": f"Bearer {token}"}
    answer = sites[0].new_visitor().post("/api/auth/sessions/revoke", json=body, headers=headers)
    assert answer.status_code == 204
    assert not here.is_signed_in
    assert there.is_signed_in
    server.start()
    ends = time.monotonic() + 30
    while there.is_signed_in:
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_token_that_was_used_at_one_process_cannot_be_used_at_another(server: RedisServer) -> None:
    clock = Clock()
    clients = [Redis(server.url, clock) for _ in range(2)]
    here, there = (UsedTokens("test", 720, client, clock) for client in clients)
    assert here.use("issuer", "a")
    assert not here.use("issuer", "a")
    assert not there.use("issuer", "a")
    assert there.use("another", "a")
    server.kill()
    assert there.use("issuer", "b")
    assert not there.use("issuer", "b")
    for client in clients:
        wait_for(client.aclose())
