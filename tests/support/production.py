"""The production server, `make serve`, as a process of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.backend import create_backend
from tests.support.commands import ROOT, Command, free_port_pair, run_command
from tests.support.site import SECRET, Visitor, serve_in_thread

SERVE_COMMAND = (sys.executable, str(ROOT / "serve.py"))


@contextmanager
def production_server(
    folder: Path,
    backend_delay: float = 0.0,
    script: Path = ROOT / "serve.py",
    program: tuple[str, ...] = (),
    **make_settings: str,
) -> Iterator[tuple[Command, Visitor]]:
    """Start `serve.py`, or an operator's own start script, or an installed `program`, and wait until it is ready.

    `folder` is its working directory and gets an `.env` file with `make_settings`. Yields the command and a visitor.
    """
    port = free_port_pair()
    with serve_in_thread("127.0.0.1", lambda _: create_backend(backend_delay)) as backend_port:
        lines = {
            "SITE_URL": f"http://localhost:{port}",
            "SECRET_KEY": SECRET,
            "BACKEND_URL": f"http://127.0.0.1:{backend_port}",
            "PORT": str(port),
            **make_settings,
        }
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        environ = {} if program else {"PYTHONPATH": str(ROOT)}
        with run_command(
            *(program or (sys.executable, str(script))), log=folder / "output", cwd=folder, environ=environ
        ) as command:
            command.wait_for(f"http://localhost:{port}/health/ready", 60)
            yield command, Visitor(f"http://localhost:{port}", {})
