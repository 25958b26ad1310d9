"""The result of one check."""

from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True)
class Finding:
    kind: str
    """`OK`, `WARNING` or `ERROR`."""
    subject: str
    """The setting or the part that was checked."""
    message: str
    fix: str = ""
    """What to do about it."""
