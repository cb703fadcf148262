from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.web.server.tls import TlsError, TlsParameters, server_tls


@pytest.fixture
def parameters(folder: Path) -> TlsParameters:
    return TlsParameters((folder / "server.pem").read_bytes(), (folder / "server.key").read_bytes())


def test_the_library_may_lack_a_suite(parameters: TlsParameters) -> None:
    some = replace(parameters, ciphers=("ECDHE-RSA-AES128-GCM-SHA256", "NO-SUCH"))
    with pytest.raises(TlsError, match=r"does not offer NO-SUCH$") as caught:
        server_tls(some)
    assert caught.value.field == "ciphers"


def test_the_library_may_lack_all_suites(parameters: TlsParameters) -> None:
    with pytest.raises(TlsError, match="does not offer NO-SUCH"):
        server_tls(replace(parameters, ciphers=("NO-SUCH",)))


def test_the_library_may_lack_a_curve(parameters: TlsParameters) -> None:
    with pytest.raises(TlsError) as caught:
        server_tls(replace(parameters, curve="no-such"))
    assert caught.value.field == "curve"


def test_a_pair_serves_by_default_what_is_sound(parameters: TlsParameters) -> None:
    context = server_tls(parameters).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
