"""The one table of faults, by exceptions that no server on loopback can bring about at will."""

from __future__ import annotations

import errno
import pickle
import ssl
import traceback
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine, LineTooLong
from aioresponses import aioresponses
from yarl import URL

from exporter.config.models import PollConfig
from exporter.http.endpoint import HttpEndpoint
from exporter.http.errors import FAULTS, DeliveryError, find_fault
from exporter.panel.client import PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand, Operation
from tests.alerting.values import webhook_config
from tests.builders import host

SECRET = "S3CRET"
"""Stands in every exception, as aiohttp's quote the URL and what was answered."""

KEY = ConnectionKey(f"{SECRET}.example.com", 8002, True, True, None, None, None)
PIN = b"\xab" * 32

PANEL = "mx1.example.com:8002"
RECEIVER = "The receiver ops"


def refused(number: int | None, text: str = SECRET) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(number, text))


def unresolved(text: str | None) -> aiohttp.ClientConnectorDNSError:
    return aiohttp.ClientConnectorDNSError(KEY, OSError(None, text))


def certificate(code: int, text: str = "EE certificate key too weak") -> aiohttp.ClientError:
    error = ssl.SSLCertVerificationError(1, SECRET)
    error.verify_code, error.verify_message = code, text
    return aiohttp.ClientConnectorCertificateError(KEY, error)


def handshake(reason: str | None) -> aiohttp.ClientError:
    error = ssl.SSLError(1, SECRET)
    if reason is not None:
        error.reason = reason
    return aiohttp.ClientConnectorSSLError(KEY, error)


def reset_in_the_handshake() -> aiohttp.ClientError:
    return aiohttp.ClientConnectorError(KEY, ConnectionResetError(SECRET))


def unreadable(cause: Exception | None = None) -> aiohttp.ClientError:
    """As aiohttp raises it: its own error of the client from one of the protocol from the cause."""
    info = aiohttp.RequestInfo(URL(f"https://{SECRET}"), "POST", None, URL())  # type: ignore[arg-type]
    error = aiohttp.ClientResponseError(info, (), message=SECRET)
    error.__cause__ = BadHttpMessage(SECRET)
    error.__cause__.__cause__ = cause
    return error


def broken_off(cause: Exception | None) -> aiohttp.ClientError:
    error = aiohttp.ClientPayloadError(SECRET)
    error.__cause__ = cause
    return error


class Case(NamedTuple):
    error: aiohttp.ClientError | TimeoutError
    reason: str
    panel: str
    """The sentence about a panel; of an action, without that what came of it is not known."""
    receiver: str
    retryable: bool = False
    sent: bool = False


