"""A real clamd or spamd as a service behind a stand-in panel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PING_TIMEOUT = 2.0
"""Seconds within which a daemon that runs must answer."""

_POLL_INTERVAL = 0.05

Ping = Callable[[], Awaitable[bool]]
"""Asks a daemon for a sign of life; never raises, ends within PING_TIMEOUT."""


def clamd_ping(socket: Path) -> Ping:
    """The PING command of clamd on its unix socket."""

    async def ping() -> bool:
        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_unix_connection(socket)

        return await _answers(connect, b"zPING\0", b"PONG\0")

    return ping


def clamd_tcp_ping(host: str, port: int) -> Ping:
    """The PING command of clamd on its TCP port."""

    async def ping() -> bool:
        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(host, port)

        return await _answers(connect, b"zPING\0", b"PONG\0")

    return ping


def spamd_ping(host: str, port: int) -> Ping:
    """The PING request of spamd's protocol (SPAMC)."""

    async def ping() -> bool:
        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(host, port)

        return await _answers(connect, b"PING SPAMC/1.2\r\n\r\n", b"PONG\r\n")

    return ping


Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def _answers(connect: Connect, question: bytes, ending: bytes) -> bool:
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            reader, writer = await connect()
            try:
                writer.write(question)
                await writer.drain()
                answer = await reader.read(256)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return answer.endswith(ending)


class Daemon:
    """A program run in the foreground, which is up when its ping is answered.

    Use it as an async context manager: it leaves no process behind.
    """

    def __init__(self, command: Sequence[str], ping: Ping, *, start_timeout: float = 15) -> None:
        self._command = tuple(command)
        self._ping = ping
        self._start_timeout = start_timeout
        self.process: asyncio.subprocess.Process | None = None

    async def running(self) -> bool:
        """Whether the daemon answers its ping."""
        return await self._ping()

    async def start(self) -> None:
        """Start it unless it was started; returns once it answers, has died, or time is up."""
        if self.process is not None and self.process.returncode is None:
            return
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await self._until_up(self.process)
        except BaseException:
            await self.stop()
            raise

    async def _until_up(self, process: asyncio.subprocess.Process) -> None:
        deadline = asyncio.get_running_loop().time() + self._start_timeout
        while not await self._ping() and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_INTERVAL):
                    await process.wait()
                    return

    async def stop(self) -> None:
        """End it and its children: politely, then by force."""
        process, self.process = self.process, None
        if process is None:
            return
        try:
            self._signal(process, signal.SIGCONT)
            self._signal(process, signal.SIGTERM)
            async with asyncio.timeout(PING_TIMEOUT):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            self._signal(process, signal.SIGKILL)
            await process.wait()

    def suspend(self) -> None:
        """Make it hang: it keeps its sockets and answers nothing."""
        if self.process is not None:
            self._signal(self.process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        if self.process is not None:
            self._signal(self.process, signal.SIGCONT)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        # The process leads a session of its own, so its children get the signal too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


class RealServices:
    """Services that are real daemons, by name."""

    def __init__(self, daemons: Mapping[str, Daemon]) -> None:
        self._daemons = daemons

    async def installed(self, service: str) -> bool:
        """Whether there is a daemon of that name."""
        return service in self._daemons

    async def running(self, service: str) -> bool:
        """Whether the daemon answers its ping."""
        return await self._daemons[service].running()

    async def switch(self, service: str, *, on: bool) -> bool:
        """Start or stop the daemon; whether it answers afterwards."""
        daemon = self._daemons[service]
        await (daemon.start() if on else daemon.stop())
        return await daemon.running()
