"""The id of the request that the running code belongs to, for log lines."""

import random
from contextvars import ContextVar

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
has_audit_line: ContextVar[bool] = ContextVar("has_audit_line", default=False)
"""Whether the audit log has a line of the current request."""


def new_request_id() -> str:
    """16 hexadecimal digits. Not a secret, so it does not come from the system's random source."""
    return f"{random.getrandbits(64):016x}"
