"""Start real Redis servers and clusters for a test, and make them fail."""

import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.support.commands import free_port_pair, require_program

_SECONDS_TO_START = 10.0
_COMMAND = re.compile(rb"(?:^|(?<=\n))\*[0-9]+\r\n")


class RedisServer:
    """A Redis server without persistence.

    `tls`: a PEM file with certificate and key. `options`: further arguments of `redis-server`.
    """

    def __init__(self, folder: Path, *options: str, tls: Path | None = None) -> None:
        self.port = free_port_pair()
        self._folder = folder
        scheme, self._query = ("rediss", f"?ssl_ca_certs={tls}") if tls else ("redis", "")
        self.url = f"{scheme}://127.0.0.1:{self.port}/0{self._query}"
        self._client_url = self.url
        listen_options = ["--port", str(self.port)]
        if tls:
            listen_options = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            listen_options += ["--tls-cert-file", str(tls), "--tls-key-file", str(tls)]
        default_options = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(folder),
            "--repl-diskless-load",
            "swapdb",
        ]
        self._command = [require_program("redis-server"), *listen_options, *default_options, *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / f"redis-{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        ends = time.monotonic() + _SECONDS_TO_START
        while not self._answers():
            assert time.monotonic() < ends, "redis-server does not start"
            assert self._process.poll() is None, "redis-server has ended"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill the process, as in a crash of its machine."""
        if self._process:
            self._process.kill()  # SIGKILL ends a paused process too
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Kill and start the server. All data is lost."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop the process: it accepts connections and never responds."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        self.execute("FLUSHALL")

    def refuse_writes(self) -> None:
        """Reject writes with an OOM error."""
        self.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        self.execute("CONFIG", "SET", "maxmemory", "1")

    def accept_writes(self) -> None:
        self.execute("CONFIG", "SET", "maxmemory", "0")

    def require_password(self, password: str) -> None:
        """Require this password, and close all client connections."""
        self.execute("CONFIG", "SET", "requirepass", password)
        self._client_url = self.url.replace("://", f"://:{password}@")
        self.execute("CLIENT", "KILL", "TYPE", "normal")

    def execute(self, *command: Any) -> Any:
        with redis.Redis.from_url(self._client_url, protocol=2, socket_timeout=_SECONDS_TO_START) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            return bool(self.execute("PING"))
        except redis.ResponseError:  # a password, or still loading
            return True
        except redis.RedisError:
            return False


@contextmanager
def redis_server(folder: Path, *options: str, tls: Path | None = None) -> Iterator[RedisServer]:
    server = RedisServer(folder, *options, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class RedisCluster:
    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    def node_for(self, key: str) -> RedisServer:
        """Return the node that holds this key."""
        slot = self.nodes[0].execute("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self.nodes[0].execute("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"no node holds {key}")


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Run a cluster of three nodes without replicas."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node(folder)) for _ in range(3)]
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        create = [require_program("redis-cli"), "--cluster", "create", *addresses, "--cluster-yes"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL, timeout=30)
        for node in nodes:
            while b"cluster_state:ok" not in _cluster_info(node):
                time.sleep(0.05)
        yield RedisCluster(nodes)


@contextmanager
def _node(folder: Path) -> Iterator[RedisServer]:
    port = free_port_pair()
    node_folder = folder / f"node-{port}"
    node_folder.mkdir()
    options = ["--cluster-enabled", "yes", "--cluster-port", str(port), "--cluster-node-timeout", "1000"]
    with redis_server(node_folder, *options, "--cluster-require-full-coverage", "no") as server:
        yield server


def _cluster_info(node: RedisServer) -> bytes:
    answer = node.execute("CLUSTER", "INFO")
    return answer if isinstance(answer, bytes) else repr(answer).encode()


class Relay:
    """A TCP proxy between a site and its Redis, which delays data by `delay` seconds.

    `fixed_reply`: sent for each command instead of the reply of Redis; empty bytes close the connection.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.fixed_reply: bytes | None = None
        self._redis_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                try:
                    upstream = socket.create_connection(("127.0.0.1", self._redis_port))
                except OSError:
                    client.close()
                    continue
                self._sockets.append(upstream)
                for ends in ((client, upstream), (upstream, client)):
                    threading.Thread(target=self._forward, args=(*ends, ends[0] is client), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, from_site: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.delay)
                if self.fixed_reply is None:
                    target.sendall(data)
                elif from_site and self.fixed_reply:
                    source.sendall(self.fixed_reply * len(_COMMAND.findall(data)))
                elif from_site:
                    break
        for connection in (source, target):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def running_relay(port: int) -> Iterator[Relay]:
    proxy = Relay(port)
    try:
        yield proxy
    finally:
        proxy.close()
