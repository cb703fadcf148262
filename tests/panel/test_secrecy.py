from __future__ import annotations

import json

import pytest

from exporter.panel.decode import decode_count_reply
from exporter.panel.errors import PanelError
from exporter.panel.secrecy import read_discreetly
from exporter.snapshot import Reason

SECRET = 'it\'s <my> "Pass" & w/rd'

FORMS = {
    "as PHP's htmlspecialchars writes it": (
        "it&#039;s &lt;my&gt; &quot;Pass&quot; &amp; w\\/rd"  # in JSON: the slash is escaped
    ),
    "as PHP before 8.1 writes it": "it's &lt;my&gt; &quot;Pass&quot; &amp; w\\/rd",
    "with JSON_HEX_TAG and its like": (r"it\u0027s \u003Cmy\u003E \u0022Pass\u0022 \u0026 w\/rd"),
    "with both": (
        r"it\u0026#039;s \u0026lt;my\u0026gt; \u0026quot;Pass\u0026quot; \u0026amp; w\/rd"
    ),
}


async def read(body: bytes) -> int:
    return decode_count_reply(body)


@pytest.mark.parametrize("written", FORMS.values(), ids=FORMS)
async def test_a_secret_is_quoted_in_no_form(written: str) -> None:
    body = f'{{"error": 5, "mess": "not you: {written}"}}'.encode()
    assert json.loads(body)["mess"].startswith("not you: it")
    with pytest.raises(PanelError) as caught:
        await read_discreetly(body, [SECRET], read)
    assert caught.value.reason is Reason.PANEL_ERROR
    for part in ("it's", "it&", "my", "Pass", "w/rd"):
        assert part not in str(caught.value)


async def test_a_reply_that_writes_a_secret_as_nobody_does_is_not_quoted() -> None:
    written = "".join(f"\\u{ord(letter):04x}" for letter in "hunter2")
    with pytest.raises(PanelError, match="it is not quoted") as caught:
        await read_discreetly(f'{{"error": 5, "mess": "{written}"}}'.encode(), ["hunter2"], read)
    assert caught.value.reason is Reason.PANEL_ERROR


async def test_what_holds_no_secret_is_quoted() -> None:
    with pytest.raises(PanelError, match="not you"):
        await read_discreetly(b'{"error": 5, "mess": "not you"}', [SECRET, ""], read)
