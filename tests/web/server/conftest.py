from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from exporter.web.server.listener import Listeners
from tests.web.server.pki import Pki


@pytest.fixture(scope="session")
def pki() -> Pki:
    return Pki(trustme.CA(key_type=trustme.KeyType.RSA), trustme.CA())


@pytest.fixture(scope="session")
def pem_files(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Path:
    """A folder with all PEM files, made once: the keys take their time."""
    folder = tmp_path_factory.mktemp("pem")
    pki.write_server(folder)
    other = pki.issue("other.test").private_key_pem.bytes()
    (folder / "other.key").write_bytes(other)
    locked = serialization.load_pem_private_key(other, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"sesame"),
    )
    (folder / "locked.key").write_bytes(locked)
    (folder / "ca.pem").write_bytes(pki.ca.cert_pem.bytes())
    (folder / "text.pem").write_text("no PEM at all\n")
    write_weak(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, pem_files: Path) -> Path:
    """A folder with the PEM files that web configs of the tests name."""
    shutil.copytree(pem_files, tmp_path, dirs_exist_ok=True)
    return tmp_path


def write_weak(folder: Path) -> None:
    """Write a pair that is sound but too weak for OpenSSL."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "weak.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "weak.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture
def trusting(pki: Pki) -> ssl.SSLContext:
    """A client's context that trusts the tests' authority."""
    return pki.client_context()


async def greet(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request.path}")


@pytest.fixture
async def listeners() -> AsyncIterator[Listeners]:
    app = web.Application()
    serving = Listeners(app)
    app.router.add_get("/hello", greet)
    yield serving
    await serving.close(grace=1)


class Bcrypt:
    """Counts the runs of bcrypt, and holds them up while `go` is not set."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.go.set()
        self._real = bcrypt.checkpw

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.go.wait(10)
        self.hashes.append(hashed)
        self.threads.add(threading.current_thread().name)
        return self._real(password, hashed)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bcrypt]:
    counting = Bcrypt()
    monkeypatch.setattr(bcrypt, "checkpw", counting.checkpw)
    yield counting
    counting.go.set()
