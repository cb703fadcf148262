from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from exporter.config.selectors import Selector
from exporter.panel.errors import PanelError
from exporter.remediation.listing import Listing
from exporter.snapshot import Message, Reason
from exporter.web.pages.messages import (
    KEPT_FOR,
    KEPT_HOSTS,
    LONGEST,
    MAX_ADDRESSES,
    MAX_MESSAGES,
    Listed,
    ListingCache,
    MessageQuery,
    masking,
    message_page,
)
from exporter.web.pages.render import PER_PAGE, Paged
from tests.builders import NOW, message


def listing(messages: Sequence[Message]) -> Listing:
    ids = frozenset(each.id for each in messages)
    count = len(messages)
    return Listing(count, count, 0, ids, frozenset(), 0, count, tuple(messages))


MESSAGES = [
    message(f"1sAbCd-{number:06d}-2X", age=86400.0 * (10 - number / 100), frozen=number % 5 == 0)
    for number in range(250)
]


def view(**query: str) -> Paged[Message]:
    return page_of(Listed(listing(MESSAGES), NOW), mask=False, **query)


def page_of(listed: Listed, *, mask: bool, **query: str) -> Paged[Message]:
    return message_page(listed, MessageQuery.from_query(query), mask=mask)[0]


def test_pages_hold_every_message_once() -> None:
    first, second, third = (view(page=str(number)) for number in (1, 2, 3))
    assert [*first.items, *second.items, *third.items] == MESSAGES
    assert (first.total, first.pages, len(first.items)) == (250, 3, PER_PAGE)


@pytest.mark.parametrize(
    ("page", "number"),
    [("0", 1), ("-1", 1), ("4", 3), ("999999", 3), ("9" * 5000, 1), ("²", 1), ("x", 1), ("", 1)],
)
def test_a_page_that_is_none_is_the_nearest(page: str, number: int) -> None:
    assert view(page=page).page == number


def test_the_selectors_are_those_of_a_rule() -> None:
    assert view(frozen="yes").total == 50
    assert view(frozen="no").total == 200
    assert view(older_than="9d").total == 100
    assert view(younger_than="8d").total == 49
    assert view(older_than="9d", frozen="yes").total == 20
    assert view(sender="ANN@*").total == 250
    assert view(bounce="yes") == Paged((), 0, 1, 1)
    assert view(larger_than="1KiB").total == 250
    assert view(larger_than="1MiB").total == 0


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("ann@*", 0),
        ("a?n@*", 0),
        ("a…@example.com", 1),
        ("*@example.com", 1),
        ("b*@example.com", 0),
        ("*s*", 0),
    ],
)
def test_a_pattern_sees_no_more_of_a_masked_address_than_a_reader(pattern: str, found: int) -> None:
    hidden = Listed(
        listing(
            [message(sender="ann@example.com", recipients=("ann@example.com", "as@example.com"))]
        ),
        NOW,
    )
    for name in ("sender", "recipient"):
        assert page_of(hidden, mask=True, **{name: pattern}).total == found


def test_masking_leaves_bounces_and_what_is_unknown_as_they_are() -> None:
    bounce, unknown = message(sender=""), message(sender=None, recipients=None)
    listed = Listed(listing([bounce, unknown]), NOW)
    assert page_of(listed, mask=True, bounce="yes").total == 1
    assert page_of(listed, mask=True, bounce="no").total == 0
    assert page_of(listed, mask=True, recipient="*…@*").total == 1


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"older_than": "soon"}, "older_than: "),
        ({"larger_than": "-1"}, "larger_than: "),
        ({"older_than": "1", "frozen": "yes"}, "older_than: "),
    ],
)
def test_a_selector_that_is_none_shows_everything_and_says_why(
    query: dict[str, str], says: str
) -> None:
    wanted = MessageQuery.from_query(query)
    assert wanted.selector is None
    assert wanted.mistake.startswith(says)
    assert view(**query).total == 250


