"""Keeps a host's secrets out of what a panel's reply makes us say.

A panel may send back what it was sent. Its words are quoted in errors, and rows that are not
understood are shown, so both are made from a reply in which the secrets are blotted out first.
"""

from __future__ import annotations

import html
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from urllib.parse import quote, quote_plus

from exporter.panel.errors import PanelError

T = TypeVar("T")

_BLOT = b"<secret>"


def blot_out(body: bytes, secrets: Iterable[str]) -> bytes:
    """`body` without the secrets, in the forms in which a panel would send them back."""
    for form in sorted({f for s in secrets if s for f in _forms(s)}, key=len, reverse=True):
        if form in body:
            body = body.replace(form, _BLOT)
    return body


def _forms(secret: str) -> set[bytes]:
    written = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
    # PHP also escapes the slash.
    texts = {secret, html.escape(secret), quote(secret), quote_plus(secret), *written}
    texts |= {text.replace("/", "\\/") for text in written}
    return {text.encode("utf-8", "surrogateescape") for text in texts}


async def read_discreetly(
    body: bytes, secrets: Iterable[str], read: Callable[[bytes], Awaitable[T]]
) -> T:
    """`await read(body)`, whose error quotes no secret.

    The reply itself is read as it came: a short password may be a part of anything in it.

    Raises:
        PanelError: as `read` does, with a text made without the secrets.
    """
    try:
        return await read(body)
    except PanelError as error:
        clean = blot_out(body, secrets)
        if clean == body:
            raise
        fault = PanelError(
            error.reason,
            "The panel's reply was not accepted; it is not quoted, for it holds a secret.",
            hint=error.hint,
            retryable=error.retryable,
        )
    try:
        await read(clean)
    except PanelError as error:
        if error.reason is fault.reason:
            fault = error
    raise fault
