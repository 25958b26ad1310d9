"""Threads for calls that may hang: who asks waits only as long as they like, and a stop waits for none of them.

A `ThreadPoolExecutor` would be waited for at the exit: a system's resolver can keep it for half a minute.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Hands:
    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._todo: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._started = False
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], _Result]) -> Future[_Result]:
        with self._lock:
            if not self._started:  # not before: a server may fork after the site was built
                for _ in range(self._most):
                    threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._started = True
        asked: Future[_Result] = Future()
        self._todo.put((asked, call))
        return asked

    def _work(self) -> None:
        while True:
            asked, call = self._todo.get()
            if asked.set_running_or_notify_cancel():
                try:
                    asked.set_result(call())
                except BaseException as error:
                    asked.set_exception(error)
            del asked, call  # a finished answer would be kept until the next one