def test_what_is_empty_or_unknown_in_a_query_selects_nothing_away() -> None:
    assert MessageQuery.from_query(
        {"sender": "  ", "frozen": "maybe", "other": "x"}
    ) == MessageQuery(None)


class Panel:
    """Lists a queue when it is asked to, and counts how often that was."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.failing = False
        self.now = NOW

    async def list_queue(self, host: str, selector: Selector, most: int) -> Listing:
        assert selector.everything
        assert most == MAX_MESSAGES
        self.asked.append(host)
        await self.go.wait()
        if self.failing:
            raise PanelError(Reason.TIMEOUT, "It took too long.")
        return listing(MESSAGES[:3])


@pytest.fixture
def panel() -> Panel:
    return Panel()


@pytest.fixture
def lists(panel: Panel) -> ListingCache:
    return ListingCache(panel.list_queue, lambda: panel.now)


async def test_a_list_is_kept_for_a_minute(panel: Panel, lists: ListingCache) -> None:
    first = await lists.get("mx1")
    panel.now += KEPT_FOR - 1
    assert await lists.get("mx1") is first
    panel.now += 1
    assert (await lists.get("mx1")).at == panel.now
    assert panel.asked == ["mx1", "mx1"]
    await lists.close()


async def test_many_who_look_ask_once(panel: Panel, lists: ListingCache) -> None:
    panel.go.clear()
    looking = [asyncio.create_task(lists.get("mx1")) for _ in range(20)]
    await asyncio.sleep(0)
    looking[0].cancel()  # a reader who goes away takes nothing from the others
    panel.go.set()
    found = await asyncio.gather(*looking, return_exceptions=True)
    assert len({id(each) for each in found[1:]}) == 1
    assert panel.asked == ["mx1"]
    await lists.close()


async def test_a_failure_is_not_kept(panel: Panel, lists: ListingCache) -> None:
    panel.failing = True
    with pytest.raises(PanelError):
        await lists.get("mx1")
    panel.failing = False
    assert len((await lists.get("mx1")).listing.chosen) == 3
    await lists.close()


async def test_only_a_few_lists_are_kept(panel: Panel, lists: ListingCache) -> None:
    for number in range(KEPT_HOSTS + 1):
        await lists.get(f"mx{number}")
    await lists.get(f"mx{KEPT_HOSTS}")
    assert len(panel.asked) == KEPT_HOSTS + 1
    await lists.get("mx0")
    assert panel.asked[-1] == "mx0"
    await lists.close()


async def test_no_more_recipients_are_kept_than_can_be_looked_through(panel: Panel) -> None:
    many = tuple(f"r{number}@example.net" for number in range(MAX_ADDRESSES // 4))
    messages = [message(recipients=None), *(message(recipients=many) for _ in range(9))]

    async def list_queue(host: str, selector: Selector, most: int) -> Listing:
        return listing(messages)

    lists = ListingCache(list_queue, lambda: NOW)
    kept = (await lists.get("mx1")).listing
    assert list(kept.chosen) == messages[:5]
    assert kept.matching == 10, "the page tells that there are more"
    await lists.close()


async def test_a_new_config_forgets_them(panel: Panel, lists: ListingCache) -> None:
    await lists.get("mx1")
    lists.forget_all()
    await lists.get("mx1")
    assert panel.asked == ["mx1", "mx1"]
    await lists.close()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ann@example.com", "a…@example.com"),
        ("a@example.com", "a…@example.com"),
        ('"odd@one"@example.com', '"…@example.com'),
        ("@example.com", "…"),
        ("no address", "…"),
        ("", "…"),
        ("б@пример.рф", "б…@пример.рф"),
    ],
)
def test_what_stands_before_the_at_is_masked(address: str, shown: str) -> None:
    assert masking(mask=True)(address) == shown


def test_whole_addresses_are_cut_only_where_they_are_absurd() -> None:
    show = masking(mask=False)
    assert show("ann@example.com") == "ann@example.com"
    assert show("a" * 10_000) == "a" * LONGEST + "…"
    assert len(masking(mask=True)("a@" + "b" * 10_000)) == LONGEST + 1
