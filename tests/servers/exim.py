"""A mail queue in a real Exim, with a spool and a config of its own: nothing of the system's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from exporter.standin.queue import (
    BackendMissingError,
    Mta,
    QueuedMessage,
    QueueError,
    queue_id,
)
from exporter.standin.roles import Role
from exporter.standin.traffic import Change, Mail, Profile, Traffic
from tests.servers.spool import read_messages, spooled_ids, write_messages

COMMAND_TIMEOUT = 30.0
"""Seconds that one Exim command may take."""

DAEMON_FOLDER = "/usr/sbin"
"""Where Debian puts Exim; it is in nobody's PATH but root's."""

_PRIVILEGE_NOTE = re.compile(r"^.* exim user lost privilege for using -C option\n", re.MULTILINE)
"""What Exim prints for every user but root."""

_IDS_PER_COMMAND = 1000
_LARGEST_INJECTED = 16 * 1024
_COMMANDS_AT_ONCE = 4


class EximMissingError(BackendMissingError):
    """Exim is not installed."""


class EximError(QueueError):
    """Exim did not do what was asked of it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A message to be handed to Exim over SMTP."""

    sender: str
    """Envelope sender; "" for a bounce."""
    recipients: tuple[str, ...]
    size: int = 100
    """Bytes of its body, about."""


_CONFIG = """\
exim_user = {uid}
exim_group = {gid}
primary_hostname = mail.example
spool_directory = {spool}
log_file_path = {logs}/%slog
message_logs = false
local_interfaces = <; 127.0.0.1
tls_advertise_hosts =
chunking_advertise_hosts =
smtp_accept_max_per_connection = 0
queue_only
delay_warning =
check_spool_space = 0
message_size_limit = 0
keep_environment =
allow_utf8_domains = true
smtputf8_advertise_hosts = *
acl_smtp_rcpt = accept
acl_smtp_data = accept
acl_not_smtp = accept
ignore_bounce_errors_after = 30d
timeout_frozen_after = 0s
begin routers
reachable:
  driver = redirect
  domains = ok.test
  data = :blackhole:
unreachable:
  driver = redirect
  allow_defer
  data = :defer: the stand-in delivers nothing
