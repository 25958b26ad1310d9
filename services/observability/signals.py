"""Delivers signals to receivers in a thread of its own, so that a slow receiver delays other events and no request."""

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
"""Events; further ones are dropped while a receiver hangs."""
EXIT_SECONDS = 2.0
"""The process waits for its last events so long when it ends."""

_Event = tuple[NamedSignal, Flask, Mapping[str, object]]


class SignalDelivery:
    """The queue and the thread of one process."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # threads do not survive a fork

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.Queue[_Event] = queue.Queue(MAX_QUEUED)
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition()
        self._pending = 0

    def send(self, signal: NamedSignal, site: Flask, facts: Mapping[str, object]) -> None:
        """Queue an event for all receivers that are connected to this signal of this site."""
        if not signal.has_receivers_for(site):
            return
        self._start()
        with self._idle:
            self._pending += 1
        try:
            self._queue.put_nowait((signal, site, facts))
        except queue.Full:
            self._done()
            log.error("signal dropped, receivers are too slow: %s", signal.name)

    def wait(self, seconds: float) -> bool:
        """Wait until all events so far have been delivered; whether they were."""
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
            signal, site, facts = self._queue.get()
            for receiver in signal.receivers_for(site):
                try:
                    with site.app_context():
                        receiver(site, **facts)
                except Exception:
                    log.exception("a receiver of %s failed", signal.name)
            self._done()

    def _done(self) -> None:
        with self._idle:
            self._pending -= 1
            self._idle.notify_all()
