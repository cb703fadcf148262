from __future__ import annotations

import errno
import socket

import pytest

from exporter.web.server.sockets import ListenError, listening_socket


def port_of(listening: socket.socket) -> int:
    port = listening.getsockname()[1]
    assert isinstance(port, int)
    return port


def test_an_error_names_the_address_and_the_cause() -> None:
    error = ListenError(":80", "not permitted")
    assert (error.address, error.cause) == (":80", "not permitted")
    assert str(error) == "cannot listen on :80: not permitted"


@pytest.mark.parametrize(
    ("address", "reached_by"),
    [
        ("127.0.0.1:0", ["127.0.0.1"]),
        ("localhost:0", ["127.0.0.1"]),
        ("[::1]:0", ["::1"]),
        ("[::]:0", ["::1"]),
        ("0.0.0.0:0", ["127.0.0.1"]),
        (":0", ["127.0.0.1", "::1"]),
    ],
)
async def test_what_an_address_takes(address: str, reached_by: list[str]) -> None:
    with await listening_socket(address) as listening:
        port = port_of(listening)
        reached = []
        for host in ("127.0.0.1", "::1"):
            try:
                socket.create_connection((host, port), timeout=5).close()
            except ConnectionRefusedError:
                continue
            reached.append(host)
    assert reached == reached_by


async def test_without_ipv6_every_address_means_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with await listening_socket(":0") as listening:
        assert listening.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("192.0.2.1:0", "it is no address of this machine"),
        ("no-such-host.invalid:0", "the name is not known"),
        ("x" * 300 + ":0", "the name is not known"),
        ("9897", "it is not ADDRESS:PORT"),
    ],
)
async def test_what_cannot_be_listened_on(address: str, cause: str) -> None:
    with pytest.raises(ListenError) as caught:
        await listening_socket(address)
    assert (caught.value.address, caught.value.cause) == (address, cause)


async def test_a_port_in_use_is_named() -> None:
    with await listening_socket("127.0.0.1:0") as first:
        address = f"127.0.0.1:{port_of(first)}"
        with pytest.raises(ListenError, match="in use by another program"):
            await listening_socket(address)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(errno.EACCES, "not permitted: ports below 1024"), (errno.ENOBUFS, "No buffer space")],
)
async def test_other_refusals_of_the_kernel(
    code: int, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: socket.socket, place: object) -> None:
        raise OSError(code, "No buffer space")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ListenError, match=cause):
        await listening_socket("127.0.0.1:0")
