"""Commands as a person runs them, in a pipe or at a terminal.

- `run`: in the test's process, whose modules are loaded; a thread of its own has its event loop.
- `run_process`: in a process of its own, where that is what is tested.
- `AtTerminal`: in a process of its own that has a terminal and takes signals.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import uvloop
import yaml
from click.testing import CliRunner

from exporter.cli import main
from tests.daemon.conftest import with_shared_panels

SECRET = "correct-battery"
PATIENCE = 60.0


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "exporter", *map(str, arguments)]


Done = tuple[int, str, str]
"""Exit code, standard output and standard error."""

_running = threading.Lock()


async def run(*arguments: str | Path, stdin: str = "") -> Done:
    """Run a command in this process, while the test's event loop serves what it asks.

    Of these one runs at a time: its output is the process's.
    """
    assert not _running.locked(), "another command runs: use run_process"
    with _running:
        code, out, err = await asyncio.to_thread(_invoke, list(map(str, arguments)), stdin)
    assert SECRET not in out + err
    return code, out, err


def _invoke(arguments: list[str], stdin: str) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        # Only a main thread takes signals.
        for name in ("add_signal_handler", "remove_signal_handler"):
            patch.setattr(uvloop.Loop, name, lambda *_: None)
        runner = CliRunner(env={"COLUMNS": "80"})
        result = runner.invoke(main, arguments, input=stdin, prog_name="brainycp-exporter")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


async def run_process(*arguments: str | Path, stdin: str = "") -> Done:
    """Run a command in a process of its own."""
    done = await asyncio.to_thread(
        subprocess.run,
        command(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert SECRET not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def write_config(folder: Path, *hosts: Mapping[str, Any], **sections: Any) -> Path:
    """A config file with the journal beside it."""
    file = folder / "config.yaml"
    file.write_text(
        yaml.safe_dump(
            {"hosts": with_shared_panels(hosts), "state": {"path": "journal.db"}, **sections}
        )
    )
    file.chmod(0o600)
    return file


class AtTerminal:
    """A command whose standard input and error are a terminal of 80 columns.

    A context manager; with `whole`, its standard output is that terminal, too.
    """

    def __init__(self, *arguments: str | Path, whole: bool = False) -> None:
        self._command = command(*arguments)
        self._whole = whole
        self._shown = bytearray()
        self._printed = bytearray()

    def __enter__(self) -> Self:
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self._process = subprocess.Popen(
            self._command,
            stdin=inner,
            stdout=inner if self._whole else subprocess.PIPE,
            stderr=inner,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
            start_new_session=True,
        )
        os.close(inner)
        self._readers = [threading.Thread(target=_read, args=(self._terminal, self._shown))]
        if self._process.stdout is not None:
            output = self._process.stdout.fileno()
            self._readers.append(threading.Thread(target=_read, args=(output, self._printed)))
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._terminal)

    @property
    def shown(self) -> str:
        """What is on the terminal."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    @property
    def printed(self) -> str:
        """What it wrote to standard output, where that is a pipe."""
        return self._printed.decode()

    async def until(self, words: str) -> None:
        """Until these words are on the terminal."""
        async with asyncio.timeout(PATIENCE):
            while words not in self.shown:
                assert self._process.poll() is None or words in self.shown, self.shown
                await asyncio.sleep(0.02)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """What `kill` does, or a service manager."""
        self._process.send_signal(signal.SIGTERM)

    async def end(self) -> int:
        """Its exit code once it has ended."""
        code = await asyncio.to_thread(self._process.wait, PATIENCE)
        for reader in self._readers:
            await asyncio.to_thread(reader.join, PATIENCE)
        assert SECRET not in self.shown + self.printed
        return code


def _read(descriptor: int, into: bytearray) -> None:
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # nobody has the other end of the terminal open
            return
        if not data:
            return
        into += data
