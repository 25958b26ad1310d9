"""Requests of other servers that are authenticated by a bearer token of the settings."""

import hmac

from flask import request


def has_token(token: str) -> bool:
    """Whether this request has the token in `Authorization: Bearer` (RFC 6750).

    The case of the scheme does not matter (RFC 9110, section 11.1). Werkzeug's `request.authorization` is not used: it
    takes a token with a `=` before its end for parameters, and a token of the settings may be any text.
    """
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(credentials.strip().encode(), token.encode())
