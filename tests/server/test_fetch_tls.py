"""Encrypted downloads: the connection goes to an address, the certificate belongs to a name."""

import ssl
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.server.file_host import FileHost, open_file_host
from tests.sockets import http

from kie_runway.errors import DownloadError
from kie_runway.fetch import Fetcher

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

NAME = "videos.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that signs itself for `videos.example`, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server_names() -> list[str | None]:
    """The names that clients asked for in their handshakes."""
    return []


@pytest.fixture
async def host(certificate: Path, server_names: list[str | None]) -> AsyncGenerator[FileHost]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def note(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        server_names.append(name)

    context.sni_callback = note
    async with open_file_host(context) as host:
        host.answers["/clip.mp4"] = http(b"file")
        yield host


async def _loopback(name: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def _get(host: FileHost, name: str, authority: Path | None) -> bytes:
    fetcher = Fetcher(
        trusted_hosts=[name],
        user_agent="agent/1.0",
        resolver=_loopback,
        ssl_context=ssl.create_default_context(cafile=authority) if authority else None,
    )
    url = f"https://{name}:{host.port}/clip.mp4"
    return await fetcher.fetch_bytes(url, max_bytes=100, timeout_s=30)


async def test_the_name_is_asked_for_and_checked_although_an_address_is_connected_to(
    host: FileHost, certificate: Path, server_names: list[str | None]
) -> None:
    assert await _get(host, NAME, certificate) == b"file"
    assert server_names == [NAME]
    assert host.header("Host") == f"{NAME}:{host.port}"


async def test_a_certificate_for_another_name_is_refused(
    host: FileHost, certificate: Path, server_names: list[str | None]
) -> None:
    with pytest.raises(DownloadError, match="certificate"):
        await _get(host, "other.example", certificate)
    assert server_names == ["other.example"]
    assert host.requests == []


async def test_a_certificate_of_an_unknown_authority_is_refused(host: FileHost) -> None:
    with pytest.raises(DownloadError, match="certificate"):
        await _get(host, NAME, None)
    assert host.requests == []
