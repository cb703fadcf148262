"""A fleet of stand-in panels on loopback, whose queues live."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from exporter.config.panel_api import API_PATH
from exporter.standin.certificate import SelfSigned, self_signed
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import KEEPALIVE, Panel, panel_app, panels_app, serving
from exporter.standin.queue import BackendMissingError, MailQueue, QueueError
from exporter.standin.roles import USERNAME, Role, demo_roles, plain_hosts
from exporter.standin.services import MemoryServices

_log = logging.getLogger(__name__)

STEP_INTERVAL = 1.0
"""Seconds between two steps of the queues."""

_RECORDED = 100


class Backend(Protocol):
    """Where the queues behind the panels of a fleet come from."""

    def adapt(self, role: Role) -> Role:
        """Return the role for a host with such a queue."""

    async def new_queue(self, role: Role, directory: Path, seed: int) -> MailQueue:
        """Make a host's queue; `directory` is its own, does not exist yet, and goes at the end."""


class MemoryBackend:
    """Simulates every queue in memory."""

    def adapt(self, role: Role) -> Role:
        """Return the role as it is."""
        return role

    async def new_queue(self, role: Role, directory: Path, seed: int) -> MailQueue:  # noqa: ARG002 - nothing is on the disk
        """Make a simulated queue."""
        return MemoryQueue(role.profile, seed=seed, ids=role.ids)


def load_backend(name: str) -> Backend:
    """Return the backend "memory" or "exim".

    Raises:
        BackendMissingError: for "exim" outside of a checkout: what drives a real Exim belongs
            to the tests and is not installed.
    """
    if name == "memory":
        return MemoryBackend()
    try:
        exim = import_module("tests.servers.exim")
    except ModuleNotFoundError:
        raise BackendMissingError(
            "the backend exim needs a checkout of the source: what drives Exim is not installed"
        ) from None
    backend: Backend = exim.EximBackend()
    return backend


@dataclass(frozen=True, slots=True)
class DemoHost:
    """One host as its operator would configure it."""

    name: str
    url: str
    username: str
    password: str = field(repr=False)
    story: str
    """What is the matter with it, in a word or two."""
    fingerprint_sha256: str | None = None
    """Of its self-signed certificate; None for plain http."""
    time_zone: str | None = None
    """That of the dates it shows, where those name none."""

    def config(self) -> dict[str, object]:
        """The host's entry in the daemon's config."""
        entry: dict[str, object] = {
            "name": self.name,
            "url": self.url,
            "username": self.username,
            "password": self.password,
            "labels": {"story": self.story},
        }
        if self.fingerprint_sha256:
            entry["tls"] = {"fingerprint_sha256": self.fingerprint_sha256}
        if self.time_zone:
            entry["time_zone"] = self.time_zone
        return entry


