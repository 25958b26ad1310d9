"""`make matrix`: which interpreters it finds, and its table."""

import re
import tomllib
from pathlib import Path

from scripts.python_matrix import MARKERS, Row, find_python, supported_versions, table
from tests.support.commands import ROOT


def program(path: Path, version: str) -> str:
    """An interpreter that says this version. An empty one fails, as a shim of pyenv's without a version does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)
    return str(path)


def test_the_supported_versions_begin_with_the_oldest_and_have_no_gap() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = supported_versions()
    assert project["requires-python"] == f">={versions[0]}"
    first = int(versions[0].partition(".")[2])
    assert versions == [f"3.{first + number}" for number in range(len(versions))]


def test_an_interpreter_is_found_on_the_path_first(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin" / "python3.98", "3.98.1")
    program(tmp_path / "pyenv" / "versions" / "3.98.7" / "bin" / "python", "3.98.7")
    environ = {"PATH": str(tmp_path / "bin"), "PYENV_ROOT": str(tmp_path / "pyenv")}
    assert find_python("3.98", environ) == on_path


def test_of_pyenv_the_newest_release_is_taken_and_a_shim_without_an_interpreter_is_not(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "python3.98", "")
    for release in ("3.98.9", "3.98.10", "3.9.11"):
        program(tmp_path / ".pyenv" / "versions" / release / "bin" / "python", release)
    environ = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    assert find_python("3.98", environ) == str(tmp_path / ".pyenv" / "versions" / "3.98.10" / "bin" / "python")
    assert find_python("3.97", environ) is None


def test_the_table_has_a_line_for_each_version() -> None:
    rows = [Row("3.11.7", "2100 passed", 71.4), Row("3.12", "not found on this machine")]
    assert [re.split(r" {2,}", line) for line in table(rows).splitlines()] == [
        ["Python", "everyday tests", "time"],
        ["3.11.7", "2100 passed", "71 s"],
        ["3.12", "not found on this machine"],
    ]


def test_the_matrix_runs_the_tests_of_make_test() -> None:
    assert f'-m "{MARKERS}"' in (ROOT / "Makefile").read_text("utf-8").partition("\ntest:")[2].partition("\n\n")[0]
