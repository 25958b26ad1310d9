"""How log lines look: for people, or one JSON object a line (`LOG_FORMAT`)."""

import json
import logging
import logging.handlers
import queue
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from flask import has_request_context

from config import Settings
from services.events import request_id

_OURS = ("munjigi", "uvicorn")
WRITE_SECONDS = 0.05
"""How often waiting lines are written."""
MAX_QUEUED = 10_000
"""Lines that wait to be written; further ones are dropped."""


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={_one_line(value)}" for name, value in _facts(record).items())
        line = f"{_time(record)} {record.levelname.lower():7} {_one_line(record.getMessage())} {facts}".rstrip()
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).splitlines()
        return "\n".join([line, *(f"    {_one_line(one)}" for one in trace)])  # none looks like a line of its own


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """What a line says beside its words; in a request, which one."""
    request = {"request": request_id()} if has_request_context() else {}
    return {**request, **getattr(record, "facts", {})}


def _one_line(value: object) -> str:
    """Nothing in a line can end it or look like a second one: `a@x\\n2026-… signed_in` stays one value."""
    return re.sub(r"[^\x20-\x7e\u00a1-\u1fff\u3000-\uffef]", "?", str(value))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def formatter(settings: Settings) -> logging.Formatter:
    return _JsonFormatter() if settings.log_format == "json" else _TextFormatter()


def handler(settings: Settings, stream: TextIO | None = None) -> logging.Handler:
    """Writes the site's lines, to standard error if nowhere else."""
    found = logging.StreamHandler(stream)
    found.setFormatter(formatter(settings))
    found.addFilter(_may_be_written)
    return found


class _QueueHandler(logging.handlers.QueueHandler):
    """Formats a line where it is logged, which is where its request is known, and drops it if the queue is full."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):  # whoever reads the log has stopped reading
            self.queue.put_nowait(record)


class _Listener(logging.handlers.QueueListener):
    def dequeue(self, block: bool) -> logging.LogRecord:
        """Looks for lines now and then: a thread that woke for each would take turns with the event loop."""
        while True:
            try:
                return cast(logging.LogRecord, cast("queue.Queue[Any]", self.queue).get_nowait())
            except queue.Empty:
                if not block:
                    raise
                time.sleep(WRITE_SECONDS)


class QueuedLines:
    """Lines on their way to the log."""

    def __init__(self, writer: logging.Handler) -> None:
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(MAX_QUEUED)
        self.handler = _QueueHandler(self._lines)
        _Listener(self._lines, writer).start()  # its thread ends with the process

    def wait(self, seconds: float) -> None:
        """Wait until all lines have been written."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, seconds)


def write_from_a_thread() -> QueuedLines:
    """Let a thread write the lines of the handler that `configure` set up. A pipe that nobody reads then blocks that
    thread and not the event loop."""
    (writer,) = logging.root.handlers
    lines = QueuedLines(writer)
    lines.handler.setFormatter(writer.formatter)
    for one in writer.filters:
        lines.handler.addFilter(one)
    writer.setFormatter(None)
    logging.root.handlers = [lines.handler]
    return lines


def _may_be_written(record: logging.LogRecord) -> bool:
    """Libraries speak up from `warning` only, whoever turned them up: below, theirs hold codes and verifiers.

    urllib3 not even then: it quotes answers, and what matters of a failure the site says itself.
    """
    origin = record.name.partition(".")[0]
    return origin in _OURS or (record.levelno >= logging.WARNING and origin != "urllib3")


def configure(settings: Settings) -> None:
    """Send the log to standard error."""
    logging.root.handlers = [handler(settings)]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("munjigi").setLevel(settings.log_level.upper())
