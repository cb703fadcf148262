from __future__ import annotations

import ssl

import pytest

from exporter.panel.tls_faults import tls_fault
from exporter.snapshot import Reason
from tests.builders import host


def unverified(code: int, text: str = "") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, text)
    error.verify_code, error.verify_message = code, text
    return error


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (9, "The certificate of mx1:8002 is not valid yet."),
        (10, "The certificate of mx1:8002 has expired."),
        (18, "The certificate of mx1:8002 is self-signed or its authority is not trusted."),
        (19, "The certificate of mx1:8002 is self-signed or its authority is not trusted."),
        (62, "The certificate of mx1:8002 is for another name than mx1.example.com."),
        (64, "The certificate of mx1:8002 is for another name than mx1.example.com."),
        (66, "The certificate of mx1:8002 is not accepted: EE certificate key too weak."),
    ],
)
def test_what_openssl_says_of_a_certificate(code: int, message: str) -> None:
    error = tls_fault(host(), "mx1:8002", unverified(code, "EE certificate key too weak"))
    assert (error.reason, error.message, error.retryable) == (Reason.TLS, message, False)
    assert error.hint.endswith(".")


def test_a_failure_without_a_reason() -> None:
    error = tls_fault(host(), "mx1:8002", ssl.SSLError(1, "odd"))
    assert error.message == "The TLS handshake with mx1:8002 failed."
