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

from services.http.client import Upstream, UpstreamFault

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
    return Upstream(1, 1, 1, "test").send("POST", url, {}, within=within).json()


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
    with pytest.raises(UpstreamFault) as caught:
        call(serve(path, slowly), within=0.7)
    assert caught.value.status == 504
    assert time.monotonic() - started < 1.0


def test_a_certificate_that_nobody_vouches_for_is_refused_and_said_to_be_one(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(UpstreamFault, match="certificate"):
        call(serve(certificate(tmp_path), at_once))


def test_an_expired_certificate_is_refused(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path, days=0)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UpstreamFault, match="certificate"):
        call(serve(path, at_once))


def test_another_hosts_certificate_is_refused(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UpstreamFault, match="certificate"):
        call(serve(path, at_once).replace("127.0.0.1", "localhost"))


def test_trusted_certificates_are_read_once_not_for_each_connection(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    upstream = Upstream(1, 1, 1, "test")
    monkeypatch.delenv("SSL_CERT_FILE")
    for _ in range(2):  # each a server of its own
        assert upstream.send("POST", serve(path, at_once), {}, within=2).json() == {"ok": True}
