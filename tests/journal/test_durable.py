"""What add() returned for is there: after a SIGKILL, on a full disk, without permission."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.journal import Journal, JournalError, Outcome
from exporter.journal.database import Database
from tests.journal.builders import content, files, filled, intent, outcome, plan, raw
from tests.journal.conftest import Opens
from tests.journal.processes import as_ordinary_user, crashed, writer

# --- killed -------------------------------------------------------------------------------------


def test_each_commit_is_synced_to_the_disk(database: Database) -> None:
    """A power cut cannot be tested here; SQLite promises it for these two."""
    connection = database.connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_an_entry_outlives_a_kill_right_after_add_returned(path: Path, open_journal: Opens) -> None:
    crashed(path, entries=1)
    (left,) = open_journal().unsettled()
    assert (left.intent.id, left.intent.rule, left.messages) == (1, "purge", tuple(plan(20)))


@pytest.mark.slow
def test_every_acknowledged_entry_outlives_kills_in_the_middle_of_many(
    path: Path, open_journal: Opens
) -> None:
    acknowledged: list[int] = []
    for count in (1, 2, 3, 5, 8, 13, 21, 34):
        with writer(path, messages=100) as other:
            acknowledged += other.read(count)
            acknowledged += other.kill()
        with raw(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    journal = open_journal()
    entries = journal.entries()
    assert len(acknowledged) >= 87
    assert set(acknowledged) <= {e.id for e in entries}
    # At most one more of each process, whose id it did not come to print; and each as a whole.
    assert len(entries) <= len(acknowledged) + 8
    assert all(journal.messages(e.id) == plan(100) for e in entries)
    assert [u.intent for u in journal.unsettled()] == entries


# --- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if not mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root's rights")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all room but none of what a file has already."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as binary:
        try:
            while binary.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError


def test_a_full_disk_is_reported_and_once_there_is_room_it_goes_on(small_disk: Path) -> None:
    path = small_disk / "journal"
    journal = Journal.open(path)
    journal.add(intent("r0"), plan())
    filler = fill(small_disk)
    for _ in range(3):
        with pytest.raises(JournalError) as caught:
            # More than the log has room for that was brought into the file.
            journal.add(intent("r1"), plan(5000))
        assert str(caught.value) == (
            f"The journal {path} cannot be written: the disk is full. Make room on it."
        )
        assert [e.run for e in journal.entries()] == ["r0"]
    assert journal.rule_facts("mx1", "purge").begun_today == 1
    filler.unlink()
    added = journal.add(intent("r2"), plan(500))
    assert journal.messages(added.id) == plan(500)
    assert [e.run for e in journal.entries()] == ["r0", "r2"]
    journal.close()
    with raw(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_journal_on_a_full_disk_does_not_open_to_write(small_disk: Path) -> None:
    """Neither a new one nor one that is there: nothing could act by it."""
    path, other = small_disk / "journal", small_disk / "other"
    filled(path, runs=10)
    filler = fill(small_disk)
    for file in (path, other):
        with pytest.raises(JournalError, match=f"{file} cannot be written: the disk is full"):
            Journal.open(file)
    reader = Journal.open_to_read(path)
    assert len(reader.entries()) == 20
    reader.close()
    filler.unlink()
    for file in (path, other):
        journal = Journal.open(file)
        assert journal.add(intent()).id == (21 if file == path else 1)
        journal.close()


def test_pruning_on_a_full_disk_deletes_nothing_or_all(small_disk: Path) -> None:
    path = small_disk / "journal"
    filled(path, runs=50)
    before = content(path)
    journal = Journal.open(path, clock=lambda: 4e9)
    filler = fill(small_disk)
    with pytest.raises(JournalError, match="the disk is full"):
        journal.prune(4e9)
    assert content(path) == before
    filler.unlink()
    assert journal.prune(4e9) == 98
    journal.close()


def test_a_limit_on_the_size_of_the_file_is_reported_and_once_lifted_it_goes_on(
    journal: Journal, database: Database
) -> None:
    """What a disk quota does to SQLite, on every system."""
    journal.add(intent("r0"))
    connection = database.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalError, match=r"cannot be written: the disk is full\. Make room"):
        journal.add(intent("r1"), plan(500))
    connection.execute("PRAGMA max_page_count = 1000000")
    journal.add(intent("r2"), plan(500))
    assert [e.run for e in journal.entries()] == ["r0", "r2"]


def test_a_limit_on_the_process_is_reported_and_once_lifted_it_goes_on(path: Path) -> None:
    printed = as_ordinary_user(
        """
