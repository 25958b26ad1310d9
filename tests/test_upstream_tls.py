"""Over TLS too: who answers is checked, and the deadline holds."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import create_server, socket

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import app
from config import SettingsError
from services.http.client import HttpClient, UpstreamError
from tests.faulty_backend import faulty_backend
from tests.site import make_settings

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"
BODY = b'{"ok": true}'


def certificate(folder: Path, days: int = 1) -> Path:
    """A certificate of its own making for 127.0.0.1, good for so many days from yesterday, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    yesterday = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(yesterday)
        .not_valid_after(yesterday + timedelta(days=1 + days, hours=-1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / f"certificate{days}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


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
    """A TLS server of one answer; its address."""
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
                pass  # the client has hung up, as it should

        threading.Thread(target=accept, daemon=True).start()
        return f"https://127.0.0.1:{server.getsockname()[1]}/user"

    yield start
    for server in listening:
        server.close()


def call(url: str, within: float = 2.0) -> object:
    return HttpClient("test", max_concurrency=1).send("POST", url, {}, within=within).json()


def test_a_certificate_that_the_system_trusts_is_trusted(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert call(serve(path, at_once)) == {"ok": True}


def test_a_dripping_answer_is_cut_at_the_deadline(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    started = time.monotonic()
    with pytest.raises(UpstreamError) as caught:
        call(serve(path, slowly), within=0.7)
    assert caught.value.status == 504
    assert time.monotonic() - started < 1.0


def test_a_certificate_that_nobody_vouches_for_is_refused_and_said_to_be_one(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="certificate"):
        call(serve(certificate(tmp_path), at_once))


def test_an_expired_certificate_is_refused(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path, days=0)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UpstreamError, match="certificate"):
        call(serve(path, at_once))


def test_another_hosts_certificate_is_refused(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UpstreamError, match="certificate"):
        call(serve(path, at_once).replace("127.0.0.1", "localhost"))


def test_authorities_are_read_once_and_not_before_the_first_https_call(
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
        for _ in range(2):  # each time another server
            assert client.send("POST", serve(path, at_once), {}, within=2).json() == {"ok": True}
    assert len(read) == 1


def test_a_backend_that_asks_for_a_certificate_gets_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_client_certificate_that_is_none_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "client.pem").write_bytes(content)
    with pytest.raises(SettingsError, match="BACKEND_CLIENT_CERT must be a"):
        make_settings(backend_client_cert=tmp_path / "client.pem")
