"""The types that every part of the config is made of, and its strict, frozen models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from exporter.config.errors import Mistake
from exporter.config.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size


def _duration(value: object) -> float:
    seconds = parse_duration(value if isinstance(value, str) else "")
    if not 0 < seconds <= 365 * 86400:  # the event loop's timers overflow above that
        raise ValueError("must be more than 0 and at most 365d")
    return seconds


def _size(value: object) -> int:
    size = parse_size(value if isinstance(value, str) else "")
    if size <= 0:
        raise ValueError("must be more than 0")
    return size


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
"""Seconds, written as `30s 5m 1h 3d`."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN}),
]
"""Bytes, written as `64MiB`."""

Count = Annotated[int, Field(strict=True)]
"""A whole number; neither text nor true and false."""


_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_LABELS = frozenset({"host", "url", "mta", "job", "instance", "le", "quantile"})


def _label_name(name: str) -> str:
    if not _LABEL_NAME.fullmatch(name):
        raise ValueError("must be letters, digits and _, and not start with a digit or __")
    if name in _RESERVED_LABELS:
        raise ValueError("is a label that the exporter or Prometheus sets: choose another name")
    return name


LabelName = Annotated[
    str,
    AfterValidator(_label_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_LABEL_NAME.pattern}$"}),
]
"""The name of a label that the config may add."""


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not an IANA time zone, as Europe/Moscow") from None
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]
"""The IANA name of a time zone."""


def matching(pattern: re.Pattern[str], words: str) -> AfterValidator:
    """Return a validator of texts that match as a whole; `words` say what they must be."""

    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


ONE_OR_MANY = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ]
    }
)
"""The schema of a text or a list of texts."""


class Model(BaseModel):
    """A part of the config: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        # Each at its key: an error raised in a model names only the model.
        errors = [
            InitErrorDetails(
                type=PydanticCustomError("mistake", "{words}", {"words": words}),
                loc=loc,
                input=None,
            )
            for loc, words in self._mistakes()
        ]
        if errors:
            raise ValidationError.from_exception_data(type(self).__name__, errors)
        return self

    def _mistakes(self) -> Iterator[Mistake]:
        """Yield what is wrong with the keys together."""
        yield from ()

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: object) -> object:
        # `labels:` with every line below it commented out counts as a key that is not given.
        if not isinstance(data, dict):
            return data
        written = {field.alias or name for name, field in cls.model_fields.items()}
        return {k: v for k, v in data.items() if v is not None or k not in written}
