"""What file is taken for a journal, and what becomes of one that is none."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from exporter.journal import Journal, JournalError, JournalMissingError, file, schema
from exporter.journal.database import Database
from tests.journal.builders import content, files, filled, intent, outcome, plan, raw
from tests.journal.conftest import Opens
from tests.journal.processes import crashed, writer

PAGE = 4096


def alter(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as binary:
        binary.seek(at)
        binary.write(new)


def flip_page(path: Path, number: int) -> None:
    """Invert every bit of a page; the first is number 1."""
    at = (number - 1) * PAGE
    old = path.read_bytes()[at : at + PAGE]
    alter(path, at, bytes(byte ^ 0xFF for byte in old))


def root_of(path: Path, name: str) -> int:
    """The page on which a table or an index starts."""
    with raw(path) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return int(connection.execute(query, (name,)).fetchone()[0])


def version(path: Path) -> int:
    with raw(path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


# --- new files and versions ---------------------------------------------------------------------


def test_a_missing_file_is_made_for_its_owner_alone(path: Path, open_journal: Opens) -> None:
    old = os.umask(0)
    try:
        open_journal().add(intent())
    finally:
        os.umask(old)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys([path.name, f"{path.name}-wal", f"{path.name}-shm"], 0o600)


def test_a_closed_journal_is_one_file(path: Path) -> None:
    filled(path, runs=1)
    assert set(files(path.parent)) == {path.name}


@pytest.mark.parametrize("what", ["missing", "of no bytes", "of a header alone", "with the log on"])
def test_an_empty_file_becomes_a_journal(path: Path, open_journal: Opens, what: str) -> None:
    if what != "missing":
        path.touch()
    if what in {"of a header alone", "with the log on"}:
        with raw(path) as connection:
            connection.execute(f"PRAGMA journal_mode = {'WAL' if 'log' in what else 'DELETE'}")
            connection.execute("VACUUM")
        assert path.stat().st_size == PAGE
    assert open_journal().add(intent()).id == 1
    assert version(path) == schema.VERSION


def test_a_journal_goes_on_where_it_was_left(open_journal: Opens) -> None:
    first = open_journal()
    written = first.add(intent(), plan())
    first.close()
    second = open_journal()
    assert second.entries() == [written]
    assert second.messages(written.id) == plan()
    assert second.add(outcome()).id == 2


@pytest.fixture
def later_version(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes this exporter one whose journal has a step more."""

    def become(script: str) -> None:
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, script))
        monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
        monkeypatch.setattr(file, "VERSION", schema.VERSION)

    return become


def test_a_journal_is_brought_forward_with_what_it_holds(
    path: Path, open_journal: Opens, later_version: Callable[[str], None]
) -> None:
    filled(path, runs=2)
    before = content(path)
    later_version(
        "ALTER TABLE messages ADD COLUMN reason TEXT;\n CREATE TABLE new (a); -- two statements\n"
    )
    open_journal()
    after = content(path)
    assert version(path) == schema.VERSION
    assert after["entries"] == before["entries"]
    assert after["messages"] == [(*row, None) for row in before["messages"]]
    assert after["new"] == []


