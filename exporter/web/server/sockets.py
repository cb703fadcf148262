"""Listening sockets by the addresses of a config."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

from exporter.config.models import split_address

BACKLOG = 512
"""Connections that wait to be accepted; the kernel may allow fewer."""

UNREAD_TIMEOUT = 60.0
"""Seconds after which a client that does not read its answer is cut off."""

_CAUSES = {
    errno.EADDRINUSE: "the port is in use by another program; does an exporter run already?",
    errno.EACCES: "not permitted: ports below 1024 need the capability CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "it is no address of this machine",
}


class ListenError(Exception):
    """An address cannot be listened on; names the address and the cause."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(f"cannot listen on {address}: {cause}")
        self.address = address
        self.cause = cause


async def listening_socket(address: str) -> socket.socket:
    """Return a socket that listens on `ADDRESS:PORT`; nothing accepts its connections yet.

    `:PORT` takes IPv4 and IPv6; `[::]:PORT` takes IPv6 only, so that it may stand beside
    `0.0.0.0:PORT`. A name stands for its first address, IPv4 before IPv6.

    Raises:
        ListenError: the address is in use, not local, not permitted, or not found.
    """
    family, place = await _resolve(address)
    both = family is socket.AF_INET6 and address.startswith(":")
    try:
        # Reuses the address: else a restart would wait until the last connections' remains are
        # gone.
        listening = socket.create_server(place, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        cause = _CAUSES.get(error.errno or 0, error.strerror or "unknown cause")
        raise ListenError(address, cause) from None
    listening.settimeout(0)
    # Accepted connections inherit it; aiohttp itself waits for a slow reader for ever.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_TIMEOUT * 1000))
    return listening


async def _resolve(address: str) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        host, port = split_address(address)
    except ValueError:
        raise ListenError(address, "it is not ADDRESS:PORT") from None
    if host is None:
        if socket.has_dualstack_ipv6():
            return socket.AF_INET6, ("::", port, 0, 0)
        return socket.AF_INET, ("0.0.0.0", port)  # noqa: S104 - the config asks for it
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ListenError(address, "the name is not known") from None
    first = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    return first[0], first[4]
