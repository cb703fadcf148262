"""Makes text from elsewhere harmless to show. Pure."""

from __future__ import annotations

import re
import unicodedata

_MENTION = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[@!#])", re.IGNORECASE)
"""What makes a chat notify everybody."""


def one_line(text: str, limit: int) -> str:
    """Return `text` as one line of at most `limit` characters that moves nothing around it.

    Control characters, line ends and whatever else is invisible become spaces; marks that turn the
    direction of writing, or have no width, are removed.
    """
    # Characters far beyond the limit cannot be shown; runs of spaces may shorten those before it.
    shown = "".join(map(_visible, text[: limit * 4]))
    return cut(_MENTION.sub("", " ".join(shown.split())), limit)


def _visible(character: str) -> str:
    match unicodedata.category(character):
        case "Cf" | "Cs":
            return ""
        case "Cc" | "Co" | "Cn" | "Zl" | "Zp" | "Zs":
            return " "
    return character


def cut(text: str, limit: int) -> str:
    """Return `text`, or as much of it as leaves room for an ellipsis within `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
