"""A whole remediation controller under whatever may befall it, watched from outside.

The machine makes mail, polls, faults, clock jumps, restarts and people; `tests.model.watch`
holds each request and each entry of the journal against the rules.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
import traceback
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal import Actor, Entry, Journal, JournalError, Kind
from exporter.journal import file as journal_file
from exporter.journal.file import open_to_write
from exporter.journal.host_lock import HostLocks
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.queue_decoder import QueueDecoder
from exporter.polling import collect as collect_module
from exporter.polling.collect import PollContext, QueueMemory, poll_host
from exporter.remediation import controller as controller_module
from exporter.remediation import listing as listing_module
from exporter.remediation.context import HostContext
from exporter.remediation.controller import RemediationController
from exporter.remediation.execution import execute_rule
from exporter.remediation.fleet_state import UnknownRuleError
from exporter.remediation.guard_inputs import GuardInputs, read_inputs
from exporter.remediation.requests import Incident, Request, Taken
from exporter.snapshot import HostGoneError, HostSnapshot, PanelId
from tests.model.watch import HOUR, MINUTE, OTHER_NAME, RULES, Told, Watcher, kind_of
from tests.model.world import (
    BEFALL,
    CHANGES,
    LOOKS,
    MEDDLES,
    RUN,
    STRIKES,
    FragileJournal,
    Inline,
    Pool,
    Server,
    Servers,
    World,
)

HOSTS = ("mx1", "mx2", "mx3", "mx4")
"""Places in the fleet: what a host there is called, and which panel it is, may change."""

ON_MX1_TO_3 = ("purge", "delete", "retry", "clamd", "frost", "asked")

TWIN = "twin"
"""A place for a second name of a panel that has one."""

SPARE = ("p5", "p6")
PINS = ("", "ab" * 32)

FEW = 30
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", FEW))
"""Courses: the same few each time, or as many as are asked for, each time others."""

STEPS = 30

GRACE = 15.0
"""Seconds for the daemon's end; in the model nothing that still lives needs any."""

SIDE_FILES = ("-wal", "-shm", "-hosts.lock")

MAIL: dict[str, dict[str, Any]] = {
    "old bounce": {"age": 2 * HOUR, "sender": "", "frozen": True},
    "young bounce": {"age": 10 * MINUTE, "sender": "", "frozen": True},
    "bounce that is tried": {"age": 2 * HOUR, "sender": ""},
    "frozen letter": {"age": 3 * HOUR, "sender": "ann@example.com", "frozen": True},
    "letter": {"age": 5 * HOUR, "sender": "bob@example.com"},
}


@dataclass(frozen=True)
class Spot:
    """What a place in the fleet is now."""

    name: str
    where: str
    """Its server's name."""
    pin: str = ""
    label: str = ""
    partner: str = ""
    """The place with which it shares its panel."""

    @property
    def host(self) -> dict[str, Any]:
        # No two processes that run this at once may take each other's panels for theirs.
        url = f"https://{self.where}.p{os.getpid()}.example.com:8000"
        keys: dict[str, Any] = {"name": self.name, "url": url}
        keys |= {"username": "u", "password": "p", "collectors": ["queue", "clamav"]}
        if self.pin:
            keys["tls"] = {"fingerprint_sha256": self.pin}
        if self.label:
            keys["labels"] = {"rack": self.label}
        return keys


WANTED: dict[str, list[str]] = {
    "purge": ["old bounce"] * 4 + ["letter"],
    "delete": ["old bounce"] * 4 + ["letter"] * 5,
    "retry": ["bounce that is tried"] * 4,
    "frost": ["frozen letter", "old bounce"] * 4,
    "asked": ["frozen letter"] * 4 + ["letter"],
    "clear": ["letter"] * 13,
    "clamd": ["letter"],
}
"""Mail by which a rule acts."""

hosts = st.sampled_from(HOSTS)
mail = st.lists(st.sampled_from(sorted(MAIL)), min_size=1, max_size=6)
EVERYWHERE = (*HOSTS, TWIN)
some_hosts = hosts.map(lambda name: (name,)) | st.sampled_from(
    [EVERYWHERE, HOSTS[:2], EVERYWHERE[1:]]
)


