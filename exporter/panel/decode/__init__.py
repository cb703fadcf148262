"""Decodes the panel's replies: pure functions from bytes to values, no clock, no I/O."""

from exporter.panel.decode.anonymise import anonymise, anonymise_reply
from exporter.panel.decode.columns import ListOptions
from exporter.panel.decode.count import (
    decode_count,
    decode_count_reply,
    no_count,
)
from exporter.panel.decode.envelope import decode_reply, known_beside_a_count
from exporter.panel.decode.message_table import MessageTable
from exporter.panel.decode.queue import decode_queue
from exporter.panel.decode.recognition import FieldReading
from exporter.panel.decode.service_status import decode_service_reply
from exporter.panel.decode.statistics import QueueUpdate, decode_queue_update, queue_stats

__all__ = [
    "FieldReading",
    "ListOptions",
    "MessageTable",
    "QueueUpdate",
    "anonymise",
    "anonymise_reply",
    "decode_count",
    "decode_count_reply",
    "decode_queue",
    "decode_queue_update",
    "decode_reply",
    "decode_service_reply",
    "known_beside_a_count",
    "no_count",
    "queue_stats",
]
