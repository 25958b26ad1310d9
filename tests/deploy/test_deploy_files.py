"""The files of `deploy/` that need no proxy: the systemd unit, the Dockerfile, the example settings."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from dotenv import dotenv_values

import config
from doctor import settings_check
from server.worker import KILL_SECONDS
from services.http.client import QUEUE_FACTOR
from tests.support.architecture import PACKAGES
from tests.support.commands import ROOT, require_program
from tests.support.site import SECRET

DEPLOY = ROOT / "deploy"


@pytest.mark.external
def test_systemd_accepts_the_unit_and_rates_its_exposure_low(tmp_path: Path) -> None:
    unit = tmp_path / "munjigi.service"
    text = (DEPLOY / "munjigi.service").read_text("utf-8")
    assert "/opt/munjigi/.venv/bin/python" in text
    unit.write_text(
        text.replace("/opt/munjigi/.venv/bin/python", "/bin/true")
    )  # systemd-analyze checks that the program exists
    analyze = require_program("systemd-analyze")
    for command in (["verify"], ["security", "--offline=true", "--threshold=15"]):
        done = subprocess.run([analyze, *command, unit], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Unknown" not in done.stderr


def test_the_unit_restarts_the_server_and_denied_system_calls_return_an_error() -> None:
    lines = (DEPLOY / "munjigi.service").read_text("utf-8").splitlines()
    assert "Restart=always" in lines
    assert "SystemCallErrorNumber=EPERM" in lines


def test_the_unit_allows_for_the_shutdown_delay_and_for_all_waiting_connections() -> None:
    text = (DEPLOY / "munjigi.service").read_text("utf-8")
    given = dict(re.findall(r"^(TimeoutStopSec|LimitNOFILE)=(\d+)$", text, re.MULTILINE))
    production = dotenv_values(DEPLOY / ".env.production.example")
    assert int(given["TimeoutStopSec"]) > int(production["SHUTDOWN_DELAY"] or 0) + KILL_SECONDS
    waiting = (1 + QUEUE_FACTOR) * config.Settings.__dataclass_fields__["backend_concurrency"].metadata["default"]
    assert int(given["LimitNOFILE"]) > 2 * waiting


def test_the_image_health_check_uses_the_liveness_endpoint() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert "/health/live" in text.partition("HEALTHCHECK")[2]


def test_the_image_runs_the_python_that_the_project_is_checked_for() -> None:
    versions = re.findall(r"^FROM python:(\S+)-slim", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(versions) == {project["tool"]["mypy"]["python_version"]}
    assert project["project"]["requires-python"] == f">={versions[0]}"


def test_the_image_contains_what_production_needs_and_no_stand_ins() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    packages = {name if (ROOT / name).is_dir() else f"{name}.py" for name in PACKAGES if name != "dev"}
    assert copied == {*packages, "requirements.txt", "static", "templates", "translations"}


def test_the_production_settings_need_only_a_key_and_give_no_warnings() -> None:
    given = {name: value or "" for name, value in dotenv_values(DEPLOY / ".env.production.example").items()}
    assert given["SECRET_KEY"] == ""
    settings = config.load({**given, "SECRET_KEY": SECRET})
    assert list(settings_check.check(settings)) == []
