"""Child processes on loopback: started, waited for, measured, ended."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: str, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that ends with the block; its output goes to `log`."""
    with (log or Path("/dev/null")).open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def wait_for(port: int, path: str, seconds: float = 60) -> None:
    """Until a GET on loopback is answered with 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            get(port, path)
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers on port {port}")


def get(port: int, path: str) -> bytes:
    """The body of a GET on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise http.client.HTTPException(f"{response.status} for {path}")
        return body
    finally:
        connection.close()


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and its children, so far."""
    times = process.cpu_times()
    return sum((times.user, times.system, times.children_user, times.children_system))


@contextmanager
def standin(hosts: int, folder: Path, *options: str) -> Iterator[str]:
    """A fleet of stand-in panels on one port; the daemon's config for it, as text."""
    log = folder / "standin.log"
    command = [sys.executable, "-m", "exporter.standin", "--hosts", str(hosts), "--single-port"]
    with running(*command, "--still", *options, log=log):
        deadline = time.monotonic() + 60
        # The config is printed once every panel listens; its last line ends it.
        while f"name: mx{hosts}\n" not in (text := log.read_text()) or not text.endswith("\n\n"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the stand-in panels do not start: {text[-500:]}")
            time.sleep(0.1)
        yield text
