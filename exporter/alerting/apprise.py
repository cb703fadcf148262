"""A receiver that Apprise knows: a chat, a mailbox, and many others.

Apprise blocks, hangs as long as its services do, and takes 20 MB. So each notification is sent by a
process of its own: it can be ended at any moment, leaves nothing behind, and its output is
discarded, for it may hold the URL.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec

from exporter.alerting import apprise_child as child
from exporter.alerting.message import body, title
from exporter.alertmanager.alert import Notification
from exporter.config.alerting import AppriseConfig
from exporter.config.units import format_duration
from exporter.http.errors import DeliveryError
from exporter.snapshot import Reason

TIMEOUT = 30.0
"""Seconds for one notification: a mail server may take its time."""

OUTCOME = "failed"
"""The only outcome of a failure: Apprise does not say why."""

_COMMAND = (sys.executable, "-P", child.__file__)
_MISTAKES = {
    child.UNKNOWN_URL: (
        "has a URL that Apprise does not know",
        "Look it up in Apprise's documentation, as tgram://TOKEN/CHAT.",
    ),
    child.SEVERAL_URLS: (
        "has several URLs",
        "Write a receiver for each: one that fails would have the others told twice.",
    ),
    child.NO_APPRISE: (
        "needs Apprise, which is not installed",
        "Run: pip install 'brainycp-exporter[apprise]'.",
    ),
}


class AppriseReceiver:
    """One receiver that Apprise knows; holds a secret and shows it nowhere."""

    def __init__(self, config: AppriseConfig, *, timeout: float = TIMEOUT) -> None:
        """`timeout`: seconds that one notification may take."""
        self._config = config
        self._timeout = timeout

    @property
    def name(self) -> str:
        """The label `receiver`."""
        return self._config.receiver

    async def send(self, notification: Notification) -> None:
        """Send one notification.

        Raises:
            DeliveryError: it was not accepted, or not in time.
        """
        order = {
            "url": self._config.address,
            "title": title(notification),
            "body": body(notification),
            "type": _type(notification),
        }
        code = await self._run(json.dumps(order).encode())
        if code == child.TAKEN:
            return
        message, hint = _MISTAKES.get(
            code,
            (
                "was not told: Apprise reports a failure",
                "Check its URL and that its service can be reached from here.",
            ),
        )
        raise DeliveryError(
            OUTCOME,
            f"The receiver {self.name} {message}.",
            hint=hint,
            retryable=code not in _MISTAKES,
        )

    async def close(self) -> None:
        """Do nothing: a process ends with the call that needs it."""

    async def _run(self, order: bytes) -> int:
        """Have a child process send it; return its exit code."""
        try:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            why = error.strerror
        else:
            try:
                async with asyncio.timeout(self._timeout):
                    await process.communicate(order)
                    return await process.wait()
            except TimeoutError:
                why = ""
            finally:
                await _end(process)
        if why:
            raise DeliveryError(
                OUTCOME,
                f"The receiver {self.name} was not told: no process could be started: {why}.",
                retryable=True,
            )
        raise DeliveryError(
            Reason.TIMEOUT,
            f"The receiver {self.name} was not told within {format_duration(self._timeout)}.",
            hint="Its service hangs or cannot be reached from here.",
            retryable=True,
        )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _type(notification: Notification) -> str:
    """Return Apprise's type of a notification, which services show as a colour or a sign."""
    firing = notification.firing
    if not firing:
        return "success"
    return "failure" if any(alert.severity == "critical" for alert in firing) else "warning"


def mistake_in(config: AppriseConfig) -> str:
    """Return why this receiver can never be notified; "" when that is not known.

    Takes half a second, and blocks: to be called when a config is read.
    """
    if find_spec("apprise") is None:
        code = child.NO_APPRISE
    else:
        order = json.dumps({"url": config.address}).encode()
        try:
            code = subprocess.run(  # noqa: S603 - the command is ours
                _COMMAND,
                input=order,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired):
            return ""
    message, hint = _MISTAKES.get(code, ("", ""))
    return f"{message}: {hint[0].lower()}{hint[1:].rstrip('.')}" if message else ""
