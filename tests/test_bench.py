"""The measurements: a figure is only printed for work that was done, and the arithmetic on it is right."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from bench import load, processes, table, verify, works
from bench.__main__ import Pace, report
from bench.figures import EMPTY, MUNJIGI, NEXT_AUTH, Figures, Round
from bench.growth.chart import Panel, chart, ticks
from bench.load import Connection, WrongAnswer, connections
from bench.visitors import NextAuthVisitor, Visitor
from bench.weight import Assets

pytestmark = pytest.mark.external


def asked_of(answer: bytes, work: Callable[[int], Awaitable[object]]) -> None:
    """The work is done once against a server that gives this one answer to everything."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
            await work(server.sockets[0].getsockname()[1])

    uvloop.run(run())


def json_answer(body: str, status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", body]).encode()


def done_once(work: works.Work) -> Callable[[int], Awaitable[object]]:
    async def once(port: int) -> None:
        async with connections(port, 1) as [connection]:
            await work(connection)

    return once


SOMEBODY_ELSE = '{"user":{"id":0,"name":"Visitor 0","nick_name":null,"email":"visitor0@example.com"}}'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (json_answer("{}"), "GET /api/auth/session"),
        (json_answer(SOMEBODY_ELSE), "GET /api/auth/session"),
        (json_answer("<h1>Busy</h1>", "503 Service Unavailable"), "GET /api/auth/session: 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}", "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"", "broke off"),
    ],
    ids=["of nobody", "of somebody else", "an error", "cut off", "no HTTP", "none"],
)
def test_a_wrong_answer_to_a_session_read_stops_the_bench(answer: bytes, reason: str) -> None:
    with pytest.raises(WrongAnswer, match=reason):
        asked_of(answer, done_once(works.session_read(Visitor())))


def test_the_right_answer_goes_on_and_what_follows_the_person_in_it_may_differ() -> None:
    person = Visitor()
    theirs = f'{{"id":{person.user["id"]},"name":"{person.user["name"]}","nick_name":null,"email":"{person.email}"'
    for rest in ("}}", '},"expires":"2030-01-01T00:00:00.000Z"}', ',"accessToken":"1|a"},"expires":"2030"}'):
        asked_of(json_answer(f'{{"user":{theirs}{rest}'), done_once(works.session_read(person)))


@pytest.mark.parametrize("kind", [Visitor, NextAuthVisitor])
def test_a_sign_in_that_sets_no_session_is_a_wrong_answer(kind: type[Visitor]) -> None:
    answer = json_answer('{"csrfToken":"a","url":"https://login.example.com/"}', "200 OK", "Set-Cookie: other=1")
    with pytest.raises(WrongAnswer, match="a sign-in"):
        asked_of(answer, lambda port: _signed_in(port, kind()))


async def _signed_in(port: int, visitor: Visitor) -> None:
    for step in (visitor.fetch_token, visitor.call_back):
        async with connections(port, 1) as [connection]:
            await step(connection)


@pytest.mark.parametrize("page", ["<h1>Down for maintenance</h1>", '<input name="csrfToken" value="">'])
def test_a_page_without_a_token_in_its_form_is_no_sign_in_page(page: str) -> None:
    with pytest.raises(WrongAnswer, match="GET /auth/login/email"):
        asked_of(json_answer(page), done_once(works.pages()))


def test_a_check_that_names_somebody_else_is_a_wrong_answer() -> None:
    answer = b"HTTP/1.1 204 No Content\r\nX-Auth-User-Id: 0\r\n\r\n"
    with pytest.raises(WrongAnswer, match="GET /auth/verify"):
        asked_of(answer, done_once(works.verify_checks(Visitor())))


def test_what_is_done_is_counted_on_every_connection() -> None:
    async def nap(_: Connection) -> None:
        await asyncio.sleep(0.02)

    async def count(port: int) -> None:
        done, seconds = await load.done(port, 3, 0.2, nap)
        assert done % 3 == 0
        assert 0.2 <= seconds < 2
        assert 3 <= done <= 30

    asked_of(b"", count)


def figures() -> Figures:
    """Ours does four in the time of the other's one, at a third of its cost. The second round had no luck."""
    found = Figures()
    for work in (table.READ, table.PAGE, table.SIGN_IN, table.API_SIGN_IN, table.VERIFY):
        found.rounds[work, MUNJIGI] = [Round(400, 1, 0.4), Round(40, 1, 0.04), Round(400, 1, 0.4)]
        found.rounds[work, NEXT_AUTH] = [Round(100, 1, 0.3), Round(5, 1, 0.015), Round(200, 1, 0.6)]
    found.rounds[table.VIEW, EMPTY] = [Round(600, 1, 0.3), Round(60, 1, 0.03), Round(600, 1, 0.3)]
    found.rounds[table.AT_ONCE, MUNJIGI] = [Round(100, 0.7), Round(100, 0.9), Round(100, 0.8)]
    found.rounds[table.AT_ONCE, NEXT_AUTH] = [Round(100, 1.4), Round(100, 1.8), Round(100, 1.6)]
    found.memory = {MUNJIGI: 150_000_000, NEXT_AUTH: 250_000_000}
    found.occupied = {MUNJIGI: 100_000_000, NEXT_AUTH: 250_000_000}
    found.weight = {MUNJIGI: 15_000, NEXT_AUTH: 90_000}
    return found


