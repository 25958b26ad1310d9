"""What a response of the backend or of a provider says, apart from its JSON."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.http.response import MAX_RETRY_AFTER, UpstreamResponse, parse_http_date


def retry_after(text: str) -> int | None:
    return UpstreamResponse(503, {"Retry-After": text}, b"").retry_after()


@pytest.fixture(params=["UTC", "Asia/Seoul", "America/Los_Angeles"])
def _time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone of the server."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_time_zone")
@pytest.mark.parametrize(
    "form",
    [
        "%a, %d %b %Y %H:%M:%S GMT",  # RFC 9110, 5.6.7: IMF-fixdate
        "%A, %d-%b-%y %H:%M:%S GMT",  # RFC 850
        "%a %b %e %H:%M:%S %Y",  # asctime
        "%a, %d %b %Y %H:%M:%S UTC",
        "%a, %d %b %Y %H:%M:%S +0000",
        "%a, %d %b %Y %H:%M:%S -0000",
        "%a, %d %b %Y %H:%M:%S",
    ],
)
def test_a_date_in_retry_after_is_utc_in_any_format_and_time_zone(form: str) -> None:
    seconds = retry_after((datetime.now(UTC) + timedelta(seconds=120)).strftime(form))
    assert seconds is not None
    assert 60 <= seconds <= 121


@pytest.mark.usefixtures("_time_zone")
@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_date_formats_of_http_are_the_same_time(text: str) -> None:
    assert parse_http_date(text) == 784111777
    assert retry_after(text) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "GMT",
        ",",
        "1994-11-06",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun Nov 6",
        "-1",
        "0x10",
        "1.",
        ".5",
        "1,5",
    ],
)
def test_a_retry_after_that_is_neither_number_nor_date_is_ignored(text: str) -> None:
    assert retry_after(text) is None


@pytest.mark.parametrize("text", ["3601", "9" * 20, "9" * 400 + ".5", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_long_retry_after_is_cut_to_an_hour(text: str) -> None:
    assert retry_after(text) == MAX_RETRY_AFTER
