"""What becomes of single messages: retried, locked, already gone."""

from __future__ import annotations

from functools import partial

from exporter.journal import Kind
from exporter.panel.protocol import MessageCommand, Operation
from tests.fixtures.standin import PanelServer, held
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    message,
    rule,
)
from tests.remediation.mischief import CONTROL, meanwhile
from tests.servers.exim import EximQueue


def replies(site: Site) -> dict[str, str]:
    """What the panel answered for each message, by the journal."""
    return {str(each.detail["id"]): each.outcome for each in site.journal(Kind.REPLY)}


async def test_retry_delivers_a_held_message(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    good = message(queue, 1, sender="ann@example.org", recipients=("bob@ok.test",))
    bad = message(queue, 2, sender="ann@example.org", recipients=("bob@example.net",))
    other = message(queue, 3, sender="eve@example.org", recipients=("bob@ok.test",))
    queue.put([good, bad, other])
    retry = rule(
        when=["queue_frozen_messages > 0"],
        action="retry",
        select={"frozen": True, "sender": "ann@*"},
        verify={"within": "1s", "expect": ["queue_messages < 3"]},
    )

    site = await start_site(config(panel, rules=[retry]))

    assert sorted(ids_asked(panel)) == sorted([good.id, bad.id])
    assert {each.fields["command"] for each in changing(panel)} == {MessageCommand.RESHIP}
    left = {each.id: each.frozen for each in await queue.messages()}
    assert left == {bad.id: False, other.id: True}, "a try thaws what it does not deliver"
    intent, *_, outcome = site.journal()
    assert sorted(site.plan(intent)) == sorted([good.id, bad.id])
    assert replies(site) == {good.id: "done", bad.id: "done"}
    assert (outcome.action, outcome.outcome) == ("retry", "ok")
    assert outcome.text == "1 of 2 messages left the queue."
    assert await site.metric("removed_messages_total", host="mx1", rule="purge") in {None, 0}


async def test_a_locked_message_is_reported_and_stays(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    locked, *others = freeze(queue, 8)
    with held(queue, locked):
        site = await start_site(config(panel, rules=[rule(**BY_ID)]))
    assert [each.id for each in await queue.messages()] == [locked]
    assert replies(site) == {locked: "locked", **dict.fromkeys(others, "removed")}
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.outcome == "verify_failed"
    assert outcome.text == "7 of 8 messages are gone (1 locked by a delivery)."
    assert (outcome.detail["removed"], outcome.detail["still_there"]) == (7, 1)
    assert await site.metric("removed_messages_total", host="mx1", rule="purge") == 7


async def test_a_locked_message_does_not_fail_what_verify_expects(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    locked, *_ = freeze(queue, 8)
    verify = {"within": "1s", "expect": ["queue_frozen_messages < 5"]}
    with held(queue, locked):
        site = await start_site(config(panel, rules=[rule(verify=verify)]))
    assert [each.operation for each in changing(panel)] == [Operation.DELETE_FROZEN]
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.outcome == "ok"
    assert outcome.text.startswith("7 of 8 messages are gone")
    assert [each.id for each in await queue.messages()] == [locked]


async def test_an_id_that_is_gone_already_is_no_failure(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    *others, gone = freeze(queue, 8)
    panel.panel.interfere = meanwhile(CONTROL, partial(queue.delete, gone))
    site = await start_site(config(panel, rules=[rule(**BY_ID)]))
    assert replies(site) == {gone: "gone", **dict.fromkeys(others, "removed")}
    (outcome,) = site.journal(Kind.OUTCOME)
    assert (outcome.outcome, outcome.text) == ("ok", "8 of 8 messages are gone.")
    assert await queue.count() == 0
