"""Runs commands bounded in time, and leaves none of their processes behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Sequence


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
