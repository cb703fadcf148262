"""A fleet of stand-in panels on loopback, with queues that change over time."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol

from exporter.config.panel_api import API_PATH
from exporter.standin.certificate import SelfSigned, self_signed
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import Panel, panel_app, panels_app, serving
from exporter.standin.queue import BackendMissingError, MailQueue, QueueError
from exporter.standin.roles import USERNAME, Role, demo_roles, plain_hosts
from exporter.standin.services import MemoryServices

_log = logging.getLogger(__name__)

STEP_INTERVAL = 1.0
"""Seconds between two steps of the queues."""

_RECORDED = 100


class Backend(Protocol):
    """Makes the queues behind the panels of a fleet, other than simulated ones."""

    def adapt(self, role: Role) -> Role:
        """Return the role for a host with such a queue."""

    async def new_queue(self, role: Role, directory: Path, seed: int) -> MailQueue:
        """Make a host's queue; `directory` is its own, does not exist yet, and goes at the end."""


def exim_backend() -> Backend:
    """Return the backend that puts a real Exim behind each panel.

    Raises:
        BackendMissingError: outside of a checkout: what drives a real Exim belongs to the tests
            and is not installed.
    """
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
        """Return the host's entry in the daemon's config."""
        pin = self.fingerprint_sha256
        entry: dict[str, object] = {
            "name": self.name,
            "url": self.url,
            "username": self.username,
            "password": self.password,
            "labels": {"story": self.story},
            "tls": {"fingerprint_sha256": pin} if pin else None,
            "time_zone": self.time_zone,
        }
        return {key: value for key, value in entry.items() if value is not None}


@dataclass(frozen=True, slots=True)
class DemoFleet:
    """Stand-in panels that serve, in the order of their numbers."""

    hosts: tuple[DemoHost, ...]
    panels: Mapping[str, Panel]
    """By the name of the host."""


@asynccontextmanager
async def demo_fleet(
    count: int = 8,
    *,
    backend: Backend | None = None,
    tls: bool = False,
    delay: float = 0,
    live: bool = True,
    single_port: bool = False,
    calm: bool = False,
) -> AsyncIterator[DemoFleet]:
    """Serve stand-in panels, each with a story; leave no task, socket, process or file behind.

    Args:
        count: number of hosts, which are named mx1, mx2, ...
        backend: makes the queues; None simulates them in memory.
        tls: serve all over https with the self-signed certificate, not just one.
        delay: seconds added to the time of every call.
        live: whether the queues change with time.
        single_port: one port for all, host i under /h<i>. Then all are plain hosts, since the
            stories need ports of their own. For measuring with many hosts.
        calm: with one port for all, no host's queue is busy.

    Raises:
        BackendMissingError: the backend's program is not installed.
    """
    plain = plain_hosts(count, calm=calm) if single_port else demo_roles(count)
    roles = {
        f"mx{number}": replace(role, tls=tls or role.tls, delay=role.delay + delay)
        for number, role in enumerate(map(backend.adapt, plain) if backend else plain, start=1)
    }
    certificate = self_signed()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="standin-")))
        panels: dict[str, Panel] = {}
        for seed, (name, role) in enumerate(roles.items(), start=1):
            queue: MailQueue = (
                await backend.new_queue(role, folder / name, seed)
                if backend
                else MemoryQueue(role.profile, seed=seed, ids=role.ids)
            )
            services = MemoryServices(stopped=role.stopped)
            panels[name] = Panel(role.options(_password(name)), queue, services, record=_RECORDED)
        flapping: list[FlappingServer] = []
        if single_port:
            app = panels_app({f"h{name.removeprefix('mx')}": each for name, each in panels.items()})
            context = certificate.context if tls else None
            base = await stack.enter_async_context(serving(app, tls=context))
            urls = [f"{base}/h{number}{API_PATH}" for number in range(1, count + 1)]
        else:
            urls = [
                await _serve(stack, panels[name], role, certificate, flapping)
                for name, role in roles.items()
            ]
        if live:
            task = asyncio.create_task(_live(panels, flapping), name="demo fleet")
            stack.push_async_callback(_end, task)
        hosts = tuple(
            DemoHost(
                name=name,
                url=url,
                username=USERNAME,
                password=_password(name),
                story=role.story,
                fingerprint_sha256=certificate.fingerprint_sha256 if role.tls else None,
                time_zone="UTC" if role.style.shape == "postqueue_text" else None,
            )
            for (name, role), url in zip(roles.items(), urls, strict=True)
        )
        yield DemoFleet(hosts, panels)


async def _serve(
    stack: AsyncExitStack,
    panel: Panel,
    role: Role,
    certificate: SelfSigned,
    flapping: list[FlappingServer],
) -> str:
    """Serve a panel on a port of its own, as its role has it; return its URL."""
    tls = certificate.context if role.tls else None
    if role.listening == "always":
        return await stack.enter_async_context(serving(panel_app(panel), tls=tls))
    port = stack.enter_context(reserved_port())
    if role.listening == "at times":
        server = FlappingServer(panel, port, tls)
        stack.push_async_callback(server.close)
        await server.advance(asyncio.get_running_loop().time())
        flapping.append(server)
    return f"{'https' if tls else 'http'}://127.0.0.1:{port}"


async def _live(panels: Mapping[str, Panel], flapping: Sequence[FlappingServer]) -> None:
    """Step every queue about once a second, by the time that really passed."""
    clock = asyncio.get_running_loop().time
    before = clock()
    while True:
        await asyncio.sleep(STEP_INTERVAL)
        now = clock()
        for name, panel in panels.items():
            try:
                await panel.queue.step(now - before)
            except QueueError as error:
                # A busy machine may make Exim too slow for once; the rest of the fleet goes on.
                _log.warning("the queue of %s stood still: %s", name, error)
        for server in flapping:
            await server.advance(now)
        before = now


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()  # it failed before: that must not go unnoticed


def _password(name: str) -> str:
    return f"stand-in-{name}"


@contextmanager
def reserved_port() -> Iterator[int]:
    """Give a port on loopback that nobody else gets and that refuses connections.

    A server may listen on it meanwhile by asking to share it (`reuse_port`).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@dataclass(slots=True)
class FlappingServer:
    """A panel that listens for a while, then refuses connections for a while, and so on."""

    panel: Panel
    port: int
    tls: ssl.SSLContext | None = None
    up: float = 240
    """Seconds for which it listens, from the first `advance` on."""
    down: float = 60
    _began: float | None = None
    _open: AsyncExitStack | None = None

    async def advance(self, now: float) -> None:
        """Be up or down as the time (in seconds, of any clock) demands."""
        if self._began is None:
            self._began = now
        up = (now - self._began) % (self.up + self.down) < self.up
        if up and self._open is None:
            self._open = AsyncExitStack()  # at once, so that `close` meets what is half open
            server = serving(panel_app(self.panel), tls=self.tls, port=self.port, reuse_port=True)
            await self._open.enter_async_context(server)
        elif not up:
            await self.close()

    async def close(self) -> None:
        """Stop listening and end its connections."""
        if self._open is not None:
            await self._open.aclose()
            self._open = None
