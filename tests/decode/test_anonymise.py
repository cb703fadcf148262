from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.panel.decode import MessageTable, anonymise, anonymise_reply, decode_queue
from exporter.panel.decode.anonymise import anonymise_value, safe_text
from tests.decode.corpus import cases
from tests.decode.test_corpus import _options

SECRET = "s3cret pass&word"


def _reply(**members: Any) -> bytes:
    return json.dumps({"error": 0} | members, ensure_ascii=False).encode()


def test_the_same_address_gets_the_same_placeholder() -> None:
    text = "<ivan@example.org> to olga@example.org, IVAN@example.com and <ivan@example.org>"
    assert anonymise(text) == (
        "<user1@domain1> to user2@domain1, user3@domain2 and <user1@domain1>"
    )


def test_shapes_stay() -> None:
    text = (
        '1kXpJb-0004Uv-7Q 3F2A91C0B4* "a b"@example.org mx.example.org[198.51.100.7]:25 fe80::1:2'
    )
    assert anonymise(text) == (
        "1aAaAa-000001-00 A000000001* user1@domain1 domain2[192.0.2.1]:25 2001:db8::1"
    )


def test_times_versions_and_files_are_no_names() -> None:
    text = "08:41:02 /home/ivan/x api.php clamav-daemon.service 4.96 tel 79261234567"
    assert (
        anonymise(text)
        == "08:41:02 /home/user/x api.php clamav-daemon.service 4.96 tel 00000000001"
    )


def test_long_and_postfix_ids_keep_their_form() -> None:
    assert anonymise("1rXpJb-00000004Uv7-1ABC") == "1aAaAa-00000000001-0000"
    assert anonymise("3Pt2mN2VXxznjll!") == "4BBBBBBBBBz0001!"


def test_safe_text_is_one_short_line() -> None:
    text = safe_text("<b>Ошибка</b>\x07\n" + "ivan@example.org " + "x" * 500)
    assert text.startswith("Ошибка user1@domain1 xxx")
    assert len(text) <= 160


def test_a_row_keeps_structure_and_loses_words() -> None:
    row = {"Тема": "Привет, Иван", "size": "2.9K", "to": ["ivan@example.org"], "n": None, "f": 1.5}
    assert anonymise_value(row) == (
        '{"Тема": "Xxxxxx, Xxxx", "size": "2.9K", "to": ["user1@domain1"], "n": null, "f": 1.5}'
    )


def test_a_deep_row_is_not_shown() -> None:
    row: list[object] = []
    for _ in range(5000):
        row = [row]
    assert anonymise_value(row) == "(a deeply nested value)"


def test_secrets_go_however_they_are_written() -> None:
    body = _reply(
        mess=f"wrong password {SECRET}",
        detail=[SECRET, "s3cret%20pass%26word", "s3cret pass&amp;word", {SECRET: "x"}, 12345],
    )
    text = anonymise_reply(body, [SECRET, "12345", ""])
    assert "s3cret" not in text
    assert "12345" not in text
    assert json.loads(text)["mess"] == "wrong password <secret>"
    assert json.loads(text)["detail"][4] == "<secret>"


@pytest.mark.parametrize("written", ["pass&#039;WORD", "pass&apos;WORD", "pass&#39;WORD"])
def test_secrets_go_as_php_writes_them(written: str) -> None:
    text = anonymise_reply(_reply(mess=f"wrong password {written}"), ["pass'WORD"])
    assert "WORD" not in text


def test_personal_words_go_and_the_panels_own_stay() -> None:
    decoded = json.loads(
        anonymise_reply(
            _reply(mess="Команда выполнена", detail={"subject": "Привет Мир", "st": "Frozen"})
        )
    )
    assert decoded == {
        "error": 0,
        "mess": "Команда выполнена",
        "detail": {"subject": "Xxxxxx Xxx", "st": "Frozen"},
    }


def test_what_stands_around_the_json_stays() -> None:
    body = (
        b"Warning: x in /home/ivan/a.php\n" + _reply(detail="a@b.example") + b"<hr>ivan@b.example"
    )
    assert anonymise_reply(body) == (
        'Warning: x in /home/user/a.php\n{"error": 0, "detail": "user1@domain1"}<hr>user2@domain1'
    )


def test_what_is_no_json_is_anonymised_as_text() -> None:
    assert anonymise_reply(b"<html>ivan@b.example") == "<html>user1@domain1"
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    assert anonymise_reply(deep).startswith('{"')


def _known(table: MessageTable) -> list[str]:
    """What is decoded of each message besides names, in an order of its own."""
    return sorted(
        f"{m.age} {m.frozen} {m.bounce} {m.recipients and len(m.recipients)} {len(m.delivered)}"
        for m in table.messages()
    )


def test_an_anonymised_reply_still_decodes() -> None:
    """So a saved reply can go into the corpus: all but names, ids and addresses is the same."""
    checked = 0
    for case in cases():
        content = case.content
        if case.operation != "list_msg" or "expect" not in content:
            continue
        before = decode_queue(case.body, _options(case))
        after = decode_queue(anonymise_reply(case.body).encode(), _options(case))
        assert (after.listed, len(after)) == (before.listed, len(before)), case.name
        assert _known(after) == _known(before), case.name
        checked += 1
    assert checked > 50
