"""The envelope of every reply: a code, a text and a payload under several names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from exporter.panel.decode.anonymise import safe_text
from exporter.panel.decode.lenient_json import (
    Members,
    decode_value,
    find_object,
    is_json,
    readable_value,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import (
    LIST_EMPTY_CODE,
    SERVICE_OPERATIONS,
    SUCCESS_CODES,
    Operation,
    failure_for_code,
)
from exporter.snapshot import Reason

CODE_KEYS = ("error", "code", "err")
TEXT_KEYS = ("mess", "message", "msg")
PAYLOAD_KEYS = (
    "detail",
    "data",
    "array",
    "details",
    "result",
    "response",
    "list",
    "messages",
    "queue",
    "count",
)
"""Where a payload has been seen (the first three) or may be; the operation's name comes fourth."""

_SERVICE_PAYLOAD_KEYS = ("details", "result", "response", "status")
_SERVICES = frozenset(SERVICE_OPERATIONS.values())
_FAILED = ("false", "0", "no", "error", "fail", "failed", "failure")

_CODE = re.compile(r"\s*([+-]?\d{1,9})\s*", re.ASCII)
_MARKUP = re.compile(rb"\s*+<(?:!doctype|html|head|body|!--|\?xml)", re.IGNORECASE)
_EMPTY = (b"null", b'""', b"[]", b"{}")

_DIAGNOSE_HINT = "`diagnose` shows how the reply begins, `diagnose --save` keeps it."
_DIALECT_HINT = "Try another `dialect` for this host; `diagnose` shows how the reply begins."


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that reports success."""

    operation: Operation
    text: str
    """The panel's own sentence, as it came: not safe to log."""
    payload: object = None
    others: Mapping[str, object] = field(default_factory=dict)
    """All further members, keys in lower case."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The same with the values not decoded yet."""

    code: int
    """One of SUCCESS_CODES, or LIST_EMPTY_CODE for list_msg; 0 when the reply holds no code."""
    text: str
    payload_key: str
    """In lower case; "" when the reply has no payload."""
    members: Members

    @property
    def payload(self) -> msgspec.Raw | None:
        """The payload; None when the reply has none."""
        return self.members[self.payload_key] if self.payload_key else None


class EmptyBodyError(PanelError):
    """The panel answered with an empty body."""


def known_beside_a_count(error: PanelError) -> PanelError:
    """Return the error of list_msg from a panel that has just answered count_msg.

    Login and dialect are right then. PHP's json_encode gives nothing for a list with one byte
    that is no UTF-8, and what the panel prints is empty.
    """
    if error.reason is not Reason.NOT_JSON:
        return error
    if isinstance(error, EmptyBodyError):
        message = (
            "The panel could not encode its list: it answered list_msg with an empty body, though "
            "it answers count_msg."
        )
        hint = (
            "PHP gives nothing for a list in which one text is no UTF-8, such as a sender's name. "
            "It is no empty queue; look for that message with the mail server's own commands."
        )
    else:
        message = f"{error.message} The url, login and dialect are right: count_msg was answered."
        hint = "`diagnose` shows how the reply begins; PHP's own log may tell why."
    return PanelError(error.reason, message, hint=hint)


def decode_reply(body: bytes, operation: Operation) -> Reply:
    """Return the reply's code, text and payload.

    A reply without any code is taken for a success only when it holds a payload that is not
    empty: no page documents such a reply, but the payload's own decoder is strict and a panel
    that fails answers no payload. A code that is there but cannot be read, and a failure reported
    by `success` or `status`, are errors.

    Raises:
        PanelError: `not_json`, `unexpected` (no envelope), or what `failure_for_code` makes of
            a code that is no success. list_msg's code for an empty queue is no error.
    """
    envelope = open_envelope(body, operation)
    named = {envelope.payload_key, *CODE_KEYS, *TEXT_KEYS}
    members = envelope.members.items()
    others = {name: _value(raw, operation) for name, raw in members if name not in named}
    payload = None if envelope.payload is None else _value(envelope.payload, operation)
    return Reply(operation, envelope.text, payload, others)


def open_envelope(body: bytes, operation: Operation) -> Envelope:
    """Do as `decode_reply`, but leave the payload undecoded."""
    payload_keys = _payload_keys(operation)
    known = {*CODE_KEYS, *TEXT_KEYS, *payload_keys, "status", "success"}

    def is_envelope(members: Members) -> bool:
        return any(key.strip().lower() in known for key in members)

    found = find_object(body, is_envelope)
    if found is None:
        raise _no_envelope(body, operation)
    # Of keys that differ by case only the first wins: documented ones are in lower case.
    members: dict[str, msgspec.Raw] = {}
    for key, raw in found.items():
        members.setdefault(key.strip().lower(), raw)
    text = _text(members)
    code = _code(members, operation, text)
    key = _payload_key(members, payload_keys)
    if (code is None or code in SUCCESS_CODES) and _reports_failure(
        members, status_is_payload=key == "status", has_code=code is not None
    ):
        raise unexpected(
            f"The reply to {operation.value} reports a failure, or no clear success.{quote(text)}"
        )
    if code is None:
        if not key or _is_empty(members[key]):
            raise unexpected(
                f"The reply to {operation.value} has neither a code nor a payload.{quote(text)}"
            )
        return Envelope(0, text, key, members)
    if operation is Operation.LIST and code == LIST_EMPTY_CODE:
        return Envelope(code, text, "", members)
    if code not in SUCCESS_CODES:
        raise failure_for_code(operation, code, safe_text(text))
    return Envelope(code, text, key, members)


