"""Panels that lie, hang, break off or refuse: what is not seen to be done is not taken for done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from exporter.journal import Entry, Kind
from exporter.panel.protocol import Operation
from exporter.remediation import conclusion
from exporter.standin.panel import Answer, RecordedRequest
from exporter.standin.replies import Reply, done, refusal
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    BY_ID,
    HOUR,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    message,
    operations,
    rule,
    short,
    spool_files,
    write_journal,
)
from tests.remediation.mischief import (
    CONTROL,
    ENGLISH,
    Hold,
    counts,
    deletes_also,
    does_nothing,
    is_change,
    later,
    meanwhile,
    of,
    once,
    refuses,
    said,
    shows_login_page,
)
from tests.servers.exim import EximQueue

LIST = of(Operation.LIST)
LABELS = {"host": "mx1", "rule": "purge"}


async def start(
    start_site: StartSite,
    panel: PanelServer,
    *,
    give_up: str = "10s",
    **keys: Any,
) -> Site:
    made = config(panel, rules=[rule(**keys)])
    made["poll"] |= {"timeout": give_up, "requests_per_host": 1}
    return await start_site(made)


def outcome(site: Site) -> Entry:
    """The only one."""
    (entry,) = site.journal(Kind.OUTCOME)
    return entry


def resume(site: Site) -> None:
    """What a person does so that a stopped rule goes on."""
    write_journal(site.path, Entry(Kind.RULE_RESUMED, host="mx1", rule="purge", actor="person:ann"))


# --- "done", and nothing is ----------------------------------------------------------------------

VERIFY: dict[str, Any] = {"verify": {"within": "50ms", "expect": "queue_frozen_messages < 5"}}


@pytest.mark.parametrize("keys", [{}, VERIFY, BY_ID, {**BY_ID, **VERIFY}])
async def test_says_done_and_deletes_nothing(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, keys: dict[str, Any]
) -> None:
    freeze(queue, 8)
    panel.panel.interfere = does_nothing
    site = await start(start_site, panel, **keys)
    assert len(changing(panel)) == (8 if keys.get("action") else 1)
    assert {each.outcome for each in site.journal(Kind.REPLY)} == (
        {"removed"} if keys.get("action") else {"done"}
    )
    failed = outcome(site)
    assert failed.outcome == "verify_failed"
    assert failed.text.startswith("0 of 8 messages are gone.")
    assert ("What verify expects did not come true." in failed.text) is ("verify" in keys)
    assert failed.detail["removed"] == 0
    assert await queue.count() == 8
    action = keys.get("action", "purge_frozen")
    assert await site.outcomes(**LABELS, action=action, outcome="verify_failed") == 1
    assert await site.metric("removed_messages_total", **LABELS) == 0
    assert await site.metric("last_outcome", **LABELS, outcome="verify_failed") == 1


@pytest.mark.parametrize("keys", [{}, BY_ID])
async def test_a_password_in_the_panels_words_is_not_written_down(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, keys: dict[str, Any]
) -> None:
    async def echo(request: RecordedRequest, answer: Answer) -> web.Response:
        if request.operation is None or not is_change(request):
            return await answer()
        await answer()
        words = "api.php?login=monitor&pass=stand-in: has been removed"
        return said(done(request.operation, words, ENGLISH))

    freeze(queue, 8)
    panel.panel.interfere = echo
    site = await start(start_site, panel, **keys)
    assert outcome(site).outcome == "ok"
    texts = [each.text for each in site.journal(Kind.REPLY)]
    assert all("has been removed" in text for text in texts)
    for file in site.path.parent.glob("journal.db*"):
        assert b"stand-in" not in file.read_bytes()


async def test_three_failed_verifications_stop_the_rule_until_a_person_resumes_it(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    panel.panel.interfere = does_nothing
    site = await start(start_site, panel, cooldown="1ms", max_per_day=10)
    assert not site.journal(Kind.STOPPED)
    for _ in range(4):
        await site.look()
    assert operations(panel) == [Operation.DELETE_FROZEN] * 3
    assert short(site.journal(Kind.OUTCOME, Kind.STOPPED, Kind.BLOCKED)) == [
        *[("outcome", "verify_failed")] * 2,
        ("stopped", ""),
        ("outcome", "verify_failed"),
        ("blocked", "stopped"),
    ]
    assert site.journal(Kind.STOPPED)[0].text == "Stopped: 3 verifications in a row failed."
    assert await site.blocked("stopped") == 2

    resume(site)
    await site.look()
    assert len(changing(panel)) == 4
    assert not site.journal(Kind.STOPPED)[1:], "the row begins anew"
    panel.panel.interfere = None
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")
    assert await queue.count() == 0


async def test_a_stopped_rule_stays_stopped_over_a_restart(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    panel.panel.interfere = does_nothing
    site = await start(start_site, panel, cooldown="1ms", max_per_day=10)
    for _ in range(2):
        await site.look()
    await site.end()
    again = await start(start_site, panel, cooldown="1ms", max_per_day=10)
    assert len(changing(panel)) == 3
    assert again.blocks() == ["stopped"]


# --- more than it was asked ----------------------------------------------------------------------


async def test_deletes_frozen_mail_that_was_not_meant(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8)
    lost = message(queue, 50, sender="ann@example.org")
    kept = message(queue, 51, sender="bob@example.org")
    queue.put([lost, kept])
    panel.panel.interfere = deletes_also(queue, lost.id)
    before = spool_files(queue, kept.id)
    select = {"frozen": True, "bounce": True}
    site = await start(start_site, panel, select=select, cooldown="1ms")

    assert sorted(ids_asked(panel)) == sorted(frozen)
    failed = outcome(site)
    assert failed.outcome == "verify_failed"
    assert failed.detail["frozen_gone_beyond_the_plan"] == [lost.id]
    assert "1 frozen message that was not meant is gone too." in failed.text
    assert site.story()[-2:] == [("stopped", ""), ("outcome", "verify_failed")]
    assert "frozen messages were lost that were not meant" in site.journal()[-2].text
    assert spool_files(queue, kept.id) == before

    freeze(queue, 8, first=100)
    await site.look()
    assert len(changing(panel)) == 8
    assert site.blocks() == ["stopped"]


async def test_it_is_stopped_even_where_verify_is_content(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    lost = message(queue, 50, age=2 * HOUR)
    queue.put([lost])
    panel.panel.interfere = deletes_also(queue, lost.id)
    select = {"frozen": True, "older_than": "1d"}
    site = await start(start_site, panel, select=select, **VERIFY)
    assert outcome(site).outcome == "verify_failed"
    assert site.story()[-2:] == [("stopped", ""), ("outcome", "verify_failed")]


async def test_other_mail_that_leaves_meanwhile_is_reported(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    other, stays = freeze(queue, 2, first=50, frozen=False)
    panel.panel.interfere = deletes_also(queue, other)
    site = await start(start_site, panel)
    assert [each.id for each in await queue.messages()] == [stays]
    told = outcome(site)
    assert told.outcome == "ok", "mail comes and goes: whether it was delivered is not known"
    assert told.detail["others_left"] == 1
    assert told.text == ("8 of 8 messages are gone. 1 other message left the queue meanwhile.")


async def test_what_froze_meanwhile_is_reported(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    (waiting,) = freeze(queue, 1, first=50, frozen=False)

    async def freeze_more() -> None:
        await queue.delete_frozen()
        freeze(queue, 2, first=60)
        await queue.freeze(waiting)

    panel.panel.interfere = meanwhile(LIST, freeze_more, skip=3)
    site = await start(start_site, panel)
    assert operations(panel) == [Operation.CONTROL] * 8
    told = outcome(site)
    assert (told.outcome, told.detail["froze_meanwhile"]) == ("ok", 3)
    assert told.text == "8 of 8 messages are gone. 3 more froze meanwhile."


# --- no answer -----------------------------------------------------------------------------------


async def test_hangs_after_it_has_deleted(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8)
    panel.panel.interfere = Hold(CONTROL, skip=3, done=True)
    site = await start(start_site, panel, give_up="1s", **BY_ID)
    assert sorted(ids_asked(panel)) == sorted(frozen), "each once"
    replies = [each.outcome for each in site.journal(Kind.REPLY)]
    assert replies == [*["removed"] * 3, "unknown", *["removed"] * 4]
    unknown = site.journal(Kind.REPLY)[3]
    assert unknown.detail == {"id": ids_asked(panel)[3], "reason": "timeout"}
    told = outcome(site)
    assert (told.outcome, told.text) == ("ok", "8 of 8 messages are gone (1 without an answer).")


async def test_hangs_and_does_not_delete(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8)
    panel.panel.interfere = Hold(CONTROL, skip=3)
    site = await start(start_site, panel, give_up="1s", **BY_ID)
    assert sorted(ids_asked(panel)) == sorted(frozen), "each once"
    left = [each.id for each in await queue.messages()]
    assert left == [ids_asked(panel)[3]]
    told = outcome(site)
    assert told.outcome == "verify_failed"
    assert told.text == "7 of 8 messages are gone (1 without an answer)."


async def test_hangs_over_all_at_once(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    panel.panel.interfere = Hold(of(Operation.DELETE_FROZEN), done=True)
    site = await start(start_site, panel, give_up="1s")
    assert operations(panel) == [Operation.DELETE_FROZEN]
    assert site.story() == [("intent", ""), ("reply", "unknown"), ("outcome", "ok")]
    assert outcome(site).text == "8 of 8 messages are gone (1 without an answer)."


async def test_hangs_over_every_message(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)

    async def hang(request: Any, answer: Any) -> Any:
        if CONTROL(request):
            await asyncio.Event().wait()
        return await answer()

    panel.panel.interfere = hang
    site = await start(start_site, panel, give_up="1s", **BY_ID)
    assert len(ids_asked(panel)) == len(set(ids_asked(panel))) == 3, "three tell enough"
    told = outcome(site)
    assert told.outcome == "verify_failed"
    assert told.text == (
        "0 of 8 messages are gone (3 without an answer, 5 not asked for any more)."
    )
    await site.look()
    assert len(ids_asked(panel)) == 3


# --- answers that are none -----------------------------------------------------------------------


async def test_answers_with_its_login_page(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    panel.panel.interfere = shows_login_page(CONTROL)
    site = await start(start_site, panel, **BY_ID)
    assert len(ids_asked(panel)) == 3
    for reply in site.journal(Kind.REPLY):
        assert (reply.outcome, reply.detail["reason"]) == ("unknown", "not_json")
    told = outcome(site)
    assert told.outcome == "verify_failed"
    assert told.text.startswith("0 of 8 messages are gone")
    assert await queue.count() == 8


@pytest.mark.parametrize("status", [500, 502])
async def test_fails_over_one_message(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, status: int
) -> None:
    frozen = freeze(queue, 8)
    panel.panel.interfere = shows_login_page(once(CONTROL, skip=3), status=status)
    site = await start(start_site, panel, **BY_ID)
    assert sorted(ids_asked(panel)) == sorted(frozen), "each once"
    told = outcome(site)
    assert told.outcome == "verify_failed"
    assert told.text == "7 of 8 messages are gone (1 without an answer)."


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(1, "Not perm2"), "The panel refused the login (code 1)."),
        (refusal(Operation.CONTROL, 100, ENGLISH), "The panel does not know this command."),
        (refusal(Operation.CONTROL, 400, ENGLISH), "The panel does not let this account use"),
    ],
)
async def test_a_refusal_that_concerns_every_message_is_asked_for_once(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, reply: Reply, words: str
) -> None:
    freeze(queue, 8)
    panel.panel.interfere = refuses(Operation.CONTROL, reply)
    site = await start(start_site, panel, **BY_ID)
    assert len(ids_asked(panel)) == 1, "a wrong login sent once more may lock the account"
    told = outcome(site)
    assert told.outcome == "failed"
    assert told.text.startswith(f"Nothing was done. {words}")
    assert await site.outcomes(**LABELS, action="delete", outcome="failed") == 1
    assert site.story() == [("intent", ""), ("reply", "failed"), ("outcome", "failed")]


# --- what this panel cannot do -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "operation", "words"),
    [
        ({}, Operation.DELETE_FROZEN, "no frozen mail to delete (code 100)"),
        (
            {"action": "purge_all", "force": True},
            Operation.DELETE_ALL,
            "no forced deletion (code 100)",
        ),
        (BY_ID, Operation.CONTROL, "no mail server, or a wrong one, to act on (code 102)"),
    ],
)
async def test_an_operation_that_it_does_not_have_disables_the_rule_there(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    keys: dict[str, Any],
    operation: Operation,
    words: str,
) -> None:
    freeze(queue, 8)
    code = 102 if operation is Operation.CONTROL else 100
    panel.panel.interfere = refuses(operation, refusal(operation, code, ENGLISH))
    site = await start(start_site, panel, cooldown="1ms", **keys)
    assert operations(panel) == [operation]
    assert ("dellete_forse" in changing(panel)[0].fields) is ("force" in keys)
    assert site.story() == [
        ("intent", ""),
        ("reply", "failed"),
        ("disabled", ""),
        ("outcome", "failed"),
    ]
    (disabled,) = site.journal(Kind.DISABLED)
    assert words in disabled.text
    assert outcome(site).text.startswith("Nothing was done. ")

    for _ in range(2):
        await site.look()
    assert len(changing(panel)) == 1
    (block,) = site.journal(Kind.BLOCKED)
    assert block.outcome == "stopped"
    assert words in block.text
    assert block.text.endswith("A person must resume purge.")

    panel.panel.interfere = None
    resume(site)
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")
    assert await queue.count() == 0


# --- the list afterwards -------------------------------------------------------------------------


async def test_the_list_afterwards_fails(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conclusion, "LIST_AGAIN_AFTER", 0.01)
    freeze(queue, 8)
    freeze(queue, 2, first=50, frozen=False)
    panel.panel.interfere = shows_login_page(later(LIST, skip=3))
    site = await start(start_site, panel, **BY_ID)
    assert len(ids_asked(panel)) == 8
    told = outcome(site)
    assert told.outcome == "unknown"
    assert told.text == (
        "What became of the messages could not be seen by listing the queue again."
    )
    assert "removed" not in told.detail
    assert await site.outcomes(**LABELS, action="delete", outcome="unknown") == 1
    panel.panel.interfere = None
    freeze(queue, 8, first=100)
    await site.look()
    assert len(ids_asked(panel)) == 8
    assert site.blocks() == ["cooldown"]


async def test_the_list_afterwards_is_asked_for_once_more(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conclusion, "LIST_AGAIN_AFTER", 0.01)
    freeze(queue, 8)
    freeze(queue, 2, first=50, frozen=False)
    panel.panel.interfere = shows_login_page(once(LIST, skip=3))
    site = await start(start_site, panel, **BY_ID)
    assert (outcome(site).outcome, outcome(site).detail["removed"]) == ("ok", 8)


async def test_the_list_afterwards_is_not_whole(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    freeze(queue, 2, first=50, frozen=False)
    lie = counts(500)

    async def interfere(request: Any, answer: Any) -> Any:
        return await (lie if ids_asked(panel) else _honest)(request, answer)

    panel.panel.interfere = interfere
    site = await start(start_site, panel, **BY_ID)
    assert (outcome(site).outcome, "removed" in outcome(site).detail) == ("unknown", False)


async def _honest(request: Any, answer: Any) -> Any:
    return await answer()
