"""The metrics of remediation, made from what the journal says at each scrape: few series."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.journal.projection import JournalProjection
from exporter.metrics.samples import filled


class RemediationCollector(Collector):
    """Show a journal projection to prometheus-client."""

    def __init__(
        self, projection: JournalProjection, clock: Callable[[], float] = time.time
    ) -> None:
        self._projection = projection
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Every family, also those without a sample yet."""
        projection = self._projection
        yield GaugeMetricFamily(
            "brainycp_state_usable",
            "0 while the journal, or a file beside it, cannot be read, written or trusted, so that "
            "nothing acts.",
            value=float(not projection.problem()),
        )
        yield GaugeMetricFamily(
            "brainycp_remediation_paused",
            "1 while a pause file exists or a person has paused remediation.",
            value=float(projection.paused),
        )
        yield filled(
            CounterMetricFamily(
                "brainycp_remediation_actions",
                "Actions of rules by how they ended, counted from the journal.",
                labels=["host", "rule", "action", "outcome"],
            ),
            projection.outcomes.items(),
        )
        yield filled(
            CounterMetricFamily(
                "brainycp_remediation_blocked",
                "Times that a guard kept a rule from acting that wanted to, since the start.",
                labels=["rule", "guard"],
            ),
            projection.blocks.items(),
        )
        yield filled(
            CounterMetricFamily(
                "brainycp_remediation_removed_messages",
                "Messages that rules have removed, as seen by listing, counted from the journal.",
                labels=["host", "rule"],
            ),
            projection.removed.items(),
        )
        yield from self._last()

    def _last(self) -> Iterator[Metric]:
        projection = self._projection
        yield filled(
            GaugeMetricFamily(
                "brainycp_remediation_planned_messages",
                "Messages in the last plan of a rule on a host.",
                labels=["host", "rule"],
            ),
            projection.planned.items(),
        )
        yield filled(
            GaugeMetricFamily(
                "brainycp_remediation_waiting_approval_messages",
                "Messages on which a rule would act once a person approves it; 0 for a service.",
                labels=["host", "rule"],
            ),
            projection.waiting(self._clock()).items(),
        )
        yield filled(
            GaugeMetricFamily(
                "brainycp_remediation_stopped",
                "1 while a rule has stopped itself on a host, or cannot act there.",
                labels=["host", "rule"],
            ),
            ((key, 1) for key in projection.all_stopped()),
        )
        last = [
            (host, rule, at, outcome)
            for host, actions in projection.last.items()
            for rule, (at, outcome) in actions.items()
        ]
        yield filled(
            GaugeMetricFamily(
                "brainycp_remediation_last_action_timestamp_seconds",
                "Unix time at which the last action of a rule on a host ended.",
                labels=["host", "rule"],
            ),
            (((host, rule), at) for host, rule, at, _ in last),
        )
        yield filled(
            GaugeMetricFamily(
                "brainycp_remediation_last_outcome",
                "1 for how the last action of a rule on a host ended.",
                labels=["host", "rule", "outcome"],
            ),
            (((host, rule, outcome), 1) for host, rule, _, outcome in last),
        )