def unexpected(message: str, *, hint: str = _DIAGNOSE_HINT) -> PanelError:
    """Return the error for a reply that is JSON but holds nothing that is understood."""
    return PanelError(Reason.UNEXPECTED, message, hint=hint)


def quote(text: str) -> str:
    """Return the panel's own sentence, safe to show, as the end of a message; "" for none."""
    safe = safe_text(text)
    return f' The panel says: "{safe}".' if safe else ""


def _value(raw: msgspec.Raw, operation: Operation) -> object:
    try:
        return decode_value(raw)
    except ValueError:
        raise unexpected(f"The reply to {operation.value} is nested too deeply.") from None


def _text(members: Members) -> str:
    for key in TEXT_KEYS:
        value = readable_value(members[key]) if key in members else None
        if isinstance(value, str):
            return value
    return ""


def _code(members: Members, operation: Operation, text: str) -> int | None:
    """Return the code, None without one; a failure wins over a success beside it."""
    codes: list[int] = []
    unreadable = False
    for key in CODE_KEYS:
        if key not in members or _is_empty(members[key]):
            continue
        value = readable_value(members[key])
        if value is False or (isinstance(value, str) and not value.strip()):
            continue
        problem = ""
        if value is True:
            problem = (
                f"The panel reports an error of {operation.value} without a code.{quote(text)}"
            )
        elif isinstance(value, str) and any(map(str.isalpha, value)):
            problem = f"The panel answered {operation.value} with an error in words.{quote(value)}"
        if problem:
            raise PanelError(Reason.PANEL_ERROR, problem, hint=_DIAGNOSE_HINT)
        code = _whole_number(value)
        if code is None:
            unreadable = True
        else:
            codes.append(code)
    failure = next((code for code in codes if code not in SUCCESS_CODES), None)
    if failure is None and unreadable:
        raise unexpected(
            f"The reply to {operation.value} holds a code that cannot be read.{quote(text)}"
        )
    return codes[0] if failure is None and codes else failure


def _whole_number(value: object) -> int | None:
    if isinstance(value, str):
        match = _CODE.fullmatch(value)
        return int(match[1]) if match else None
    if isinstance(value, int | float) and abs(value) < 10**9 and value % 1 == 0:
        return int(value)
    return None


def _reports_failure(members: Members, *, status_is_payload: bool, has_code: bool) -> bool:
    """Return whether `success` or `status` means, or may mean, that the operation failed.

    A status that is the payload is about the service once a code is about the operation;
    without a code a flag there may be either's.
    """
    success = readable_value(members["success"]) if "success" in members else None
    if _is_failure(success):
        return True
    status = readable_value(members["status"]) if "status" in members else None
    if isinstance(status, str):
        word = status.strip().lower()
        if status_is_payload and (has_code or not word.isdecimal()):
            return word in ("error", "failed")
        # A number is an HTTP-like code; 0 may be its success as well.
        return status_is_payload or (_is_failure(word) and not word.isdecimal())
    return (status_is_payload and not has_code) or (status is False and not status_is_payload)


def _is_failure(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _FAILED
    return isinstance(value, int | float) and value == 0


def _payload_keys(operation: Operation) -> tuple[str, ...]:
    # A number under `status` or `count` means one thing for a service, another for a queue.
    rest = _SERVICE_PAYLOAD_KEYS if operation in _SERVICES else PAYLOAD_KEYS[3:]
    return (*PAYLOAD_KEYS[:3], operation.value, *rest)


def _payload_key(members: Members, keys: tuple[str, ...]) -> str:
    present = [key for key in keys if key in members]
    filled = (key for key in present if not _is_empty(members[key]))
    return next(filled, present[0] if present else "")


def _is_empty(raw: msgspec.Raw) -> bool:
    with memoryview(raw) as view:
        return len(view) <= 4 and bytes(view) in _EMPTY


def _no_envelope(body: bytes, operation: Operation) -> PanelError:
    body = body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        return EmptyBodyError(
            Reason.NOT_JSON,
            f"The panel answered {operation.value} with an empty body.",
            hint="That is how it answers a right login when it sees no operation: try another "
            "`dialect` for this host.",
        )
    if _MARKUP.match(body):
        return PanelError(
            Reason.NOT_JSON,
            f"The panel answered {operation.value} with a web page instead of JSON.",
            hint="Is it the panel's login page? Check the url, its port, and that it leads to "
            "the panel's API.",
        )
    reason, problem = Reason.NOT_JSON, "not JSON."
    if is_json(body):
        reason = Reason.UNEXPECTED
        problem = "JSON, but not what the panel's API answers: it has no code and no payload."
    return PanelError(
        reason,
        f"The reply to {operation.value} is {problem}",
        hint=f"Does the url lead to a BrainyCP panel? {_DIALECT_HINT}",
    )
