"""What a failed exchange over HTTP means to an operator: one table for panels and receivers.

    DeliveryError              a notification was not delivered (PanelError is the panels' own)
    FAULTS                     the table: the first row that matches an exception explains it
    exchange_fault             exception of aiohttp or ssl -> row -> DeliveryError
    status_fault               HTTP status of a receiver -> DeliveryError
    EarlyReplyRequest          keeps the exception of a peer that speaks before it is asked

Sentences are made of names, of the config and of constants, never of a receiver's URL or of what
was answered: the URL of a webhook may be a secret, and an answer may repeat it. Of what a peer
sent, only its certificate's fingerprint is repeated.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

from exporter.config.units import format_duration
from exporter.snapshot import Reason

ExchangeError = aiohttp.ClientError | TimeoutError
"""What aiohttp raises when an exchange fails."""

RETRYABLE_STATUSES = frozenset({408, 425, 429})
"""HTTP statuses below 500 that may be another one later."""


class DeliveryError(Exception):
    """A notification was not delivered. Holds no secret: the receiver's URL may be one."""

    def __init__(self, reason: str, message: str, *, hint: str = "", retryable: bool) -> None:
        super().__init__(f"{message} {hint}".rstrip())
        self.reason = reason
        """The label `outcome`: a reason of the contract, or `failed`."""
        self.message = message
        self.hint = hint
        self.retryable = retryable
        """Whether the same notification may be taken later without anybody changing anything."""


class PinMismatchError(ssl.SSLError):
    """The peer's certificate is not the pinned one."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, "the certificate is not the pinned one")
        self.fingerprint = fingerprint
        """SHA-256 of the certificate that the peer showed, in hexadecimal digits."""


class EarlyReplyRequest(aiohttp.ClientRequest):
    """A request that fails for what a peer sent before it was asked, if that is not HTTP.

    For such bytes (of sshd, or a TLS alert) aiohttp closes the connection. From Python 3.12 on it
    writes the request at once all the same, and the error of that write replaces the reason.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send, unless the connection has ended already."""
        early = conn.protocol.exception() if conn.protocol is not None else None
        if isinstance(early, HttpProcessingError):
            raise aiohttp.ClientResponseError(self.request_info, ()) from early
        return await super().send(conn)


class Cause:
    """An exception taken apart, for the rows of the table to look at."""

    def __init__(self, error: ExchangeError, *, encrypted: bool) -> None:
        self.error = error
        self.encrypted = encrypted
        self.refusal = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
        """Why no connection came about."""
        causes = (self.refusal, error.__cause__) if self.refusal else ()
        self.tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        """Why no TLS session came about."""
        self.certificate_code: int | None = getattr(self.tls, "verify_code", None)
        """OpenSSL's X509_V_ERR_*, of its x509_vfy.h; None when it is not about a certificate."""
        self.handshake: str = getattr(self.tls, "reason", None) or ""
        """OpenSSL's name of an error; "" for one that Python raised itself."""
        self.fingerprint: str = getattr(self.tls, "fingerprint", "")
        """SHA-256 of the certificate that the peer showed in place of the pinned one."""
        if isinstance(error, aiohttp.ServerFingerprintMismatch):
            self.fingerprint = error.got.hex()
        # The rest is named by the words of the table.
        self.name_or_address = "address" if self.certificate_code == 64 else "name"
        in_words = self.handshake.lower().replace("_", " ")
        self.handshake_problem = f" ({in_words})" if in_words else ""
        self.lookup_problem = (self.refusal and self.refusal.strerror) or "no address"

    @property
    def has_large_headers(self) -> bool:
        """Whether aiohttp stopped at headers that are too long or too many."""
        cause = self.error.__cause__ and self.error.__cause__.__cause__
        too_many = type(cause) is BadHttpMessage and "Too many" in cause.message
        return too_many or isinstance(cause, LineTooLong)

    @property
    def breaks_off(self) -> bool:
        """Whether a reply ended early.

        aiohttp gives no cause to what it ends itself, for a body that is not valid HTTP.
        """
        return isinstance(self.error, aiohttp.ClientPayloadError) and bool(self.error.__cause__)


Words = tuple[str, str]
"""A sentence and a hint. In braces stands what a panel or a receiver fills in."""


