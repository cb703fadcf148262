"""The panel's mail API as constants: operations, request fields, reply codes.

Source: the vendor's page "API: почта" (module `mailserver`) for operations, fields and
codes; the panel's public language packs for the panel-wide codes; public clients for the
second dialect of field names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict, Unpack

from exporter.config.panel_api import Dialect, Language
from exporter.panel.errors import PanelError
from exporter.snapshot import Reason

MODULE = "mailserver"


class Operation(StrEnum):
    """An operation of the module `mailserver`."""

    COUNT = "count_msg"
    LIST = "list_msg"
    CONTROL = "controll_msg"
    DELETE_FROZEN = "delete_frozen_msg"
    DELETE_ALL = "delete_all_msg"
    CLAMAV = "clamav"
    SPAMASSASSIN = "spamassassin"


SERVICE_OPERATIONS = {"clamav": Operation.CLAMAV, "spamassassin": Operation.SPAMASSASSIN}


class MessageCommand(StrEnum):
    """`command` of controll_msg."""

    DELETE = "delete"
    RESHIP = "reship"


class ServiceCommand(StrEnum):
    """`command` of clamav and spamassassin."""

    STATUS = "status"
    ON = "on"
    OFF = "off"


class Details(TypedDict, total=False):
    """What a request says besides its operation."""

    message_id: str | None
    """`id` of controll_msg."""
    command: MessageCommand | ServiceCommand | None
    """`command` of controll_msg, clamav and spamassassin."""
    force: bool
    """`dellete_forse` of delete_all_msg."""


def request_fields(
    operation: Operation,
    *,
    username: str,
    password: str,
    dialect: Dialect = "combined",
    language: Language = "en",
    **details: Unpack[Details],
) -> dict[str, str]:
    """Return the POST form of one request.

    `documented` is the vendor's page, `module` what public clients send; `combined`, the
    default, sends both, as one public client does against real panels.
    """
    fields: dict[str, str] = {}
    if dialect != "module":
        fields |= {"username": username, "password": password}
        fields |= {MODULE: MODULE, operation.value: operation.value}
    if dialect != "documented":
        fields |= {"login": username, "pass": password}
        fields |= {"module": MODULE, "subdo": operation.value}
    fields["language"] = language
    if (message_id := details.get("message_id")) is not None:
        fields["id"] = message_id
    if (command := details.get("command")) is not None:
        fields["command"] = command.value
    if details.get("force"):
        fields["dellete_forse"] = "1"  # the panel's own spelling; any value will do
    return fields


SUCCESS_CODES = frozenset({0, 200, 201})
"""0 by the vendor's page; some modules answer 200 or 201."""

LIST_EMPTY_CODE = 100
"""list_msg: the queue is empty. Not an error."""

_QUEUE_RIGHT = 'the right "mail queue" (mailserver_queue)'
_RIGHTS = {
    Operation.CLAMAV: 'the right "antispam"',
    Operation.SPAMASSASSIN: 'the right "antispam"',
}
_DIALECT = "Try another `dialect` for this host"
_GIVE_RIGHT = 'Give the account\'s group {right}, or "Full API access".'
_NO_COMMAND = (Reason.BAD_REQUEST, "The panel does not know this command.", "")

_CODES: dict[int, tuple[Reason, str, str]] = {
    1: (
        Reason.AUTH,
        "The panel refused the login (code 1).",
        'Check username and password, and that the account\'s group has "API access".',
    ),
    2: (
        Reason.BAD_REQUEST,
        "The panel calls a parameter wrong (code 2).",
        f"{_DIALECT}; `diagnose` shows how the reply begins.",
    ),
    400: (
        Reason.FORBIDDEN,
        "The panel does not let this account use the mail module (code 400).",
        _GIVE_RIGHT,
    ),
    1000: (
        Reason.FORBIDDEN,
        "The account has no right to administer this user (code 1000).",
        'Give the account\'s group "Full API access".',
    ),
    1001: (Reason.BAD_REQUEST, "The panel knows no such user (code 1001).", "Check the username."),
    1002: (
        Reason.BAD_REQUEST,
        "The panel does not know the command (code 1002).",
        f"{_DIALECT}; an old panel may lack the operation.",
    ),
    1003: (
        Reason.FORBIDDEN,
        "The panel wants an administrator for this (code 1003).",
        _GIVE_RIGHT,
    ),
    1004: (Reason.BAD_REQUEST, "The panel saw no input data (code 1004).", f"{_DIALECT}."),
}
"""What a code means for any operation; the hint names the {right} that an operation takes."""

_OWN_CODES: dict[tuple[Operation, int], tuple[Reason, str, str]] = {
    (Operation.CONTROL, 100): _NO_COMMAND,
    (Operation.CONTROL, 101): (Reason.BAD_REQUEST, "The panel saw no message id.", ""),
    (Operation.CONTROL, 102): (
        Reason.UNSUPPORTED,
        "The panel finds no mail server, or a wrong one, to act on (code 102).",
        "Choose the mail server in the panel's settings.",
    ),
    (Operation.DELETE_FROZEN, 100): (
        Reason.UNSUPPORTED,
        "This panel's mail server has no frozen mail to delete (code 100).",
        "Frozen mail is Exim's; with Postfix delete messages by id.",
    ),
    (Operation.DELETE_ALL, 100): (
        Reason.UNSUPPORTED,
        "This panel's mail server has no forced deletion (code 100).",
        "Delete without force.",
    ),
    (Operation.CLAMAV, 100): _NO_COMMAND,
    (Operation.SPAMASSASSIN, 100): _NO_COMMAND,
}
"""What a code means for one operation alone."""


def failure_for_code(operation: Operation, code: int, text: str) -> PanelError:
    """Return the error for a reply whose code is none of SUCCESS_CODES.

    `text` is the panel's own sentence, already shortened and safe to show. A retry helps for
    none of the known codes: each needs somebody to change something.
    """
    reason, message, hint = (
        _OWN_CODES.get((operation, code))
        or _CODES.get(code)
        or (
            Reason.PANEL_ERROR,
            f"The panel answered {operation.value} with the error code {code}.",
            "`diagnose` shows how the reply begins, `diagnose --save` keeps it.",
        )
    )
    said = f' The panel says: "{text}".' if text else ""
    hint = hint.format(right=_RIGHTS.get(operation, _QUEUE_RIGHT))
    return PanelError(reason, message + said, hint=hint)
