"""What a failed request to a receiver means to an operator: one DeliveryError for everything.

Texts are made of the receiver's name and of constants, never of its URL or of what it answered:
the URL of a webhook may be a secret, and an answer may repeat it.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from http import HTTPStatus
from ssl import SSLCertVerificationError, SSLError

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from exporter.config.units import format_duration
from exporter.snapshot import Reason

ExchangeError = aiohttp.ClientError | asyncio.TimeoutError
"""What aiohttp raises when a request fails."""

_RETRYABLE_STATUSES = frozenset({408, 425, 429})
_URL = "Check the receiver's url."


class DeliveryError(Exception):
    """A receiver was not told. Holds no secret: its URL may be one."""

    def __init__(self, reason: str, message: str, *, hint: str = "", retryable: bool) -> None:
        super().__init__(f"{message} {hint}".rstrip())
        self.reason = reason
        """The label `outcome`: a reason of the contract, or `failed`."""
        self.message = message
        self.hint = hint
        self.retryable = retryable
        """Whether the same notification may be taken later without anybody changing anything."""


@dataclass(frozen=True, slots=True)
class Request:
    """The request that failed."""

    receiver: str
    """The receiver's name."""
    logs_in: bool
    """Whether a user and password, or a token, went with it."""
    encrypted: bool
    """Whether it went over https."""
    seconds: float
    """How long all of it was allowed to take."""
    connect_seconds: float
    """How long connecting was, of these."""

    def fault(
        self, reason: Reason, message: str, hint: str, *, retryable: bool = False
    ) -> DeliveryError:
        """The error; `message` goes on after the receiver's name."""
        message = f"The receiver {self.receiver} {message}."
        return DeliveryError(reason, message, hint=hint, retryable=retryable)


def exchange_fault(request: Request, error: ExchangeError) -> DeliveryError:
    """The error for what aiohttp raised before the reply was read."""
    match error:
        case aiohttp.ClientConnectorError():
            return _connect_fault(request, error)
        case aiohttp.ServerFingerprintMismatch():
            return request.fault(
                Reason.TLS_PIN,
                f"showed another certificate than the pinned one: its SHA-256 is {error.got.hex()}",
                "If it has a new one, set tls.fingerprint_sha256 to that; else somebody sits "
                "in between.",
            )
        case asyncio.TimeoutError():
            return _too_slow(request, error)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return request.fault(
                Reason.CONNECT, "has a url that cannot be connected to", "Write it in full."
            )
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return _not_http(request, error)
        case _:
            return _disconnected(request, error)


def _too_slow(request: Request, error: asyncio.TimeoutError) -> DeliveryError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return request.fault(
            Reason.CONNECT,
            f"was not connected to within {format_duration(request.connect_seconds)}",
            "A firewall may drop the packets, or the machine is down or overloaded.",
            retryable=True,
        )
    return request.fault(
        Reason.TIMEOUT,
        f"did not answer in full within {format_duration(request.seconds)}",
        "It hangs or is overloaded.",
        retryable=True,
    )


def _connect_fault(request: Request, error: aiohttp.ClientConnectorError) -> DeliveryError:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return request.fault(
            Reason.DNS,
            "has a host name that was not resolved",
            "Check the name in its url, and the DNS servers of this machine.",
            retryable=True,
        )
    cause = error.os_error
    tls_cause = cause if isinstance(cause, SSLError) else error.__cause__
    if isinstance(tls_cause, SSLError):
        return _tls_fault(request, tls_cause)
    if isinstance(cause, ConnectionResetError) and request.encrypted:
        return request.fault(
            Reason.TLS,
            "ended the connection in the middle of the TLS handshake",
            "Check that its port speaks https, and that it lets this machine in.",
            retryable=True,
        )
    message, hint = _CONNECT_CAUSES.get(cause.errno or 0, ("cannot be connected to", _URL))
    return request.fault(Reason.CONNECT, message, hint, retryable=True)


