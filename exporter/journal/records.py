"""What the entries of each kind say beside their sentence, as typed values. Pure.

An entry's `detail` is plain JSON, written by this version or another one. What is missing there,
or has another form than this version writes, is None here: it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import msgspec

from exporter.journal.entries import Entry

Detail = Mapping[str, Any]


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A detail as typed fields."""

    @classmethod
    def from_detail(cls, detail: Detail) -> Self:
        """Return what a detail says, and None for what it does not."""
        try:
            return msgspec.convert(detail, cls)
        except msgspec.ValidationError:
            present = [each for each in _fields(cls) if each.encode_name in detail]
            return cls(**{each.name: cls._decode(each, detail) for each in present})

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return what an entry says, which must be of the kind that has this detail."""
        return cls.from_detail(entry.detail)

    @classmethod
    def _decode(cls, field: msgspec.structs.FieldInfo, detail: Detail) -> Any:
        try:
            return msgspec.convert(detail[field.encode_name], field.type)
        except msgspec.ValidationError:
            return cls._in_another_form(field.name, detail[field.encode_name])

    @classmethod
    def _in_another_form(cls, _name: str, _value: object) -> object:
        """Return what is known of a field that has another form than this version writes."""
        return None

    def replace(self, **changes: Any) -> Self:
        """Return the same with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def to_detail(self) -> dict[str, Any]:
        """Return the detail to write, without what is not known."""
        detail: dict[str, Any] = msgspec.to_builtins(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in detail.items()}


@cache
def _fields(record: type[_Record]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(record)


class IncidentRecord(_Record, frozen=True):
    """The firing of an alert: in ASKED and WITHDRAWN, and in BLOCKED after a request."""

    alert: str | None = None
    """The alert's name."""
    key: str | None = None
    """What makes a firing of it the same when it is reported again."""
    fingerprint: str | None = msgspec.field(default=None, name="of")
    """What distinguishes the alert from others."""
    since: str | None = None
    """When it began, as Alertmanager writes it."""


class IntentRecord(_Record, frozen=True):
    """What is about to be done, and why."""

    why: Detail | None = None
    """What each condition compared, and the incident where an alert asked."""
    for_seconds: int | float | None = None
    """For how long the conditions had to hold."""
    approval: bool | None = None
    """Whether it goes by a person's approval."""
    planned: int | None = None
    """Messages of the plan."""
    reason: str | None = None
    """Why they are asked for one by one, or all at once."""
    as_a_whole: bool | None = None
    """Whether one request is for all of them."""
    listed_at: int | float | None = None
    """Unix time of the list that the plan was made of."""
    withheld: int | None = None
    """Messages that the plan leaves out."""
    service: str | None = None
    """The service that is switched."""
    verify: tuple[str, ...] | None = None
    """The conditions that are expected to hold afterwards."""

    @classmethod
    def _in_another_form(cls, name: str, value: object) -> object:
        # An earlier version set the flag by whatever it wrote there.
        return bool(value) if name == "approval" else None


class RequestRecord(_Record, frozen=True):
    """What a rule asks a person to approve: of APPROVAL_REQUESTED."""

    why: Detail | None = None
    """What each condition compared."""
    planned: int | None = None
    """Messages that it would act on."""
    action_text: str | None = msgspec.field(default=None, name="deed")
    """What it would do to them: the action, the service, `force`."""
    listed_at: int | float | None = None
    """Unix time of the list that shows them; their ages count from there."""


class ReplyRecord(_Record, frozen=True):
    """What became of one request to the panel."""

    id: str | None = None
    """The message that it was for; None where it was for the whole queue or a service."""
    reason: str | None = None
    """Why it failed, of panel.errors.Reason."""


class StoppedByRecord(_Record, frozen=True):
    """What stopped an action in the middle."""

    guard: str | None = None
    reason: str | None = None


class OutcomeRecord(_Record, frozen=True):
    """What an action came to."""

    reply: str | None = None
    """What became of the one request to switch a service."""
    planned: int | None = None
    """Messages of the plan."""
    replies: Mapping[str, int] | None = None
    """Requests by what became of them."""
    left_out: int | None = None
    """Messages that were not asked for, since they are not what was planned any more."""
    left: int | None = None
    """Messages that were not asked for, since they had left the queue by themselves."""
    stopped_by: StoppedByRecord | None = None
    gone: int | None = None
    still_there: int | None = None
    removed: int | None = None
    """Messages that are gone by the action."""
    left_by_themselves: int | None = None
    frozen_gone_beyond_the_plan: tuple[str, ...] | None = None
    """The first hundred frozen messages that were not meant and are gone all the same."""
    others_left: int | None = None
    gone_beyond_the_plan: tuple[str, ...] | None = None
    """The first hundred other messages that are gone, perhaps by the action."""
    froze_meanwhile: int | None = None
    guessed: tuple[str, ...] | None = None
    """Fields, only guessed, that keep it from being known whether `verify` came true."""
    settled: bool | None = None
    """Whether it was found out afterwards, since the process ended in the middle."""

    @classmethod
    def _in_another_form(cls, name: str, value: object) -> object:
        # That something stopped the action is known, whatever its form.
        if name == "stopped_by":
            return StoppedByRecord.from_detail(value if isinstance(value, Mapping) else {})
        return None