path = Path(tempfile.mkdtemp()) / "journal"
journal = Journal.open(path)
journal.add(intent("r0"))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
for _ in range(2):
    try:
        journal.add(intent("r1"), plan(5000))
    except JournalError as error:
        print(str(error).replace(str(path), "PATH"))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.add(intent("r2"), plan(5000))
print([e.run for e in journal.entries()], len(journal.messages(2)))
journal.close()
path.unlink()
path.parent.rmdir()
""",
        path,
    )
    refused = (
        "The journal PATH cannot be written: disk I/O error. "
        "Look at the disk, and at quotas and limits on files."
    )
    assert printed.splitlines() == [refused, refused, "['r0', 'r2'] 5000"]


# --- without permission -------------------------------------------------------------------------


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that others may look into; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="journal-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


OPENS = """
try:
    Journal.open(path)
    print("opened")
except JournalError as error:
    print(error)
"""


def test_a_folder_without_permission_to_write_is_reported(shared: Path) -> None:
    path = shared / "journal"
    shared.chmod(0o555)
    assert as_ordinary_user(OPENS, path) == (
        f"The journal {path} cannot be written: Permission denied. "
        "The file and its folder must exist and be writable for the exporter's user."
    )
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "cause"),
    [
        (0o666, 0o555, "Permission denied"),
        (0o444, 0o777, "Permission denied"),
        (0o444, 0o555, "Permission denied"),
        (0o000, 0o777, "unable to open database file"),
        (0o666, 0o000, "Permission denied"),
    ],
)
def test_a_journal_that_cannot_be_written_does_not_open_to_write(
    shared: Path, file_mode: int, folder_mode: int, cause: str
) -> None:
    path = shared / "journal"
    filled(path, runs=1)
    before = files(shared)
    path.chmod(file_mode)
    shared.chmod(folder_mode)
    printed = as_ordinary_user(OPENS, path)
    shared.chmod(0o755)
    # Whose it is may follow.
    assert printed.startswith(
        f"The journal {path} cannot be written: {cause}. "
        "The file and its folder must exist and be writable for the exporter's user."
    )
    path.chmod(0o644)
    assert files(shared) == before


READS = """
try:
    reader = Journal.open_to_read(path)
    print(len(reader.entries()), len(reader.unsettled()), reader.rule_facts("mx1", "purge").stopped)
except JournalError as error:
    print(error)
"""


def test_another_user_with_the_right_to_read_reads_it_and_leaves_nothing(shared: Path) -> None:
    path = shared / "journal"
    filled(path, runs=5)
    path.chmod(0o444)
    shared.chmod(0o555)
    before = files(shared)
    assert as_ordinary_user(READS, path) == "10 0"
    assert files(shared) == before


def test_another_user_with_the_right_to_write_leaves_nothing_in_the_folder(shared: Path) -> None:
    """The daemon's user could not write a `-shm` of theirs."""
    path = shared / "journal"
    filled(path, runs=5)
    path.chmod(0o444)
    shared.chmod(0o777)
    assert as_ordinary_user(READS, path) == "10 0"
    assert set(files(shared)) == {path.name}


def test_another_user_reads_while_it_is_written(shared: Path) -> None:
    path = shared / "journal"
    journal = Journal.open(path)
    journal.add(intent("r1"), plan())
    for file in shared.iterdir():
        file.chmod(0o444)
    shared.chmod(0o555)
    assert as_ordinary_user(READS, path) == "1 1"
    shared.chmod(0o755)
    for file in shared.iterdir():
        file.chmod(0o644)
    journal.add(outcome("r1"))
    assert len(journal.entries()) == 2
    journal.close()


