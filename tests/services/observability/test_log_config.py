"""What the log contains, and what it never contains."""

import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterator

import pytest

from services.observability import log_config
from services.observability.audit import account_hash
from tests.support.logs import captured_log
from tests.support.scripted import ScriptedBackend, scripted_backend
from tests.support.site import SECRET, Site, SiteMaker, make_settings

PASSWORD = "canary-password-1f0c"
ADDRESS = "canary-7e21@example.com"


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as backend:
        backend.token = "17|canary-token-90ab"
        yield backend


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_log_line_contains_a_secret(make_site: SiteMaker, backend: ScriptedBackend, log_format: str) -> None:
    site = make_site(backend.url)
    with captured_log(log_format, logging.DEBUG) as text:
        for status in (200, 401, 403, 500):
            backend.user_status = status
            visitor = site.new_visitor()
            visitor.get("/auth/login/email", params={"email": ADDRESS, "password": PASSWORD})
            visitor.sign_in(ADDRESS, PASSWORD)
            visitor.get_session()
            visitor.submit("/account", {"name": "x", "nick_name": ""})
            visitor.post("/auth/login/email", data={"email": ADDRESS, "password": PASSWORD})
            visitor.submit("/auth/logout", {})
        logging.getLogger("a.library").debug("the least of lines")
    lines = text.getvalue()
    assert "signed_in" in lines
    assert "the least of lines" in lines
    for canary in ("canary", SECRET, "eyJhbGciOiJkaXIi"):
        assert canary not in lines


def test_a_failed_sign_in_is_one_log_line_with_the_request_id(site: Site) -> None:
    with captured_log("json") as text:
        response = site.new_visitor().sign_in("down@example.com")
    (line,) = (json.loads(line) for line in text.getvalue().splitlines())
    assert line["level"] == "error"
    assert line["event"] == "sign_in_failed"
    assert line["outcome"] == "BackendUnavailable"
    assert line["account"] == account_hash("down@example.com", SECRET)
    assert line["request"] == response.headers["X-Request-Id"]


def test_a_wrong_password_is_logged_at_level_info(site: Site) -> None:
    with captured_log() as text:
        site.new_visitor().sign_in(password="wrong")
    assert " info " in text.getvalue()
    assert len(text.getvalue().splitlines()) == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_log_field_cannot_start_a_new_line(log_format: str) -> None:
    fields = {"reason": "a\r\n2026-01-01T00:00:00.000Z info signed_in\x1b[31m\u2028"}
    with captured_log(log_format) as text:
        logging.getLogger("munjigi.audit").info("refused", extra={"fields": fields})
    assert len(text.getvalue().splitlines()) == 1
    assert "\x1b" not in text.getvalue()


def test_an_exception_message_cannot_start_a_new_record() -> None:
    with captured_log("text") as text:
        try:
            raise ValueError("a\n2026-01-01T00:00:00.000Z info    signed_in\u2028x")
        except ValueError:
            logging.getLogger("munjigi.errors").exception("unhandled exception")
    first, *rest = text.getvalue().splitlines()
    assert first.endswith("unhandled exception")
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_libraries_are_logged_from_level_warning_whatever_their_own_level(log_format: str) -> None:
    text = io.StringIO()
    handler = log_config.create_handler(make_settings(log_format=log_format), text)
    library = logging.getLogger("authlib.integrations.base_client.sync_app")
    library.addHandler(handler)
    library.setLevel(logging.DEBUG)
    try:
        library.debug("Using code_verifier: %r", "canary")
        library.info("canary")
        library.warning("this is heard")
    finally:
        library.removeHandler(handler)
        library.setLevel(logging.NOTSET)
    assert "canary" not in text.getvalue()
    assert "this is heard" in text.getvalue()


def test_lines_that_are_dropped_while_nobody_reads_the_log_are_counted_in_it() -> None:
    reader, writer = os.pipe()
    with open(writer, "w", buffering=1) as stream:
        handler = log_config.create_handler(make_settings(log_format="text"), stream)
        queued = log_config.QueuedLines(handler)
        queued.handler.setFormatter(handler.formatter)
        handler.setFormatter(None)

        def log(text: str) -> None:
            queued.handler.handle(logging.LogRecord("munjigi", logging.INFO, "", 0, text, (), None))

        for _ in range(log_config.MAX_QUEUED + 3000):  # the pipe takes up to 64 kB, about 2,000 lines
            log("x")
        output: list[bytes] = []
        with open(reader, "rb", buffering=0) as pipe:
            thread = threading.Thread(target=lambda: output.extend(iter(lambda: pipe.read(65536), b"")))
            thread.start()
            queued.wait(20)
            log("y")
            queued.wait(20)
            stream.close()
            thread.join(20)
    lines = b"".join(output).decode().splitlines()
    match = re.search(r"error   log lines dropped: (\d+), as over 10000 waited to be written", "\n".join(lines))
    assert match
    assert int(match[1]) + sum(line.endswith(" x") for line in lines) == log_config.MAX_QUEUED + 3000


def test_spellings_of_one_address_have_one_hash() -> None:
    plain = account_hash("Kim@example.com", SECRET)
    assert plain == account_hash(" kim@EXAMPLE.com ", SECRET) == account_hash("kim\uff20example.com", SECRET)
    assert plain != account_hash("kim@example.com", SECRET + "x")
