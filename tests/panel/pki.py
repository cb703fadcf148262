from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

EXPIRES = datetime(2039, 5, 4, 3, 2, 1, tzinfo=UTC)


class Pki:
    """Certificates of panels: of a known authority, of a stranger, expired, self-signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self.ca.cert_pem.bytes())
        self.stranger = trustme.CA()
        self.stranger_file = folder / "stranger.pem"
        self.stranger_file.write_bytes(self.stranger.cert_pem.bytes())

    def server(self, *names: str, authority: trustme.CA | None = None) -> ssl.SSLContext:
        """A server with a certificate that expires at EXPIRES."""
        leaf = (authority or self.ca).issue_cert(*(names or ("127.0.0.1",)), not_after=EXPIRES)
        return _server(leaf)

    def expired_server(self) -> ssl.SSLContext:
        past = datetime.now(UTC) - timedelta(days=30)
        return _server(self.ca.issue_cert("127.0.0.1", not_before=past, not_after=past))

    def future_server(self) -> ssl.SSLContext:
        future = datetime.now(UTC) + timedelta(days=30)
        return _server(self.ca.issue_cert("127.0.0.1", not_before=future, not_after=EXPIRES))

    def self_signed_server(self) -> tuple[ssl.SSLContext, str]:
        """A server as a panel comes, and its certificate's SHA-256."""
        file, _, fingerprint = self.self_signed_files()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context, fingerprint

    def self_signed_files(self) -> tuple[Path, Path, str]:
        """For a server that is no Python: certificate, key (one file here) and SHA-256."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "brainycp")])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(EXPIRES)
            .sign(key, hashes.SHA256())
        )
        file = self._folder / f"{certificate.serial_number}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        fingerprint = sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
        return file, file, fingerprint


def _server(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context
