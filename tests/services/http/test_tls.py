"""Outgoing TLS: certificates are verified, and the deadline holds."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import create_server, socket

import pytest

import app
from config import SettingsError
from services.http.client import HttpClient, UpstreamError
from tests.support.certificates import certificate
from tests.support.faulty_backend import faulty_backend
from tests.support.site import make_settings

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"
BODY = b'{"ok": true}'


def slowly(connection: socket) -> None:
    connection.sendall(ANSWER)
    for byte in BODY:
        time.sleep(0.2)
        connection.sendall(bytes([byte]))


def at_once(connection: socket) -> None:
    connection.sendall(ANSWER + BODY)


Serve = Callable[[Path, Callable[[socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a TLS server for one answer and returns its URL."""
    listening: list[socket] = []

    def start(path: Path, answer: Callable[[socket], None]) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server = create_server(("127.0.0.1", 0))
        listening.append(server)

        def accept() -> None:
            try:
                with context.wrap_socket(server.accept()[0], server_side=True) as connection:
                    connection.recv(65536)
                    answer(connection)
            except OSError:
                pass  # the client has closed the connection, as it should

        threading.Thread(target=accept, daemon=True).start()
        return f"https://127.0.0.1:{server.getsockname()[1]}/user"

    yield start
    for server in listening:
        server.close()


def call(url: str, within: float = 2.0) -> object:
    return HttpClient("test", max_concurrency=1).send("POST", url, {}, within=within).json()


def test_a_certificate_trusted_by_the_system_is_accepted(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert call(serve(path, at_once)) == {"ok": True}


@pytest.mark.corpus
def test_a_dripping_answer_is_cut_off_at_the_deadline(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    started = time.monotonic()
    with pytest.raises(UpstreamError) as caught:
        call(serve(path, slowly), within=0.7)
    assert caught.value.status == 504
    assert time.monotonic() - started < 1.0


def test_an_untrusted_certificate_is_refused_with_a_reason(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="certificate"):
        call(serve(certificate(tmp_path), at_once))


def test_an_expired_certificate_is_refused(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path, days=0)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UpstreamError, match="certificate"):
        call(serve(path, at_once))


def test_a_certificate_of_another_host_is_refused(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UpstreamError, match="certificate"):
        call(serve(path, at_once).replace("127.0.0.1", "localhost"))


def test_the_trusted_authorities_are_read_once_at_the_first_https_call(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = certificate(tmp_path), list[object]()
    create = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        read.append(1)
        return create()

    monkeypatch.setattr(ssl, "create_default_context", counted)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    app.create_app(make_settings())
    assert read == []
    for client in (HttpClient("test", max_concurrency=1), HttpClient("test", max_concurrency=1)):
        for _ in range(2):  # two servers, two handshakes
            assert client.send("POST", serve(path, at_once), {}, within=2).json() == {"ok": True}
    assert len(read) == 1


def test_a_backend_that_requests_a_client_certificate_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.load_verify_locations(path)
    context.verify_mode = ssl.CERT_REQUIRED
    with faulty_backend(context) as backend:
        with pytest.raises(UpstreamError):
            HttpClient("test", max_concurrency=1).send("POST", f"{backend.url}/user", {}, within=2)
        ours = HttpClient("test", max_concurrency=1, client_cert=path)
        assert ours.send("POST", f"{backend.url}/user", {}, within=2).status == 200


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_invalid_client_certificate_is_a_settings_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "client.pem").write_bytes(content)
    with pytest.raises(SettingsError, match="BACKEND_CLIENT_CERT must be a"):
        make_settings(backend_client_cert=tmp_path / "client.pem")
