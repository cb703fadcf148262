"""The queue message by message: what plans may be made from, and when they may not."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.selectors import Selector
from exporter.panel.client import PanelClient, PanelReply
from exporter.panel.decode import ListOptions
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation.listing import (
    EMPTY,
    Listing,
    ListQuery,
    ask_count,
    ask_listing,
    read_listing,
)
from exporter.remediation.selection import fields_of, select
from exporter.snapshot import Message, Reason
from tests.builders import host, message
from tests.decode import rendering, strategies
from tests.decode.rendering import NOW, reply

EVERYTHING = Selector(everything=True)
FROZEN = Selector(frozen=True)
BOUNCES = Selector(frozen=True, bounce=True)

OLD = message("1kXpJb-000001-7Q", age=7200.0, sender="", frozen=True)
YOUNG = message("1kXpJb-000002-7Q", age=600.0, sender="", frozen=True)
SENT = message("1kXpJb-000003-7Q", age=3600.0, frozen=True)
PLAIN = message("1kXpJb-000004-7Q", age=60.0)
QUEUE = [YOUNG, OLD, SENT, PLAIN]


def read(
    body: bytes,
    selector: Selector = EVERYTHING,
    *,
    count: int,
    most: int = 1000,
    guesses: bool = False,
) -> Listing:
    return read_listing(
        body,
        ListQuery(selector, most, guesses=guesses),
        count=count,
        options=ListOptions(NOW),
    )


def listing(*messages: Message, selector: Selector = EVERYTHING, **keys: Any) -> Listing:
    """What is listed of these messages, by a panel that shows objects."""
    rows = rendering.objects(messages)
    return read(reply(rows), selector, **{"count": len(messages)} | keys)


def ids(*messages: Message) -> frozenset[str]:
    return frozenset(m.id for m in messages)


# --- reading ------------------------------------------------------------------------------------


def test_a_list_says_what_is_there_and_which_of_it_is_meant() -> None:
    assert listing(*QUEUE, selector=BOUNCES) == Listing(
        count=4,
        listed=4,
        unparsed=0,
        ids=ids(*QUEUE),
        frozen_ids=ids(OLD, YOUNG, SENT),
        frozen_unknown=0,
        matching=2,
        chosen=(OLD, YOUNG),
    )


def test_an_empty_queue() -> None:
    for body in (b'{"error": 100}', reply([])):
        assert read(body, count=0) == EMPTY
    assert EMPTY.is_whole
    assert EMPTY.is_all_frozen_mail, "all of nothing; no plan is made of that"


@pytest.mark.parametrize(("most", "chosen"), [(0, ()), (1, (OLD,)), (2, (OLD, SENT)), (9, None)])
def test_no_more_messages_are_kept_than_are_asked_for_but_all_are_counted(
    most: int, chosen: tuple[Message, ...] | None
) -> None:
    told = listing(*QUEUE, selector=FROZEN, most=most)
    assert told.matching == 3
    assert told.chosen == ((OLD, SENT, YOUNG) if chosen is None else chosen)
    assert told.ids == ids(*QUEUE)


def test_a_limit_is_a_part_of_what_is_meant() -> None:
    told = listing(*QUEUE, selector=Selector(frozen=True, limit=2))
    assert (told.matching, told.chosen) == (2, (OLD, SENT))
    assert told.frozen_ids == ids(OLD, SENT, YOUNG)


def test_a_row_that_is_not_understood_is_counted_and_never_meant() -> None:
    rows = [*rendering.objects(QUEUE), {"msg_id": "?", "status": "frozen"}, 17, {}]
    told = read(reply(rows), count=7)
    assert (told.listed, told.unparsed, told.matching) == (7, 3, 4)
    assert told.ids == {m.id for m in told.chosen} == ids(*QUEUE)


def test_an_id_that_comes_twice_is_one_message() -> None:
    told = read(reply(rendering.objects([OLD, PLAIN, OLD])), FROZEN, count=3)
    assert (told.listed, told.unparsed, told.matching) == (3, 1, 1)
    assert not told.is_all_frozen_mail


def test_of_some_messages_it_may_not_be_known_whether_they_are_frozen() -> None:
    rows = rendering.objects(QUEUE)
    for row in rows[2:]:
        del row["status"]
    told = read(reply(rows), FROZEN, count=4)
    assert told.frozen_unknown == 2
    assert told.frozen_ids == ids(YOUNG, OLD)
    assert told.chosen == (OLD, YOUNG)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error": 1}', reply(5), b"<html></html>"])
def test_what_is_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(PanelError):
        read(body, count=4)


def test_it_travels_between_processes() -> None:
    told = listing(*QUEUE, selector=BOUNCES)
    assert pickle.loads(pickle.dumps(told)) == told


@settings(deadline=None)
@given(
    messages=strategies.messages(strategies.exim_ids, delivered=True),
    selector=st.sampled_from([EVERYTHING, FROZEN, BOUNCES, Selector(older_than="10m", limit=2)]),
    shape=st.sampled_from(sorted(rendering.EXIM)),
)
def test_in_every_shape_it_means_what_the_selector_means(
    messages: list[Message], selector: Selector, shape: str
) -> None:
    body = reply(rendering.EXIM[shape](messages))
    if shape in rendering.BARE_NULL and not any(m.sender for m in messages):
        messages = [replace(m, sender=None) for m in messages]
    shown = read(body, selector, count=len(messages), guesses=True)
    assert shown.is_whole
    meant = [m.id for m in select(messages, selector)]
    assert (shown.matching, [m.id for m in shown.chosen]) == (len(meant), meant)
    acted_on = read(body, selector, count=len(messages))
    needed = fields_of(selector)
    certain = read(body, count=len(messages), guesses=True).chosen
    guessed = {m.id for m in certain if m.guessed}
    assert [m.id for m in acted_on.chosen] == meant or guessed
    assert all(m.guessed.isdisjoint(needed) for m in acted_on.chosen)
    frozen = {m.id for m in messages if m.frozen}
    assert acted_on.frozen_ids == frozen - {m.id for m in certain if "frozen" in m.guessed}
    if not guessed:
        assert acted_on.is_all_frozen_mail == (set(meant) == frozen)
    elif acted_on.is_all_frozen_mail:
        assert set(meant) == frozen, "all of it is known"


# --- whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "listed", "whole"),
    [
        (0, 0, True),
        (5, 5, True),
        # More has come, and some has gone, since it was counted.
        (0, 3, True),
        (5, 900, True),
        (15, 5, True),
        (15, 4, False),
        (100, 90, True),
        (100, 89, False),
        (1000, 900, True),
        (1000, 899, False),
        (100_000, 90_000, True),
        (100_000, 89_999, False),
        # Without a row nothing is known of them, few as they are.
        (1, 0, False),
        (10, 0, False),
    ],
)
def test_a_list_is_whole_unless_too_much_of_the_queue_is_missing(
    count: int, listed: int, whole: bool
) -> None:
    assert replace(EMPTY, count=count, listed=listed).is_whole is whole


def test_rows_that_are_not_understood_are_there_all_the_same() -> None:
    told = read(reply([17] * 40), count=40)
    assert told.is_whole
    assert told.ids == frozenset()


# --- all frozen mail ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "selector", "expected"),
    [
        (QUEUE, FROZEN, True),
        ([OLD, YOUNG, PLAIN], BOUNCES, True),
        # A frozen message is not meant.
        (QUEUE, BOUNCES, False),
        (QUEUE, Selector(frozen=True, limit=2), False),
        (QUEUE, Selector(frozen=True, limit=3), True),
        (QUEUE, Selector(frozen=True, older_than="30m"), False),
        # One that is not frozen is.
        (QUEUE, EVERYTHING, False),
        (QUEUE, Selector(younger_than="30m"), False),
        ([OLD, YOUNG], EVERYTHING, True),
        ([PLAIN], Selector(frozen=False), False),
    ],
)
def test_whether_all_frozen_mail_is_meant_and_no_more(
    queue: list[Message], selector: Selector, expected: bool
) -> None:
    assert listing(*queue, selector=selector).is_all_frozen_mail is expected


@pytest.mark.parametrize(
    "change",
    [
        {"unparsed": 1, "listed": 5},
        {"frozen_unknown": 1},
        {"count": 40},
        {"count": 5},
        {"matching": 4},
        {"chosen": (OLD, SENT)},
        {"chosen": (OLD, SENT, PLAIN)},
        {"frozen_ids": ids(OLD, SENT, YOUNG, PLAIN)},
        {"frozen_ids": ids(OLD, SENT, PLAIN)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_where_anything_is_not_known_it_is_not_all_frozen_mail(change: dict[str, Any]) -> None:
    told = listing(*QUEUE, selector=FROZEN)
    assert told.is_all_frozen_mail
    assert not replace(told, **change).is_all_frozen_mail


def test_more_frozen_mail_than_is_kept_is_not_one_operation() -> None:
    assert not listing(*QUEUE, selector=FROZEN, most=2).is_all_frozen_mail


# --- asking -------------------------------------------------------------------------------------


class Scripted:
    """A client of a panel that answers as it was made to."""

    clock_skew = 7.5
    call = PanelClient.call

    def __init__(self, **replies: Sequence[bytes]) -> None:
        self.host = host()
        self.replies = {name: iter(told) for name, told in replies.items()}
        self.asked: list[str] = []
        self.told: list[tuple[str, str]] = []

    async def request(self, operation: Operation, **_: object) -> PanelReply:
        self.asked.append(operation.value)
        return PanelReply(operation, next(self.replies[operation.value]), 0.1)

    def record_outcome(self, reply: PanelReply, outcome: str) -> None:
        self.told.append((reply.operation.value, outcome))


async def asked(panel: Scripted, selector: Selector = FROZEN, most: int = 9) -> Listing:
    return await ask_listing(panel, QueueDecoder(), ListQuery(selector, most))  # type: ignore[arg-type]  # all that it needs


async def test_it_counts_and_lists() -> None:
    panel = Scripted(count_msg=[reply(4)], list_msg=[reply(rendering.objects(QUEUE))])
    told = await asked(panel)
    assert (told.count, told.listed, told.matching) == (4, 4, 3)
    assert panel.asked == ["count_msg", "list_msg"]
    assert panel.told == [("count_msg", "ok"), ("list_msg", "ok")]


@pytest.mark.parametrize("nothing", [b'{"error": 100}', reply([]), reply(""), reply(False)])
async def test_an_empty_queue_is_listed_too(nothing: bytes) -> None:
    panel = Scripted(count_msg=[reply(0)], list_msg=[nothing])
    assert await asked(panel) == EMPTY


@pytest.mark.parametrize("nothing", [b'{"error": 100}', reply([]), reply("")])
async def test_an_empty_text_for_a_count_is_0_beside_an_empty_list(nothing: bytes) -> None:
    panel = Scripted(count_msg=[reply("")], list_msg=[nothing])
    assert await asked(panel) == EMPTY
    panel = Scripted(count_msg=[reply("")], list_msg=[nothing])
    assert await ask_count(panel) == 0  # type: ignore[arg-type]  # all that it needs


@pytest.mark.parametrize(
    "body", [reply(rendering.objects(QUEUE)), reply("Segmentation fault"), reply(False), b""]
)
async def test_and_no_number_beside_anything_else(body: bytes) -> None:
    panel = Scripted(count_msg=[reply("")] * 2, list_msg=[body] * 2)
    with pytest.raises(PanelError):
        await asked(panel)
    with pytest.raises(PanelError):
        await ask_count(panel)  # type: ignore[arg-type]  # all that it needs


async def test_an_empty_body_is_a_list_that_could_not_be_encoded() -> None:
    for count in (0, 4):
        panel = Scripted(count_msg=[reply(count)], list_msg=[b""])
        panel.host = host(password="a-password-in-no-sentence")
        with pytest.raises(PanelError, match="could not encode its list") as told:
            await asked(panel)
        assert "dialect" not in str(told.value)
        assert panel.told[-1] == ("list_msg", Reason.NOT_JSON)


async def test_a_count_of_zero_is_not_believed_against_the_list() -> None:
    panel = Scripted(count_msg=[reply(0)], list_msg=[reply(rendering.objects(QUEUE))])
    assert (await asked(panel)).ids == ids(*QUEUE)


@pytest.mark.parametrize(
    ("counts", "rows", "count", "whole"), [((3, 0), [], 0, True), ((3, 3), [], 3, False)]
)
async def test_what_left_the_queue_in_between_is_not_missing(
    counts: tuple[int, int], rows: list[Message], count: int, *, whole: bool
) -> None:
    panel = Scripted(count_msg=[reply(n) for n in counts], list_msg=[reply(rows)])
    told = await asked(panel)
    assert (told.count, told.is_whole) == (count, whole)
    assert panel.asked == ["count_msg", "list_msg", "count_msg"]


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ({"count_msg": b'{"error": 1}'}, Reason.AUTH),
        ({"count_msg": reply("many")}, Reason.UNEXPECTED),
        ({"count_msg": reply(4), "list_msg": b'{"error": 400}'}, Reason.FORBIDDEN),
        ({"count_msg": reply(4), "list_msg": b"PHP Fatal error"}, Reason.NOT_JSON),
    ],
)
async def test_what_a_panel_does_not_tell_is_an_error(
    replies: dict[str, bytes], reason: Reason
) -> None:
    panel = Scripted(**{name: [body] for name, body in replies.items()})
    with pytest.raises(PanelError) as told:
        await asked(panel)
    assert told.value.reason is reason
    assert panel.told[-1] == (panel.asked[-1], reason)
