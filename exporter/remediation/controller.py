"""The daemon's side of remediation: follows every poll, and lets rules act that want to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any

import structlog

from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal import Actor, Entry, Journal, JournalError, Kind
from exporter.journal.entries import Guard
from exporter.journal.host_lock import HostBusyError, HostLocks, LockFileError
from exporter.journal.projection import JournalProjection
from exporter.journal.records import BlockedRecord, IntentRecord
from exporter.journal.thread import JournalThread
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation.approvals import lapse
from exporter.remediation.follower import JournalFollower
from exporter.remediation.guard_inputs import Fleet, guard_inputs
from exporter.remediation.guards import Block, GuardInputs, InForce, first_block
from exporter.remediation.incidents import Incident
from exporter.remediation.notes import entry_of_block, is_news
from exporter.remediation.orphans import close_orphans
from exporter.remediation.rule_state import Asked, HostState, RuleState, follow_config, key_of
from exporter.remediation.run import (
    Request,
    Result,
    layout_block,
    run_rule,
    settle_what_was_left,
)
from exporter.remediation.silence_guard import KnowsSilences
from exporter.remediation.work import HostContext
from exporter.snapshot import HostGoneError, HostSnapshot, PanelId

log = structlog.get_logger(__name__)

LOOK_AGAIN = 300.0
"""Seconds after which the panel is asked again for a rule that could not act for what its queue
held, or for a silence: until then each poll would cost it another list."""

_AFTER_LISTING = frozenset(
    {
        *(Guard.LISTING, Guard.CONDITION, Guard.NOTHING_TO_DO, Guard.MAX_MESSAGES),
        *(Guard.UNSETTLED, Guard.SILENCE, Guard.LAYOUT, Guard.CLOCK),
    }
)

_STANDS: Mapping[Guard, float] = {
    Guard.STORM_BRAKE: 3600.0,
    Guard.ACTIONS_AT_ONCE: 3600.0,
    Guard.HOST_BUSY: 3600.0,
    Guard.APPROVAL: 86400.0,
}
"""Seconds, from when it was asked, for which a request stands that these hold back: they pass by
themselves, or by a person's word. What any other says is the answer to it."""


class Taken(StrEnum):
    """What becomes of a request."""

    NEW = "asked"
    """It is looked at with the host's next poll."""
    BEFORE = "asked before"
    """It was made before, and answered, or waits for its answer, or was of another panel."""
    OVER = "resolved before"
    """The alert that asks was resolved, as was told before."""


def _was_answered(journal: Journal, asked: Entry) -> bool:
    """Whether what was asked for was acted on, or something spoke against it for good."""
    incident = Incident.of(asked.detail)
    later = journal.entries(
        host=asked.host, rule=asked.rule, kinds=[Kind.INTENT, Kind.BLOCKED], after=asked.id
    )
    return any(
        entry.kind is Kind.INTENT or entry.outcome not in _STANDS
        for entry in later
        if _incident_of(entry).key == incident.key
    )


def _incident_of(entry: Entry) -> Incident:
    """The incident for which a rule acted, or was held back."""
    record = IntentRecord.of(entry) if entry.kind is Kind.INTENT else BlockedRecord.of(entry)
    return Incident.of(record.why or {})


def _is_over(journal: Journal, host: str, rule: str, incident: Incident) -> bool:
    ended = journal.withdrawn(host, rule, incident.alert)
    return any(incident.is_over_with(Incident.of(entry.detail)) for entry in ended)


def _open_requests(journal: Journal, host: str, rule: str, now: float) -> bool:
    """Whether anything that was asked for within the time for which it stands is unanswered."""
    since = now - max(_STANDS.values())
    return any(
        not _was_answered(journal, asked)
        and not _is_over(journal, host, rule, Incident.of(asked.detail))
        for asked in journal.entries(host=host, rule=rule, kinds=[Kind.ASKED], since=since)
    )


class UnknownRuleError(Exception):
    """There is no such rule, or it is not for this host."""


