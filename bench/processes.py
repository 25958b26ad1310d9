"""Start and stop processes, and read their memory and CPU time from `/proc`."""

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
    """Run a command during the `with` block. Yields its process id once `port` accepts connections.

    If the block raises an exception, the last output of the command is printed.
    """
    with tempfile.TemporaryFile() as log:
        # A new session, so that Ctrl-C reaches only the benchmark, which then stops the command.
        process = subprocess.Popen(
            [program, *arguments], cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(name, process, port)
            yield process.pid
        except Exception:
            if tail := _tail(log):
                print(f"\nLast output of {name}:\n{tail}", file=sys.stderr)
            raise
        finally:
            _stop(process)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def raise_open_files_limit() -> None:
    """Raise the limit of open files to the hard limit: 1,000 simultaneous sign-ins use about 2,000 in the site."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def peak_memory(process: int) -> int | None:
    """Return the sum of VmHWM of the process tree in bytes; shared pages count several times. None without `/proc`."""
    if not Path("/proc/self/status").exists():
        return None
    return sum(map(_high_water_mark, members(process)))


def unique_memory(process: int) -> int | None:
    """Return the current memory of the process tree in bytes, with shared pages counted once. None without `/proc`."""
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    rollups = [_smaps_rollup(process_id) for process_id in members(process)]
    # Pss divides anonymous pages among the forked processes that share them. Mapped files are also shared with
    # processes outside the tree, so their Pss is too low: take the largest set instead.
    anonymous = sum(rollup["Pss_Anon"] + rollup["Pss_Shmem"] for rollup in rollups)
    return anonymous + max((rollup["Rss"] - rollup["Anonymous"] for rollup in rollups), default=0)


def resident(process: int) -> int:
    """Return the resident memory of the process tree in bytes; shared pages count several times."""
    files = (Path(f"/proc/{process_id}/statm") for process_id in members(process))
    return sum(int(file.read_text().split()[1]) for file in files if file.exists()) * os.sysconf("SC_PAGESIZE")


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds that the process tree has used. 0 without `/proc`."""
    if not Path("/proc/self/stat").exists():
        return 0.0
    return sum(map(_cpu_ticks, members(process))) / os.sysconf("SC_CLK_TCK")


def members(process: int) -> list[int]:
    """Return the process ids in the session of this process; `running` starts each command in a new session."""
    all_processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process_id for process_id in all_processes if _session(process_id) == process]


def _session(process: int) -> int | None:
    try:
        return os.getsid(process)
    except ProcessLookupError:  # the process has ended
        return None


def _cpu_ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))  # utime, stime, and those of ended child processes


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
        os.killpg(process.pid, signal.SIGKILL)  # the session has only this command and its child processes
        process.wait()


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-_LOG_TAIL_BYTES:].decode(errors="replace")
