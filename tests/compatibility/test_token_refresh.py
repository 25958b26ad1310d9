"""Nobody is signed out by a refresh: real backends with rotating tokens of 5 seconds, two processes, Redis killed."""

from pathlib import Path

import pytest

from tests.compatibility.refresh_soak import soak
from tests.support.real_backends import SHORT_LIVED, running_backend


@pytest.mark.external
@pytest.mark.server
@pytest.mark.parametrize("name", SHORT_LIVED)
def test_no_session_ends_while_the_backend_accepts_it(name: str, tmp_path: Path) -> None:
    """`python -m tests.compatibility.refresh_soak` runs the same for longer."""
    (tmp_path / "backend").mkdir()
    with running_backend(name, tmp_path / "backend", SHORT_LIVED) as backend:
        result = soak(backend, tmp_path, seconds=30, browsers=3)
    assert result.signed_out == []
    assert result.refreshes["refreshed"] >= 3
    assert result.refreshes["refused"] == 0
    assert result.redis_outages >= 1
