"""`remediation`: what the rules' state is shown as, and what a person does to it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exporter.cli import main
from exporter.cli.session import requester
from exporter.cli.terminal import local_time
from exporter.config.panel_api import API_PATH
from exporter.journal import Entry, Journal, Kind, Outcome
from exporter.journal.host_lock import HostLocks
from exporter.panel.protocol import Operation
from exporter.snapshot import Message, PanelId
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import PanelOptions
from exporter.standin.services import MemoryServices
from exporter.standin.traffic import EMPTY
from tests.cli.shell import SECRET, AtTerminal, run, write_config
from tests.daemon.conftest import host
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel
from tests.journal import builders
from tests.journal.builders import intent, outcome, plan
from tests.remediation.conftest import (
    freeze,
    ids_asked,
    message,
    operations,
    panel_of,
    spool_files,
)
from tests.remediation.mischief import Hold, does_nothing, meanwhile, of
from tests.servers.exim import EximQueue

RUN = "3fa9b2c1" * 4
HOUR, DAY = 3600.0, 86400.0
ME = f"person:{requester()}"

PURGE: dict[str, Any] = {
    "name": "purge",
    "when": ["queue_frozen_messages > 5"],
    "action": "delete",
    "select": {"frozen": True, "bounce": True},
}
RULES: list[dict[str, Any]] = [
    {**PURGE, "approval": "required"},
    {"name": "start", "action": "service_on", "service": "clamav", "hosts": {"names": ["mx2"]}},
]


UNASKED = {"mx1": "http://127.0.0.1:1", "mx2": "http://[::1]:1"}


def entry(kind: Kind, run: str = "r1", *, host: str = "mx1", **keys: Any) -> Entry:
    """An entry about one of these panels."""
    panel = PanelId(f"{UNASKED[host]}{API_PATH}")
    return builders.entry(kind, run, host=host, **{"panel": panel} | keys)


def offline(folder: Path, **keys: Any) -> Path:
    """A config for two hosts that nobody asks."""
    section = {"mode": "enforce", "rules": RULES} | keys
    hosts = (host(name, url, password=SECRET) for name, url in UNASKED.items())
    return write_config(folder, *hosts, remediation=section)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return offline(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def widest(lines: list[str]) -> int:
    """Columns of the widest; a path stays whole, however long it is, so that it can be copied."""
    return max(len(line) for line in lines if not line.startswith("journal:"))


def remediation(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["remediation", *arguments, "--config", str(config)])


def write(
    path: Path, *entries: Entry, age: float = 60.0, messages: list[Message] | None = None
) -> None:
    with closing(Journal.open(path, clock=lambda: time.time() - age)) as journal:
        for each in entries:
            journal.add(each, messages or [])


def read(path: Path, *kinds: Kind) -> list[Entry]:
    with closing(Journal.open_to_read(path)) as journal:
        return journal.entries(kinds=kinds)


def facts(path: Path, rule: str = "purge", on: str = "mx1") -> Any:
    with closing(Journal.open_to_read(path)) as journal:
        return journal.rule_facts(on, rule)


def request(run: str = RUN, **keys: Any) -> Entry:
    text, detail = "Asks to delete 2 messages (frozen, bounce).", {"planned": 2}
    return entry(Kind.APPROVAL_REQUESTED, run, actor="rule", text=text, detail=detail, **keys)


# --- status -------------------------------------------------------------------------------------


def test_status_without_a_journal(config: Path, path: Path) -> None:
    result = remediation(config, "status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert widest(lines) <= 80
    assert lines[:3] == [
        "mode:      enforce (rules act)",
        "paused:    no",
        "this hour: 0 of 12 actions over the fleet",
    ]
    assert "not there yet: nothing was ever done" in result.stdout
    assert lines[-3:] == [
        "purge: idle on 2 hosts.",
        "start: idle on 1 host.",
        "--all shows each; --rule RULE and --host HOST all of one.",
    ]
    assert rows(config, "--all") == NEVER
    assert not path.exists()


NEVER = [[*of.split(), "never", "0/4", "-"] for of in ("purge mx1", "purge mx2", "start mx2")]


def rows(config: Path, *arguments: str) -> list[list[str]]:
    """The table of `status`, as words."""
    result = remediation(config, "status", *arguments)
    assert result.exit_code == 0, result.output
    lines = (line.split() for line in result.stdout.splitlines())
    return [words for words in lines if words and words[0] in {"purge", "start"}]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--rule", "purge"], NEVER[:2]),
        (["--host", "mx2"], NEVER[1:]),
        (["--rule", "purge", "--host", "mx2"], NEVER[1:2]),
    ],
)
def test_status_of_a_rule_or_a_host(
    config: Path, arguments: list[str], shown: list[list[str]]
) -> None:
    assert rows(config, *arguments) == shown
    views = json.loads(remediation(config, "status", *arguments, "--format", "json").stdout)
    assert [[view["rule"], view["host"]] for view in views["rules"]] == [row[:2] for row in shown]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "purg"], "no rule purg in the config; it has purge, start"),
        (["--host", "mx9"], "no host mx9 in the config; it has mx1, mx2"),
        (["--rule", "start", "--host", "mx1"], "rule start is not for host mx1"),
    ],
)
def test_status_of_what_there_is_not(config: Path, arguments: list[str], words: str) -> None:
    result = remediation(config, "status", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("how", "age", "idle"),
    [
        (Outcome.OK, 2 * HOUR, True),
        (Outcome.DRY_RUN, 2 * HOUR, True),
        (Outcome.UNVERIFIED, 2 * HOUR, False),
        (Outcome.FAILED, DAY - 60, False),
        (Outcome.UNKNOWN, DAY + 60, True),
        (Outcome.OK, HOUR - 60, False),  # it cools down
    ],
)
def test_status_counts_the_hosts_on_which_a_rule_is_idle(
    config: Path, path: Path, how: Outcome, age: float, idle: bool
) -> None:
    write(path, intent(), outcome(how=how), age=age)
    assert [row[:2] for row in rows(config) if row[0] == "purge"] == (
        [] if idle else [["purge", "mx1"]]
    )
    said = remediation(config, "status").stdout
    assert f"purge: idle on {'2 hosts' if idle else '1 host'}.\n" in said
    assert len(json.loads(remediation(config, "status", "--format", "json").stdout)["rules"]) == 3


def test_status_of_a_rule_without_a_host(tmp_path: Path) -> None:
    config = offline(tmp_path, rules=[{**PURGE, "hosts": {"names": ["web*"]}}])
    said = remediation(config, "status").stdout
    assert said.endswith("\n\npurge: is for no host of the config.\n")


def test_status_shows_how_each_rule_stands(config: Path, path: Path) -> None:
    write(path, intent(), outcome(how=Outcome.OK), age=120)
    write(path, request())
    on_mx2 = {"host": "mx2"}
    write(
        path,
        *(
            each
            for n in range(4)
            for each in (intent(f"r{n}", **on_mx2), outcome(f"r{n}", Outcome.UNVERIFIED, **on_mx2))
        ),
        age=2 * HOUR,
    )
    write(path, entry(Kind.STOPPED, "", text="Stopped: 3 verifications failed.", **on_mx2))
    write(path, intent("s", host="mx2", rule="start"), age=30)
    result = remediation(config, "status")
    assert result.exit_code == 0
    assert widest(result.stdout.splitlines()) <= 80
    said = " ".join(result.stdout.split())
    assert "this hour: 2 of 12 actions" in said
    assert "ok, 2m" in said  # and a second, where the machine is busy
    for words in (
        "Waits for approval of 2 messages since",
        "Cooldown until",
        "verify_failed, 2h",
        "4/4",
        "No more today.",
        "Under way, or cut off.",
    ):
        assert all(word in said for word in words.split())
    views = json.loads(remediation(config, "status", "--format", "json").stdout)["rules"]
    purge1, purge2, start2 = views
    assert (purge1["last_outcome"], purge1["acted_today"], purge1["approval"]) == (
        "ok",
        1,
        "requested",
    )
    assert purge1["messages_to_approve"] == 2
    assert purge1["cooldown_until"] > purge1["last_at"]
    assert purge2["stopped"] == "Stopped: 3 verifications failed."
    assert (purge2["acted_today"], purge2["cooldown_until"]) == (4, None)
    assert (start2["unsettled"], purge1["unsettled"]) == (True, False)


def test_status_shows_what_held_a_rule_back(config: Path, path: Path) -> None:
    def block(guard: str, text: str, **keys: Any) -> Entry:
        return entry(Kind.BLOCKED, "", outcome=guard, text=text, **keys)

    def held_back() -> list[dict[str, Any] | None]:
        views = json.loads(remediation(config, "status", "--format", "json").stdout)["rules"]
        return [view["held_back"] for view in views]

    write(path, block("max_messages", "The plan holds 8 messages; max_messages is 3."), age=120)
    write(path, block("pause", "Paused by ann."), entry(Kind.RESUMED, ""), age=60)
    write(path, block("listing", "The queue could not be listed.", host="mx2"), age=25 * HOUR)
    assert held_back() == [None] * 3
    write(path, block("max_messages", "The plan holds 9 messages; max_messages is 3."), age=30)
    held = {"guard": "max_messages", "reason": "The plan holds 9 messages; max_messages is 3."}
    first, *others = held_back()
    assert first is not None
    assert (first | {"at": None}, others) == (held | {"at": None}, [None, None])
    words = remediation(config, "status").stdout.split()
    assert {"Held", "back", "30s", "max_messages:"} <= set(words)
    write(path, intent(), outcome(how=Outcome.OK), age=10)
    assert held_back() == [None] * 3


def test_status_shows_what_a_person_left(config: Path, path: Path) -> None:
    write(path, intent(rule="", actor="person:ann"))
    said = " ".join(remediation(config, "status").stdout.split())
    assert "mx1: delete by person:ann has no outcome yet: it is under way, or was cut off" in said


def test_status_shows_why_nothing_acts(tmp_path: Path) -> None:
    windows = [{"from": "00:00", "to": "00:00", "days": [day]} for day in ("mon", "tue")]
    config = offline(tmp_path, pause_file="pause", mode="dry_run", windows=windows)
    (tmp_path / "pause").touch()
    said = " ".join(remediation(config, "status").stdout.split())
    assert "mode: dry_run (everything but the act)" in said
    assert f"paused: The pause file {tmp_path}/pause exists." in said
    assert "windows: open now" in said or "windows: closed now" in said


def test_status_without_rules(tmp_path: Path) -> None:
    config = write_config(tmp_path, host("mx1", "http://127.0.0.1:1"))
    result = remediation(config, "status")
    assert result.exit_code == 0
    assert "The config has no remediation rules" in result.stdout
    assert "mode:      off (nothing acts)" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["pause"], ["resume"], ["resume", "purge", "mx1"],
     ["approve", "purge", "mx1", "--yes"], ["reject", "purge", "mx1"]],
)  # fmt: skip
def test_a_damaged_journal_is_reported(config: Path, path: Path, arguments: list[str]) -> None:
    path.write_bytes(b"nonsense" * 999)
    result = remediation(config, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"The journal {path} is damaged" in result.stderr
    assert path.read_bytes() == b"nonsense" * 999


# --- pause and resume ---------------------------------------------------------------------------


def test_pause_and_resume(config: Path, path: Path) -> None:
    result = remediation(config, "pause", "mail migration", "until noon.")
    assert result.exit_code == 0
    (paused,) = read(path)
    assert (paused.kind, paused.actor) == (Kind.PAUSED, ME)
    assert paused.text.startswith(f"Paused by {requester()} at ")
    assert paused.text.endswith(" UTC: mail migration until noon.")
    assert paused.text.removeprefix("Paused") in " ".join(
        remediation(config, "status").stdout.split()
    )
    result = remediation(config, "resume")
    assert (result.exit_code, read(path)[-1].kind) == (0, Kind.RESUMED)
    assert "Resumed. It was: Paused by" in result.stdout
    assert "paused:    no" in remediation(config, "status").stdout
    result = remediation(config, "resume")
    assert (result.exit_code, len(read(path))) == (0, 2)
    assert result.stdout == "It was not paused by command.\n"


def test_a_pause_needs_no_config_that_is_right(config: Path, path: Path) -> None:
    config.write_text(config.read_text() + "elephants: 5\n")
    assert remediation(config, "status").exit_code == 2
    result = remediation(config, "pause")
    assert result.exit_code == 0
    assert [entry.kind for entry in read(path)] == [Kind.PAUSED]
    config.write_text("state: {path: 5}\n")
    result = remediation(config, "pause")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "state.path: must be the path of a file" in result.stderr


def test_resume_shows_that_a_pause_file_is_still_there(tmp_path: Path) -> None:
    config = offline(tmp_path, pause_file="pause")
    (tmp_path / "pause").touch()
    said = " ".join(remediation(config, "resume").stdout.split())
    assert f"Still nothing acts: the pause file {tmp_path}/pause exists. Remove it." in said


@pytest.mark.parametrize("kind", [Kind.STOPPED, Kind.DISABLED])
def test_a_stopped_rule_goes_on_when_it_is_resumed(config: Path, path: Path, kind: Kind) -> None:
    write(path, entry(kind, "", text="Stopped: no."))
    result = remediation(config, "resume", "purge", "mx1")
    assert (result.exit_code, result.stdout) == (
        0,
        "purge may act on mx1 again. It was: Stopped: no.\n",
    )
    assert facts(path).stopped == ""
    (resumed,) = read(path, Kind.RULE_RESUMED)
    assert (resumed.host, resumed.rule, resumed.actor) == ("mx1", "purge", ME)
    result = remediation(config, "resume", "purge", "mx1")
    assert (result.exit_code, len(read(path))) == (0, 2)
    assert result.stdout == "purge is not stopped on mx1; there was nothing to do.\n"


# --- approve and reject -------------------------------------------------------------------------


def test_approve_shows_the_messages_and_allows_these(config: Path, path: Path) -> None:
    write(path, request(), messages=plan(2))
    result = remediation(config, "approve", "purge", "mx1", "--yes")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for each in plan(2):
        assert each.id in result.stdout
    said = " ".join(result.stdout.split())
    assert "Asks to delete 2 messages (frozen, bounce)." in said
    assert "Approved to these messages and no others" in said
    (approved,) = read(path, Kind.APPROVED)
    assert (approved.run, approved.actor, approved.action) == (RUN, ME, "delete")
    known = facts(path)
    assert (known.approval, known.approved) == ("approved", tuple(plan(2)))
    result = remediation(config, "approve", "purge", "mx1", "--yes")
    assert (result.exit_code, result.stdout) == (0, "purge on mx1 is approved already.\n")
    assert len(read(path, Kind.APPROVED)) == 1


def test_reject_and_a_change_of_mind(config: Path, path: Path) -> None:
    write(path, request(), messages=plan(2))
    result = remediation(config, "reject", "purge", "mx1")
    assert (result.exit_code, facts(path).approval) == (0, "rejected")
    assert read(path, Kind.REJECTED)[0].run == RUN
    assert "is rejected already" in remediation(config, "reject", "purge", "mx1").stdout
    result = remediation(config, "approve", "purge", "mx1", "--yes")
    assert "It was rejected before." in " ".join(result.stdout.split())
    assert facts(path).approval == "approved"
    assert remediation(config, "reject", "purge", "mx1").exit_code == 0
    assert facts(path).approval == "rejected"


async def test_approve_asks(config: Path, path: Path) -> None:
    write(path, request(), messages=plan(2))
    arguments = ("remediation", "approve", "purge", "mx1", "--config", config)
    for answer, code, approval in (("n\n", 1, "requested"), ("y\n", 0, "approved")):
        with AtTerminal(*arguments, whole=True) as person:
            await person.until("Approve it? [y/N] ")
            assert plan(2)[0].id in person.shown
            person.type(answer)
            assert await person.end() == code
        assert facts(path).approval == approval


async def test_what_is_asked_anew_meanwhile_is_not_approved(config: Path, path: Path) -> None:
    write(path, request(), messages=plan(2))
    arguments = ("remediation", "approve", "purge", "mx1", "--config", config)
    with AtTerminal(*arguments) as person:
        await person.until("Approve it? [y/N] ")
        write(path, request("ab" * 16), messages=plan(9), age=0)
        person.type("y\n")
        assert await person.end() == 1
    assert "purge has asked anew on mx1 meanwhile" in " ".join(person.shown.split())
    assert facts(path).approval == "requested"


def test_approve_without_a_terminal(config: Path, path: Path) -> None:
    write(path, request(), messages=plan(2))
    result = remediation(config, "approve", "purge", "mx1")
    assert result.exit_code == 1
    assert "Say --yes to do it without being asked" in result.stderr
    assert facts(path).approval == "requested"


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_what_nobody_asked_for(config: Path, path: Path, command: str) -> None:
    result = remediation(config, command, "purge", "mx1")
    assert result.exit_code == 1
    assert result.stderr == f"Error: There is no journal at {path} yet.\n"
    write(path, intent())
    result = remediation(config, command, "purge", "mx1")
    assert result.exit_code == 1
    assert "purge asks for nothing on mx1. `remediation status` shows what waits" in result.stderr
    result = remediation(config, command, "start", "mx2")
    assert "start asks for nothing on mx2. It needs no approval." in result.stderr


MISTAKES = {
    "another rule": (["approve", "purg", "mx1"], "no rule purg in the config; it has purge, start"),
    "another host": (["run", "purge", "mx9"], "no host mx9 in the config; it has mx1, mx2"),
    "not for it": (["reject", "start", "mx1"], "rule start is not for host mx1: see its `hosts`"),
    "half a resume": (["resume", "purge"], "Name the host too, as: remediation resume RULE HOST"),
    "no host": (["run", "purge"], "Missing argument 'HOST'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_on_the_command_line_is_named(config: Path, path: Path, mistake: str) -> None:
    arguments, words = MISTAKES[mistake]
    result = remediation(config, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())
    assert not path.exists()


def test_a_config_without_rules_has_no_rule(tmp_path: Path) -> None:
    config = write_config(tmp_path, host("mx1", "http://127.0.0.1:1"))
    result = remediation(config, "run", "purge", "mx1")
    assert result.exit_code == 2
    assert "no rule purge in the config; it has no remediation rules" in result.stderr


# --- run ----------------------------------------------------------------------------------------


class Site:
    """A panel with a real spool, a config with rules for it, and no daemon."""

    def __init__(self, folder: Path, panel: PanelServer, queue: EximQueue) -> None:
        self.folder = folder
        self.panel = panel
        self.queue = queue
        self.path = folder / "journal.db"
        self.configure()

    def configure(self, rule: dict[str, Any] | None = None, **keys: Any) -> None:
        section = {"mode": "enforce", "rules": [rule or PURGE]} | keys
        mx1 = host("mx1", self.panel.url, password=SECRET, collectors=["queue"])
        poll = {"requests_per_host": 1, "timeout": "20s"}
        self.config = write_config(self.folder, mx1, remediation=section, poll=poll)

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await run("remediation", "run", "purge", "mx1", *arguments, "--config", self.config)

    def at_terminal(self, *arguments: str, whole: bool = True) -> AtTerminal:
        head = ("remediation", "run", "purge", "mx1")
        return AtTerminal(*head, *arguments, "--config", self.config, whole=whole)

    def story(self) -> list[tuple[str, str]]:
        return [(e.kind.value, e.outcome) for e in read(self.path)]


@pytest.fixture
async def site(tmp_path: Path, serve_panel: ServePanel, exim_queue: NewEximQueue) -> Site:
    queue = await exim_queue()
    return Site(tmp_path, await serve_panel(queue, PanelOptions(password=SECRET)), queue)


async def test_a_rule_acts_when_a_person_wants_it(site: Site) -> None:
    bounces = freeze(site.queue, 8)
    real = message(site.queue, 50, sender="ann@example.org")
    site.queue.put([real])
    before = spool_files(site.queue, real.id)
    code, out, err = await site.run("--yes")
    assert (code, err) == (0, "")
    assert sorted(ids_asked(site.panel)) == sorted(bounces)
    assert spool_files(site.queue, real.id) == before
    assert max(map(len, out.splitlines())) <= 80
    said = " ".join(out.split())
    assert "mx1: about to delete 8 messages for good (frozen, bounce), each by its id." in said
    assert "mx1: 8 of 8 messages are gone." in said
    assert site.story() == [("intent", ""), *[("reply", "removed")] * 8, ("outcome", "ok")]
    begun = read(site.path, Kind.INTENT)[0]
    assert (begun.rule, begun.actor, begun.mode) == ("purge", ME, "enforce")
    assert begun.detail["why"] == {"queue_frozen_messages > 5": 9}


async def test_a_dry_run_shows_and_does_nothing(site: Site) -> None:
    freeze(site.queue, 8)
    code, out, err = await site.run("--dry-run")
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "It is a dry run: nothing is done." in said
    assert "mx1: Would delete 8 messages (frozen, bounce). [dry_run]" in said
    assert operations(site.panel) == []
    assert site.story() == [("intent", ""), ("outcome", "dry_run")]
    code, out, _ = await site.run("--dry-run", "--format", "json")
    view = json.loads(out)
    assert (code, view["block"]["guard"], view["plan"]) == (1, "cooldown", None)


async def test_a_mode_that_does_not_act_asks_nobody(site: Site) -> None:
    freeze(site.queue, 8)
    site.configure(mode="dry_run")
    code, out, _ = await site.run("--format", "json")
    view = json.loads(out)
    assert (code, view["dry_run"], view["outcome"]["outcome"]) == (0, True, "dry_run")
    assert len(view["plan"]["messages"]) == 8
    assert operations(site.panel) == []


async def test_a_person_is_asked(site: Site) -> None:
    bounces = freeze(site.queue, 8)
    code, out, err = await site.run()
    assert (code, out) == (1, "")
    assert "Say --yes" in err
    with site.at_terminal() as person:
        await person.until("Go on? [y/N] ")
        assert bounces[0] in person.shown
        person.type("n\n")
        assert await person.end() == 1
    assert "mx1: nothing was done." in person.shown
    assert operations(site.panel) == []
    with site.at_terminal() as person:
        await person.until("Go on? [y/N] ")
        person.type("y\n")
        assert await person.end() == 0
    assert len(ids_asked(site.panel)) == 8


async def test_what_froze_while_a_person_thought_stays(site: Site) -> None:
    site.configure({**PURGE, "action": "purge_frozen"})
    bounces = freeze(site.queue, 8)
    with site.at_terminal() as person:
        await person.until("Go on? [y/N] ")
        (late,) = freeze(site.queue, 1, first=60)
        person.type("y\n")
        assert await person.end() == 0
    assert sorted(ids_asked(site.panel)) == sorted(bounces)
    assert [m.id for m in await site.queue.messages()] == [late]


async def test_max_messages_holds_for_what_came_while_a_person_thought(site: Site) -> None:
    """All of a queue goes, whoever has seen it."""
    site.configure({**PURGE, "action": "purge_all", "select": None, "max_messages": 10})
    freeze(site.queue, 8)
    with site.at_terminal() as person:
        await person.until("Go on? [y/N] ")
        freeze(site.queue, 3, first=60)
        person.type("y\n")
        assert await person.end() == 1
    said = " ".join(person.shown.split())
    assert "held back by max_messages: The plan holds 11 messages; max_messages is 10." in said
    assert operations(site.panel) == []


async def test_what_came_while_a_person_thought_is_written_down_with_what_goes(site: Site) -> None:
    site.configure({**PURGE, "action": "purge_all", "select": None})
    seen = freeze(site.queue, 8)
    with site.at_terminal() as person:
        await person.until("Go on? [y/N] ")
        late = freeze(site.queue, 3, first=60)
        person.type("y\n")
        assert await person.end() == 0
    with closing(Journal.open_to_read(site.path)) as journal:
        (begun,) = journal.entries(kinds=[Kind.INTENT])
        assert {m.id for m in journal.messages(begun.id)} == {*seen, *late}
    assert "mx1: 11 of 11 messages are gone." in " ".join(person.shown.split())


BLOCKS: dict[str, tuple[dict[str, Any], str]] = {
    "mode": ({"mode": "off"}, "remediation.mode is off."),
    "condition": ({"rules": [{**PURGE, "when": ["queue_messages > 99"]}]},
                  "Looked at again, it does not hold: queue_messages > 99 (8)."),
    "max_messages": ({"rules": [{**PURGE, "max_messages": 3}]}, "The plan holds 8 messages"),
    "nothing_to_do": ({"rules": [{**PURGE, "select": {"older_than": "9d"}}]}, "No message is"),
}  # fmt: skip


@pytest.mark.parametrize("guard", BLOCKS)
async def test_a_guard_holds_it_back(site: Site, guard: str) -> None:
    freeze(site.queue, 8)
    keys, words = BLOCKS[guard]
    site.configure(**keys)
    code, out, _ = await site.run("--yes")
    assert code == 1
    said = " ".join(out.split())
    assert said.startswith(f"purge on mx1 is held back by {guard}: ")
    assert words in said
    assert operations(site.panel) == []
    assert site.story() == [("blocked", guard)]


async def test_a_pause_holds_it_back(site: Site) -> None:
    freeze(site.queue, 8)
    assert remediation(site.config, "pause", "not now").exit_code == 0
    code, out, _ = await site.run("--yes")
    assert code == 1
    said = " ".join(out.split())
    assert "is held back by pause: Paused by" in said
    assert ": not now." in said
    assert operations(site.panel) == []


async def test_the_cooldown_shows_when_it_ends(site: Site) -> None:
    freeze(site.queue, 8)
    write(site.path, intent(), outcome())
    code, out, _ = await site.run("--yes")
    assert code == 1
    said = " ".join(out.split())
    assert "is held back by cooldown: Its last action here was 1m" in said
    (begun,) = read(site.path, Kind.INTENT)
    assert f"It may act from {local_time(begun.at + HOUR)} on." in said


async def test_a_busy_host_is_left_alone(site: Site) -> None:
    freeze(site.queue, 8)
    with HostLocks(site.path).hold(site.panel.url):
        code, out, _ = await site.run("--yes")
    assert code == 1
    said = " ".join(out.split())
    assert "is held back by host_busy: Another action is under way on this host." in said
    assert list(site.panel.panel.requests) == []


async def test_a_damaged_journal_lets_nothing_be_done(site: Site) -> None:
    freeze(site.queue, 8)
    site.path.write_bytes(b"nonsense" * 999)
    code, out, _ = await site.run("--yes")
    assert code == 1
    assert "is held back by journal: The journal" in out
    assert operations(site.panel) == []


async def test_a_journal_that_fails_in_the_middle_is_reported(site: Site) -> None:
    freeze(site.queue, 8)

    async def take_away() -> None:
        site.path.rename(site.path.with_name("kept"))

    site.panel.panel.interfere = meanwhile(of(Operation.CONTROL), take_away)
    code, out, _ = await site.run("--yes")
    assert code == 1
    said = " ".join(out.split())
    assert "purge on mx1 could not be written down to its end: The journal" in said
    assert "The next action on this host finds out by listing what was done." in said


async def test_an_approval_of_some_messages_is_kept_to(site: Site) -> None:
    bounces = freeze(site.queue, 8)
    messages = [Message(each) for each in bounces[:3]]
    write(site.path, request(panel=panel_of(site.panel)), messages=messages)
    assert remediation(site.config, "approve", "purge", "mx1", "--yes").exit_code == 0
    code, out, _ = await site.run("--yes")
    assert code == 0
    assert "about to delete 3 messages" in out
    assert sorted(ids_asked(site.panel)) == sorted(bounces[:3])


async def test_what_did_not_work_is_reported(site: Site) -> None:
    freeze(site.queue, 8)
    site.panel.panel.interfere = does_nothing
    code, out, _ = await site.run("--yes")
    assert code == 1
    assert "mx1: 0 of 8 messages are gone. [verify_failed]" in out


async def test_a_service_is_started_by_its_rule(tmp_path: Path, serve_panel: ServePanel) -> None:
    services = MemoryServices(stopped=["clamav"])
    panel = await serve_panel(MemoryQueue(EMPTY), PanelOptions(password=SECRET), services=services)
    rule = {"name": "start", "when": ['service_up{service="clamav"} == 0'],
            "action": "service_on", "service": "clamav"}  # fmt: skip
    mx1 = host("mx1", panel.url, password=SECRET)
    config = write_config(tmp_path, mx1, remediation={"mode": "enforce", "rules": [rule]})
    code, out, _ = await run("remediation", "run", "start", "mx1", "--yes", "--config", config)
    assert code == 0
    assert out.startswith("mx1: about to turn clamav on.\nmx1: clamav runs.\n")
    assert await services.running("clamav")


async def test_ctrl_c_in_the_middle_stops_before_the_next_message(site: Site) -> None:
    freeze(site.queue, 8)
    hold = site.panel.panel.interfere = Hold(of(Operation.CONTROL), skip=2)
    with site.at_terminal("--yes") as person:
        await hold.wait()
        person.interrupt()
        await person.until("Stopping: no further message is asked for.")
        hold.let_go.set()
        assert await person.end() == 130
    said = " ".join(person.shown.split())
    assert "3 of 8 messages are gone (5 not asked for any more)." in said
    assert len(ids_asked(site.panel)) == 3
    assert site.story()[-1] == ("outcome", "verify_failed")
