"""The memory of the test process, as Linux reports it."""

import re
from pathlib import Path


def read_memory(name: str) -> int:
    """Return the value of one line of `/proc/self/status`, such as `VmRSS` or `VmHWM`, in bytes."""
    line = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert line
    return int(line[1]) * 1024
