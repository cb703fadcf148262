"""Other people's text made harmless to show: pure."""

from __future__ import annotations

import re
import unicodedata

_MENTION = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[@!#])", re.IGNORECASE)
"""At which chats call everybody."""


def one_line(text: str, limit: int) -> str:
    """`text` as one line of at most `limit` characters that moves nothing around it.

    Control characters, line ends and whatever else is not shown become spaces; marks that turn
    the direction of writing, or have no width, go.
    """
    # What lies beyond the limit needs no look; runs of spaces may shorten what is before it.
    shown = "".join(map(_shown, text[: limit * 4]))
    return cut(_MENTION.sub("", " ".join(shown.split())), limit)


def _shown(character: str) -> str:
    match unicodedata.category(character):
        case "Cf" | "Cs":
            return ""
        case "Cc" | "Co" | "Cn" | "Zl" | "Zp" | "Zs":
            return " "
    return character


def cut(text: str, limit: int) -> str:
    """`text`, or as much of it as leaves room for an ellipsis within `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
