"""One actor a host, in this process and beside it, and no lock that its holder leaves behind."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from exporter.journal.host_lock import (
    FLEET,
    TURN,
    Announcement,
    HostBusyError,
    HostLocks,
    LockFileError,
    journal_of,
    lock_of,
    open_lock_file,
)

MX1 = f"mx1-{os.getpid()}"
"""A panel that no other process of the tests takes for its own: locks are the whole machine's."""

HOLDER = """
import sys
from pathlib import Path
from exporter.journal.host_lock import HostLocks

with HostLocks(Path(sys.argv[1])).hold(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal would be; the locks do not need it to be there."""
    return tmp_path / "journal.db"


@contextmanager
def another_process(journal: Path, host: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a host until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(journal), host],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def is_free(journal: Path, host: str) -> bool:
    try:
        with HostLocks(journal).hold(host):
            return True
    except HostBusyError:
        return False


def test_a_host_is_had_by_one_at_a_time(journal: Path) -> None:
    locks = HostLocks(journal)
    with locks.hold(MX1):
        with pytest.raises(HostBusyError, match=MX1), locks.hold(MX1):
            pytest.fail("had twice")
        assert not is_free(journal, MX1)
        with pytest.raises(HostBusyError), locks.hold(MX1):
            pytest.fail("whoever was refused must not free it")
    assert is_free(journal, MX1)


def test_one_journal_by_two_names_has_one_lock(journal: Path, tmp_path: Path) -> None:
    journal.touch()
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "state.db"
    link.symlink_to(journal)
    with HostLocks(journal).hold(MX1):
        assert not is_free(link, MX1)


def test_a_link_in_the_lock_files_place_is_not_followed(journal: Path, tmp_path: Path) -> None:
    other = tmp_path / "others.txt"
    other.touch()
    journal.with_name("journal.db-hosts.lock").symlink_to(other)
    with pytest.raises(LockFileError), HostLocks(journal).hold(MX1):
        pytest.fail("held by another's file")


def test_hosts_do_not_wait_for_each_other(journal: Path) -> None:
    locks = HostLocks(journal)
    hosts = [MX1, "mx2", "", "МХ", "a" * 127, "mx1.example.com:8002"]
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(locks.hold(host))
        assert [is_free(journal, host) for host in hosts] == [False] * len(hosts)
        assert is_free(journal, "mx3")


def test_no_two_panels_share_a_byte(journal: Path) -> None:
    """These two have the same CRC-32, by which versions before went."""
    one, other = "plumless", "buckeroo"
    assert zlib.crc32(one.encode()) == zlib.crc32(other.encode())
    with HostLocks(journal).hold(one):
        assert is_free(journal, other)
        assert not is_free(journal, one)
    locks = [lock_of(f"https://mx{number}.example.com/api/api.php") for number in range(10_000)]
    assert len(set(locks)) == len(locks)
    assert 2**32 < max(locks) < 2**62


# --- the bytes, by which processes of other versions go, too ------------------------------------


def locked_by(file: Path) -> set[tuple[str, int]]:
    """Return the locks on a file by the kernel's list: how, and the one byte that each has."""
    number = file.stat().st_ino
    listed = Path("/proc/locks").read_text(encoding="ascii")
    found = re.findall(rf"OFDLCK +ADVISORY +(\w+) +-?\d+ +\w+:\w+:{number} (\d+) (\d+)", listed)
    assert all(first == last for _, first, last in found)
    return {(kind, int(first)) for kind, first, _ in found}


def bits_of(file: Path) -> int:
    """Return the 28 bits by which a file of a folder is known."""
    folder = file.parent.stat()
    known_as = f"{folder.st_dev} {folder.st_ino} {file.name}"
    return zlib.crc32(known_as.encode()) % 2**28 * 2**32


@pytest.mark.parametrize("key", [MX1, f"{TURN}3", FLEET], ids=["a panel", "a turn", "the fleet"])
def test_a_lock_is_at_these_bytes(journal: Path, key: str) -> None:
    file = journal.with_name("journal.db-hosts.lock")
    number = int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) // 4
    expected = {("WRITE", number), ("READ", 2**62 + bits_of(file) + number % 2**32)}
    if key == MX1:
        expected.add(("READ", 2**62 + 2**60 + number % 2**60))
    with HostLocks(journal).hold(key):
        assert locked_by(file) == expected
    assert locked_by(file) == set()


