"""The table of `make figures` says what was tried, whatever process it was tried in, and hides no failure."""

import re
import subprocess
import sys
from pathlib import Path

from tests.commands import ROOT

TESTS = """
import pytest

pytestmark = pytest.mark.figures("cookies")

@pytest.mark.parametrize("n", range(5))
def test_good(n): pass

def test_many(tried): tried(1000)

def test_many_of_which_one_is_bad(tried):
    tried(300)
    assert False

@pytest.mark.skip(reason="to be counted as left out")
def test_left_out(): pass

@pytest.fixture
def broken(): raise RuntimeError

def test_that_cannot_begin(broken): pass

@pytest.mark.figures("limits")
def test_of_another_kind(measured): measured("a thing", "0.1 ms")
"""


def table(folder: Path, *options: str) -> str:
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.figures"]')
    (folder / "test_it.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        *options,
        str(folder),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout


def test_counts_add_up_over_processes(tmp_path: Path) -> None:
    for options in ((), ("-n", "2")):
        found = table(tmp_path, "--figures", *options)
        assert re.search(r"session cookies.*\b1,305 +2 +1\n", found), found
        assert re.search(r"ways round the limits +1 +0 +0\n", found), found
        assert "\na thing: 0.1 ms\n" in found
        assert "OAuth callbacks" not in found, "nothing of that was tried"


def test_a_kind_that_the_table_does_not_know_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("import pytest\n@pytest.mark.figures('biscuits')\ndef test_it(): pass\n")
    assert "is of no kind that the table knows" in table(tmp_path)
