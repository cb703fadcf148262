"""A whole remediation desk under whatever may befall it, watched from outside.

The machine makes mail, polls, faults, clock jumps, restarts and people; `tests.model.watch`
holds each request and each entry of the journal against the rules.
"""

from __future__ import annotations

import asyncio
import tempfile
import traceback
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
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

from exporter.collect import PollContext, QueueMemory, poll_host
from exporter.config.models import Config
from exporter.hostlock import HostLocks
from exporter.journal import Actor, Entry, Journal, JournalError, Kind
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation import desk as desk_module
from exporter.remediation.desk import Desk, Taken
from exporter.remediation.guards import Situation
from exporter.remediation.incidents import Incident
from exporter.remediation.run import Request, run_rule
from exporter.remediation.work import Bench
from exporter.snapshot import HostSnapshot, PanelId
from exporter.standin.queue import QueuedMessage
from tests.model.watch import HOUR, MINUTE, RULES, Told, Watcher
from tests.model.world import (
    CHANGES,
    LOOKS,
    RUN,
    STRIKES,
    FragileJournal,
    Inline,
    Panel,
    Pool,
    World,
)

HOSTS = ("mx1", "mx2", "mx3", "mx4")
ON_MX1_TO_3 = ("purge", "delete", "retry", "clamd", "asked")

MAIL: dict[str, dict[str, Any]] = {
    "old bounce": {"age": 2 * HOUR, "sender": "", "frozen": True},
    "young bounce": {"age": 10 * MINUTE, "sender": "", "frozen": True},
    "bounce that is tried": {"age": 2 * HOUR, "sender": ""},
    "frozen letter": {"age": 3 * HOUR, "sender": "ann@example.com", "frozen": True},
    "letter": {"age": 5 * HOUR, "sender": "bob@example.com"},
}

hosts = st.sampled_from(HOSTS)
mail = st.lists(st.sampled_from(sorted(MAIL)), min_size=1, max_size=6)
some_hosts = hosts.map(lambda name: (name,)) | st.sampled_from([HOSTS, HOSTS[:2], HOSTS[1:]])