def test_a_journal_is_announced_at_these_bytes_by_each_name_of_its_config(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    config, link = tmp_path / "elsewhere" / "config.yaml", tmp_path / "link.yaml"
    config.touch()
    link.symlink_to(config)
    journal = tmp_path / "journal.db"
    number = 2**62 + 2**61 + zlib.crc32(os.fsencode(journal.resolve()))
    with config.open() as opened:
        journal_of(link, journal).say(opened.fileno())
        assert locked_by(config) == {("READ", number + bits_of(name)) for name in (config, link)}
        assert not journal_of(link, journal).others_differ()
        for name in (config, link):
            assert journal_of(name, tmp_path / "another.db").others_differ()
    assert not journal_of(link, tmp_path / "another.db").others_differ()


def test_the_files_of_a_journal_are_announced_at_this_byte(journal: Path) -> None:
    file = journal.with_name("journal.db-hosts.lock")
    descriptor = open_lock_file(file)
    try:
        Announcement({file}, "its files").say(descriptor)
        byte = 2**62 + 2**61 + bits_of(file) + zlib.crc32(b"its files")
        assert locked_by(file) == {("READ", byte)}
    finally:
        os.close(descriptor)


def test_a_lock_ends_with_what_was_done_under_it_however_that_ended(journal: Path) -> None:
    locks = HostLocks(journal)
    # Two of these are what a lock that is refused looks like inside.
    for error in (RuntimeError, PermissionError, BlockingIOError, KeyboardInterrupt):
        with pytest.raises(error), locks.hold(MX1):
            raise error
        assert is_free(journal, MX1)


@pytest.mark.parametrize("key", [FLEET, f"{TURN}0"])
def test_journals_have_turns_of_their_own(tmp_path: Path, key: str) -> None:
    with HostLocks(tmp_path / "a.db").hold(key):
        assert is_free(tmp_path / "b.db", key)
        assert not is_free(tmp_path / "a.db", key)


def test_a_panel_has_one_actor_whatever_the_journal(tmp_path: Path) -> None:
    with HostLocks(tmp_path / "a.db").hold(MX1):
        assert not is_free(tmp_path / "b.db", MX1)
        assert is_free(tmp_path / "b.db", "mx2")
    assert is_free(tmp_path / "b.db", MX1)


def test_threads_exclude_each_other(journal: Path) -> None:
    found: list[bool] = []
    with HostLocks(journal).hold(MX1):
        thread = threading.Thread(target=lambda: found.append(is_free(journal, MX1)))
        thread.start()
        thread.join()
    assert found == [False]


def test_the_file_is_for_its_owner_alone_and_its_content_does_not_matter(journal: Path) -> None:
    file = journal.with_name("journal.db-hosts.lock")
    with HostLocks(journal).hold(MX1):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_bytes() == b""
    file.write_bytes(b"whatever")
    with HostLocks(journal).hold(MX1):
        assert not is_free(journal, MX1)
    assert file.read_bytes() == b"whatever"
    assert not journal.exists()


def test_no_descriptor_is_left_open(journal: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    locks, before = HostLocks(journal), count()
    for _ in range(3):
        with locks.hold(MX1):
            is_free(journal, MX1)
    assert count() == before


# --- other processes ----------------------------------------------------------------------------


def test_processes_exclude_each_other(journal: Path) -> None:
    with another_process(journal, MX1) as process:
        assert not is_free(journal, MX1)
        assert is_free(journal, "mx2")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
        assert is_free(journal, MX1)


def test_the_lock_of_a_process_that_was_killed_is_free(journal: Path) -> None:
    with another_process(journal, MX1) as process:
        assert not is_free(journal, MX1)
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
        assert is_free(journal, MX1)


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(journal: Path) -> None:
    """A lock of an open file would be inherited, if the file were."""
    sleeper = [sys.executable, "-c", "import sys; print('runs', flush=True); sys.stdin.read()"]
    with ExitStack() as stack:
        with HostLocks(journal).hold(MX1):
            child = stack.enter_context(
                subprocess.Popen(
                    sleeper,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    close_fds=False,
                )
            )
            stack.callback(child.kill)
            assert child.stdout is not None
            assert child.stdout.readline() == b"runs\n"
            assert not is_free(journal, MX1)
        assert is_free(journal, MX1)


def test_one_path_in_two_containers_is_two_journals(tmp_path: Path) -> None:
    """The kernel lists the locks of all containers; their volumes differ, their paths do not."""
    volume, other = tmp_path / "volume", tmp_path / "other"
    volume.mkdir()

    def announced(folder: Path, files: str) -> Announcement:
        return Announcement({folder / "state.db-hosts.lock"}, files)

    with HostLocks(volume / "state.db").hold(MX1):
        said = open_lock_file(volume / "state.db-hosts.lock")
        announced(volume, "its files").say(said)
        try:
            # What the other container has at the same path.
            volume.rename(other)
            volume.mkdir()
            assert not is_free(volume / "state.db", MX1), "never two at work on one panel"
            assert is_free(volume / "state.db", f"{MX1}.example.com")
            assert not announced(volume, "other files").others_differ()
            # And by whatever path the first one is reached.
            assert not is_free(other / "state.db", MX1)
            assert announced(other, "other files").others_differ()
        finally:
            os.close(said)


# --- where nobody can be sure -------------------------------------------------------------------


def no_folder(journal: Path) -> Path:
    return journal.parent / "missing" / "journal.db"


def a_file_for_a_folder(journal: Path) -> Path:
    (journal.parent / "file").touch()
    return journal.parent / "file" / "journal.db"


def a_folder_for_the_file(journal: Path) -> Path:
    journal.with_name("journal.db-hosts.lock").mkdir()
    return journal


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (no_folder, "No such file or directory"),
        (a_file_for_a_folder, "Not a directory"),
        (a_folder_for_the_file, "Is a directory"),
    ],
)
def test_a_lock_file_that_cannot_be_opened_is_no_lock(
    journal: Path, prepare: Callable[[Path], Path], why: str
) -> None:
    place = prepare(journal)
    with (
        pytest.raises(LockFileError, match=rf"cannot be opened: {why}\.$") as raised,
        HostLocks(place).hold(MX1),
    ):
        pytest.fail("had without a lock")
    assert f"{place}-hosts.lock" in str(raised.value)


