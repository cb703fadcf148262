"""What the journal holds of rules and panels that the config has no more: a rename loses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.config.models import Config
from exporter.humanize import duration
from exporter.journal import Entry, Journal, RuleFacts

DAY = 86400.0

_APPROVALS = {
    "requested": "waits for approval",
    "approved": "is approved",
    "rejected": "was rejected",
}


@dataclass(frozen=True, slots=True)
class Lost:
    """What held a rule back, or let it act, on a panel, and does so no more by this config."""

    rule: str
    host: str
    """The name that it had."""
    panel: str
    """Its url; "" where an earlier version did not write it down."""
    what: str
    """The end of a sentence that begins with the rule."""
    why: str
    """Which part of it the config does not have."""

    def __str__(self) -> str:
        where = f"{self.host} ({self.panel})" if self.panel else self.host
        return (
            f"{self.rule} on {where} {self.what}. That counts no more, since {self.why}: "
            "to what was renamed, give the old name or url back, or see that it may begin anew."
        )


def lost_facts(journal: Journal, config: Config, now: float) -> list[Lost]:
    """Stops, approvals and actions of the last day that no rule of the config goes by.

    Raises:
        JournalError: it cannot be read.
    """
    found: dict[tuple[str, str], Lost] = {}
    for entry in journal.rules_known():
        whom = entry.rule, entry.panel.url or f"\0{entry.host}"
        if whom in found or not (why := _why_lost(config, entry)):
            continue
        facts = journal.rule_facts(entry.host, entry.rule, entry.panel)
        if what := " and ".join(_in_force(facts, now)):
            found[whom] = Lost(entry.rule, entry.host, entry.panel.url, what, why)
    return [found[whom] for whom in sorted(found)]


def _why_lost(config: Config, entry: Entry) -> str:
    """Why no rule goes by what an entry says; "" when one does."""
    rule = config.remediation.rule(entry.rule)
    if rule is None:
        return f"the config has no remediation rule {entry.rule}"
    url = entry.panel.url
    hosts = [h for h in config.hosts if (h.panel.url == url if url else h.name == entry.host)]
    if not hosts:
        return f"no host of the config {f'has the url {url}' if url else f'is {entry.host}'}"
    if not any(rule.hosts.matches(host.name, host.labels) for host in hosts):
        return f"{entry.rule} is not for {hosts[0].name} by its `hosts`"
    return ""


def _in_force(facts: RuleFacts, now: float) -> Iterator[str]:
    if facts.stopped:
        yield f"is stopped ({facts.stopped.rstrip('.')})"
    if facts.approval:
        yield _APPROVALS[facts.approval]
    if facts.last_begun is not None and abs(now - facts.last_begun) < DAY:
        ago = duration(max(0.0, now - facts.last_begun))
        yield f"acted {ago} ago, for which its cooldown and max_per_day count"
