"""The other files of `deploy/`, as far as they can be held here: the unit, the image's list of files, the settings."""

import re
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

import config
from doctor import settings_check
from server.worker import KILL_SECONDS
from services.http.client import QUEUE_FACTOR
from tests.commands import ROOT, program
from tests.site import SECRET
from tests.test_architecture import PACKAGES

DEPLOY = ROOT / "deploy"


@pytest.mark.external
def test_systemd_takes_the_unit_and_finds_little_that_it_could_still_be_denied(tmp_path: Path) -> None:
    unit = tmp_path / "munjigi.service"
    text = (DEPLOY / "munjigi.service").read_text("utf-8")
    assert "/opt/munjigi/.venv/bin/python" in text
    unit.write_text(text.replace("/opt/munjigi/.venv/bin/python", "/bin/true"))  # it looks whether the program is there
    analyze = program("systemd-analyze")
    for command in (["verify"], ["security", "--offline=true", "--threshold=15"]):
        done = subprocess.run([analyze, *command, unit], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Unknown" not in done.stderr


def test_the_unit_starts_the_server_again_and_ends_it_for_no_call_that_it_denies() -> None:
    lines = (DEPLOY / "munjigi.service").read_text("utf-8").splitlines()
    assert "Restart=always" in lines
    assert "SystemCallErrorNumber=EPERM" in lines


def test_the_unit_waits_for_a_stop_and_allows_connections_for_all_who_may_wait() -> None:
    text = (DEPLOY / "munjigi.service").read_text("utf-8")
    given = dict(re.findall(r"^(TimeoutStopSec|LimitNOFILE)=(\d+)$", text, re.MULTILINE))
    production = dotenv_values(DEPLOY / ".env.production.example")
    assert int(given["TimeoutStopSec"]) > int(production["SHUTDOWN_DELAY"] or 0) + KILL_SECONDS
    waiting = (1 + QUEUE_FACTOR) * config.Settings.__dataclass_fields__["backend_concurrency"].metadata["default"]
    assert int(given["LimitNOFILE"]) > 2 * waiting


def test_the_image_is_healthy_while_it_starts_and_stops() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert "/health/live" in text.partition("HEALTHCHECK")[2]


def test_the_image_has_all_that_production_needs_and_no_stand_in() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    rooms = {name if (ROOT / name).is_dir() else f"{name}.py" for name in PACKAGES if name != "dev"}
    assert copied == {*rooms, "requirements.txt", "static", "templates", "translations"}


def test_the_settings_for_production_need_a_key_and_give_no_warning() -> None:
    given = {name: value or "" for name, value in dotenv_values(DEPLOY / ".env.production.example").items()}
    assert given["SECRET_KEY"] == ""
    settings = config.load({**given, "SECRET_KEY": SECRET})
    assert list(settings_check.check(settings)) == []
