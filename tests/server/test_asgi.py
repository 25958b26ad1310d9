"""The ASGI application: nothing blocks its event loop, and headers and bodies arrive unchanged."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from flask import Flask

import app
from dev.backend import PASSWORD, create_backend
from server import asgi as asgi_module
from server.asgi import AsgiApp
from server.worker import preload
from services.observability import log_config
from tests.support.asgi import Browser, create_asgi, send_request
from tests.support.issuer import Issuer, running_issuer
from tests.support.site import MINJI, make_settings, serve_in_thread

METRICS_TOKEN = "Zk3-only-for-these-tests-9qLw7Tn2Yx"


@pytest.fixture
def backend_url() -> Iterator[str]:
    with serve_in_thread("127.0.0.1", lambda _: create_backend(0.0)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def blockbuster() -> Iterator[BlockBuster]:
    """Raises `BlockingError` on a blocking call in the running event loop."""
    with blockbuster_ctx() as found:
        yield found


def run(site: Flask, steps: Callable[[AsgiApp], Awaitable[None]]) -> None:
    preload(site)

    async def all_of_it() -> None:
        await steps(create_asgi(site))
        await site.extensions["munjigi"].aclose()

    asyncio.run(all_of_it())


# --- Blocking calls


def test_no_page_and_no_call_blocks_the_event_loop(
    backend_url: str, issuer: Issuer, blockbuster: BlockBuster, caplog: pytest.LogCaptureFixture
) -> None:
    site = app.create_app(make_settings(backend_url=backend_url, metrics_token=METRICS_TOKEN, **issuer.site_settings()))

    async def steps(asgi: AsgiApp) -> None:
        person = Browser(asgi)
        for path in ("/", "/auth/login/email", "/auth/logout", "/account", "/nothing", "/health/ready"):
            assert (await person.get(path)).status in (200, 303, 404)
        style = (await person.get("/auth/login/email")).body.decode().partition('href="')[2].partition('"')[0]
        assert (await person.get(style)).status == 200
        assert (await person.post("/auth/login/email", email=MINJI, password="wrong")).status == 401
        assert (await person.post("/auth/login/email", email="", password="")).status == 422
        assert (await person.post("/auth/login/email", email=MINJI, password=PASSWORD)).status == 303
        assert (await person.get("/api/auth/session")).json()["user"]["email"] == MINJI
        assert (await person.get("/auth/verify")).status == 204
        assert (await person.get("/account")).status == 200
        assert (await person.post("/account", name="민지", nick_name="")).status == 303
        assert (await person.post("/auth/logout")).status == 303
        page = await person.post("/api/auth/signin/oidc")
        assert page.status == 200
        answer = await person.get("/api/auth/callback/oidc?state=x&code=y")
        assert (answer.status, "AttemptExpired" in answer.header("Location")) == (303, True)
        response = await person.get("/metrics", Authorization=f"Bearer {METRICS_TOKEN}")
        assert b"munjigi_sign_ins_total" in response.body

    run(site, steps)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_call_that_blocks_the_event_loop_is_detected(blockbuster: BlockBuster) -> None:
    site = app.create_app(make_settings())
    site.add_url_rule("/blocks", "blocks", lambda: str(time.sleep(0.01)))  # type: ignore[func-returns-value]

    async def steps(asgi: AsgiApp) -> None:
        assert (await send_request(asgi, "GET", "/blocks")).status == 500

    run(site, steps)


def test_a_log_stream_that_nobody_reads_does_not_block_requests(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w", buffering=1)
    before = logging.root.handlers[:], logging.root.level
    try:
        logging.root.handlers = [log_config.create_handler(make_settings(), stream)]
        lines = log_config.use_queue()
        done = threading.Event()

        def speak() -> None:
            for number in range(2000):  # much more than a pipe holds
                logging.getLogger("munjigi.test").warning("%d %s", number, "x" * 200)
            done.set()

        threading.Thread(target=speak, daemon=True).start()
        assert done.wait(10)
        received = b""
        while b"\n" in (chunk := os.read(reading, 65536)) or chunk:
            received += chunk
            if b"1999 " in received:
                break
        lines.wait(5)
        assert received.count(b"\n") == 2000, "and nothing is lost"
    finally:
        logging.root.handlers[:], _ = before
        os.close(reading)


# --- Requests


@pytest.mark.parametrize("is_chunked", [False, True], ids=["", "chunked"])
def test_a_request_body_may_arrive_in_parts(backend_url: str, is_chunked: bool) -> None:
    """.NET's HttpClient sends JSON in chunks, others whatever they stream."""
    site = app.create_app(make_settings(backend_url=backend_url))

    async def steps(asgi: AsgiApp) -> None:
        person = Browser(asgi)
        token = (await person.get("/api/auth/csrf")).json()["csrfToken"]
        body = f"csrfToken={token}&email={MINJI}&password={PASSWORD}".encode()
        headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Cookie", "; ".join(f"{name}={value}" for name, value in person.cookies.items())),
            *([("Transfer-Encoding", "chunked")] if is_chunked else []),
        ]
        parts = [body[at : at + 7] for at in range(0, len(body), 7)]
        assert (await send_request(asgi, "POST", "/auth/login/email", headers, parts)).status == 303

    run(site, steps)


