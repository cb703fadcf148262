"""Nothing acts on a guess: the guard `layout` holds back rules and persons, and says how to
confirm what is only guessed; once that is done they act."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

import pytest
from aiohttp import web

from exporter.config.remediation import Verify
from exporter.journal import Kind
from exporter.panel.protocol import Operation
from exporter.remediation.conclusion import effect_of
from exporter.remediation.context import HostContext
from exporter.snapshot import Certainty, HostSnapshot
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import Answer, PanelOptions, RecordedRequest
from exporter.standin.replies import ReplyStyle
from exporter.standin.traffic import EMPTY
from tests.builders import good, snapshot, stats
from tests.builders import queue as queue_state
from tests.cli.shell import run, write_config
from tests.daemon.conftest import host
from tests.fixtures.standin import PanelServer, ServePanel
from tests.remediation.conftest import (
    BY_ID,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    read_journal,
    rule,
)
from tests.servers.exim import EximQueue

ARRAYS = PanelOptions(style=ReplyStyle(shape="page_arrays"))
"""A panel whose list_msg shows arrays: nothing in it names a sender, an age or a state."""


class WriteSite(Protocol):
    """Write a config for a panel, mx1, without any rule."""

    def __call__(self, panel: PanelServer) -> Path: ...


@pytest.fixture
def write_site(tmp_path: Path) -> WriteSite:
    return lambda panel: write_config(tmp_path, host("mx1", panel.url))


@pytest.fixture
async def unnamed(serve_panel: ServePanel, queue: EximQueue) -> PanelServer:
    return await serve_panel(queue, ARRAYS)


HOW = ("`frozen` is only guessed", "`diagnose mx1`", "`fields`")


@pytest.mark.parametrize("keys", [{}, BY_ID], ids=["as a whole", "by id"])
async def test_a_rule_that_would_trip_by_a_guess_does_not_act_until_it_is_confirmed(
    start_site: StartSite,
    unnamed: PanelServer,
    queue: EximQueue,
    tmp_path: Path,
    keys: dict[str, Any],
) -> None:
    frozen = freeze(queue)
    rules = [rule(**keys)]
    site = await start_site(config(unnamed, rules=rules))

    assert site.story() == [("blocked", "layout")]
    (entry,) = site.journal(Kind.BLOCKED)
    assert all(words in entry.text for words in HOW), entry.text
    assert await site.blocked("layout") == 1
    assert await site.running.value("queue_layout_certain", host="mx1", field="frozen") == 0
    assert await site.running.value("queue_layout_certain", host="mx1", field="id") == 1
    assert changing(unnamed) == []
    await site.look()
    assert await site.blocked("layout") == 1, "it rests"
    assert site.story() == [("blocked", "layout")], "and is no news"
    assert changing(unnamed) == []
    assert sorted(m.id for m in await queue.messages()) == sorted(frozen)

    file = tmp_path / "config.yaml"
    code, _, err = await run("diagnose", "mx1", "--config", file, "--write")
    assert code == 0, err
    await site.running.post("/-/reload")
    await site.look()

    assert [outcome for kind, outcome in site.story() if kind == "outcome"] == ["ok"]
    assert await queue.messages() == []
    assert changing(unnamed) != []
    assert await site.running.value("queue_layout_certain", host="mx1", field="frozen") == 1


async def test_a_selector_on_a_guess_chooses_nothing(
    start_site: StartSite, unnamed: PanelServer, queue: EximQueue
) -> None:
    """The condition is known, what it would delete is not: a sender that is only guessed."""
    freeze(queue)
    rules = [rule(when=["queue_messages > 5"], action="delete", select={"bounce": True})]
    site = await start_site(config(unnamed, rules=rules))
    assert site.story() == [("blocked", "layout")]
    assert "`sender` is only guessed" in site.journal(Kind.BLOCKED)[0].text
    assert changing(unnamed) == []
    assert len(await queue.messages()) == 8


async def test_what_is_asked_for_by_a_person_is_held_back_alike(
    start_site: StartSite, unnamed: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue)
    site = await start_site(config(unnamed, rules=[rule(**BY_ID)]))
    file = tmp_path / "config.yaml"
    code, out, _ = await run("remediation", "run", "purge", "mx1", "--yes", "--config", file)
    told = " ".join(out.split())
    assert code == 1
    assert "purge on mx1 is held back by layout: On mx1 `frozen` is only guessed" in told
    code, out, _ = await run("remediation", "status", "--host", "mx1", "--config", file)
    assert "by layout" in " ".join(out.split())
    assert set(site.blocks()) == {"layout"}
    assert changing(unnamed) == []


@pytest.mark.parametrize("certainty", [Certainty.STRUCTURAL, Certainty.GUESSED])
async def test_what_verify_expects_does_not_come_true_by_a_guess(certainty: Certainty) -> None:
    told = stats(frozen=0, certainty=(("id", Certainty.NAMED), ("frozen", certainty)))
    seen = snapshot(good("queue", queue_state(stats=told)))
    passed = 0.0

    async def poll() -> HostSnapshot:
        return seen

    async def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    nothing: Any = None
    context = HostContext(
        journal=nothing,
        locks=nothing,
        client=cast("Any", SimpleNamespace(host=SimpleNamespace(name="mx1"))),
        decoder=nothing,
        poll=poll,
        parallel=1,
        sleep=sleep,
        monotonic=lambda: passed,
    )
    verify = Verify(expect=["queue_frozen_messages == 0"], within="30s")
    effect = await effect_of(context, verify, 0.0)
    assert effect.expected is (certainty is not Certainty.GUESSED)
    assert passed == (30.0 if certainty is Certainty.GUESSED else 0.0)


async def test_page_and_json_mark_what_is_only_guessed(
    start_site: StartSite, unnamed: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue)
    site = await start_site(config(unnamed, rules=[]))

    async def pages(language: str) -> list[str]:
        headers = {"Accept-Language": language}
        paths = ("/hosts/mx1", "/hosts/mx1/messages")
        return [await site.running.get(path, headers=headers) for path in paths]

    for language, word, fields in (
        ("en", ">guessed<", "age, size, sender, recipients, frozen."),
        ("ru", ">догадка<", "возраст, объём, отправитель, получатели, заморозка."),
    ):
        for html in await pages(language):
            assert html.count(word) >= 5
            assert fields in html
            assert "<code>diagnose mx1</code>" in html
    listed = json.loads(await site.running.get("/api/v1/hosts/mx1"))["queue"]
    assert listed["certainty"] == {"id": "structural"} | dict.fromkeys(
        ("age", "size", "sender", "recipients", "frozen"), "guessed"
    )
    assert listed["guessed"] == ["age", "size", "sender", "recipients", "frozen"]
    assert "`diagnose mx1`" in listed["confirm"]
    assert listed["frozen"] == 8, "a guess may inform"

    code, _, err = await run("diagnose", "mx1", "--config", tmp_path / "config.yaml", "--write")
    assert code == 0, err
    await site.running.post("/-/reload")
    await site.look()
    for html in await pages("en"):
        assert "guessed" not in html
    listed = json.loads(await site.running.get("/api/v1/hosts/mx1"))["queue"]
    assert set(listed["certainty"].values()) == {"named"}
    assert "guessed" not in listed


# --- by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("delete", "mx1", "--frozen"), "frozen"),
        (("delete", "mx1", "--not-frozen"), "frozen"),
        (("delete", "mx1", "--bounce"), "sender"),
        (("delete", "mx1", "--sender", "*@example.com"), "sender"),
        (("retry", "mx1", "--recipient", "*@example.com"), "recipients"),
        (("delete", "mx1", "--older-than", "1h"), "age"),
        (("delete", "mx1", "--younger-than", "90d"), "age"),
        (("delete", "mx1", "--larger-than", "1B"), "size"),
        (("delete", "mx1", "--everything", "--limit", "1"), "age"),
        (("purge-frozen", "mx1"), "frozen"),
    ],
)
async def test_by_hand_nothing_is_done_on_a_guess(
    unnamed: PanelServer,
    queue: EximQueue,
    write_site: WriteSite,
    arguments: tuple[str, ...],
    field: str,
) -> None:
    freeze(queue)
    file = write_site(unnamed)
    code, out, _ = await run("queue", *arguments, "--yes", "--config", file)
    told = " ".join(out.split())
    assert code == 1
    assert f"held back by layout: On mx1 `{field}` is only guessed" in told
    assert "`diagnose mx1`" in told
    assert changing(unnamed) == []
    assert len(await queue.messages()) == 8
    (entry,) = read_journal(file.parent / "journal.db")
    assert (entry.kind, entry.outcome, entry.rule) == (Kind.BLOCKED, "layout", "")
    assert f"`{field}` is only guessed" in entry.text
    assert entry.actor.startswith("person")


async def test_by_hand_what_is_certain_is_done(
    unnamed: PanelServer, queue: EximQueue, write_site: WriteSite
) -> None:
    """Exim's ids can be nothing else, wherever they stand."""
    one, two, *_ = freeze(queue, 3)
    file = write_site(unnamed)
    code, out, _ = await run("queue", "delete", "mx1", "--id", one, "--yes", "--config", file)
    assert code == 0, out
    assert ids_asked(unnamed) == [one]
    code, out, _ = await run(
        *("queue", "delete", "mx1", "--id", two, "--frozen", "--yes", "--config", file)
    )
    assert code == 1
    assert "held back by layout" in " ".join(out.split())
    assert ids_asked(unnamed) == [one]


