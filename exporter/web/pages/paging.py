"""A long list page by page, as a URL's query asks for it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PER_PAGE = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paged(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    page: int
    """Counted from 1."""
    pages: int


def page_of(query: Mapping[str, str]) -> int:
    """The page that a query asks for; the first when it says nothing of use."""
    number = query.get("page", "1")
    return max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 7 else 1


def paged(items: Sequence[T], wanted: int) -> Paged[T]:
    """Page `wanted` of the items, or the last one there is."""
    pages = max(1, math.ceil(len(items) / PER_PAGE))
    page = min(wanted, pages)
    return Paged(tuple(items[(page - 1) * PER_PAGE : page * PER_PAGE]), page, pages)
