"""`pip install` and the `munjigi` command: the site works from any folder, whatever else that folder contains."""

import re
import shutil
import sys
import tarfile
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

from services import __version__
from tests.support.architecture import FILES, PACKAGES
from tests.support.commands import ROOT, free_port_pair, run_command
from tests.support.installed import Installation, build, installation
from tests.support.production import production_server
from tests.support.site import SECRET, Visitor

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("installed")]

DATA = ("static", "templates", "translations")
SETTINGS = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return installation(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with modules of somebody else that have the names of the site's."""
    for name in PACKAGES:
        (tmp_path / f"{name}.py").write_text('raise SystemExit("this is another module")\n')
    return tmp_path


def test_the_wheel_has_one_folder_with_every_file_of_the_site(installed: Installation) -> None:
    names = ZipFile(installed.wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"munjigi", f"munjigi-{__version__}.dist-info"}
    files = [*FILES, *(path for folder in DATA for path in (ROOT / folder).rglob("*"))]
    files += [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix != ".pyc"]
    expected = {path.relative_to(ROOT).as_posix().removeprefix("munjigi/") for path in files if path.is_file()}
    assert len(expected) > 200
    assert {name.removeprefix("munjigi/") for name in names if name.startswith("munjigi/")} == expected


def test_the_wheel_requires_what_the_site_requires(installed: Installation) -> None:
    with ZipFile(installed.wheel) as wheel:
        metadata = message_from_string(wheel.read(f"munjigi-{__version__}.dist-info/METADATA").decode())
    assert (metadata["Version"], metadata["Requires-Python"]) == (__version__, ">=3.11")
    required = re.findall(r"^[\w-]+", (ROOT / "requirements.in").read_text("utf-8"), re.MULTILINE)
    lines = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert metadata.get_all("Provides-Extra") == ["otel"]
    assert sorted(re.split(r"[^\w-]", line)[0] for line in lines) == sorted(required)


def test_the_source_distribution_builds_the_same_wheel(installed: Installation, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    wheel = build("wheel", tmp_path / f"munjigi-{__version__}", tmp_path / "wheel")
    contents = [
        {name: archive.read(name) for name in archive.namelist()}
        for archive in (ZipFile(wheel), ZipFile(installed.wheel))
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_munjigi_serve_is_the_production_server(installed: Installation, crowded: Path, workers: str) -> None:
    with production_server(crowded, program=(installed.munjigi, "serve"), WORKERS=workers) as (command, visitor):
        assert visitor.sign_in().status_code == 303
        assert visitor.get_page("/").heading == "Signed in as 민지"
        assert command.stop() == 0
        assert "Traceback" not in command.output


def test_munjigi_run_is_the_development_site(installed: Installation, crowded: Path) -> None:
    port, home = free_port_pair(), crowded / "home"
    files = set(crowded.iterdir())
    environ = {"HOME": str(home)}
    run = (installed.munjigi, "run", "--port", str(port))
    with run_command(*run, log=crowded.parent / "log", cwd=crowded, environ=environ) as command:
        command.wait_for(f"http://localhost:{port}/health/live", 60)
        visitor = Visitor(f"http://localhost:{port}", {})
        assert visitor.sign_in().status_code == 303
        assert visitor.get_page("/").heading == "Signed in as 민지"
        assert f"Munjigi  ->  http://localhost:{port}" in command.output
    assert set(crowded.iterdir()) - {home} == files
    (key,) = home.rglob("development-secret-key")
    assert key.stat().st_mode & 0o077 == 0


def test_munjigi_run_reads_the_settings_of_the_folder(installed: Installation, crowded: Path) -> None:
    (crowded / ".env").write_text("SITE_URL=nonsense\n")
    done = installed.run("munjigi", "run", "--port", str(free_port_pair()), cwd=crowded, HOME=str(crowded / "home"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "SITE_URL must start with https:// or http://" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("environ", "options"), [(SETTINGS, ()), (SETTINGS, ("--json",)), ({}, ())])
def test_munjigi_doctor_is_the_same_command_as_in_a_checkout(
    installed: Installation, crowded: Path, environ: dict[str, str], options: tuple[str, ...]
) -> None:
    here = installed.run("munjigi", "doctor", *options, cwd=crowded, **environ)
    checkout = installed.run(sys.executable, "-m", "doctor", *options, cwd=ROOT, FLASK_SKIP_DOTENV="1", **environ)
    assert (here.returncode, here.stdout) == (checkout.returncode, checkout.stdout)
    assert here.stdout or here.stderr
    assert "Traceback" not in here.stderr


def test_the_command_has_a_version_and_says_what_it_can_do(installed: Installation, crowded: Path) -> None:
    assert f"Munjigi {__version__}, Python 3." in installed.run("munjigi", "--version", cwd=crowded).stdout
    for arguments in (("munjigi",), ("python", "-m", "munjigi", "-h")):
        done = installed.run(*arguments, cwd=crowded if arguments[0] == "munjigi" else crowded.parent)
        text = done.stdout + done.stderr
        assert re.findall(r"^  (run|serve|doctor) ", text, re.MULTILINE) == ["run", "serve", "doctor"]


def test_another_wsgi_server_finds_the_site(installed: Installation, crowded: Path) -> None:
    script = crowded / "wsgi_test.py"
    script.write_text("import munjigi\nprint(munjigi.create_app().name)\nimport serve\nprint(serve.__file__)")
    (crowded / "munjigi.py").unlink()
    done = installed.run("python", str(script), cwd=crowded, **SETTINGS)
    assert done.stdout.splitlines()[0] == "app", done.stderr
    assert done.stdout.splitlines()[1].endswith("site-packages/munjigi/serve.py")


def test_an_installation_without_stand_ins_says_so(tmp_path: Path, installed: Installation) -> None:
    shutil.copytree(ROOT / "munjigi", tmp_path / "munjigi")
    (tmp_path / "app.py").touch()
    done = installed.run("python", "-m", "munjigi", "run", cwd=tmp_path)
    assert done.returncode == 1
    assert "this installation has no stand-ins" in done.stderr
