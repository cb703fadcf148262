"""Where all rules stand on all hosts by the config in force, and what that means for an action."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.config.models import Config
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal import Actor
from exporter.remediation.guard_inputs import GuardInputs, InForce
from exporter.remediation.requests import Incident, Request
from exporter.remediation.rule_state import HostState, RuleState, apply_config
from exporter.snapshot import PanelId


class UnknownRuleError(Exception):
    """There is no such rule, or it is not for this host."""


@dataclass(slots=True)
class FleetState:
    """The hosts with their rules; pure but for the tasks that it keeps."""

    config: RemediationConfig = field(default_factory=RemediationConfig)
    hosts: dict[str, HostState] = field(default_factory=dict)
    panels: Mapping[str, PanelId] = field(default_factory=dict)
    """Of the hosts of the config, by name."""
    parallel: int = 1
    """Requests in flight to one panel."""
    orphans: bool = True
    """Whether actions may have no outcome yet on panels that have left the config."""
    resolved: dict[tuple[str, str, str], Incident] = field(default_factory=dict)
    """By host, rule and alert, its last incident that is known to be over."""
    acting: int = 0
    """Actions under way in this process."""
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once nothing more may begin, and no further message be sent."""

    def apply_config(self, config: Config) -> None:
        """Go by a config: rules and hosts that are as they were keep their timers."""
        self.hosts = apply_config(self.hosts, config)
        self.panels = {host.name: host.panel for host in config.hosts}
        self.orphans = True
        self.config = config.remediation
        self.parallel = config.poll.requests_per_host

    def find(self, host: str, rule: str) -> tuple[HostState | None, RuleState | None]:
        """Return a host, and a rule on it; None where there is none."""
        known = self.hosts.get(host)
        return known, known.rules.get(rule) if known else None

    def demand(self, host: str, rule: str) -> tuple[HostState, RuleState]:
        """Return a rule on a host.

        Raises:
            UnknownRuleError: there is no such rule for this host.
        """
        known, state = self.find(host, rule)
        if known is None or state is None:
            raise UnknownRuleError(f"There is no rule {rule} for a host {host}.")
        return known, state

    def rules_for(self, host: str) -> Collection[str]:
        """Return the names of the rules that are for a host."""
        known = self.hosts.get(host)
        return known.rules.keys() if known is not None else ()

    def states(self, host: str | None = None) -> Iterable[tuple[str, RuleState]]:
        """Yield every rule on every host that it is for, or on one, with the host's name."""
        for name, known in self.hosts.items():
            if host in {None, name}:
                yield from ((name, state) for state in known.rules.values())

    @property
    def wanting(self) -> int:
        """Hosts that want an action, or will by their next poll, as the storm brake counts them."""
        return sum(host.wants for host in self.hosts.values())

    def inputs(self, now: float, skews: Sequence[float], actor: Actor) -> GuardInputs:
        """Return what is known here of what the guards look at, at Unix time `now`."""
        hosts = self.hosts.values()
        unheard = sum(not host.heard and bool(host.rules) for host in hosts)
        return GuardInputs(now, len(hosts), self.wanting, unheard, self.acting, skews, actor)

    # --- for an action that is to begin, or has ------------------------------------------------

    def has(self, host: HostState) -> bool:
        """Return whether the config still has the host, even with other labels."""
        return self.hosts.get(host.config.name) is host

    def state_of(self, host: HostState, rule: RemediationRule) -> RuleState | None:
        """Return the state of a rule; None where the config has it for this host no more."""
        return host.state_of(rule) if self.has(host) else None

    def in_force(self, host: HostState, rule: RemediationRule) -> InForce:
        """Return the config as it stands now, for an action of a rule that has begun on a host."""
        name = host.config.name
        now = self.hosts.get(name)
        if now is None or now.config.panel != host.config.panel:
            return InForce(self.config, None, f"{name} has left the config, or is another panel.")
        if not host.config.is_seen_like(now.config):
            # The plan rests on what somebody has put right meanwhile, such as `fields`.
            return InForce(self.config, None, f"{name} is read otherwise in the config now.")
        known = self.config.rule(rule.name)
        return InForce(self.config, known if known and known.name in now.rules else None)

    def withdrawn(
        self,
        host: HostState,
        rule: RemediationRule,
        request: Request,
        began: RemediationConfig,
    ) -> str:
        """Return why a request counts no more, so that it must not begin; "" while it does."""
        if self.ends.is_set():
            return "The daemon is ending."
        state = self.state_of(host, rule)
        if state and request.actor is Actor.ALERTMANAGER and not state.is_asked(request):
            return "The alert that asked for it was resolved, or asks anew."
        if state and state.expires:
            return "It was unwanted meanwhile, so that what a person has said of it counts no more."
        if state is None or self.config != began:
            # What has begun goes on by its config; what has not might do more than the new one
            # allows.
            return "The config has changed before it began."
        return ""

    def alert_over(self, host: HostState, rule: RemediationRule, request: Request) -> str:
        """Return why nobody wants any more what has begun for an alert; "" while anybody does.

        Another alert may ask for the same, or the rule itself have tripped.
        """
        if request.actor is not Actor.ALERTMANAGER:
            return ""
        now = host.rules.get(rule.name)
        wanted = now is not None and (now.timer.tripped or set(now.asked) - {request.key})
        over = self.is_resolved(host.config.name, rule.name, request.incident) and not wanted
        return "The alert that asked for it was resolved." if over else ""

    def is_resolved(self, host: str, rule: str, incident: Incident) -> bool:
        """Return whether the alert of an incident is known to be over."""
        ended = self.resolved.get((host, rule, incident.alert))
        return ended is not None and incident.is_over_with(ended)

    def resolve(self, host: HostState, rule: RemediationRule, ended: Incident) -> None:
        """Forget at once what an alert has asked for that is over."""
        key = host.config.name, rule.name, ended.alert
        before = self.resolved.get(key)
        if before is None or not ended.is_over_with(before):
            self.resolved[key] = ended
        host.update(rule, lambda state: state.on_resolved(ended))
