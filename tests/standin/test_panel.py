from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import aiohttp
import pytest
import trustme

from exporter.config.panel_api import Dialect, Language
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand, request_fields
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import (
    ANTISPAM_RIGHT,
    QUEUE_RIGHT,
    Panel,
    PanelOptions,
    panel_app,
    panels_app,
    serving,
)
from exporter.standin.replies import ReplyStyle
from exporter.standin.services import MemoryServices
from exporter.standin.traffic import CALM, EMPTY, STORM, Profile
from tests.fixtures.standin import PanelServer, ServePanel

USER, PASSWORD = "monitor", "stand-in"


def form(operation: Operation, **extra: Any) -> dict[str, str]:
    return request_fields(operation, **({"username": USER, "password": PASSWORD} | extra))


async def ask(server: PanelServer, fields: dict[str, str]) -> Any:
    async with aiohttp.ClientSession() as session, session.post(server.url, data=fields) as reply:
        assert reply.status == 200
        return json.loads(await reply.text())


@pytest.mark.parametrize("dialect", ["combined", "documented", "module"])
@pytest.mark.parametrize("multipart", [False, True])
async def test_understands_every_dialect_in_both_encodings(
    serve_panel: ServePanel, dialect: Dialect, *, multipart: bool
) -> None:
    server = await serve_panel(MemoryQueue(CALM))
    fields = form(Operation.COUNT, dialect=dialect)
    data = aiohttp.FormData(fields, default_to_multipart=multipart)

    async with aiohttp.ClientSession() as session, session.post(server.url, data=data) as reply:
        assert reply.content_type == "text/html"
        body = json.loads(await reply.text())

    assert body == {"error": 0, "message": "Number of messages", "detail": 12}
    (recorded,) = server.panel.requests
    assert recorded.operation is Operation.COUNT
    assert recorded.content_type == (
        "multipart/form-data" if multipart else "application/x-www-form-urlencoded"
    )
    assert PASSWORD not in repr(recorded)


async def test_answers_get_as_the_vendors_does(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(CALM))
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url, params=form(Operation.COUNT)) as reply,
    ):
        assert json.loads(await reply.text())["detail"] == 12
    assert server.panel.requests[0].method == "GET"


@pytest.mark.parametrize("changed", [{"username": "other"}, {"password": "wrong"}])
async def test_wrong_login_is_code_1(serve_panel: ServePanel, changed: dict[str, str]) -> None:
    server = await serve_panel(MemoryQueue(CALM))
    body = await ask(server, form(Operation.COUNT, **changed))
    assert body == {"code": 1, "message": "Not perm2"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"module": "mailserver", "subdo": "no_such"},
        {"module": "other", "subdo": "count_msg"},
        {"mailserver": "mailserver"},
    ],
)
async def test_right_login_without_an_operation_is_an_empty_body(
    serve_panel: ServePanel, fields: dict[str, str]
) -> None:
    server = await serve_panel(MemoryQueue(CALM))
    login = {"login": USER, "pass": PASSWORD}
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=login | fields) as reply,
    ):
        assert (reply.status, await reply.read()) == (200, b"")
    assert server.panel.requests[0].operation is None


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "The mail queue is empty"), ("ru", "Список почтовой очереди пуст")],
)
async def test_list_of_an_empty_queue_is_code_100(
    serve_panel: ServePanel, language: Language, text: str
) -> None:
    server = await serve_panel(MemoryQueue(EMPTY))
    body = await ask(server, form(Operation.LIST, language=language))
    assert body == {"error": 100, "mess": text}


