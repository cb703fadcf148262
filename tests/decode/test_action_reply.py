"""What a panel says of an action, in the words of Exim, of Postfix and of the panel itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.panel.decode.action_reply import ActionReply, Said, console_words, decode_action_reply
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.snapshot import Reason

ID = "1xVPmh-0002kK-2M"
NEW_ID = "1xVPmh-00000002kK5-2Mab"
POSTFIX_ID = "4bQx2v1Bz3z9"
ACTIONS = (Operation.CONTROL, Operation.DELETE_FROZEN, Operation.DELETE_ALL)


def decode(payload: Any, operation: Operation = Operation.CONTROL, **members: Any) -> ActionReply:
    fields = {"error": 0, "mess": "Request completed", "detail": payload} | members
    return decode_action_reply(json.dumps(fields).encode(), operation)


def said(payload: Any) -> Said:
    return decode(payload).said


ABSENT = (
    f"Spool data file for {ID} does not exist\n"
    "Continuing, to ensure all files removed\n"
    f"Spool read error for {ID}-H: No such file or directory\n"
    "Continuing to ensure all files removed\n"
    f"Message {ID} has been removed or did not exist\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Message {ID} has been removed", Said.REMOVED),
        (f"Message {ID} has been removed\n", Said.REMOVED),
        (f"Message {NEW_ID} has been removed\n", Said.REMOVED),
        (
            (
                f"Spool data file for {ID} does not exist\n"
                f"Message {ID} has been removed or did not exist"
            ),
            Said.GONE,
        ),
        (ABSENT, Said.GONE),
        (f"Message {ID} has been removed or did not exist", Said.GONE),
        # For whoever is no administrator it ends here.
        (f"Spool data file for {ID} does not exist\n", Said.GONE),
        (f"Spool data file for {NEW_ID} does not exist\n", Said.GONE),
        (f"Message {ID} is locked", Said.LOCKED),
        (f"Message {ID} is locked\n", Said.LOCKED),
        ("Spool file is locked (another process is handling this message)", Said.LOCKED),
        ("Permission denied\n", Said.REFUSED),
        ("exim: permission denied\n", Said.REFUSED),
        (f"Couldn't open spool file for {ID}: Too many open files\n", Said.REFUSED),
        (f"exim: malformed message id {ID}x after -Mrm option\n", Said.REFUSED),
        # It claims to have removed what it could not.
        (
            (
                f"Error while removing input//{ID}-D: Operation not permitted\n"
                f"Message {ID} has been removed\n"
            ),
            Said.REFUSED,
        ),
        # exim -M says nothing, whatever happens.
        ("", Said.DONE),
        ("\n", Said.DONE),
        (f"Message {ID} is no longer frozen", Said.DONE),
        ("exim: no message ids given after -Mrm option\n", Said.DONE),
    ],
)
def test_what_exim_says(text: str, expected: Said) -> None:
    assert said(text) is expected
    assert said(text.splitlines()) is expected
    assert said(text.replace("\n", "\r\n")) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"postsuper: {POSTFIX_ID}: removed\npostsuper: Deleted: 1 message\n", Said.REMOVED),
        ("postsuper: Deleted: 12 messages\n", Said.REMOVED),
        # It says nothing of an id that is not there.
        ("", Said.DONE),
        (f"postsuper: {POSTFIX_ID}: requeued\npostsuper: Requeued: 1 message\n", Said.DONE),
        (
            "postsuper: fatal: use of this command is reserved for the superuser\n",
            Said.REFUSED,
        ),
        ("postsuper: fatal: scan_dir_push: open directory defer: Permission denied", Said.REFUSED),
        (f"postsuper: warning: bad queue id: {POSTFIX_ID}; cannot remove\n", Said.REFUSED),
    ],
)
def test_what_postfix_says(text: str, expected: Said) -> None:
    assert said(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The message was deleted", Said.REMOVED),
        ("Removed", Said.REMOVED),
        ("Сообщение удалено", Said.REMOVED),
        ("Письмо удалён", Said.REMOVED),
        ("Сообщения удалены", Said.REMOVED),
        ("Повідомлення видалено", Said.REMOVED),
        ("已删除", Said.REMOVED),
        ("No such message", Said.GONE),
        ("Message not found", Said.GONE),
        ("Сообщение не найдено", Said.GONE),
        ("Письмо не существует", Said.GONE),
        ("Повідомлення не існує", Said.GONE),
        ("邮件不存在", Said.GONE),
        ("The message is locked by another process", Said.LOCKED),
        ("Сообщение заблокировано", Said.LOCKED),
        ("Повідомлення заблоковано", Said.LOCKED),
        ("邮件已锁定", Said.LOCKED),
        ("An error has occurred", Said.REFUSED),
        ("Command failed", Said.REFUSED),
        ("sh: 1: exim: cannot execute", Said.REFUSED),
        ("Произошла ошибка", Said.REFUSED),
        ("Ошибка: сообщение не удалено", Said.REFUSED),
        ("Не удалось выполнить команду", Said.REFUSED),
        ("Сталася помилка", Said.REFUSED),
        ("操作失败", Said.REFUSED),
        ("Request completed", Said.DONE),
        ("Запрос выполнен", Said.DONE),
        # Parts of other words say nothing.
        ("Unlocked", Said.DONE),
        ("terrors", Said.DONE),
        ("undeleted", Said.DONE),
    ],
)
def test_what_a_panel_says(text: str, expected: Said) -> None:
    assert said(text) is expected
    assert said(text.upper()) is expected


@pytest.mark.parametrize("operation", ACTIONS)
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": 0}',
        b'{"error": 0, "mess": "Request completed"}',
        b'{"error": "0", "message": "\\u0417\\u0430\\u043f\\u0440\\u043e\\u0441"}',
        b'{"error": 0, "mess": "ok", "detail": null}',
        b'{"error": 0, "mess": "ok", "detail": []}',
        b'{"error": 0, "mess": "ok", "detail": {}}',
        b'{"error": 0, "mess": "ok", "detail": true}',
        b'{"error": 0, "mess": "ok", "detail": 17}',
        b'{"code": 200, "message": "ok", "data": ""}',
        b'{"code": 201}',
    ],
)
def test_a_success_without_words_is_done(body: bytes, operation: Operation) -> None:
    assert decode_action_reply(body, operation) == ActionReply(Said.DONE, "")


def test_only_the_consoles_words_count_and_not_the_panels_sentence() -> None:
    decoded = decode("", mess="The message was not found; an error is possible; removed")
    assert decoded == ActionReply(Said.DONE, "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": 1, "mess": "has been removed"}', Reason.AUTH),
        (b'{"error": 2}', Reason.BAD_REQUEST),
        (b'{"error": 101}', Reason.BAD_REQUEST),
        (b'{"error": 102}', Reason.UNSUPPORTED),
        (b'{"error": 400}', Reason.FORBIDDEN),
        (b'{"error": 77, "detail": "has been removed"}', Reason.PANEL_ERROR),
        (b'{"error": true}', Reason.PANEL_ERROR),
        (b'{"error": 0, "success": false}', Reason.UNEXPECTED),
        (b'{"mess": "ok"}', Reason.UNEXPECTED),
        (b"", Reason.NOT_JSON),
        (b"Message has been removed", Reason.NOT_JSON),
        (b"<html>login</html>", Reason.NOT_JSON),
    ],
)
def test_no_success_is_no_reply_to_read(body: bytes, reason: Reason) -> None:
    with pytest.raises(PanelError) as decoded:
        decode_action_reply(body, Operation.CONTROL)
    assert decoded.value.reason is reason


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Operation.CONTROL, Reason.BAD_REQUEST),
        (Operation.DELETE_FROZEN, Reason.UNSUPPORTED),
        (Operation.DELETE_ALL, Reason.UNSUPPORTED),
    ],
)
def test_code_100_means_another_thing_to_each_operation(
    operation: Operation, reason: Reason
) -> None:
    with pytest.raises(PanelError) as decoded:
        decode_action_reply(b'{"error": 100, "mess": "No"}', operation)
    assert decoded.value.reason is reason
    assert not decoded.value.lost


# --- the words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("a\nb", "a\nb"),
        (["a", "b"], "a\nb"),
        (["a", 5, None, ["b"], "c"], "a\nc"),
        ({"0": "a", "1": "b", "code": 7}, "a\nb"),
        (None, ""),
        (5, ""),
        (True, ""),
        ([], ""),
    ],
)
def test_the_console_is_one_text_or_lines_of_it(payload: object, words: str) -> None:
    assert console_words(payload) == words


def test_the_long_text_of_a_purge_is_cut_short() -> None:
    ids = [f"1xVPmh-{n:06d}-2M" for n in range(3000)]
    text = "".join(f"Message {id_} has been removed\n" for id_ in ids)
    for payload in (text, text.splitlines()):
        decoded = decode(payload, Operation.DELETE_FROZEN)
        assert decoded.said is Said.REMOVED
        assert len(decoded.text) <= 500
        assert decoded.text.startswith("Message 1aAaAa-000001-00 has been removed Message 1aAaAa-")
        assert decoded.text.endswith("…")


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (f"Message {ID} is locked\n", Said.LOCKED),
        ("exim: permission denied\n", Said.REFUSED),
        (ABSENT, Said.GONE),
    ],
)
def test_what_went_wrong_is_found_at_the_end_of_a_long_text(last: str, expected: Said) -> None:
    text = "".join(f"Message 1xVPmh-{n:06d}-2M has been removed\n" for n in range(3000))
    assert said(text + last) is expected


def test_the_text_is_safe_to_keep() -> None:
    decoded = decode(f"<b>Message</b> {ID}\x1b[31m from ann@example.com has\tbeen\n removed")
    assert decoded.said is Said.REMOVED
    assert ID not in decoded.text
    assert "ann" not in decoded.text
    assert "<b>" not in decoded.text
    assert decoded.text.isprintable()


@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    operation=st.sampled_from(ACTIONS),
)
def test_whatever_the_payload_a_success_says_something(
    payload: object, operation: Operation
) -> None:
    decoded = decode(payload, operation)
    assert decoded.said in Said
    assert len(decoded.text) <= 500
