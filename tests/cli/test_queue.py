"""`queue`: what it shows, what it asks the panel for, and what is left in the queue."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exporter.cli import main
from exporter.cli.session import requester
from exporter.journal import Entry, Journal, Kind
from exporter.journal.host_lock import HostLocks
from exporter.panel.protocol import Operation
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import Panel, PanelOptions
from exporter.standin.queue import QueuedMessage
from exporter.standin.replies import ReplyStyle
from exporter.standin.traffic import EMPTY, STORM
from tests.cli.shell import SECRET, AtTerminal, run, run_process, write_config
from tests.daemon.conftest import host
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel, held
from tests.remediation.mischief import (
    Hold,
    counts,
    does_nothing,
    is_change,
    meanwhile,
    of,
    shows_login_page,
)
from tests.servers.exim import EximQueue, Submission

HOUR, DAY = 3600.0, 86400.0


def message_id(serial: int) -> str:
    return f"1sAbCd-{serial:06d}-2X"


def mail(serial: int, **keys: Any) -> QueuedMessage:
    """A message of a day ago from a real sender."""
    recipients = (f"user{serial}@example.net",)
    message = QueuedMessage(message_id(serial), DAY, 900, "ann@example.org", recipients)
    return replace(message, **keys)


def bounce(serial: int, **keys: Any) -> QueuedMessage:
    """A frozen bounce of two days ago."""
    return mail(serial, age=2 * DAY, sender="", frozen=True, **keys)


def in_memory(*messages: QueuedMessage) -> MemoryQueue:
    queue = MemoryQueue(EMPTY)
    queue.put(messages)
    return queue


class Site:
    """A config for one panel, mx1."""

    def __init__(self, folder: Path, server: PanelServer, **sections: Any) -> None:
        self.panel: Panel = server.panel
        self.url = server.url
        sections = {"poll": {"timeout": "20s"}} | sections
        self.config = write_config(folder, host("mx1", server.url, password=SECRET), **sections)
        self.journal_file = folder / "journal.db"

    async def queue(self, *arguments: str) -> tuple[int, str, str]:
        return await run("queue", *arguments, "--config", self.config)

    def at_terminal(self, *arguments: str, whole: bool = False) -> AtTerminal:
        return AtTerminal("queue", *arguments, "--config", self.config, whole=whole)

    async def left(self) -> list[str]:
        """The ids that are still in the queue."""
        return sorted(m.id for m in await self.panel.queue.messages())

    def asked(self) -> list[str]:
        """What was asked that changes something: ids, or operations on the whole queue."""
        return [r.fields.get("id", str(r.operation)) for r in self.panel.requests if is_change(r)]

    def journal(self, *kinds: Kind) -> list[Entry]:
        with closing(Journal.open_to_read(self.journal_file)) as journal:
            return journal.entries(kinds=kinds)

    def planned(self) -> list[str]:
        """The ids that were written with the last intent."""
        with closing(Journal.open_to_read(self.journal_file)) as journal:
            (intent,) = journal.entries(kinds=[Kind.INTENT], newest=1)
            return [m.id for m in journal.messages(intent.id)]


class MakeSite:
    def __init__(self, folder: Path, serve: ServePanel) -> None:
        self._folder = folder
        self._serve = serve

    async def __call__(self, queue: MemoryQueue | EximQueue, **sections: Any) -> Site:
        style = sections.pop("style", ReplyStyle())
        server = await self._serve(queue, PanelOptions(password=SECRET, style=style))
        return Site(self._folder, server, **sections)


@pytest.fixture
def make_site(tmp_path: Path, serve_panel: ServePanel) -> MakeSite:
    return MakeSite(tmp_path, serve_panel)


THREE = (bounce(1), bounce(2, recipients=("a@example.net", "b@example.net")), mail(3))


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    """Two frozen bounces, the second to two recipients, and a message of a real sender."""
    return await make_site(in_memory(*THREE))


def widest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


# --- count and list -----------------------------------------------------------------------------


async def test_count_prints_a_number(site: Site) -> None:
    assert await site.queue("count", "mx1") == (0, "3\n", "")
    code, out, _ = await site.queue("count", "mx1", "--format", "json")
    assert (code, json.loads(out)) == (0, {"host": "mx1", "messages": 3})
    assert [r.operation for r in site.panel.requests] == [Operation.COUNT] * 2


async def test_list_shows_each_message_and_totals(site: Site) -> None:
    code, out, err = await site.queue("list", "mx1")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["ID", "AGE", "SIZE", "F", "SENDER", "RECIPIENT"],
        [message_id(1), "2d", "900", "B", "F", "<>", "user1@example.net"],
        [message_id(2), "2d", "900", "B", "F", "<>", "a@example.net", "+1"],
        [message_id(3), "1d", "900", "B", "ann@example.org", "user3@example.net"],
        [],
        ["3", "messages,", "2", "frozen,", "2", "bounces,", "2.6", "KiB,", "the", "oldest", "2d."],
    ]
    assert not site.journal_file.exists(), "looking needs no journal"


async def test_list_takes_the_selectors_of_rules(site: Site) -> None:
    code, out, _ = await site.queue("list", "mx1", "--frozen", "--older-than", "1d", "--limit", "1")
    assert code == 0
    assert message_id(1) in out
    assert message_id(2) not in out
    assert out.endswith("1 message, 1 frozen, 1 bounce, 900 B, the oldest 2d. Of 3 in the queue.\n")


async def test_list_as_json_holds_what_the_panel_reported(site: Site) -> None:
    code, out, _ = await site.queue("list", "mx1", "--not-bounce", "--format", "json")
    assert code == 0
    view = json.loads(out)
    (message,) = view.pop("messages")
    assert view == {
        "host": "mx1",
        "count": 3,
        "listed": 3,
        "not_understood": 0,
        "ids_not_in_the_queue": [],
        "ids_not_meant": [],
    }
    assert message["age_seconds"] == pytest.approx(DAY)
    assert message | {"age_seconds": 0} == {
        "id": message_id(3),
        "age_seconds": 0,
        "size_bytes": 900,
        "sender": "ann@example.org",
        "recipients": ["user3@example.net"],
        "delivered": [],
        "frozen": False,
    }


async def test_list_of_named_ids_shows_which_are_not_there(site: Site) -> None:
    ids = ("--id", message_id(3), "--id", message_id(9), "--id", message_id(1))
    code, out, _ = await site.queue("list", "mx1", "--not-bounce", *ids)
    assert code == 0
    assert out.splitlines()[1].startswith(message_id(3))
    assert f"Not in the queue: {message_id(9)}." in out
    assert f"In the queue, but not what the other options say: {message_id(1)}." in out


async def test_list_of_an_empty_queue(make_site: MakeSite) -> None:
    site = await make_site(in_memory())
    assert await site.queue("list", "mx1") == (0, "The queue is empty.\n", "")


async def test_list_says_when_it_is_not_the_whole_queue(site: Site) -> None:
    site.panel.interfere = counts(40)
    _, out, _ = await site.queue("list", "mx1")
    assert "count_msg tells 40 messages, list_msg lists 3: this is not the whole" in out
    site.panel.interfere = counts(4)
    _, out, _ = await site.queue("list", "mx1")
    assert "list_msg lists 3: mail came or went in" in out
    assert widest(out) <= 80


class Garbled(MemoryQueue):
    """Its console has a line that nobody understands."""

    async def console(self) -> str:
        return await super().console() + "\n 2d  what is this\n"


async def test_list_says_how_many_rows_were_not_understood(make_site: MakeSite) -> None:
    queue = Garbled(EMPTY)
    queue.put(THREE)
    site = await make_site(queue, style=ReplyStyle(shape="console_text"))
    code, out, _ = await site.queue("list", "mx1")
    assert code == 0
    assert "1 row of the list not understood, and in no selector" in out
    assert widest(out) <= 80


async def test_a_list_of_a_storm_fits_80_columns(make_site: MakeSite) -> None:
    queue = MemoryQueue(STORM, ids="exim_long")
    queue.put([mail(1, sender=f"{'s' * 90}@example.org", recipients=(f"{'r' * 90}@e.org",) * 3)])
    site = await make_site(queue)
    code, out, _ = await site.queue("list", "mx1")
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 3004
    assert widest(out) == 80
    assert re.search(r"s…  r+… \+2$", out, re.MULTILINE)


# --- deleting -----------------------------------------------------------------------------------


def spool(queue: EximQueue) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in queue.input.iterdir()}


@contextmanager
def unharmed(queue: EximQueue, *ids: str) -> Iterator[None]:
    """These messages are afterwards as before, byte for byte, and nothing else is there."""
    before = {name: data for name, data in spool(queue).items() if name[:16] in ids}
    assert len(before) == 2 * len(ids)
    yield
    assert spool(queue) == before


def exim_mail(queue: EximQueue, serial: int, **keys: Any) -> QueuedMessage:
    message = mail(serial, **keys)
    return replace(message, id=queue.new_id(message.age, serial))


async def test_delete_takes_what_the_selector_means_and_nothing_else(
    make_site: MakeSite, exim_queue: NewEximQueue
) -> None:
    queue = await exim_queue()
    storm = [exim_mail(queue, n, sender="", frozen=True, age=2 * DAY) for n in range(1, 31)]
    real = exim_mail(queue, 50, frozen=True, age=3 * DAY)
    young = exim_mail(queue, 51, sender="", frozen=True, age=HOUR)
    queue.put([*storm, real, young])
    site = await make_site(queue)
    selector = ("--frozen", "--bounce", "--older-than", "1d")
    with unharmed(queue, real.id, young.id):
        code, out, err = await site.queue("delete", "mx1", *selector, "--yes")
    assert (code, err) == (0, "")
    ids = sorted(m.id for m in storm)
    assert sorted(site.asked()) == ids
    assert "mx1: about to delete 30 messages for good (frozen, bounce, older than 1d)" in out
    assert "and 10 more; --all shows them.\n" in out
    assert "mx1: 30 of 30 messages are gone.\n" in out
    assert widest(out) <= 80

    intent, *replies, outcome = site.journal()
    assert (intent.kind, intent.host, intent.rule, intent.action) == (
        Kind.INTENT,
        "mx1",
        "",
        "delete",
    )
    assert intent.actor == f"person:{requester()}"
    assert sorted(site.planned()) == ids
    assert {(r.kind, r.outcome) for r in replies} == {(Kind.REPLY, "removed")}
    assert sorted(str(r.detail["id"]) for r in replies) == ids
    assert (outcome.kind, outcome.outcome, outcome.run) == (Kind.OUTCOME, "ok", intent.run)
    assert f"In the journal as run {intent.run[:8]}.\n" in out


async def test_all_of_a_plan_is_shown_when_wanted(make_site: MakeSite) -> None:
    site = await make_site(in_memory(*(bounce(n) for n in range(1, 31))))
    _, out, _ = await site.queue("delete", "mx1", "--frozen", "--all", "--yes")
    assert out.count("user") == 30
    assert "more;" not in out


async def test_named_ids_alone_are_deleted(site: Site) -> None:
    ids = ("--id", message_id(3), "--id", message_id(9))
    code, out, _ = await site.queue("delete", "mx1", *ids, "--yes")
    assert code == 0
    assert site.asked() == [message_id(3)]
    assert f"Not in the queue: {message_id(9)}." in out
    assert "about to delete 1 message for good (named by id)" in out
    assert await site.left() == [message_id(1), message_id(2)]


async def test_ids_that_are_gone_leave_nothing_to_do(site: Site) -> None:
    code, out, _ = await site.queue("delete", "mx1", "--id", message_id(9), "--yes")
    assert code == 0
    assert "mx1: nothing to do, none of these messages is meant and there.\n" in out
    assert site.asked() == []
    assert site.journal() == []


async def test_named_ids_must_be_what_the_other_options_say(site: Site) -> None:
    code, out, _ = await site.queue("delete", "mx1", "--bounce", "--id", message_id(3), "--yes")
    assert code == 0
    assert f"not what the other options say: {message_id(3)}." in out
    assert site.asked() == []


async def test_nothing_to_do_says_what_was_looked_for(site: Site) -> None:
    code, out, _ = await site.queue("delete", "mx1", "--larger-than", "1MiB", "--yes")
    assert (code, out) == (0, "mx1: nothing to do, no message of 3 is larger than 1.0 MiB.\n")


class Undated(MemoryQueue):
    """A Postfix queue whose dates have neither a year nor a zone."""

    async def console(self) -> str:
        return (
            "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
            "3F2A1B0C9D      900 Mon Nov 30 10:00:00  ann@example.org\n"
            "                     (connect to mx.example.net: Connection refused)\n"
            "                                         user3@example.net\n\n"
            "-- 1 Kbytes in 1 Request.\n"
        )


async def test_nothing_known_to_be_meant_is_not_the_same_as_nothing(make_site: MakeSite) -> None:
    queue = Undated(EMPTY)
    queue.put([mail(3)])
    site = await make_site(queue, style=ReplyStyle(shape="postqueue_text"))
    code, out, _ = await site.queue("delete", "mx1", "--older-than", "1d", "--yes")
    assert "mx1: nothing to do, no message of 1 is known to be " in " ".join(out.split())
    assert code == 1
    assert site.asked() == []


async def test_a_locked_message_is_reported_and_stays(
    make_site: MakeSite, exim_queue: NewEximQueue
) -> None:
    queue = await exim_queue()
    messages = [exim_mail(queue, n, frozen=True) for n in range(1, 4)]
    queue.put(messages)
    site = await make_site(queue)
    locked = messages[1].id
    with held(queue, locked):
        code, out, _ = await site.queue("delete", "mx1", "--frozen", "--yes")
    assert code == 1
    assert f"  {locked}  locked: " in out
    assert "mx1: 2 of 3 messages are gone (1 locked by a delivery). [verify_failed]" in out
    assert await site.left() == [locked]


async def test_a_panel_that_says_done_and_does_nothing_is_found_out(site: Site) -> None:
    site.panel.interfere = does_nothing
    code, out, _ = await site.queue("delete", "mx1", "--frozen", "--yes")
    assert code == 1
    assert "mx1: 0 of 2 messages are gone. [verify_failed]" in out


async def test_an_answer_that_is_none_is_reported_message_by_message(site: Site) -> None:
    site.panel.interfere = shows_login_page(of(Operation.CONTROL))
    code, out, _ = await site.queue("delete", "mx1", "--frozen", "--yes")
    assert code == 1
    assert f"  {message_id(1)}  no answer: " in out
    assert len(site.asked()) == 2


async def test_as_json_it_is_one_document(site: Site) -> None:
    code, out, err = await site.queue("delete", "mx1", "--frozen", "--yes", "--format", "json")
    assert (code, err) == (0, "")
    view = json.loads(out)
    assert view["host"] == "mx1"
    assert view["action"] == "delete"
    assert view["plan"]["reason"] == "frozen"
    assert [m["id"] for m in view["plan"]["messages"]] == [message_id(1), message_id(2)]
    assert view["failures"] == []
    assert view["outcome"]["outcome"] == "ok"
    assert view["outcome"]["detail"]["removed"] == 2
    assert view["outcome"]["run"] == site.journal(Kind.INTENT)[0].run


async def test_nothing_to_do_as_json(site: Site) -> None:
    code, out, _ = await site.queue(
        "delete", "mx1", "--id", message_id(9), "--yes", "--format", "json"
    )
    view = json.loads(out)
    assert (code, view["outcome"], view["plan"]["messages"]) == (0, None, [])
    assert view["ids_not_in_the_queue"] == [message_id(9)]


# --- asking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["delete", "mx1", "--frozen"], ["retry", "mx1", "--everything"], ["purge-frozen", "mx1"],
     ["purge-all", "mx1"]],
)  # fmt: skip
async def test_without_a_terminal_and_without_yes_nothing_is_done(
    site: Site, arguments: list[str]
) -> None:
    code, out, err = await site.queue(*arguments)
    assert (code, out) == (1, "")
    assert err == (
        "Error: There is no terminal to ask on, so that nothing was done. "
        "Say --yes to do it without being asked.\n"
    )
    assert list(site.panel.requests) == []


@pytest.mark.parametrize("answer", ["n\n", "\n", "maybe\n", "\x04"])
async def test_only_a_yes_is_one(site: Site, answer: str) -> None:
    with site.at_terminal("delete", "mx1", "--frozen") as person:
        await person.until("Go on? [y/N] ")
        person.type(answer)
        assert await person.end() == 1
    assert "mx1: nothing was done." in person.shown
    assert site.asked() == []
    assert site.journal() == []


@pytest.mark.parametrize("answer", ["y\n", "Yes\n"])
async def test_a_yes_does_what_was_shown(site: Site, answer: str) -> None:
    with site.at_terminal("delete", "mx1", "--frozen", whole=True) as person:
        await person.until("Go on? [y/N] ")
        assert message_id(1) in person.shown
        assert "about to delete 2 messages" in person.shown
        person.type(answer)
        assert await person.end() == 0
    assert "2 of 2 messages are gone." in person.shown
    assert await site.left() == [message_id(3)]


async def test_a_yes_that_was_typed_before_the_plan_was_seen_is_none(site: Site) -> None:
    with site.at_terminal("delete", "mx1", "--frozen") as person:
        person.type("y\n")
        await person.until("Go on? [y/N] ")
        person.type("n\n")
        assert await person.end() == 1
    assert site.asked() == []


async def test_the_plan_is_seen_though_the_output_goes_elsewhere(site: Site) -> None:
    with site.at_terminal("delete", "mx1", "--frozen", "--format", "json") as person:
        await person.until("Go on? [y/N] ")
        assert message_id(1) in person.shown
        assert person.printed == ""
        person.type("y\n")
        assert await person.end() == 0
    assert json.loads(person.printed)["outcome"]["outcome"] == "ok"
    with site.at_terminal("delete", "mx1", "--everything") as person:
        await person.until("Go on? [y/N] ")
        assert message_id(3) in person.shown


async def test_what_arrives_while_a_person_thinks_is_not_touched(site: Site) -> None:
    queue = site.panel.queue
    assert isinstance(queue, MemoryQueue)
    with site.at_terminal("delete", "mx1", "--frozen") as person:
        await person.until("Go on? [y/N] ")
        queue.put([bounce(7)])
        person.type("y\n")
        assert await person.end() == 0
    assert await site.left() == [message_id(3), message_id(7)]


# --- Ctrl-C -------------------------------------------------------------------------------------


async def test_ctrl_c_at_the_question_does_nothing(site: Site) -> None:
    with site.at_terminal("delete", "mx1", "--frozen") as person:
        await person.until("Go on? [y/N] ")
        person.interrupt()
        assert await person.end() == 130
    assert "mx1: nothing was done." in person.shown
    assert site.journal() == []


async def test_ctrl_c_before_anything_was_asked_for_does_nothing(make_site: MakeSite) -> None:
    site = await make_site(in_memory(bounce(1), bounce(2)))
    hold = site.panel.interfere = Hold(of(Operation.LIST), skip=1)
    with site.at_terminal("purge-frozen", "mx1", "--yes") as person:
        await hold.wait()
        person.interrupt()
        assert await person.end() == 130
    hold.let_go.set()
    assert "mx1: nothing was done." in person.shown
    assert site.asked() == []
    assert site.journal() == []


async def test_ctrl_c_over_one_request_for_all_waits_for_its_answer(make_site: MakeSite) -> None:
    site = await make_site(in_memory(bounce(1), bounce(2)))
    hold = site.panel.interfere = Hold(of(Operation.DELETE_FROZEN))
    with site.at_terminal("purge-frozen", "mx1", "--yes", whole=True) as person:
        await hold.wait()
        person.interrupt()
        await person.until("Stopping")
        hold.let_go.set()
        assert await person.end() == 130
    assert "2 of 2 messages are gone." in person.shown


async def test_a_second_ctrl_c_over_one_request_for_all(make_site: MakeSite) -> None:
    site = await make_site(in_memory(bounce(1), bounce(2)))
    hold = site.panel.interfere = Hold(of(Operation.DELETE_FROZEN))
    with site.at_terminal("purge-frozen", "mx1", "--yes") as person:
        await hold.wait()
        person.interrupt()
        await person.until("Stopping")
        person.interrupt()
        assert await person.end() == 130
    hold.let_go.set()
    said = " ".join(person.shown.split())
    assert "mx1: cut off. Known so far: no answer yet. The next action on mx1 finds out" in said


@pytest.mark.parametrize("how", ["interrupt", "terminate"])
async def test_ctrl_c_in_the_middle_stops_before_the_next_message(
    make_site: MakeSite, how: str
) -> None:
    site = await make_site(
        in_memory(*(bounce(n) for n in range(1, 31))), poll={"requests_per_host": 1}
    )
    hold = site.panel.interfere = Hold(of(Operation.CONTROL), skip=4)
    with site.at_terminal("delete", "mx1", "--frozen", "--yes", whole=True) as person:
        await hold.wait()
        getattr(person, how)()
        await person.until("Stopping: no further message is asked for.")
        hold.let_go.set()
        assert await person.end() == 130
    assert "5 of 30 messages are gone (25 not asked for any more)." in " ".join(
        person.shown.split()
    )
    assert len(site.asked()) == 5
    assert site.journal()[-1].detail["replies"] == {"removed": 5, "not_asked": 25}


async def test_a_second_ctrl_c_cuts_it_off_and_the_next_action_settles_it(
    make_site: MakeSite,
) -> None:
    site = await make_site(
        in_memory(*(bounce(n) for n in range(1, 31))), poll={"requests_per_host": 1}
    )
    hold = site.panel.interfere = Hold(of(Operation.CONTROL), skip=4, done=True)
    with site.at_terminal("delete", "mx1", "--frozen", "--yes") as person:
        await hold.wait()
        person.interrupt()
        await person.until("Stopping")
        person.interrupt()
        assert await person.end() == 130
    hold.let_go.set()
    said = " ".join(person.shown.split())
    assert "mx1: cut off. Known so far: 4 removed. Of 30 messages 26 have no answer" in said
    assert "the next action on mx1 finds out" in said.lower()
    assert "`journal --host mx1` tells" in said
    assert [e.kind for e in site.journal(Kind.OUTCOME)] == []
    assert len(await site.left()) == 25

    site.panel.interfere = None
    code, _, _ = await site.queue("delete", "mx1", "--id", message_id(99), "--yes")
    assert code == 0
    (settled,) = site.journal(Kind.OUTCOME)
    assert (settled.outcome, settled.detail["gone"]) == ("unknown", 5)


# --- the other actions --------------------------------------------------------------------------


async def test_purge_frozen_goes_by_id_where_other_mail_might_freeze(
    make_site: MakeSite, exim_queue: NewEximQueue
) -> None:
    queue = await exim_queue()
    frozen = [exim_mail(queue, n, frozen=True) for n in range(1, 6)]
    other = exim_mail(queue, 9)
    queue.put([*frozen, other])
    site = await make_site(queue)
    site.panel.interfere = meanwhile(of(Operation.CONTROL), lambda: queue.freeze(other.id))
    code, out, _ = await site.queue("purge-frozen", "mx1", "--yes")
    assert code == 0
    assert "each by its id" in out
    assert sorted(site.asked()) == sorted(m.id for m in frozen)
    assert [each.id for each in await queue.messages()] == [other.id]


async def test_purge_frozen_takes_one_request_where_all_mail_is_frozen(
    make_site: MakeSite, exim_queue: NewEximQueue
) -> None:
    queue = await exim_queue()
    frozen = [exim_mail(queue, n, frozen=True) for n in range(1, 6)]
    queue.put(frozen)
    site = await make_site(queue)
    code, out, _ = await site.queue("purge-frozen", "mx1", "--yes")
    assert code == 0
    assert await queue.count() == 0
    assert "by one request for all frozen" in out
    assert site.asked() == ["delete_frozen_msg"]
    assert sorted(site.planned()) == sorted(m.id for m in frozen)


async def test_what_froze_while_a_person_thought_stays(
    make_site: MakeSite, exim_queue: NewEximQueue
) -> None:
    queue = await exim_queue()
    frozen = [exim_mail(queue, n, frozen=True) for n in range(1, 6)]
    queue.put(frozen)
    site = await make_site(queue)
    late = exim_mail(queue, 9, frozen=True)
    with site.at_terminal("purge-frozen", "mx1", whole=True) as person:
        await person.until("Go on? [y/N] ")
        queue.put([late])
        with unharmed(queue, late.id):
            person.type("y\n")
            assert await person.end() == 0
    assert sorted(site.asked()) == sorted(m.id for m in frozen)
    assert "mx1: 5 of 5 messages are gone. 1 more froze meanwhile." in person.shown


async def test_purge_frozen_where_there_is_none(make_site: MakeSite) -> None:
    site = await make_site(in_memory(mail(1)))
    assert await site.queue("purge-frozen", "mx1", "--yes") == (
        0,
        "mx1: nothing to do, no message of 1 is frozen.\n",
        "",
    )


@pytest.mark.parametrize("force", [False, True])
async def test_purge_all_empties_the_queue(make_site: MakeSite, *, force: bool) -> None:
    queue = in_memory(*THREE)
    queue.locked.add(message_id(1))
    site = await make_site(queue)
    options = ["--force"] if force else []
    code, out, _ = await site.queue("purge-all", "mx1", "--yes", *options)
    assert site.asked() == ["delete_all_msg"]
    said = " ".join(out.split())
    assert "about to empty the whole queue for good: 3 messages, and with them" in said
    assert ("what a delivery holds" in said) is force
    assert code == (0 if force else 1)
    assert await site.left() == ([] if force else [message_id(1)])


async def test_purge_all_writes_down_what_came_while_a_person_thought(
    make_site: MakeSite, exim_queue: NewEximQueue
) -> None:
    queue = await exim_queue()
    seen, late = exim_mail(queue, 1), exim_mail(queue, 2)
    queue.put([seen])
    site = await make_site(queue)
    with site.at_terminal("purge-all", "mx1", whole=True) as person:
        await person.until("Go on? [y/N] ")
        queue.put([late])
        person.type("y\n")
        assert await person.end() == 0
    assert sorted(site.planned()) == sorted([seen.id, late.id])
    assert "mx1: 2 of 2 messages are gone." in person.shown


async def test_purge_all_says_what_goes_unseen(make_site: MakeSite) -> None:
    queue = Garbled(EMPTY)
    queue.put(THREE)
    site = await make_site(queue, style=ReplyStyle(shape="console_text"))
    with site.at_terminal("purge-all", "mx1", whole=True) as person:
        await person.until("Go on? [y/N] ")
    assert "1 row not understood" in " ".join(person.shown.split())
    assert site.asked() == []


async def test_a_retry_delivers_what_can_be_delivered(
    make_site: MakeSite, exim_queue: NewEximQueue
) -> None:
    queue = await exim_queue()
    deliverable, other = await queue.inject(
        [Submission("ann@example.org", ("bob@ok.test",)), Submission("a@b.test", ("c@d.test",))]
    )
    site = await make_site(queue)
    code, out, _ = await site.queue("retry", "mx1", "--id", deliverable, "--yes")
    assert code == 0
    assert "mx1: about to retry 1 message (named by id), each by its id." in out
    assert "1 of 1 message left the queue." in out
    assert await site.left() == [other]
    assert site.journal(Kind.INTENT)[0].action == "retry"


async def test_a_retry_of_what_stays_is_no_failure(site: Site) -> None:
    queue = site.panel.queue
    assert isinstance(queue, MemoryQueue)
    queue.locked.update({message_id(1), message_id(2), message_id(3)})
    code, out, _ = await site.queue("retry", "mx1", "--everything", "--yes")
    assert code == 0
    assert "0 of 3 messages left the queue" in out


# --- others at work -----------------------------------------------------------------------------


async def test_a_host_on_which_somebody_is_at_work_is_left_alone(site: Site) -> None:
    with HostLocks(site.journal_file).hold(site.url):
        code, out, err = await site.queue("delete", "mx1", "--frozen", "--yes")
    assert (code, out) == (1, "")
    assert "mx1: somebody else is at work on this host: the daemon, or another command." in err
    assert "Nothing was done. Try again later" in err
    assert list(site.panel.requests) == []
    assert (await site.queue("delete", "mx1", "--frozen", "--yes"))[0] == 0


async def test_of_two_commands_at_once_one_acts_and_the_other_is_refused(site: Site) -> None:
    hold = site.panel.interfere = Hold(of(Operation.LIST))
    act = ("queue", "delete", "mx1", "--frozen", "--yes", "--config", site.config)
    first = asyncio.create_task(run_process(*act))
    await hold.wait()
    code, _, err = await site.queue("delete", "mx1", "--frozen", "--yes")
    hold.let_go.set()
    assert (await first)[0] == 0
    assert code == 1
    assert "somebody else is at work" in err
    assert len(site.asked()) == 2
    assert len(site.journal(Kind.INTENT)) == 1


# --- troubles -----------------------------------------------------------------------------------


async def test_a_host_that_is_down_is_reported(tmp_path: Path, unused_url: str) -> None:
    config = write_config(tmp_path, host("mx1", unused_url, password=SECRET))
    for arguments in (["count"], ["list"], ["delete", "--everything", "--yes"]):
        name, *options = arguments
        code, out, err = await run("queue", name, "mx1", *options, "--config", config)
        assert (code, out) == (1, "")
        assert err.startswith("Error: mx1: ")
        assert "refuses connections" in err


async def test_a_journal_that_is_damaged_lets_nothing_be_done(site: Site) -> None:
    site.journal_file.write_bytes(b"nonsense" * 1000)
    code, _, err = await site.queue("delete", "mx1", "--frozen", "--yes")
    assert code == 1
    assert f"Error: mx1: nothing was done. The journal {site.journal_file} is damaged" in err
    assert site.asked() == []
    assert (await site.queue("list", "mx1"))[0] == 0, "to look needs no journal"


async def test_a_journal_that_fails_in_the_middle_is_reported(site: Site) -> None:
    """What was asked for may have been done: it must not sound as if nothing had been."""

    async def take_away() -> None:
        site.journal_file.rename(site.journal_file.with_name("kept"))

    site.panel.interfere = meanwhile(of(Operation.CONTROL), take_away)
    code, _, err = await site.queue("delete", "mx1", "--frozen", "--yes")
    assert code == 1
    assert "mx1: it was begun, and could not be written down any more." in err
    assert "The next action on this host finds out by listing what came of it." in err


async def test_a_folder_without_a_place_for_the_journal(site: Site) -> None:
    text = site.config.read_text().replace("path: journal.db", "path: none/journal.db")
    site.config.write_text(text)
    code, _, err = await site.queue("delete", "mx1", "--frozen", "--yes")
    assert code == 1
    assert "The file and its folder must exist" in err
    assert site.asked() == []


MISTAKES = {
    "no selector": (["delete", "mx1"], "this selects every message; say which, or write --everyth"),
    "a limit alone": (["retry", "mx1", "--limit", "3"], "this selects every message"),
    "a sender of all": (["delete", "mx1", "--sender", "*@*"], "this selects every message"),
    "a bare number": (["delete", "mx1", "--older-than", "3"], "--older-than: not a duration: wri"),
    "a size": (["list", "mx1", "--larger-than", "10"], "--larger-than: not a size: write a number"),
    "a limit of 0": (["list", "mx1", "--limit", "0"], "--limit: must be at least 1"),
    "a null sender": (["list", "mx1", "--sender", "<>"], "for bounces write --bounce"),
    "too much": (["delete", "mx1", "--everything", "--not-frozen"],
                 "--everything contradicts --not-frozen: leave one out"),
    "nothing": (["list", "mx1", "--older-than", "2d", "--younger-than", "1h"],
                "this selects nothing: --younger-than must be more than --older-than"),
    "no id": (["delete", "mx1", "--id", "../etc"],
              "Invalid value for --id: '../etc' has not the form of a queue id, as 1sAbCd-000001-"),
    "ids and everything": (["delete", "mx1", "--id", message_id(1), "--everything"],
                           "--everything contradicts --id: leave one out"),
    "ids and a limit": (["delete", "mx1", "--id", message_id(1), "--limit", "1"],
                        "--limit contradicts --id: leave one out"),
    "two senders": (["list", "mx1", "--sender", "a@*", "--sender", "b@*"],
                    "--sender is given 2 times: leave one"),
    "two limits": (["delete", "mx1", "--frozen", "--limit", "1", "--limit", "9"],
                   "--limit is given 2 times: leave one"),
    "both": (["delete", "mx1", "--not-frozen", "--frozen"],
             "--not-frozen contradicts --frozen: leave one out"),
    "from all": (["list", "mx1", "--bounce", "--not-bounce"],
                 "--not-bounce contradicts --bounce: leave one out"),
    "another host": (["list", "mx9"], "no host mx9 in the config; it has mx1"),
    "no host": (["count"], "Missing argument 'HOST'"),
    "selectors of purge": (["purge-frozen", "mx1", "--bounce"], "No such option"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_on_the_command_line_is_named(tmp_path: Path, mistake: str) -> None:
    config = write_config(tmp_path, host("mx1", "http://127.0.0.1:1", password=SECRET))
    arguments, words = MISTAKES[mistake]
    result = CliRunner().invoke(main, ["queue", *arguments, "--config", str(config)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())


async def test_a_bad_config_is_exit_code_2(tmp_path: Path) -> None:
    for arguments in (["count", "mx1"], ["delete", "mx1", "--everything", "--yes"]):
        code, _, err = await run("queue", *arguments, "--config", tmp_path / "none.yaml")
        assert code == 2
        assert "none.yaml: cannot be read" in err
