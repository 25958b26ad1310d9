"""Fixtures of tests with a provider: a backend and an issuer that a test controls.

A module that uses them imports all that it needs, also those that a fixture asks for. Each test resets the servers
(`reset_servers`).
"""

from collections.abc import Iterator

import pytest

from tests.support.faulty_backend import FaultyBackend, faulty_backend
from tests.support.issuer import Issuer, running_issuer
from tests.support.site import ManualClock


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
