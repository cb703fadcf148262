"""Rules that wait for a person: what was seen is what is acted on, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporter.journal import Entry, JournalError, Kind
from exporter.panel.protocol import Operation
from exporter.remediation import controller as controller_module
from exporter.standin.panel import Answer, RecordedRequest
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    operations,
    panel_of,
    rule,
    write_journal,
)
from tests.remediation.mischief import Hold, later, of
from tests.servers.exim import EximQueue

LABELS = {"host": "mx1", "rule": "purge"}


async def start(start_site: StartSite, panel: PanelServer, **keys: Any) -> Site:
    return await start_site(config(panel, rules=[rule(approval="required", **keys)]))


def answer(site: Site, kind: Kind) -> None:
    """What a person says to the last request."""
    request = site.journal(Kind.APPROVAL_REQUESTED)[-1]
    said = replace(request, kind=kind, actor="person:ann", text="By Ann.")
    write_journal(site.path, said)


async def test_it_asks_once_and_waits(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8)
    site = await start(start_site, panel)
    request, block = site.journal()
    assert request.kind is Kind.APPROVAL_REQUESTED
    assert request.text == "Asks to delete 8 messages (frozen)."
    assert sorted(site.plan(request)) == sorted(frozen)
    assert (block.kind, block.outcome) == (Kind.BLOCKED, "approval")
    assert await site.metric("waiting_approval_messages", **LABELS) == 8

    asked = len(panel.panel.requests)
    await site.look()
    assert len(panel.panel.requests) == asked + 2, "no list beside that of the poll"
    assert site.journal() == [request, block]
    assert changing(panel) == []
    assert await queue.count() == 8
    assert await site.blocked("approval") == 2


async def test_approved_it_acts_on_what_the_person_saw_alone(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    seen = freeze(queue, 8)
    site = await start(start_site, panel)
    late = freeze(queue, 4, first=20)
    answer(site, Kind.APPROVED)
    await site.look()

    assert operations(panel) == [Operation.CONTROL] * 8
    assert sorted(ids_asked(panel)) == sorted(seen)
    assert sorted(each.id for each in await queue.messages()) == sorted(late)
    (intent,) = site.journal(Kind.INTENT)
    assert sorted(site.plan(intent)) == sorted(seen)
    assert intent.detail["approval"] is True
    (outcome,) = site.journal(Kind.OUTCOME)
    assert (outcome.outcome, outcome.text) == ("ok", "8 of 8 messages are gone.")
    assert await site.metric("waiting_approval_messages", **LABELS) is None


async def test_an_approval_to_retry_is_none_to_delete(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel, **{**BY_ID, "action": "retry"})
    answer(site, Kind.APPROVED)
    await site.end()
    again = await start(start_site, panel, **BY_ID)
    await again.look()
    assert changing(panel) == []
    assert again.blocks()[-1] == "approval"
    assert await queue.count() == 8


async def test_approved_it_goes_by_id_though_it_is_all_frozen_mail(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel)
    answer(site, Kind.APPROVED)
    await site.look()
    assert operations(panel) == [Operation.CONTROL] * 8, "what freezes by then was not seen"
    assert await queue.count() == 0
    assert site.story() == [
        ("approval_requested", ""),
        ("blocked", "approval"),
        ("approved", ""),
        ("intent", ""),
        *[("reply", "removed")] * 8,
        ("outcome", "ok"),
    ]


async def test_of_what_was_approved_only_what_is_still_meant(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    thawed, *seen = freeze(queue, 8)
    site = await start(start_site, panel)
    await queue.thaw(thawed)
    answer(site, Kind.APPROVED)
    await site.look()
    assert operations(panel) == [Operation.CONTROL] * 7
    assert sorted(site.plan(site.journal(Kind.INTENT)[0])) == sorted(seen)
    assert [each.id for each in await queue.messages()] == [thawed]


async def test_an_approval_is_used_once(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel, cooldown="1ms", **BY_ID)
    answer(site, Kind.APPROVED)
    await site.look()
    assert await queue.count() == 0
    freeze(queue, 8, first=20)
    await site.look()
    assert len(changing(panel)) == 8
    assert await queue.count() == 8
    assert site.story()[-2:] == [("approval_requested", ""), ("blocked", "approval")]


async def test_an_approval_of_all_does_not_cover_what_came_later(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel, action="purge_all")
    freeze(queue, 1, first=20, frozen=False)
    answer(site, Kind.APPROVED)
    await site.look()
    assert changing(panel) == []
    assert await queue.count() == 9
    assert site.journal()[-1].text == "The queue holds messages that the person has not seen."


async def test_rejected(start_site: StartSite, panel: PanelServer, queue: EximQueue) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel)
    answer(site, Kind.REJECTED)
    for _ in range(2):
        await site.look()
    assert changing(panel) == []
    assert await queue.count() == 8
    assert not site.journal(Kind.INTENT)
    reasons = [each.text for each in site.journal(Kind.BLOCKED)]
    assert reasons == ["It waits for a person to approve it.", "A person rejected it."]
    assert await site.metric("waiting_approval_messages", **LABELS) is None
    assert await site.blocked("approval") == 3


async def test_an_approval_outlives_a_restart(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    seen = freeze(queue, 8)
    site = await start(start_site, panel)
    await site.end()
    freeze(queue, 2, first=20)
    answer(site, Kind.APPROVED)
    await start(start_site, panel)
    assert sorted(ids_asked(panel)) == sorted(seen)
    assert site.story()[-1] == ("outcome", "ok")


async def test_an_approval_that_was_used_while_the_plan_was_made_counts_no_more(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel, cooldown="1ms")
    answer(site, Kind.APPROVED)
    hold = panel.panel.interfere = Hold(of(Operation.LIST), skip=2)
    await site.running.poll("mx1")
    await hold.wait()
    used = Entry(
        Kind.INTENT,
        "a" * 32,
        panel=panel_of(panel),
        host="mx1",
        rule="purge",
        detail={"approval": True},
    )
    write_journal(site.path, used)
    write_journal(site.path, replace(used, kind=Kind.OUTCOME, outcome="ok", detail={}))
    hold.let_go.set()
    await site.quiet()
    assert changing(panel) == []
    assert site.story()[-1] == ("outcome", "ok"), "that of the other; the block is as before"
    assert await site.blocked("approval") == 2


async def test_it_asks_anew_once_a_person_has_let_it_act_by_hand(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """What it asked for was done, and of another storm a person must hear."""
    freeze(queue, 8)
    site = await start(start_site, panel, cooldown="1ms")
    by_hand = Entry(
        Kind.INTENT, "a" * 32, panel=panel_of(panel), host="mx1", rule="purge", mode="enforce"
    )
    write_journal(site.path, by_hand)
    write_journal(site.path, replace(by_hand, kind=Kind.OUTCOME, outcome="ok"))
    assert await site.metric("waiting_approval_messages", **LABELS) is None
    await site.look()
    assert site.story()[-1] == ("approval_requested", "")
    assert await site.metric("waiting_approval_messages", **LABELS) == 8
    assert changing(panel) == []


async def thaw(queue: EximQueue, ids: Sequence[str]) -> None:
    for each in ids:
        await queue.thaw(each)


@pytest.mark.parametrize("said", [None, Kind.APPROVED])
async def test_what_it_asked_for_lapses_once_its_conditions_have_passed(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, said: Kind | None
) -> None:
    """An approval of this storm is none of the next one."""
    frozen = freeze(queue, 8)
    site = await start(start_site, panel)
    if said is not None:
        answer(site, said)
    await thaw(queue, frozen)
    await site.look()
    lapsed = site.journal()[-1]
    word = "requested" if said is None else "approved"
    assert (lapsed.kind, lapsed.text) == (Kind.LAPSED, f"What was {word} is not wanted any more.")
    assert await site.metric("waiting_approval_messages", **LABELS) is None
    await site.look()
    assert site.journal()[-1] == lapsed

    freeze(queue, 8, first=20)
    await site.look()
    assert changing(panel) == []
    assert site.story()[-2:] == [("approval_requested", ""), ("blocked", "approval")]
    assert await site.metric("waiting_approval_messages", **LABELS) == 8


async def test_an_approval_lapses_also_when_only_the_poll_of_the_run_finds_it_unwanted(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """By the next poll there is another storm: the end of this one must not be missed."""
    frozen = freeze(queue, 8)
    site = await start(start_site, panel)
    answer(site, Kind.APPROVED)
    is_second = later(of(Operation.LIST), skip=1)

    async def pass_by(request: RecordedRequest, ask: Answer) -> web.Response:
        if is_second(request):
            await thaw(queue, frozen)
        return await ask()

    panel.panel.interfere = pass_by
    await site.look()
    assert site.story()[-1] == ("blocked", "condition")
    panel.panel.interfere = None
    await queue.freeze(*frozen)
    await site.look()
    assert site.story()[-1] == ("approval_lapsed", "")
    assert changing(panel) == []


async def test_an_approval_that_could_not_be_ended_is_not_acted_on(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal cannot be written when this storm ends, and can be in the next one."""
    frozen = freeze(queue, 8)
    site = await start(start_site, panel)
    answer(site, Kind.APPROVED)

    def fails(*_: object) -> None:
        raise JournalError("It cannot be written.")

    with monkeypatch.context() as patch:
        patch.setattr(controller_module, "expire", fails)
        await thaw(queue, frozen)
        await site.look()
        await queue.freeze(*frozen)
        await site.look()
        assert changing(panel) == []
        assert site.blocks()[-1] == "condition"
    await site.look()
    assert site.story()[-1] == ("approval_lapsed", "")
    assert changing(panel) == []