RESET = "ended the connection in the middle of the TLS handshake."
CLOSED = "closed the connection without an answer."
NO_TRUST = "has a certificate that is self-signed or of an authority that is not trusted."
NO_ISSUER = (
    "is from an authority that is not trusted, or the panel does not send the intermediate one."
)
CASES = {
    "no such name": Case(
        unresolved("Domain name not found"),
        "dns",
        "The name mx1.example.com was not resolved: Domain name not found.",
        f"{RECEIVER} has a host name that was not resolved.",
        retryable=True,
    ),
    "a name without an address": Case(
        unresolved(None),
        "dns",
        "The name mx1.example.com was not resolved: no address.",
        f"{RECEIVER} has a host name that was not resolved.",
        retryable=True,
    ),
    "another pin": Case(
        aiohttp.ServerFingerprintMismatch(b"", PIN, SECRET, 443),
        "tls_pin",
        f"The certificate of {PANEL} is not the pinned one: its SHA-256 is {PIN.hex()}.",
        f"{RECEIVER} showed another certificate than the pinned one: its SHA-256 is {PIN.hex()}.",
    ),
    **{
        f"certificate {code}": Case(certificate(code), "tls", panel, f"{RECEIVER} {receiver}")
        for code, panel, receiver in (
            (
                9,
                f"The certificate of {PANEL} is not valid yet.",
                "has a certificate that is not valid yet.",
            ),
            (
                10,
                f"The certificate of {PANEL} has expired.",
                "has a certificate that has expired.",
            ),
            (
                62,
                f"The certificate of {PANEL} is for another name than mx1.example.com.",
                "has a certificate that is for another name.",
            ),
            (
                64,
                f"The certificate of {PANEL} is for another name than mx1.example.com.",
                "has a certificate that is for another address.",
            ),
            *(
                (
                    code,
                    f"The certificate of {PANEL} is self-signed or its authority is not trusted.",
                    NO_TRUST,
                )
                for code in (18, 19)
            ),
            *(
                (
                    code,
                    f"The certificate of {PANEL} {NO_ISSUER}",
                    NO_TRUST,
                )
                for code in (2, 20, 21)
            ),
            (
                66,
                f"The certificate of {PANEL} is not accepted: EE certificate key too weak.",
                "has a certificate that is not accepted: EE certificate key too weak.",
            ),
        )
    },
    **{
        f"handshake: {name}": Case(
            handshake(name),
            "tls",
            panel,
            f"{RECEIVER} and this machine could not agree on TLS.",
        )
        for name, panel in (
            ("WRONG_VERSION_NUMBER", f"{PANEL} does not speak TLS."),
            ("HTTP_REQUEST", f"{PANEL} does not speak TLS."),
            ("UNSUPPORTED_PROTOCOL", f"{PANEL} offers only TLS versions older than 1.2."),
            ("NO_CIPHERS", f"The TLS handshake with {PANEL} failed (no ciphers)."),
            (None, f"The TLS handshake with {PANEL} failed."),
        )
    },
    "reset in the handshake": Case(
        reset_in_the_handshake(), "tls", f"{PANEL} {RESET}", f"{RECEIVER} {RESET}", retryable=True
    ),
    **{
        f"{errno.errorcode.get(number or 0, 'no number')}": Case(
            refused(number), "connect", panel, f"{RECEIVER} {receiver}", retryable=True
        )
        for number, panel, receiver in (
            (errno.ECONNREFUSED, f"{PANEL} refuses connections.", "refuses connections."),
            (errno.ETIMEDOUT, f"{PANEL} does not answer.", "does not answer."),
            *(
                (number, f"There is no way to {PANEL}.", "cannot be reached from here.")
                for number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
            ),
            *(
                (number, f"{PANEL} cannot be connected to.", "cannot be connected to.")
                for number in (errno.EPERM, errno.ENOBUFS, None)
            ),
        )
    },
    "no connection in time": Case(
        aiohttp.ConnectionTimeoutError(SECRET),
        "connect",
        f"No connection to {PANEL} came about within 10s.",
        f"{RECEIVER} was not connected to within 9s.",
        retryable=True,
    ),
    "no url": Case(
        aiohttp.InvalidURL(SECRET),
        "connect",
        f"{PANEL} is no address that can be connected to.",
        f"{RECEIVER} has a url that cannot be connected to.",
    ),
    "no url of HTTP": Case(
        aiohttp.NonHttpUrlClientError(SECRET),
        "connect",
        f"{PANEL} is no address that can be connected to.",
        f"{RECEIVER} has a url that cannot be connected to.",
    ),
    **{
        f"no answer in time: {type(error).__name__}": Case(
            error,
            "timeout",
            f"{PANEL} did not answer in full within 30s.",
            f"{RECEIVER} did not answer in full within 10s.",
            retryable=True,
            sent=True,
        )
        for error in (
            TimeoutError(SECRET),
            aiohttp.ServerTimeoutError(SECRET),
            aiohttp.SocketTimeoutError(SECRET),
        )
    },
    **{
        f"large headers: {type(cause).__name__}": Case(
            unreadable(cause),
            "too_large",
            f"The headers of the reply of {PANEL} are too large.",
            f"{RECEIVER} answers with headers that are too large.",
            sent=True,
        )
        for cause in (LineTooLong(b"x"), BadHttpMessage("Too many headers received"))
    },
    "broken off in the middle": Case(
        broken_off(BadHttpMessage(SECRET)),
        "connect",
        f"The reply of {PANEL} broke off.",
        f"{RECEIVER} broke its answer off.",
        retryable=True,
        sent=True,
    ),
    **{
        f"no HTTP: {type(error).__name__}": Case(
            error,
            "unexpected",
            f"What {PANEL} answers is not HTTP.",
            f"{RECEIVER} answers something that is not HTTP.",
            sent=True,
        )
        for error in (unreadable(BadStatusLine(SECRET)), broken_off(None))
    },
    "a client certificate is wanted": Case(
        aiohttp.ClientOSError(1, f"[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] {SECRET}"),
        "tls",
        f"{PANEL} ended the TLS connection when the request was sent.",
        f"{RECEIVER} ended the TLS connection when the request was sent.",
        sent=True,
    ),
    **{
        f"closed: {type(error).__name__}": Case(
            error, "connect", f"{PANEL} {CLOSED}", f"{RECEIVER} {CLOSED}", retryable=True, sent=True
        )
        for error in (
            aiohttp.ServerDisconnectedError(SECRET),
            aiohttp.ClientOSError(errno.EPIPE, SECRET),
            aiohttp.ClientConnectionResetError(SECRET),
            aiohttp.ClientConnectionError(SECRET),
            aiohttp.ClientError(SECRET),
        )
    },
}

LOST = " Whether the panel carried the command out is not known."


@pytest.fixture
async def pool() -> AsyncIterator[PanelPool]:
    async with PanelPool(PollConfig()) as pool:
        yield pool


