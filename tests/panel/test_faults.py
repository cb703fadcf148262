from __future__ import annotations

import errno
import pickle

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from exporter.panel.error_messages import Attempt, exchange_fault
from exporter.snapshot import Reason
from tests.builders import host

KEY = ConnectionKey("mx1.example.com", 8002, True, True, None, None, None)
ATTEMPT = Attempt(host(), action=False, seconds=30.0, connect_seconds=10.0)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ECONNREFUSED, "mx1.example.com:8002 refuses connections."),
        (errno.ETIMEDOUT, "mx1.example.com:8002 does not answer."),
        (errno.EHOSTUNREACH, "There is no way to mx1.example.com:8002."),
        (errno.ENETUNREACH, "There is no way to mx1.example.com:8002."),
        (errno.EPIPE, "mx1.example.com:8002 cannot be connected to."),
        (None, "mx1.example.com:8002 cannot be connected to."),
    ],
)
def test_why_there_is_no_connection(number: int | None, message: str) -> None:
    error = exchange_fault(ATTEMPT, aiohttp.ClientConnectorError(KEY, OSError(number, "text")))
    assert (error.reason, error.message, error.retryable) == (Reason.CONNECT, message, True)
    assert error.hint


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_want_of_files_is_the_exporters_own_trouble(number: int) -> None:
    error = exchange_fault(ATTEMPT, aiohttp.ClientConnectorError(KEY, OSError(number, "text")))
    assert (error.own, error.failure.own, error.lost) == (True, True, False)
    assert "mx1" not in str(error)
    assert "too many files open" in error.message
    assert "LimitNOFILE" in error.hint
    again = pickle.loads(pickle.dumps(error))
    assert (again.own, str(again)) == (True, str(error))


def test_a_connection_that_takes_too_long() -> None:
    error = exchange_fault(ATTEMPT, aiohttp.ConnectionTimeoutError())
    assert error.message == "No connection to mx1.example.com:8002 came about within 10s."
    assert error.reason is Reason.CONNECT


def test_a_panel_that_wants_a_client_certificate() -> None:
    alert = "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"
    error = exchange_fault(ATTEMPT, aiohttp.ClientOSError(1, alert))
    assert (error.reason, error.retryable) == (Reason.TLS, False)
    assert "may want a client certificate" in error.hint


def test_an_address_of_ipv6_is_told_as_a_url_has_it() -> None:
    attempt = Attempt(host(url="https://[2001:db8::1]:8002"), False, 30.0, 10.0)
    assert attempt.place == "[2001:db8::1]:8002"
