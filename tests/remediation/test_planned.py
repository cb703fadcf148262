"""What is acted on is what was planned, whatever changes between the list and the request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporter.journal import Entry, Kind
from exporter.panel.protocol import Operation
from exporter.remediation import acting, plan
from exporter.standin.panel import Answer, RecordedRequest
from exporter.standin.replies import count_reply, done, refusal
from tests.fixtures.alertmanager import NewAlertmanager, matcher
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    config,
    freeze,
    ids_asked,
    in_the_middle,
    message,
    one_at_a_time,
    operations,
    rule,
    spool_files,
    write_journal,
)
from tests.remediation.mischief import CONTROL, ENGLISH, is_change, meanwhile, of, said
from tests.servers.exim import EximQueue

LIST = of(Operation.LIST)


def outcome(site: Site) -> Entry:
    (entry,) = site.journal(Kind.OUTCOME)
    return entry


def replies(site: Site) -> dict[str, str]:
    return {str(each.detail["id"]): each.outcome for each in site.journal(Kind.REPLY)}


async def removed(site: Site) -> float | None:
    return await site.metric("removed_messages_total", host="mx1", rule="purge")


@pytest.fixture
def each_its_own_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a panel that takes longer over one message than a list counts as fresh."""
    monkeypatch.setattr(acting, "BATCH", 0.0)


# --- plan and queue -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "select",
    [
        pytest.param({"frozen": True, "bounce": True}, id="all of it happens to be meant"),
        pytest.param({"frozen": True, "older_than": "1d"}, id="all of it happens to be old"),
        pytest.param({"frozen": True, "limit": 500}, id="all of it happens to be below the limit"),
        pytest.param({"frozen": True}, id="all of it is meant, and other mail is there"),
    ],
)
async def test_what_freezes_after_the_list_is_not_deleted(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, select: dict[str, Any]
) -> None:
    frozen = freeze(queue, 8)
    real = freeze(queue, 3, first=50, frozen=False, sender="ann@example.org")
    before = [spool_files(queue, each) for each in real]
    # The poll that tripped it lists, the run polls again, and lists for its plan.
    panel.panel.interfere = meanwhile(is_change, lambda: queue.freeze(*real))
    site = await start_site(config(panel, rules=[rule(select=select)]))
    assert set(operations(panel)) == {Operation.CONTROL}
    assert sorted(ids_asked(panel)) == sorted(frozen)
    assert sorted(each.id for each in await queue.messages()) == sorted(real)
    assert [sorted(spool_files(queue, each)) for each in real] == [sorted(b) for b in before]
    told = outcome(site)
    assert (told.outcome, told.detail["froze_meanwhile"]) == ("ok", 3)
    assert await removed(site) == 8


