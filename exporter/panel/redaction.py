"""Keeps a host's secrets out of texts that quote a panel's reply.

A panel may send back what it was sent. Its words are quoted in errors, and rows that are not
understood are shown. So both are made from a reply in which the secrets are replaced first.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import TypeVar
from urllib.parse import quote, quote_plus

from exporter.panel.errors import PanelError

T = TypeVar("T")

_REDACTED = b"<secret>"


def redact(body: bytes, secrets: Iterable[str]) -> bytes:
    """Return `body` without the secrets, in the forms in which a panel would send them back."""
    for form in written_forms(secrets):
        written = form.encode("utf-8", "surrogateescape")
        if written in body:
            body = body.replace(written, _REDACTED)
    return body


def redact_text(text: str, secrets: Iterable[str]) -> str:
    """Return a text made of a reply without the secrets, in whatever form."""
    for form in written_forms(secrets):
        if form in text:
            text = text.replace(form, _REDACTED.decode())
    return text


def written_forms(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return all forms of the secrets, the longest first: one may hold another."""
    return _written_forms(tuple(secrets))


@lru_cache(maxsize=8192)  # each poll's texts are searched; a kilobyte for each host
def _written_forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    forms = {
        form
        for secret in secrets
        if secret
        for text in (secret, *_in_base64(secret))
        for form in _forms(text)
    }
    return tuple(sorted(forms, key=len, reverse=True))


_SHORTEST = 8
"""Characters of base64 that are taken for a part of a secret: fewer are found in many a word."""


def _in_base64(secret: str) -> set[str]:
    """Return a secret in base64, alone and inside a longer text, as the header of basic auth.

    Its bytes are grouped in one of three ways, by the length of what is before it. Characters
    that also encode a part of what is around it are left out.
    """
    data = secret.encode("utf-8", "surrogateescape")
    whole = b64encode(data).decode()
    texts = {whole, whole.rstrip("=")}
    for before in range(3):
        encoded = b64encode(bytes(before) + data).decode().rstrip("=")
        shared_before = (0, 2, 3)[before]
        shared_after = 1 if (before + len(data)) % 3 else 0
        part = encoded[shared_before : len(encoded) - shared_after]
        if len(part) >= _SHORTEST:
            texts.add(part)
    return texts | {text.replace("+", "-").replace("/", "_") for text in texts}


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, and as URLs, HTML and JSON write it, or JSON that holds these."""
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    texts |= {_ESCAPE.sub(lambda found: found[0].lower(), text) for text in texts if text != secret}
    for mark in ("'", *_APOSTROPHES):
        escaped = html.escape(secret, quote=False).replace("'", mark)
        texts |= {escaped, escaped.replace('"', "&quot;")}
    written = {json.dumps(text)[1:-1] for text in texts}
    written |= {json.dumps(text, ensure_ascii=False)[1:-1] for text in texts}
    written |= {_in_hex(text, form) for text in written for form in ("04X", "04x")}
    # PHP also escapes the slash.
    return texts | written | {text.replace("/", "\\/") for text in written}


_ESCAPE = re.compile("%[0-9A-F]{2}")

_APOSTROPHES = ("&#039;", "&#39;", "&#x27;", "&apos;")
"""PHP writes the first of these in HTML."""


def _in_hex(written: str, form: str) -> str:
    """Return a text of JSON without characters with a meaning in HTML, as with JSON_HEX_TAG."""
    text = written.replace('\\"', "\\u0022")
    return "".join(f"\\u{ord(c):{form}}" if c in "<>&'" else c for c in text)


def holds_secret(text: str, secrets: Iterable[str]) -> bool:
    """Return whether a text made of a reply holds a secret, however the reply had written it."""
    return any(form in text for form in written_forms(secrets))


async def read_discreetly(
    body: bytes, secrets: Iterable[str], read: Callable[[bytes], Awaitable[T]]
) -> T:
    """Return `await read(body)`, or raise its error without any secret.

    The reply itself is read as it came: a short password may be a part of anything in it.

    Raises:
        PanelError: as `read` does, with a text made without the secrets.
    """
    secrets = tuple(secrets)
    try:
        return await read(body)
    except PanelError as error:
        clean = redact(body, secrets)
        if clean == body and not holds_secret(str(error), secrets):
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
        if error.reason is fault.reason and not holds_secret(str(error), secrets):
            fault = error
    raise fault
