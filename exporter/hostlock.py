"""One actor a panel: a lock that the daemon and the commands share, and that nobody can leave.

The kernel holds it with the process: it goes with whoever held it, however that one ended.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.ownership import give_to_owner_of

_LOCK = "hhqqi"  # struct flock: type, whence, start, length, pid

_CAREFULLY = os.O_CLOEXEC | os.O_NOFOLLOW
"""What root opens here is given to the folder's owner: it must not be a link to another's file."""

FLEET = ""
"""Held like a panel, which never has this url, for what must not happen twice at once anywhere."""


TURN = "\0turn "
"""With a number behind it: held for as long as an action takes, of those that may run at once."""


class HostBusyError(Exception):
    """Another process, or another action of this one, is at work on the panel."""


class LockFileError(Exception):
    """The lock file cannot be opened, so that nobody can be sure to be alone."""


def place_of(whom: str) -> int:
    """The byte of the lock file that is whose: 62 bits of a hash, in which no two meet."""
    return int.from_bytes(hashlib.sha256(whom.encode()).digest()[:8]) >> 2


class HostLocks:
    """The locks of all panels: one byte each of a file beside the journal.

    The journal's own file would not do: SQLite locks it in a way that is undone when anybody
    else in the process closes it.
    """

    def __init__(self, journal: Path) -> None:
        real = journal.resolve()  # one journal by two names has one lock
        self._file = real.with_name(real.name + "-hosts.lock")

    @contextmanager
    def hold(self, whom: str) -> Iterator[None]:
        """Have a panel for oneself, by its url: two names for one panel are one.

        Raises:
            HostBusyError: somebody else has it.
            LockFileError: that cannot be known.
        """
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | _CAREFULLY, 0o600)
        except OSError as error:
            raise LockFileError(
                f"The lock file {self._file} cannot be opened: {error.strerror}."
            ) from None
        try:
            give_to_owner_of(self._file.parent, descriptor)
            # Of the open file, not of the process: two actions of one process exclude each other.
            wanted = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, place_of(whom), 1, 0)
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
            except (BlockingIOError, PermissionError):
                raise HostBusyError(whom) from None
            except OSError as error:
                raise LockFileError(
                    f"The file system of {self._file} knows no locks: {error.strerror}."
                ) from None
            yield
        finally:
            os.close(descriptor)
