"""What a failed request means to an operator: one PanelError for everything that can go wrong.

Texts are made of the config and of constants. Of what a panel sent, only a redirect's target
and a certificate's fingerprint are told: anything else may echo the password back.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from http import HTTPStatus
from ssl import SSLError
from urllib.parse import unquote

import aiohttp
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from yarl import URL

from exporter.config.models import HostConfig
from exporter.config.panel_api import API_PATH
from exporter.config.units import format_duration
from exporter.panel.errors import PanelError
from exporter.panel.files import MORE_FILES, WANT_OF_FILES, no_files
from exporter.panel.redaction import tells
from exporter.panel.tls_faults import tls_fault
from exporter.snapshot import Reason

ExchangeError = aiohttp.ClientError | asyncio.TimeoutError
"""What aiohttp raises when a request fails."""

_RETRYABLE_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Attempt:
    """The request that failed."""

    host: HostConfig
    action: bool
    """Whether it changes something on the panel, so that trying again is not harmless."""
    seconds: float
    """How long the whole request was allowed to take."""
    connect_seconds: float
    """How long connecting was, of these."""
    short: bool = False
    """Whether the reply is a sentence or two, not a list."""

    @property
    def place(self) -> str:
        """Host and port of the panel."""
        url = self.host.address
        host = f"[{url.host}]" if ":" in (url.host or "") else url.host
        return f"{host}:{url.port}"

    @property
    def encrypted(self) -> bool:
        """Whether the panel is asked over https."""
        return self.host.url.startswith("https:")

    def lost(
        self, reason: Reason, message: str, hint: str, *, retryable: bool = True
    ) -> PanelError:
        """The error when the request may have reached the panel, but no answer came."""
        if self.action:
            message += " Whether the panel carried the command out is not known."
            hint = f"Look at the queue before you try again. {hint}".rstrip()
            retryable = False
        return PanelError(reason, message, hint=hint, retryable=retryable, lost=self.action)


def no_slot(seconds: float) -> PanelError:
    """The error when a request was not even begun within its deadline."""
    return PanelError(
        Reason.TIMEOUT,
        f"The request waited {format_duration(seconds)} for its turn and was not sent.",
        hint="Other requests take all of poll.concurrency or poll.requests_per_host: "
        "raise them, or find out which panels are slow.",
        retryable=True,
    )


def cut_short(attempt: Attempt, seconds: float) -> PanelError:
    """The error for a request that ended because too few files may be open to wait on."""
    return attempt.lost(
        Reason.TIMEOUT,
        f"{attempt.place} had not answered in full after {format_duration(round(seconds, 1))}, "
        "when its place was needed for another panel.",
        "So many panels do not answer that the files which may be open do not suffice to wait "
        f"for all of them. {MORE_FILES}",
    )


def exchange_fault(attempt: Attempt, error: ExchangeError) -> PanelError:
    """The error for what aiohttp raised before the whole reply was read."""
    match error:
        case aiohttp.ClientConnectorError():
            return _connect_fault(attempt, error)
        case asyncio.TimeoutError():
            return _too_slow(attempt, error)
        case aiohttp.ClientPayloadError() if error.__cause__ is not None:
            return attempt.lost(
                Reason.CONNECT,
                f"The reply of {attempt.place} broke off.",
                "The panel's web server or PHP may have crashed; see their logs.",
            )
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return _not_http(attempt, error)
        case aiohttp.InvalidURL():
            return PanelError(
                Reason.CONNECT,
                f"{attempt.place} is no address that can be connected to.",
                hint="Write an address in full, as 192.0.2.1.",
            )
        case _:
            return _disconnected(attempt, error)


def _too_slow(attempt: Attempt, error: asyncio.TimeoutError) -> PanelError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return PanelError(
            Reason.CONNECT,
            f"No connection to {attempt.place} came about within "
            f"{format_duration(attempt.connect_seconds)}.",
            hint="A firewall may drop the packets, or the machine is down or overloaded.",
            retryable=True,
        )
    return attempt.lost(
        Reason.TIMEOUT,
        f"{attempt.place} did not answer in full within {format_duration(attempt.seconds)}.",
        "The panel is overloaded or hangs; if it is just slow, raise poll.timeout.",
    )


def _connect_fault(attempt: Attempt, error: aiohttp.ClientConnectorError) -> PanelError:
    """The connection did not come about, so nothing was sent."""
    cause = error.os_error
    if cause.errno in WANT_OF_FILES:
        return no_files()
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return PanelError(
            Reason.DNS,
            f"The name {attempt.host.address.host} was not resolved: "
            f"{cause.strerror or 'no address'}.",
            hint="Check the name in `url`, and the DNS servers of this machine.",
            retryable=True,
        )
    tls_cause = cause if isinstance(cause, SSLError) else error.__cause__
    if isinstance(tls_cause, SSLError):
        return tls_fault(attempt.host, attempt.place, tls_cause)
    if isinstance(cause, ConnectionResetError) and attempt.encrypted:
        return PanelError(
            Reason.TLS,
            f"{attempt.place} ended the connection in the middle of the TLS handshake.",
            hint="Check that this port speaks https, and that the panel lets this machine in.",
            retryable=True,
        )
    message, hint = _CONNECT_CAUSES.get(
        cause.errno or 0, ("{} cannot be connected to", "Check `url` and the way to the panel.")
    )
    return PanelError(
        Reason.CONNECT, message.format(attempt.place) + ".", hint=hint, retryable=True
    )


_NO_WAY = ("There is no way to {}", "Check the address, and this machine's network and routes.")
_CONNECT_CAUSES = {
    errno.ECONNREFUSED: (
        "{} refuses connections",
        "Check the port in `url`, that the panel runs, and its firewall.",
    ),
    errno.ECONNRESET: ("{} ended the connection at once", "Check the panel and its firewall."),
    errno.ETIMEDOUT: ("{} does not answer", "The machine is down, or a firewall drops packets."),
    errno.EHOSTUNREACH: _NO_WAY,
    errno.ENETUNREACH: _NO_WAY,
    errno.EADDRNOTAVAIL: _NO_WAY,
}


def _not_http(attempt: Attempt, error: ExchangeError) -> PanelError:
    cause = error.__cause__ and error.__cause__.__cause__
    too_many = type(cause) is BadHttpMessage and "Too many" in cause.message
    if isinstance(cause, LineTooLong) or too_many:
        return attempt.lost(
            Reason.TOO_LARGE,
            f"The headers of the reply of {attempt.place} are too large.",
            "This is hardly a panel's reply; check `url`, and proxies on the way.",
            retryable=False,
        )
    return attempt.lost(
        Reason.UNEXPECTED,
        f"What {attempt.place} answers is not HTTP.",
        _check_the_port(attempt),
        retryable=False,
    )


def _disconnected(attempt: Attempt, error: ExchangeError) -> PanelError:
    # A panel that wants a client certificate says so after the handshake.
    if "[SSL" in str(error):
        return attempt.lost(
            Reason.TLS,
            f"{attempt.place} ended the TLS connection when the request was sent.",
            "It may want a client certificate, which the exporter does not have.",
            retryable=False,
        )
    return attempt.lost(
        Reason.CONNECT,
        f"{attempt.place} closed the connection without an answer.",
        "The panel's web server or PHP may have crashed; see their logs. "
        + _check_the_port(attempt),
    )


def _check_the_port(attempt: Attempt) -> str:
    if attempt.encrypted:
        return "Check the port in `url`."
    return "Check the port in `url`; if it speaks https, write https://."


def status_fault(attempt: Attempt, status: int, location: str) -> PanelError:
    """The error for a reply whose HTTP status is not one of success.

    Args:
        attempt: the request.
        status: the HTTP status.
        location: the reply's Location header, "" when it has none.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(attempt)
    if status == HTTPStatus.FORBIDDEN:
        return PanelError(
            Reason.HTTP_403,
            "The panel refuses this machine (HTTP 403): its API is closed for this IP address.",
            hint="Add the address to the list of IPs with API access in the panel's settings.",
        )
    if 300 <= status < 400:
        return _redirect(attempt, status, location)
    if status >= 500:
        return attempt.lost(
            Reason.HTTP_STATUS,
            f"The panel failed (HTTP {_status_text(status)}).",
            "See the logs of the panel's web server and PHP.",
        )
    return PanelError(
        Reason.HTTP_STATUS,
        f"The panel refused the request (HTTP {_status_text(status)}).",
        hint=_status_hint(attempt, status),
        retryable=status in _RETRYABLE_STATUSES,
    )


