"""The files of `deploy/` that need no proxy: the systemd unit, the example settings."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from dotenv import dotenv_values

import config
from doctor import settings_check
from server.worker import KILL_SECONDS
from services.http.client import QUEUE_FACTOR
from tests.support.commands import ROOT, require_program
from tests.support.site import SECRET

DEPLOY = ROOT / "deploy"


@pytest.mark.external
def test_systemd_accepts_the_unit_and_rates_its_exposure_low(tmp_path: Path) -> None:
    unit = tmp_path / "munjigi.service"
    text = (DEPLOY / "munjigi.service").read_text("utf-8")
    assert "ExecStart=/opt/munjigi/.venv/bin/munjigi serve\n" in text
    unit.write_text(
        text.replace("/opt/munjigi/.venv/bin/munjigi", "/bin/true")
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


def test_the_production_settings_need_only_a_key_and_give_no_warnings() -> None:
    given = {name: value or "" for name, value in dotenv_values(DEPLOY / ".env.production.example").items()}
    assert given["SECRET_KEY"] == ""
    settings = config.load({**given, "SECRET_KEY": SECRET})
    assert list(settings_check.check(settings)) == []


# --- compose.yaml

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def test_compose_restricts_the_site_and_publishes_the_proxy_to_this_machine_only() -> None:
    site = COMPOSE["services"]["munjigi"]
    assert (site["read_only"], site["cap_drop"], site["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    assert "no-new-privileges:true" in site["security_opt"]
    published = {name: one["ports"] for name, one in COMPOSE["services"].items() if "ports" in one}
    assert published == {"proxy": ["127.0.0.1:8000:80"]}


def test_compose_gives_the_site_time_to_stop_and_enough_open_files() -> None:
    site = COMPOSE["services"]["munjigi"]
    production = dotenv_values(DEPLOY / ".env.production.example")
    assert int(site["stop_grace_period"].removesuffix("s")) > int(production["SHUTDOWN_DELAY"] or 0) + KILL_SECONDS
    assert site["ulimits"]["nofile"] == 65536


def test_every_path_and_name_of_compose_exists() -> None:
    services = COMPOSE["services"]
    build = services["munjigi"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert (DEPLOY / services["proxy"]["volumes"][0].partition(":")[0]).exists()
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
    assert urlsplit(services["munjigi"]["environment"]["REDIS_URL"]).hostname in services
    assert services["redis"]["volumes"][0].partition(":")[0] in COMPOSE["volumes"]


@pytest.mark.external
def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    """With the client alone: nothing is started."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copy(DEPLOY / ".env.production.example", tmp_path / "deploy" / ".env")
    for program in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(program[0])
            and not subprocess.run([*program, "version"], capture_output=True, check=False).returncode
        ):
            break
    else:
        pytest.skip("neither docker compose nor docker-compose is installed")
    command = [*program, "-f", str(tmp_path / "deploy" / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
