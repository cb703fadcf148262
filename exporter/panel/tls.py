"""TLS to the panels: how certificates are checked, and sessions that spare handshakes.

An SSLContext with the system's authorities costs 20 ms and 0.8 MB, so contexts are shared by
all panels that trust the same authorities. What belongs to one panel alone (its pin, its last
session, its certificate) is a TlsLink. asyncio and uvloop know only the context, so the link of a
connection is in a context variable, which both carry to where they call `wrap_bio`. Without a
link no connection is made.
"""

from __future__ import annotations

import ssl
import time
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

from cryptography import x509

from exporter.config.access import TlsConfig
from exporter.http.errors import PinMismatchError
from exporter.panel.errors import PanelError
from exporter.snapshot import Reason

current_link: ContextVar[TlsLink] = ContextVar("current_link")
"""The panel for which the running task connects."""


class TlsLink:
    """The pin, session and certificate that the TLS connections to one panel share."""

    def __init__(self, pin: str | None = None) -> None:
        """`pin` is the SHA-256 of the only certificate to accept, in hexadecimal digits."""
        self._pin = pin
        self._fingerprint = ""
        self._der: bytes | None = None
        self._expiry: float | None = None
        self._newest: ssl.SSLObject | None = None
        self._session: ssl.SSLSession | None = None
        self._session_context: ssl.SSLContext | None = None

    @property
    def certificate_expiry(self) -> float | None:
        """Unix time at which the certificate of the last handshake expires; None when unknown."""
        if self._der is not None:
            try:
                certificate = x509.load_der_x509_certificate(self._der)
                self._expiry = certificate.not_valid_after_utc.timestamp()
            except Exception:  # noqa: BLE001 - OpenSSL takes certificates that nobody else does
                self._expiry = None
            self._der = None
        return self._expiry

    def handshaken(self, connection: ssl.SSLObject) -> None:
        """Check a peer before anything is sent to it, and note its certificate.

        A resumed connection is checked by the certificate of the one that it resumes.

        Raises:
            PinMismatchError: the certificate is not the pinned one.
        """
        der = connection.getpeercert(binary_form=True) or b""
        fingerprint = sha256(der).hexdigest()
        if self._pin is not None and fingerprint != self._pin:
            raise PinMismatchError(fingerprint)
        if fingerprint != self._fingerprint:
            self._fingerprint, self._der = fingerprint, der
        self._newest = connection

    def keep_session(self) -> None:
        """Keep the newest connection's session for the next one.

        To be called once something was received: TLS 1.3 sends what makes a session resumable
        only after the handshake.
        """
        if self._newest is not None:
            self._session = self._newest.session
            self._session_context = self._newest.context
            self._newest = None

    def drop_session(self) -> None:
        """Forget the session: the next connection makes a whole handshake."""
        self._newest = self._session = self._session_context = None

    def session_for(self, context: ssl.SSLContext) -> ssl.SSLSession | None:
        """Return the session to offer to this panel in a new connection of `context`."""
        if self._session_context is not context:
            return None  # other authorities vouched for the certificate
        if context.verify_mode == ssl.CERT_REQUIRED:
            # OpenSSL does not look at the validity again when a session is resumed.
            expiry = self.certificate_expiry
            if expiry is not None and expiry <= time.time():
                return None
        return self._session


class _LinkedConnection(ssl.SSLObject):
    """A connection that its link checks as soon as the handshake is done."""

    link: TlsLink

    def do_handshake(self) -> None:
        super().do_handshake()
        self.link.handshaken(self)


class _SharedContext(ssl.SSLContext):
    """Makes connections that belong to the link of the running task."""

    sslobject_class = _LinkedConnection

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature is ssl's
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        link = current_link.get()
        session = session or link.session_for(self)
        connection = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        cast("_LinkedConnection", connection).link = link
        return connection


_SYSTEM: Final = "the system's authorities"
_ANY: Final = "any certificate"

Trust = Path | str
"""What a context trusts: a file of authorities, _SYSTEM or _ANY."""


def trust_of(tls: TlsConfig) -> Trust:
    """Return what decides about a panel's certificate; the pin, if any, is its link's."""
    if tls.fingerprint_sha256 is not None or tls.insecure_skip_verify:
        return _ANY
    return tls.ca_file or _SYSTEM


class TlsContexts:
    """One SSLContext for each set of authorities that panels are checked against."""

    def __init__(self) -> None:
        self._made: dict[Trust, tuple[object, ssl.SSLContext]] = {}

    def get(self, trust: Trust) -> ssl.SSLContext:
        """Return the context for `trust`, made when it is first wanted.

        Raises:
            PanelError: `tls`, when the file of authorities cannot be used.
        """
        made = self._made.get(trust)
        if made is None:
            made = self._made[trust] = _version(trust), _make_context(trust)
        return made[1]

    def refresh(self) -> None:
        """Drop the contexts for which the authorities have changed; the others stay."""
        for trust, (version, _) in list(self._made.items()):
            if _version(trust) != version:
                del self._made[trust]


def _version(trust: Trust) -> object:
    """Return what changes with the file behind `trust`; None when there is no such file."""
    file = ssl.get_default_verify_paths().cafile if trust == _SYSTEM else trust
    if trust == _ANY or not file:
        return None
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _make_context(trust: Trust) -> ssl.SSLContext:
    context = _SharedContext(ssl.PROTOCOL_TLS_CLIENT)  # TLS 1.2 or later
    context.set_alpn_protocols(["http/1.1"])
    if trust == _ANY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif trust == _SYSTEM:
        context.load_default_certs()
    else:
        _load_authorities(context, Path(trust))
    return context


def _load_authorities(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        raise PanelError(
            Reason.TLS,
            f"The file of tls.ca_file cannot be used: {file}: {error.strerror}.",
            hint="Put the authority's certificate there, in PEM form, readable by the exporter.",
        ) from None
