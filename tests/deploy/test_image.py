"""The image: its files, and its steps and commands on this machine, without a container engine."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from dev.backend import create_backend
from scripts.image_report import (
    Image,
    as_container,
    context_files,
    copy_context,
    run_health_check,
    seconds_to_ready,
    started,
)
from tests.support.architecture import PACKAGES
from tests.support.commands import ROOT, free_port_pair, is_listening, require_program
from tests.support.site import Visitor, serve_in_thread

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")


def test_the_image_contains_what_production_needs_and_nothing_else() -> None:
    files = set(context_files(ROOT))
    packages = {name for name in PACKAGES if name != "dev"}
    expected = {path.relative_to(ROOT).as_posix() for name in packages for path in ROOT.glob(f"{name}.py")}
    for folder in (*packages, "static", "templates", "translations"):
        expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
    expected = {name for name in expected if not name.endswith((".pyc", ".po"))}
    assert files == {*expected, "LICENSE", "requirements.txt"}
    assert len(files) > 200


def test_no_secret_and_no_development_file_reaches_the_build(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text("utf-8"))
    for name in (".env", "deploy/.env", ".git/config", "instance/key", "dev/__init__.py", "tests/x.py", "key.pem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("app.py", "services/sign_in.py", "services/__pycache__/sign_in.cpython-311.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(context_files(tmp_path)) == ["app.py", "services/sign_in.py"]


def test_the_image_runs_the_python_that_the_project_is_checked_for() -> None:
    versions = re.findall(r"^FROM python:(\S+)-slim", DOCKERFILE, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert len(versions) == 2
    assert set(versions) == {project["tool"]["mypy"]["python_version"]}
    assert project["project"]["requires-python"] == f">={versions[0]}"


def test_the_image_has_pinned_packages_and_no_root() -> None:
    assert "--require-hashes -r /requirements.txt" in DOCKERFILE
    assert Image.read().user == "65534:65534"


def test_the_health_check_is_that_of_the_live_process() -> None:
    """Not `/health/ready`, which is 503 during start and shutdown."""
    assert "'/health/live'" in Image.read().health_command[-1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # another user must be able to read it
    copy_context(ROOT, folder / "site")
    return folder / "site"


@pytest.mark.server
@pytest.mark.external
def test_a_user_signs_in_at_the_image_as_another_user_on_a_read_only_file_system(site: Path) -> None:
    for program in ("unshare", "setpriv"):
        require_program(program)
    image, port = Image.read(), free_port_pair()
    if as_container([sys.executable], image.user)[0] == [sys.executable]:
        pytest.skip("needs root")
    assert run_health_check(image, sys.executable, port) != 0
    files = modified(site)
    with serve_in_thread("127.0.0.1", lambda _: create_backend()) as backend_port:
        urls = {"SITE_URL": f"http://localhost:{port}", "BACKEND_URL": f"http://127.0.0.1:{backend_port}"}
        with started(image, sys.executable, site, port, HOST="127.0.0.1", **urls) as (_, start, process):
            seconds_to_ready(port, start, process)
            assert run_health_check(image, sys.executable, port) == 0
            assert Visitor(urls["SITE_URL"], {}).sign_in().status_code == 303
    assert modified(site) == files
    assert not is_listening(port)


def modified(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}