async def test_a_poll_that_cannot_tell_lets_nothing_lapse(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel)
    before = site.journal()
    panel.panel.options = replace(panel.panel.options, closed=True)
    await site.look()
    assert site.journal() == before
    assert await site.metric("waiting_approval_messages", **LABELS) == 8


async def test_a_rejection_outlasts_its_conditions(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8)
    site = await start(start_site, panel)
    answer(site, Kind.REJECTED)
    await thaw(queue, frozen)
    await site.look()
    freeze(queue, 8, first=20)
    await site.look()
    assert changing(panel) == []
    assert not site.journal(Kind.LAPSED)
    assert site.journal()[-1].text == "A person rejected it."


async def test_an_approved_rule_is_still_held_back_by_the_other_guards(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, 8)
    keys = config(panel, rules=[rule(approval="required")], remediation={"pause_file": "pause"})
    site = await start_site(keys)
    answer(site, Kind.APPROVED)
    (tmp_path / "pause").touch()
    await site.look()
    assert changing(panel) == []
    assert site.blocks() == ["approval", "pause"]


@pytest.mark.parametrize("mode", ["off", "dry_run"])
async def test_an_approval_does_not_change_the_mode(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, mode: str
) -> None:
    freeze(queue, 8)
    site = await start(start_site, panel)
    await site.end()
    answer(site, Kind.APPROVED)
    keys = config(panel, rules=[rule(approval="required")], remediation={"mode": mode})
    again = await start_site(keys)
    assert changing(panel) == []
    assert await queue.count() == 8
    assert again.story()[-1] == (("blocked", "mode") if mode == "off" else ("outcome", "dry_run"))
