"""What the entries of each kind say beside their sentence, as typed values. Pure.

An entry's `detail` is plain JSON, written by this version or another one. What is missing there,
or has another form than this version writes, is None here: it is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

from exporter.journal.entries import Entry

Detail = Mapping[str, object]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _truth(value: object) -> bool | None:
    """Decode a flag that is set by whatever an earlier version wrote there."""
    return None if value is None else bool(value)


def _texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        return None
    return tuple(value)


def _counts(value: object) -> Mapping[str, int] | None:
    if not isinstance(value, Mapping) or any(_count(each) is None for each in value.values()):
        return None
    return value


def _values(value: object) -> Detail | None:
    return value if isinstance(value, Mapping) else None


class _Codec(NamedTuple):
    name: str
    """Of the field."""
    decode: Callable[[object], Any]


_CODECS: dict[type, dict[str, _Codec]] = {}


class _Record:
    """A detail as the fields of a frozen dataclass."""

    __slots__ = ()

    @classmethod
    def from_detail(cls, detail: Detail, *keys: str) -> Self:
        """Return what a detail says, and None for what it does not; of some keys only, if any.

        To read two of them takes a fourth of the time, which a journal of years shows.
        """
        codec = _codec(cls)
        return cls(
            **{codec[k].name: codec[k].decode(detail[k]) for k in keys or codec if k in detail}
        )

    @classmethod
    def of(cls, entry: Entry, *keys: str) -> Self:
        """Return what an entry says, which must be of the kind that has such a detail."""
        return cls.from_detail(entry.detail, *keys)

    def to_detail(self) -> dict[str, object]:
        """Return the detail to write, without what is not known."""
        values = ((key, getattr(self, each.name)) for key, each in _codec(type(self)).items())
        return {key: _plain(value) for key, value in values if value is not None}


def _codec(record: type[_Record]) -> dict[str, _Codec]:
    """Return the codec of each key of a detail."""
    if record not in _CODECS:
        _CODECS[record] = {
            each.metadata.get("key", each.name): _Codec(each.name, each.metadata["decode"])
            for each in fields(record)  # type: ignore[arg-type]  # each is a dataclass
        }
    return _CODECS[record]


def _plain(value: object) -> object:
    if isinstance(value, _Record):
        return value.to_detail()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class IncidentRecord(_Record):
    """The firing of an alert: in ASKED and WITHDRAWN, and in BLOCKED after a request."""

    alert: str | None = field(default=None, metadata={"decode": _text})
    """The alert's name."""
    key: str | None = field(default=None, metadata={"decode": _text})
    """What makes a firing of it the same when it is reported again."""
    fingerprint: str | None = field(default=None, metadata={"decode": _text, "key": "of"})
    """What distinguishes the alert from others."""
    since: str | None = field(default=None, metadata={"decode": _text})
    """When it began, as Alertmanager writes it."""


@dataclass(frozen=True, slots=True)
class IntentRecord(_Record):
    """What is about to be done, and why."""

    why: Detail | None = field(default=None, metadata={"decode": _values})
    """What each condition compared, and the incident where an alert asked."""
    for_seconds: float | None = field(default=None, metadata={"decode": _number})
    """For how long the conditions had to hold."""
    approval: bool | None = field(default=None, metadata={"decode": _truth})
    """Whether it goes by a person's approval."""
    planned: int | None = field(default=None, metadata={"decode": _count})
    """Messages of the plan."""
    reason: str | None = field(default=None, metadata={"decode": _text})
    """Why they are asked for one by one, or all at once."""
    as_a_whole: bool | None = field(default=None, metadata={"decode": _flag})
    """Whether one request is for all of them."""
    listed_at: float | None = field(default=None, metadata={"decode": _number})
    """Unix time of the list that the plan was made of."""
    withheld: int | None = field(default=None, metadata={"decode": _count})
    """Messages that the plan leaves out."""
    service: str | None = field(default=None, metadata={"decode": _text})
    """The service that is switched."""
    verify: tuple[str, ...] | None = field(default=None, metadata={"decode": _texts})
    """The conditions that are expected to hold afterwards."""


@dataclass(frozen=True, slots=True)
class RequestRecord(_Record):
    """What a rule asks a person to approve: of APPROVAL_REQUESTED."""

    why: Detail | None = field(default=None, metadata={"decode": _values})
    """What each condition compared."""
    planned: int | None = field(default=None, metadata={"decode": _count})
    """Messages that it would act on."""
    action_text: str | None = field(default=None, metadata={"decode": _text, "key": "deed"})
    """What it would do to them: the action, the service, `force`."""
    listed_at: float | None = field(default=None, metadata={"decode": _number})
    """Unix time of the list that shows them; their ages count from there."""


@dataclass(frozen=True, slots=True)
class ReplyRecord(_Record):
    """What became of one request to the panel."""

    id: str | None = field(default=None, metadata={"decode": _text})
    """The message that it was for; None where it was for the whole queue or a service."""
    reason: str | None = field(default=None, metadata={"decode": _text})
    """Why it failed, of panel.errors.Reason."""


@dataclass(frozen=True, slots=True)
class StoppedByRecord(_Record):
    """What stopped an action in the middle."""

    guard: str | None = field(default=None, metadata={"decode": _text})
    reason: str | None = field(default=None, metadata={"decode": _text})


def _stopped_by(value: object) -> StoppedByRecord | None:
    """Decode what stopped an action: that something did is known, whatever its form."""
    return None if value is None else StoppedByRecord.from_detail(_values(value) or {})


@dataclass(frozen=True, slots=True)
class OutcomeRecord(_Record):
    """What an action came to."""

    reply: str | None = field(default=None, metadata={"decode": _text})
    """What became of the one request to switch a service."""
    planned: int | None = field(default=None, metadata={"decode": _count})
    """Messages of the plan."""
    replies: Mapping[str, int] | None = field(default=None, metadata={"decode": _counts})
    """Requests by what became of them."""
    left_out: int | None = field(default=None, metadata={"decode": _count})
    """Messages that were not asked for, since they are not what was planned any more."""
    left: int | None = field(default=None, metadata={"decode": _count})
    """Messages that were not asked for, since they had left the queue by themselves."""
    stopped_by: StoppedByRecord | None = field(default=None, metadata={"decode": _stopped_by})
    gone: int | None = field(default=None, metadata={"decode": _count})
    still_there: int | None = field(default=None, metadata={"decode": _count})
    removed: int | None = field(default=None, metadata={"decode": _count})
    """Messages that are gone by the action."""
    left_by_themselves: int | None = field(default=None, metadata={"decode": _count})
    frozen_gone_beyond_the_plan: tuple[str, ...] | None = field(
        default=None, metadata={"decode": _texts}
    )
    """The first hundred frozen messages that were not meant and are gone all the same."""
    others_left: int | None = field(default=None, metadata={"decode": _count})
    gone_beyond_the_plan: tuple[str, ...] | None = field(default=None, metadata={"decode": _texts})
    """The first hundred other messages that are gone, perhaps by the action."""
    froze_meanwhile: int | None = field(default=None, metadata={"decode": _count})
    guessed: tuple[str, ...] | None = field(default=None, metadata={"decode": _texts})
    """Fields, only guessed, that keep it from being known whether `verify` came true."""
    settled: bool | None = field(default=None, metadata={"decode": _flag})
    """Whether it was found out afterwards, since the process ended in the middle."""
