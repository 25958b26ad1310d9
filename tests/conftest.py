from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.site import Site, SiteMaker, Visitor, running_site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The site with its stand-in backend, shared by the tests that leave no mark on it."""
    with running_site() as running:
        yield running


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.visitor()


@pytest.fixture
def make_site() -> Iterator[SiteMaker]:
    """A site of the test's own, with settings of its own."""
    with ExitStack() as stack:
        yield lambda *args, **given: stack.enter_context(running_site(*args, **given))
