"""One actor a panel: locks that the daemon and the commands share, and that nobody can leave.

Every lock is of one byte of an open file, by the kernel: it goes with the process that has it,
however that ends. Four ranges of bytes stand for four things; each says what it holds:

    LOCKS          exclusive   a panel, a turn or the fleet is mine
    FILE_MARKS     shared      I hold that lock, by a lock file of this folder and name
    PANEL_MARKS    shared      I hold that lock, by whichever lock file
    ANNOUNCEMENTS  shared      of a file of this folder and name, I go by this

A shared lock keeps nobody out. The kernel lists it with those of every process and container of
the machine, so it is found there even when its file is at its path no more. Processes of other
versions go by the same bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exporter.journal.file import lock_file
from exporter.journal.ownership import give_to_owner_of

LOCKS = range(1 << 62)
"""At 62 bits of a hash of the key: no two meet."""
FILE_MARKS = range(LOCKS.stop, LOCKS.stop + (1 << 60))
"""At 28 bits of the lock file, then the last 32 of the lock."""
PANEL_MARKS = range(FILE_MARKS.stop, FILE_MARKS.stop + (1 << 60))
"""At the last 60 bits of the lock."""
ANNOUNCEMENTS = range(PANEL_MARKS.stop, PANEL_MARKS.stop + (1 << 60))
"""At 28 bits of the file, then 32 of what is announced."""

FLEET = ""
"""Held like a panel, which never has this url, for what must not happen twice at once anywhere."""

TURN = "\0turn "
"""With a number behind it: held for as long as an action takes, of those that may run at once."""

_FLOCK = "hhqqi"
"""The kernel's struct flock: type, whence, start, length, pid."""

_LISTED = re.compile(r"OFDLCK +ADVISORY +\w+ +-?\d+ +\w+:\w+:(\d+) (\d+) \d+$", re.MULTILINE)
"""A lock in the kernel's list: the number of its file, and where it begins."""

_KERNELS_LIST = Path("/proc/locks")


class HostBusyError(Exception):
    """Another process, or another action of this one, is at work on the panel."""


class LockFileError(Exception):
    """The lock file cannot be opened, so that nobody can be sure to be alone."""


class HostLocks:
    """The locks of all panels, in a file beside the journal.

    The journal's own file would not do: SQLite locks it in a way that is undone when anybody
    else in the process closes it.
    """

    def __init__(self, journal: Path) -> None:
        self._file = lock_file(journal)

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Have a panel for oneself, by its url: two names for one panel are one.

        Raises:
            HostBusyError: another process has it, perhaps by another journal on this machine.
            LockFileError: that cannot be known.
        """
        lock = lock_of(key)
        descriptor = open_lock_file(self._file)
        try:
            self._take(descriptor, key)
            file_mark = _of_file(FILE_MARKS, self._file)[lock & 0xFFFFFFFF]
            if _marked_elsewhere(descriptor, file_mark) or self._is_replaced(descriptor):
                raise LockFileError(
                    f"The lock file {self._file} was removed or replaced while it was in use: "
                    "another action may be under way by the one before. End every "
                    "brainycp-exporter, then start it again."
                )
            # A config may name a new journal, and with it a new lock file. Turns are a journal's.
            of_panel = key != FLEET and not key.startswith(TURN)
            if of_panel and _marked_elsewhere(descriptor, PANEL_MARKS[lock % len(PANEL_MARKS)]):
                raise HostBusyError(key)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, key: str) -> None:
        try:
            _lock(descriptor, fcntl.F_WRLCK, lock_of(key))
        except (BlockingIOError, PermissionError):
            raise HostBusyError(key) from None
        except OSError as error:
            raise LockFileError(
                f"The file system of {self._file} knows no locks: {error.strerror}."
            ) from None

    def _is_replaced(self, descriptor: int) -> bool:
        """Return whether an open lock file is not the one at its path any more."""
        try:
            return self._file.lstat().st_ino != os.fstat(descriptor).st_ino
        except OSError:
            return True


@dataclass(frozen=True)
class Announcement:
    """What a process goes by that goes by a file, for others that find the same file."""

    names: AbstractSet[Path]
    """The file's."""
    what: str

    def say(self, descriptor: int) -> None:
        """Say it by an open file, until that is closed.

        Raises:
            LockFileError: it cannot be said.
        """
        for _, mine in self._places():
            _mark(descriptor, mine)

    def others_differ(self) -> bool:
        """Return whether any process goes by something else than `what`.

        Raises:
            LockFileError: that cannot be known.
        """
        starts = [start for _, start in _listed()]
        return any(s in all_ and s != mine for all_, mine in self._places() for s in starts)

    def _places(self) -> list[tuple[range, int]]:
        """Return for each name all announcements of the file, and this one among them."""
        number = zlib.crc32(os.fsencode(self.what))
        places = [_of_file(ANNOUNCEMENTS, name) for name in self.names]
        return [(place, place[number]) for place in places]


def journal_of(config: Path, journal: Path) -> Announcement:
    """Return the announcement that a process goes by a config and has this journal.

    Whatever the config says later: by what it is called, and by what it is, since a link may lead
    elsewhere by then.
    """
    return Announcement({config.absolute(), config.resolve()}, os.fspath(journal.resolve()))


def open_lock_file(file: Path) -> int:
    """Open the lock file, made when there is none; return a descriptor.

    Raises:
        LockFileError: it cannot be opened.
    """
    # What root opens here is given to the folder's owner: it must not be a link to another's file.
    # A child must not inherit it, and with it the locks.
    how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(file, how, 0o600)
    except OSError as error:
        raise LockFileError(f"The lock file {file} cannot be opened: {error.strerror}.") from None
    give_to_owner_of(file.parent, descriptor)
    return descriptor


def lock_of(key: str) -> int:
    """Return the byte that stands for a key."""
    return LOCKS[int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> 2]


def _of_file(marks: range, file: Path) -> range:
    """Return those of the marks of files that are this file's: 32 bits.

    By its folder itself, not by the path: in two containers one path leads to two journals.
    """
    try:
        folder = file.parent.stat()
    except OSError as error:
        raise LockFileError(f"{file.parent} cannot be looked at: {error.strerror}.") from None
    known_as = f"{folder.st_dev} {folder.st_ino} {file.name}"
    number = zlib.crc32(os.fsencode(known_as)) & 0xFFFFFFF
    return marks[number << 32 : (number + 1) << 32]


def _marked_elsewhere(descriptor: int, mark: int) -> bool:
    """Mark an open file; return whether a process has another file with the same mark."""
    _mark(descriptor, mark)
    mine = os.fstat(descriptor).st_ino
    return any(start == mark and file != mine for file, start in _listed())


def _mark(descriptor: int, mark: int) -> None:
    with suppress(OSError):  # a file system without locks, where nothing acts anyway
        _lock(descriptor, fcntl.F_RDLCK, mark)


def _lock(descriptor: int, kind: int, place: int) -> None:
    """Lock a byte for the open file, not the process: two actions of one process are kept apart."""
    wanted = struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)


def _listed() -> list[tuple[int, int]]:
    """Return each lock of open files: the file's number and where it begins; [] without /proc."""
    try:
        listed = _KERNELS_LIST.read_text()
    except OSError:
        return []
    return [(int(file), int(start)) for file, start in _LISTED.findall(listed)]