def test_a_step_that_fails_leaves_the_version_before(
    path: Path, later_version: Callable[[str], None]
) -> None:
    filled(path, runs=2)
    before = content(path)
    later_version("CREATE TABLE new (a);\n INSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(JournalError, match="cannot be written: no such table: nowhere"):
        Journal.open(path)
    assert version(path) == schema.VERSION - 1
    assert content(path) == before


def test_a_reader_leaves_an_earlier_version_to_the_daemon(
    path: Path, later_version: Callable[[str], None]
) -> None:
    filled(path, runs=1)
    before = files(path.parent)
    later_version("CREATE TABLE new (a);")
    with pytest.raises(JournalError, match=r"by an earlier version.* Start the daemon once"):
        Journal.open_to_read(path)
    assert files(path.parent) == before


@pytest.mark.parametrize("opens", [Journal.open, Journal.open_to_read])
def test_a_later_version_is_refused_and_not_touched(
    path: Path, opens: Callable[[Path], Journal]
) -> None:
    filled(path, runs=1)
    with raw(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = files(path.parent)
    with pytest.raises(JournalError) as caught:
        opens(path)
    assert str(caught.value) == (
        f"The journal {path} was written by a later version of the exporter. "
        "Install that version, or name another state.path."
    )
    assert files(path.parent) == before


FOREIGN = {
    "with tables": "CREATE TABLE mine (a); INSERT INTO mine VALUES (1);",
    "with the log on": "PRAGMA journal_mode = WAL; CREATE TABLE mine (a);",
    "with an owner": "PRAGMA application_id = 5; CREATE TABLE mine (a);",
    "with an owner alone": "PRAGMA application_id = 5;",
    "with a version alone": "PRAGMA user_version = 1;",
    "with our tables": "".join(schema.MIGRATIONS),
    "with our version": "CREATE TABLE entries (a); PRAGMA user_version = 1;",
}


@pytest.mark.parametrize("opens", [Journal.open, Journal.open_to_read])
@pytest.mark.parametrize("what", FOREIGN)
def test_a_database_of_another_program_is_refused_and_not_touched(
    path: Path, what: str, opens: Callable[[Path], Journal]
) -> None:
    with raw(path) as connection:
        connection.executescript(FOREIGN[what])
    before = files(path.parent)
    with pytest.raises(JournalError) as caught:
        opens(path)
    assert str(caught.value) == (
        f"{path} is a database of another program. Name another state.path."
    )
    assert files(path.parent) == before


def test_a_database_that_another_program_has_open_is_not_touched(path: Path) -> None:
    with raw(path) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE mine (a);")
        before = files(path.parent)
        assert len(before) == 3
        with pytest.raises(JournalError, match="database of another program"):
            Journal.open(path)
        after = files(path.parent)
    shared = f"{path.name}-shm"  # its locks and marks of readers
    assert {k: v for k, v in after.items() if k != shared} == {
        k: v for k, v in before.items() if k != shared
    }


def start_together(barrier: Barrier, paths: list[Path]) -> None:
    """Open each new file at the same moment as the others do."""
    for path in paths:
        barrier.wait(20)
        journal = Journal.open(path)
        journal.add(intent(f"r{os.getpid()}"))
        journal.close()


@pytest.mark.slow
def test_processes_that_make_the_same_file_at_once_all_get_it(tmp_path: Path) -> None:
    paths = [tmp_path / f"journal{number}" for number in range(20)]
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    processes = [spawn.Process(target=start_together, args=(barrier, paths)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    for path in paths:
        assert sorted(row[3] for row in content(path)["entries"]) == sorted(
            f"r{process.pid}" for process in processes
        )


def test_a_new_file_that_another_process_is_making_is_waited_for(
    path: Path, open_journal: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself does not wait before it puts a log on."""
    with raw(path) as connection:
        connection.execute("VACUUM")
        connection.execute("BEGIN IMMEDIATE")
        waits: list[float] = []

        def let_go(seconds: float) -> None:
            waits.append(seconds)
            connection.execute("ROLLBACK")

        monkeypatch.setattr(time, "sleep", let_go)
        assert open_journal().add(intent()).id == 1
    assert len(waits) == 1


@pytest.mark.parametrize("opens", [Journal.open, Journal.open_to_read])
def test_a_file_that_another_process_is_half_through_writing_is_not_taken_for_damaged(
    path: Path, opens: Callable[[Path], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one to write puts its log into the file just while it is looked at."""
    filled(path)
    whole = path.read_bytes()
    looks = 0
    connect = sqlite3.connect

    def look(address: str, **keys: Any) -> Any:
        nonlocal looks
        looks += 1
        path.write_bytes(whole if looks > 2 else whole[: 1000 * looks])
        return connect(address, **keys)

    monkeypatch.setattr(sqlite3, "connect", look)
    journal = opens(path)
    assert len(journal.entries()) == 400
    assert looks > 3
    journal.close()


# --- damage -------------------------------------------------------------------------------------


def cut(to: Callable[[int], int]) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, to(path.stat().st_size))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "random bytes": lambda path: path.write_bytes(random.Random(1).randbytes(50_000)),
    "a few random bytes": lambda path: path.write_bytes(b"\x17\xfe\x80"),
    "two bytes": lambda path: path.write_bytes(b"\0\0"),
    "text": lambda path: path.write_text("remediation: off\n" * 500),
    "a page of zeros": lambda path: path.write_bytes(bytes(PAGE)),
    "cut in half": cut(lambda size: size // 2 // PAGE * PAGE),
    "cut within a page": cut(lambda size: size // 2 // PAGE * PAGE + 100),
    "cut by its last page": cut(lambda size: size - PAGE),
    "cut to its header": cut(lambda _: 100),
    "its header overwritten": lambda path: alter(path, 0, b"\0" * 16),
    "its first page flipped": lambda path: flip_page(path, 1),
    "a page in the middle flipped": lambda path: flip_page(path, path.stat().st_size // PAGE // 2),
    "a page in the middle of zeros": lambda path: alter(
        path, path.stat().st_size // PAGE // 2 * PAGE, bytes(PAGE)
    ),
    "its entries flipped": lambda path: flip_page(path, root_of(path, "entries")),
    "an index flipped": lambda path: flip_page(path, root_of(path, "entries_of_a_rule")),
    "its unsettled intents flipped": lambda path: flip_page(path, root_of(path, "unsettled")),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of many pages."""
    path = tmp_path_factory.mktemp("sound") / "journal"
    filled(path)
    assert path.stat().st_size > 80 * PAGE
    return path.read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_reported_and_left_as_it_is(
    path: Path, sound: bytes, damage: str
) -> None:
    path.write_bytes(sound)
    DAMAGES[damage](path)
    before = files(path.parent)
    with pytest.raises(JournalError) as caught:
        Journal.open(path)
    assert str(caught.value).startswith(f"The journal {path} is damaged (")
    assert str(caught.value).endswith(
        "It was left as it is: keep a copy, then move it away with its -wal and -shm and restart "
        "the daemon: a new one is made. "
        "Without it the exporter does not know what it has done."
    )
    assert "\n" not in str(caught.value)
    assert files(path.parent) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_reader_of_a_damaged_file_leaves_it_as_it_is(
    path: Path, sound: bytes, damage: str
) -> None:
    """It may show what can still be read: nothing acts by it."""
    path.write_bytes(sound)
    DAMAGES[damage](path)
    before = files(path.parent)
    reported = ""
    try:
        with closing(Journal.open_to_read(path)) as reader:
            shown = {e.run for e in reader.entries()}
    except JournalError as error:
        reported, shown = str(error), set()
    assert shown <= {f"r{number}" for number in range(200)}
    assert shown or reported.startswith(f"The journal {path} is damaged (")
    assert files(path.parent) == before


def test_a_reader_reports_damage_where_it_reads(path: Path, sound: bytes) -> None:
    path.write_bytes(sound)
    flip_page(path, root_of(path, "entries"))
    reader = Journal.open_to_read(path)
    with pytest.raises(JournalError, match="is damaged"):
        reader.entries()
    reader.close()


def test_damage_below_the_log_of_a_crash_leaves_both_as_they_are(path: Path, sound: bytes) -> None:
    """To mend it by hand takes the log too."""
    path.write_bytes(sound)
    untouched = root_of(path, "states")  # what stands in the log as well would be read from there
    crashed(path, entries=3)
    flip_page(path, untouched)
    before = files(path.parent)
    assert set(before) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    with pytest.raises(JournalError, match="is damaged"):
        Journal.open(path)
    after = files(path.parent)
    assert set(after) == set(before)
    assert after[path.name] == before[path.name]
    assert after[f"{path.name}-wal"] == before[f"{path.name}-wal"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", "'sang'"), ("detail", "'{'"), ("detail", "'[]'"), ("text", "CAST(x'ff' AS TEXT)")],
)
def test_an_entry_that_makes_no_sense_is_no_answer(
    journal: Journal, column: str, value: str
) -> None:
    journal.add(intent())
    others = {"at": "5", "kind": "'blocked'", "host": "'mx1'"} | {column: value}
    with raw(journal.path) as connection:
        connection.execute(
            f"INSERT INTO entries ({', '.join(others)}) VALUES ({', '.join(others.values())})"
        )
    with pytest.raises(JournalError, match=f"The journal {journal.path} (is damaged|cannot be re)"):
        journal.entries()


def test_once_moved_away_a_damaged_file_makes_room_for_a_new_one(
    path: Path, open_journal: Opens
) -> None:
    path.write_bytes(b"nonsense")
    with pytest.raises(JournalError):
        Journal.open(path)
    path.rename(path.with_name("kept"))
    assert open_journal().add(intent()).id == 1


# --- what is in the way -------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["missing", "of no bytes", "of a header alone"])
def test_a_reader_of_nothing_says_that_there_is_no_journal_yet(path: Path, what: str) -> None:
    if what != "missing":
        path.touch()
    if what == "of a header alone":
        with raw(path) as connection:
            connection.execute("VACUUM")
    before = files(path.parent)
    with pytest.raises(JournalMissingError) as caught:
        Journal.open_to_read(path)
    assert str(caught.value) == f"There is no journal at {path} yet."
    assert files(path.parent) == before


@pytest.mark.parametrize("opens", [Journal.open, Journal.open_to_read])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused(
    path: Path, make: Callable[[Path], None], opens: Callable[[Path], Journal]
) -> None:
    make(path)
    with pytest.raises(JournalError, match=f"The journal {path} cannot be .*: it is no regular"):
        opens(path)


def test_a_folder_that_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        Journal.open(tmp_path / "no" / "journal")
    assert str(caught.value) == (
        f"The journal {tmp_path}/no/journal cannot be written: No such file or directory. "
        "The file and its folder must exist and be writable for the exporter's user."
    )


def test_a_name_with_every_character_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "журнал ?mode=memory&a=%41#b.sqlite"
    filled(path, runs=1)
    reader = Journal.open_to_read(path)
    assert len(reader.entries()) == 2
    reader.close()
    assert set(files(tmp_path)) == {path.name}


def test_a_link_leads_to_the_journal_and_its_log(path: Path, open_journal: Opens) -> None:
    link = path.parent.parent / "link"
    link.symlink_to(path)
    journal = open_journal()
    journal.add(intent())
    through = Journal.open_to_read(link)
    assert len(through.entries()) == 1
    through.close()
    second = Journal.open(link)
    second.add(outcome())
    second.close()
    assert len(journal.entries()) == 2
    assert set(files(path.parent.parent / "state")) >= {path.name, f"{path.name}-wal"}


def test_a_journal_that_another_process_holds_is_reported(
    journal: Journal, database: Database
) -> None:
    database.connection.execute("PRAGMA busy_timeout = 10")
    with raw(journal.path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"held by another process for more than 5 s\. Find"):
            journal.add(intent())
        connection.execute("ROLLBACK")
    assert journal.add(intent()).id == 1


def test_a_writer_waits_for_another_one(journal: Journal, path: Path) -> None:
    with writer(path, messages=50) as other:
        for number in range(30):
            journal.add(intent(f"mine{number}"), plan(50))
        other.read(30)
        other.process.send_signal(signal.SIGKILL)
    runs = [e.run for e in journal.entries()]
    assert sum(run.startswith("mine") for run in runs) == 30
    assert len(runs) >= 60
    with pytest.raises(sqlite3.IntegrityError), raw(path) as connection:
        connection.execute("DELETE FROM entries")
