"""Fixtures of the OAuth tests: a site, its backend, and issuers that a test controls.

A module with other settings has a `site` of its own. Each module resets the servers before its tests (`reset_servers`).
"""

from collections.abc import Iterator

import pytest

from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, faulty_backend
from tests.support.issuer import Issuer, running_issuer
from tests.support.site import ManualClock, Site, running_site


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def issuer(clock: ManualClock) -> Iterator[Issuer]:
    with running_issuer(clock) as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(backend.url, clock=clock, **issuer.site_settings(), **NO_LIMITS) as running:
        yield running
