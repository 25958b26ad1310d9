"""W3C Trace Context: `traceparent` is validated, logged, and continued in each call to the backend and to providers."""

import json
import re
from collections.abc import Iterator

import pytest

from dev.backend import PASSWORD
from services.observability import trace_context
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend
from tests.support.issuer import Issuer, reset_servers, running_issuer, sign_in_via_provider
from tests.support.logs import captured_log
from tests.support.site import MINJI, Site, Visitor, running_site
from tests.support.social_fixtures import backend  # noqa: F401  # a fixture

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer) -> Iterator[Site]:
    with running_site(backend.url, **issuer.site_settings(), **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def well(issuer: Issuer, backend: FaultyBackend, site: Site) -> None:
    reset_servers(issuer, backend, site)


def sent(servers: list[FaultyBackend]) -> list[str]:
    return [str(call.headers["traceparent"]) for server in servers for call in server.calls]


def sign_in(visitor: Visitor, **headers: str) -> None:
    token = visitor.csrf_token()
    fields = {"csrfToken": token, "email": MINJI, "password": PASSWORD}
    assert visitor.post("/auth/login/email", data=fields, headers=headers).status_code == 303


# --- Which headers are valid


@pytest.mark.parametrize(
    ("traceparent", "flags"),
    [
        (TRACEPARENT, 1),
        (f"00-{TRACE_ID}-{PARENT_ID}-00", 0),
        (f"00-{TRACE_ID}-{PARENT_ID}-03", 3),
        (f"00-{TRACE_ID}-{PARENT_ID}-ff", 3),
        (f"01-{TRACE_ID}-{PARENT_ID}-01", 1),
        (f"cc-{TRACE_ID}-{PARENT_ID}-01-what-the-future-will-be-like", 1),
    ],
)
def test_a_valid_traceparent_is_read_and_unknown_flags_are_zero(traceparent: str, flags: int) -> None:
    trace = trace_context.parse(traceparent, "")
    assert trace == trace_context.TraceContext(TRACE_ID, PARENT_ID, flags)
    assert trace.traceparent("b7ad6b7169203331") == f"00-{TRACE_ID}-b7ad6b7169203331-0{flags}"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "x",
        TRACEPARENT.upper(),
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
        f"00-{TRACE_ID}-{PARENT_ID}-01-",
        f"cc-{TRACE_ID}-{PARENT_ID}-01.more",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-1",
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"0-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID[:-1]}g-{PARENT_ID}-01",
        f" {TRACEPARENT}",
        f"{TRACEPARENT}\n",
        f"{TRACEPARENT},{TRACEPARENT}",
        f"00-{TRACE_ID[:-1]}٣-{PARENT_ID}-01",
        "0" * 100_000,
    ],
    ids=lambda text: repr(text)[:60],
)
def test_a_traceparent_that_is_not_valid_is_ignored(traceparent: str) -> None:
    assert trace_context.parse(traceparent, STATE) is None


@pytest.mark.parametrize("state", ["x" * 513, "a=é", "a=\x00", "a=b\r\nX: y"], ids=repr)
def test_a_tracestate_that_is_too_long_or_not_ascii_is_dropped(state: str) -> None:
    trace = trace_context.parse(TRACEPARENT, state)
    assert trace is not None
    assert trace.state == ""


# --- What the backend and providers get


def test_each_call_of_a_sign_in_continues_the_trace_with_a_span_of_its_own(site: Site, backend: FaultyBackend) -> None:
    sign_in(site.new_visitor(), traceparent=TRACEPARENT, tracestate=STATE)
    assert [call.path for call in backend.calls] == ["/login", "/user"]
    headers = sent([backend])
    assert all(re.fullmatch(rf"00-{TRACE_ID}-[0-9a-f]{{16}}-01", header) for header in headers)
    assert len({*headers, TRACEPARENT}) == 3
    assert {call.headers["tracestate"] for call in backend.calls} == {STATE}


def test_providers_get_the_trace_but_not_what_tracing_systems_have_added(
    site: Site, issuer: Issuer, backend: FaultyBackend
) -> None:
    visitor = site.new_visitor()
    visitor.headers.update({"traceparent": TRACEPARENT, "tracestate": STATE})
    assert sign_in_via_provider(visitor, issuer).status_code == 303
    assert len(issuer.calls) >= 2
    assert all(header.startswith(f"00-{TRACE_ID}-") for header in sent([issuer, backend]))
    assert all(call.headers["tracestate"] is None for call in issuer.calls)


@pytest.mark.parametrize("traceparent", [None, f"00-{'0' * 32}-{PARENT_ID}-01", "é"])
def test_a_request_without_a_valid_traceparent_starts_no_trace(
    site: Site, backend: FaultyBackend, traceparent: str | None
) -> None:
    headers = {"tracestate": STATE, **({"traceparent": traceparent.encode()} if traceparent else {})}
    with captured_log() as log:
        sign_in(site.new_visitor(), **headers)  # type: ignore[arg-type]  # requests takes bytes too
    assert "trace_id" not in log.getvalue()
    assert {(call.headers["traceparent"], call.headers["tracestate"]) for call in backend.calls} == {(None, None)}


def test_two_traceparents_are_none(site: Site, backend: FaultyBackend) -> None:
    sign_in(site.new_visitor(), traceparent=f"{TRACEPARENT}, {TRACEPARENT}")
    assert {call.headers["traceparent"] for call in backend.calls} == {None}


# --- The log


def test_each_line_of_the_request_has_the_trace_id(site: Site, backend: FaultyBackend) -> None:
    backend.responses["/login"] = b"garbage"
    with captured_log() as log:
        visitor = site.new_visitor()
        fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": PASSWORD}
        visitor.post("/auth/login/email", data=fields, headers={"traceparent": TRACEPARENT})
        visitor.post("/auth/login/email", data=fields)
    ours, others = [
        [line for line in log.getvalue().splitlines() if (f" trace_id={TRACE_ID} " in line) is is_ours]
        for is_ours in (True, False)
    ]
    assert len(ours) == len(others) > 0
    assert all(re.search(rf" request=[0-9a-f]{{16}} trace_id={TRACE_ID} ", line) for line in ours)
    assert not any("trace_id" in line for line in others)


def test_a_json_line_has_it_too(site: Site) -> None:
    with captured_log("json") as log:
        sign_in(site.new_visitor(), traceparent=TRACEPARENT)
    (line,) = [json.loads(text) for text in log.getvalue().splitlines()]
    assert (line["event"], line["trace_id"]) == ("signed_in", TRACE_ID)
