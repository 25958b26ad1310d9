import logging
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest
from playwright.sync_api import Browser

from services.http.client import HttpClient
from services.observability.log_config import TextFormatter
from tests.support import commands
from tests.support.browser import Chromium, NoBrowserError, chromium
from tests.support.site import Site, SiteMaker, Visitor, running_site, shared_sites

hypothesis.settings.register_profile("tests", deadline=None)  # of one example: a busy machine takes longer
hypothesis.settings.load_profile("tests")

MAX_ROWS = 1
"""Of a parametrized test, `make test` runs so many rows. `make test-all` runs all of them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tables: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
        if item.get_closest_marker("corpus") is None:
            tables[item.nodeid.partition("[")[0]].append(item)
    for rows in tables.values():
        # In an order without a pattern: every second row of a table of two languages would always be the same one.
        for row in sorted(rows, key=lambda item: zlib.crc32(item.nodeid.encode()))[MAX_ROWS:]:
            row.add_marker(pytest.mark.corpus)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """The log of a test that fails tells what the log of a site tells: the reason is in the fields of an event."""
    logging_plugin: Any = config.pluginmanager.get_plugin("logging-plugin")
    logging_plugin.report_handler.setFormatter(TextFormatter())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    commands.markers = {marker.name for marker in item.iter_markers()}


@pytest.fixture(scope="session")
def shared_site() -> Iterator[SiteMaker]:
    """Return the shared site with these settings. Tests leave it unchanged."""
    with shared_sites() as shared:
        yield shared


@pytest.fixture(scope="session")
def site(shared_site: SiteMaker) -> Site:
    """The site with its stand-in backend."""
    return shared_site()


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.new_visitor()


@pytest.fixture
def make_site() -> Iterator[SiteMaker]:
    """A site for one test, with its own settings."""
    with ExitStack() as stack:
        yield lambda *args, **given: stack.enter_context(running_site(*args, **given))


@pytest.fixture(scope="module")
def http() -> Iterator[HttpClient]:
    """A client of upstream services, for tests that call a backend without a site."""
    client = HttpClient("Munjigi/test", max_concurrency=4)
    yield client
    client.close()


@pytest.fixture(scope="module")  # not `session`: while Playwright runs, other tests cannot use an asyncio event loop
def browser_of_module() -> Iterator[Chromium]:
    with chromium() as started:
        yield started


@pytest.fixture
def browser(browser_of_module: Chromium) -> Iterator[Browser]:
    try:
        with browser_of_module.watched() as running:
            yield running
    except NoBrowserError as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason))
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def restore_logging() -> Iterator[None]:
    """Restore the logging configuration that `dev.create_site` changes."""
    loggers = [logging.root, logging.getLogger("munjigi"), logging.getLogger("werkzeug")]
    configurations = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, handlers, propagate, level in configurations:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