def _unauthorized(attempt: Attempt) -> PanelError:
    if attempt.host.basic_auth is None:
        return PanelError(
            Reason.HTTP_401,
            "The panel is behind htpasswd (HTTP 401).",
            hint="Set basic_auth to the user and password that a browser is asked for.",
        )
    return PanelError(
        Reason.HTTP_401,
        "The htpasswd in front of the panel refused the user or password (HTTP 401).",
        hint="Check basic_auth; the panel's own login is username and password beside it.",
    )


def _redirect(attempt: Attempt, status: int, location: str) -> PanelError:
    target = _redirect_target(attempt.host, location)
    where = f" to {target}" if target else ""
    return PanelError(
        Reason.HTTP_STATUS,
        f"The panel redirects{where} (HTTP {status}), which is not followed: "
        "it would hand the password on.",
        hint="If this is where the API is, write it as `url`.",
    )


def _redirect_target(host: HostConfig, location: str) -> str:
    """Where a redirect leads, without anything that may be secret; "" when that is unclear."""
    try:
        url = host.address.join(URL(location)).with_user(None).with_query(None)
        target = str(url.with_fragment(None))
    except ValueError:
        return ""
    plain = unquote(target)
    echoed = tells(target, host.secret_values) or tells(plain, host.secret_values)
    if not location or url.scheme not in {"http", "https"} or echoed or len(target) > 200:
        return ""
    return target


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _status_hint(attempt: Attempt, status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        path = attempt.host.address.path
        instead = "check `url`" if path == API_PATH else f"leave it out of `url` for {API_PATH}"
        return f"There is no API at the path {path}; {instead}."
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "Raise the interval: the panel is asked too often."
    return _check_the_port(attempt)