begin retry
* * F,30d,15m
"""
# Without a retry rule the first attempt at a delivery would bounce the message.


class EximBackend:
    """Puts a real Exim spool behind every panel of a fleet."""

    def adapt(self, role: Role) -> Role:
        """Return the role for a host with Exim, where it was one with Postfix."""
        if role.ids != "postfix":
            return role
        return replace(role, ids="exim", style=replace(role.style, shape="page_arrays"))

    async def new_queue(self, role: Role, directory: Path, seed: int) -> EximQueue:
        """Make a spool in `directory` with the first messages of the role."""
        return await EximQueue(directory, profile=role.profile, seed=seed).create()


class EximQueue:
    """A real spool under `directory`, worked by Exim's own commands.

    Mail to the domain ok.test is delivered (to nowhere) when it is tried; all other mail
    stays. With a profile `step` makes the queue live as a simulated one does, by Exim's
    commands. Works as root and as any other user; nothing runs between two calls.
    """

    def __init__(self, directory: Path, *, profile: Profile | None = None, seed: int = 1) -> None:
        """Nothing is made before `create`."""
        self.mta: Mta = "exim"
        self.revision = None
        self.config = directory / "exim.conf"
        self.input = directory / "spool" / "input"
        """Where the spool files of the messages are."""
        self._exim = _program("exim4")
        self._exiqgrep = _program("exiqgrep")
        self._traffic = Traffic(profile, seed=seed, now=time.time()) if profile else None
        self._commands = asyncio.Semaphore(_COMMANDS_AT_ONCE)

    async def create(self) -> Self:
        """Write the config and the first messages of the profile; returns itself."""
        await asyncio.to_thread(self._create)
        return self

    def _create(self) -> None:
        self.input.mkdir(parents=True, mode=0o750)
        logs = self.config.parent / "log"
        logs.mkdir()
        # A queue that lives for days would fill the disk with them; a panic goes to the
        # command's output as well.
        for name in ("mainlog", "rejectlog", "paniclog"):
            (logs / name).symlink_to(os.devnull)
        text = _CONFIG.format(uid=os.getuid(), gid=os.getgid(), spool=self.input.parent, logs=logs)
        self.config.write_text(text, encoding="utf-8")
        # Exim refuses a config that others than its owner may write.
        self.config.chmod(0o640)
        if self._traffic is not None:
            now = self._traffic.now
            self.put((_as_queued(mail, now) for mail in self._traffic.messages.values()), now=now)

    @property
    def now(self) -> float:
        """The present."""
        return time.time()

    def put(self, messages: Iterable[QueuedMessage], *, now: float | None = None) -> None:
        """Write messages straight into the spool, with any age, size and state."""
        write_messages(self.input, messages, self.now if now is None else now)

    def new_id(self, age: float, serial: int) -> str:
        """An id for `put` that tells this age, as the id of a real message does."""
        return queue_id("exim", self.now - age, serial)

    async def inject(self, submissions: Sequence[Submission]) -> list[str]:
        """Hand messages to Exim over SMTP; the ids it gave them, in order.

        Raises:
            EximError: when it did not take them all.
        """
        dialogue = "".join(_smtp(submission) for submission in submissions)
        session = f"EHLO stand-in.example\r\n{dialogue}QUIT\r\n".encode("utf-8", "surrogateescape")
        said = await self._run(["-odq", "-bs"], stdin=session)
        ids = re.findall(r"^250 OK id=(\S+)", said, re.MULTILINE)
        if len(ids) != len(submissions):
            raise EximError(f"Exim took {len(ids)} of {len(submissions)} messages:\n{said[-2000:]}")
        return ids

    async def freeze(self, *ids: str) -> str:
        """Freeze messages: `exim -Mf`."""
        return await self._on("-Mf", ids)

    async def thaw(self, *ids: str) -> str:
        """Thaw messages: `exim -Mt`."""
        return await self._on("-Mt", ids)

    async def mark_delivered(self, message_id: str, *addresses: str) -> str:
        """Make Exim believe that these recipients got the message: `exim -Mmd`."""
        return await self._run(["-Mmd", message_id, *addresses])

    async def count(self) -> int:
        """What `exim -bpc` prints."""
        return int(await self._run(["-bpc"]))

    async def console(self) -> str:
        """What `exim -bp` prints."""
        return await self._run(["-bp"])

    async def messages(self) -> list[QueuedMessage]:
        """The messages whose spool files are sound."""
        return await asyncio.to_thread(read_messages, self.input, self.now)

    async def delete(self, message_id: str) -> str:
        """`exim -Mrm`."""
        return await self._on("-Mrm", [message_id])

    async def retry(self, message_id: str) -> str:
        """`exim -M`; with a profile the message may be delivered wherever it goes."""
        said = await self._on("-M", [message_id])
        if self._traffic is not None:
            await self._forget_departed(self._traffic)
            await self._apply(self._traffic, self._traffic.attempt(message_id))
        return said

    async def delete_frozen(self) -> str:
        """`exiqgrep -z -i | xargs exim -Mrm`."""
        found = await self._command([self._exiqgrep, "-C", str(self.config), "-z", "-i"])
        return await self._on("-Mrm", found.split())

    async def delete_all(self, *, force: bool) -> str:
        """`exim -Mrm` of every message; with `force` the files of the locked ones go too."""
        ids = await asyncio.to_thread(spooled_ids, self.input)
        said = await self._on("-Mrm", ids)
        if force:
            await asyncio.to_thread(self._unlink, ids)
        return said

    async def step(self, seconds: float) -> None:
        """Let the profile's traffic of `seconds` happen."""
        if self._traffic is not None:
            await self._forget_departed(self._traffic)
            await self._apply(self._traffic, self._traffic.step(seconds))

    async def _forget_departed(self, traffic: Traffic) -> None:
        present = set(await asyncio.to_thread(spooled_ids, self.input))
        for message_id in [known for known in traffic.messages if known not in present]:
            traffic.remove(message_id)

    async def _apply(self, traffic: Traffic, changes: Sequence[Change]) -> None:
        def mails(kind: str) -> list[Mail]:
            return [change.mail for change in changes if change.kind == kind]

        if arrived := mails("arrived"):
            ids = await self.inject([_submission(mail) for mail in arrived])
            for mail, message_id in zip(arrived, ids, strict=True):
                traffic.rename(mail, message_id)
        gone = {mail.id for mail in mails("gone")}
        for change in changes:
            if change.kind == "delivered" and change.mail.id not in gone:
                await self.mark_delivered(change.mail.id, change.recipient)
        if frozen := [mail.id for mail in mails("frozen") if mail.id not in gone]:
            await self.freeze(*frozen)
        if gone:
            await self._on("-Mrm", sorted(gone))

    def _unlink(self, ids: Iterable[str]) -> None:
        for message_id in ids:
            for kind in ("-H", "-D", "-J"):
                (self.input / f"{message_id}{kind}").unlink(missing_ok=True)

    async def _on(self, option: str, ids: Sequence[str]) -> str:
        """Run one of Exim's message options on any number of ids."""
        said = [
            await self._run([option, *ids[start : start + _IDS_PER_COMMAND]])
            for start in range(0, max(len(ids), 1), _IDS_PER_COMMAND)
        ]
        return "".join(said)

    async def _run(self, arguments: Sequence[str], *, stdin: bytes = b"") -> str:
        return await self._command([self._exim, "-C", str(self.config), *arguments], stdin=stdin)

    async def _command(self, command: Sequence[str], *, stdin: bytes = b"") -> str:
        async with self._commands:
            try:
                said = await run(command, stdin=stdin, timeout=COMMAND_TIMEOUT)
            except CommandTimeoutError as error:
                raise EximError(str(error)) from None
        return _PRIVILEGE_NOTE.sub("", said)


