"""A storm of frozen bounces is purged, and nothing else is touched."""

from __future__ import annotations

import pytest

from exporter.journal import Kind
from exporter.panel.protocol import Operation
from exporter.standin.panel import PanelOptions
from exporter.standin.replies import ListShape, ReplyStyle
from tests.fixtures.standin import PanelServer, ServePanel
from tests.remediation.conftest import (
    DAY,
    HOUR,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    message,
    operations,
    rule,
    spool_files,
)
from tests.servers.exim import EximQueue

STORM = rule(
    name="purge-frozen-storm",
    when=["queue_frozen_messages > 20", "queue_oldest_message_age_seconds > 1d"],
    select={"frozen": True, "bounce": True, "older_than": "1d", "limit": 5000},
    verify={"within": "1s", "expect": ["queue_frozen_messages < 5"]},
)
LABELS = {"host": "mx1", "rule": "purge-frozen-storm"}


@pytest.mark.parametrize("shape", ["objects", "exim_arrays", "console_text"])
async def test_a_storm_of_frozen_bounces_is_purged_and_other_mail_stays(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue, shape: ListShape
) -> None:
    panel = await serve_panel(queue, PanelOptions(style=ReplyStyle(shape=shape)))
    bounces = freeze(queue, 40)
    others = [
        message(queue, 101, sender="ann@example.org", age=3 * DAY),
        message(queue, 102, age=2 * HOUR),
        message(queue, 103, frozen=False),
        message(queue, 104, sender="bob@example.org", frozen=False, age=60),
    ]
    queue.put(others)
    before = {each.id: spool_files(queue, each.id) for each in others}
    assert [sorted(files) for files in before.values()] == [
        [f"{each.id}-D", f"{each.id}-H"] for each in others
    ]

    keys = config(panel, rules=[STORM])
    if shape == "exim_arrays":
        # Positions are only guessed until a person confirms them.
        places = {"age": 0, "size": 1, "id": 2, "sender": 3, "frozen": 3, "recipients": 4}
        keys["hosts"][0]["fields"] = places
    site = await start_site(keys)

    assert {each.id: spool_files(queue, each.id) for each in others} == before
    assert sorted(each.id for each in await queue.messages()) == sorted(before)
    assert sorted(ids_asked(panel)) == sorted(bounces)
    assert set(operations(panel)) == {Operation.CONTROL}

    intent, *replies, outcome = site.journal()
    assert (intent.kind, intent.mode, intent.actor) == (Kind.INTENT, "enforce", "rule")
    assert intent.detail["why"] == {
        "queue_frozen_messages > 20": 42,
        "queue_oldest_message_age_seconds > 1d": 3 * DAY,
    }
    assert sorted(site.plan(intent)) == sorted(bounces)
    assert {(each.kind, each.outcome, each.run) for each in replies} == {
        (Kind.REPLY, "removed", intent.run)
    }
    assert sorted(str(each.detail["id"]) for each in replies) == sorted(bounces)
    assert (outcome.kind, outcome.outcome, outcome.run) == (Kind.OUTCOME, "ok", intent.run)
    assert outcome.text == "40 of 40 messages are gone."
    assert outcome.detail["removed"] == 40

    left = await queue.count()
    assert await site.running.value("queue_messages", host="mx1") == left == 4
    assert await site.running.value("queue_frozen_messages", host="mx1") == 2
    for _ in range(2):
        assert await site.outcomes(**LABELS, action="purge_frozen", outcome="ok") == 1
        assert await site.metric("removed_messages_total", **LABELS) == 40
        assert await site.metric("last_outcome", **LABELS, outcome="ok") == 1
        assert await site.metric("planned_messages", **LABELS) == 40
    assert await site.metric("last_action_timestamp_seconds", **LABELS) == outcome.at

    await site.look()
    assert site.journal() == [intent, *replies, outcome], "the condition holds no longer"
    assert len(ids_asked(panel)) == 40


async def test_below_the_threshold_nothing_happens(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 20)
    site = await start_site(config(panel, rules=[STORM]))
    await site.look()
    assert site.journal() == []
    assert changing(panel) == []
    assert await queue.count() == 20


async def test_all_frozen_mail_goes_in_one_request(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8) + freeze(queue, 2, first=20, sender="ann@example.org", age=60)

    site = await start_site(config(panel, rules=[rule()]))

    assert operations(panel) == [Operation.DELETE_FROZEN]
    intent, reply, outcome = site.journal()
    assert sorted(site.plan(intent)) == sorted(frozen)
    assert (reply.kind, reply.outcome) == (Kind.REPLY, "done")
    assert (outcome.outcome, outcome.detail["removed"]) == ("ok", 10)
    assert await queue.count() == 0


async def test_all_frozen_mail_goes_by_id_where_other_mail_might_freeze(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8)
    freeze(queue, 3, first=30, frozen=False)
    site = await start_site(config(panel, rules=[rule()]))
    assert sorted(ids_asked(panel)) == sorted(frozen)
    assert operations(panel) == [Operation.CONTROL] * 8
    assert site.story()[-1] == ("outcome", "ok")
    assert await queue.count() == 3


async def test_some_frozen_mail_goes_by_id(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    old, young = freeze(queue, 8), freeze(queue, 2, first=20, age=60)
    select = {"frozen": True, "bounce": True, "older_than": "1d"}

    site = await start_site(config(panel, rules=[rule(select=select)]))

    assert sorted(ids_asked(panel)) == sorted(old)
    assert operations(panel) == [Operation.CONTROL] * 8
    assert sorted(each.id for each in await queue.messages()) == sorted(young)
    assert site.story() == [("intent", ""), *[("reply", "removed")] * 8, ("outcome", "ok")]


async def test_a_selector_that_happens_to_mean_all_frozen_mail_goes_by_id(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    select = {"frozen": True, "bounce": True, "older_than": "1d"}
    site = await start_site(config(panel, rules=[rule(select=select)]))
    assert operations(panel) == [Operation.CONTROL] * 8
    assert site.story()[-1] == ("outcome", "ok")
    assert await queue.count() == 0


async def test_the_limit_takes_the_oldest(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    old, older = freeze(queue, 6), freeze(queue, 4, first=20, age=3 * DAY)
    select = {"frozen": True, "limit": 4}
    site = await start_site(config(panel, rules=[rule(select=select)]))
    assert sorted(ids_asked(panel)) == sorted(older)
    assert sorted(each.id for each in await queue.messages()) == sorted(old)
    assert site.story()[-1] == ("outcome", "ok")


async def test_purge_all_takes_every_message_in_one_request(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    every = freeze(queue, 8) + freeze(queue, 3, first=30, frozen=False)
    site = await start_site(config(panel, rules=[rule(action="purge_all")]))
    assert operations(panel) == [Operation.DELETE_ALL]
    assert "dellete_forse" not in changing(panel)[0].fields
    assert sorted(site.plan(site.journal()[0])) == sorted(every)
    assert site.story() == [("intent", ""), ("reply", "done"), ("outcome", "ok")]
    assert await queue.count() == 0
