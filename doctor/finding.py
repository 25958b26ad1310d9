"""What the doctor has to say of one thing."""

from dataclasses import dataclass

OK, ADVICE, WRONG = "ok", "advice", "wrong"


@dataclass(frozen=True)
class Finding:
    kind: str
    what: str
    """About which part."""
    found: str
    do: str = ""
    """What to do about it."""