@pytest.mark.parametrize("more", [[], [("Transfer-Encoding", "chunked")]], ids=["", "chunked"])
def test_a_body_that_is_too_long_is_refused_before_all_of_it_arrives(more: list[tuple[str, str]]) -> None:
    parts = [b"x" * 1000] * 1_000_000

    async def steps(asgi: AsgiApp) -> None:
        headers = [("Content-Type", "application/x-www-form-urlencoded"), *more]
        response = await send_request(asgi, "POST", "/auth/login/email", headers, iter(parts[:1000]))
        assert (response.status, response.header("Connection")) == (413, "close")

    run(app.create_app(make_settings()), steps)


def test_a_body_that_does_not_arrive_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_module, "BODY_SECONDS", 0.05)

    async def steps(asgi: AsgiApp) -> None:
        messages = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(5)
            raise AssertionError

        async def send(message: Any) -> None:
            messages.append(message)

        scope: dict[str, Any] = {
            "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "raw_path": b"/auth/login/email",
            "query_string": b"", "headers": [], "client": None, "server": None,
        }  # fmt: skip
        await asgi(scope, receive, send)
        assert messages[0]["status"] == 408

    run(app.create_app(make_settings()), steps)


BODY_HEADERS = [("Content-Length", "77"), ("Transfer-Encoding", "chunked")]


@pytest.mark.parametrize("header", BODY_HEADERS, ids=lambda header: header[0])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_check_that_announces_a_body_is_answered_without_it(
    backend_url: str, method: str, header: tuple[str, str]
) -> None:
    """nginx's `auth_request` passes on the `Content-Length` of the original request, but not its body."""
    site = app.create_app(make_settings(backend_url=backend_url))

    async def steps(asgi: AsgiApp) -> None:
        person = Browser(asgi)
        assert (await person.post("/auth/login/email", email=MINJI, password=PASSWORD)).status == 303
        cookie = ("Cookie", "; ".join(f"{name}={value}" for name, value in person.cookies.items()))
        for headers, status in (([cookie, header], 204), ([header], 401)):
            response = await send_request(asgi, method, "/auth/verify", headers, never_received())
            assert (response.status, response.header("Connection")) == (status, "close")
        plain = await send_request(asgi, method, "/auth/verify", [cookie, ("Content-Length", "0")])
        assert (plain.status, plain.header("Connection")) == (204, "")

    run(site, steps)


def never_received() -> Iterator[bytes]:
    """The body of a request whose body must not be read."""
    raise AssertionError("the body was read")
    yield b""


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade"])
def test_a_websocket_handshake_is_an_ordinary_request(backend_url: str, connection: str) -> None:
    """Caddy's `forward_auth` passes on the `Upgrade` header of the original request."""
    site = app.create_app(make_settings(backend_url=backend_url))
    handshake = [("Connection", connection), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]

    async def steps(asgi: AsgiApp) -> None:
        person = Browser(asgi)
        assert (await send_request(asgi, "GET", "/auth/verify", handshake)).status == 401
        assert (await send_request(asgi, "GET", "/auth/login/email", handshake)).status == 200
        assert (await person.post("/auth/login/email", email=MINJI, password=PASSWORD)).status == 303
        handshake.append(("Cookie", "; ".join(f"{name}={value}" for name, value in person.cookies.items())))
        for path in ("/auth/verify", "/auth/verify?fresh"):  # the query string excludes it from the fast path
            assert (await send_request(asgi, "GET", path, handshake)).status == 204

    run(site, steps)


@pytest.mark.parametrize(("size", "status"), [(16_000, 200), (23_000, 200), (26_000, 431), (200_000, 431)])
def test_headers_over_24_kb_are_refused(size: int, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "munjigi")

    async def steps(asgi: AsgiApp) -> None:
        for path in ("/api/auth/session", "/auth/login/email"):
            response = await send_request(
                asgi, "GET", path, [(f"X-{number}", "x" * 900) for number in range(size // 908)]
            )
            assert response.status == status

    run(app.create_app(make_settings()), steps)
    assert ("request refused, its headers have over 24576 bytes" in caplog.messages) == (status == 431)


@pytest.mark.parametrize(("size", "status"), [(20_000, 200), (26_000, 431)])
def test_the_url_counts_too_however_the_network_cuts_it(size: int, status: int) -> None:
    """It did only if the headers came in several packets."""

    async def steps(asgi: AsgiApp) -> None:
        for path in ("/api/auth/session", "/auth/login/email"):
            assert (await send_request(asgi, "GET", f"{path}?x={'x' * size}", [])).status == status

    run(app.create_app(make_settings()), steps)


def test_headers_are_latin_1_and_underscore_names_are_dropped() -> None:
    site = app.create_app(make_settings(proxy_hops=1))
    site.add_url_rule("/echo", "echo", lambda: dict(flask.request.headers.items()))

    async def steps(asgi: AsgiApp) -> None:
        sent = [("X-A", "\xe9"), ("Cookie", "a=\xea"), ("Cookie", "b=2"), ("X-B", "1"), ("X-B", "2"), ("X_A", "other")]
        found = (await send_request(asgi, "GET", "/echo", sent)).json()
        assert found == {"X-A": "\xe9", "Cookie": "a=\xea; b=2", "X-B": "1,2", "Host": "localhost:5000"}

    run(site, steps)


def test_a_malformed_path_is_not_found() -> None:
    async def steps(asgi: AsgiApp) -> None:
        for path in ("/%ff", "/%00", "/a%2Fb", "//evil.example", "/%", "/%zz", "/auth/%61bc"):
            assert (await send_request(asgi, "GET", path)).status == 404, path

    run(app.create_app(make_settings()), steps)
