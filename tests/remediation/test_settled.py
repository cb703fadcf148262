"""What an earlier process has begun and not ended: known from the panel alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporter.journal import Entry, Journal, Kind
from exporter.panel.protocol import Operation
from exporter.snapshot import Message, PanelId
from exporter.standin.panel import Answer, Interfere, RecordedRequest
from exporter.standin.services import MemoryServices
from tests.fixtures.standin import PanelServer, ServePanel
from tests.remediation.conftest import (
    StartSite,
    changing,
    config,
    freeze,
    one_at_a_time,
    panel_of,
    rule,
)
from tests.remediation.mischief import counts
from tests.servers.exim import EximQueue

GONE = tuple(Message(f"1goneAA-{number:06d}-AA", sender="", frozen=True) for number in range(20))


UNSEEN = "the queue could not be listed as a whole."


def begin(
    folder: Path,
    panel: PanelId,
    action: str,
    *messages: Message,
    mode: str = "enforce",
    **detail: Any,
) -> None:
    """What a process leaves that is killed right after it has begun."""
    intent = Entry(
        Kind.INTENT,
        run="f" * 32,
        host="mx1",
        panel=panel,
        rule="purge",
        action=action,
        mode=mode,
        detail=detail,
    )
    with closing(Journal.open(folder / "journal.db")) as journal:
        journal.add(intent, messages)


def odd_rows(count: int) -> Interfere:
    """Lists so many rows more, none of them readable as a message."""

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        response = await answer()
        if request.operation is not Operation.LIST:
            return response
        assert isinstance(response.body, bytes)
        told = json.loads(response.body)
        told["detail"] += [["?"] * len(told["detail"][0])] * count
        return web.json_response(told)

    return interfere


@pytest.mark.parametrize(
    ("planned", "interfere", "text"),
    [
        (3, None, "3 of 3 messages are gone."),
        # Any of them may be the one that is still there.
        (3, lambda: odd_rows(1), UNSEEN),
        # Any of them may be among what is there and was not listed.
        (3, lambda: counts(4), UNSEEN),
        (3, lambda: counts(2), UNSEEN),
        (3, lambda: counts(1), "3 of 3 messages are gone."),
        (20, lambda: counts(12), UNSEEN),
        (20, lambda: counts(11), UNSEEN),
    ],
)
async def test_messages_are_gone_when_a_whole_list_does_not_hold_them(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    tmp_path: Path,
    planned: int,
    interfere: Callable[[], Interfere] | None,
    text: str,
) -> None:
    freeze(queue, 1)
    begin(tmp_path, panel_of(panel), "delete", *GONE[:planned])
    panel.panel.interfere = None if interfere is None else interfere()
    site = await start_site(config(panel, rules=[rule()]))
    (told,) = site.journal(Kind.OUTCOME)
    assert told.outcome == ("unknown" if text is UNSEEN else "ok")
    assert told.text.endswith(f": {text}")
    assert changing(panel) == []


@pytest.mark.parametrize(
    ("action", "runs", "outcome", "text"),
    [
        ("service_on", True, "ok", "clamav runs."),
        ("service_on", False, "unknown", "clamav is stopped."),
        ("service_off", False, "ok", "clamav is stopped."),
        ("service_off", True, "unknown", "clamav runs."),
    ],
)
async def test_a_service_is_as_it_was_to_be_or_it_is_not_known(
    start_site: StartSite,
    serve_panel: ServePanel,
    queue: EximQueue,
    tmp_path: Path,
    action: str,
    runs: bool,
    outcome: str,
    text: str,
) -> None:
    panel = await serve_panel(queue, services=MemoryServices(stopped=[] if runs else ["clamav"]))
    begin(tmp_path, panel_of(panel), action, service="clamav")
    site = await start_site(config(panel, rules=[rule()]))
    (told,) = site.journal(Kind.OUTCOME)
    assert (told.outcome, told.text.partition(": ")[2]) == (outcome, text)
    assert changing(panel) == []


async def test_a_dry_run_has_done_nothing(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    begin(tmp_path, panel_of(panel), "delete", *GONE, mode="dry_run")
    site = await start_site(config(panel, rules=[rule()]))
    (told,) = site.journal(Kind.OUTCOME)
    assert (told.outcome, told.detail) == ("dry_run", {"settled": True})


async def test_only_what_was_asked_for_was_removed(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    """Of ten messages three were removed, one had gone, one was left out; one was under way."""
    freeze(queue, 1)
    begin(tmp_path, panel_of(panel), "delete", *GONE[:10], as_a_whole=False)
    with closing(Journal.open(tmp_path / "journal.db")) as journal:
        (intent,) = journal.entries(kinds=[Kind.INTENT])
        for number, what in enumerate(("removed", "removed", "removed", "gone", "left_out")):
            reply = replace(
                intent, kind=Kind.REPLY, outcome=what, detail={"id": GONE[number].id}, id=0
            )
            journal.add(reply)
    made = one_at_a_time(panel, rules=[rule()])
    site = await start_site(made)
    (told,) = site.journal(Kind.OUTCOME)
    assert told.text.endswith(": 9 of 9 messages are gone.")
    assert told.detail == {
        "planned": 10, "gone": 9, "left_out": 1, "removed": 4, "settled": True
    }  # fmt: skip
    assert await site.metric("removed_messages_total", host="mx1", rule="purge") == 4
    assert changing(panel) == []
