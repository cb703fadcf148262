"""systemd's notification protocol (sd_notify(3)): states sent to the socket in NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress


def notify(*states: str, wait: bool = True) -> None:
    """Send states such as `READY=1` to systemd; do nothing when systemd did not start us.

    Where systemd reads so late that its socket is full, this waits, or drops them.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket is written with @ for the leading NUL
        address = "\0" + address[1:]
    with (
        suppress(OSError),  # a manager that went away must not take the daemon with it
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.setblocking(wait)
        channel.connect(address)
        channel.sendall("\n".join(states).encode())


def reloading() -> None:
    """Say that a reload begins; READY=1 ends it. systemd identifies reloads by their time."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


async def keep_watchdog() -> None:
    """Notify the watchdog twice in its period, without end, while the event loop turns."""
    period = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not period or meant_for != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1", wait=False)  # the next one comes soon; polls must not stand still
        await asyncio.sleep(period / 2)
