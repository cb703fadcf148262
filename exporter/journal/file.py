"""The journal as a file: opened without harm to it, and its troubles in sentences."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from exporter.journal.ownership import give_to_owner_of, user_name
from exporter.journal.schema import (
    VERSION,
    ForeignFileError,
    UnusableFileError,
    migrate,
    version_of,
)

BUSY_SECONDS = 5.0
"""How long to wait for another process that writes; each write takes milliseconds."""

Stamp = tuple[int | None, ...]
Identity = tuple[tuple[int, int] | None, ...]

_LOOKS = 10
"""So often a file is looked at anew that another process changed in the meantime."""


class JournalError(Exception):
    """The journal cannot be read or written; the text says why and what to do."""


class JournalMissingError(JournalError):
    """There is no journal yet."""


class DamagedError(UnusableFileError):
    """What the file holds makes no sense."""

    sentence = (
        "The journal {path} is damaged ({error}). It was left as it is: keep a copy, then move it "
        "away with its -wal and -shm and restart the daemon: a new one is made. Without it the "
        "exporter does not know what it has done."
    )


class MovedError(UnusableFileError):
    """The file that is open is not the one at the journal's path any more."""

    sentence = (
        "The journal {path}, or what stands beside it (-wal, -shm, -hosts.lock), was moved, "
        "replaced or deleted while it was in use. Put it back and restart, or restart with a new "
        "one."
    )


class EarlierJournalError(UnusableFileError):
    """The journal was written by an earlier version, and a reader cannot bring it forward."""

    sentence = (
        "The journal {path} was written by an earlier version of the exporter. "
        "Start the daemon once; it brings it forward."
    )


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a journal that is sound and can be written; it is made when missing.

    A file that is not sound, or not a journal, is left exactly as it is.
    """
    if _stat(path) is None:
        _make(path)
    _examine(path, thorough=True)
    _demand_permission(path)
    connection = _connect(path, "rw")
    try:
        _use_wal(connection)
        # Each commit is on the disk when it returns: an intent must outlive a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> tuple[sqlite3.Connection, Stamp | None]:
    """Open a journal to change nothing; with a stamp that is good only while the file has it.

    While nobody writes there is no log (`-wal`), and SQLite would make one, with a `-shm`: in a
    folder that may not be written it could not, and in others it would leave files of this user
    there which the daemon's user may not write. So then the file is taken to stand still.
    """
    if _stat(path) is None:
        raise _missing(path)
    still = _examine(path, thorough=False)
    return _connect(path, "ro", still=still is not None), still


def stamp(path: Path) -> Stamp:
    """Return what changes with the file and with its log."""
    found, log = path.stat(), _stat(_log(path))
    return found.st_ino, found.st_size, found.st_mtime_ns, None if log is None else log.st_size


def content_stamp(path: Path) -> Stamp:
    """Return what changes whenever the file itself is written, its log aside."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise MovedError from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def lock_file(path: Path) -> Path:
    """Return the file beside a journal that HostLocks lock, by whichever name the journal goes."""
    return _beside(path, "-hosts.lock")


def identity(path: Path) -> Identity:
    """Return what tells a journal's files from others that come to their places later.

    The file, its log, the log's index, and the file of the locks: whoever finds another one of
    any of these sees another journal, or is alone with another lock.
    """
    side_files = (_log(path), _beside(path, "-shm"), lock_file(path))
    found = [_stat(file) for file in (path, *side_files)]
    return tuple(None if each is None else (each.st_dev, each.st_ino) for each in found)


def demand_identity(path: Path, files: Identity) -> Identity:
    """See that an open journal is still what stands at its path; return what it is now.

    SQLite would go on to write to a file that was moved or deleted, and no later start would find
    what it wrote. The file of the locks may have come since: it is made when it is needed.
    """
    now = identity(path)
    if any(known not in {None, found} for known, found in zip(files, now, strict=True)):
        raise MovedError
    return now


@contextmanager
def explained(path: Path, aim: Literal["read", "written"]) -> Iterator[None]:
    """Turn what SQLite and the system say into a sentence for the operator."""
    try:
        yield
    except UnusableFileError as error:
        raise JournalError(error.sentence.format(path=path, error=error)) from None
    except sqlite3.Error as error:
        raise JournalError(_sentence(path, error, aim)) from None
    except OSError as error:
        raise JournalError(
            f"The journal {path} cannot be {aim}: {error.strerror}. {_permissions(path, aim)}"
        ) from None


def _make(path: Path) -> None:
    """Make an empty file, for its owner alone: it will hold addresses.

    SQLite makes `-wal` and `-shm` for root as if the journal's owner had made them.
    """
    # O_EXCL follows no link: one that leads nowhere yet may have been put there so that
    # root makes a file where it leads, and gives it away.
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileExistsError):  # another process was quicker
        descriptor = os.open(path, how, 0o600)
        try:
            give_to_owner_of(path.parent, descriptor)
        finally:
            os.close(descriptor)


