"""`journal`: what it shows of a journal that somebody else writes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exporter.cli import main
from exporter.journal import Entry, Journal, Kind, Outcome
from exporter.snapshot import Message
from tests.cli.shell import write_config
from tests.daemon.conftest import host
from tests.journal.builders import entry, intent, outcome, plan

RUN = "3fa9b2c1" * 4
OTHER = "3fa9b2c1" + "0" * 24
DAY = 86400.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, host("mx1", "http://127.0.0.1:1"), host("mx2", "http://[::1]:1"))


@pytest.fixture(autouse=True)
def zone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def journal(config: Path) -> Path:
    return config.with_name("journal.db")


def show(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["journal", "--config", str(config), *arguments])


def write(
    path: Path, *entries: Entry, age: float = 60.0, messages: list[Message] | None = None
) -> None:
    with closing(Journal.open(path, clock=lambda: time.time() - age)) as journal:
        for each in entries:
            journal.add(each, messages or [] if each.kind is Kind.INTENT else [])


def reply(run: str, what: str, message_id: str, **keys: Any) -> Entry:
    detail = {"id": message_id}
    return entry(Kind.REPLY, run, outcome=what, text="Words.", detail=detail, **keys)


STORY = (
    intent(RUN, actor="rule", text="About to delete 3 messages (frozen): it was asked for."),
    reply(RUN, "removed", "1sAbCd-000001-2X", actor="rule"),
    reply(RUN, "removed", "1sAbCd-000002-2X", actor="rule"),
    reply(RUN, "locked", "1sAbCd-000003-2X", actor="rule"),
    outcome(RUN, Outcome.UNVERIFIED, actor="rule", text="2 of 3 messages are gone."),
)


def test_it_is_readable_in_80_columns(config: Path, journal: Path) -> None:
    write(journal, *STORY)
    long = "Nothing is so long that it could not be said in more than one line. " * 3
    by_hand = replace(STORY[0], run="ab" * 16, rule="", actor="person:ann", text=long)
    pause = entry(Kind.PAUSED, "", host="", rule="", actor="person:ann", text="No.")
    write(journal, by_hand, pause)
    result = show(config)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Times are local: IST, +05:30."
    reported = [re.sub(r"^[-0-9]{10} [:0-9]{8}", "T", line) for line in lines[2:]]
    assert reported == [
        "T  mx1    purge       intent  3fa9b2c1",
        "    About to delete 3 messages (frozen): it was asked for.",
        "T  mx1    purge       reply  3fa9b2c1",
        "    3 replies: 2 removed, 1 locked.",
        "T  mx1    purge       outcome verify_failed  3fa9b2c1",
        "    2 of 3 messages are gone.",
        "T  mx1    person:ann  intent  abababab",
        "    Nothing is so long that it could not be said in more than one line. Nothing",
        "    is so long that it could not be said in more than one line. Nothing is so",
        "    long that it could not be said in more than one line.",
        "T  (all)  person:ann  paused",
        "    No.",
    ]


def test_times_are_of_this_machine(config: Path, journal: Path) -> None:
    write(journal, STORY[0], age=0.0)
    shown = show(config).stdout.splitlines()[2][:19]
    local = time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() + 5.5 * 3600))
    assert shown.startswith(local[:14])


def test_one_run_shows_each_reply(config: Path, journal: Path) -> None:
    write(journal, *STORY)
    result = show(config, "--run", RUN[:8])
    assert result.exit_code == 0
    assert "reply locked" in result.stdout
    assert "    1sAbCd-000003-2X: Words." in result.stdout
    assert "replies" not in result.stdout


def test_one_long_reply_is_shortened_among_others(config: Path, journal: Path) -> None:
    write(journal, STORY[0], replace(STORY[1], text="Message has been removed " * 20, detail={}))
    short = " ".join(show(config).stdout.split())
    assert short.endswith("Message has been removed…")
    assert short.count("removed") == 7
    assert show(config, "--run", RUN[:8]).stdout.count("removed") == 21


def test_one_run_is_found_however_old_it_is(config: Path, journal: Path) -> None:
    write(journal, *STORY, age=30 * DAY)
    assert "outcome verify_failed" in show(config, "--run", RUN[:8]).stdout


def test_runs_that_are_unknown_or_ambiguous(config: Path, journal: Path) -> None:
    write(journal, *STORY, intent(OTHER))
    result = show(config, "--run", "77")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no run '77' in the journal.\n"
    result = show(config, "--run", "3fa9")
    assert result.exit_code == 1
    assert f"'3fa9' is the beginning of several runs: {RUN}, {OTHER}." in result.stderr
    assert show(config, "--run", OTHER).exit_code == 0


def test_the_messages_of_a_plan(config: Path, journal: Path) -> None:
    write(journal, *STORY, messages=plan(3))
    assert "1abcde" not in show(config).stdout
    lines = show(config, "--messages").stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if "ID  " in line)
    assert [line.split()[0] for line in lines[at + 1 : at + 4]] == [m.id for m in plan(3)]
    assert max(map(len, lines)) <= 80


def test_json_is_every_entry_in_utc(config: Path, journal: Path) -> None:
    write(journal, *STORY, messages=plan(2))
    views = json.loads(show(config, "--format", "json").stdout)
    assert [view["kind"] for view in views] == ["intent", *["reply"] * 3, "outcome"]
    assert all(view["at"].endswith("+00:00") for view in views)
    assert "messages" not in views[0]
    views = json.loads(show(config, "--format", "json", "--messages").stdout)
    assert [m["id"] for m in views[0]["messages"]] == [m.id for m in plan(2)]


def test_it_can_be_narrowed_down(config: Path, journal: Path) -> None:
    write(journal, replace(STORY[0], host="mx2"), age=3 * DAY)
    write(journal, STORY[0], replace(STORY[0], rule="other"))

    def reported(*arguments: str) -> list[tuple[str, str]]:
        views = json.loads(show(config, *arguments, "--format", "json").stdout)
        return [(view["host"], view["rule"]) for view in views]

    assert reported() == [("mx1", "purge"), ("mx1", "other")]
    assert reported("--since", "4d") == [("mx2", "purge"), ("mx1", "purge"), ("mx1", "other")]
    assert reported("--since", "4d", "--host", "mx2") == [("mx2", "purge")]
    assert reported("--rule", "other") == [("mx1", "other")]


def test_it_says_where_there_is_more(config: Path, journal: Path) -> None:
    write(journal, replace(STORY[0], host="mx2"), age=3 * DAY)
    result = show(config)
    assert (result.exit_code, result.stdout) == (
        0,
        "Nothing within the last 1d. The last entry is 3d old; --since 4d shows it.\n",
    )
    assert show(config, "--host", "mx1").stdout == "Nothing of host mx1 in the journal.\n"
    assert "Nothing of host mx2 rule" not in show(config, "--host", "mx2").stdout
    assert show(config, "--format", "json").stdout == "[]\n"


def test_a_host_that_never_was_is_a_mistake(config: Path, journal: Path) -> None:
    write(journal, replace(STORY[0], host="gone"))
    assert "mx9" in show(config, "--host", "mx9").stderr
    assert show(config, "--host", "mx9").exit_code == 2
    assert show(config, "--host", "gone").exit_code == 0


def test_without_a_journal_nothing_was_done(config: Path, journal: Path) -> None:
    result = show(config)
    assert (result.exit_code, result.stdout) == (
        0,
        f"There is no journal at {journal} yet. Nothing was done, or it was moved away.\n",
    )
    result = show(config, "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "There is no journal" in result.stderr
    assert not journal.exists()


@pytest.mark.parametrize("damage", ["nonsense", "cut"])
def test_a_damaged_journal_is_reported(config: Path, journal: Path, damage: str) -> None:
    write(journal, *STORY, messages=plan(99))
    if damage == "cut":
        os.truncate(journal, 4096 + 9)
    else:
        journal.write_bytes(b"nonsense" * 999)
    result = show(config)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: The journal {journal} is damaged (")
    assert "move it away with its -wal and -shm and restart the daemon: a new one" in result.stderr


def test_it_reads_while_somebody_writes(config: Path, journal: Path) -> None:
    with closing(Journal.open(journal)) as writer:
        writer.add(STORY[0])
        assert len(json.loads(show(config, "--format", "json").stdout)) == 1
        writer.add(STORY[4])
        assert len(json.loads(show(config, "--format", "json").stdout)) == 2


def test_what_would_steer_a_terminal_is_not_printed(config: Path, journal: Path) -> None:
    evil = Message("1sAbCd-000001-2X", sender="\x1b[2Jann@example.org", recipients=("\x07b@c.d",))
    write(journal, replace(STORY[0], text="One\x1b[2J\ntwo."), messages=[evil])
    out = show(config, "--messages").stdout
    assert not set(out) & set("\x1b\x07")
    assert "two." in out


def test_a_time_that_is_none(config: Path) -> None:
    result = show(config, "--since", "yesterday")
    assert result.exit_code == 2
    assert (
        "Invalid value for '--since': not a duration: write a number with a unit" in result.stderr
    )


@pytest.mark.parametrize("words", [["journal"], ["remediation", "status"], ["alerts"]])
def test_without_its_folder_nobody_says_that_nothing_was_done(
    tmp_path: Path, words: list[str]
) -> None:
    config = write_config(tmp_path, host("mx1", "http://127.0.0.1:1"))
    config.write_text(config.read_text().replace("path: journal.db", "path: none/journal.db"))
    result = CliRunner().invoke(main, [*words, "--config", str(config)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"There is no journal at {tmp_path}/none/journal.db, nor its folder" in result.stderr