class Bugs:
    """In place of the desk's log: what it calls a bug is one."""

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
        self.serial = 0
        self.bugs.found.clear()

    def _saw(self, what: str) -> None:
        self.seen[what] += 1

    # --- the daemon ----------------------------------------------------------------------------

    @initialize(
        mode=st.sampled_from(["enforce", "enforce", "enforce", "dry_run"]),
        at_once=st.sampled_from([1, 2, 4]),
        per_hour=st.sampled_from([2, 5, 20]),
        parallel=st.sampled_from([1, 2]),
        brake=st.sampled_from(["30%", "75%", "100%"]),
        window=st.sampled_from([False, False, True]),
    )
    def begin(
        self, mode: str, at_once: int, per_hour: int, parallel: int, brake: str, window: bool
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
        config = self._config()
        self.panels = {host.name: Panel(host, self.world) for host in config.hosts}
        self.watch = self.world.watch = Watcher(self.world, self.panels)
        self.decoder = QueueDecoder()
        self.journal = FragileJournal(self.world)
        self._start()

    def _config(self) -> Config:
        keys = {"username": "u", "password": "p", "collectors": ["queue", "clamav"]}
        return Config.model_validate(
            {
                "hosts": [
                    {"name": name, "url": f"http://{name}.example.com:8000"} | keys
                    for name in HOSTS
                ],
                "poll": self.poll_section,
                "remediation": self.section,
            }
        )

    def _start(self) -> None:
        """A new daemon over the journal as it is."""
        pool = cast("PanelPool", Pool(self.panels))
        world = self.world
        world.died = asyncio.Event()
        self.desk = Desk(
            self.journal,
            pool,
            self.decoder,
            self._poll,
            clock=world.clock,
            monotonic=world.monotonic,
            sleep=world.sleep,
        )
        self._follow(anew=True)
        self._surely(
            lambda journal: journal._database.connection.execute("PRAGMA synchronous = OFF")
        )

    def _follow(self, *, anew: bool = False) -> None:
        config = self._config()
        self.desk.configure(config)
        longest = config.poll.stale_after * 60.0
        self.watch.configure(
            config.remediation,
            longest=longest,
            parallel=config.poll.requests_per_host,
            anew=anew,
        )

    def _surely(self, work: Any) -> Any:
        """Read or write the journal as another process, whom nothing befalls."""
        return self.runner.run(self.journal.surely(work))

    def _write(self, kind: Kind, **keys: Any) -> None:
        if "host" in keys:
            keys["panel"] = self.panels[keys["host"]].host.panel
        entry = Entry(kind, **{"actor": "person:eve", "text": f"It is {kind.value}."} | keys)
        self._surely(lambda journal: journal.add(entry))

    async def _look_at(self, name: str) -> tuple[HostSnapshot, Told]:
        panel = self.panels[name]
        client = cast("PanelClient", panel)
        snapshot = await poll_host(
            PollContext(panel.host, client, self.decoder, QueueMemory(), 100_000)
        )
        told = Told(panel.counted, panel.served, cast("Any", snapshot.result("clamav")).value)
        self.watch.told(told)
        return snapshot, told

    async def _poll(self, name: str, panel: PanelId | None = None) -> HostSnapshot:
        """A poll of the daemon's, which the desk gets to know of."""
        assert panel in {None, self.panels[name].host.panel}
        snapshot, told = await self._look_at(name)
        self.watch.polled(name, told)
        host = self.desk._hosts[name]
        before, run = host.task, object()
        free = before is None or before.done()
        token = RUN.set(run)
        self.desk.observe(snapshot)
        RUN.reset(token)
        if host.task is not None and host.task is not before:
            asked = {rule for where, rule in self.watch.pending if where == name}
            self.watch.considers(run, name, asked if snapshot.ok and free else ())
            host.task.add_done_callback(lambda _: self.watch.considered(run))
        return snapshot

    def _drive(self, work: Iterable[Coroutine[Any, Any, object]]) -> None:
        """Let this and all that comes of it end, or the daemon be killed over it."""
        self.runner.run(self._until_quiet([*work]))
        if self.world.died.is_set():
            self.restarts()

    async def _until_quiet(self, work: list[Coroutine[Any, Any, object]]) -> None:
        tasks = {asyncio.create_task(each) for each in work}
        death = asyncio.create_task(self.world.died.wait())
        while not death.done() and (under_way := {t for t in tasks if not t.done()}):
            await asyncio.wait({*under_way, death}, return_when=asyncio.FIRST_COMPLETED)
            tasks |= self.desk._tasks
        await self.desk.stop(0) if death.done() else None
        for task in (*tasks, death):
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        with suppress(asyncio.CancelledError):
            await death

    # --- mail and panels -----------------------------------------------------------------------

    @rule(names=some_hosts, kinds=mail)
    def mail_comes(self, names: Sequence[str], kinds: list[str]) -> None:
        for name in names:
            for kind in kinds:
                self.serial += 1
                id_ = f"1xVPmh-{self.serial:06d}-2M"
                message = QueuedMessage(
                    id=id_, size=900, recipients=("carl@example.net",), **MAIL[kind]
                )
                self.panels[name].queue[id_] = message

    @rule(name=hosts, kind=st.sampled_from(sorted(MAIL)), count=st.integers(3, 8))
    def a_storm_comes(self, name: str, kind: str, count: int) -> None:
        self.mail_comes([name], [kind] * count)
        self.time_passes(HOSTS, 60, 4)

    @rule(name=hosts, left=st.integers(0, 3), running=st.sampled_from([None, True, False]))
    def a_panel_lives_on(self, name: str, left: int, running: bool | None) -> None:
        panel = self.panels[name]
        if running is None:
            for id_ in [*panel.queue][: max(0, len(panel.queue) - left)]:
                del panel.queue[id_]
        else:
            panel.running = running

    @rule(
        name=hosts,
        changes=st.lists(st.sampled_from(["carried out", *CHANGES]), min_size=1, max_size=5),
        kinds=mail,
    )
    def changes_go_wrong(self, name: str, changes: list[str], kinds: list[str]) -> None:
        self.panels[name].changes.extend(changes)
        self.mail_comes([name], kinds)
        self.time_passes(HOSTS, 60, 4)

    @rule(
        name=hosts,
        good=st.integers(0, 4),
        looks=st.lists(st.sampled_from(LOOKS), min_size=1, max_size=3),
    )
    def looks_go_wrong(self, name: str, good: int, looks: list[str]) -> None:
        self.panels[name].looks.extend(["told"] * good + looks)
        self.time_passes(HOSTS, 60, 2)

    @rule(name=hosts)
    def a_panel_is_mended(self, name: str) -> None:
        self.panels[name].looks.clear()
        self.panels[name].changes.clear()

    # --- time ----------------------------------------------------------------------------------

    @rule(names=some_hosts, seconds=st.sampled_from([15, 60, 170, 200]), times=st.integers(1, 6))
    def time_passes(self, names: Sequence[str], seconds: float, times: int) -> None:
        for _ in range(times):
            self.world.now += seconds
            self._drive(self._poll(name) for name in names)

    @rule(names=some_hosts, kinds=mail, seconds=st.sampled_from([60, 170]), times=st.integers(3, 9))
    def mail_keeps_coming(
        self, names: Sequence[str], kinds: list[str], seconds: float, times: int
    ) -> None:
        for _ in range(times):
            self.mail_comes(names, kinds)
            self.time_passes(HOSTS, seconds, 1)

    @rule(seconds=st.sampled_from([300, 700, 1300, 3700, 90_000, -1, -100, -700, -3700, -90_000]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.world.now += seconds
        self.time_passes(HOSTS, 60, 3)

    # --- the daemon's end, and its journal's ---------------------------------------------------

    @rule()
    def restarts(self) -> None:
        self.runner.run(self.desk.stop(0))
        self._start()

    @rule(name=hosts, after=st.integers(0, 40), strike=st.sampled_from(STRIKES))
    def the_journal_fails(self, name: str, after: int, strike: str) -> None:
        self.world.strike = (after, strike)
        self.time_passes([name], 60, 4)

    @rule(for_good=st.sampled_from([False, False, False, True]))
    def the_journal_breaks(self, for_good: bool) -> None:
        self.world.journal_broken = True
        self.time_passes(HOSTS, 60, 2)
        self.world.journal_broken = for_good

    # --- people --------------------------------------------------------------------------------

    @rule(by_file=st.booleans(), for_good=st.sampled_from([False, False, False, True]))
    def pauses(self, by_file: bool, for_good: bool) -> None:
        if by_file:
            self.world.pause_file.touch()
        else:
            self._write(Kind.PAUSED)
        self.time_passes(HOSTS, 60, 2)
        if not for_good:
            self.resumes()

    @precondition(lambda self: self.watch.paused)
    @rule()
    def resumes(self) -> None:
        self.world.pause_file.unlink(missing_ok=True)
        self._write(Kind.RESUMED)

    @rule(name=hosts, rule_name=st.sampled_from(ON_MX1_TO_3))
    def resumes_a_rule(self, name: str, rule_name: str) -> None:
        self._write(Kind.RULE_RESUMED, host=name, rule=rule_name)

    @rule(names=some_hosts, allowed=st.sampled_from([True, True, False]))
    def decides(self, names: Sequence[str], allowed: bool) -> None:
        for name in names:
            facts = self._surely(lambda journal, name=name: journal.rule_facts(name, "retry"))
            if facts.approval == "requested":
                kind = Kind.APPROVED if allowed else Kind.REJECTED
                self.seen[f"decided: {kind.value}"] += 1
                self._write(kind, host=name, rule="retry", run=facts.approval_run)

    @rule(
        names=some_hosts,
        rule_name=st.sampled_from([*ON_MX1_TO_3, "asked", "asked"]),
        incident=st.integers(0, 50),
        resolved=st.sampled_from([False, False, False, True]),
    )
    def an_alert_fires(
        self, names: Sequence[str], rule_name: str, incident: int, resolved: bool
    ) -> None:
        for name in names:
            which = Incident(str(incident), f"alert {incident}", "")
            request = Request(Actor.ALERTMANAGER, "QueueFull", which.detail)
            self._drive([self._ask(name, rule_name, request)])
            if resolved:
                self._drive([self._resolve(name, rule_name, which)])

    async def _ask(self, name: str, rule_name: str, request: Request) -> None:
        known = {
            e.detail.get("key")
            for e in self.watch.entries
            if (e.kind, e.host, e.rule) == (Kind.ASKED, name, rule_name)
        }
        key = str(request.why["key"])
        over = self.watch.over.get((name, rule_name, key))
        try:
            taken = await self.desk.ask(name, rule_name, request)
        except JournalError:
            return
        if over is True:
            assert taken is Taken.OVER
        elif over is None and key not in known:
            assert taken is Taken.NEW
        # What an earlier process has left without an answer is taken again.
        assert taken is not Taken.OVER or over is not None
        if taken is Taken.NEW:
            self.watch.asked((name, rule_name), key)

    async def _resolve(self, name: str, rule_name: str, incident: Incident) -> None:
        try:
            await self.desk.withdraw(name, rule_name, incident)
        except JournalError:
            self.watch.withdrawn((name, rule_name), incident.key, surely=False)
        else:
            self.watch.withdrawn((name, rule_name), incident.key)

    @rule(
        name=hosts,
        rule_name=st.sampled_from(ON_MX1_TO_3),
        dry_run=st.sampled_from([False, False, True]),
        polled=some_hosts,
    )
    def runs_a_rule_by_hand(
        self, name: str, rule_name: str, dry_run: bool, polled: Sequence[str]
    ) -> None:
        """While the daemon polls."""
        self.world.now += 60
        run = self._by_hand(name, rule_name, Request(Actor.PERSON, "eve", dry_run=dry_run))
        self._drive([run, *(self._poll(each) for each in polled)])

    async def _by_hand(self, name: str, rule_name: str, request: Request) -> None:
        config = self._config()
        section = config.remediation
        found = section.rule(rule_name)
        assert found is not None
        run = object()
        RUN.set(run)
        self.watch.considers(run, name, ())

        async def poll(_: str) -> HostSnapshot:
            return (await self._look_at(name))[0]

        async def look() -> Situation:
            errors, facts = [], None
            try:
                facts = await self.journal.do(
                    lambda journal: (journal.rule_facts(name, rule_name), journal.fleet_facts())
                )
            except JournalError as error:
                errors.append(str(error))
            return Situation(
                now=self.world.now,
                pause_file=self.world.pause_file.exists(),
                hosts=len(HOSTS),
                wanting=0,
                unheard=0,
                running=0,
                rule=facts and facts[0],
                fleet=facts and facts[1],
                actor=Actor.PERSON,
                errors=errors,
            )

        client = cast("PanelClient", self.panels[name])
        parallel = config.poll.requests_per_host
        bench = Bench(
            self.journal,
            client,
            self.decoder,
            poll,
            parallel,
            self.world.sleep,
            self.world.monotonic,
        )
        locks = HostLocks(self.journal.path)
        try:
            await run_rule(bench, locks, section, found, request, look)
        finally:
            self.watch.considered(run)

    @rule(
        mode=st.sampled_from(["enforce", "dry_run", "off"]),
        at_once=st.sampled_from([1, 2, 4]),
        for_good=st.sampled_from([False, False, False, True]),
    )
    def the_config_changes(self, mode: str, at_once: int, for_good: bool) -> None:
        before = self.section
        limits = before["limits"] | {"actions_at_once": at_once}
        self.section = before | {"mode": mode, "limits": limits}
        self._follow()
        self.time_passes(HOSTS, 60, 2)
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
        for name in HOSTS:
            self.a_panel_is_mended(name)
        self.restarts()
        self.world.now += 60
        self._drive(self._poll(name) for name in HOSTS)
        self.runner.run(self.desk.read_journal())
        self.watch.everything_is_settled(self.desk.tally.outcomes)
        self.nothing_was_wrong()
        self.runner.run(self.desk.stop(0))
        self.runner.run(self.journal.close())
        journal = Journal.open(self.journal.path, clock=self.world.clock)
        assert journal.unsettled() == []
        journal.close()


def test_a_desk_keeps_its_rules_whatever_befalls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Remediation
    machine.seen.clear()
    monkeypatch.setattr(desk_module, "log", machine.bugs)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=[*HealthCheck],
            phases=[Phase.generate],
            report_multiple_bugs=False,
        ),
    )
    assert sum(machine.seen.values()) > 0, "nothing was ever done"