async def of_panel(pool: PanelPool, fault: Exception, **keys: str) -> PanelError:
    """Of an action: one that reads is tried again where that is harmless."""
    client = pool.client(host(password=SECRET, **keys))
    with aioresponses() as net:
        net.post(client.host.address, exception=fault)
        with pytest.raises(PanelError) as caught:
            await client.request(
                Operation.CONTROL, message_id="1kXpJb-0004Uv-7Q", command=MessageCommand.DELETE
            )
        assert len(net.requests) == 1
    return caught.value


async def of_receiver(
    fault: Exception, url: str = f"https://hooks.example.com/{SECRET}"
) -> DeliveryError:
    endpoint = HttpEndpoint("ops", webhook_config(url, bearer_token=SECRET))
    with aioresponses() as net:
        net.post(url, exception=fault)
        with pytest.raises(DeliveryError) as caught:
            await endpoint.post(URL(url), b"{}")
    await endpoint.close()
    return caught.value


def assert_discreet(error: Exception) -> None:
    """Nothing secret stands in it, nor in what Python keeps beside it."""
    assert (error.__cause__, error.__context__) == (None, None)
    shown = [str(error), repr(error), *traceback.format_exception(error)]
    assert SECRET not in "".join(shown)


@pytest.mark.parametrize("name", CASES)
async def test_what_a_fault_means_of_a_panel(pool: PanelPool, name: str) -> None:
    case = CASES[name]
    error = await of_panel(pool, case.error)
    assert error.message == case.panel + (LOST if case.sent else "")
    assert error.reason == case.reason
    assert error.lost is case.sent
    assert error.retryable is (case.retryable and not case.sent)
    assert error.hint.endswith(".")
    assert "{" not in str(error)
    assert_discreet(error)


@pytest.mark.parametrize("name", CASES)
async def test_what_a_fault_means_of_a_receiver(name: str) -> None:
    case = CASES[name]
    error = await of_receiver(case.error)
    assert (error.message, error.reason) == (case.receiver, case.reason)
    assert error.retryable is case.retryable
    assert error.hint.endswith(".")
    assert "{" not in str(error)
    assert_discreet(error)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_want_of_files_is_the_exporters_own_trouble(number: int) -> None:
    async with PanelPool(PollConfig(timeout="1s")) as pool:  # it waits for files as long
        error = await of_panel_often(pool, refused(number))
    assert (error.own, error.failure.own, error.lost) == (True, True, False)
    assert "mx1" not in str(error)
    assert "too many files open" in error.message
    assert "LimitNOFILE" in error.hint
    again = pickle.loads(pickle.dumps(error))
    assert (again.own, str(again)) == (True, str(error))
    delivery = await of_receiver(refused(number))
    assert (delivery.reason, delivery.retryable) == ("connect", True)
    assert delivery.message == f"{RECEIVER} was not connected to: too many files are open."


async def of_panel_often(pool: PanelPool, fault: Exception) -> PanelError:
    client = pool.client(host())
    with aioresponses() as net:
        net.post(client.host.address, exception=fault, repeat=True)
        with pytest.raises(PanelError) as caught:
            await client.request(Operation.COUNT)
        assert sum(len(calls) for calls in net.requests.values()) > 1
    return caught.value


@pytest.mark.parametrize(
    ("fault", "panel", "receiver"),
    [
        (
            unreadable(),
            f"What http://{PANEL} answers is not HTTP.",
            f"{RECEIVER} answers something that is not HTTP. Check the receiver's url.",
        ),
        (
            aiohttp.ServerDisconnectedError(),
            CLOSED,
            f"{RECEIVER} {CLOSED} If its port speaks https, write https://.",
        ),
        (
            reset_in_the_handshake(),
            "cannot be connected to.",
            f"{RECEIVER} cannot be connected to. Check the receiver's url.",
        ),
        (
            refused(errno.ECONNRESET),
            "ended the connection at once.",
            f"{RECEIVER} cannot be connected to. Check the receiver's url.",
        ),
    ],
)
async def test_what_differs_without_encryption(
    pool: PanelPool, fault: aiohttp.ClientError, panel: str, receiver: str
) -> None:
    error = await of_panel(pool, fault, url="http://mx1.example.com:8002")
    assert panel.replace("http://", "") in error.message
    if error.lost:
        assert error.hint.endswith("if it speaks https, write https://.")
    assert str(await of_receiver(fault, "http://hooks.example.com/")) == receiver


async def test_a_panel_with_an_address_of_ipv6_is_named_as_in_a_url(pool: PanelPool) -> None:
    error = await of_panel(pool, refused(errno.ECONNREFUSED), url="https://[2001:db8::1]:8002")
    assert error.message == "[2001:db8::1]:8002 refuses connections."


def test_every_row_of_the_table_is_seen_here() -> None:
    errors = [case.error for case in CASES.values()]
    errors += [refused(errno.EMFILE), refused(errno.ECONNRESET)]
    rows = [
        find_fault(error, encrypted=encrypted)[0] for error in errors for encrypted in (False, True)
    ]
    assert [fault for fault in FAULTS if fault not in rows] == []
