"""The column and the label `host`, which the dashboard of one host does not need."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.source.tables import HOST_COLUMN, LabelColumn


def host_column(labels: Sequence[LabelColumn], *, of_one_host: bool) -> list[LabelColumn]:
    """These columns, after that of the host where there are several."""
    return [*labels] if of_one_host else [HOST_COLUMN, *labels]


def with_host(labels: str, *, of_one_host: bool) -> str:
    """These labels to aggregate to, and `host` where there are several."""
    return labels if of_one_host else f"host, {labels}"