class Bugs:
    """In place of the controller's log: what it calls a bug is one."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def exception(self, event: str, **_: object) -> None:
        self.found.append(f"{event}: {traceback.format_exc()}")

    def warning(self, event: str, **_: object) -> None:
        """As it should be."""

    error = warning


class Remediation(RuleBasedStateMachine):
    seen: ClassVar[Counter[str]] = Counter()
    """What has happened in all runs."""
    bugs: ClassVar[Bugs] = Bugs()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.get_loop().set_default_executor(Inline(1))
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name), seen=self._saw)
        Clocks.world = self.world
        self.serial = 0
        self.bugs.found.clear()

    def _saw(self, what: str) -> None:
        self.seen[what] += 1

    # --- the daemon ----------------------------------------------------------------------------

    @initialize(
        mode=st.sampled_from(["enforce"] * 7 + ["dry_run"]),
        at_once=st.sampled_from([1, 2, 4]),
        per_hour=st.sampled_from([2, 20, 20]),
        parallel=st.sampled_from([1, 2]),
        brake=st.sampled_from(["30%", "100%", "100%"]),
        window=st.sampled_from([False, False, True]),
        pace=st.sampled_from([0.0, 0.0, 4.0, 12.0]),
    )
    def begin(
        self,
        mode: str,
        at_once: int,
        per_hour: int,
        parallel: int,
        brake: str,
        window: bool,
        pace: float,
    ) -> None:
        self.section: dict[str, Any] = {
            "mode": mode,
            "pause_file": str(self.world.pause_file),
            "limits": {
                "actions_at_once": at_once,
                "actions_per_hour": per_hour,
                "storm_brake": brake,
            },
            "windows": [{"from": "00:00", "to": "18:00"}] if window else [],
            "rules": RULES,
        }
        self.poll_section = {"interval": "60s", "requests_per_host": parallel}
        self.fleet = {place: Spot(place, f"p{number}") for number, place in enumerate(HOSTS, 1)}
        self.restored: dict[str, Any] | None = None
        """The section of remediation as it is to be once what befell a run is over."""
        self.resumed = False
        """Whether the pause file goes by then, too."""
        self.world.pace = pace
        self.world.befalls = self._befalls
        self.servers = Servers(self.world)
        self.watch = self.world.watch = Watcher(self.world, self.servers)
        self.decoder = QueueDecoder()
        self._start()

    def _config(self) -> Config:
        spots = self.fleet
        entries = [
            spot.host | ({"shares_panel_with": spots[spot.partner].name} if spot.partner else {})
            for spot in spots.values()
        ]
        return Config.model_validate(
            {"hosts": entries, "poll": self.poll_section, "remediation": self.section}
        )

    def _start(self) -> None:
        """A new daemon over the journal as it is."""
        world = self.world
        world.died, world.ended = asyncio.Event(), asyncio.Event()
        self.journal = FragileJournal(world)
        self.controller = RemediationController(
            self.journal,
            cast("PanelPool", Pool(self.servers)),
            self.decoder,
            self._poll_of_controller,
            clock=world.clock,
            monotonic=world.monotonic,
            sleep=world.sleep,
        )
        self._follow(anew=True)
        self._surely(self.watch.started)

    def _follow(self, *, anew: bool = False) -> None:
        self.config = self._config()
        self.controller.apply_config(self.config)
        self.watch.configure(self.config, anew=anew)

    def _host(self, place: str) -> HostConfig:
        """What is in a place now, by the config in force."""
        name = self.fleet[place].name
        return next(host for host in self.config.hosts if host.name == name)

    def _server(self, place: str) -> Server:
        return self.servers[self._host(place).panel]

    def _rule(self, kind: str) -> RemediationRule | None:
        """A rule whatever it is called now; None when there is none."""
        return next((r for r in self.config.remediation.rules if kind_of(r.name) == kind), None)

    # --- what befalls the daemon ---------------------------------------------------------------

    def _befalls(self, what: str, server: Server | None) -> None:
        """At any step of a run: over a request to a server, or over its work on the journal."""
        self._saw(f"befell: {what}")
        name, _ = self.watch.taken(RUN.get())
        here = [
            place
            for place, spot in self.fleet.items()
            if (self._server(place) is server if server else spot.name == name)
        ]
        place = next((p for p in here if p != TWIN), HOSTS[self.world.turn % len(HOSTS)])
        match what:
            case "terminated":
                self.world.ended.set()
                self.controller.end()
                self.watch.told_to_end()
            case "files lost":
                self.world.turn += 1
                which = SIDE_FILES[self.world.turn % len(SIDE_FILES)]
                self._lose(which, replaced=self.world.turn // 3 % 2 == 0)
            case "paused":
                self.world.pause_file.touch()
                self.watch.interrupted()
                self.resumed = True
            case "jumps ahead" | "jumps back":
                self._jump(4000 if what == "jumps ahead" else -4000)
            case "mode off":
                self._for_a_while(self.section | {"mode": "off"})
            case "rule leaves" | "rule renamed":
                self._change_rule(leaves=what == "rule leaves")
            case _:
                self._change_host(what, place)

    def _jump(self, seconds: float, *, panels: bool = False) -> None:
        self.world.jumps(seconds, panels=panels)
        if self.section["windows"] and self.world.now % (24 * HOUR) >= 18 * HOUR:
            self.watch.interrupted()

    def _lose(self, ending: str, *, replaced: bool) -> None:
        """One of the files beside the journal goes, and may have a copy of it in its place."""
        file = self.journal.path.with_name(self.journal.path.name + ending)
        if not file.exists():
            return
        if replaced:
            copy = file.with_name("copy")
            shutil.copy(file, copy)
            copy.replace(file)
        else:
            file.unlink()
        self.watch.files_lost()

    def _for_a_while(self, section: dict[str, Any]) -> None:
        self.restored = self.restored or self.section
        self.section = section
        self._follow()

    def _change_rule(self, *, leaves: bool) -> None:
        """The rule that is at work on a panel, or the first one, leaves or gets another name."""
        at_work = [run.intent.rule for run in self.watch.runs.values() if run.outcome is None]
        name = at_work[-1] if at_work else "purge"
        rules = self.section["rules"]
        if leaves:
            rules = [rule for rule in rules if rule["name"] != name]
            self._for_a_while(self.section | {"rules": rules})
            return
        for section in filter(None, (self.section, self.restored)):
            section["rules"] = [
                rule | {"name": _other(rule["name"])} if rule["name"] == name else rule
                for rule in section["rules"]
            ]
        self._follow()

    def _change_host(self, what: str, place: str) -> None:
        """A reload has something else in a place of the fleet; what shared its panel is gone."""
        if what == "swapped":
            self._swap(place, HOSTS[HOSTS.index(place) - 1])
        elif what != "labelled":
            self._part(place)
        spot = self.fleet[place]
        match what:
            case "re-pointed":
                used = {each.where for each in self.fleet.values()}
                free = [w for w in (f"p{1 + HOSTS.index(place)}", *SPARE) if w not in used]
                self.fleet[place] = replace(spot, where=free[0]) if free else spot
            case "re-pinned":
                self.fleet[place] = replace(spot, pin=PINS[not PINS.index(spot.pin)])
            case "renamed":
                self.fleet[place] = replace(spot, name=_other(spot.name))
            case "labelled":
                self.fleet[place] = replace(spot, label="" if spot.label else "r1")
            case "doubled":
                self.fleet[TWIN] = replace(spot, name="twin", label="", partner=place)
            case "removed":
                # Another one, that nobody has asked before, is in its place.
                self.serial += 1
                new = f"new{self.serial}"
                self.fleet[place] = replace(spot, name=new, where=new)
        self._follow()

    def _part(self, place: str) -> None:
        """What shares a panel with a place leaves."""
        if TWIN in self.fleet and self.fleet[TWIN].partner == place:
            del self.fleet[TWIN]

    def _swap(self, place: str, other: str) -> None:
        """Two names change their panels."""
        self._part(place)
        self._part(other)
        one, two = self.fleet[place], self.fleet[other]
        self.fleet[place] = replace(one, where=two.where, pin=two.pin)
        self.fleet[other] = replace(two, where=one.where, pin=one.pin)

    # --- the daemon's work ---------------------------------------------------------------------

    def _surely(self, work: Any) -> Any:
        """Read or write the journal as another process, whom nothing befalls."""
        return self.runner.run(self.journal.surely(work))

    def _write(self, kind: Kind, place: str = "", **keys: Any) -> None:
        if place:
            host = self._host(place)
            keys |= {"host": host.name, "panel": host.panel}
        entry = Entry(kind, **{"actor": "person:eve", "text": f"It is {kind.value}."} | keys)
        self._surely(lambda journal: journal.add(entry))

    async def _look_at(self, host: HostConfig) -> tuple[HostSnapshot, Told]:
        server = self.servers[host.panel]
        server.forget()
        client = cast("PanelClient", self.servers.client(host))
        snapshot = await poll_host(PollContext(host, client, self.decoder, QueueMemory(), 100_000))
        told = Told(server.counted, server.served, cast("Any", snapshot.result("clamav")).value)
        if (clamav := told.clamav) is not None:
            told = replace(told, clamav=cast("Any", clamav).running)
        self.watch.told(told)
        return snapshot, told

    def _now(self, name: str) -> HostConfig | None:
        """The host of this name by the config in force."""
        return next((host for host in self.config.hosts if host.name == name), None)

    async def _poll_of_controller(self, name: str, panel: PanelId) -> HostSnapshot:
        """As the daemon's poller does it for the controller."""
        host = self._now(name)
        if host is None or host.panel != panel or self.world.ended.is_set():
            raise HostGoneError(name)
        return await self._polled(host)

    async def _poll(self, place: str) -> None:
        """A poll of the daemon's, of which the controller gets to know."""
        if place in self.fleet and not self.world.ended.is_set():
            await self._polled(self._host(place))

    async def _polled(self, asked: HostConfig) -> HostSnapshot:
        snapshot, told = await self._look_at(asked)
        name = asked.name
        now = self._now(name)
        if now is None or not now.is_asked_like(asked) or self.world.ended.is_set():
            return snapshot  # it left the config while it was polled
        self.watch.polled(name, told)
        host = self.controller.fleet.hosts[name]
        before, run = host.task, object()
        free = before is None or before.done()
        token = RUN.set(run)
        self.controller.reconcile(snapshot)
        RUN.reset(token)
        if host.task is not None and host.task is not before:
            asked_for = {rule for where, rule in self.watch.pending if where == name}
            self.watch.considers(run, name, asked_for if snapshot.ok and free else ())
            host.task.add_done_callback(lambda _: self.watch.considered(run))
        return snapshot

    def _drive(self, work: Iterable[Coroutine[Any, Any, object]]) -> None:
        """Let this and all that comes of it end, or the daemon be killed over it."""
        self.watch.troubled = False
        self.runner.run(self._until_quiet([*work]))
        if not self.world.died.is_set() and not self.watch.troubled:
            self.watch.all_have_ended()
        if self.restored is not None:
            self.section, self.restored = self.restored, None
            self._follow()
        if self.resumed:
            self.world.pause_file.unlink(missing_ok=True)
            self.resumed = False
        if self.world.died.is_set() or self.watch.lost:
            self.is_killed()
        elif self.world.ended.is_set():
            self.restarts()

    async def _until_quiet(self, work: list[Coroutine[Any, Any, object]]) -> None:
        async def work_and_what_comes_of_it() -> None:
            await asyncio.gather(*work)
            await self.controller.wait_idle()

        tasks: set[asyncio.Task[None]] = {asyncio.create_task(work_and_what_comes_of_it())}
        death = asyncio.create_task(self.world.died.wait())
        end = asyncio.create_task(self.world.ended.wait())
        stop: asyncio.Task[None] | None = None
        while not death.done() and (under_way := {t for t in tasks if not t.done()}):
            signals = {death} if end.done() else {death, end}
            await asyncio.wait({*under_way, *signals}, return_when=asyncio.FIRST_COMPLETED)
            if end.done() and stop is None:  # as the daemon does at SIGTERM
                stop = asyncio.create_task(self.controller.stop(GRACE))
                tasks.add(stop)
        await self.controller.stop(0) if death.done() else None
        for task in (*tasks, death, end):
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        await asyncio.gather(death, end, return_exceptions=True)

    # --- mail and panels -----------------------------------------------------------------------

    @rule(names=some_hosts, kinds=mail)
    def mail_comes(self, names: Sequence[str], kinds: list[str]) -> None:
        for place in sorted(self.fleet.keys() & set(names)):
            for kind in kinds:
                self.serial += 1
                id_ = f"1xVPmh-{self.serial:06d}-2M"
                self._server(place).put(id_, size=100 + self.serial % 800, **MAIL[kind])

    @rule(name=hosts, kind=st.sampled_from(sorted(MAIL)), count=st.integers(3, 8))
    def a_storm_comes(self, name: str, kind: str, count: int) -> None:
        self.mail_comes([name], [kind] * count)
        self.time_passes(EVERYWHERE, 60, 4)

    @rule(name=hosts, left=st.integers(0, 3), running=st.sampled_from([None, True, False]))
    def a_panel_lives_on(self, name: str, left: int, running: bool | None) -> None:
        server = self._server(name)
        if running is None:
            for id_ in [*server.queue][: max(0, len(server.queue) - left)]:
                del server.queue[id_]
        else:
            server.running = running

    @rule(name=hosts, how=st.lists(st.sampled_from(MEDDLES), min_size=1, max_size=4))
    def somebody_meddles(self, name: str, how: list[str]) -> None:
        for each in how:
            self._server(name)._meddle(each)

    @rule(
        name=hosts,
        changes=st.lists(st.sampled_from(["carried out", *CHANGES]), min_size=1, max_size=5),
        kinds=mail,
    )
    def changes_go_wrong(self, name: str, changes: list[str], kinds: list[str]) -> None:
        self._server(name).changes.extend(changes)
        self.mail_comes([name], kinds)
        self.time_passes(EVERYWHERE, 60, 4)

    @rule(
        place=hosts,
        kind=st.sampled_from(sorted(WANTED)),
        by_hand=st.booleans(),
        changes=st.lists(st.sampled_from(["carried out", "slow", *CHANGES]), max_size=5),
        good=st.integers(0, 6),
        look=st.sampled_from(["told", "told", *LOOKS]),
        strike=st.none() | st.tuples(st.integers(0, 30), st.sampled_from(STRIKES)),
    )
    def an_action_goes_wrong(
        self,
        place: str,
        kind: str,
        by_hand: bool,
        changes: list[str],
        good: int,
        look: str,
        strike: tuple[int, str] | None,
    ) -> None:
        """What one rule waits for, at a time at which it may act: then anything may befall it."""
        self.world.passes(3700)
        self.time_passes(EVERYWHERE, 1, 1)
        server, found = self._server(place), self._rule(kind)
        if found is None:
            return
        server.queue.clear()
        server.running = kind != "clamd"
        self.mail_comes([place], WANTED[kind])
        server.changes.extend(changes)
        server.looks.extend(["told"] * good + [look])
        self.world.strike = strike
        if by_hand:
            self.runs_a_rule_by_hand(place, kind, dry_run=False, polled=EVERYWHERE)
        else:
            self.serial += 1
            self.an_alert_fires([place], kind, 1000 + self.serial, resolved=False)
        self.time_passes(EVERYWHERE, 60, 1 if by_hand else 2)
        self.world.strike = None

    @rule(
        place=hosts,
        kind=st.sampled_from(["purge", "delete", "frost", "asked", "retry"]),
        by_hand=st.booleans(),
        meanwhile=st.lists(
            st.sampled_from(["carried out", *MEDDLES, *MEDDLES, *BEFALL]), min_size=1, max_size=4
        ),
    )
    def a_plan_grows_old(self, place: str, kind: str, by_hand: bool, meanwhile: list[str]) -> None:
        """Its messages take so long that the queue is listed anew before the last of them."""
        before, self.world.pace = self.world.pace, 12.0
        self.an_action_goes_wrong(place, kind, by_hand, meanwhile, 0, "told", None)
        self.world.pace = before

    @rule(
        name=hosts,
        good=st.integers(0, 4),
        looks=st.lists(st.sampled_from(LOOKS), min_size=1, max_size=3),
    )
    def looks_go_wrong(self, name: str, good: int, looks: list[str]) -> None:
        self._server(name).looks.extend(["told"] * good + looks)
        self.time_passes(EVERYWHERE, 60, 2)

    @rule(name=hosts)
    def a_panel_is_mended(self, name: str) -> None:
        self._server(name).looks.clear()
        self._server(name).changes.clear()

    # --- the fleet -----------------------------------------------------------------------------

    @rule(
        place=hosts,
        what=st.sampled_from(
            ["re-pointed", "swapped", "re-pinned", "renamed", "removed", "labelled", "doubled"]
        ),
        kinds=mail,
        times=st.integers(0, 4),
    )
    def the_fleet_changes(self, place: str, what: str, kinds: list[str], times: int) -> None:
        self._saw(f"fleet: {what}")
        self._change_host(what, place)
        self.mail_comes([place], kinds)
        self.time_passes(EVERYWHERE, 60, times)

    @rule(kind=st.sampled_from(ON_MX1_TO_3))
    def a_rule_is_renamed(self, kind: str) -> None:
        self.section["rules"] = [
            r | {"name": _other(r["name"])} if kind_of(r["name"]) == kind else r
            for r in self.section["rules"]
        ]
        self._follow()
        self.time_passes(EVERYWHERE, 60, 2)

    # --- time ----------------------------------------------------------------------------------

    @rule(names=some_hosts, seconds=st.sampled_from([15, 60, 170, 200]), times=st.integers(1, 6))
    def time_passes(self, names: Sequence[str], seconds: float, times: int) -> None:
        for _ in range(times):
            self.world.passes(seconds)
            self._drive(self._poll(place) for place in names)

    @rule(names=some_hosts, kinds=mail, seconds=st.sampled_from([60, 170]), times=st.integers(3, 9))
    def mail_keeps_coming(
        self, names: Sequence[str], kinds: list[str], seconds: float, times: int
    ) -> None:
        for _ in range(times):
            self.mail_comes(names, kinds)
            self.time_passes(EVERYWHERE, seconds, 1)

    @rule(
        seconds=st.sampled_from([300, 700, 1300, 3700, 90_000, -1, -100, -700, -3700, -90_000]),
        panels=st.booleans(),
        back=st.booleans(),
    )
    def the_clock_jumps(self, seconds: float, panels: bool, back: bool) -> None:
        self._jump(seconds, panels=panels)
        self.time_passes(EVERYWHERE, 60, 3)
        if back:
            self._jump(-seconds, panels=panels)
            self.time_passes(EVERYWHERE, 60, 1)

    # --- the daemon's end, and its journal's ---------------------------------------------------

    @rule()
    def restarts(self) -> None:
        self.world.ended.set()
        self.watch.told_to_end()
        self.runner.run(self.controller.stop(0))
        self.runner.run(self.journal.close())
        self._start()

    @rule()
    def is_killed(self) -> None:
        """What stands on the disk now is all that the next process has."""
        self.runner.run(self.controller.stop(0))
        names = [f"{self.journal.path.name}{ending}" for ending in ("", *SIDE_FILES)]
        kept = self.world.folder / "kept"
        kept.mkdir()
        for file in (self.world.folder / name for name in names):
            if file.exists():
                shutil.copy(file, kept)
        self.runner.run(self.journal.close())
        for name in names:
            (self.world.folder / name).unlink(missing_ok=True)
            if (kept / name).exists():
                (kept / name).replace(self.world.folder / name)
        kept.rmdir()
        self._start()

    @rule(ending=st.sampled_from(SIDE_FILES), replaced=st.booleans(), kinds=mail)
    def a_side_file_is_lost(self, ending: str, replaced: bool, kinds: list[str]) -> None:
        self.mail_comes(HOSTS, kinds)
        self._lose(ending, replaced=replaced)
        self.time_passes(EVERYWHERE, 60, 1)

    @rule(name=hosts, kinds=mail, after=st.integers(0, 30))
    def is_terminated(self, name: str, kinds: list[str], after: int) -> None:
        self.mail_comes([name], kinds)
        self.world.strike = (after, "terminated")
        self.time_passes(EVERYWHERE, 60, 3)
        self.world.strike = None

    @rule(name=hosts, after=st.integers(0, 40), strike=st.sampled_from(STRIKES))
    def the_journal_fails(self, name: str, after: int, strike: str) -> None:
        self.world.strike = (after, strike)
        self.time_passes([name], 60, 4)

    @rule(for_good=st.sampled_from([False] * 7 + [True]))
    def the_journal_breaks(self, for_good: bool) -> None:
        self.world.journal_broken = True
        self.time_passes(EVERYWHERE, 60, 2)
        self.world.journal_broken = for_good

    # --- people --------------------------------------------------------------------------------

    @rule(by_file=st.booleans(), for_good=st.sampled_from([False] * 7 + [True]))
    def pauses(self, by_file: bool, for_good: bool) -> None:
        if by_file:
            self.world.pause_file.touch()
        else:
            self._write(Kind.PAUSED)
        self.time_passes(EVERYWHERE, 60, 2)
        if not for_good:
            self.resumes()

    @precondition(lambda self: self.watch.paused)
    @rule()
    def resumes(self) -> None:
        self.world.pause_file.unlink(missing_ok=True)
        self._write(Kind.RESUMED)

    @rule(place=hosts, kind=st.sampled_from(ON_MX1_TO_3))
    def resumes_a_rule(self, place: str, kind: str) -> None:
        if (found := self._rule(kind)) is not None:
            self._write(Kind.RULE_RESUMED, place, rule=found.name)

    @rule(places=some_hosts, allowed=st.sampled_from([True, True, False]))
    def decides(self, places: Sequence[str], allowed: bool) -> None:
        found = self._rule("retry")
        if found is None:
            return
        name = found.name
        for place in sorted(self.fleet.keys() & set(places)):
            host = self._host(place)
            facts = self._surely(
                lambda journal, host=host: journal.rule_facts(host.name, name, host.panel)
            )
            if facts.approval == "requested":
                kind = Kind.APPROVED if allowed else Kind.REJECTED
                self.seen[f"decided: {kind.value}"] += 1
                self._write(kind, place, rule=name, run=facts.approval_run)

    @rule(
        places=some_hosts,
        kind=st.sampled_from([*ON_MX1_TO_3, "asked", "asked"]),
        incident=st.integers(0, 50),
        resolved=st.sampled_from([False, False, False, True]),
    )
    def an_alert_fires(
        self, places: Sequence[str], kind: str, incident: int, resolved: bool
    ) -> None:
        for place in places:
            found = self._rule(kind)
            if place not in self.fleet or found is None:
                continue
            name = self.fleet[place].name
            which = Incident(str(incident), f"alert {incident}", "")
            request = Request(Actor.ALERTMANAGER, "QueueFull", which.detail("QueueFull"))
            self._drive([self._ask(name, found.name, request)])
            if resolved:
                self._drive([self._resolve(name, found.name, which)])

    async def _ask(self, name: str, rule_name: str, request: Request) -> None:
        known = {
            e.detail.get("key")
            for e in self.watch.entries
            if (e.kind, e.host, e.rule) == (Kind.ASKED, name, rule_name)
        }
        key = str(request.why["key"])
        over = self.watch.over.get((name, rule_name, key))
        before = self._now(name)
        try:
            taken = await self.controller.ask(name, rule_name, request)
        except (JournalError, UnknownRuleError):
            return
        if over is True:
            assert taken is Taken.OVER
        elif over is None and key not in known:
            assert taken is Taken.NEW
        # What an earlier process has left without an answer is taken again.
        assert taken is not Taken.OVER or over is not None
        now = self._now(name)
        if taken is Taken.NEW and before and now and now.panel == before.panel:
            self.watch.asked((name, rule_name), key)

    async def _resolve(self, name: str, rule_name: str, incident: Incident) -> None:
        try:
            await self.controller.withdraw(name, rule_name, incident)
        except JournalError:
            self.watch.withdrawn((name, rule_name), incident.key, surely=False)
        else:
            self.watch.withdrawn((name, rule_name), incident.key)

    @rule(
        place=st.sampled_from(EVERYWHERE),
        kind=st.sampled_from(ON_MX1_TO_3),
        dry_run=st.sampled_from([False, False, True]),
        polled=some_hosts,
    )
    def runs_a_rule_by_hand(
        self, place: str, kind: str, dry_run: bool, polled: Sequence[str]
    ) -> None:
        """While the daemon polls."""
        found = self._rule(kind)
        if place not in self.fleet or found is None:
            return
        self.world.passes(60)
        request = Request(Actor.PERSON, "eve", dry_run=dry_run)
        run = self._by_hand(self._host(place), found, self.config, request)
        self._drive([run, *(self._poll(each) for each in polled)])

    async def _by_hand(
        self, host: HostConfig, found: RemediationRule, config: Config, request: Request
    ) -> None:
        run = object()
        RUN.set(run)
        self.watch.considers(run, host.name, ())

        async def poll() -> HostSnapshot:
            return (await self._look_at(host))[0]

        async def inputs() -> GuardInputs:
            return await self._situation_by_hand(host, found, config.remediation)

        client = cast("PanelClient", self.servers.client(host))
        context = HostContext(
            self.journal,
            HostLocks(self.journal.path),
            client,
            self.decoder,
            poll,
            config.poll.requests_per_host,
            self.world.sleep,
            self.world.monotonic,
        )
        try:
            await execute_rule(context, config.remediation, found, request, inputs)
        finally:
            self.watch.considered(run)

    async def _situation_by_hand(
        self, host: HostConfig, found: RemediationRule, config: RemediationConfig
    ) -> GuardInputs:
        known = GuardInputs(self.world.now, len(self.fleet), actor=Actor.PERSON)
        return await read_inputs(self.journal, config, host, found, known)

    @rule(
        mode=st.sampled_from(["enforce", "dry_run", "off"]),
        at_once=st.sampled_from([1, 2, 4]),
        for_good=st.sampled_from([False] * 7 + [True]),
    )
    def the_config_changes(self, mode: str, at_once: int, for_good: bool) -> None:
        before = self.section
        limits = before["limits"] | {"actions_at_once": at_once}
        self.section = before | {"mode": mode, "limits": limits}
        self._follow()
        self.time_passes(EVERYWHERE, 60, 2)
        if not for_good:
            self.section = before
            self._follow()

    # --- what must be so -----------------------------------------------------------------------

    @invariant()
    def nothing_was_wrong(self) -> None:
        assert not self.bugs.found, "\n".join(self.bugs.found)
        if hasattr(self, "watch"):
            assert not self.watch.problems, "\n".join(self.watch.problems)

    def teardown(self) -> None:
        try:
            if hasattr(self, "watch"):
                self._ends_well()
        finally:
            self.runner.close()
            self.folder.cleanup()

    def _ends_well(self) -> None:
        """After a restart and good polls nothing is left open, whatever was before."""
        self.world.strike, self.world.journal_broken = None, False
        for server in self.servers.values():
            server.looks.clear()
            server.changes.clear()
        self.restarts()
        self.world.passes(60)
        self._drive(self._poll(place) for place in EVERYWHERE)
        self.runner.run(self.controller.follower.read_journal())
        self.watch.everything_is_settled(self.controller.projection.outcomes)
        self.nothing_was_wrong()
        self.runner.run(self.controller.stop(0))
        self.runner.run(self.journal.close())
        journal = Journal.open(self.journal.path, clock=self.world.clock)
        assert journal.unsettled() == []
        journal.close()


