"""Start processes, stop them again, and read their memory and processor time from `/proc`."""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SECONDS_TO_START, SECONDS_TO_STOP = 20.0, 10.0
_LOG_TAIL_BYTES = 2000


@contextmanager
def running(
    name: str,
    port: int,
    *arguments: str,
    program: str = sys.executable,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Iterator[int]:
    """Run this command while the block lasts. Yields its process id once `port` accepts connections.

    If the block raises, the end of the command's output is printed.
    """
    with tempfile.TemporaryFile() as log:
        # In a session of its own: Ctrl-C reaches the bench alone, which then stops the command.
        process = subprocess.Popen(
            [program, *arguments], cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(name, process, port)
            yield process.pid
        except Exception:
            if tail := _tail(log):
                print(f"\nThe end of the output of {name}:\n{tail}", file=sys.stderr)
            raise
        finally:
            _stop(process)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def raise_open_files_limit() -> None:
    """Allow as many open files as the system grants: 1,000 sign-ins at once need some 2,000 in the site."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def peak_memory(process: int) -> int | None:
    """Sum of VmHWM over the process tree, in bytes: shared pages count in each process. None without `/proc`."""
    if not Path("/proc/self/status").exists():
        return None
    return sum(map(_high_water_mark, members(process)))


def unique_memory(process: int) -> int | None:
    """Memory of the process tree now, in bytes, with shared pages counted once. None without `/proc`."""
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    rollups = [_smaps_rollup(one) for one in members(process)]
    # Anonymous pages shared by forked processes are divided among them (Pss). Mapped files are shared with processes
    # outside the tree too, so Pss would count too little: the largest set counts.
    anonymous = sum(rollup["Pss_Anon"] + rollup["Pss_Shmem"] for rollup in rollups)
    return anonymous + max((rollup["Rss"] - rollup["Anonymous"] for rollup in rollups), default=0)


def resident(process: int) -> int:
    """Resident memory of the process tree now, in bytes: shared pages count in each process."""
    files = (Path(f"/proc/{one}/statm") for one in members(process))
    return sum(int(file.read_text().split()[1]) for file in files if file.exists()) * os.sysconf("SC_PAGESIZE")


def cpu_seconds(process: int) -> float:
    """Processor time that the process tree has used so far. 0 without `/proc`."""
    if not Path("/proc/self/stat").exists():
        return 0.0
    return sum(map(_cpu_ticks, members(process))) / os.sysconf("SC_CLK_TCK")


def members(process: int) -> list[int]:
    """The process ids of the tree. `running` starts each in a session of its own."""
    all_processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [one for one in all_processes if _session(one) == process]


def _session(process: int) -> int | None:
    try:
        return os.getsid(process)
    except ProcessLookupError:  # it has just ended
        return None


def _cpu_ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))  # utime, stime, and those of children that have ended


def _smaps_rollup(process: int) -> Mapping[str, int]:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}


def _high_water_mark(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _wait_for(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"{name} did not start")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the session holds this command and its children only
        process.wait()


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-_LOG_TAIL_BYTES:].decode(errors="replace")