async def test_by_hand_it_is_done_once_it_is_confirmed(
    unnamed: PanelServer, queue: EximQueue, write_site: WriteSite
) -> None:
    freeze(queue)
    file = write_site(unnamed)
    code, _, err = await run("diagnose", "mx1", "--config", file, "--write")
    assert code == 0, err
    code, out, _ = await run("queue", "purge-frozen", "mx1", "--yes", "--config", file)
    assert code == 0, out
    assert await queue.messages() == []
    assert changing(unnamed) != []


async def test_a_list_shows_guesses_and_marks_them(
    unnamed: PanelServer, queue: EximQueue, write_site: WriteSite
) -> None:
    freeze(queue, 2)
    file = write_site(unnamed)
    code, out, _ = await run("queue", "list", "mx1", "--frozen", "--config", file)
    assert code == 0
    heading = out.splitlines()[0].split()
    assert heading == ["ID", "AGE?", "SIZE?", "F?", "SENDER?", "RECIPIENT?"]
    assert "only guessed" in out
    code, out, _ = await run("queue", "list", "mx1", "--format", "json", "--config", file)
    assert code == 0
    view = json.loads(out)
    guessed = ["age", "size", "sender", "recipients", "frozen"]
    assert view["guessed"] == guessed
    assert [each["guessed"] for each in view["messages"]] == [guessed, guessed]
    assert changing(unnamed) == []