async def test_speaks_its_own_language_when_none_is_asked_for(serve_panel: ServePanel) -> None:
    fields = form(Operation.COUNT)
    del fields["language"]
    server = await serve_panel(MemoryQueue(CALM))
    assert (await ask(server, fields))["message"] == "Количество сообщений"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (form(Operation.CONTROL) | {"id": "1kXpJb-0004Uv-7Q"}, 100),
        (form(Operation.CONTROL) | {"id": "1kXpJb-0004Uv-7Q", "command": "explode"}, 100),
        (form(Operation.CONTROL, command=MessageCommand.DELETE), 101),
        (form(Operation.CONTROL, command=MessageCommand.RESHIP) | {"id": ""}, 101),
        (form(Operation.CLAMAV), 100),
        (form(Operation.SPAMASSASSIN) | {"command": "restart"}, 100),
    ],
)
async def test_missing_and_wrong_parameters(
    serve_panel: ServePanel, fields: dict[str, str], code: int
) -> None:
    server = await serve_panel(MemoryQueue(CALM))
    body = await ask(server, fields)
    assert body["error"] == code
    assert body["mess"]


@pytest.mark.parametrize(
    ("right", "refused"),
    [
        (QUEUE_RIGHT, {Operation.CLAMAV, Operation.SPAMASSASSIN}),
        (ANTISPAM_RIGHT, set(Operation) - {Operation.CLAMAV, Operation.SPAMASSASSIN}),
    ],
)
async def test_a_missing_right_is_code_400(
    serve_panel: ServePanel, right: str, refused: set[Operation]
) -> None:
    server = await serve_panel(MemoryQueue(CALM), PanelOptions(rights=frozenset({right})))
    for operation in Operation:
        body = await ask(server, form(operation, command=ServiceCommand.STATUS))
        assert (body["error"] == 400) is (operation in refused)


async def test_lists_deletes_and_retries(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(CALM))
    rows = (await ask(server, form(Operation.LIST)))["detail"]
    first = rows[0]["id"]

    deleted = await ask(
        server, form(Operation.CONTROL, message_id=first, command=MessageCommand.DELETE)
    )
    retried = await ask(
        server, form(Operation.CONTROL, message_id=rows[1]["id"], command=MessageCommand.RESHIP)
    )

    assert len(rows) == 12
    assert deleted == {
        "error": 0,
        "mess": "Request completed",
        "detail": f"Message {first} has been removed\n",
    }
    assert retried["detail"] == ""
    left = (await ask(server, form(Operation.LIST)))["detail"]
    assert first not in [row["id"] for row in left]


async def test_deletes_frozen_and_all(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(STORM))

    frozen = await ask(server, form(Operation.DELETE_FROZEN))
    left = await ask(server, form(Operation.COUNT))
    await ask(server, form(Operation.DELETE_ALL, force=True))

    assert frozen["detail"].count("has been removed") > 2500
    assert 0 < left["detail"] < 500
    assert (await ask(server, form(Operation.COUNT)))["detail"] == 0


async def test_postfix_has_neither_frozen_mail_nor_force(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(CALM, ids="postfix"))
    assert (await ask(server, form(Operation.DELETE_FROZEN)))["error"] == 100
    assert (await ask(server, form(Operation.DELETE_ALL, force=True)))["error"] == 100
    assert (await ask(server, form(Operation.COUNT)))["detail"] == 12
    assert (await ask(server, form(Operation.DELETE_ALL)))["error"] == 0
    assert (await ask(server, form(Operation.COUNT)))["detail"] == 0


async def test_switches_services(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(EMPTY), services=MemoryServices(stopped=["clamav"]))

    async def detail(command: ServiceCommand, language: Language = "en") -> Any:
        body = await ask(server, form(Operation.CLAMAV, command=command, language=language))
        assert body["error"] == 0
        return body["detail"]

    assert await detail(ServiceCommand.STATUS) == "Stopped"
    assert await detail(ServiceCommand.ON, "ru") == "Запущен"
    assert await detail(ServiceCommand.STATUS) == "Running"
    assert await detail(ServiceCommand.OFF) == "Stopped"


class Unstartable(MemoryServices):
    async def switch(self, service: str, *, on: bool) -> bool:
        await super().switch(service, on=on)
        return False


async def test_says_when_a_service_does_not_start(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(EMPTY), services=Unstartable())
    body = await ask(server, form(Operation.SPAMASSASSIN, command=ServiceCommand.ON, language="ru"))
    assert body["detail"] == "Запуск завершился с ошибкой"


