"""Hostile and plausible replies for hypothesis and for the fuzz runner's invariants."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from exporter.snapshot import Message
from tests.decode.rendering import rounded_age

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE52 = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"

exim_ids = st.one_of(
    st.tuples(*(st.text(_BASE62, min_size=n, max_size=n) for n in (6, 6, 2))),
    st.tuples(*(st.text(_BASE62, min_size=n, max_size=n) for n in (6, 11, 4))),
).map("-".join)
postfix_ids = st.one_of(
    # The first row mixes letters and digits, as any real queue does.
    st.text("0123456789ABCDEF", min_size=4, max_size=8).map(lambda t: f"3F{t}A1"),
    st.tuples(
        st.text(_BASE52, min_size=9, max_size=9).map("4{}".format),
        st.text(_BASE52[:-1], min_size=1, max_size=6),
    ).map("z".join),
)
domains = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4})?\.(example\.)?(com|org|ru)", fullmatch=True)
_locals = st.one_of(
    st.from_regex(r"[a-zA-Z0-9._+=-]{1,12}", fullmatch=True),
    st.sampled_from(['"a b"', '"x> *** frozen ***"', '"q\\"q"', "иван"]),
)
addresses = st.tuples(_locals, domains).map("@".join)


def messages(ids: st.SearchStrategy[str], *, delivered: bool) -> st.SearchStrategy[list[Message]]:
    """Messages of which everything is known, each with an id of its own."""
    recipients = st.lists(addresses, min_size=1, max_size=4, unique=True)
    message = st.builds(
        Message,
        ids,
        age=st.integers(0, 10_000).map(lambda minutes: float(rounded_age(minutes * 60))),
        size=st.integers(100, 10**7),
        sender=st.one_of(st.just(""), addresses),
        recipients=recipients.map(tuple),
        delivered=st.lists(addresses, max_size=2 * delivered, unique=True).map(tuple),
        frozen=st.booleans(),
    )
    return st.lists(message, min_size=1, max_size=30, unique_by=lambda m: m.id)


_words = st.sampled_from(
    [
        *("1kXpJb-0004Uv-7Q", "1rXpJb-00000004Uv7-1ABC", "3F2A91C0B4*", "DEADBEEF", "512000"),
        *("25m", "-1666m", "2.9K", "-2147483430", "1024M", "Mon Nov 23 08:41:02", "1795487700"),
        *("<>", "", "<a@example.org>", '"x> *** frozen ***"@example.org', "a@b, c@d", "D a@b.ru"),
        *("frozen", "*** frozen ***", "заморожено", "active", "не запущен", "running", "включен"),
        *("12 messages: 12", "&lt;a@b&gt;<br>", "\ud800", "\x00", "a@" + "б" * 70 + ".рф"),
        " 3d   302 1xVPmh-0002kK-2M <user@example.org>\n          a@example.com\n\n",
        "3F2A91C0B4! 1234 Mon Nov 23 08:41:02  a@example.org\n    b@example.com\n",
    ]
)
_keys = st.sampled_from(
    [
        *("id", "msgid", "time", "age", "size", "sender", "to", "recipients", "status", "frozen"),
        *("address", "0", "1", "2", "error", "detail", "data", "count", "1kXpJb-0004Uv-7Q", "рост"),
    ]
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    _words,
)
values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=8),
        st.dictionaries(_keys | st.text(max_size=5), inner, max_size=8),
    ),
    max_leaves=40,
)
rows = st.lists(
    st.one_of(
        st.dictionaries(_keys, _scalars | st.lists(_words, max_size=3), max_size=7),
        st.lists(_scalars, max_size=7),
        _words,
    ),
    max_size=12,
)