def cells(found: Figures) -> dict[str, list[str]]:
    """Of each row, by its work."""
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.text(found).splitlines()]
    return {name: rest for name, *rest in rows}


def test_the_table_holds_each_round_against_the_other_of_the_same_moment() -> None:
    read = cells(figures())[table.READ]
    assert read == ["400 /s (40 - 400)", "100 /s (5 - 200)", "4.0", "1,000 µs", "3,000 µs", "3.0", "1.50", "2.00"]


def test_the_table_has_time_memory_and_weight() -> None:
    rows = cells(figures())
    assert rows[table.AT_ONCE][:3] == ["0.80 s (0.70 - 0.90)", "1.60 s (1.40 - 1.80)", "2.00"]
    assert rows["memory of the process tree at its peak"][:3] == ["100.0 MB", "250.0 MB", "1 / 2.5"]
    assert rows["the same, what is shared counted each time"][0] == "150.0 MB"
    assert rows["sign-in page with its assets, compressed"][:3] == ["15.0 kB", "90.0 kB", "1 / 6.0"]


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_what_a_forked_process_shares_is_counted_once() -> None:
    code = "import os, time; held = bytes(bytearray(b'x') * 60_000_000); os.fork(); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            assert parent.stdout
            assert parent.stdout.readline() == parent.stdout.readline() == b"\n"
            together, apart = processes.occupied(parent.pid), processes.resident(parent.pid)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
    assert together
    assert 60e6 < together < 100e6 < 120e6 < apart


def test_without_next_auth_the_table_has_no_empty_columns() -> None:
    found = figures()
    found.rounds = {key: rounds for key, rounds in found.rounds.items() if key[1] != NEXT_AUTH}
    del found.memory[NEXT_AUTH], found.occupied[NEXT_AUTH], found.weight[NEXT_AUTH]
    assert cells(found)["work"] == ["Munjigi", "CPU each", "in empty views", "by CPU"]
    assert len(set(map(len, table.text(found).splitlines()))) == 1


def test_the_page_weighs_what_a_browser_of_today_loads() -> None:
    assets = Assets()
    assets.feed(
        '<link rel="stylesheet" href="/a.css"><link rel="preload" href="/a.css" as="style">'
        '<link rel="canonical" href="/x">'
        '<script src="/b.js" defer></script><script nomodule src="/old.js"></script><script>inline</script>'
        '<img src="/c.svg"><svg><use href="/d.svg#mark"/></svg><a href="/y">y</a>'
    )
    assert assets.paths == {"/a.css", "/b.js", "/c.svg", "/d.svg"}


@pytest.mark.parametrize("most", [0, 0.03, 0.61, 1, 1.88, 5, 9, 99.9, 100, 433, 4987, 50_001])
def test_the_marks_of_a_chart_are_few_and_round_and_none_is_beyond(most: float) -> None:
    marks = ticks(most)
    assert marks[0] == 0
    assert marks[-2] < marks[-1]
    assert marks[-2] <= most <= marks[-1]
    assert len(marks) <= 6
    assert {f"{mark / marks[1]:g}" for mark in marks} == {str(number) for number in range(len(marks))}


def test_a_chart_draws_every_point_of_every_line_within_its_panel() -> None:
    lines = {"<one>": [(1.0, 2.0), (10.0, 4.0)], "two": [(1.0, 1.0), (10.0, 3.0)]}
    drawn = chart("Growth", [Panel("cost", "threads", lines)], columns=1)
    assert drawn.count("<circle") == 4
    assert "&lt;one&gt;" in drawn
    assert '<circle cx="280.0" cy="28.0"' in drawn  # the highest, at the far end of the last mark


def test_what_a_forward_auth_check_costs_can_be_asked_alone(capsys: pytest.CaptureFixture[str]) -> None:
    verify.main(rounds=1, requests=20)
    rows = re.findall(
        r"^(signed in|nobody|the server, without a session) +([0-9]+) +[0-9]+$", capsys.readouterr().out, re.M
    )
    assert [name for name, _ in rows] == ["signed in", "nobody", "the server, without a session"]
    assert all(int(cost) > 0 for _, cost in rows)


def test_the_whole_bench_runs_and_says_what_it_left_out() -> None:
    found = report(Pace(rounds=1, seconds=0.05, warm_up=0.02), "this is a test")
    assert "next-auth was left out: this is a test." in found
    for work in (table.READ, table.PAGE, table.SIGN_IN, table.API_SIGN_IN, table.AT_ONCE, table.VERIFY, table.VIEW):
        assert f"| {work}" in found