async def test_an_unchanged_queue_is_rendered_once_and_a_changed_one_anew(
    serve_panel: ServePanel,
) -> None:
    class Counting(MemoryQueue):
        listed = 0

        async def messages(self) -> Any:
            self.listed += 1
            return await super().messages()

    queue = Counting(CALM)
    server = await serve_panel(queue)
    first = await ask(server, form(Operation.LIST))
    assert await ask(server, form(Operation.LIST)) == first
    assert queue.listed == 1
    await queue.delete(first["detail"][0]["id"])
    assert len((await ask(server, form(Operation.LIST)))["detail"]) == 11
    await queue.step(3600)
    await ask(server, form(Operation.LIST))
    assert queue.listed == 3


async def test_closed_api(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(CALM), PanelOptions(closed=True))
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=form(Operation.COUNT)) as reply,
    ):
        assert reply.status == 403


async def test_each_call_takes_its_delay(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(CALM), PanelOptions(delay=0.2))
    loop = asyncio.get_running_loop()
    before = loop.time()
    await ask(server, form(Operation.COUNT))
    assert loop.time() - before >= 0.2


async def test_tells_connections_apart(serve_panel: ServePanel) -> None:
    server = await serve_panel(MemoryQueue(CALM))
    async with aiohttp.ClientSession() as session:
        for operation in (Operation.COUNT, Operation.LIST):
            async with session.post(server.url, data=form(operation)) as reply:
                await reply.read()
    await ask(server, form(Operation.COUNT))
    one, same, other = (request.connection for request in server.panel.requests)
    assert one == same != other


async def test_serves_over_tls(serve_panel: ServePanel) -> None:
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    server = await serve_panel(MemoryQueue(CALM), tls=ours)
    assert server.url.startswith("https://127.0.0.1:")
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=form(Operation.COUNT), ssl=theirs) as reply,
    ):
        assert json.loads(await reply.text())["detail"] == 12


async def test_many_panels_behind_one_port() -> None:
    def panel(size: int) -> Panel:
        queue = MemoryQueue(Profile(size, 60, 0, 0, 1, 60, 60))
        return Panel(PanelOptions(), queue, MemoryServices())

    app = panels_app({f"h{size}": panel(size) for size in (1, 2)})
    async with serving(app) as base, aiohttp.ClientSession() as session:
        for name, status in (("h1", 200), ("h2", 200), ("h3", 404)):
            url = f"{base}/{name}/api/api.php"
            async with session.post(url, data=form(Operation.COUNT)) as reply:
                assert reply.status == status
                if status == 200:
                    assert json.loads(await reply.text())["detail"] == int(name[1:])


async def test_a_call_in_flight_does_not_hold_up_the_end() -> None:
    asked = asyncio.Event()

    class Hanging(MemoryQueue):
        async def count(self) -> int:
            asked.set()
            await asyncio.Event().wait()
            return 0

    app = panel_app(Panel(PanelOptions(), Hanging(CALM), MemoryServices()))
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        async with serving(app) as base:
            call = tasks.create_task(_fails(session, f"{base}/api/api.php"))
            await asked.wait()
            before = loop.time()
        assert loop.time() - before < 5
        await call


async def _fails(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        await session.post(url, data=form(Operation.COUNT))


async def test_keeps_no_more_requests_than_it_is_told_to() -> None:
    panel = Panel(PanelOptions(), MemoryQueue(CALM), MemoryServices(), record=2)
    async with serving(panel_app(panel)) as base, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.post(f"{base}/api/api.php", data=form(Operation.COUNT)):
                pass
    assert len(panel.requests) == 2


async def test_style_reaches_the_wire(serve_panel: ServePanel) -> None:
    style = ReplyStyle(
        envelope="public", code_as_text=True, bom=True, content_type="application/json"
    )
    server = await serve_panel(MemoryQueue(CALM), PanelOptions(style=style))
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=form(Operation.COUNT)) as reply,
    ):
        assert reply.content_type == "application/json"
        body = await reply.read()
    assert body == b'\xef\xbb\xbf{"code": "0", "message": "Number of messages", "data": 12}'
