"""W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace of an operator the request belongs to.

A proxy or an app that traces requests sends `traceparent`. The log lines of the request contain its trace id, and each
call of the site continues the trace with a `traceparent` of its own. Without a valid `traceparent`, no trace is
started, because the request id already connects the log lines of a request.
"""

import random
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

MAX_TRACESTATE_LENGTH = 512
"""Characters that every participant has to pass on (3.3.1.5). A longer `tracestate` is dropped, as 3.5 allows."""
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?", re.ASCII)
_TRACESTATE = re.compile(r"[ -~\t]+", re.ASCII)
_KNOWN_FLAGS = 0b11
"""`sampled`, and `random` of level 2. Others are sent as zero (3.2.2.5)."""


@dataclass(frozen=True)
class TraceContext:
    trace_id: str
    """32 hexadecimal digits."""
    parent_id: str
    """16 hexadecimal digits: the span of the sender of the request."""
    flags: int = 0
    state: str = ""
    """The header `tracestate`, with data of tracing systems. It is passed on unchanged."""

    def traceparent(self, span_id: str) -> str:
        """The header with which the span with this id continues the trace."""
        return f"00-{self.trace_id}-{span_id}-{self.flags:02x}"


current_trace: ContextVar[TraceContext | None] = ContextVar("current_trace", default=None)
"""The trace of the request that the running code belongs to."""


def parse(traceparent: str, tracestate: str) -> TraceContext | None:
    """The trace of a request with these headers, each empty if it is missing; None if `traceparent` is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, parent_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None) or not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    is_valid = len(tracestate) <= MAX_TRACESTATE_LENGTH and _TRACESTATE.fullmatch(tracestate)
    return TraceContext(trace_id, parent_id, int(flags, 16) & _KNOWN_FLAGS, tracestate.strip() if is_valid else "")


def new_span_id() -> str:
    """16 hexadecimal digits, not all zero."""
    return f"{random.getrandbits(64) or 1:016x}"


def outgoing_headers(span: TraceContext | None, *, with_state: bool) -> Mapping[str, str]:
    """The headers of a call during the current request; empty if it belongs to no trace.

    span: the span of the call, if it has one. with_state: add `tracestate`, which only the operator's systems may get.
    """
    trace = span or current_trace.get()
    if trace is None:
        return {}
    state = {"tracestate": trace.state} if with_state and trace.state else {}
    return {"traceparent": trace.traceparent(span.parent_id if span else new_span_id()), **state}
