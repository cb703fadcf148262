"""The metrics of remediation, made from what the journal says at each scrape: few series."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from exporter.journal.projection import JournalProjection
from exporter.metrics.samples import counter, gauge


class RemediationCollector(Collector):
    """Show a journal projection to prometheus-client."""

    def __init__(
        self, projection: JournalProjection, clock: Callable[[], float] = time.time
    ) -> None:
        self._projection = projection
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every family, also those without a sample yet."""
        projection = self._projection
        yield gauge(
            "brainycp_state_usable",
            "0 while the journal, or a file beside it, cannot be read, written or trusted, so that "
            "nothing acts.",
            [],
            [((), not projection.problem())],
        )
        yield gauge(
            "brainycp_remediation_paused",
            "1 while a pause file exists or a person has paused remediation.",
            [],
            [((), projection.paused)],
        )
        yield counter(
            "brainycp_remediation_actions",
            "Actions of rules by how they ended, counted from the journal.",
            ["host", "rule", "action", "outcome"],
            projection.outcomes.items(),
        )
        yield counter(
            "brainycp_remediation_blocked",
            "Times that a guard kept a rule from acting that wanted to, since the start.",
            ["rule", "guard"],
            projection.blocks.items(),
        )
        yield counter(
            "brainycp_remediation_removed_messages",
            "Messages that rules have removed, as seen by listing, counted from the journal.",
            ["host", "rule"],
            projection.removed.items(),
        )
        yield from self._last()

    def _last(self) -> Iterator[Metric]:
        projection = self._projection
        yield gauge(
            "brainycp_remediation_planned_messages",
            "Messages in the last plan of a rule on a host.",
            ["host", "rule"],
            projection.planned.items(),
        )
        yield gauge(
            "brainycp_remediation_waiting_approval_messages",
            "Messages on which a rule would act once a person approves it; 0 for a service.",
            ["host", "rule"],
            projection.waiting(self._clock()).items(),
        )
        yield gauge(
            "brainycp_remediation_stopped",
            "1 while a rule has stopped itself on a host, or cannot act there.",
            ["host", "rule"],
            ((key, 1) for key in projection.all_stopped()),
        )
        last = [
            (host, rule, at, outcome)
            for host, actions in projection.last.items()
            for rule, (at, outcome) in actions.items()
        ]
        yield gauge(
            "brainycp_remediation_last_action_timestamp_seconds",
            "Unix time at which the last action of a rule on a host ended.",
            ["host", "rule"],
            (((host, rule), at) for host, rule, at, _ in last),
        )
        yield gauge(
            "brainycp_remediation_last_outcome",
            "1 for how the last action of a rule on a host ended.",
            ["host", "rule", "outcome"],
            (((host, rule, outcome), 1) for host, rule, _, outcome in last),
        )
