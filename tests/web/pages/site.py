"""A daemon over stand-in panels, for people to look at: it polls only when it is asked to."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import yaml

from exporter.config.panel_api import API_PATH
from exporter.daemon import Daemon
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import Panel, PanelOptions, panel_app, serving
from exporter.standin.queue import QueuedMessage, queue_id
from exporter.standin.services import MemoryServices
from exporter.standin.traffic import CALM, EMPTY

USER, PASSWORD = "ann", "a long password"

HOUR, DAY = 3600.0, 86400.0

SCRIPT = "<script>window.hacked = true</script>@example.com"
TURNED = "\u202emoc.elpmaxe@nna\u202c"
LONG = "a" * 900 + "@example.com"


class HeldQueue(MemoryQueue):
    """A queue of the messages that it is given, whose ages stand still."""

    def __init__(self, held: Sequence[QueuedMessage] = ()) -> None:
        super().__init__(EMPTY)
        self.held = list(held)

    @property
    def revision(self) -> Any:
        return None

    async def count(self) -> int:
        return len(self.held)

    async def messages(self) -> list[QueuedMessage]:
        return self.held


def mail(serial: int, **keys: Any) -> QueuedMessage:
    """A message; the serial makes its id."""
    values: dict[str, Any] = {
        "age": HOUR,
        "size": 2000,
        "sender": f"sender{serial}@shop.example",
        "recipients": ("bob@example.net",),
    } | keys
    return QueuedMessage(queue_id("exim", time.time() - values["age"], serial), **values)


def many() -> list[QueuedMessage]:
    """250 messages, the oldest first; every fifth is a frozen bounce."""
    return [
        mail(
            serial,
            age=DAY * 10 - serial * 600,
            **({"sender": "", "frozen": True} if serial % 5 == 0 else {}),
        )
        for serial in range(250)
    ]


def hostile() -> list[QueuedMessage]:
    """Mail of a sender who would like to be noticed."""
    return [
        mail(1, sender=SCRIPT),
        mail(2, sender=TURNED),
        mail(3, sender=LONG),
        mail(4, sender='"><img src=x onerror=window.hacked=1>@example.com'),
        mail(5, recipients=tuple(f"r{number}@example.net" for number in range(9))),
    ]


def rules() -> dict[str, Any]:
    """Two that ask a person at once, and one that waits for its time."""
    return {
        "mode": "enforce",
        "rules": [
            *(
                {
                    "name": f"start-{service}",
                    "when": [f'service_up{{service="{service}"}} == 0'],
                    "action": "service_on",
                    "service": service,
                    "approval": "required",
                }
                for service in ("clamav", "spamassassin")
            ),
            {
                "name": "purge-frozen",
                "when": ["queue_frozen_messages > 20"],
                "for": "2h",  # longer than the interval: by the next poll it does not act
                "action": "purge_frozen",
                "select": {"frozen": True, "bounce": True},
            },
        ],
    }


@dataclass(slots=True)
class Site:
    """Panels, the daemon over them, and a client that knows its password."""

    folder: Path
    config: dict[str, Any]
    panels: dict[str, Panel]
    session: aiohttp.ClientSession
    url: str = ""
    daemon: Daemon | None = None
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Run the daemon until `stop`; every host was polled when this returns."""
        self._write()
        listening: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self.daemon = Daemon(self.file, on_listening=listening.set_result)
        self._task = asyncio.create_task(self.daemon.run())
        waited: list[asyncio.Future[Any]] = [self._task, listening]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        self.url = listening.result()[0]
        for host in self.config["hosts"]:
            await self.poll(host["name"])
        await self.poll("mx3")  # no rule acts before it is known how many hosts want an action

    async def stop(self) -> None:
        """End the daemon."""
        daemon, task, self.daemon, self._task = self.daemon, self._task, None, None
        if daemon is None or task is None:
            return
        daemon.stop()
        async with asyncio.timeout(30):
            await task

    @property
    def file(self) -> Path:
        """The config."""
        return self.folder / "config.yaml"

    def _write(self) -> None:
        self.file.write_text(yaml.safe_dump(self.config))

    async def reload(self) -> None:
        """Let the daemon follow `config` as it is now."""
        self._write()
        async with self.session.post(f"{self.url}/-/reload") as answer:
            assert answer.status == 200, await answer.text()

    async def by_command(self, what: str, rule: str, host: str) -> None:
        """Decide as a person at a terminal does."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exporter", "remediation", what, rule, host),
            *("--config", str(self.file)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()

    async def poll(self, host: str) -> None:
        """Poll a host now, and wait for what the rules make of it."""
        async with self.session.get(f"{self.url}/probe?target={host}") as answer:
            assert answer.status == 200, await answer.text()
        assert self.daemon is not None
        work = self.daemon.app.controller.fleet.hosts[host].task
        if work is not None:
            await asyncio.wait([work])

    async def journal(self) -> list[dict[str, Any]]:
        """The newest entries."""
        async with self.session.get(f"{self.url}/api/v1/journal") as answer:
            entries: list[dict[str, Any]] = await answer.json()
            return entries

    def queue(self, host: str) -> MemoryQueue:
        """What waits behind a panel."""
        queue = self.panels[host].queue
        assert isinstance(queue, MemoryQueue)
        return queue

    def services(self, host: str) -> MemoryServices:
        """What runs beside it."""
        services = self.panels[host].services
        assert isinstance(services, MemoryServices)
        return services


@asynccontextmanager
async def running(
    folder: Path, *, users: bool = False, remediation: bool = True, **web: Any
) -> AsyncIterator[Site]:
    """Five hosts: calm, full of mail, without clamav, down, and one with hostile mail."""
    cast = {
        "mx1": ("msk", MemoryQueue(CALM)),
        "mx2": ("spb", HeldQueue(many())),
        "mx3": ("spb", HeldQueue()),
        "mx5": ("msk", HeldQueue(hostile())),
    }
    async with AsyncExitStack() as stack:
        panels, hosts = dict[str, Panel](), list[dict[str, Any]]()
        for name, (dc, queue) in cast.items():
            services = MemoryServices(stopped=("clamav",) if name == "mx3" else ())
            panels[name] = Panel(PanelOptions(), queue, services)
            url = await stack.enter_async_context(serving(panel_app(panels[name])))
            hosts.append(_host(name, url, dc))
        # Bound, so that nobody else gets the port, but never listening.
        reserved = stack.enter_context(socket.socket())
        reserved.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{reserved.getsockname()[1]}{API_PATH}"
        hosts.insert(3, _host("mx4", down, "msk"))
        with socket.socket() as probe:  # of its own, so that it can come back there
            probe.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{probe.getsockname()[1]}"
        config: dict[str, Any] = {
            "hosts": hosts,
            "poll": {"interval": "1h", "timeout": "10s"},
            "web": {"listen": listen, **web},
            "state": {"path": "state.db"},
            "alerting": {
                "rules": [
                    {
                        "name": "ClamavStopped",
                        "when": ['service_up{service="clamav"} == 0'],
                        "severity": "critical",
                        "annotations": {"summary": "clamav of {{ host }} does not run"},
                    },
                ]
            },
            "remediation": rules() if remediation else {"mode": "off"},
            "log": {"level": "error"},
        }
        headers = dict[str, str]()
        if users:
            config["web"]["config_file"] = "web.yaml"
            known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
            (folder / "web.yaml").write_text(yaml.safe_dump({"basic_auth_users": {USER: known}}))
            headers["Authorization"] = aiohttp.encode_basic_auth(USER, PASSWORD)
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        site = Site(folder, config, panels, session)
        stack.push_async_callback(site.stop)
        await site.start()
        yield site


def _host(name: str, url: str, dc: str) -> dict[str, Any]:
    return {
        "name": name,
        "url": url,
        "username": "monitor",
        "password": "stand-in",
        "labels": {"dc": dc},
    }
