"""What commands that ask a host share: the means, the user, Ctrl-C, and errors in words."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

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

T = TypeVar("T")

INTERRUPTED = 130
"""What a shell gives a command that Ctrl-C has ended."""

MANY = 10
"""Messages above which a progress bar is shown."""


@asynccontextmanager
async def session(
    config: Config, host: HostConfig, ends: asyncio.Event | None = None
) -> AsyncIterator[HostContext]:
    """Give the means to act on a host without a daemon; the journal is opened when it is needed.

    `ends` is set once nothing more may be sent.
    """
    decoder = QueueDecoder()
    journal = JournalThread(config.state.path)
    alertmanagers = tuple(map(AlertmanagerClient, config.alerting.alertmanagers))
    try:
        async with PanelPool(config.poll) as pool:
            client, limit = pool.client(host), config.poll.queue_detail_limit
            poll_context = PollContext(host, client, decoder, QueueMemory(), limit)
            yield HostContext(
                journal,
                HostLocks(config.state.path),
                client,
                decoder,
                lambda: poll_host(poll_context),
                config.poll.requests_per_host,
                alertmanagers=lambda: alertmanagers,
                ends=ends if ends is not None else asyncio.Event(),
            )
    finally:
        for alertmanager in alertmanagers:
            await alertmanager.close()
        await journal.close()
        decoder.close()


async def settle_orphans(context: HostContext, config: Config) -> None:
    """Give an outcome to what was left on panels that are none of the config's any more.

    Raises:
        JournalError: it could not be read or written.
    """
    panels = {host.name: host.panel for host in config.hosts}
    await close_orphans(context.journal, context.locks, panels)


def ask_host(
    config: Config, host: HostConfig, question: Callable[[HostContext], Awaitable[T]]
) -> T:
    """Return what a host answers to a question that changes nothing."""

    async def ask() -> T:
        async with session(config, host) as context:
            return await question(context)

    with explained(host.name):
        return uvloop.run(ask())


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

    After the first one the requests under way end, and what came of them is written down; the
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
        """Note that from here on something may be done."""
        self.acting = True
        self.total = 0 if plan.as_a_whole else len(plan.messages)
        if self.total > MANY and self._errors.is_terminal:
            self._bar = progress_bar("asking", self.total)
            self._bar.start()

    async def on_result(self, result: RequestResult) -> bool:
        """Take a result in; return whether to go on."""
        self.results.append(result)
        if self._bar is not None and result.message_id:
            self._bar.advance(self._bar.task_ids[0])
        return not self.interrupted

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as what the class says, within."""
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
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
        """Return what is known when it was cut off in the middle."""
        if not self.acting:
            return "nothing was done."
        counts = Counter(result.what for result in self.results)
        known = ", ".join(f"{integer(n)} {what}" for what, n in counts.items()) or "no answer yet"
        finds_out = f"The next action on {host} finds out"
        then = f"then `journal --host {host}` tells."
        if not self.total:
            return f"cut off. Known so far: {known}. {finds_out} what came of it; {then}"
        rest = self.total - sum(bool(result.message_id) for result in self.results)
        return (
            f"cut off. Known so far: {known}. Of {integer(self.total)} messages "
            f"{integer(rest)} have no answer: a few were being asked for and may have been "
            f"acted on, the rest was not asked for. {finds_out} by listing; {then}"
        )


def act(
    host: str,
    work: Callable[[Progressing], Awaitable[T]],
    show: Callable[[T, Progressing], bool],
) -> None:
    """Run `work` and show its result; turn what ends it into a sentence and an exit code.

    `show` returns whether it ended well.
    """
    progress = Progressing()

    async def run() -> T:
        with progress.watched():
            return await work(progress)

    try:
        with explained(host):
            result = uvloop.run(run())
    except asyncio.CancelledError:
        click.echo(err=True)
        say(f"{host}: {progress.cut_off(host)}", errors())
        raise SystemExit(INTERRUPTED) from None
    ended_well = show(result, progress)
    if progress.interrupted:
        raise SystemExit(INTERRUPTED)
    if not ended_well:
        raise SystemExit(1)


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