async def test_what_leaves_beyond_a_plan_as_a_whole_is_a_failed_verification(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plan that would take hours by id goes as a whole, since all frozen mail is meant."""
    monkeypatch.setattr(plan, "BATCH", 0.0)
    freeze(queue, 8)
    real = freeze(queue, 3, first=50, frozen=False, sender="ann@example.org")
    panel.panel.interfere = meanwhile(is_change, lambda: queue.freeze(*real))
    site = await start_site(config(panel, rules=[rule()]))
    assert operations(panel) == [Operation.DELETE_FROZEN]
    told = outcome(site)
    assert told.outcome == "verify_failed"
    assert told.detail["gone_beyond_the_plan"] == sorted(real)
    assert "3 other messages left the queue meanwhile" in told.text
    assert told.detail["removed"] == 8


async def test_a_message_that_is_thawed_meanwhile_is_left_out(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    each_its_own_batch: None,
) -> None:
    frozen = freeze(queue, 8)

    async def rescue() -> None:
        asked = ids_asked(panel)
        left = [each for each in frozen if each not in asked]
        await queue.thaw(*left[:2])

    panel.panel.interfere = meanwhile(CONTROL, rescue, skip=3)
    site = await start_site(one_at_a_time(panel, rules=[rule(**BY_ID)]))
    rescued = [each.id for each in await queue.messages()]
    assert len(rescued) == 2
    assert sorted(ids_asked(panel)) == sorted(set(frozen) - set(rescued)), "each once"
    assert [replies(site)[each] for each in rescued] == ["left_out"] * 2
    left_out = [each.text for each in site.journal(Kind.REPLY) if each.outcome == "left_out"]
    assert left_out == ["It was thawed meanwhile."] * 2
    told = outcome(site)
    assert told.outcome == "ok"
    assert told.text == (
        "6 of 6 messages are gone (2 left out, since they are not what was planned any more)."
    )
    assert (told.detail["planned"], told.detail["left_out"]) == (8, 2)
    assert await removed(site) == 6


async def test_another_message_by_the_same_id_is_left_out(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, each_its_own_batch: None
) -> None:
    frozen = [message(queue, serial) for serial in range(1, 9)]
    queue.put(frozen)

    async def use_again() -> None:
        waiting = [each for each in frozen if each.id not in ids_asked(panel)]
        for each in waiting[:2]:
            await queue.delete(each.id)
        queue.put(
            [
                replace(waiting[0], sender="ann@example.org"),
                replace(waiting[1], age=waiting[1].age - 7200, size=5000),
            ]
        )

    panel.panel.interfere = meanwhile(CONTROL, use_again, skip=3)
    site = await start_site(one_at_a_time(panel, rules=[rule(**BY_ID)]))
    there = [each.id for each in await queue.messages()]
    assert len(there) == 2
    assert not set(there) & set(ids_asked(panel))
    texts = {each.text for each in site.journal(Kind.REPLY) if each.outcome == "left_out"}
    assert "It has another sender than before." in texts
    assert len(texts) == 2
    assert outcome(site).outcome == "ok"
    assert await removed(site) == 6


async def test_mail_that_left_by_itself_is_not_counted(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, each_its_own_batch: None
) -> None:
    frozen = freeze(queue, 8)

    async def leave() -> None:
        left = [each for each in frozen if each not in ids_asked(panel)]
        for each in left[:2]:
            await queue.delete(each)

    panel.panel.interfere = meanwhile(CONTROL, leave, skip=3)
    site = await start_site(one_at_a_time(panel, rules=[rule(**BY_ID)]))
    assert len(ids_asked(panel)) == 6
    told = outcome(site)
    assert told.outcome == "ok"
    assert told.text == "8 of 8 messages are gone (2 had left by themselves)."
    assert (told.detail["removed"], told.detail["left_by_themselves"]) == (6, 2)
    assert await removed(site) == 6


@pytest.mark.parametrize("how", ["no list", "half a list"])
async def test_without_a_fresh_list_the_rest_is_not_asked_for(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    each_its_own_batch: None,
    how: str,
) -> None:
    freeze(queue, 8)

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if len(ids_asked(panel)) < 4:
            return await answer()
        if how == "no list" and LIST(request):
            return web.Response(status=500)
        if how == "half a list" and request.operation is Operation.COUNT:
            return said(count_reply("detail_int", 500, ENGLISH))
        return await answer()

    panel.panel.interfere = interfere
    site = await start_site(one_at_a_time(panel, rules=[rule(**BY_ID)]))
    assert len(ids_asked(panel)) == 4
    assert await queue.count() == 4
    told = outcome(site)
    assert told.outcome == "unknown"
    stopped = told.detail["stopped_by"]
    assert isinstance(stopped, dict)
    assert stopped["guard"] == "listing"


async def test_a_few_messages_cost_no_further_list(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    await start_site(one_at_a_time(panel, rules=[rule(**BY_ID)]))
    asked = [each.operation for each in panel.panel.requests]
    first = asked.index(Operation.CONTROL)
    assert asked[first : first + 8] == [Operation.CONTROL] * 8


# --- every guard, all the time ------------------------------------------------------------------

Change = Callable[[Site, PanelServer, dict[str, Any]], Awaitable[object]]


async def off(site: Site, _: PanelServer, made: dict[str, Any]) -> None:
    await site.reload({**made, "remediation": {**made["remediation"], "mode": "off"}})


async def dry(site: Site, _: PanelServer, made: dict[str, Any]) -> None:
    await site.reload({**made, "remediation": {**made["remediation"], "mode": "dry_run"}})


async def no_rule(site: Site, _: PanelServer, made: dict[str, Any]) -> None:
    await site.reload({**made, "remediation": {**made["remediation"], "rules": []}})


async def other_rule(site: Site, _: PanelServer, made: dict[str, Any]) -> None:
    rules = [rule(action="delete", select={"frozen": True, "older_than": "9d"})]
    await site.reload({**made, "remediation": {**made["remediation"], "rules": rules}})


async def not_for_the_host(site: Site, _: PanelServer, made: dict[str, Any]) -> None:
    rules = [rule(**BY_ID, hosts={"names": ["mx9"]})]
    hosts = [*made["hosts"], {**made["hosts"][0], "name": "mx9"}]
    hosts[1]["url"] = hosts[1]["url"].replace("127.0.0.1", "127.0.0.9")
    remediation = {**made["remediation"], "rules": rules}
    await site.reload({**made, "hosts": hosts, "remediation": remediation})


async def windows_end(site: Site, _: PanelServer, __: dict[str, Any]) -> None:
    site.running.daemon.app.controller.clock = lambda: time.time() + 7200


async def paused(site: Site, _: PanelServer, __: dict[str, Any]) -> None:
    write_journal(site.path, Entry(Kind.PAUSED, actor="person:ann", text="Ann paused it."))


async def stopped(site: Site, _: PanelServer, __: dict[str, Any]) -> None:
    entry = Entry(Kind.STOPPED, host="mx1", rule="purge", text="Ann stopped it.")
    write_journal(site.path, entry)


def open_for_an_hour() -> dict[str, Any]:
    start, end = (
        time.strftime("%H:%M", time.gmtime(time.time() + seconds)) for seconds in (-3600, 3600)
    )
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return {"windows": [{"days": days, "from": start, "to": end, "time_zone": "UTC"}]}


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        (off, "mode"),
        (dry, "mode"),
        (no_rule, "condition"),
        (other_rule, "condition"),
        (not_for_the_host, "condition"),
        (windows_end, "window"),
        (paused, "pause"),
        (stopped, "stopped"),
    ],
)
async def test_a_guard_that_speaks_in_the_middle_stops_the_next_message(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, change: Change, guard: str
) -> None:
    frozen = freeze(queue, 20)
    made = one_at_a_time(panel, rules=[rule(**BY_ID)], remediation=open_for_an_hour())
    site, hold = await in_the_middle(start_site, panel, made, skip=3)
    await change(site, panel, made)
    hold.let_go.set()
    await site.quiet()
    assert len(ids_asked(panel)) == len(set(ids_asked(panel))) == 4
    assert await queue.count() == len(frozen) - 4
    told = outcome(site)
    assert told.outcome == "ok"
    assert told.text.startswith("4 of 20 messages are gone (16 not asked for any more).")
    assert told.detail["removed"] == 4
    by = told.detail["stopped_by"]
    assert isinstance(by, dict)
    assert by["guard"] == guard
    assert (f"Stopped: {by['reason']}" in told.text) is (guard != "pause")
    assert site.story()[-1] == ("outcome", "ok")


async def test_a_silence_in_the_middle_stops_it_within_a_few_messages(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, alertmanager: NewAlertmanager
) -> None:
    manager = await alertmanager()
    freeze(queue, 60)
    panel.panel.interfere = meanwhile(
        CONTROL, lambda: manager.silence(matcher("host", "mx1")), skip=3
    )
    managers = [{"url": manager.url, "name": "am1"}]
    made = one_at_a_time(
        panel,
        rules=[rule(**BY_ID, respect_silences=True)],
        alerting={"builtin_rules": False, "alertmanagers": managers},
    )
    site = await start_site(made)
    assert 4 <= len(ids_asked(panel)) < 40
    told = outcome(site)
    by = told.detail["stopped_by"]
    assert isinstance(by, dict)
    assert by["guard"] == "silence"
    assert told.detail["removed"] == len(ids_asked(panel)) == 60 - await queue.count()


# --- id and message -----------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [True, False])
async def test_that_no_message_exists_is_no_proof_that_all_are_gone(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, gone: bool
) -> None:
    """A balancer led the deletions to its other panel, and perhaps the list after them, too."""
    freeze(queue, 8)

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if CONTROL(request):
            words = f"Spool data file for {request.fields['id']} does not exist\n"
            return said(done(Operation.CONTROL, words, ENGLISH))
        if gone and ids_asked(panel) and request.operation is Operation.LIST:
            return said(refusal(Operation.LIST, 100, ENGLISH))
        if gone and ids_asked(panel) and request.operation is Operation.COUNT:
            return said(count_reply("detail_int", 0, ENGLISH))
        return await answer()

    panel.panel.interfere = interfere
    site = await start_site(config(panel, rules=[rule(**BY_ID)]))
    assert await queue.count() == 8
    assert outcome(site).outcome == ("unknown" if gone else "verify_failed")
    assert outcome(site).detail["removed"] == 0
    assert await removed(site) in {None, 0}


@pytest.mark.parametrize("code", [100, 102, 400])
@pytest.mark.parametrize("carried_out", [True, False])
async def test_refused_for_every_message_the_list_tells_whether_nothing_was_done(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, code: int, carried_out: bool
) -> None:
    freeze(queue, 8)

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if not CONTROL(request):
            return await answer()
        if carried_out:
            await answer()
        return said(refusal(Operation.CONTROL, code, ENGLISH))

    panel.panel.interfere = interfere
    site = await start_site(one_at_a_time(panel, rules=[rule(**BY_ID)]))
    assert len(ids_asked(panel)) == 1
    told = outcome(site)
    assert told.outcome == "failed"
    assert told.text.startswith("Nothing was done.") is not carried_out
    if carried_out:
        assert "1 of 8 messages are gone" in told.text
        assert told.detail["gone"] == 1


async def test_a_list_that_lacks_a_part_proves_nothing_gone(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if request.operation is Operation.COUNT and len(ids_asked(panel)) == 8:
            return said(count_reply("detail_int", 1, ENGLISH))
        return await answer()

    panel.panel.interfere = interfere
    site = await start_site(config(panel, rules=[rule(**BY_ID)]))
    told = outcome(site)
    assert told.outcome == "unknown"
    assert "removed" not in told.detail


async def test_of_what_was_approved_another_message_by_the_same_id_is_not_acted_on(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    frozen = [message(queue, serial) for serial in range(1, 9)]
    queue.put(frozen)
    site = await start_site(config(panel, rules=[rule(approval="required")]))
    (asked,) = site.journal(Kind.APPROVAL_REQUESTED)
    again = replace(frozen[0], sender="ann@example.org")
    await queue.delete(again.id)
    queue.put([again])
    write_journal(
        tmp_path / "journal.db",
        replace(asked, kind=Kind.APPROVED, actor="person:ann", detail={}, id=0),
    )
    await site.look()
    assert set(operations(panel)) == {Operation.CONTROL}, "what freezes until then was not seen"
    assert sorted(ids_asked(panel)) == sorted(each.id for each in frozen[1:])
    assert [each.id for each in await queue.messages()] == [again.id]
    assert outcome(site).outcome == "ok"
    assert outcome(site).panel.url == panel.url