class CommandTimeoutError(Exception):
    """A command did not end in time."""


async def run(command: Sequence[str], *, stdin: bytes = b"", timeout: float) -> str:  # noqa: ASYNC109 - the caller states a bound, it does not hold one already
    """What the command wrote to both its outputs, whatever its exit status.

    Raises:
        CommandTimeoutError: after `timeout` seconds; the command and its children are killed.
    """
    # A file and no pipe: a command may end without having read its input, and writing to the
    # pipe then fails in ways that differ from event loop to event loop.
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate()
    except TimeoutError:
        raise CommandTimeoutError(f"{command[0]} did not end within {timeout:g} s") from None
    finally:
        # It leads a session of its own, so that its children are met too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return output.decode("utf-8", "surrogateescape")


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{DAEMON_FOLDER}")
    if found is None:
        raise EximMissingError(
            f"{name} is not installed; on Debian: apt install exim4-daemon-light"
        )
    return found


def _smtp(submission: Submission) -> str:
    recipients = "".join(f"RCPT TO:<{address}>\r\n" for address in submission.recipients)
    body = f"{'stand-in ' * 8}\r\n" * max(1, submission.size // 74)
    return (
        f"MAIL FROM:<{submission.sender}>\r\n{recipients}DATA\r\n"
        f"Subject: a message of the stand-in\r\n\r\n{body}.\r\n"
    )


def _submission(mail: Mail) -> Submission:
    return Submission(mail.sender, mail.recipients, min(mail.size, _LARGEST_INJECTED))


def _as_queued(mail: Mail, now: float) -> QueuedMessage:
    return QueuedMessage(
        id=mail.id,
        age=now - mail.arrived,
        size=mail.size,
        sender=mail.sender,
        recipients=mail.recipients,
        delivered=mail.delivered,
        frozen=mail.frozen,
    )