class Fault(NamedTuple):
    """A row of the table."""

    matches: Callable[[Cause], bool]
    reason: Reason
    panel: Words
    receiver: Words
    retryable: bool = False
    """Whether the same request may succeed later without anybody changing anything."""
    sent: bool = False
    """Whether the request may have reached the peer."""


def find_fault(error: ExchangeError, *, encrypted: bool) -> tuple[Fault, Cause]:
    """Return the row that explains `error`, and `error` taken apart, which its words name."""
    cause = Cause(error, encrypted=encrypted)
    return next(fault for fault in FAULTS if fault.matches(cause)), cause


def _is(*kinds: type[BaseException]) -> Callable[[Cause], bool]:
    return lambda it: isinstance(it.error, kinds)


def _errno(*numbers: int) -> Callable[[Cause], bool]:
    return lambda it: it.refusal is not None and it.refusal.errno in numbers


def _certificate(*codes: int) -> Callable[[Cause], bool]:
    return lambda it: it.certificate_code in codes


def _handshake(*names: str) -> Callable[[Cause], bool]:
    return lambda it: it.handshake in names


# A row of the table takes a few lines, not a dozen.
# fmt: off
_OR_SEE_PIN = ("see its fingerprint with `openssl s_client -connect {peer} </dev/null | "
               "openssl x509 -noout -sha256 -fingerprint`, compare it on the panel itself, and "
               "pin it with tls.fingerprint_sha256")
_SEE_PIN = f"S{_OR_SEE_PIN[1:]}"
_NAME_OR_PIN = "Use the certificate's name in the url, or pin it."
_CHECK_URL = "Check the receiver's url."
_CRASHED = "The panel's web server or PHP may have crashed; see their logs."
_DOWN = "The machine is down, or a firewall drops packets."
_DROPPED = "A firewall may drop the packets, or the machine is down or overloaded."
_NO_CLIENT_CERTIFICATE = "It may want a client certificate, which the exporter does not have."
_UNREACHABLE = ("{peer} cannot be connected to.", _CHECK_URL)
_NO_TLS = ("{peer} and this machine could not agree on TLS.",
           "Check that its port speaks https, with TLS 1.2 or later.")
_NO_TRUST = ("{peer} has a certificate that is self-signed or of an authority that is not trusted.",
             "Trust its authority with tls.ca_file, or pin it with tls.fingerprint_sha256.")
_NO_FILES = ("{peer} was not connected to: too many files are open.",
             "Raise the limit (LimitNOFILE= in the unit, ulimit -n).")

