"""Mistakes: those of a whole model, each told at its own key; and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Mistake = tuple[tuple[str | int, ...], str]
"""Where below a model, and what."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question with the known word that is most like this one; "" when none is."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


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