def test_a_lock_file_of_another_user_is_no_lock(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # By hand, since for root there is no such file.
    monkeypatch.setattr("exporter.journal.host_lock.os.open", refuse)
    with pytest.raises(LockFileError, match="Permission denied"), HostLocks(journal).hold(MX1):
        pytest.fail("had without a lock")


def test_a_file_system_without_locks_is_no_place_for_them(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("exporter.journal.host_lock.fcntl.fcntl", no_locks)
    with (
        pytest.raises(LockFileError, match=r"knows no locks: No locks available\.$"),
        HostLocks(journal).hold(MX1),
    ):
        pytest.fail("had without a lock")


def assert_another_process_is_refused(journal: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(journal), MX1]
    other = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert "held" not in other.stdout
    assert "LockFileError" in other.stderr


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_holder_of_an_old_lock_file_in_another_process_is_never_one_of_two_actors(
    journal: Path, tmp_path: Path, how: str
) -> None:
    """Two real processes: nobody begins beside the one that holds the file that was there."""
    file = tmp_path / "journal.db-hosts.lock"
    with another_process(journal, MX1) as holder:
        file.unlink()
        if how == "replaced":
            file.touch()
        with (
            pytest.raises(LockFileError, match="removed or replaced"),
            HostLocks(journal).hold(MX1),
        ):
            raise AssertionError("two actors on one panel")
        assert_another_process_is_refused(journal)
        with HostLocks(journal).hold(f"{MX1}.example.com"):
            pass  # nobody is at work there
        assert holder.poll() is None
    with HostLocks(journal).hold(MX1):
        pass  # it has ended


def test_the_holder_of_a_file_that_was_replaced_keeps_others_out_of_the_new_one(
    journal: Path, tmp_path: Path
) -> None:
    """The other way round: the process beside it has the new file, this one the old."""
    file = tmp_path / "journal.db-hosts.lock"
    with HostLocks(journal).hold(MX1):
        file.rename(tmp_path / "moved")
        assert_another_process_is_refused(journal)
