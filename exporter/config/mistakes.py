"""Mistakes of a whole model, each told at its own key."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Mistake = tuple[tuple[str | int, ...], str]
"""Where below a model, and what."""


def tell(title: str, mistakes: Iterable[Mistake]) -> None:
    """Raise the mistakes, each at its key: a model's own error would not say where it is.

    Raises:
        ValidationError: when there is one.
    """
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("mistake", "{words}", {"words": words}), loc=loc, input=None
        )
        for loc, words in mistakes
    ]
    if errors:
        raise ValidationError.from_exception_data(title, errors)
