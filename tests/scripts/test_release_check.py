"""`make release-check` reports each problem, in a repository of the test's own."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.release_check import problems
from services import __version__
from tests.support.commands import ROOT, require_program

pytestmark = pytest.mark.external

FILES = ("services/__init__.py", "CHANGELOG.md", "requirements.in", "requirements-dev.in")
LOCKED = ("requirements.txt", "requirements-dev.txt")
TAG = f"v{__version__}"


class Repository:
    """A copy of this repository with a matching CHANGELOG, committed and tagged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (*FILES, *LOCKED):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.change("CHANGELOG.md", r"\A# Changelog\n\n## .*", f"# Changelog\n\n## {__version__} (2026-11-23)")
        self.git("init", "-q")
        self.commit()
        self.git("tag", TAG)

    def change(self, name: str, pattern: str, text: str) -> None:
        path = self.folder / name
        changed, times = re.subn(pattern, text, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
        assert times == 1
        path.write_text(changed)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "x")

    def git(self, *command: str) -> None:
        who = {f"GIT_{role}_{part}": "x" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", **who}
        subprocess.run([require_program("git"), *command], cwd=self.folder, env=environ, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_correct_release_has_no_problems(repository: Repository) -> None:
    assert list(problems(repository.folder)) == []


@pytest.mark.parametrize(
    ("name", "pattern", "text", "told"),
    [
        ("services/__init__.py", r"^__version__ = .*", '__version__ = "9.9.9"', "not '9.9.9' with its date"),
        ("CHANGELOG.md", r"^## .*", "## Unreleased", "CHANGELOG.md is 'Unreleased'"),
        ("CHANGELOG.md", r"^## .*", "## 9.9.9 (2026-11-23)", "CHANGELOG.md is '9.9.9"),
        ("CHANGELOG.md", r"^## (\S+) .*", r"## \1", "with its date"),
        ("requirements.txt", r"^flask==\S+", "flask>=3", "not pinned with its hashes: flask>=3"),
        ("requirements.txt", r"^(flask==\S+) \\\n(    --hash\S+( \\)?\n)+", r"\1\n", "its hashes: flask=="),
        ("requirements-dev.txt", r"--hash=sha256:(.)", r"--hash=md5:\1", "requirements-dev.txt: not pinned"),
        ("requirements.in", r"\Z", "\ntornado\n", "requirements.txt lacks tornado: make lock"),
    ],
)
def test_each_problem_of_a_release_is_reported(
    repository: Repository, name: str, pattern: str, text: str, told: str
) -> None:
    repository.change(name, pattern, text)
    repository.commit()
    repository.git("tag", "-f", TAG)
    assert any(told in one for one in problems(repository.folder))


def test_uncommitted_files_are_reported(repository: Repository) -> None:
    (repository.folder / "new.py").write_text("")
    assert list(problems(repository.folder)) == ["not committed:\n?? new.py"]


def test_a_tag_on_an_earlier_commit_is_reported(repository: Repository) -> None:
    repository.git("commit", "-q", "--allow-empty", "-m", "one more")
    assert list(problems(repository.folder)) == [f"the tag of this commit is missing, not {TAG}"]


def test_a_tag_of_another_version_is_reported(repository: Repository) -> None:
    repository.git("tag", "-d", TAG)
    repository.git("tag", "v9.9.9")
    assert list(problems(repository.folder)) == [f"the tag of this commit is v9.9.9, not {TAG}"]
