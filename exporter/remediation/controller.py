"""The control loop of remediation: after each poll those rules act that want to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace

import structlog

from exporter.alertmanager.client import AlertmanagerClient
from exporter.config.models import Config
from exporter.config.remediation import RemediationRule
from exporter.journal import Actor, Entry, Journal, JournalError
from exporter.journal.entries import Guard
from exporter.journal.host_lock import HostLocks
from exporter.journal.projection import JournalProjection
from exporter.journal.thread import JournalThread
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation import guards, requests
from exporter.remediation.approvals import expire
from exporter.remediation.context import HostContext
from exporter.remediation.execution import execute_rule
from exporter.remediation.fleet_state import FleetState
from exporter.remediation.follower import JournalFollower
from exporter.remediation.guard_inputs import GuardInputs, read_inputs
from exporter.remediation.guards import Block
from exporter.remediation.recovery import close_orphans, recover_unfinished
from exporter.remediation.requests import STANDS, Incident, Request, Taken
from exporter.remediation.rule_state import Asked, HostState, RuleState
from exporter.snapshot import HostSnapshot, PanelId

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class RemediationController:
    """Decides after each poll whether a rule may act; one action a host at a time."""

    journal: JournalThread
    """Where everything is written down."""
    pool: PanelPool
    decoder: QueueDecoder
    poll: Callable[[str, PanelId], Awaitable[HostSnapshot]]
    """Poll a host now if it is that panel still; the snapshot is no older than the call."""
    _: KW_ONLY
    projection: JournalProjection = field(default_factory=JournalProjection)
    """Counts what is written into the journal, and the blocks."""
    alertmanagers: Callable[[], Sequence[AlertmanagerClient]] = tuple
    """Asked about silences."""
    skews: Callable[[], Sequence[float]] = tuple
    """By how many seconds the panels' clocks are ahead of ours, where known; nothing acts where
    ours seems to be wrong."""
    clock: Callable[[], float] = time.time
    """Unix time."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds that have passed, whatever the clock is set to."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    fleet: FleetState = field(default_factory=FleetState, init=False)
    """Where every rule stands on every host."""
    follower: JournalFollower = field(init=False)
    _newest_before: int | None = field(default=None, init=False)
    """The last entry of the journal before this process was first asked for a rule."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    """Under way, also for hosts that have left the config."""

    def __post_init__(self) -> None:
        """Follow the journal, and lock hosts beside it."""
        self._locks = HostLocks(self.journal.path)
        self.follower = JournalFollower(
            self.journal, self.projection, self.clock, self.monotonic, self.sleep
        )

    def apply_config(self, config: Config) -> None:
        """Go by a config: rules and hosts that are as they were keep their timers."""
        self.fleet.apply_config(config)
        self.projection.panels = self.fleet.panels
        self.follower.config = config.remediation

    # --- what happens --------------------------------------------------------------------------

    def reconcile(self, snapshot: HostSnapshot) -> None:
        """Take in a poll's outcome; what wants to act is looked at in a task of its own."""
        fleet, name, now = self.fleet, snapshot.host, self.clock()
        host = fleet.hosts.get(name)
        if host is None or fleet.ends.is_set():
            return
        wanted = host.on_snapshot(snapshot, self.monotonic())
        expiring = host.expiring(lambda rule: self.projection.may_lapse((name, rule), now))
        free = host.task is None or host.task.done()
        open_ends = fleet.orphans or (host.unsettled and snapshot.ok)
        if free and (wanted or expiring or open_ends):
            host.task = asyncio.create_task(
                self._reconcile_host(host, wanted, expiring), name=f"remediation {name}"
            )
            self._tasks.add(host.task)
            host.task.add_done_callback(self._tasks.discard)

    async def ask(self, host_name: str, rule_name: str, request: Request) -> Taken:
        """Let a rule be looked at with the host's next poll, though it has not tripped.

        The request is written down first, and one that was written down before is not taken
        again: an alert may be sent repeatedly. But what an earlier process left without an answer
        is, since with that process it was forgotten; unless the host was another panel then, or
        the alert that asks was resolved.

        Raises:
            UnknownRuleError: there is no such rule for this host.
            JournalError: it could not be written down.
        """
        host, _ = self.fleet.demand(host_name, rule_name)
        entry = requests.asked_entry(host.config, rule_name, request)

        def write(journal: Journal) -> Taken:
            if self._newest_before is None:
                newest = journal.entries(newest=1)
                self._newest_before = newest[0].id if newest else 0
            return requests.record_request(journal, entry, self._newest_before)

        taken = await self.journal.do(write)
        if taken is not Taken.NEW:
            return taken
        # The journal may take its time: the alert may be resolved meanwhile, the host re-pointed.
        host, state = self.fleet.demand(host_name, rule_name)
        if self.fleet.is_resolved(host_name, rule_name, request.incident):
            return Taken.OVER
        if host.config.panel == entry.panel:
            asked = Asked(request, self.monotonic())
            host.update(state.rule, lambda state: state.on_request(asked))
        return taken

    async def withdraw(
        self, host_name: str, rule_name: str, incident: Incident, alert: str = ""
    ) -> None:
        """Forget what a resolved alert asked for, now and when it is sent again late.

        What other alerts ask for stays.

        Raises:
            JournalError: it could not be written down; a later process may take a late repeat.
        """
        host, state = self.fleet.find(host_name, rule_name)
        if host is not None and state is not None:
            self.fleet.resolve(host, state.rule, incident)
        panel = host.config.panel if host is not None else PanelId()
        entry = requests.withdrawn_entry(host_name, panel, rule_name, incident, alert)
        known, now = state is not None, self.clock()
        if not known and not await self.follower.in_use():
            return
        open_requests = await self.journal.do(
            lambda journal: requests.record_withdrawal(journal, entry, now, known_rule=known)
        )
        if not open_requests and host is not None and state is not None:
            host.update(state.rule, RuleState.on_withdrawal)

    @property
    def idle(self) -> bool:
        """Whether no rule is evaluated, and no action is under way."""
        return not self._tasks

    async def wait_idle(self) -> None:
        """Wait until no rule is evaluated, and no action is under way."""
        while self._tasks:
            await asyncio.wait([*self._tasks])

    def end(self) -> None:
        """Begin nothing more, and send no further message; what is under way comes to its end."""
        self.fleet.ends.set()

    async def stop(self, grace: float) -> None:
        """End, and cut off after `grace` seconds what is still awaited of a panel.

        That is replies, and the list after them; the next start settles it by listing.
        """
        self.end()
        under_way = list(self._tasks)
        if under_way and grace > 0:
            await asyncio.wait(under_way, timeout=grace)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    # --- one host ------------------------------------------------------------------------------

    async def _reconcile_host(
        self,
        host: HostState,
        wanted: Sequence[tuple[RemediationRule, Request]],
        expiring: Sequence[RemediationRule],
    ) -> None:
        try:
            await self._expire(host, expiring)
            if self.fleet.orphans:
                await self._close_orphans()
            if host.unsettled:
                await self._recover(host)
            for rule, request in wanted:
                # The rule before it may have taken minutes: what was so by then need not be now.
                state = self.fleet.state_of(host, rule)
                if state is not None and state.is_asked(request):
                    await self._act_on_request(host, rule, request)
                elif state and request.actor is Actor.RULE and state.may_act(self.monotonic()):
                    await self._act(host, rule, request)
        except Exception:
            # A bug must not end the daemon, and what is not known is not acted on.
            log.exception("a bug in the exporter ended a remediation", host=host.config.name)

    async def _expire(self, host: HostState, rules: Sequence[RemediationRule]) -> None:
        """End what rules ask a person for; tried again with the next poll, whatever that says."""
        if not rules:
            return

        def write(journal: Journal) -> None:
            for rule in rules:
                expire(journal, host.config, rule)

        with suppress(JournalError):
            await self.journal.do(write)
            for rule in rules:
                host.update(rule, lambda state: replace(state, expires=False))
            await self.follower.read_journal()

    async def _close_orphans(self) -> None:
        """Close what was left on panels that left the config; tried again with the next poll."""
        fleet = self.fleet
        fleet.orphans = False
        try:
            if await self.follower.in_use():
                fleet.orphans = not await close_orphans(self.journal, self._locks, fleet.panels)
                await self.follower.read_journal()
        except JournalError:
            fleet.orphans = True

    async def _recover(self, host: HostState) -> None:
        """Settle what an earlier process left; tried again with the next poll until it is known."""
        try:
            if not await self.follower.in_use():
                host.unsettled = False
                return
            if not self.fleet.has(host):
                return
            with (
                self._locks.hold(host.config.panel.url),
                self.pool.lease(host.config) as client,
            ):
                recovered = await recover_unfinished(self._context(host, client))
            if recovered:
                await self.follower.read_journal()
        except guards.ERRORS:
            return
        host.unsettled = False

    async def _act_on_request(
        self, host: HostState, rule: RemediationRule, request: Request
    ) -> None:
        """Let a rule act that was asked for, or keep the request for the next poll."""
        stands = False
        try:
            block = await self._act(host, rule, request)
            lasts = 0.0 if block is None else STANDS.get(block.guard, 0.0)
            state = host.state_of(rule)
            asked = state.asked.get(request.key) if state is not None else None
            stands = asked is not None and self.monotonic() < asked.at + lasts
        finally:
            if not stands:
                host.update(rule, lambda state: state.on_answer(request))

    async def _act(self, host: HostState, rule: RemediationRule, request: Request) -> Block | None:
        """Let a rule act if no guard blocks; return the block of the one that does."""
        fleet = self.fleet
        inputs = await self._inputs(host, rule, request)
        # Whether an approval is missing is for the execution, which asks for it.
        block = guards.first_block(rule, fleet.config, inputs, approval=False)
        # From here on nothing else is let: what has begun may not be in the journal yet.
        block = block or guards.begun_meanwhile(fleet.config, inputs, fleet.acting)
        state = fleet.state_of(host, rule)
        if block is None and state is None:
            return None
        if block is None and request.actor is Actor.RULE and state and state.guessed:
            block = guards.conditions_guessed(host.config.name, state.guessed, request.why)
        if block is None:
            block = await self._execute(host, rule, request)
        await self._hold(host, rule, request, block)
        return block

    async def _execute(
        self, host: HostState, rule: RemediationRule, request: Request
    ) -> Block | None:
        """Let a rule act by the config in force; return what held it back after all."""
        fleet, config = self.fleet, self.fleet.config

        async def inputs() -> GuardInputs:
            known = await self._inputs(host, rule, request)
            return replace(
                known,
                running=0,
                withdrawn=fleet.withdrawn(host, rule, request, config),
                alert_over=fleet.alert_over(host, rule, request),
                in_force=fleet.in_force(host, rule),
            )

        fleet.acting += 1
        before, host.unsettled = host.unsettled, True
        try:
            with self.pool.lease(host.config) as client:
                context = self._context(host, client)
                result = await execute_rule(context, config, rule, request, inputs)
        finally:
            fleet.acting -= 1
        # Without the journal what it has begun may have no outcome.
        lost = result.block is not None and result.block.guard is Guard.JOURNAL
        host.unsettled = before or lost
        if result.outcome is not None:
            _log_outcome(result.outcome)
        with suppress(JournalError):
            await self.follower.read_journal()
        return result.block

    def _context(self, host: HostState, client: PanelClient) -> HostContext:
        name, panel = host.config.name, host.config.panel
        return HostContext(
            self.journal,
            self._locks,
            client,
            self.decoder,
            lambda: self.poll(name, panel),
            self.fleet.parallel,
            self.sleep,
            self.monotonic,
            self.alertmanagers,
            self.fleet.ends,
        )

    async def _inputs(
        self, host: HostState, rule: RemediationRule, request: Request
    ) -> GuardInputs:
        known = self.fleet.inputs(self.clock(), self.skews(), request.actor)
        return await read_inputs(self.journal, self.fleet.config, host.config, rule, known)

    async def _hold(
        self, host: HostState, rule: RemediationRule, request: Request, block: Block | None
    ) -> None:
        """Count a block; write it down, and log it, unless it is as before."""
        state, now = host.state_of(rule), self.monotonic()
        host.update(rule, lambda state: state.on_attempt(request, block, now))
        if block is None or (self.fleet.ends.is_set() and request.actor is not Actor.RULE):
            return  # that the daemon ends is no answer to what was asked
        self.projection.blocked(rule.name, block.guard)
        if state is not None and not state.held.is_news(request, block):
            return
        log.warning(
            "a remediation rule is held back",
            host=host.config.name,
            rule=rule.name,
            guard=block.guard.value,
            reason=block.reason,
        )
        entry = requests.blocked_entry(host.config, rule, request, block)
        try:
            await self.journal.do(lambda journal: journal.add(entry))
        except JournalError as error:
            log.error("the journal cannot be written, so that nothing acts", problem=str(error))  # noqa: TRY400 - says it all


def _log_outcome(entry: Entry) -> None:
    dry = entry.mode == "dry_run"
    log.warning(
        "a remediation rule would have acted" if dry else "a remediation rule has acted",
        host=entry.host,
        rule=entry.rule,
        mode=entry.mode,
        outcome=entry.outcome,
        what=entry.text,
    )
