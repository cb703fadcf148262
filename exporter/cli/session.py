"""What the commands share that act: the means, the user, the question, Ctrl-C, and troubles."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

import click
import uvloop
from rich.console import Console
from rich.progress import Progress

from exporter.alertmanager.client import AlertmanagerClient
from exporter.cli.terminal import errors, printable, progress_bar, say
from exporter.config.models import Config, HostConfig
from exporter.humanize import integer
from exporter.journal import JournalError
from exporter.journal.host_lock import HostBusyError, HostLocks, LockFileError
from exporter.journal.thread import JournalThread
from exporter.panel.client import PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.queue_decoder import QueueDecoder
from exporter.polling.collect import PollContext, QueueMemory, poll_host
from exporter.remediation.actions import RequestResult
from exporter.remediation.context import HostContext
from exporter.remediation.execution import Declined, UnfinishedError
from exporter.remediation.plan import Plan
from exporter.remediation.recovery import close_orphans
from exporter.snapshot import PanelId

T = TypeVar("T")

INTERRUPTED = 130
"""What a shell gives a command that Ctrl-C has ended."""

MANY = 10
"""Messages above which a progress bar is shown."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a command acts with on one host."""

    context: HostContext
    panels: Mapping[str, PanelId]
    """Of all hosts of the config, by name."""

    async def close_orphans(self) -> None:
        """Give an outcome to what was left on panels that are none of the config's any more.

        Raises:
            JournalError: it could not be read or written.
        """
        await close_orphans(self.context.journal, self.context.locks, self.panels)


@asynccontextmanager
async def session(
    config: Config, host: HostConfig, ends: asyncio.Event | None = None
) -> AsyncIterator[Session]:
    """The means to act on a host without a daemon; the journal is opened when it is needed.

    `ends` is set once nothing more may be sent.
    """
    decoder = QueueDecoder()
    journal = JournalThread(config.state.path)
    alertmanagers = tuple(map(AlertmanagerClient, config.alerting.alertmanagers))
    try:
        async with PanelPool(config.poll) as pool:
            limit = config.poll.queue_detail_limit
            poll_context = PollContext(host, pool.client(host), decoder, QueueMemory(), limit)

            context = HostContext(
                journal,
                HostLocks(config.state.path),
                pool.client(host),
                decoder,
                lambda: poll_host(poll_context),
                config.poll.requests_per_host,
                alertmanagers=lambda: alertmanagers,
                ends=ends if ends is not None else asyncio.Event(),
            )
            panels = {each.name: each.panel for each in config.hosts}
            yield Session(context, panels)
    finally:
        for alertmanager in alertmanagers:
            await alertmanager.close()
        await journal.close()
        decoder.close()


def requester() -> str:
    """Return the name for the journal: of the user that logged in, even under sudo."""
    with suppress(OSError):
        return os.getlogin()
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return f"uid {os.getuid()}"


# --- Ctrl-C -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Progressing:
    """Counts the panel's results, shows how far it is, and stops at Ctrl-C and SIGTERM.

    The first one lets the requests under way end, and what came of them be written down; the
    second cuts them off. Before it acts the first one ends the command.
    """

    total: int = 0
    """Messages that are asked for one by one."""
    results: list[RequestResult] = field(default_factory=list)
    acting: bool = False
    """Whether something may have been asked of the panel that changes it."""
    interrupted: bool = False
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once nothing more may be sent."""
    _errors: Console = field(default_factory=errors)
    _bar: Progress | None = None
    _task: asyncio.Task[object] | None = None

    def begin(self, plan: Plan) -> None:
        """From here on something may be done."""
        self.acting = True
        self.total = 0 if plan.as_a_whole else len(plan.messages)
        if self.total > MANY and self._errors.is_terminal:
            self._bar = progress_bar("asking", self.total)
            self._bar.start()

    async def on_result(self, result: RequestResult) -> bool:
        """Take a result in; whether to go on."""
        self.results.append(result)
        if self._bar is not None and result.message_id:
            self._bar.advance(self._bar.task_ids[0])
        return not self.interrupted

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        if self._bar is not None:
            self._bar.stop()

    def _interrupt(self) -> None:
        again, self.interrupted = self.interrupted, True
        if self.acting and not again:
            self.ends.set()
            self._errors.print(
                "\nStopping: no further message is asked for. Ctrl-C again does not wait for "
                "the answers that are still to come."
            )
        elif self._task is not None:
            self._task.cancel()

    def cut_off(self, host: str) -> str:
        """What is known when it was cut off in the middle, for the person at the terminal."""
        if not self.acting:
            return "nothing was done."
        parts = [f"{integer(count)} {what}" for what, count in self.counts().items()]
        answered = sum(bool(result.message_id) for result in self.results)
        known = ", ".join(parts) or "no answer yet"
        rest = self.total - answered
        return (
            f"cut off. Known so far: {known}. Of {integer(self.total)} messages "
            f"{integer(rest)} have no answer: a few were being asked for and may have been "
            "acted on, the rest was not asked for. The next action on "
            f"{host} finds out by listing; then `journal --host {host}` tells."
            if self.total
            else f"cut off. Known so far: {known}. The next action on {host} finds out what came "
            f"of it; then `journal --host {host}` tells."
        )

    def counts(self) -> dict[str, int]:
        """Answers by what they came to."""
        found: dict[str, int] = {}
        for result in self.results:
            found[result.what] = found.get(result.what, 0) + 1
        return found


def at_work(host: str, progress: Progressing, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work`, and turn what ends it into a sentence and an exit code."""

    async def run() -> T:
        with progress:
            return await work()

    try:
        with explained(host):
            result = uvloop.run(run())
    except asyncio.CancelledError:
        click.echo(err=True)
        say(f"{host}: {progress.cut_off(host)}", errors())
        raise SystemExit(INTERRUPTED) from None
    return result


@contextmanager
def explained(host: str) -> Iterator[None]:
    """Turn what can end an action into a sentence and exit code 1."""
    try:
        yield
    except Declined:
        click.echo(f"{host}: nothing was done.", err=True)
        raise SystemExit(1) from None
    except HostBusyError:
        raise click.ClickException(
            f"{host}: somebody else is at work on this host: the daemon, or another command. "
            f"Nothing was done. Try again later; `journal --host {host}` shows what is done."
        ) from None
    except LockFileError as error:
        raise click.ClickException(
            f"{host}: nothing was done, since nobody can be sure to be alone on the host. {error} "
            "The folder of state.path must be there, and this user must be let to write in it."
        ) from None
    except UnfinishedError as error:
        raise click.ClickException(
            f"{host}: it was begun, and could not be written down any more. {error} The next "
            "action on this host finds out by listing what came of it."
        ) from None
    except JournalError as error:
        raise click.ClickException(f"{host}: nothing was done. {error}") from None
    except PanelError as error:
        raise click.ClickException(f"{host}: {printable(str(error))}") from None
