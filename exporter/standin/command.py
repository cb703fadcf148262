"""Runs commands bounded in time, and leaves none of their processes behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence


class CommandTimeoutError(Exception):
    """A command did not end in time."""


async def run(command: Sequence[str], *, stdin: bytes = b"", timeout: float) -> str:  # noqa: ASYNC109 - the caller states a bound, it does not hold one already
    """What the command wrote to both its outputs, whatever its exit status.

    Raises:
        CommandTimeoutError: after `timeout` seconds; the command and its children are killed.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate(stdin)
    except TimeoutError:
        raise CommandTimeoutError(f"{command[0]} did not end within {timeout:g} s") from None
    finally:
        # It leads a session of its own, so that its children are met too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return output.decode("utf-8", "surrogateescape")
