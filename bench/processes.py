"""The processes that are measured: started, waited for, and stopped again whatever happens."""

import os
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
_LAST_LINES = 2000


@contextmanager
def running(
    name: str,
    port: int,
    *arguments: str,
    program: str = sys.executable,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Iterator[int]:
    """This command for as long as the block lasts; its process id. What it wrote is shown if all goes wrong."""
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C comes to the bench alone, which then stops the others in order.
        process = subprocess.Popen(
            [program, *arguments], cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(name, process, port)
            yield process.pid
        except Exception:
            if last := _end_of(log):
                print(f"\n{name} wrote last:\n{last}", file=sys.stderr)
            raise
        finally:
            _stop(process)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def peak_memory(process: int) -> int | None:
    """VmHWM, the most that was resident, in bytes over the tree of processes; pages they share count in each."""
    if not Path("/proc/self/status").exists():
        return None
    return sum(map(_high_water, members(process)))


def occupied(process: int) -> int | None:
    """What the tree of processes takes up now, in bytes: pages that several of them share count once."""
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    kinds = [_kinds(one) for one in members(process)]
    # What forked processes share is spread over them (Pss). Files are shared with strangers too: one set counts.
    own = sum(kind["Pss_Anon"] + kind["Pss_Shmem"] for kind in kinds)
    return own + max((kind["Rss"] - kind["Anonymous"] for kind in kinds), default=0)


def resident(process: int) -> int:
    """What the tree of processes has in memory now."""
    files = (Path(f"/proc/{one}/statm") for one in members(process))
    return sum(int(file.read_text().split()[1]) for file in files if file.exists()) * os.sysconf("SC_PAGESIZE")


def busy(process: int) -> float:
    """Seconds of a core that the tree of processes has used so far; 0 where there is no `/proc`."""
    if not Path("/proc/self/stat").exists():
        return 0.0
    return sum(map(_ticks, members(process))) / os.sysconf("SC_CLK_TCK")


def members(process: int) -> list[int]:
    """The processes of the tree that it began."""
    everybody = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [one for one in everybody if _session(one) == process]


def _session(process: int) -> int | None:
    try:
        return os.getsid(process)
    except ProcessLookupError:  # it ended meanwhile
        return None


def _ticks(process: int) -> int:
    after_the_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_the_name[11:15]))  # its own, and those of children that have ended


def _kinds(process: int) -> Mapping[str, int]:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}


def _high_water(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _wait_for(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    ends = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < ends and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{name} did not start")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own session, so none but it and its workers
        process.wait()


def _end_of(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-_LAST_LINES:].decode(errors="replace")
