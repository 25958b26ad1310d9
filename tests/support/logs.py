"""The log of the site, captured while a test runs, and the names of its signals."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from services.observability import log_config
from tests.support.site import make_settings

SIGNALS = [
    *("signed_in", "signed_out", "sign_in_failed", "csrf_failed", "rate_limited", "session_expired"),
    "session_revoked",
]


@contextmanager
def captured_log(log_format: str = "text", level: int = logging.INFO) -> Iterator[io.StringIO]:
    """Capture the log in the format of the site. At `DEBUG`, this includes the lines of all libraries."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(log_config.formatter(make_settings(log_format=log_format)))
    # The test client uses urllib3 too: leave out the lines about its own requests to localhost.
    handler.addFilter(lambda record: "localhost" not in record.getMessage())
    before = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(level)
    try:
        yield text
    finally:
        logging.root.removeHandler(handler)
        logging.root.setLevel(before)
