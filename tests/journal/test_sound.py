"""A journal that is not what was written: nothing is begun by it, and its words are not quoted."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.journal import Entry, Journal, JournalError, Kind, Outcome, RuleFacts
from exporter.journal import database as database_module
from exporter.journal.file import lock_file
from exporter.journal.soundness import verify
from exporter.snapshot import Message, PanelId
from tests.examples import examples
from tests.journal.builders import entry, intent, outcome, plan, raw
from tests.journal.conftest import Clock, Opens, quick_journal

SECRET = "sesame@example.com"

LETTING = (Kind.INTENT, Kind.APPROVED, Kind.RULE_RESUMED, Kind.RESUMED)


def bare(path: Path) -> sqlite3.Connection:
    """The file without the triggers that refuse changes."""
    connection = sqlite3.connect(path, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        connection = bare(path)
        connection.execute(statement)
        connection.close()

    return change


def flip(path: Path) -> None:
    """Change one letter of a text in the file itself, as a failing disk does."""
    content = path.read_bytes()
    assert content.count(b"About to delete") == 1
    with path.open("r+b") as file:
        file.seek(content.index(b"About to delete"))
        file.write(b"about")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a letter in the file": flip,
    "a text": sql(f"UPDATE entries SET text = '{SECRET}' WHERE id = 1"),
    "a host": sql(f"UPDATE entries SET host = '{SECRET}' WHERE id = 1"),
    "a time": sql("UPDATE entries SET at = at - 0.001 WHERE id = 1"),
    "a time that is none": sql(f"UPDATE entries SET at = '{SECRET}' WHERE id = 1"),
    "a kind": sql("UPDATE entries SET kind = 'blocked' WHERE id = 1"),
    "a kind that is none": sql(f"UPDATE entries SET kind = '{SECRET}' WHERE id = 1"),
    "a detail that is no JSON": sql(f"UPDATE entries SET detail = '{SECRET}' WHERE id = 1"),
    "a detail of another kind": sql("UPDATE entries SET detail = '[1]' WHERE id = 1"),
    "a text that is no UTF-8": sql(
        "UPDATE entries SET text = CAST(x'ff736573616d65406578616d706c652e636f6d' AS TEXT)"
        " WHERE id = 1"
    ),
    "a panel": sql("UPDATE entries SET panel_pin = 'b' WHERE id = 1"),
    "a checksum": sql("UPDATE entries SET checksum = 'x' WHERE id = 1"),
    "a checksum that has gone": sql("UPDATE entries SET checksum = '' WHERE id = 2"),
    "a number": sql("UPDATE entries SET id = 77 WHERE id = 2"),
    "a message's id": sql("UPDATE messages SET message_id = '1abcde-000009-AB' WHERE position = 1"),
    "a message's sender": sql(f"UPDATE messages SET sender = '{SECRET}' WHERE position = 1"),
    "recipients that are no JSON": sql(f"UPDATE messages SET recipients = '{SECRET}'"),
    "a message less": sql("DELETE FROM messages WHERE position = 1"),
    "a message of nothing": sql("UPDATE messages SET entry = 99 WHERE position = 1"),
    "an unfinished intent forgotten": sql("DELETE FROM unsettled"),
}


def written(path: Path) -> None:
    journal = Journal.open(path)
    journal.add(intent(text="About to delete it."), plan())
    journal.add(entry(Kind.BLOCKED))
    journal.close()


def refuses(journal: Journal) -> str:
    """That nothing can be begun by a journal, nor known; what it says."""
    before = len(journal.entries(kinds=LETTING, readable=True))
    said = set()
    # What begins looks first: a question may go by what was seen just before.
    for kind in LETTING:
        with pytest.raises(JournalError) as caught:
            journal.add(entry(kind, "more"), plan())
        said.add(str(caught.value))
    for question in (journal.demand_sound, journal.fleet_facts):
        with pytest.raises(JournalError) as caught:
            question()
        said.add(str(caught.value))
    with pytest.raises(JournalError) as caught:
        journal.rule_facts("mx1", "purge")
    said.add(str(caught.value))
    assert len(journal.entries(kinds=LETTING, readable=True)) == before
    (text,) = said
    return text


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damage_in_content_is_seen_at_start(path: Path, open_journal: Opens, what: str) -> None:
    written(path)
    DAMAGES[what](path)
    journal = open_journal()
    text = refuses(journal)
    assert text.startswith(f"The journal {path} is damaged (")
    assert SECRET not in text
    assert "sesame" not in text
    # What restrains is written all the same.
    journal.add(Entry(Kind.PAUSED, text="Paused."))
    assert journal.entries(kinds=[Kind.PAUSED])


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damage_in_content_is_seen_before_an_action(
    path: Path, open_journal: Opens, what: str
) -> None:
    written(path)
    journal = open_journal()
    journal.demand_sound()
    DAMAGES[what](path)
    assert "is damaged" in refuses(journal)


def test_a_damage_is_seen_between_two_replies(path: Path, open_journal: Opens) -> None:
    written(path)
    journal = open_journal()
    journal.add(entry(Kind.REPLY, text="Deleted."))
    DAMAGES["a text"](path)
    with pytest.raises(JournalError, match="is damaged"):
        journal.add(entry(Kind.REPLY, text="Deleted, too."))


def test_what_can_be_read_is_shown_all_the_same(path: Path, open_journal: Opens) -> None:
    written(path)
    DAMAGES["a kind that is none"](path)
    journal = open_journal()
    with pytest.raises(JournalError, match=r"damaged \(entry 1 cannot be read\)"):
        journal.entries()
    assert [e.id for e in journal.entries(readable=True)] == [2]


def test_once_it_is_mended_it_is_used_again(path: Path, open_journal: Opens) -> None:
    written(path)
    shutil.copy(path, path.with_name("copy"))
    DAMAGES["a text"](path)
    journal = open_journal()
    refuses(journal)
    journal.close()
    shutil.copy(path.with_name("copy"), path)
    again = open_journal()
    again.demand_sound()
    assert again.add(intent("r2")).id == 3


def test_what_was_read_while_it_was_damaged_is_read_anew(path: Path, open_journal: Opens) -> None:
    written(path)
    journal = open_journal()
    known = journal.rule_facts("mx1", "purge")
    again = open_journal()
    sql("UPDATE entries SET kind = 'stopped', rule = 'retry' WHERE id = 2")(path)
    for each in (journal, again):
        refuses(each)
    sql("UPDATE entries SET kind = 'blocked', rule = 'purge' WHERE id = 2")(path)
    for each in (journal, again):
        assert each.rule_facts("mx1", "purge") == known
        assert each.rule_facts("mx1", "retry") == RuleFacts()


@pytest.mark.parametrize("how", ["a transaction", "what is shown"])
def test_what_is_looked_at_while_it_is_damaged_is_read_anew(
    path: Path, open_journal: Opens, how: str
) -> None:
    journal = open_journal()
    journal.add(intent(), plan())
    journal.add(entry(Kind.STOPPED, text="Why."))
    known = journal.rule_facts("mx1", "purge")
    sql("UPDATE entries SET kind = 'blocked' WHERE id = 2")(path)
    refuses(journal)
    # Neither asks whether the journal is sound: it was asked before a transaction, or need not be.
    if how == "a transaction":
        with journal.alone():
            assert not journal.rule_facts("mx1", "purge").stopped
    else:
        assert [e.kind for e in journal.projection().rules_known()] == [Kind.INTENT]
    sql("UPDATE entries SET kind = 'stopped' WHERE id = 2")(path)
    assert journal.rule_facts("mx1", "purge") == known
    assert known.stopped == "Why."


def test_what_was_rolled_back_was_never_done(journal: Journal) -> None:
    with suppress(KeyError), journal.alone():
        journal.add(entry(Kind.STOPPED, text="Why."))
        assert journal.rule_facts("mx1", "purge").stopped == "Why."
        raise KeyError
    assert journal.rule_facts("mx1", "purge") == RuleFacts()
    # The next entry gets its number.
    assert journal.add(entry(Kind.STOPPED, rule="retry", text="Why.")).id == 1
    assert journal.rule_facts("mx1", "purge") == RuleFacts()
    assert journal.rule_facts("mx1", "retry").stopped == "Why."


def test_entries_of_versions_that_wrote_no_checksum_are_read(
    path: Path, open_journal: Opens
) -> None:
    written(path)
    sql("UPDATE entries SET checksum = ''")(path)
    journal = open_journal()
    assert journal.rule_facts("mx1", "purge").begun_today == 0
    journal.add(intent("r2"))
    journal.demand_sound()


def test_what_another_process_writes_is_looked_at_and_no_damage(
    path: Path, open_journal: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []

    def looks(path: Path, on_entry: Callable[[Entry], object]) -> None:
        looked.append(path)
        verify(path, on_entry)

    monkeypatch.setattr(database_module, "verify", looks)
    journal, other = open_journal(), open_journal()
    journal.demand_sound()
    for number in range(20):
        # Its own writing, and what is brought into the file with it, is nobody else's.
        journal.add(intent(f"r{number}"), plan())
        journal.add(entry(Kind.REPLY, f"r{number}"))
        journal.add(outcome(f"r{number}"))
        journal.demand_sound()
    assert len(looked) == 1
    other.add(entry(Kind.BLOCKED))
    looked.clear()
    journal.demand_sound()
    assert looked == [path]
    # Where a look is dear, it is not for each line of another process, but before what begins.
    monkeypatch.setattr(database_module, "CHEAP", 0.0)
    monkeypatch.setattr(database_module, "VERIFIES_FOR", 1e-9)
    other.add(entry(Kind.BLOCKED))
    journal.demand_sound()
    assert looked == [path]
    journal.add(intent())
    assert looked == [path, path]


TEXTS = st.text(max_size=8)


@settings(max_examples=examples(100), deadline=None)
@given(
    texts=st.lists(TEXTS, min_size=6, max_size=6),
    detail=st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.none())),
    messages=st.lists(
        st.builds(
            Message,
            id=TEXTS,
            age=st.one_of(st.none(), st.integers(0, 10**9), st.floats(allow_nan=True)),
            size=st.one_of(st.none(), st.integers(0, 2**70)),
            sender=st.one_of(st.none(), TEXTS),
            recipients=st.one_of(st.none(), st.lists(TEXTS, max_size=2).map(tuple)),
            frozen=st.sampled_from([None, True, False]),
        ),
        max_size=3,
    ),
    at=st.one_of(st.integers(0, 2**40), st.floats(0, 2**40)),
)
def test_whatever_is_written_is_sound(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    detail: dict[str, object],
    messages: list[Message],
    at: float,
) -> None:
    path = tmp_path_factory.mktemp("any") / "journal"
    journal = quick_journal(path, lambda: at)
    host, rule, action, actor, text, url = texts
    written = entry(
        Kind.BLOCKED,
        "r",
        host=host,
        rule=rule,
        action=action,
        actor=actor,
        text=text,
        detail=detail,
        panel=PanelId(url, host),
    )
    try:
        journal.add(written, messages)
        verify(path)
    finally:
        journal.close()


# --- what stands beside it ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-hosts.lock"])
@pytest.mark.parametrize("how", ["removed", "replaced", "moved away"])
def test_a_file_that_was_removed_or_replaced_is_seen_before_anything_is_done(
    path: Path, open_journal: Opens, ending: str, how: str
) -> None:
    journal = open_journal()
    lock_file(path).touch()
    journal.add(intent(), plan())
    file = path.with_name(path.name + ending)
    copy = file.read_bytes()
    if how == "moved away":
        file.rename(path.with_name("elsewhere"))
    else:
        file.unlink()
    if how == "replaced":
        file.write_bytes(copy)
    for question in (
        journal.demand_sound,
        journal.fleet_facts,
        lambda: journal.rule_facts("mx1", "purge"),
        lambda: journal.add(intent("r2")),
        lambda: journal.add(entry(Kind.REPLY)),
        lambda: journal.add(Entry(Kind.PAUSED)),
    ):
        with pytest.raises(JournalError, match="was moved, replaced or deleted while it was in"):
            question()


def test_the_file_of_the_locks_may_come_later(path: Path, open_journal: Opens) -> None:
    journal = open_journal()
    journal.add(intent())
    lock_file(path).touch()
    journal.add(outcome())
    journal.demand_sound()
    lock_file(path).unlink()
    with pytest.raises(JournalError, match="replaced or deleted"):
        journal.demand_sound()


@pytest.mark.parametrize(
    "kind", [kind for kind in Kind if kind not in {Kind.REPLY, Kind.BLOCKED, Kind.ASKED}]
)
def test_a_copy_of_the_file_alone_knows_what_limits_rest_on(
    path: Path, tmp_path: Path, open_journal: Opens, clock: Clock, kind: Kind
) -> None:
    journal = open_journal()
    journal.add(intent("r0"))
    journal.add(entry(kind, outcome=Outcome.UNVERIFIED.value, text="Why."), plan())
    copy = tmp_path / "copy" / "journal"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    with raw(copy) as connection:
        kinds = connection.execute("SELECT kind FROM entries ORDER BY id").fetchall()
    assert kinds == [("intent",), (kind.value,)]
    known = Journal.open(copy, clock=clock)
    assert known.rule_facts("mx1", "purge") == journal.rule_facts("mx1", "purge")
    known.close()


def test_a_new_journal_is_made_where_no_link_leads(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "another's"
    path.symlink_to(target)
    with pytest.raises(JournalError, match="it is no regular file"):
        Journal.open(path)
    assert not target.exists()


def test_a_link_put_there_meanwhile_is_not_followed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look whether there is a file and its making."""
    target, opens = tmp_path / "another's", os.open

    def late(name: Path, *rest: int, **keys: int) -> int:
        if name == path:
            path.symlink_to(target)
        return opens(name, *rest, **keys)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(JournalError, match="it is no regular file"):
        Journal.open(path)
    assert not target.exists()


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_a_link_beside_a_journal_is_not_written_through(
    path: Path, tmp_path: Path, ending: str
) -> None:
    written(path)
    target = tmp_path / "another's"
    target.write_bytes(b"")
    path.with_name(path.name + ending).symlink_to(target)
    with pytest.raises(JournalError, match=f"{path.name}{ending} beside it is a link"):
        Journal.open(path)
    assert target.read_bytes() == b""