def _missing(path: Path) -> JournalError:
    if not path.parent.is_dir():
        # No proof that nothing was ever done: a wrong path, or a disk that is not mounted.
        return JournalError(
            f"There is no journal at {path}, nor its folder: see that state.path is right, and its "
            "disk mounted."
        )
    return JournalMissingError(f"There is no journal at {path} yet.")


def _log(path: Path) -> Path:
    return _beside(path, "-wal")


def _beside(path: Path, ending: str) -> Path:
    real = path.resolve()  # as SQLite does
    return real.with_name(f"{real.name}{ending}")


def _stat(path: Path) -> os.stat_result | None:
    """Return what the system knows of a file; None when there is no such file."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _connect(path: Path, mode: Literal["ro", "rw"], *, still: bool = False) -> sqlite3.Connection:
    # Only SQLite may open the file: whoever else closes it drops the locks of this process.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if still else ''}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _examine(path: Path, *, thorough: bool) -> Stamp | None:
    """See that a file is a journal, or empty, without changing it or leaving any other file.

    Returns:
        Its stamp when it stood still: nothing was in its log.
    """
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file")
    for side_file in (_log(path), _beside(path, "-shm")):
        # SQLite writes through a link, and gives what it makes to the journal's owner.
        if side_file.is_symlink():
            raise OSError(errno.ELOOP, f"{side_file.name} beside it is a link")
    for look in range(_LOOKS):
        before = stamp(path)
        still = not before[-1]
        try:
            with closing(_connect(path, "ro", still=still)) as connection:
                version = _version_of_sound(connection, thorough=thorough)
        except (sqlite3.Error, DamagedError, ForeignFileError):
            # Half written, or its log has just gone: another process is at it.
            if look == _LOOKS - 1 or stamp(path) == before:
                raise
        else:
            if not thorough and version == 0:
                raise _missing(path)
            if not thorough and version < VERSION:
                raise EarlierJournalError
            return before if still else None
    raise AssertionError


def _version_of_sound(connection: sqlite3.Connection, *, thorough: bool) -> int:
    connection.execute("BEGIN")
    version = version_of(connection)
    if thorough:
        # With its indexes, by which the guards find what they rest on: 100,000 entries take half
        # a second.
        verdict = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if verdict != "ok":
            raise DamagedError(" ".join(verdict.replace("*** in database main ***", "").split()))
    return version


def _demand_permission(path: Path) -> None:
    """See that a journal may be written before SQLite leaves files beside it that are of no use."""
    real = path.resolve()
    for place, needed in ((real, os.R_OK | os.W_OK), (real.parent, os.W_OK | os.X_OK)):
        if not os.access(place, needed, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers read while a writer writes."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait here for another process that makes the same file.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _sentence(path: Path, error: sqlite3.Error, aim: Literal["read", "written"]) -> str:
    name = getattr(error, "sqlite_errorname", "")
    undecodable = str(error).startswith("Could not decode")  # and goes on to quote the text
    if undecodable or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        what = "a text in it is no UTF-8" if undecodable else error
        return DamagedError.sentence.format(path=path, error=what)
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _is_full(path)):
        return f"The journal {path} cannot be {aim}: the disk is full. Make room on it."
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return f"The journal {path} cannot be {aim}: {error}. {_permissions(path, aim)}"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return (
            f"The journal {path} is held by another process for more than {BUSY_SECONDS:g} s. "
            "Find who has it open."
        )
    if name.startswith("SQLITE_IOERR"):
        return (
            f"The journal {path} cannot be {aim}: {error}. "
            "Look at the disk, and at quotas and limits on files."
        )
    return f"The journal {path} cannot be {aim}: {error}."


def _permissions(path: Path, aim: Literal["read", "written"]) -> str:
    needed = (
        "The file must be readable for this user, and its folder open to it."
        if aim == "read"
        else "The file and its folder must exist and be writable for the exporter's user."
    )
    try:
        of_file, of_folder = path.stat().st_uid, path.resolve().parent.stat().st_uid
    except OSError:
        return needed
    me = os.geteuid()
    if of_file == me:
        return needed
    owner, user = user_name(of_file), user_name(me)
    if of_folder == me:
        return (
            f"{needed} It belongs to {owner} and its folder to {user}: as root, give it to {user} "
            "with chown, and what stands beside it with -wal and -shm."
        )
    others = "" if of_file == 0 else " or root"
    return f"{needed} It belongs to {owner}, and this is {user}: do it as {owner}{others}."


def _is_full(path: Path) -> bool:
    """Return whether the disk has no room; some of SQLite's own writes do not say so."""
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False