async def test_an_empty_queue_is_no_guess(serve_panel: ServePanel, write_site: WriteSite) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY), ARRAYS)
    file = write_site(panel)
    code, out, _ = await run("queue", "delete", "mx1", "--frozen", "--yes", "--config", file)
    assert code == 0
    assert "nothing to do" in out


# --- what rests on guesses beside what is certain -----------------------------------------------


async def test_an_outcome_that_could_not_be_verified_for_a_guess_names_the_field(
    start_site: StartSite, unnamed: PanelServer, queue: EximQueue
) -> None:
    """What to delete is confirmed, what is expected afterwards is not."""
    freeze(queue)
    freeze(queue, 3, first=50, frozen=False)
    verify = {"within": "1ms", "expect": ["queue_bounce_messages < 1"]}
    made = config(unnamed, rules=[rule(**BY_ID, verify=verify)])
    made["hosts"][0]["fields"] = {"frozen": 5}
    site = await start_site(made)
    assert len(ids_asked(unnamed)) == 8
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.outcome == "verify_failed"
    assert "What verify expects did not come true. On mx1 `sender` is only guessed" in outcome.text
    assert "see `diagnose mx1`" in outcome.text
    assert outcome.detail["guessed"] == ["sender"]


async def test_a_plan_says_how_many_are_left_out_for_being_only_guessed(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """Some rows name what they hold, others do not."""
    frozen = freeze(queue)

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if request.operation is not Operation.LIST:
            return await answer()
        rows: list[Any] = []
        for each in await queue.messages():
            if each.id in frozen[:6]:
                told = {"id": each.id, "time": "30h", "size": "900", "from": "<>", "to": "b@x.org"}
                rows.append({**told, "status": "Frozen"})
            else:
                rows.append(["30h", each.id, "<>", "b@x.org", "900", "Frozen"])
        return web.json_response({"error": 0, "mess": "ok", "detail": rows})

    panel.panel.interfere = interfere
    keys = {"when": ["queue_messages > 5"]}
    site = await start_site(config(panel, rules=[rule(**BY_ID, **keys)]))
    assert sorted(ids_asked(panel)) == sorted(frozen[:6])
    (intent,) = site.journal(Kind.INTENT)
    assert intent.detail["withheld"] == 2
    assert "delete 6 messages (frozen; 2 more are left out, since what they are is guessed)" in (
        intent.text
    )
    assert await queue.count() == 2


async def test_what_is_only_guessed_is_asked_of_nobody_and_not_acted_on_once_approved(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    """It asks for what is certain; by the approval it does not act on what is guessed by then."""
    frozen = freeze(queue)
    guessed: set[str] = set()

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if request.operation is not Operation.LIST:
            return await answer()
        rows: list[Any] = []
        for each in await queue.messages():
            if each.id in guessed:
                rows.append(["30h", each.id, "<>", "b@x.org", "900", "Frozen"])
            else:
                told = {"id": each.id, "time": "30h", "size": "900", "from": "<>", "to": "b@x.org"}
                rows.append({**told, "status": "Frozen"})
        return web.json_response({"error": 0, "mess": "ok", "detail": rows})

    panel.panel.interfere = interfere
    guessed.add(frozen[0])
    keys = {"when": ["queue_messages > 5"], "approval": "required"}
    site = await start_site(config(panel, rules=[rule(**BY_ID, **keys)]))
    assert changing(panel) == []
    (asked,) = site.journal(Kind.APPROVAL_REQUESTED)
    assert sorted(site.plan(asked)) == sorted(frozen[1:])
    file = tmp_path / "config.yaml"
    code, _, err = await run("remediation", "approve", "purge", "mx1", "--yes", "--config", file)
    assert code == 0, err
    guessed.add(frozen[1])
    await site.look()
    assert sorted(ids_asked(panel)) == sorted(frozen[2:])
    (intent,) = site.journal(Kind.INTENT)
    assert sorted(site.plan(intent)) == sorted(frozen[2:])
    assert sorted(m.id for m in await queue.messages()) == sorted(frozen[:2])
