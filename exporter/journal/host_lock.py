"""One actor a panel: a lock that the daemon and the commands share, and that nobody can leave.

The kernel holds it with the process: it goes with whoever held it, however that one ended.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.journal.ownership import give_to_owner_of

_LOCK = "hhqqi"  # struct flock: type, whence, start, length, pid

_CAREFULLY = os.O_CLOEXEC | os.O_NOFOLLOW
"""What root opens here is given to the folder's owner: it must not be a link to another's file."""

_LISTED = re.compile(r"OFDLCK +ADVISORY +\w+ +-?\d+ +\w+:\w+:(\d+) (\d+) \d+$", re.MULTILINE)
"""A lock in the kernel's own list: the number of its file, and where it begins."""

_MARKS = 1 << 62
"""Beyond any place of a lock: bytes that say in which folder, and by which name, a lock file is
known to its holder. They exclude no process, and are found in the kernel's list, which shows those
of every container of the machine, when the file itself is found no more."""

FLEET = ""
"""Held like a panel, which never has this url, for what must not happen twice at once anywhere."""


TURN = "\0turn "
"""With a number behind it: held for as long as an action takes, of those that may run at once."""


class HostBusyError(Exception):
    """Another process, or another action of this one, is at work on the panel."""


class LockFileError(Exception):
    """The lock file cannot be opened, so that nobody can be sure to be alone."""


def place_of(key: str) -> int:
    """The byte of the lock file that is whose: 62 bits of a hash, in which no two meet."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> 2


class HostLocks:
    """The locks of all panels: one byte each of a file beside the journal.

    The journal's own file would not do: SQLite locks it in a way that is undone when anybody
    else in the process closes it.
    """

    def __init__(self, journal: Path) -> None:
        real = journal.resolve()  # one journal by two names has one lock
        self._file = real.with_name(real.name + "-hosts.lock")

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Have a panel for oneself, by its url: two names for one panel are one.

        Raises:
            HostBusyError: another process has it, perhaps by another journal on this machine.
            LockFileError: that cannot be known.
        """
        descriptor = open_lock_file(self._file)
        try:
            # Of the open file, not of the process: two actions of one process exclude each other.
            place = place_of(key)
            try:
                _lock(descriptor, fcntl.F_WRLCK, place)
            except (BlockingIOError, PermissionError):
                raise HostBusyError(key) from None
            except OSError as error:
                raise LockFileError(
                    f"The file system of {self._file} knows no locks: {error.strerror}."
                ) from None
            self._demand_alone(descriptor, place)
            if key != FLEET and not key.startswith(TURN):
                _demand_alone_anywhere(descriptor, key, place)
            yield
        finally:
            os.close(descriptor)

    def _demand_alone(self, descriptor: int, place: int) -> None:
        """See that nobody holds the same lock of a file that was at this one's place before."""
        mine = os.fstat(descriptor).st_ino
        mark = _mark(self._file, place)
        with suppress(OSError):
            _lock(descriptor, fcntl.F_RDLCK, mark)
        try:
            replaced = self._file.lstat().st_ino != mine
        except OSError:
            replaced = True
        if replaced or any(file != mine for file in _holders(mark)):
            raise LockFileError(
                f"The lock file {self._file} was removed or replaced while it was in use: another "
                "action may be under way by the one before. End every brainycp-exporter, then "
                "start it again."
            )


def _demand_alone_anywhere(descriptor: int, key: str, place: int) -> None:
    """See that nobody is at work on a panel by another journal: a config may name a new one.

    Raises:
        HostBusyError: somebody is.
    """
    mine = os.fstat(descriptor).st_ino
    mark = _MARKS + _PANELS + (place & (_PANELS - 1))
    with suppress(OSError):
        _lock(descriptor, fcntl.F_RDLCK, mark)
    if any(file != mine for file in _holders(mark)):
        raise HostBusyError(key)


def open_lock_file(file: Path) -> int:
    """The lock file, made when there is none; a descriptor.

    Raises:
        LockFileError: it cannot be opened.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _CAREFULLY, 0o600)
    except OSError as error:
        raise LockFileError(f"The lock file {file} cannot be opened: {error.strerror}.") from None
    give_to_owner_of(file.parent, descriptor)
    return descriptor


def announce(file: Path, what: str) -> int:
    """Say by a lock that keeps nobody out that this process goes by `what`.

    Returns:
        A descriptor; it is said until that is closed.

    Raises:
        LockFileError: the lock file cannot be opened.
    """
    mark = _mark(file, zlib.crc32(what.encode())) + _ANNOUNCED
    descriptor = open_lock_file(file)
    with suppress(OSError):  # a file system without locks, where nothing acts anyway
        _lock(descriptor, fcntl.F_RDLCK, mark)
    return descriptor


def announce_journal(config: Path, journal: Path) -> int | None:
    """Say that this process, which goes by a config, has this journal, whatever that says later.

    Returns:
        A descriptor; it is said until that is closed. None where it cannot be said.
    """
    try:
        descriptor = os.open(config, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):  # a file system without locks, where nothing acts anyway
        for name in _names_of(config):
            _lock(descriptor, fcntl.F_RDLCK, _journal_mark(name, journal))
    return descriptor


def others_have_another_journal(config: Path, journal: Path) -> bool:
    """Whether any process that goes by a config has another journal than this."""
    for name in _names_of(config):
        first, mine = _mark(name, 0) + _ANNOUNCED, _journal_mark(name, journal)
        if any(first <= start < first + 2**32 and start != mine for _, start in _listed()):
            return True
    return False


def _names_of(config: Path) -> set[Path]:
    """What a config is called, and what it is: a link may lead elsewhere by now."""
    return {config.absolute(), config.resolve()}


def _journal_mark(config: Path, journal: Path) -> int:
    return _mark(config, zlib.crc32(os.fsencode(journal.resolve()))) + _ANNOUNCED


def others_announce(file: Path, what: str) -> bool:
    """Whether any process says that it goes by something else at this path than `what`.

    Raises:
        LockFileError: that cannot be known.
    """
    first = _mark(file, 0) + _ANNOUNCED
    mine = first + zlib.crc32(what.encode())
    return any(first <= start < first + 2**32 and start != mine for _, start in _listed())


_ANNOUNCED = 1 << 61

_PANELS = 1 << 60
"""Among the marks: those of panels that somebody is at work on, by whichever lock file."""


def _mark(file: Path, place: int) -> int:
    """Where the marks of a lock file lie: a byte for each place.

    By its folder itself, not by the path: in two containers one path leads to two journals.
    """
    try:
        folder = file.parent.stat()
    except OSError as error:
        raise LockFileError(f"{file.parent} cannot be looked at: {error.strerror}.") from None
    known_as = f"{folder.st_dev} {folder.st_ino} {file.name}"
    return _MARKS | (zlib.crc32(os.fsencode(known_as)) & 0xFFFFFFF) << 32 | place & 0xFFFFFFFF


def _lock(descriptor: int, kind: int, place: int) -> None:
    wanted = struct.pack(_LOCK, kind, os.SEEK_SET, place, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)


def _holders(place: int) -> list[int]:
    """Return the numbers of the files that are locked at a place, by any process."""
    return [file for file, start in _listed() if start == place]


def _listed() -> list[tuple[int, int]]:
    """Return each lock of open files: the file's number and where it begins; [] without /proc."""
    try:
        listed = _KERNELS_LIST.read_text()
    except OSError:
        return []
    return [(int(file), int(start)) for file, start in _LISTED.findall(listed)]


_KERNELS_LIST = Path("/proc/locks")