class DemoFleet:
    """Stand-in panels, each with a story, and one task that steps their queues to the end.

    An async context manager: it leaves no task, socket, process or file behind.

    Raises:
        BackendMissingError: on entering, where the backend's program is not installed.
    """

    def __init__(
        self,
        count: int = 8,
        *,
        backend: Backend | None = None,
        seed: int = 1,
        tls: bool = False,
        delay: float = 0,
        live: bool = True,
        single_port: bool = False,
        keepalive: float = KEEPALIVE,
        calm: bool = False,
    ) -> None:
        """Nothing is started yet.

        Args:
            count: number of hosts, which are named mx1, mx2, ...
            backend: makes the queues; None simulates them in memory.
            seed: equal ones give simulated queues with equal histories.
            tls: serve all over https with the self-signed certificate, not just one.
            delay: seconds added to the time of every call.
            live: whether the queues change by themselves.
            single_port: one port for all, host i under /h<i>. Then all are plain hosts, since
                the stories need ports of their own. For measuring with many hosts.
            calm: with one port for all, no host's queue is busy.
            keepalive: seconds for which the one port keeps an idle connection open.
        """
        self.hosts: tuple[DemoHost, ...] = ()
        """In the order of their numbers; empty before it is entered."""
        self.panels: dict[str, Panel] = {}
        """By the name of the host."""
        self._backend = backend or MemoryBackend()
        roles = plain_hosts(count, calm=calm) if single_port else demo_roles(count)
        self._roles = {
            f"mx{number}": replace(role, tls=tls or role.tls, delay=role.delay + delay)
            for number, role in enumerate(map(self._backend.adapt, roles), start=1)
        }
        self._seed = seed
        self._is_live = live
        self._single_port = single_port
        self._keepalive = keepalive
        self._flapping: list[FlappingServer] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._make_panels(stack)
            shown = self_signed() if any(role.tls for role in self._roles.values()) else None
            if self._single_port:
                urls = await self._serve_together(stack, shown)
            else:
                urls = [await self._serve(stack, name, shown) for name in self._roles]
            self.hosts = tuple(
                _host(name, url, role, shown)
                for (name, role), url in zip(self._roles.items(), urls, strict=True)
            )
            if self._is_live:
                task = asyncio.create_task(self._live(), name="demo fleet")
                stack.push_async_callback(_end, task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _make_panels(self, stack: AsyncExitStack) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="standin-")))
        for seed, (name, role) in enumerate(self._roles.items(), start=self._seed):
            queue = await self._backend.new_queue(role, directory / name, seed)
            services = MemoryServices(stopped=role.stopped)
            options = role.options(_password(name))
            self.panels[name] = Panel(options, queue, services, record=_RECORDED)

    async def _serve_together(
        self, stack: AsyncExitStack, certificate: SelfSigned | None
    ) -> list[str]:
        panels = {f"h{number}": panel for number, panel in enumerate(self.panels.values(), 1)}
        tls = certificate.context if certificate else None
        server = serving(panels_app(panels), tls=tls, keepalive=self._keepalive)
        base = await stack.enter_async_context(server)
        return [f"{base}/{path}{API_PATH}" for path in panels]

    async def _serve(self, stack: AsyncExitStack, name: str, certificate: SelfSigned | None) -> str:
        role, panel = self._roles[name], self.panels[name]
        tls = certificate.context if certificate and role.tls else None
        if role.listening == "always":
            return await stack.enter_async_context(serving(panel_app(panel), tls=tls))
        port = stack.enter_context(reserved_port())
        if role.listening == "at times":
            server = FlappingServer(panel, port, tls=tls)
            stack.push_async_callback(server.close)
            await server.follow(asyncio.get_running_loop().time())
            self._flapping.append(server)
        return f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    async def _live(self) -> None:
        """Step every queue about once a second, by the time that really passed."""
        clock = asyncio.get_running_loop().time
        before = clock()
        while True:
            await asyncio.sleep(STEP_INTERVAL)
            now = clock()
            for name, panel in self.panels.items():
                await _step(name, panel.queue, now - before)
            for server in self._flapping:
                await server.follow(now)
            before = now


async def _step(name: str, queue: MailQueue, seconds: float) -> None:
    try:
        await queue.step(seconds)
    except QueueError as error:
        # A busy machine may make Exim too slow for once; the rest of the fleet goes on.
        _log.warning("the queue of %s stood still: %s", name, error)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()  # it failed before: that must not go unnoticed


def _password(name: str) -> str:
    return f"stand-in-{name}"


def _host(name: str, url: str, role: Role, certificate: SelfSigned | None) -> DemoHost:
    return DemoHost(
        name=name,
        url=url,
        username=USERNAME,
        password=_password(name),
        story=role.story,
        fingerprint_sha256=certificate.fingerprint_sha256 if certificate and role.tls else None,
        time_zone="UTC" if role.style.shape == "postqueue_text" else None,
    )


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port on loopback that nobody else gets and that refuses connections by itself.

    A server may listen on it meanwhile by asking to share it (`reuse_port`).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class FlappingServer:
    """A panel that listens for a while, then refuses connections for a while, and so on."""

    def __init__(
        self,
        panel: Panel,
        port: int,
        *,
        up: float = 240,
        down: float = 60,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """It is to be up and down for so many seconds, from the first `follow` on."""
        self._panel = panel
        self._port = port
        self._tls = tls
        self._up = up
        self._down = down
        self._began: float | None = None
        self._open: AsyncExitStack | None = None

    async def follow(self, now: float) -> None:
        """Be up or down as the time (in seconds, of any clock) demands."""
        if self._began is None:
            self._began = now
        up = (now - self._began) % (self._up + self._down) < self._up
        if up and self._open is None:
            self._open = AsyncExitStack()  # at once, so that `close` meets what is half open
            server = serving(
                panel_app(self._panel), tls=self._tls, port=self._port, reuse_port=True
            )
            await self._open.enter_async_context(server)
        elif not up:
            await self.close()

    async def close(self) -> None:
        """Stop listening and end its connections."""
        if self._open is not None:
            await self._open.aclose()
            self._open = None
