from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from exporter.config.access import BasicAuth
from exporter.config.models import HostConfig
from exporter.panel.decode import decode_count_reply
from exporter.panel.errors import PanelError
from exporter.panel.redaction import holds_secret, read_discreetly, redact
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


async def read(body: bytes) -> int | None:
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


HEADER = base64.b64encode(b"ops:hunter2+/secret").decode()
ECHOES = {
    "the header": f"Authorization: Basic {HEADER}",
    "without padding": f"got {HEADER.rstrip('=')} from you",
    "in a URL": f"auth={quote(HEADER, safe='')}",
    "in a URL, in small letters": f"auth={quote(HEADER, safe='').replace('%3D', '%3d')}",
    "for URLs": base64.urlsafe_b64encode(b"ops:hunter2+/secret").decode(),
    "with a slash as PHP writes it": HEADER.replace("/", "\\/"),
    "as it is": "ops:hunter2+/secret",
    "the password alone": "hunter2+/secret",
    "the password alone in base64": base64.b64encode(b"hunter2+/secret").decode(),
    "with another name": base64.b64encode(b"operator:hunter2+/secret").decode(),
    "in something longer": base64.b64encode(b'{"a": "ops:hunter2+/secret", "b": 1}').decode(),
    "in something longer yet": base64.b64encode(b"xx: ops:hunter2+/secret;").decode(),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_a_header_that_is_sent_back_is_quoted_in_no_form(echo: str) -> None:
    host = HostConfig(
        name="mx1",
        url="https://mx1",
        username="monitor",
        password="panel-password",
        basic_auth=BasicAuth(username="ops", password="hunter2+/secret"),
    )
    body = f'{{"error": 5, "mess": "not you: {echo}"}}'.encode()
    with pytest.raises(PanelError) as caught:
        await read_discreetly(body, host.secret_values, read)
    said = str(caught.value)
    assert "not you" in said or "not quoted" in said
    for word in said.replace("/", " ").split():
        assert "hunter2" not in word
        assert not any(HEADER[at : at + 8] in word for at in range(len(HEADER) - 8))
    assert not holds_secret(said, host.secret_values)
    assert holds_secret(echo, host.secret_values)


def test_no_form_is_found_in_what_has_nothing_to_do_with_it() -> None:
    words = "The panel refused the login: the account has no access to this service."
    assert not holds_secret(words, ["abc", "ops:abc", "x", ""])
    assert redact(words.encode(), ["zz9", "ops:zz9"]) == words.encode()
