"""Bearer tokens (RFC 6750) of the backend and of providers. Their format is up to whoever issues them."""

import re

_TOKEN = re.compile(r"[!-~]{1,4096}")


def validate_token(value: object) -> str:
    """Return the token if it can be sent in a header; raises `ValueError`."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError("not a bearer token")
    return value
