"""Delivers signals to receivers in a separate thread: a slow receiver delays other events, but not requests."""

import atexit
import logging
import os
import queue
import threading
from collections.abc import Mapping

from blinker import NamedSignal
from flask import Flask

log = logging.getLogger("munjigi.signals")

MAX_QUEUED = 10_000
"""Events that wait for delivery. While a receiver hangs, further events are dropped."""
EXIT_SECONDS = 2.0
"""How long the process waits at exit for the last events."""

_Event = tuple[NamedSignal, Flask, Mapping[str, object]]


class SignalDelivery:
    """The queue and the thread of one process. The thread starts with the first event."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # threads do not survive a fork

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.Queue[_Event] = queue.Queue(MAX_QUEUED)
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition()
        self._pending = 0

    def send(self, signal: NamedSignal, sender: Flask, fields: Mapping[str, object]) -> None:
        """Queue an event for the receivers that are connected to this signal of this sender."""
        if not signal.has_receivers_for(sender):
            return
        self._start()
        with self._idle:
            self._pending += 1
        try:
            self._queue.put_nowait((signal, sender, fields))
        except queue.Full:
            self._mark_done()
            log.error("signal dropped, receivers are too slow: %s", signal.name)

    def wait(self, seconds: float) -> bool:
        """Wait until all queued events have been delivered. Returns whether they have."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._pending, seconds)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="munjigi-signals", daemon=True)
                self._thread.start()
                atexit.register(self.wait, EXIT_SECONDS)

    def _deliver(self) -> None:
        while True:
            signal, sender, fields = self._queue.get()
            for receiver in signal.receivers_for(sender):
                try:
                    with sender.app_context():
                        receiver(sender, **fields)
                except Exception:
                    log.exception("a receiver of %s failed", signal.name)
            self._mark_done()

    def _mark_done(self) -> None:
        with self._idle:
            self._pending -= 1
            self._idle.notify_all()