class RemediationController:
    """Decides after each poll whether a rule may act, and lets it, one action a host at a time."""

    def __init__(
        self,
        journal: JournalThread,
        pool: PanelPool,
        decoder: QueueDecoder,
        poll: Callable[[str, PanelId], Awaitable[HostSnapshot]],
        *,
        projection: JournalProjection | None = None,
        alertmanagers: Callable[[], Sequence[KnowsSilences]] = tuple,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """What it works with.

        Args:
            journal: where everything is written down.
            pool: the panels' clients.
            decoder: decodes their lists.
            poll: polls a host now if it is that panel still; what it tells is no older than
                the call.
            projection: counts what is written into the journal, and the blocks.
            alertmanagers: who is asked about silences.
            clock: tells the Unix time.
            monotonic: tells the seconds that have passed, whatever the clock is set to.
            sleep: waits for some seconds.
        """
        self.journal = journal
        self._pool = pool
        self._decoder = decoder
        self._poll = poll
        self.projection = projection if projection is not None else JournalProjection()
        self._alertmanagers = alertmanagers
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._skews: Callable[[], Sequence[float]] = tuple
        self._before: int | None = None
        """The last entry of the journal before this process was first asked for a rule."""
        self._ended: dict[tuple[str, str, str], Incident] = {}
        """By host, rule and alert, its last incident that is known to be over."""
        self._panels: Mapping[str, PanelId] = {}
        """Of the hosts of the config, by name."""
        self._orphans = True
        """Whether actions may have no outcome yet of which the panel has left the config."""
        self._config = RemediationConfig()
        self._locks = HostLocks(journal.path)
        self._hosts: dict[str, HostState] = {}
        self._follower = JournalFollower(
            journal, self.projection, clock=clock, monotonic=monotonic, sleep=sleep
        )
        self._acting = 0
        self._parallel = 1
        self._ends = asyncio.Event()
        """Set once nothing more may begin, and no further message be sent."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Under way, also for hosts that have left the config."""

    def compare_clocks(
        self, skew: Callable[[], float | None], skews: Callable[[], Sequence[float]] = tuple
    ) -> None:
        """Forget nothing for being old, and let nothing act, unless our clock is the panels'.

        `skew` tells by how many seconds theirs are ahead, None where that is not known; `skews`
        the same of each panel that told its time.
        """
        self._follower.skew = skew
        self._skews = skews

    # --- the config ----------------------------------------------------------------------------

    def configure(self, config: Config) -> None:
        """Follow a config: rules and hosts that are as they were keep their clocks."""
        self._hosts = follow_config(self._hosts, self._config.rules, config)
        self._panels = self.projection.panels = {host.name: host.panel for host in config.hosts}
        self._orphans = True
        self._config = config.remediation
        self._parallel = config.poll.requests_per_host
        self._follower.configure(config.remediation)

    @property
    def config(self) -> RemediationConfig:
        """The section in force."""
        return self._config

    # --- what happens --------------------------------------------------------------------------

    def observe(self, snapshot: HostSnapshot) -> None:
        """Take in a poll's outcome; what wants to act is looked at in a task of its own."""
        host = self._hosts.get(snapshot.host)
        if host is None or self._stopped:
            return
        now = self._clock()
        wanted = host.follow(self._config.rules, snapshot, self._monotonic())
        lapsed: list[RemediationRule] = []
        for rule in self._config.rules:
            state = host.rules.get(rule.name)
            if state is None:
                continue
            if state.unwanted and self.projection.may_lapse((snapshot.host, rule.name), now):
                state.lapses = True
            if state.lapses:
                lapsed.append(rule)
        free = host.task is None or host.task.done()
        open_ends = self._orphans or (host.unsettled and snapshot.ok)
        if free and (wanted or lapsed or open_ends):
            host.task = asyncio.create_task(
                self._consider(host, wanted, lapsed), name=f"remediation {snapshot.host}"
            )
            self._tasks.add(host.task)
            host.task.add_done_callback(self._tasks.discard)

    async def ask(self, host_name: str, rule_name: str, request: Request) -> Taken:
        """Let a rule be looked at with the host's next poll, though it has not tripped.

        The request is written down first, and one that was written down before is not taken
        again: who asks may repeat himself. But what an earlier process left without an answer
        is, since with that process it was forgotten; unless the host was another panel then, or
        the alert that asks was resolved.

        Raises:
            UnknownRuleError: there is no such rule for this host.
            JournalError: it could not be written down.
        """
        host, _ = self._find(host_name, rule_name)
        entry = Entry(
            Kind.ASKED,
            host=host_name,
            panel=host.config.panel,
            rule=rule_name,
            actor=request.signature,
            text=f"Asked for by {request.signature}.",
            detail=request.why,
        )
        incident = Incident.of(request.why)

        def write(journal: Journal) -> Taken:
            if self._before is None:
                newest = journal.entries(newest=1)
                self._before = newest[0].id if newest else 0
            if incident.key:
                if _is_over(journal, host_name, rule_name, incident):
                    return Taken.OVER
                before = journal.asked(host_name, rule_name, incident.key, since=0.0)
                if before is not None and (
                    before.id > self._before
                    or before.panel != entry.panel
                    or _was_answered(journal, before)
                ):
                    return Taken.BEFORE
            journal.add(entry)
            return Taken.NEW

        taken = await self.journal.do(write)
        if taken is not Taken.NEW:
            return taken
        # The journal may take its time: the alert may be resolved meanwhile, the host re-pointed.
        host, state = self._find(host_name, rule_name)
        ended = self._ended.get((host_name, rule_name, incident.alert))
        if ended is not None and incident.is_over_with(ended):
            return Taken.OVER
        if host.config.panel == entry.panel:
            state.asked[incident.key] = Asked(request, self._monotonic())
            state.block = None  # what held others back was not said to this one yet
        return taken

    async def withdraw(
        self, host_name: str, rule_name: str, incident: Incident, who: str = ""
    ) -> None:
        """An alert was resolved: forget what it asked for, now and when it is told again late.

        What other alerts ask for stays.

        Raises:
            JournalError: it could not be written down; a later process may take a late repeat.
        """
        host = self._hosts.get(host_name)
        state = host.rules.get(rule_name) if host else None
        if state is not None:
            self._forget(host_name, rule_name, state, incident)
        entry = Entry(
            Kind.WITHDRAWN,
            host=host_name,
            panel=host.config.panel if host is not None else PanelId(),
            rule=rule_name,
            actor=f"{Actor.ALERTMANAGER}:{who}" if who else Actor.ALERTMANAGER.value,
            text="The alert that asks for it was resolved.",
            detail={"alert": who, **incident.detail},
        )

        def write(journal: Journal) -> bool:
            ended = journal.withdrawn(host_name, rule_name, incident.alert)
            known = any(Incident.of(each.detail).key == incident.key for each in ended)
            asked = journal.asked(host_name, rule_name, incident.key, since=0.0)
            # A rule may be away for a while; but nobody fills the journal with what never was.
            if not known and (state is not None or asked is not None):
                journal.add(entry)
            return _open_requests(journal, host_name, rule_name, self._clock())

        if state is None and not await self._follower.in_use():
            return
        if not await self.journal.do(write) and state is not None and not state.asked:
            state.withdrawn = True

    def _forget(self, host: str, rule: str, state: RuleState, ended: Incident) -> None:
        """Forget at once what an alert has asked for that is over."""
        before = self._ended.get((host, rule, ended.alert))
        if before is None or not ended.is_over_with(before):
            self._ended[host, rule, ended.alert] = ended
        for key, asked in [*state.asked.items()]:
            if Incident.of(asked.request.why).is_over_with(ended):
                del state.asked[key]

    def _find(self, host_name: str, rule_name: str) -> tuple[HostState, RuleState]:
        """A rule on a host.

        Raises:
            UnknownRuleError: there is no such rule for this host.
        """
        host = self._hosts.get(host_name)
        state = host.rules.get(rule_name) if host else None
        if host is None or state is None:
            raise UnknownRuleError(f"There is no rule {rule_name} for a host {host_name}.")
        return host, state

    async def run(self) -> None:
        """Follow the journal, and prune it now and then; ends only by being cancelled."""
        await self._follower.run()

    async def read_journal(self) -> None:
        """Take in what was written since the last time, by this process or by another.

        Raises:
            JournalError: it cannot be read.
        """
        await self._follower.read_journal()

    @property
    def idle(self) -> bool:
        """Whether no rule is looked at, and no action is under way."""
        return not self._tasks

    async def wait_idle(self) -> None:
        """Wait until no rule is looked at, and no action is under way."""
        while self._tasks:
            await asyncio.wait([*self._tasks])

    @property
    def _stopped(self) -> bool:
        return self._ends.is_set()

    def end(self) -> None:
        """Begin nothing more, and send no further message; what is under way ends by itself."""
        self._ends.set()

    async def stop(self, grace: float) -> None:
        """As `end`; what is awaited of a panel gets `grace` seconds, then it is cut off.

        These are the answers that are still to come, and the list after them.
        What is cut off has no outcome: the next start settles it by listing.
        """
        self.end()
        under_way = list(self._tasks)
        if under_way and grace > 0:
            await asyncio.wait(under_way, timeout=grace)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    # --- what is shown -------------------------------------------------------------------------

    def host(self, name: str) -> HostConfig | None:
        """The host of this name; None when there is none."""
        known = self._hosts.get(name)
        return known.config if known is not None else None

    def is_for(self, host: str, rule: str) -> bool:
        """Whether there is such a rule for this host."""
        known = self._hosts.get(host)
        return known is not None and rule in known.rules

    def rules_for(self, host: str) -> Collection[str]:
        """The names of the rules that are for a host."""
        known = self._hosts.get(host)
        return known.rules.keys() if known is not None else ()

    def wanting(self) -> int:
        """Hosts that want an action, or will by their next poll, as the storm brake counts them."""
        return sum(host.wants for host in self._hosts.values())

    def states(self) -> Iterable[tuple[str, RemediationRule, RuleState]]:
        """Every rule on every host that it is for."""
        for name, host in self._hosts.items():
            for rule in self._config.rules:
                if rule.name in host.rules:
                    yield name, rule, host.rules[rule.name]

    async def entries(self, **filters: Any) -> list[Entry]:
        """Entries of the journal, as `Journal.entries` takes the filters; none without one.

        Raises:
            JournalError: it cannot be read.
        """
        return await self._follower.entries(**filters)

    async def paused(self) -> str:
        """Why nothing acts by a person's will; "" when that is not so."""
        return await self._follower.paused()

    # --- one host ------------------------------------------------------------------------------

    async def _consider(
        self,
        host: HostState,
        wanted: Sequence[tuple[RemediationRule, Request]],
        lapsed: Sequence[RemediationRule],
    ) -> None:
        try:
            await self._lapse(host, lapsed)
            if self._orphans:
                await self._close_orphans()
            if host.unsettled:
                await self._settle(host)
            for rule, request in wanted:
                # The rule before it may have taken minutes: what was so by then need not be now.
                state = host.rules.get(rule.name)
                if state is None or not self._is_in_force(host, rule):
                    continue
                if state.is_asked(request):
                    await self._answer(host, rule, state, request)
                elif (
                    request.actor is Actor.RULE
                    and (state.clock.tripped or state.doubt)
                    and self._monotonic() >= state.rest_until
                ):
                    await self._let(host, rule, state, request)
        except Exception:
            # A bug must not end the daemon, and what is not known is not acted on.
            log.exception("a bug in the exporter ended a remediation", host=host.config.name)

    def _is_in_force(self, host: HostState, rule: RemediationRule | None = None) -> bool:
        """Whether the config still has the host, be it with other labels, and the rule for it."""
        if self._hosts.get(host.config.name) is not host:
            return False
        return rule is None or (rule.name in host.rules and rule in self._config.rules)

    async def _lapse(self, host: HostState, rules: Sequence[RemediationRule]) -> None:
        """End what rules ask a person for; tried again with the next poll, whatever that tells."""
        if not rules:
            return

        def write(journal: Journal) -> None:
            for rule in rules:
                lapse(journal, host.config, rule)

        with suppress(JournalError):
            await self.journal.do(write)
            for rule in rules:
                if (state := host.rules.get(rule.name)) is not None:
                    state.lapses = False
            await self.read_journal()

    async def _close_orphans(self) -> None:
        """What was left on panels that have left the config; tried again with the next poll."""
        self._orphans = False
        try:
            if await self._follower.in_use():
                self._orphans = not await close_orphans(self.journal, self._locks, self._panels)
                await self.read_journal()
        except JournalError:
            self._orphans = True

    async def _settle(self, host: HostState) -> None:
        """What an earlier process left; tried again with the next poll when it cannot be told."""
        try:
            if not await self._follower.in_use():
                host.unsettled = False
                return
            if not self._is_in_force(host):
                return
            with (
                self._locks.hold(host.config.panel.url),
                self._pool.lease(host.config) as client,
            ):
                settled = await settle_what_was_left(self._bench(host, client))
            if settled:
                await self.read_journal()
        except (HostBusyError, LockFileError, PanelError, HostGoneError, JournalError):
            return
        host.unsettled = False

    async def _answer(
        self, host: HostState, rule: RemediationRule, state: RuleState, request: Request
    ) -> None:
        """Let a rule act that was asked for, or keep the request for the next poll."""
        stands = False
        try:
            block = await self._let(host, rule, state, request)
            lasts = 0.0 if block is None else _STANDS.get(block.guard, 0.0)
            asked = state.asked.get(key_of(request))
            stands = asked is not None and self._monotonic() < asked.at + lasts
        finally:
            if not stands and state.is_asked(request):
                del state.asked[key_of(request)]

    async def _let(
        self, host: HostState, rule: RemediationRule, state: RuleState, request: Request
    ) -> Block | None:
        """Let a rule act if nothing speaks against it; what does."""
        block = await self._forehand(host.config, rule, request)
        if block is None and request.actor is Actor.RULE and state.doubt:
            block = layout_block(host.config.name, state.doubt, request.why)
        if block is None and not self._is_in_force(host, rule):
            return None
        if block is None:
            block = await self._run(host, rule, state, request)
        await self._note(host, rule, state, request, block)
        return block

    async def _run(
        self, host: HostState, rule: RemediationRule, state: RuleState, request: Request
    ) -> Block | None:
        """Let a rule act by the config in force; what held it back after all."""
        config = self._config

        async def look() -> GuardInputs:
            inputs = await self._situation(host.config, rule, request.actor, running=0)
            withdrawn = self._withdrawn(state, request)
            if not self._is_in_force(host, rule) or self._config != config:
                # What has begun goes on by its config; what has not might do more than the new
                # one lets it.
                withdrawn = withdrawn or "The config has changed before it began."
            return replace(
                inputs,
                withdrawn=withdrawn,
                alert_over=self._alert_over(host, rule, state, request),
                in_force=self._in_force(host, rule),
            )

        self._acting += 1
        before, host.unsettled = host.unsettled, True
        try:
            with self._pool.lease(host.config) as client:
                bench = self._bench(host, client)
                result = await run_rule(bench, self._locks, config, rule, request, look)
        finally:
            self._acting -= 1
        # Without the journal what it has begun may have no outcome.
        lost = result.block is not None and result.block.guard is Guard.JOURNAL
        host.unsettled = before or lost
        self._tell(host, rule, result)
        with suppress(JournalError):
            await self.read_journal()
        return result.block

    def _in_force(self, host: HostState, rule: RemediationRule) -> InForce:
        """The config as it stands now, for an action of a rule that has begun on a host."""
        name = host.config.name
        now = self._hosts.get(name)
        if now is None or now.config.panel != host.config.panel:
            return InForce(self._config, None, f"{name} has left the config, or is another panel.")
        if not host.config.is_seen_like(now.config):
            # The plan rests on what somebody has put right meanwhile, such as `fields`.
            return InForce(self._config, None, f"{name} is read otherwise in the config now.")
        known = (each for each in self._config.rules if each.name == rule.name)
        return InForce(self._config, next((r for r in known if r.name in now.rules), None))

    def _alert_over(
        self, host: HostState, rule: RemediationRule, state: RuleState, request: Request
    ) -> str:
        """Why nobody wants any more what has begun for an alert; "" while anybody does.

        Another alert may ask for the same, or the rule itself have tripped.
        """
        incident = Incident.of(request.why)
        ended = self._ended.get((host.config.name, rule.name, incident.alert))
        if request.actor is not Actor.ALERTMANAGER or ended is None:
            return ""
        now = host.rules.get(rule.name, state)
        others = set(now.asked) - {key_of(request)}
        if not incident.is_over_with(ended) or others or now.clock.tripped:
            return ""
        return "The alert that asked for it was resolved."

    def _withdrawn(self, state: RuleState, request: Request) -> str:
        """Why a request counts no more, so that it must not begin; "" while it does."""
        if self._stopped:
            return "The daemon is ending."
        if request.actor is Actor.ALERTMANAGER and not state.is_asked(request):
            return "The alert that asked for it was resolved, or asks anew."
        if state.lapses:
            return "It was unwanted meanwhile, so that what a person has said of it counts no more."
        return ""

    async def _forehand(
        self, host: HostConfig, rule: RemediationRule, request: Request
    ) -> Block | None:
        """The guards, before anything is asked of the panel; this is done at each poll."""
        inputs = await self._situation(host, rule, request.actor, running=self._acting)
        # Whether an approval is missing is for the run, which asks for it.
        block = first_block(rule, self._config, inputs, approval=False)
        if block is not None or inputs.fleet is None:
            return block
        # From here to the run nothing else is let: what has begun may not be in the journal yet.
        limits, begun = self._config.limits, inputs.fleet.begun_this_hour
        if self._acting >= limits.actions_at_once:
            return Block(Guard.ACTIONS_AT_ONCE, "Another action has just begun.")
        if begun + self._acting >= limits.actions_per_hour:
            reason = "What is under way may be the last action that actions_per_hour allows."
            return Block(Guard.ACTIONS_PER_HOUR, reason)
        return None

    def _bench(self, host: HostState, client: PanelClient) -> HostContext:
        panel = host.config.panel

        async def poll(name: str) -> HostSnapshot:
            return await self._poll(name, panel)

        return HostContext(
            self.journal,
            client,
            self._decoder,
            poll,
            self._parallel,
            self._sleep,
            self._monotonic,
            self._alertmanagers,
            self._ends,
        )

    async def _situation(
        self, host: HostConfig, rule: RemediationRule, actor: Actor, *, running: int
    ) -> GuardInputs:
        hosts = self._hosts.values()
        fleet = Fleet(
            len(hosts),
            wanting=self.wanting(),
            unheard=sum(not other.heard and bool(other.rules) for other in hosts),
            running=running,
            skews=self._skews(),
        )
        return await guard_inputs(
            self.journal, self._config, host, rule, fleet, now=self._clock(), actor=actor
        )

    def _tell(self, host: HostState, rule: RemediationRule, result: Result) -> None:
        if result.outcome is not None:
            entry = result.outcome
            dry = entry.mode == "dry_run"
            log.warning(
                "a remediation rule would have acted" if dry else "a remediation rule has acted",
                host=host.config.name,
                rule=rule.name,
                mode=entry.mode,
                outcome=entry.outcome,
                what=entry.text,
            )

    async def _note(
        self,
        host: HostState,
        rule: RemediationRule,
        state: RuleState,
        request: Request,
        block: Block | None,
    ) -> None:
        """Count a block; write it down, and log it, unless it is as before."""
        key = key_of(request)
        before = state.block if state.block_key == key else None
        state.block, state.block_key = block, key
        if block is None or (self._stopped and request.actor is not Actor.RULE):
            return  # that the daemon ends is no answer to who asked
        if block.guard in _AFTER_LISTING:
            state.rest_until = self._monotonic() + LOOK_AGAIN
        self.projection.blocked(rule.name, block.guard)
        if not is_news(block, before):
            return
        name = host.config.name
        log.warning(
            "a remediation rule is held back",
            host=name,
            rule=rule.name,
            guard=block.guard.value,
            reason=block.reason,
        )
        entry = entry_of_block(host.config, rule, request, block)
        try:
            await self.journal.do(lambda journal: journal.add(entry))
        except JournalError as error:
            log.error("the journal cannot be written, so that nothing acts", problem=str(error))  # noqa: TRY400 - says it all
