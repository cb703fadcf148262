from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

from exporter.web.server.web_config import WebSettings, load_web_config

PAIR = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
"""A web config with the certificate of this machine; further keys of the section may follow."""


def load(folder: Path, text: str = PAIR) -> WebSettings:
    file = folder / "web.yaml"
    file.write_text(text)
    return load_web_config(file)


@dataclass(frozen=True)
class Pki:
    """Authorities of the tests: `ca` is trusted, `stranger` is not."""

    ca: trustme.CA
    stranger: trustme.CA

    def issue(self, *names: str) -> trustme.LeafCert:
        # RSA: the cipher suites that the tests name are those of RSA certificates.
        return self.ca.issue_cert(*names, key_type=trustme.KeyType.RSA)

    def write_server(self, folder: Path) -> None:
        """A new certificate of this machine as server.pem and server.key."""
        leaf = self.issue("127.0.0.1", "::1", "localhost")
        (folder / "server.pem").write_bytes(b"".join(c.bytes() for c in leaf.cert_chain_pems))
        (folder / "server.key").write_bytes(leaf.private_key_pem.bytes())

    def client_context(self, identity: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A client that trusts `ca`, and shows `identity` when there is one."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if identity is not None:
            identity.configure_cert(context)
        return context
