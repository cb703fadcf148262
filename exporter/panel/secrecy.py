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
    for form in written_forms(secrets):
        written = form.encode("utf-8", "surrogateescape")
        if written in body:
            body = body.replace(written, _BLOT)
    return body


def written_forms(secrets: Iterable[str]) -> list[str]:
    """Every form of the secrets that are not empty, the longest first: one may hold another."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    return sorted(forms, key=len, reverse=True)


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as URLs, HTML and JSON write it, or JSON that holds these."""
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    for mark in ("'", *_APOSTROPHES):
        escaped = html.escape(secret, quote=False).replace("'", mark)
        texts |= {escaped, escaped.replace('"', "&quot;")}
    written = {json.dumps(text)[1:-1] for text in texts}
    written |= {json.dumps(text, ensure_ascii=False)[1:-1] for text in texts}
    written |= {_in_hex(text, form) for text in written for form in ("04X", "04x")}
    # PHP also escapes the slash.
    return texts | written | {text.replace("/", "\\/") for text in written}


_APOSTROPHES = ("&#039;", "&#39;", "&#x27;", "&apos;")
"""PHP writes the first of these in HTML."""


def _in_hex(written: str, form: str) -> str:
    """A text of JSON without characters that mean something in HTML, as with JSON_HEX_TAG."""
    text = written.replace('\\"', "\\u0022")
    return "".join(f"\\u{ord(c):{form}}" if c in "<>&'" else c for c in text)


def tells(text: str, secrets: Iterable[str]) -> bool:
    """Whether a text made of a reply holds a secret, however the reply had written it."""
    return any(secret and secret in text for secret in secrets)


async def read_discreetly(
    body: bytes, secrets: Iterable[str], read: Callable[[bytes], Awaitable[T]]
) -> T:
    """`await read(body)`, whose error quotes no secret.

    The reply itself is read as it came: a short password may be a part of anything in it.

    Raises:
        PanelError: as `read` does, with a text made without the secrets.
    """
    secrets = tuple(secrets)
    try:
        return await read(body)
    except PanelError as error:
        clean = blot_out(body, secrets)
        if clean == body and not tells(str(error), secrets):
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
        if error.reason is fault.reason and not tells(str(error), secrets):
            fault = error
    raise fault
