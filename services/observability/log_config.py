"""The format of log lines: text for people, or one JSON object per line (`LOG_FORMAT`)."""

import json
import logging
import logging.handlers
import queue
import re
import select
from datetime import UTC, datetime
from typing import Any, TextIO

from config import Settings
from services.observability.request_id import current_request_id
from services.observability.trace_context import current_trace

MAX_QUEUED = 10_000
"""Log lines that wait to be written, about 10 MB. Further lines are dropped and counted."""
_OWN_LOGGERS = ("munjigi", "uvicorn")


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={_one_line(value)}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname.lower():7} {_one_line(record.getMessage())} {fields}".rstrip()
        if not record.exc_info:
            return line
        traceback = self.formatException(record.exc_info).splitlines()
        return "\n".join([line, *(f"    {_one_line(text)}" for text in traceback)])  # indented: not events


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The fields of a line; within a request, its id is the first, and that of its trace the second."""
    request_id, trace = current_request_id.get(), current_trace.get()
    ids = {"request": request_id} if request_id else {}
    return {**ids, **({"trace_id": trace.trace_id} if trace else {}), **getattr(record, "fields", {})}


def _one_line(value: object) -> str:
    """Replace line breaks and control characters, so that no value can end a line or look like another line."""
    return re.sub(r"[^\x20-\x7e\u00a1-\u1fff\u3000-\uffef]", "?", str(value))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def formatter(settings: Settings) -> logging.Formatter:
    return _JsonFormatter() if settings.log_format == "json" else TextFormatter()


def create_handler(settings: Settings, stream: TextIO | None = None) -> logging.Handler:
    """A handler for the site's lines that writes to `stream`, by default to standard error."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(settings))
    handler.addFilter(_is_allowed)
    return handler


def _is_allowed(record: logging.LogRecord) -> bool:
    """Allow only warnings and errors of libraries: their other lines contain codes and verifiers.

    Nothing of urllib3, which quotes responses; the site itself logs failures.
    """
    logger = record.name.partition(".")[0]
    return logger in _OWN_LOGGERS or (record.levelno >= logging.WARNING and logger != "urllib3")


def configure(settings: Settings) -> None:
    """Send the log to standard error."""
    logging.root.handlers = [create_handler(settings)]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("munjigi").setLevel(settings.log_level.upper())


class _QueueHandler(logging.handlers.QueueHandler):
    """Writes a line at once if that cannot block, and otherwise leaves it to the listener's thread.

    With all lines left to the thread, a sign-in takes a quarter longer: the thread wakes for each line and competes
    with the event loop for the interpreter.
    """

    def __init__(self, lines: "queue.Queue[logging.LogRecord]", writer: logging.Handler) -> None:
        super().__init__(lines)
        self._lines, self._writer = lines, writer
        self._dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._dropped and not self._lines.full():
            count, self._dropped = self._dropped, 0
            self._lines.put_nowait(self.prepare(_dropped_record(count)))
        if not self._lines.unfinished_tasks and _can_write_without_blocking(self._writer, record):
            self._writer.handle(record)
            return
        try:
            self._lines.put_nowait(record)
        except queue.Full:  # the reader of the log has stopped reading
            self._dropped += 1


def _dropped_record(count: int) -> logging.LogRecord:
    message = "log lines dropped: %d, as over %d waited to be written"
    return logging.LogRecord("munjigi.log", logging.ERROR, __file__, 0, message, (count, MAX_QUEUED), None)


def _can_write_without_blocking(writer: Any, record: logging.LogRecord) -> bool:
    """Whether a line can be written without blocking. A pipe that is writable has room for PIPE_BUF bytes."""
    if len(record.getMessage().encode()) >= select.PIPE_BUF:
        return False
    try:
        return bool(select.select([], [writer.stream], [], 0)[1])
    except (OSError, ValueError):  # the stream is not a file
        return False


class QueuedLines:
    """The lines that wait to be written."""

    def __init__(self, writer: logging.Handler) -> None:
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(MAX_QUEUED)
        self.handler = _QueueHandler(self._lines, writer)
        logging.handlers.QueueListener(self._lines, writer).start()  # a daemon thread: it ends with the process

    def wait(self, seconds: float) -> None:
        """Wait until all lines have been written."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, seconds)


def use_queue() -> QueuedLines:
    """Put a queue in front of the handler that `configure` installed: a full pipe must not block the event loop."""
    (writer,) = logging.root.handlers
    lines = QueuedLines(writer)
    lines.handler.setFormatter(writer.formatter)
    for log_filter in writer.filters:
        lines.handler.addFilter(log_filter)
    writer.setFormatter(None)
    logging.root.handlers = [lines.handler]
    return lines
