"""What a failed TLS handshake means to an operator."""

from __future__ import annotations

from ssl import SSLCertVerificationError, SSLError

from exporter.config.models import HostConfig
from exporter.panel.errors import PanelError
from exporter.panel.tls import PinMismatchError
from exporter.snapshot import Reason

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED = frozenset({18, 19})
_UNKNOWN_AUTHORITY = frozenset({2, 20, 21})
_OTHER_NAME = frozenset({62, 64})

_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})


def tls_fault(host: HostConfig, place: str, error: SSLError) -> PanelError:
    """The error for a handshake with `place` (host and port) that failed; nothing was sent."""
    if isinstance(error, PinMismatchError):
        return PanelError(
            Reason.TLS_PIN,
            f"The certificate of {place} is not the pinned one: its SHA-256 is "
            f"{error.fingerprint}.",
            hint="If the panel has a new certificate, compare this on the panel itself and set "
            "tls.fingerprint_sha256 to it; else somebody sits in between.",
        )
    if isinstance(error, SSLCertVerificationError):
        message, hint = _certificate_fault(host, place, error)
    else:
        message, hint = _handshake_fault(place, error)
    return PanelError(Reason.TLS, message, hint=hint)


def _certificate_fault(
    host: HostConfig, place: str, error: SSLCertVerificationError
) -> tuple[str, str]:
    code = error.verify_code
    pin = (
        f"See its fingerprint with `openssl s_client -connect {place} </dev/null | "
        "openssl x509 -noout -sha256 -fingerprint`, compare it on the panel itself, and pin it "
        "with tls.fingerprint_sha256"
    )
    if code == _EXPIRED:
        return f"The certificate of {place} has expired.", "Renew it on the panel."
    if code == _NOT_YET_VALID:
        return (
            f"The certificate of {place} is not valid yet.",
            "Check the clocks of this machine and of the panel.",
        )
    if code in _OTHER_NAME:
        return (
            f"The certificate of {place} is for another name than {host.address.host}.",
            f"Use the certificate's name in `url`, or pin the certificate. {pin}.",
        )
    if code in _SELF_SIGNED:
        return (
            f"The certificate of {place} is self-signed or its authority is not trusted.",
            f"{pin}, or trust its authority with tls.ca_file.",
        )
    if code in _UNKNOWN_AUTHORITY:
        message = f"The certificate of {place} is from an authority that is not trusted, "
        return (
            message + "or the panel does not send the intermediate one.",
            f"Trust the authority with tls.ca_file. Or: {pin[0].lower()}{pin[1:]}.",
        )
    return (
        f"The certificate of {place} is not accepted: {error.verify_message}.",
        f"Replace it on the panel. Or: {pin[0].lower()}{pin[1:]}.",
    )


def _handshake_fault(place: str, error: SSLError) -> tuple[str, str]:
    reason: str | None = getattr(error, "reason", None)  # one that Python raises has none
    if reason in _NOT_TLS:
        return (
            f"{place} does not speak TLS.",
            "Check the port in `url`; if it speaks plain http, write http://.",
        )
    if reason in _TOO_OLD:
        return (
            f"{place} offers only TLS versions older than 1.2.",
            "Update the panel's web server, or enable TLS 1.2 there.",
        )
    cause = f" ({reason.lower().replace('_', ' ')})" if reason else ""
    return (
        f"The TLS handshake with {place} failed{cause}.",
        "Check that this port speaks https, and which TLS versions and ciphers the panel offers.",
    )