def _other(name: str) -> str:
    """What it is called by that was renamed; the old name when it was before."""
    return kind_of(name) if name.endswith(OTHER_NAME) else name + OTHER_NAME


class Clocks:
    """In place of the module `time`: the clocks of the world that is run now."""

    world: ClassVar[World]

    def time(self) -> float:
        return self.world.now

    def monotonic(self) -> float:
        return self.world.passed


def live_in_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what looks at the time by itself, and what opens the journal, go by the world."""
    for module in (collect_module, listing_module):
        monkeypatch.setattr(module, "time", Clocks())

    def open_unsynced(path: Path) -> sqlite3.Connection:
        """Open the journal as the daemon does, but wait for no disk: nothing cuts the power."""
        connection = open_to_write(path)
        connection.execute("PRAGMA synchronous = OFF")
        Clocks.world.connection = connection
        return connection

    monkeypatch.setattr(journal_file, "open_to_write", open_unsynced)


@pytest.mark.slow
@pytest.mark.timeout(600)  # it works all the time: beside busy cores that takes some minutes
def test_a_controller_keeps_its_rules_whatever_befalls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Remediation
    machine.seen.clear()
    monkeypatch.setattr(controller_module, "log", machine.bugs)
    live_in_the_world(monkeypatch)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=EXAMPLES <= FEW,
            database=None,
            suppress_health_check=[*HealthCheck],
            phases=[Phase.generate],
            report_multiple_bugs=False,
        ),
    )
    assert sum(machine.seen.values()) > 0, "nothing was ever done"
