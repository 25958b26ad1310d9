"""`flask doctor`, `routes` and `shell` in production: one application factory, and nothing is written to disk."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

import dev
from tests.support.architecture import PACKAGES
from tests.support.commands import FLASK, ROOT
from tests.support.site import SECRET

PRODUCTION = {
    "SITE_URL": "https://login.example.com",
    "SECRET_KEY": SECRET,
    "BACKEND_URL": "http://127.0.0.1:9",
    "PROVIDERS": "google",
    "GOOGLE_CLIENT_ID": "id",
    "GOOGLE_CLIENT_SECRET": "secret-of-this-test",
    "GOOGLE_BASE_URL": "http://127.0.0.1:9",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the site as `deploy/Dockerfile` has it: without `dev/` and without `.flaskenv`."""
    folder = tmp_path / "munjigi"
    folder.mkdir()
    for name in (*PACKAGES, "static", "templates", "translations"):
        if (ROOT / name).is_dir() and name != "dev":
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / f"{name}.py").exists():
            shutil.copy(ROOT / f"{name}.py", folder)
    return folder


def add_development(folder: Path) -> None:
    shutil.copytree(ROOT / "dev", folder / "dev", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".flaskenv", folder)


def run_flask(
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str] = PRODUCTION,
    program: str = str(FLASK),
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.server
def test_the_doctor_runs_without_the_development_package_and_writes_nothing(checkout: Path) -> None:
    files_before = files(checkout)
    result = run_flask(checkout, "--app", "app", "doctor")
    assert result.stdout.startswith("ok "), result.stderr
    assert "backend: http://127.0.0.1:9/login" in result.stdout
    assert (result.returncode, result.stderr) == (1, "")
    assert files(checkout) == files_before


@pytest.mark.server
def test_the_doctor_is_the_same_command_in_a_checkout_with_the_development_package(checkout: Path) -> None:
    production = run_flask(checkout, "--app", "app", "doctor")
    add_development(checkout)
    files_before = files(checkout)
    development = run_flask(checkout, "doctor")
    assert (development.returncode, development.stdout) == (production.returncode, production.stdout)
    assert files(checkout) == files_before


INCOMPLETE = {
    "no SECRET_KEY": {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"},
    "a SITE_URL that is none": {**PRODUCTION, "SITE_URL": "nonsense"},
    "a provider without settings": {**PRODUCTION, "PROVIDERS": "kakao,oidc"},
    "no settings": {},
}


@pytest.mark.server
@pytest.mark.parametrize("environ", INCOMPLETE.values(), ids=list(INCOMPLETE))
def test_every_spelling_of_the_doctor_reports_the_same_wrong_settings_and_writes_nothing(
    checkout: Path, environ: dict[str, str]
) -> None:
    add_development(checkout)
    files_before = files(checkout)
    python = str(Path(FLASK).with_name("python"))
    results = [
        run_flask(checkout, "doctor", environ=environ),
        run_flask(checkout, "--app", "app", "doctor", environ=environ),
        run_flask(checkout, "-m", "doctor", environ=environ, program=python),
    ]
    assert results[0].stdout.startswith("error   settings: ")
    assert len({(result.returncode, result.stdout, result.stderr) for result in results}) == 1
    assert (results[0].returncode, results[0].stderr) == (1, "")
    assert files(checkout) == files_before


@pytest.mark.server
@pytest.mark.parametrize("command", ["routes", "shell"])
def test_other_flask_commands_run_without_the_development_package(checkout: Path, command: str) -> None:
    result = run_flask(checkout, command)
    assert result.returncode == 0, result.stderr
    assert command == "shell" or "/auth/login/email" in result.stdout


@pytest.mark.server
def test_invalid_settings_end_every_command_without_a_traceback(checkout: Path) -> None:
    result = run_flask(checkout, "--app", "app", "routes", environ={})
    assert result.returncode == 1
    assert "3 settings need attention" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_site_starts_where_the_development_key_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "instance").write_text("no folder")  # root can write into a folder without permissions
    monkeypatch.setattr(dev, "_KEY_FILE", tmp_path / "instance" / "development-secret-key")
    first, second = dev.completed({}, 8080), dev.completed({}, 8080)
    assert first == second
    assert len(first["SECRET_KEY"]) >= 32
    (line,) = capsys.readouterr().err.splitlines()
    assert "development-secret-key cannot be written" in line


def test_the_development_key_is_made_only_if_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file = tmp_path / "instance" / "development-secret-key"
    monkeypatch.setattr(dev, "_KEY_FILE", key_file)
    assert dev.completed(PRODUCTION, 8080).items() >= PRODUCTION.items()
    dev.completed({"SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}, 8080)
    assert not key_file.parent.exists()
    dev.completed({"SECRET_KEY": SECRET}, 8080)  # the stand-in providers need secrets of their own
    assert key_file.exists()
    assert dev.completed({}, 8080)["SECRET_KEY"] == key_file.read_text()
