"""`bench/`: answers are verified before they are counted, the arithmetic is right, and the whole bench runs."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from bench import calls, load, processes, table, tasks
from bench.__main__ import Pace, report
from bench.load import Connection, WrongAnswer, connections
from bench.page_weight import Assets
from bench.results import Results, Sample
from bench.sites import MUNJIGI, NEXT_AUTH
from bench.visitors import NextAuthVisitor, Visitor


def against(answer: bytes, work: Callable[[int], Awaitable[object]]) -> None:
    """Run the work against a server that gives the same answer to every request."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
            await work(server.sockets[0].getsockname()[1])

    uvloop.run(run())


def once(*works: tasks.Task) -> Callable[[int], Awaitable[object]]:
    async def work(port: int) -> None:
        for one in works:
            async with connections(port, 1) as [connection]:
                await one(connection)

    return work


def http(body: str, status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", body]).encode()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http("{}"), "GET /api/auth/session"),
        (http('{"user":{"id":0,"name":"Visitor 0","nick_name":null,"email":"visitor0@example.com"}}'), "GET /api"),
        (http("<h1>Busy</h1>", "503 Service Unavailable"), "GET /api/auth/session: 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}", "was closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "invalid HTTP"),
    ],
    ids=["no session", "another user", "an error", "cut off", "invalid HTTP"],
)
def test_a_wrong_answer_to_a_session_read_stops_the_bench(answer: bytes, reason: str) -> None:
    with pytest.raises(WrongAnswer, match=reason):
        against(answer, once(tasks.session_read(Visitor())))


def test_a_session_read_accepts_the_right_user_whatever_other_members_follow() -> None:
    visitor = Visitor()
    start = json.dumps({"user": visitor.user}, separators=(",", ":")).removesuffix("}}")
    for rest in ("}}", '},"expires":"2030-01-01T00:00:00.000Z"}', ',"accessToken":"1|a"},"expires":"2030"}'):
        against(http(start + rest), once(tasks.session_read(visitor)))


@pytest.mark.parametrize("kind", [Visitor, NextAuthVisitor])
def test_a_sign_in_without_a_session_cookie_stops_the_bench(kind: type[Visitor]) -> None:
    answer = http('{"csrfToken":"a","url":"https://login.example.com/"}', "200 OK", "Set-Cookie: other=1")
    visitor = kind()
    with pytest.raises(WrongAnswer, match="a sign-in"):
        against(answer, once(visitor.fetch_csrf, visitor.post_callback))


@pytest.mark.parametrize("body", ["<h1>Down for maintenance</h1>", '<input name="csrfToken" value="">'])
def test_a_sign_in_page_without_a_csrf_token_stops_the_bench(body: str) -> None:
    with pytest.raises(WrongAnswer, match="GET /auth/login/email"):
        against(http(body), once(tasks.page()))


def test_a_forward_auth_check_that_names_another_user_stops_the_bench() -> None:
    with pytest.raises(WrongAnswer, match="GET /auth/verify"):
        against(b"HTTP/1.1 204 No Content\r\nX-Auth-User-Id: 0\r\n\r\n", once(tasks.forward_auth_check(Visitor())))


def test_a_task_is_counted_once_on_each_connection() -> None:
    async def nap(_: Connection) -> None:
        await asyncio.sleep(0.02)

    async def work(port: int) -> None:
        done, seconds = await load.run(port, 3, 0.2, nap)
        assert done % 3 == 0
        assert 3 <= done <= 30
        assert seconds >= 0.2

    against(b"", work)


def results() -> Results:
    """Return results: four times next-auth's speed at a third of its CPU time, and one outlier in the second round."""
    made = Results()
    for task in (table.READ, table.SCRIPT_SIGN_IN):
        made.samples[task, MUNJIGI] = [Sample(400, 1, 0.4), Sample(40, 1, 0.04), Sample(400, 1, 0.4)]
        made.samples[task, NEXT_AUTH] = [Sample(100, 1, 0.3), Sample(5, 1, 0.015), Sample(200, 1, 0.6)]
    made.samples[table.AT_ONCE, MUNJIGI] = [Sample(100, 0.8)]
    made.samples[table.AT_ONCE, NEXT_AUTH] = [Sample(100, 0.75)]
    made.samples[table.RUSH, MUNJIGI] = [Sample(1000, 5)]
    made.samples[table.ONE_WORKER, MUNJIGI] = [Sample(100, 1), Sample(200, 1)]
    made.samples[table.TWO_WORKERS, MUNJIGI] = [Sample(150, 1), Sample(300, 1)]
    made.peak_memory = {MUNJIGI: 80_000_000, NEXT_AUTH: 250_000_000}
    made.start_seconds[MUNJIGI] = [1.0, 0.9, 1.6]
    return made


