"""Run nginx and Caddy with a configuration in a temporary folder."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.certificates import certificate
from tests.support.commands import free_port_pair, require_program

_TEMPORARY = "client_body", "proxy", "fastcgi", "uwsgi", "scgi"


@contextmanager
def nginx(folder: Path, url: str, text: str, **request: str) -> Iterator[None]:
    """Run nginx with this text in its `http` block, and wait until `url` responds.

    `request`: options of `requests.get`.
    """
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error; events {{}}\n"
        f"http {{ access_log off; {paths}\n{text} }}"
    )
    command = [require_program("nginx"), "-e", f"{folder}/error", "-p", str(folder), "-c", "nginx.conf"]
    with _running(command, folder, url, **request):
        yield


@contextmanager
def caddy(folder: Path, url: str, text: str, **request: str) -> Iterator[None]:
    """Run Caddy with this Caddyfile, and wait until `url` responds. `request`: options of `requests.get`."""
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}")
    command = [require_program("caddy"), "run", "--adapter", "caddyfile", "--config", "Caddyfile"]
    with _running(command, folder, url, **request):
        yield


@contextmanager
def _running(command: list[str], folder: Path, url: str, **request: str) -> Iterator[None]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with ExitStack() as stack:
        log = stack.enter_context((folder / "proxy-output").open("wb"))
        process = stack.enter_context(subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log))
        stack.callback(process.terminate)
        for _ in range(200):
            try:
                requests.get(url, timeout=1, allow_redirects=False, **request)  # type: ignore[arg-type]
            except requests.ConnectionError:
                assert process.poll() is None, (folder / "proxy-output").read_text("utf-8")
                time.sleep(0.05)
            else:
                break
        else:
            pytest.fail(f"{command[0]} did not start")
        yield


class DeployedConfig:
    """A configuration of `deploy/` or the docs, with another host name, other ports and another certificate."""

    def __init__(self, kind: str, text: str, folder: Path) -> None:
        self.port = free_port_pair()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate = certificate(folder)
        self._folder, self.text = folder, text
        self._start, self._changes = {"nginx": (nginx, self._for_nginx), "caddy": (caddy, self._for_caddy)}[kind]

    @contextmanager
    def running(self, site_port: int, app_port: int) -> Iterator[None]:
        """Run the proxy in front of the site and the app on these ports."""
        ports = {"127.0.0.1:8000": f"127.0.0.1:{site_port}", "127.0.0.1:3000": f"127.0.0.1:{app_port}"}
        text = self.text
        for old, new in {**ports, **self._changes()}.items():
            text = text.replace(old, new)
        assert "example.com" not in text
        with self._start(self._folder, self.url, text, verify=str(self.certificate)):
            yield

    def _for_nginx(self) -> dict[str, str]:
        names = ("example.com", "login.example.com")
        return {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            **{f"/etc/nginx/{name}.{end}": str(self.certificate) for name in names for end in ("pem", "key")},
            **{f"server_name {name}": "server_name 127.0.0.1" for name in names},
        }

    def _for_caddy(self) -> dict[str, str]:
        site_block = f"\n{self.url} {{\n\ttls {self.certificate} {self.certificate}\n\tbind 127.0.0.1\n"
        version = subprocess.run(
            [require_program("caddy"), "version"], capture_output=True, text=True, check=True
        ).stdout
        names = {"request_buffers 64KB": "buffer_requests"} if version.startswith(("2.5", "2.6")) else {}
        return {**names, "\nlogin.example.com {\n": site_block, "\nexample.com {\n": site_block}
