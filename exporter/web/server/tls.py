"""TLS of the server: its parameters, and the ssl context made of them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization


class TlsError(Exception):
    """TLS cannot be served by these parameters; `field` is the one of TlsParameters at fault.

    The message holds no part of a key.
    """

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(message)
        self.field = field_name


@dataclass(frozen=True, slots=True)
class TlsParameters:
    """The parameters of a server's TLS; two equal ones serve alike."""

    certificate: bytes = field(repr=False)
    """PEM: the server's certificate, then those that lead to its authority."""
    key: bytes = field(repr=False)
    """PEM, without a passphrase."""
    client_ca: bytes = field(default=b"", repr=False)
    """PEM: the authorities of client certificates."""
    client_auth: ssl.VerifyMode = ssl.CERT_NONE
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ciphers: tuple[str, ...] = ()
    """OpenSSL's names of the suites of TLS 1.2, most wanted first; () leaves the default."""
    prefer_server_ciphers: bool = True
    curve: str | None = None
    """OpenSSL's name of the only curve to agree on; None leaves the default."""

    @property
    def policy(self) -> TlsParameters:
        """All that decides which clients may connect, and how: the certificate may be renewed."""
        return replace(self, certificate=b"", key=b"")


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS ready to be served."""

    parameters: TlsParameters
    context: ssl.SSLContext = field(repr=False, compare=False)


def server_tls(parameters: TlsParameters) -> ServerTls:
    """Check the parameters and build the ssl context.

    Raises:
        TlsError: they do not fit together, or OpenSSL refuses them.
    """
    _check_pair(parameters)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = parameters.minimum
    context.maximum_version = parameters.maximum
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not parameters.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # Only HTTP/1.1 is spoken, so a client that insists on h2 fails with a clear alert.
    context.set_alpn_protocols(["http/1.1"])
    if parameters.ciphers:
        _choose_ciphers(context, parameters.ciphers)
    if parameters.curve is not None:
        try:
            context.set_ecdh_curve(parameters.curve)
        except (ValueError, ssl.SSLError):
            raise TlsError("curve", "is not offered by the OpenSSL of this machine") from None
    _load_pair(context, parameters)
    if parameters.client_auth is not ssl.CERT_NONE:
        _trust_clients(context, parameters.client_ca)
        context.verify_mode = parameters.client_auth
    return ServerTls(parameters, context)


def _check_pair(parameters: TlsParameters) -> None:
    """Name the mistake where OpenSSL only reports a failure."""
    try:
        certificate = x509.load_pem_x509_certificates(parameters.certificate)[0]
        certified_key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise TlsError("certificate", "holds no usable PEM certificate") from None
    try:
        key = serialization.load_pem_private_key(parameters.key, password=None)
    except TypeError:
        raise TlsError("key", "is locked by a passphrase: store the key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TlsError("key", "holds no usable PEM private key") from None
    if key.public_key() != certified_key:
        raise TlsError("key", "is not the key of the certificate")


def _load_pair(context: ssl.SSLContext, parameters: TlsParameters) -> None:
    try:
        with _as_file(parameters.certificate) as certificate, _as_file(parameters.key) as key:
            # Never asks for a passphrase on the terminal: the key is known to have none.
            context.load_cert_chain(certificate, key, password=b"")
    except ssl.SSLError as error:
        reason = (error.reason or "unknown reason").replace("_", " ").lower()
        raise TlsError("certificate", f"is refused by OpenSSL: {reason}") from None


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yield the path of a file in memory: OpenSSL loads keys from files only.

    So an inline key never touches the disk, and what is loaded is what was checked, even when a
    renewal replaces the files in between.
    """
    with open(os.memfd_create("pem"), "wb") as stream:  # noqa: PTH123 - a descriptor, no path
        stream.write(content)
        stream.flush()
        yield f"/proc/self/fd/{stream.fileno()}"


def _choose_ciphers(context: ssl.SSLContext, ciphers: tuple[str, ...]) -> None:
    try:
        context.set_ciphers(":".join(ciphers))
    except ssl.SSLError:
        offered = set[str]()
    else:
        offered = {str(cipher["name"]) for cipher in context.get_ciphers()}
    # OpenSSL drops a name that it does not know as long as it knows another.
    if missing := [name for name in ciphers if name not in offered]:
        names = ", ".join(missing)
        raise TlsError("ciphers", f"the OpenSSL of this machine does not offer {names}")


def _trust_clients(context: ssl.SSLContext, authorities: bytes) -> None:
    try:
        for certificate in x509.load_pem_x509_certificates(authorities):
            der = certificate.public_bytes(serialization.Encoding.DER)
            context.load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError):
        raise TlsError("client_ca", "holds no usable PEM certificate") from None
