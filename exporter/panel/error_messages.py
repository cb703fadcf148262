"""What only a panel's failures mean: places that are taken, HTTP statuses, commands that got lost.

The faults of a connection are in `exporter.http.errors`, the reply codes in
`exporter.panel.protocol`. Texts are made of the config and of constants. Of what a panel sent,
only a redirect's target and a certificate's fingerprint are repeated: anything else may echo the
password back.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote

import aiohttp
from yarl import URL

from exporter.config.models import HostConfig
from exporter.config.panel_api import API_PATH
from exporter.config.units import format_duration
from exporter.http.errors import RETRYABLE_STATUSES, ExchangeError, find_fault
from exporter.panel.errors import MORE_FILES, WANT_OF_FILES, PanelError, no_files
from exporter.panel.redaction import holds_secret
from exporter.snapshot import Reason


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
        """Return the error when the request may have reached the panel, but no answer came."""
        if self.action:
            message += " Whether the panel carried the command out is not known."
            hint = f"Look at the queue before you try again. {hint}".rstrip()
            retryable = False
        return PanelError(reason, message, hint=hint, retryable=retryable, lost=self.action)


def closed_pool() -> PanelError:
    """Return the error for a request whose client has been closed."""
    return PanelError(
        Reason.CONNECT, "The exporter has closed its connections to this panel; nothing was sent."
    )


def long_sentence(limit: int) -> PanelError:
    """Return the error for a reply of more than `limit` bytes to anything but list_msg."""
    return PanelError(
        Reason.TOO_LARGE,
        f"The panel's reply is longer than {limit // 2**10} KiB; it should be a sentence.",
        hint="Does the url lead to the panel's API?",
    )


def cut_short(attempt: Attempt, seconds: float) -> PanelError:
    """Return the error for a request that ended because too few files may be open to wait on."""
    return attempt.lost(
        Reason.TIMEOUT,
        f"{attempt.place} had not answered in full after {format_duration(round(seconds, 1))}, "
        "when its place was needed for another panel.",
        "So many panels do not answer that the files which may be open do not suffice to wait "
        f"for all of them. {MORE_FILES}",
    )


def exchange_fault(attempt: Attempt, error: ExchangeError) -> PanelError:
    """Return the error for what aiohttp raised before the whole reply was read."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno in WANT_OF_FILES:
        return no_files()
    fault, cause = find_fault(error, encrypted=attempt.encrypted)
    message, hint = (
        words.format(
            peer=attempt.place,
            host=attempt.host.address.host,
            seconds=format_duration(attempt.seconds),
            connect_seconds=format_duration(attempt.connect_seconds),
            check_port=_check_port(attempt),
            cause=cause,
        )
        for words in fault.panel
    )
    if fault.sent:
        return attempt.lost(fault.reason, message, hint, retryable=fault.retryable)
    return PanelError(fault.reason, message, hint=hint, retryable=fault.retryable)


def _check_port(attempt: Attempt) -> str:
    if attempt.encrypted:
        return "Check the port in `url`."
    return "Check the port in `url`; if it speaks https, write https://."


def status_fault(attempt: Attempt, status: int, location: str) -> PanelError:
    """Return the error for a reply whose HTTP status is not one of success.

    Args:
        attempt: the request.
        status: the HTTP status.
        location: the reply's Location header, "" when it has none.
    """
    reason, hint = Reason.HTTP_STATUS, _check_port(attempt)
    named = f"HTTP {status}"
    with suppress(ValueError):
        named += f" {HTTPStatus(status).phrase}"
    if status >= 500:
        return attempt.lost(
            reason,
            f"The panel failed ({named}).",
            "See the logs of the panel's web server and PHP.",
        )
    message = f"The panel refused the request ({named})."
    if status == HTTPStatus.UNAUTHORIZED:
        reason = Reason.HTTP_401
        if attempt.host.basic_auth is None:
            message = "The panel is behind htpasswd (HTTP 401)."
            hint = "Set basic_auth to the user and password that a browser is asked for."
        else:
            message = "The htpasswd in front of the panel refused the user or password (HTTP 401)."
            hint = "Check basic_auth; the panel's own login is username and password beside it."
    elif status == HTTPStatus.FORBIDDEN:
        reason = Reason.HTTP_403
        message = (
            "The panel refuses this machine (HTTP 403): its API is closed for this IP address."
        )
        hint = "Add the address to the list of IPs with API access in the panel's settings."
    elif status == HTTPStatus.NOT_FOUND:
        path = attempt.host.address.path
        instead = "check `url`" if path == API_PATH else f"leave it out of `url` for {API_PATH}"
        hint = f"There is no API at the path {path}; {instead}."
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        hint = "Raise the interval: the panel is asked too often."
    elif 300 <= status < 400:
        target = _redirect_target(attempt.host, location)
        where = f" to {target}" if target else ""
        message = (
            f"The panel redirects{where} (HTTP {status}), which is not followed: "
            "it would hand the password on."
        )
        hint = "If this is where the API is, write it as `url`."
    return PanelError(reason, message, hint=hint, retryable=status in RETRYABLE_STATUSES)


def _redirect_target(host: HostConfig, location: str) -> str:
    """Return where a redirect leads, without anything that may be secret; "" when unclear."""
    try:
        url = host.address.join(URL(location)).with_user(None).with_query(None)
        target = str(url.with_fragment(None))
    except ValueError:
        return ""
    echoed = holds_secret(target, host.secret_values) or holds_secret(
        unquote(target), host.secret_values
    )
    if not location or url.scheme not in {"http", "https"} or echoed or len(target) > 200:
        return ""
    return target
