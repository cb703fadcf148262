from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config.access import TlsConfig
from exporter.config.models import HostConfig, PollConfig
from exporter.panel import in_flight
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.panel.tls import TlsContexts, TlsLink, current_link, trust_of
from exporter.snapshot import Reason
from tests.panel.pki import EXPIRES, Pki
from tests.panel.servers import Peer, RawPanel, ServeRaw, answering, http, sending, silent

MakeHost = Callable[..., HostConfig]


class Resumption:
    """A panel that takes one request a connection, and notes which ones resumed a session."""

    def __init__(self) -> None:
        self.resumed: list[bool] = []

    async def __call__(self, peer: Peer) -> None:
        if await peer.read_request() is not None:
            self.resumed.append(peer.resumed)
            await peer.send(http(Connection="close"))


async def failure_of(client: PanelClient) -> PanelError:
    with pytest.raises(PanelError) as caught:
        await client.request(Operation.COUNT)
    return caught.value


async def test_verified_by_the_authority_of_a_file(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    panel = await serve(answering(http(b"secure")), tls=pki.server())
    client = pool.client(host(panel, tls=TlsConfig(ca_file=pki.ca_file)))
    assert client.certificate_expiry is None
    for _ in range(3):
        assert (await client.request(Operation.COUNT)).body == b"secure"
    assert panel.connections == 1
    assert client.certificate_expiry == EXPIRES.timestamp()


async def test_a_self_signed_certificate_given_as_its_own_authority(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki, tmp_path: Path
) -> None:
    file = tmp_path / "panel.pem"
    context, _ = pki.self_signed_server()
    panel = await serve(answering(http()), tls=context)
    certificate = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", panel.port))
    file.write_text(certificate)
    # The name in it is another one, so that the chain is all that this accepts.
    error = await failure_of(pool.client(host(panel, tls=TlsConfig(ca_file=file))))
    assert "is for another name than 127.0.0.1" in error.message


async def test_the_systems_authorities_do_not_know_it(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    panel = await serve(answering(http()), tls=pki.server())
    error = await failure_of(pool.client(host(panel)))
    assert (error.reason, error.retryable) == (Reason.TLS, False)
    assert "authority that is not trusted" in error.message
    assert f"openssl s_client -connect 127.0.0.1:{panel.port}" in error.hint
    assert not panel.requests


async def test_the_systems_authorities_know_it(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca_file))
    panel = await serve(answering(http()), tls=pki.server())
    await pool.client(host(panel)).request(Operation.COUNT)
    assert len(panel.requests) == 1


async def test_self_signed(serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki) -> None:
    context, _ = pki.self_signed_server()
    panel = await serve(answering(http()), tls=context)
    error = await failure_of(pool.client(host(panel)))
    assert error.reason is Reason.TLS
    assert "self-signed" in error.message
    assert "tls.fingerprint_sha256" in error.hint
    assert "tls.ca_file" in error.hint


@pytest.mark.parametrize("tls", ["expired", "future", "name"])
async def test_a_certificate_that_does_not_fit(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki, tls: str
) -> None:
    context, message = {
        "expired": (pki.expired_server(), "has expired"),
        "future": (pki.future_server(), "is not valid yet"),
        "name": (pki.server("mail.example.org"), "is for another name than 127.0.0.1"),
    }[tls]
    panel = await serve(answering(http()), tls=context)
    error = await failure_of(pool.client(host(panel, tls=TlsConfig(ca_file=pki.ca_file))))
    assert (error.reason, error.retryable) == (Reason.TLS, False)
    assert f"The certificate of 127.0.0.1:{panel.port} {message}" in error.message
    assert not panel.requests


async def test_a_name_that_does_not_fit(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    panel = await serve(answering(http()), tls=pki.server("mail.example.org"))
    url = f"https://localhost:{panel.port}"
    error = await failure_of(pool.client(host(panel, url=url, tls={"ca_file": pki.ca_file})))
    assert "is for another name than localhost" in error.message


async def test_the_right_pin_accepts_a_self_signed_certificate(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    context, fingerprint = pki.self_signed_server()
    panel = await serve(answering(http(b"pinned")), tls=context)
    client = pool.client(host(panel, tls=TlsConfig(fingerprint_sha256=fingerprint.upper())))
    assert (await client.request(Operation.COUNT)).body == b"pinned"
    assert client.certificate_expiry == EXPIRES.timestamp()


async def test_a_wrong_pin_is_found_before_anything_is_sent(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    context, fingerprint = pki.self_signed_server()
    panel = await serve(silent, tls=context)
    client = pool.client(host(panel, tls=TlsConfig(fingerprint_sha256="0" * 64)))
    error = await failure_of(client)
    assert (error.reason, error.retryable) == (Reason.TLS_PIN, False)
    assert fingerprint in error.message
    assert not panel.requests
    assert client.certificate_expiry is None


async def test_any_certificate_when_configured_so(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    context, _ = pki.self_signed_server()
    panel = await serve(answering(http()), tls=context)
    client = pool.client(host(panel, tls=TlsConfig(insecure_skip_verify=True)))
    await client.request(Operation.COUNT)
    assert client.certificate_expiry == EXPIRES.timestamp()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("way", ["ca_file", "pin", "insecure"])
async def test_a_session_is_resumed(
    serve: ServeRaw,
    pool: PanelPool,
    host: MakeHost,
    pki: Pki,
    version: ssl.TLSVersion,
    way: str,
) -> None:
    behave = Resumption()
    self_signed, fingerprint = pki.self_signed_server()
    context, tls = {
        "ca_file": (pki.server(), TlsConfig(ca_file=pki.ca_file)),
        "pin": (self_signed, TlsConfig(fingerprint_sha256=fingerprint)),
        "insecure": (self_signed, TlsConfig(insecure_skip_verify=True)),
    }[way]
    context.maximum_version = version
    panel = await serve(behave, tls=context)
    client = pool.client(host(panel, tls=tls))
    for _ in range(3):
        await client.request(Operation.COUNT)
        assert client.certificate_expiry == EXPIRES.timestamp()
    assert behave.resumed == [False, True, True]


async def test_hosts_do_not_share_sessions(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    behave = Resumption()
    panel = await serve(behave, tls=pki.server())
    for name in ("mx1", "mx2"):
        client = pool.client(host(panel, name=name, tls=TlsConfig(insecure_skip_verify=True)))
        await client.request(Operation.COUNT)
    assert behave.resumed == [False, False]


async def test_a_resumed_session_does_not_get_around_the_pin(pki: Pki) -> None:
    """The pin is checked in each handshake, by the certificate that the session stands for."""
    context, fingerprint = pki.self_signed_server()
    client = TlsContexts().get(trust_of(TlsConfig(fingerprint_sha256=fingerprint)))
    right, wrong = TlsLink(fingerprint), TlsLink("0" * 64)
    handshake(client, context, right)
    right.keep_session()
    session = right.session_for(client)
    assert handshake(client, context, right, session).session_reused
    with pytest.raises(ssl.SSLError, match="not the pinned one"):
        handshake(client, context, wrong, session)


async def test_a_session_is_offered_only_where_it_was_judged(pki: Pki) -> None:
    contexts = TlsContexts()
    verifying = contexts.get(trust_of(TlsConfig(ca_file=pki.ca_file)))
    link = TlsLink()
    handshake(verifying, pki.server(), link)
    link.keep_session()
    assert link.session_for(verifying) is not None
    assert link.session_for(contexts.get(trust_of(TlsConfig()))) is None
    link.drop_session()
    assert link.session_for(verifying) is None


async def test_a_session_does_not_outlive_the_certificate(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = TlsContexts()
    verifying = contexts.get(trust_of(TlsConfig(ca_file=pki.ca_file)))
    anything = contexts.get(trust_of(TlsConfig(insecure_skip_verify=True)))
    links = {verifying: TlsLink(), anything: TlsLink()}
    for context, link in links.items():
        handshake(context, pki.server(), link)
        link.keep_session()
    monkeypatch.setattr("time.time", lambda: EXPIRES.timestamp() + 1)
    assert links[verifying].session_for(verifying) is None
    assert links[anything].session_for(anything) is not None


async def test_a_certificate_that_cannot_be_read_has_no_expiry() -> None:
    class Odd(ssl.SSLObject):
        def __init__(self) -> None:
            """A connection whose certificate OpenSSL took, but nothing else can read."""

        def getpeercert(self, **_: object) -> bytes:  # type: ignore[override]  # only the DER form is asked for
            return b"\x30\x00"

    link = TlsLink()
    link.handshaken(Odd())
    assert link.certificate_expiry is None


async def test_no_connection_without_a_link(pki: Pki) -> None:
    """Whose pin should hold for it?"""
    context = TlsContexts().get(trust_of(TlsConfig(insecure_skip_verify=True)))
    with pytest.raises(LookupError):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())


def test_contexts_are_shared_by_what_they_trust(pki: Pki) -> None:
    contexts = TlsContexts()
    pinned = [TlsConfig(fingerprint_sha256=digit * 64) for digit in "01"]
    anything = TlsConfig(insecure_skip_verify=True)
    by_file = [TlsConfig(ca_file=file) for file in (pki.ca_file, pki.stranger_file)]
    configs = [TlsConfig(), TlsConfig(), *pinned, anything, *by_file, *by_file]
    assert len({contexts.get(trust_of(tls)) for tls in configs}) == 4


def test_a_file_that_changed_is_read_again_at_a_reload(pki: Pki, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    shutil.copy(pki.ca_file, file)
    contexts = TlsContexts()
    trusts = [trust_of(tls) for tls in (TlsConfig(ca_file=file), TlsConfig())]
    first = [contexts.get(trust) for trust in trusts]
    contexts.refresh()
    assert [contexts.get(trust) for trust in trusts] == first
    shutil.copy(pki.stranger_file, file)
    os.utime(file, (1, 1))
    contexts.refresh()
    assert contexts.get(trusts[0]) is not first[0]
    assert contexts.get(trusts[1]) is first[1]


async def test_a_new_authority_holds_for_the_next_request(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    shutil.copy(pki.ca_file, file)
    panel = await serve(answering(http()), tls=pki.server())
    client = pool.client(host(panel, tls=TlsConfig(ca_file=file)))
    await client.request(Operation.COUNT)
    shutil.copy(pki.stranger_file, file)
    pool.update(PollConfig())
    error = await failure_of(client)
    assert error.reason is Reason.TLS
    file.unlink()
    pool.update(PollConfig())
    error = await failure_of(client)
    assert error.reason is Reason.TLS
    assert f"The file of tls.ca_file cannot be used: {file}: No such file" in error.message


async def test_a_panel_that_wants_a_client_certificate(
    pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    """A blocking server: those of asyncio do not send the alert that says why they hang up."""
    context = pki.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.ca_file)

    alerted = threading.Event()

    def refuse(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with context.wrap_socket(accepted, True, do_handshake_on_connect=False) as connection:
            with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN"):
                connection.do_handshake()
            alerted.wait(5)  # closing would overtake the alert

    with socket.create_server(("127.0.0.1", 0)) as listener:
        panel = RawPanel(silent, url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        refusing = asyncio.create_task(asyncio.to_thread(refuse, listener))
        error = await failure_of(pool.client(host(panel, tls=TlsConfig(ca_file=pki.ca_file))))
        alerted.set()
        await refusing
    # When the alert overtakes the request, all that shows is a connection that has ended.
    assert error.reason in {Reason.TLS, Reason.CONNECT}


async def test_a_panel_that_hangs_up_after_the_handshake(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki
) -> None:
    panel = await serve(sending(), tls=pki.server())
    error = await failure_of(pool.client(host(panel, tls=TlsConfig(ca_file=pki.ca_file))))
    assert (error.reason, error.retryable) == (Reason.CONNECT, True)
    assert error.hint.endswith("Check the port in `url`.")


@pytest.mark.usefixtures("_nothing_leaks")
async def test_a_hanging_handshake_is_given_up_and_closed(
    serve: ServeRaw, host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hanging(peer: Peer) -> None:
        await peer.gone()

    panel = await serve(hanging, scheme="https")
    assert in_flight.connect_seconds(3.0) == pytest.approx(2.7)
    # On a busy machine, too, the connection is given up long before the whole request is.
    monkeypatch.setattr(in_flight, "CONNECT_TIMEOUT", 1.0)
    async with PanelPool(PollConfig(timeout="60s")) as pool:
        error = await failure_of(pool.client(host(panel)))
    assert error.reason is Reason.CONNECT
    assert "came about within 1s" in error.message
    await panel.left.wait()


def handshake(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    link: TlsLink,
    session: ssl.SSLSession | None = None,
) -> ssl.SSLObject:
    """A handshake in memory, and a byte from the server, with which its tickets come."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    token = current_link.set(link)
    mine = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1", session=session)
    current_link.reset(token)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [mine, theirs]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    theirs.write(b"x")
    assert mine.read(1) == b"x"
    return mine
