"""Build the image of deploy/Dockerfile, and print its size and the time from its start to its first answer.

Needs Docker or Podman. Without either, the same steps run in a folder of this machine, as another user if that is
possible, and the output says that no image was built.
"""

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IMAGE = "munjigi:report"
SETTINGS = {
    "SITE_URL": "https://login.example.com",
    "SECRET_KEY": "only-of-this-report-B7qXv2LrT9wYc4",
    "BACKEND_URL": "https://api.example.com",
}
_START_SECONDS = 120


@dataclass(frozen=True)
class Image:
    """What deploy/Dockerfile says about the image, that is, about its last stage."""

    environ: dict[str, str]
    user: str
    workdir: str
    command: list[str]
    health_command: list[str]

    @classmethod
    def read(cls, path: Path = DOCKERFILE) -> "Image":
        stage = instructions(path.read_text("utf-8").rpartition("\nFROM ")[2])
        values = dict(stage)
        health = re.search(r"CMD (\[.*\])", values["HEALTHCHECK"])
        return cls(
            environ=dict(pair.split("=", 1) for name, text in stage if name == "ENV" for pair in text.split()),
            user=values["USER"],
            workdir=values["WORKDIR"],
            command=[*json.loads(values["ENTRYPOINT"]), *json.loads(values["CMD"])],
            health_command=json.loads(health[1]) if health else [],
        )


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments, without comments."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines) if rest]


def context_files(root: Path) -> Iterator[str]:
    """Yield the files that `COPY . /site` copies: those that .dockerignore lets through.

    The last pattern that matches a path, or a folder above it, decides. `**/` is any folder; `!` lets a path through.
    """
    lines = (root / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    allowed = {pattern[1:].partition("/")[0] for pattern in patterns if pattern.startswith("!")}
    for top in sorted(path for path in root.iterdir() if path.name in allowed):
        for path in [top, *sorted(top.rglob("*"))]:
            name = path.relative_to(root).as_posix()
            matching = [pattern for pattern in patterns if _matches(name, pattern.removeprefix("!"))]
            if path.is_file() and not (matching and not matching[-1].startswith("!")):
                yield name


def _matches(name: str, pattern: str) -> bool:
    parts = name.split("/")
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(part, pattern[3:]) for part in parts)
    return any(fnmatch.fnmatch("/".join(parts[: length + 1]), pattern) for length in range(len(parts)))


def copy_context(root: Path, site: Path) -> None:
    """Copy the files of the build context, and compile them as the Dockerfile does."""
    for name in context_files(root):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, site / name)
    compile_all = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(site)]
    subprocess.run(compile_all, check=True)


def as_container(command: list[str], user: str) -> tuple[list[str], str]:
    """Return the command as a container runs it: as this user (`uid:gid`), and nothing on disk can be written.

    Also returns a description. Needs root and util-linux; else the command stays as it is.
    """
    if os.getuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        return command, "as this user, without a read-only file system"
    uid, _, gid = user.partition(":")
    capabilities = "-all"
    if not all(folder.stat().st_mode & 0o001 for folder in Path(command[0]).resolve().parents):
        capabilities += ",+dac_read_search"  # the interpreter is in a folder of root's: read it, write nothing
    sets = [f"--{kind}={capabilities}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    drop = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", *sets]
    mount = 'mount --make-rprivate / && mount -o remount,bind,ro / && exec "$@"'
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        mount,
        "sh",
        *drop,
        *command,
    ], f"as user {uid}, on a read-only file system"


def seconds_to_ready(port: int, start: float, process: subprocess.Popen[bytes] | None = None) -> float:
    """Wait until `/health/ready` answers 200. Returns the time since `start`, of `time.monotonic`.

    Exits if the process has ended.
    """
    while time.monotonic() < start + _START_SECONDS:
        if process and process.poll() is not None:
            raise SystemExit(f"the site ended with status {process.returncode}")
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return time.monotonic() - start
        except (OSError, HTTPException):
            time.sleep(0.01)
        finally:
            connection.close()
    raise SystemExit(f"no answer within {_START_SECONDS} s")


def engine() -> str | None:
    """Return the container engine that answers on this machine."""
    for name in ("docker", "podman"):
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True, check=False).returncode:
            return name
    return None


def report_image(name: str, port: int) -> None:
    with_health_check = ["--format", "docker"] if name == "podman" else []
    command = [name, "build", *with_health_check, "-f", str(DOCKERFILE), "-t", IMAGE, str(ROOT)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"{name} did not build the image; --without-engine runs the same steps in a folder")
    size = int(_output(name, "image", "inspect", "--format", "{{.Size}}", IMAGE))
    limits = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    settings = [word for pair in SETTINGS.items() for word in ("-e", "=".join(pair))]
    start = time.monotonic()
    container = _output(name, "run", "-d", "-p", f"127.0.0.1:{port}:8000", *limits, *settings, IMAGE)
    try:
        seconds = seconds_to_ready(port, start)
        health = subprocess.run([name, "exec", container, *Image.read().health_command], check=False).returncode
    finally:
        subprocess.run([name, "rm", "-f", container], check=False, capture_output=True)
    print(f"image {IMAGE}, built by {name}: {size / 1e6:.0f} MB")
    print(f"first answer after {seconds:.1f} s, on a read-only file system without capabilities")
    print(f"health check: {'passed' if health == 0 else 'failed'}")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def report_folder(port: int) -> None:
    image = Image.read()
    print("No container engine answers on this machine: no image was built. The same steps in a folder:", flush=True)
    with tempfile.TemporaryDirectory(prefix="munjigi-image-") as folder:
        site, venv = Path(folder) / "site", Path(folder) / "venv"
        Path(folder).chmod(0o755)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        python, requirements = str(venv / "bin" / "python"), str(ROOT / "requirements.txt")
        install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", requirements]
        subprocess.run([python, *install], check=True)
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "pip", "setuptools"], check=False)
        copy_context(ROOT, site)
        print(f"packages {_megabytes(venv):.0f} MB, site {_megabytes(site):.1f} MB; the base image comes on top")
        with started(image, python, site, port) as (how, start, process):
            print(f"first answer after {seconds_to_ready(port, start, process):.1f} s, {how}")
            health = run_health_check(image, python, port)
            print(f"health check: {'passed' if health == 0 else 'failed'}")


@contextmanager
def started(
    image: Image, python: str, site: Path, port: int, **settings: str
) -> Iterator[tuple[str, float, subprocess.Popen[bytes]]]:
    """Start the command of the image in the folder `site`, with its environment and no home folder.

    Yields a description, the time of the start and the process.
    """
    environ = {**image.environ, **SETTINGS, **settings, "PORT": str(port), "PATH": os.environ["PATH"]}
    command, how = as_container([python, *image.command[1:]], image.user)
    start = time.monotonic()
    with subprocess.Popen(command, cwd=site, env=environ) as process:
        try:
            yield how, start, process
        finally:
            process.terminate()


def run_health_check(image: Image, python: str, port: int) -> int:
    """Run the command of HEALTHCHECK. Returns its exit status."""
    environ = {**image.environ, "PORT": str(port), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [python, *image.health_command[1:]], env=environ, check=False, stderr=subprocess.DEVNULL
    ).returncode


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8099, help="a free port of this machine (8099)")
    parser.add_argument("--without-engine", action="store_true", help="run the steps in a folder in any case")
    options = parser.parse_args()
    name = None if options.without_engine else engine()
    report_image(name, options.port) if name else report_folder(options.port)


if __name__ == "__main__":
    main()
