"""Said before a thread waits for somebody else, so that a server can put another one in its place (`door.py`)."""

import threading
from collections.abc import Callable

_thread = threading.local()


def tell(call: Callable[[], None]) -> None:
    """From now on this thread calls that before it waits."""
    _thread.tell = call


def begins() -> None:
    """This thread is about to wait for a network, or for a thread that does."""
    if call := getattr(_thread, "tell", None):
        call()
