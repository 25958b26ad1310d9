"""What the log says, and what it never says."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.observability import log_config
from services.observability.audit import account_hash
from tests.scripted import Backend, scripted
from tests.site import SECRET, Site, SiteMaker, settings

PASSWORD = "canary-password-1f0c"
ADDRESS = "canary-7e21@example.com"


@pytest.fixture
def backend() -> Iterator[Backend]:
    with scripted() as backend:
        backend.token = "17|canary-token-90ab"
        yield backend


@contextmanager
def written(log_format: str = "text", level: int = logging.INFO) -> Iterator[io.StringIO]:
    """What the site's handler writes meanwhile; at DEBUG, every line of every library too."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(log_config.formatter(settings(log_format=log_format)))
    # The visitor of the test has a urllib3 of the same name: its lines tell what it sends to localhost.
    handler.addFilter(lambda record: "localhost" not in record.getMessage())
    before = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(level)
    try:
        yield text
    finally:
        logging.root.removeHandler(handler)
        logging.root.setLevel(before)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_holds_a_secret_whatever_goes_wrong(make_site: SiteMaker, backend: Backend, log_format: str) -> None:
    site = make_site(backend.url)
    with written(log_format, logging.DEBUG) as text:
        for status in (200, 401, 403, 500):
            backend.user_status = status
            visitor = site.visitor()
            visitor.get("/auth/login/email", params={"email": ADDRESS, "password": PASSWORD})
            visitor.sign_in(ADDRESS, PASSWORD)
            visitor.session()
            visitor.submit("/account", {"name": "x", "nick_name": ""})
            visitor.post("/auth/login/email", data={"email": ADDRESS, "password": PASSWORD})
            visitor.submit("/auth/logout", {})
        logging.getLogger("a.library").debug("the least of lines")
    lines = text.getvalue()
    assert "signed_in" in lines
    assert "the least of lines" in lines
    for canary in ("canary", SECRET, "eyJhbGciOiJkaXIi"):
        assert canary not in lines


def test_one_line_tells_of_a_failed_sign_in_and_names_the_request(site: Site) -> None:
    with written("json") as text:
        response = site.visitor().sign_in("down@example.com")
    (line,) = (json.loads(line) for line in text.getvalue().splitlines())
    assert line["level"] == "error"
    assert line["event"] == "sign_in_failed"
    assert line["outcome"] == "BackendUnavailable"
    assert line["account"] == account_hash("down@example.com", SECRET)
    assert line["request"] == response.headers["X-Request-Id"]


def test_a_wrong_password_is_no_error(site: Site) -> None:
    with written() as text:
        site.visitor().sign_in(password="wrong")
    assert " info " in text.getvalue()
    assert len(text.getvalue().splitlines()) == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_in_a_line_can_begin_another(log_format: str) -> None:
    facts = {"reason": "a\r\n2026-01-01T00:00:00.000Z info signed_in\x1b[31m\u2028"}
    with written(log_format) as text:
        logging.getLogger("munjigi.audit").info("refused", extra={"facts": facts})
    assert len(text.getvalue().splitlines()) == 1
    assert "\x1b" not in text.getvalue()


def test_nor_can_what_an_exception_says() -> None:
    with written("text") as text:
        try:
            raise ValueError("a\n2026-01-01T00:00:00.000Z info    signed_in\u2028x")
        except ValueError:
            logging.getLogger("munjigi.errors").exception("unhandled exception")
    first, *rest = text.getvalue().splitlines()
    assert first.endswith("unhandled exception")
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_library_that_was_turned_up_is_still_not_heard_below_warning(log_format: str) -> None:
    text = io.StringIO()
    handler = log_config.handler(settings(log_format=log_format), text)
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


def test_spellings_of_one_address_have_one_hash() -> None:
    plain = account_hash("Kim@example.com", SECRET)
    assert plain == account_hash(" kim@EXAMPLE.com ", SECRET) == account_hash("kim\uff20example.com", SECRET)
    assert plain != account_hash("kim@example.com", SECRET + "x")