FAULTS: tuple[Fault, ...] = (
    # No connection. A panel's error for want of files is `no_files`: it says nothing of the panel.
    Fault(_errno(errno.EMFILE, errno.ENFILE), Reason.CONNECT, _NO_FILES, _NO_FILES, retryable=True),
    Fault(_is(aiohttp.ClientConnectorDNSError), Reason.DNS, retryable=True,
          panel=("The name {host} was not resolved: {cause.lookup_problem}.",
                 "Check the name in `url`, and the DNS servers of this machine."),
          receiver=("{peer} has a host name that was not resolved.",
                    "Check the name in its url, and the DNS servers of this machine.")),
    # No TLS session.
    Fault(lambda it: bool(it.fingerprint), Reason.TLS_PIN,
          panel=(("The certificate of {peer} is not the pinned one: its SHA-256 is "
                  "{cause.fingerprint}."),
                 ("If the panel has a new certificate, compare this on the panel itself and set "
                  "tls.fingerprint_sha256 to it; else somebody sits in between.")),
          receiver=(("{peer} showed another certificate than the pinned one: its SHA-256 is "
                     "{cause.fingerprint}."),
                    ("If it has a new one, set tls.fingerprint_sha256 to that; else somebody sits "
                     "in between."))),
    Fault(_certificate(9), Reason.TLS,
          panel=("The certificate of {peer} is not valid yet.",
                 "Check the clocks of this machine and of the panel."),
          receiver=("{peer} has a certificate that is not valid yet.",
                    "Check the clocks of both machines.")),
    Fault(_certificate(10), Reason.TLS,
          panel=("The certificate of {peer} has expired.", "Renew it on the panel."),
          receiver=("{peer} has a certificate that has expired.", "Renew it.")),
    Fault(_certificate(62, 64), Reason.TLS,
          panel=("The certificate of {peer} is for another name than {host}.",
                 f"Use the certificate's name in `url`, or pin the certificate. {_SEE_PIN}."),
          receiver=("{peer} has a certificate that is for another {cause.name_or_address}.",
                    _NAME_OR_PIN)),
    Fault(_certificate(18, 19), Reason.TLS,  # itself, or the last one of its chain
          panel=("The certificate of {peer} is self-signed or its authority is not trusted.",
                 f"{_SEE_PIN}, or trust its authority with tls.ca_file."),
          receiver=_NO_TRUST),
    Fault(_certificate(2, 20, 21), Reason.TLS,  # its issuer is not at hand
          panel=(("The certificate of {peer} is from an authority that is not trusted, or the "
                  "panel does not send the intermediate one."),
                 f"Trust the authority with tls.ca_file. Or: {_OR_SEE_PIN}."),
          receiver=_NO_TRUST),
    Fault(lambda it: it.certificate_code is not None, Reason.TLS,
          panel=("The certificate of {peer} is not accepted: {cause.tls.verify_message}.",
                 f"Replace it on the panel. Or: {_OR_SEE_PIN}."),
          receiver=("{peer} has a certificate that is not accepted: {cause.tls.verify_message}.",
                    "Replace it, or pin it with tls.fingerprint_sha256.")),
    Fault(_handshake("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"), Reason.TLS,
          panel=("{peer} does not speak TLS.",
                 "Check the port in `url`; if it speaks plain http, write http://."),
          receiver=_NO_TLS),
    Fault(_handshake("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"), Reason.TLS,
          panel=("{peer} offers only TLS versions older than 1.2.",
                 "Update the panel's web server, or enable TLS 1.2 there."),
          receiver=_NO_TLS),
    Fault(lambda it: it.tls is not None, Reason.TLS,
          panel=("The TLS handshake with {peer} failed{cause.handshake_problem}.",
                 ("Check that this port speaks https, and which TLS versions and ciphers the panel "
                  "offers.")),
          receiver=_NO_TLS),
    Fault(lambda it: it.encrypted and isinstance(it.refusal, ConnectionResetError), Reason.TLS,
          retryable=True,
          panel=("{peer} ended the connection in the middle of the TLS handshake.",
                 "Check that this port speaks https, and that the panel lets this machine in."),
          receiver=("{peer} ended the connection in the middle of the TLS handshake.",
                    "Check that its port speaks https, and that it lets this machine in.")),
    # No TCP connection.
    Fault(_errno(errno.ECONNREFUSED), Reason.CONNECT, retryable=True,
          panel=("{peer} refuses connections.",
                 "Check the port in `url`, that the panel runs, and its firewall."),
          receiver=("{peer} refuses connections.", "Check that it runs, and the port in its url.")),
    Fault(_errno(errno.ECONNRESET), Reason.CONNECT, retryable=True,
          panel=("{peer} ended the connection at once.", "Check the panel and its firewall."),
          receiver=_UNREACHABLE),
    Fault(_errno(errno.ETIMEDOUT), Reason.CONNECT, retryable=True,
          panel=("{peer} does not answer.", _DOWN),
          receiver=("{peer} does not answer.", _DOWN)),
    Fault(_errno(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL), Reason.CONNECT,
          retryable=True,
          panel=("There is no way to {peer}.",
                 "Check the address, and this machine's network and routes."),
          receiver=("{peer} cannot be reached from here.",
                    "Check its address, and this machine's routes.")),
    Fault(_is(aiohttp.ClientConnectorError), Reason.CONNECT, retryable=True,
          panel=("{peer} cannot be connected to.", "Check `url` and the way to the panel."),
          receiver=_UNREACHABLE),
    Fault(_is(aiohttp.ConnectionTimeoutError), Reason.CONNECT, retryable=True,
          panel=("No connection to {peer} came about within {connect_seconds}.", _DROPPED),
          receiver=("{peer} was not connected to within {connect_seconds}.", _DROPPED)),
    Fault(_is(aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), Reason.CONNECT,
          panel=("{peer} is no address that can be connected to.",
                 "Write an address in full, as 192.0.2.1."),
          receiver=("{peer} has a url that cannot be connected to.", "Write it in full.")),
    # No answer, or not a whole one.
    Fault(_is(TimeoutError), Reason.TIMEOUT, retryable=True, sent=True,
          panel=("{peer} did not answer in full within {seconds}.",
                 "The panel is overloaded or hangs; if it is just slow, raise poll.timeout."),
          receiver=("{peer} did not answer in full within {seconds}.",
                    "It hangs or is overloaded.")),
    Fault(lambda it: it.has_large_headers, Reason.TOO_LARGE, sent=True,
          panel=("The headers of the reply of {peer} are too large.",
                 "This is hardly a panel's reply; check `url`, and proxies on the way."),
          receiver=("{peer} answers with headers that are too large.", _CHECK_URL)),
    Fault(lambda it: it.breaks_off, Reason.CONNECT, retryable=True, sent=True,
          panel=("The reply of {peer} broke off.", _CRASHED),
          receiver=("{peer} broke its answer off.", _CHECK_URL)),
    Fault(_is(aiohttp.ClientResponseError, aiohttp.ClientPayloadError), Reason.UNEXPECTED,
          sent=True,
          panel=("What {peer} answers is not HTTP.", "{check_port}"),
          receiver=("{peer} answers something that is not HTTP.", _CHECK_URL)),
    Fault(lambda it: "[SSL" in str(it.error), Reason.TLS, sent=True,  # after the handshake
          panel=("{peer} ended the TLS connection when the request was sent.",
                 _NO_CLIENT_CERTIFICATE),
          receiver=("{peer} ended the TLS connection when the request was sent.",
                    _NO_CLIENT_CERTIFICATE)),
    Fault(lambda _: True, Reason.CONNECT, retryable=True, sent=True,
          panel=("{peer} closed the connection without an answer.", f"{_CRASHED} {{check_port}}"),
          receiver=("{peer} closed the connection without an answer.", "{check_port}")),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a receiver that failed."""

    receiver: str
    """The receiver's name."""
    logs_in: bool
    """Whether a user and password, or a token, went with it."""
    encrypted: bool
    """Whether it went over https."""
    seconds: float
    """How long all of it was allowed to take."""

    @property
    def connect_seconds(self) -> float:
        """How long connecting was allowed to take.

        The rest distinguishes a receiver that does not answer from one that cannot be connected to.
        """
        return 0.9 * self.seconds

    def fault(
        self, reason: Reason, message: str, hint: str, *, retryable: bool = False
    ) -> DeliveryError:
        """Return the error; `message` goes on after the receiver's name."""
        message = f"The receiver {self.receiver} {message}."
        return DeliveryError(reason, message, hint=hint, retryable=retryable)


def exchange_fault(request: Request, error: ExchangeError) -> DeliveryError:
    """Return the error for what aiohttp raised before the reply was read."""
    fault, cause = find_fault(error, encrypted=request.encrypted)
    https = "See its log." if request.encrypted else "If its port speaks https, write https://."
    message, hint = (
        words.format(
            peer=f"The receiver {request.receiver}",
            seconds=format_duration(request.seconds),
            connect_seconds=format_duration(request.connect_seconds),
            check_port=https,
            cause=cause,
        )
        for words in fault.receiver
    )
    return DeliveryError(fault.reason, message, hint=hint, retryable=fault.retryable)


def status_fault(request: Request, status: int) -> DeliveryError:
    """Return the error for a reply whose HTTP status is not one of success."""
    retryable = status >= 500 or status in RETRYABLE_STATUSES
    if status == 401 and request.logs_in:
        message, hint = "refused the user, password or token", "Check them."
    elif 300 <= status < 400:
        message, hint = "redirects, which is not followed", "Write where it leads to as its url."
    else:
        other = "failed" if retryable else "refused the request"
        message, hint = _STATUSES.get(status, (other, "See its log."))
    reason = {401: Reason.HTTP_401, 403: Reason.HTTP_403}.get(status, Reason.HTTP_STATUS)
    return request.fault(reason, f"{message} (HTTP {status})", hint, retryable=retryable)


_STATUSES = {
    401: ("wants a login", "Set basic_auth or bearer_token."),
    403: ("does not let this machine or login in", "Check its access rules."),
    404: ("has nothing at this path", _CHECK_URL),
    405: ("takes no such request at this path", _CHECK_URL),
    413: ("takes no request of this size", "Raise its limit, or that of a proxy before it."),
    429: ("is asked too often", "Raise alerting.group_interval, or its limit."),
}