def test_another_user_reads_what_a_crash_left(shared: Path) -> None:
    path = shared / "journal"
    crashed(path, entries=3)
    before = files(shared)
    assert len(before) == 3
    for file in shared.iterdir():
        file.chmod(0o444)
    shared.chmod(0o555)
    assert as_ordinary_user(READS, path) == "3 3"
    assert files(shared) == before


def test_another_user_is_shown_that_what_a_crash_left_is_not_whole(shared: Path) -> None:
    path = shared / "journal"
    crashed(path, entries=3)
    (shared / "journal-shm").unlink()
    for file in shared.iterdir():
        file.chmod(0o444)
    shared.chmod(0o555)
    printed = as_ordinary_user(READS, path)
    assert printed.startswith(
        f"The journal {path} cannot be read: unable to open database file. "
        "The file must be readable for this user, and its folder open to it."
    )


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o000, 0o755), (0o644, 0o000)])
def test_a_reader_without_permission_is_refused(
    shared: Path, file_mode: int, folder_mode: int
) -> None:
    path = shared / "journal"
    filled(path, runs=1)
    path.chmod(file_mode)
    shared.chmod(folder_mode)
    printed = as_ordinary_user(READS, path)
    shared.chmod(0o755)
    assert printed.startswith(f"The journal {path} cannot be read: ")
    assert "The file must be readable for this user, and its folder open to it." in printed


def test_a_reader_of_root_leaves_the_daemon_able_to_write(shared: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    path = shared / "journal"
    crashed(path, entries=3)
    for file in shared.iterdir():
        os.chown(file, 65534, 65534)
    os.chown(shared, 65534, 65534)
    (shared / "journal-shm").unlink()
    reader = Journal.open_to_read(path)
    assert len(reader.unsettled()) == 3
    printed = as_ordinary_user(
        "journal = Journal.open(path)\nprint(journal.add(outcome('r1')).id)", path
    )
    assert printed == "4"
    assert [e.outcome for e in reader.entries()][-1] == Outcome.OK
    reader.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_what_root_makes_first_is_the_daemons(shared: Path) -> None:
    os.chown(shared, 65534, 65534)
    path = shared / "journal"
    # Through a link, as systemd's /var/lib is for a dynamic user.
    link = shared.with_name(f"{shared.name}-link")
    link.symlink_to(shared)
    journal = Journal.open(link / "journal")
    journal.add(intent("r1"))
    made = {file.name: file.stat() for file in shared.iterdir()}
    assert set(made) == {"journal", "journal-wal", "journal-shm"}
    assert {(found.st_uid, found.st_gid) for found in made.values()} == {(65534, 65534)}
    assert {found.st_mode & 0o777 for found in made.values()} == {0o600}
    # Also while root still has it open.
    adds = "print(Journal.open(path).add(outcome('r1')).id)"
    assert as_ordinary_user(adds, path) == "2"
    journal.close()
    link.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize(
    ("file_is_of", "folder_is_of", "remedy"),
    [
        (0, 65534, "It belongs to root and its folder to nobody: as root, give it to nobody"),
        (0, 0, "It belongs to root, and this is nobody: do it as root."),
        (1, 1, "It belongs to daemon, and this is nobody: do it as daemon or root."),
    ],
)
def test_a_journal_of_another_user_is_reported(
    shared: Path, file_is_of: int, folder_is_of: int, remedy: str
) -> None:
    path = shared / "journal"
    filled(path, runs=1)
    path.chmod(0o600)
    os.chown(path, file_is_of, file_is_of)
    os.chown(shared, folder_is_of, folder_is_of)
    for code in (OPENS, READS):
        printed = as_ordinary_user(code, path)
        assert printed.startswith(f"The journal {path} cannot be ")
        assert remedy in printed