def rows(made: Results, *sites: str) -> dict[str, list[str]]:
    lines = table.promises(made, list(sites)).splitlines()
    return {name: rest for name, *rest in ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)}


def test_each_row_compares_the_sites_round_by_round_and_shows_whether_the_promise_is_kept() -> None:
    row = rows(results(), MUNJIGI, NEXT_AUTH)
    assert row[table.READ] == ["400 (40 - 400) /s", "100 (5 - 200) /s", "4.00", "≥ 4 ×", "≥ 6 ×", "yes"]
    assert row["… per second of processor time"][2:] == ["3.00", "≥ 1 ×", "≥ 1.5 ×", "aim"]
    assert row[table.AT_ONCE] == ["0.80 s", "0.75 s", "1.07", "≤ 1.1 ×", "≤ 1 ×", "yes"]
    assert row[table.RUSH] == ["5.00 s", "", "", "≤ 12 s, all", "", "yes"]
    assert row["peak memory, sum of VmHWM"][2:] == ["0.32", "≤ 0.45 ×", "≤ 0.33 ×", "aim"]
    assert row["start to first answer"] == ["1.00 (0.90 - 1.60) s", "", "", "≤ 1.5 s", "≤ 0.8 s", "yes"]
    assert row["two workers beside one"][0] == "1.50 (1.50 - 1.50): 150 -> 225 /s"
    assert row["two workers beside one"][-1] == "NO"


def test_a_refused_sign_in_breaks_the_promise_even_if_all_others_are_fast() -> None:
    made = results()
    made.samples[table.RUSH, MUNJIGI] = [Sample(1000, 5), Sample(998, 5, failed=2)]
    row = rows(made, MUNJIGI)[table.RUSH]
    assert "2 refused" in row[0]
    assert row[-1] == "NO"


def test_without_next_auth_the_comparisons_with_it_have_no_verdict() -> None:
    row = rows(results(), MUNJIGI)
    assert [row[name][-1] for name in (table.READ, table.AT_ONCE, "peak memory, sum of VmHWM")] == ["", "", ""]
    assert row[table.RUSH][-1] == "yes"


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_memory_shared_by_forked_processes_is_counted_once() -> None:
    code = "import os, time; held = bytes(bytearray(b'x') * 60_000_000); os.fork(); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            assert parent.stdout
            assert parent.stdout.readline() == parent.stdout.readline() == b"\n"
            unique, resident = processes.unique_memory(parent.pid), processes.resident(parent.pid)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
    assert unique
    assert 60e6 < unique < 100e6 < 120e6 < resident


def test_the_page_weight_includes_what_a_current_browser_loads() -> None:
    assets = Assets()
    assets.feed(
        '<link rel="stylesheet" href="/a.css"><link rel="preload" href="/a.css" as="style">'
        '<link rel="canonical" href="/x">'
        '<script src="/b.js" defer></script><script nomodule src="/old.js"></script><script>inline</script>'
        '<img src="/c.svg"><svg><use href="/d.svg#mark"/></svg><a href="/y">y</a>'
    )
    assert assets.paths == {"/a.css", "/b.js", "/c.svg", "/d.svg"}


@pytest.mark.server
def test_the_functions_of_one_sign_in_are_counted_and_listed() -> None:
    command = [sys.executable, "-m", "bench.calls", "--list"]
    output = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True).stdout
    files = re.findall(r"^(\S+\.py)$", output, re.MULTILINE)
    functions = re.findall(r"^    \S+ \(line [0-9]+\)$", output, re.MULTILINE)
    assert {"blueprints/login.py", "services/sign_in.py"} <= set(files)
    assert f"runs {len(functions)} functions in {len(files)} files." in output


def test_functions_that_run_in_other_threads_are_counted() -> None:
    recorder = calls.Recorder()
    try:
        recorder.is_recording = True
        asyncio.run(asyncio.to_thread(in_another_thread))
    finally:
        recorder.stop()
    assert in_another_thread.__code__ in recorder.codes


def in_another_thread() -> None:
    pass


@pytest.mark.server
def test_the_whole_bench_runs_beside_another_checkout(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for name in [".venv", *(path.name for path in root.iterdir() if path.suffix == ".py" or path.is_dir())]:
        if name != ".git" and not (tmp_path / name).exists():
            (tmp_path / name).symlink_to(root / name)
    pace = Pace(rounds=2, seconds=0.1, warm_up=0.02, rushes=0, starts=1, worker_rounds=1, worker_seconds=0.1)
    output = report(pace, "this is a test", beside=tmp_path)
    assert "next-auth was left out: this is a test." in output
    for task in (table.READ, table.VERIFY, table.PAGE, table.SCRIPT_SIGN_IN, table.FORM_SIGN_IN, table.AT_ONCE):
        assert re.search(rf"^\| {task} +\| +[0-9.].* \| +[0-9.].* \|", output, re.MULTILINE), output
