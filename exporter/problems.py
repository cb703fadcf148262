"""What is wrong with a host, in lines for a person."""

from __future__ import annotations

from exporter.snapshot import QUEUE, QueueState, ServiceState
from exporter.store import HostRecord


def problems(record: HostRecord) -> list[str]:
    """One line for each thing that needs somebody, of the host's last poll; [] when all is well."""
    if record.latest is None:
        return []
    failures = [(r.collector, r.failure) for r in record.latest.results if r.failure]
    if len(failures) > 1 and len({failure for _, failure in failures}) == 1:
        failure = failures[0][1]  # one cause for all of them is told once
        lines = [failure.sentence]
    else:
        lines = [f"{name}: {failure.sentence}" for name, failure in failures]
    for result in record.latest.results:
        state = result.value
        if isinstance(state, ServiceState) and state.installed and not state.running:
            lines.append(f"{result.collector} {state.words}.")
        if result.collector == QUEUE and isinstance(result.value, QueueState):
            lines += _queue_problems(result.value)
    return lines


def _queue_problems(queue: QueueState) -> list[str]:
    if queue.stats is None:
        return ["The queue is above poll.queue_detail_limit, so its messages were not listed."]
    if queue.messages and not queue.stats.listed:
        told = f"count_msg tells {queue.messages} messages and list_msg lists none"
        return [f"{told}, so nothing is known of them; `diagnose` tells more."]
    lines = []
    if queue.unlisted:
        told = f"count_msg tells {queue.messages} messages and list_msg lists {queue.stats.listed}"
        lines.append(f"{told}: of the others nothing is known; `diagnose` tells more.")
    if queue.stats.unparsed:
        share = f"{queue.stats.unparsed} of {queue.stats.listed} rows"
        lines.append(f"{share} of list_msg were not understood; `diagnose` shows them.")
    understood = queue.stats.listed - queue.stats.unparsed
    untold = [name for name, count in queue.stats.lacking if count == understood]
    if untold:
        lines.append(f"list_msg does not tell {', '.join(untold)}; `diagnose` tells more.")
    return lines
