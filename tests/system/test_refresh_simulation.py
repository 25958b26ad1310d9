"""Whatever happens at the same time, nobody is signed out whom the backend still honors.

A run is repeated by its seed: `.venv/bin/python -m tests.support.refresh_simulation --seed 17 --verbose`.
"""

import asyncio
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.sessions import token_store
from services.state.redis import client_of, close_storage, open_storage
from tests.support import commands
from tests.support.fake_redis import FakeRedisClient, FakeRedisServer
from tests.support.redis_server import redis_server
from tests.support.refresh_simulation import EXPLAINED, NAIVE, simulate, simulate_many
from tests.support.virtual_time import run_in_virtual_time

EVERYDAY_RUNS = 12
RUNS_PER_PROCESS = 100
NAIVE_RUNS = 60


def test_nobody_is_signed_out_whom_the_backend_honors() -> None:
    result = simulate_many(range(EVERYDAY_RUNS))
    assert result.violations == []
    assert result.counts["refreshes"] > 5 * EVERYDAY_RUNS
    assert result.counts["spent tokens sent"] > 0, "what cannot be saved happens too"


@pytest.mark.corpus
@pytest.mark.server
@pytest.mark.parametrize("part", range(10))
def test_nobody_is_signed_out_in_a_thousand_runs(part: int) -> None:
    first = 100_000 + part * RUNS_PER_PROCESS
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.support.refresh_simulation"]
    command += ["--first", str(first), "--runs", str(RUNS_PER_PROCESS)]
    ended = subprocess.run(command, cwd=commands.ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    causes = set(re.findall(r"^\| not saved: (.+?) \|", ended.stdout, re.MULTILINE))
    assert causes <= {*EXPLAINED}


def test_a_run_is_the_same_each_time() -> None:
    assert simulate(3) == simulate(3)


@pytest.mark.corpus
@pytest.mark.parametrize("naive", NAIVE)
def test_the_simulation_finds_what_a_simpler_implementation_gets_wrong(naive: str) -> None:
    simple, real = simulate_many(range(NAIVE_RUNS), naive), simulate_many(range(NAIVE_RUNS))
    assert simple.wrongly_signed_out > 2 * real.wrongly_signed_out


COMMANDS: list[Any] = [
    ("get", "t"),
    ("set", "r", b"running", {"nx": True, "px": 60000}),
    ("set", "r", b"running", {"nx": True, "px": 60000}),
    ("get", "r"),
    ("set", "r", b"failed", {"px": 60000}),
    ("get", "r"),
    ("ttl", "r"),
    ("ttl", "nothing"),
    ("expire", "nothing", 5),
    ("eval", token_store._SAVE_IF_NEWER, 1, "t", 3, b"3:c", 60, token_store._ENDED),
    ("eval", token_store._SAVE_IF_NEWER, 1, "t", 2, b"2:b", 60, token_store._ENDED),
    ("get", "t"),
    ("ttl", "t"),
    ("eval", token_store._SAVE_IF_NEWER, 1, "t", 3, b"3:d", 30, token_store._ENDED),
    ("expire", "t", 10),
    ("ttl", "t"),
    ("eval", token_store._END, 1, "t", token_store._ENDED, 60),
    ("eval", token_store._SAVE_IF_NEWER, 1, "t", 4, b"4:e", 60, token_store._ENDED),
    ("get", "t"),
    ("eval", token_store._END, 1, "new", token_store._ENDED, 60),
    ("eval", token_store._SAVE_IF_NEWER, 1, "new", 1, b"1:a", 60, token_store._ENDED),
    ("delete", "r"),
    ("delete", "r"),
    ("set", "g", "text", {"nx": True, "ex": 315360000}),
    ("get", "g"),
]


async def answers_of(client: Any) -> list[Any]:
    answers = []
    for name, *arguments in COMMANDS:
        options = arguments.pop() if isinstance(arguments[-1], dict) else {}
        answers.append(await getattr(client, name)(*arguments, **options))
    await client.xadd("s", {"s": b"\x00\xff"})
    await client.xadd("s", {"c": b"12345678", "t": 5})
    ((stream, entries),) = await client.xread({"s": "0-0"}, count=10, block=10)
    first_id = entries[0][0].decode()
    ((_, later),) = await client.xread({"s": first_id}, count=10, block=10)
    last_id = later[-1][0].decode()
    nothing = await client.xread({"s": last_id}, count=10, block=10)
    fields = [fields for _, fields in entries], [fields for _, fields in later]
    return [_plain(answer) for answer in answers] + [stream in (b"s", "s"), fields, bool(nothing)]


def _plain(answer: Any) -> Any:
    """True and 1, and seconds that have passed meanwhile, are no difference."""
    return answer // 5 * 5 if type(answer) is int and answer > 5 else int(answer) if type(answer) is bool else answer


@pytest.mark.external
def test_the_redis_of_the_simulation_answers_as_a_real_one(tmp_path: Path) -> None:
    async def ask_real(url: str) -> list[Any]:
        storage = open_storage(url)
        try:
            return await answers_of(client_of(storage))
        finally:
            await close_storage(storage)

    async def ask_fake() -> list[Any]:
        loop = asyncio.get_running_loop()
        return await answers_of(FakeRedisClient(FakeRedisServer(lambda: 1.8e9 + loop.time()), random.Random(1)))

    with redis_server(tmp_path) as server:
        assert run_in_virtual_time(ask_fake()) == asyncio.run(ask_real(server.url))
