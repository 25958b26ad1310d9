"""How log lines look: for people, or one JSON object a line (`LOG_FORMAT`)."""

import json
import logging
import logging.handlers
import queue
import re
import select
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from flask import has_request_context

from config import Settings
from services.observability.audit import request_id

_OURS = ("munjigi", "uvicorn")
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
    """Writes a line at once where that cannot block, and otherwise leaves it to the listener's thread.

    To leave all lines to it would cost a quarter of a sign-in: the thread wakes for each, and takes turns with the
    event loop at the interpreter.
    """

    def __init__(self, lines: "queue.Queue[logging.LogRecord]", writer: logging.Handler) -> None:
        super().__init__(lines)
        self._lines, self._writer = lines, writer

    def enqueue(self, record: logging.LogRecord) -> None:
        if not self._lines.unfinished_tasks and _has_room(self._writer, record):
            self._writer.handle(record)
            return
        with suppress(queue.Full):  # whoever reads the log has stopped reading
            self._lines.put_nowait(record)


def _has_room(writer: Any, record: logging.LogRecord) -> bool:
    """Whether a line can be written without waiting. A pipe that polls as writable has room for PIPE_BUF bytes."""
    if len(record.getMessage().encode()) >= select.PIPE_BUF:
        return False
    try:
        return bool(select.select([], [writer.stream], [], 0)[1])
    except (OSError, ValueError):  # it has no file
        return False


class QueuedLines:
    """Lines on their way to the log."""

    def __init__(self, writer: logging.Handler) -> None:
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(MAX_QUEUED)
        self.handler = _QueueHandler(self._lines, writer)
        logging.handlers.QueueListener(self._lines, writer).start()  # its thread ends with the process

    def wait(self, seconds: float) -> None:
        """Wait until all lines have been written."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, seconds)


def write_from_a_thread() -> QueuedLines:
    """Let a thread write the lines of the handler that `configure` set up, as far as they have to be waited for: a pipe
    that nobody reads blocks that thread and not the event loop."""
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
