"""What is wrong with a host, in lines for a person."""

from __future__ import annotations

import pytest

from exporter.fleet.store import HostRecord
from exporter.fleet.view import problems
from tests.builders import good, host, queue, snapshot, stats


@pytest.mark.parametrize(
    ("messages", "listed", "lines"),
    [
        (1000, 100, ["count_msg tells 1000 messages and list_msg lists 100: of the others"]),
        (1000, 900, []),
        (0, 5, []),
    ],
)
def test_a_list_that_is_cut_is_told(messages: int, listed: int, lines: list[str]) -> None:
    record = HostRecord(host("mx1"), 60, 3)
    record.add(snapshot(good("queue", queue(messages, stats=stats(listed=listed)))))
    told = problems(record)
    assert len(told) == len(lines)
    assert all(map(str.startswith, told, lines))
