"""Bearer tokens (RFC 6750) of the backend and of providers. Their format and size are up to the issuer.

The backend's token is bounded by the session cookie that holds it: `MAX_CHUNKS` in `services/sessions/cookie.py`.
"""

import re

_TOKEN = re.compile(r"[!-~]+")


def validate_token(value: object) -> str:
    """Return the token if it can be sent in a header; raises `ValueError`."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError("not a bearer token")
    return value
