"""list_msg: from the reply's bytes to a table of messages, whatever form the rows have.

The stages, each a module: `list_payload` (what kind of payload), `row_batches` (rows of one form,
cut into columns), `columns` (what the cells say), `row_collector` (each message once; the table).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from exporter.panel.decode.columns import ListOptions
from exporter.panel.decode.envelope import open_envelope, quote, unexpected
from exporter.panel.decode.lenient_json import PARSE_ERRORS
from exporter.panel.decode.list_payload import MAX_POSITIONS, Place, open_payload, open_text
from exporter.panel.decode.message_table import ColumnBatch, MessageTable
from exporter.panel.decode.row_batches import RefusedRows, RowBatch, RowForms, row_batches
from exporter.panel.decode.row_collector import RowCollector, TableBuilder, summarise
from exporter.panel.protocol import LIST_EMPTY_CODE, Operation

_CROWDED_FROM = 2**20
_LEAST_PER_VALUE = 6
"""Bytes per comma in a large reply; rows of messages have four times as many. A list such as
`1,1,1,…` would take forty times its size as Python objects."""

_LEAST_PER_ROW_VALUE = 20
"""Bytes per comma in a large reply whose values do not stand in rows as those of messages do,
such as `{"0":0,"1":0,…}`."""


def decode_queue(body: bytes, options: ListOptions) -> MessageTable:
    """Return the messages of a reply to list_msg.

    Raises:
        PanelError: as `decode_reply`, and `unexpected` when the payload is no list of any kind.
            Rows that are not understood are counted, they are no error.
    """
    builder = TableBuilder()
    collector, summary = read_queue(body, builder.add, options, explain=True)
    return builder.build(summary, collector)


def read_queue(
    body: bytes,
    sink: Callable[[ColumnBatch], None],
    options: ListOptions,
    *,
    explain: bool = False,
) -> tuple[RowCollector, MessageTable]:
    """Read as `decode_queue`, but `sink` gets the messages batch by batch, so that none need stay.

    Returns:
        What took in the ids of all messages, and the table without its messages; with `explain`
        it says how each field was read.
    """
    if len(body) > _CROWDED_FROM and _is_crowded(body):
        raise unexpected("The values in list_msg's reply are too many and too short for messages.")
    envelope = open_envelope(body, Operation.LIST)
    collector = RowCollector(sink)
    if envelope.code == LIST_EMPTY_CODE:
        shape = f"the code {LIST_EMPTY_CODE}: the queue is empty"
        return collector, MessageTable(shape=shape)
    if envelope.payload is None:
        raise unexpected(f"The reply to list_msg holds no list.{quote(envelope.text)}")
    forms = RowForms(options)
    place = Place(options.by_position, found=(f"under `{envelope.payload_key}`",))
    try:
        found = _read_payload(envelope.payload, place, forms, collector)
    except PARSE_ERRORS:
        raise unexpected("The payload of list_msg cannot be read.") from None
    return collector, summarise(collector, forms, found=found, explain=explain)


def _read_payload(
    payload: msgspec.Raw, place: Place, forms: RowForms, collector: RowCollector
) -> list[str]:
    """Read all sections of a payload; return in words where they were found."""
    found: list[str] = []
    section = open_payload(payload, place)
    while True:
        found += section.place.found
        texts: list[str] = []
        for batch in row_batches(section, forms):
            match batch:
                case RowBatch():
                    collector.add(batch)
                case RefusedRows():
                    collector.refuse(batch)
                case _:
                    texts += batch.lines
            del batch  # the next one then takes its memory, which is a tenth faster
        if not texts:
            return found
        # Texts among the rows of a list are one more section: nested less deep each time.
        section = open_text("\n".join(texts), section.place._replace(found=()))


def _is_crowded(body: bytes) -> bool:
    """Return whether values are too many and too short to be those of messages."""
    values = body.count(b",")
    if values * _LEAST_PER_VALUE > len(body):
        return True
    if values * _LEAST_PER_ROW_VALUE <= len(body):
        return False
    rows = body.count(b"{") + body.count(b"[")
    return not values / MAX_POSITIONS <= rows <= values