_NO_WAY = ("cannot be reached from here", "Check its address, and this machine's routes.")
_NO_FILES = (
    "was not connected to: too many files are open",
    "Raise the limit (LimitNOFILE= in the unit, ulimit -n).",
)
_CONNECT_CAUSES = {
    errno.ECONNREFUSED: ("refuses connections", "Check that it runs, and the port in its url."),
    errno.ETIMEDOUT: ("does not answer", "The machine is down, or a firewall drops packets."),
    errno.EHOSTUNREACH: _NO_WAY,
    errno.ENETUNREACH: _NO_WAY,
    errno.EMFILE: _NO_FILES,
    errno.ENFILE: _NO_FILES,
}

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_CERTIFICATE_CAUSES = {
    9: ("is not valid yet", "Check the clocks of both machines."),
    10: ("has expired", "Renew it."),
    62: ("is for another name", "Use the certificate's name in the url, or pin it."),
    64: ("is for another address", "Use the certificate's name in the url, or pin it."),
}


def _tls_fault(request: Request, error: SSLError) -> DeliveryError:
    if isinstance(error, SSLCertVerificationError):
        message, hint = _CERTIFICATE_CAUSES.get(
            error.verify_code,
            (
                "is self-signed or of an authority that is not trusted",
                "Trust its authority with tls.ca_file, or pin it with tls.fingerprint_sha256.",
            ),
        )
        return request.fault(Reason.TLS, f"has a certificate that {message}", hint)
    return request.fault(
        Reason.TLS,
        "and this machine could not agree on TLS",
        "Check that its port speaks https, with TLS 1.2 or later.",
    )


def _not_http(request: Request, error: ExchangeError) -> DeliveryError:
    cause = error.__cause__ and error.__cause__.__cause__
    if isinstance(cause, LineTooLong):
        message, reason = "answers with headers that are too large", Reason.TOO_LARGE
    elif isinstance(error, aiohttp.ClientPayloadError):
        message, reason = "broke its answer off", Reason.CONNECT
    else:
        message, reason = "answers something that is not HTTP", Reason.UNEXPECTED
    return request.fault(reason, message, _URL, retryable=reason is Reason.CONNECT)


def _disconnected(request: Request, error: ExchangeError) -> DeliveryError:
    # One that wants a client certificate says so after the handshake.
    if "[SSL" in str(error):
        return request.fault(
            Reason.TLS,
            "ended the TLS connection when the request was sent",
            "It may want a client certificate, which the exporter does not have.",
        )
    hint = "See its log." if request.encrypted else "If its port speaks https, write https://."
    return request.fault(
        Reason.CONNECT, "closed the connection without an answer", hint, retryable=True
    )


def status_fault(request: Request, status: int) -> DeliveryError:
    """The error for a reply whose HTTP status is not one of success."""
    refused = _REFUSALS.get(status)
    if status == HTTPStatus.UNAUTHORIZED:
        if request.logs_in:
            refused = "refused the user, password or token", "Check them."
        else:
            refused = "wants a login", "Set basic_auth or bearer_token."
    reason = _STATUS_REASONS.get(status, Reason.HTTP_STATUS)
    retryable = status >= 500 or status in _RETRYABLE_STATUSES
    if refused is not None:
        message, hint = refused
    elif 300 <= status < 400:
        message, hint = "redirects, which is not followed", "Write where it leads to as its url."
    elif retryable:
        message, hint = "failed", "See its log."
    else:
        message, hint = "refused the request", "See its log."
    return request.fault(reason, f"{message} (HTTP {status})", hint, retryable=retryable)


_STATUS_REASONS = {401: Reason.HTTP_401, 403: Reason.HTTP_403}
_REFUSALS = {
    403: ("does not let this machine or login in", "Check its access rules."),
    404: ("has nothing at this path", _URL),
    405: ("takes no such request at this path", _URL),
    413: ("takes no request of this size", "Raise its limit, or that of a proxy before it."),
    429: ("is asked too often", "Raise alerting.group_interval, or its limit."),
}
