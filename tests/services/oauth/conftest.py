"""Fixtures of the OAuth tests: a site, its backend, and issuers that a test controls.

A module with other settings has a `site` of its own. Each module resets the servers before its tests (`reset_servers`).
"""

from collections.abc import Iterator

import pytest

from tests.support.faulty_backend import NO_LIMITS, FaultyBackend
from tests.support.issuer import Issuer
from tests.support.site import ManualClock, Site, running_site
from tests.support.social_fixtures import backend, clock, issuer  # noqa: F401  # fixtures


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(backend.url, clock=clock, **issuer.site_settings(), **NO_LIMITS) as running:
        yield running
