"""A stand-in BrainyCP panel: its mail API over HTTP, on any queue and services."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import InitVar, dataclass, field
from functools import partial

from aiohttp import web

from exporter.config.panel_api import API_PATH, Language
from exporter.panel.protocol import (
    MODULE,
    SERVICE_OPERATIONS,
    MessageCommand,
    Operation,
    ServiceCommand,
)
from exporter.standin.queue import MailQueue
from exporter.standin.replies import (
    CONSOLE_SHAPES,
    NOT_INSTALLED,
    START_FAILED,
    ListShape,
    Reply,
    ReplyStyle,
    console_payload,
    count_reply,
    done,
    encode_reply,
    list_payload,
    refusal,
    service_word,
)
from exporter.standin.services import MailServices

QUEUE_RIGHT = "mailserver_queue"
ANTISPAM_RIGHT = "antispam"
"""The right that an account's group needs for the services; QUEUE_RIGHT for all else."""

KEEPALIVE = 65.0
"""Seconds for which an idle connection stays open, as with many a web server's default."""

_LOGIN_REFUSED = b'{"code": 1, "message": "Not perm2"}'
_SECRET_FIELDS = frozenset({"password", "pass"})


@dataclass(frozen=True, slots=True)
class PanelOptions:
    """How one panel is set up and how it answers."""

    username: str = "monitor"
    password: str = field(default="stand-in", repr=False)
    style: ReplyStyle = field(default_factory=ReplyStyle)
    delay: float = 0
    """Seconds that each call takes."""
    rights: frozenset[str] = frozenset({QUEUE_RIGHT, ANTISPAM_RIGHT})
    closed: bool = False
    """Remote API access is closed for every client."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as the panel saw it, without its secrets."""

    method: str
    operation: Operation | None
    fields: Mapping[str, str]
    connection: str
    """The client's address and port: equal for requests over one connection."""
    content_type: str


Answer = Callable[[], Awaitable[web.Response]]
"""Does what a request asks for; gives the panel's own reply to it."""

Interfere = Callable[[RecordedRequest, Answer], Awaitable[web.Response]]
"""Gives the reply to a request in the panel's place: as it likes, when it likes, and whether or
not it has let the panel do it."""


@dataclass(eq=False)
class Panel:
    """One panel: options, what is behind it, and what was asked of it."""

    options: PanelOptions
    queue: MailQueue
    services: MailServices
    record: InitVar[int] = field(default=10_000, kw_only=True)
    interfere: Interfere | None = None
    """Plays a panel that misbehaves; None: it behaves."""

    def __post_init__(self, record: int) -> None:
        self.requests: deque[RecordedRequest] = deque(maxlen=record)
        """The last `record` requests, oldest first."""
        self._rendered: dict[tuple[Operation, Language], tuple[Hashable, bytes]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one HTTP request to the API."""
        fields = await _fields(request)
        recorded = _record(request, fields)
        self.requests.append(recorded)
        answer = partial(self._respond, recorded.operation, fields)
        return await (answer() if self.interfere is None else self.interfere(recorded, answer))

    async def _respond(
        self, operation: Operation | None, fields: Mapping[str, str]
    ) -> web.Response:
        options = self.options
        if options.closed:
            return web.Response(status=403, text="Forbidden")
        if options.delay:
            await asyncio.sleep(options.delay)
        if not self._logged_in(fields):
            body = _LOGIN_REFUSED
        else:
            body = b"" if operation is None else await self._answer(operation, fields)
        return web.Response(body=body, content_type=options.style.content_type, charset="utf-8")

    def _logged_in(self, fields: Mapping[str, str]) -> bool:
        wanted = (self.options.username, self.options.password)
        return any(
            (fields.get(user), fields.get(password)) == wanted
            for user, password in (("username", "password"), ("login", "pass"), ("Login", "pass"))
        )

    async def _answer(self, operation: Operation, fields: Mapping[str, str]) -> bytes:
        language: Language = "en" if fields.get("language") == "en" else "ru"
        is_service = operation in SERVICE_OPERATIONS.values()
        if (ANTISPAM_RIGHT if is_service else QUEUE_RIGHT) not in self.options.rights:
            return encode_reply(self.options.style, refusal(operation, 400, language))
        if operation in {Operation.COUNT, Operation.LIST}:
            return await self._queue_view(operation, language)
        act = self._service if is_service else self._queue_action
        return encode_reply(self.options.style, await act(operation, fields, language))

    async def _queue_view(self, operation: Operation, language: Language) -> bytes:
        revision = self.queue.revision
        known = self._rendered.get((operation, language))
        if known is not None and revision is not None and known[0] == revision:
            return known[1]
        style, count = self.options.style, await self.queue.count()
        if operation is Operation.COUNT:
            reply = count_reply(style.count, count, language)
        elif count == 0:
            reply = refusal(Operation.LIST, 100, language)
        else:
            reply = done(Operation.LIST, await self._payload(style.shape, language), language)
        body = encode_reply(style, reply)
        self._rendered[operation, language] = (revision, body)
        return body

    async def _payload(self, shape: ListShape, language: Language) -> object:
        if shape in CONSOLE_SHAPES:
            return console_payload(shape, await self.queue.console())
        messages, now = await self.queue.messages(), self.queue.now
        return list_payload(shape, messages, now=now, language=language)

    async def _queue_action(
        self, operation: Operation, fields: Mapping[str, str], language: Language
    ) -> Reply:
        if operation is Operation.CONTROL:
            return await self._control(fields, language)
        force = "dellete_forse" in fields
        if self.queue.mta != "exim" and (force or operation is Operation.DELETE_FROZEN):
            return refusal(operation, 100, language)
        if operation is Operation.DELETE_FROZEN:
            return done(operation, await self.queue.delete_frozen(), language)
        return done(operation, await self.queue.delete_all(force=force), language)

    async def _control(self, fields: Mapping[str, str], language: Language) -> Reply:
        command, message_id = fields.get("command"), fields.get("id")
        if command not in set(MessageCommand):
            return refusal(Operation.CONTROL, 100, language)
        if not message_id:
            return refusal(Operation.CONTROL, 101, language)
        act = self.queue.delete if command == MessageCommand.DELETE else self.queue.retry
        return done(Operation.CONTROL, await act(message_id), language)

    async def _service(
        self, operation: Operation, fields: Mapping[str, str], language: Language
    ) -> Reply:
        command, service = fields.get("command"), operation.value
        if command not in set(ServiceCommand):
            return refusal(operation, 100, language)
        if not await self.services.installed(service):
            return done(operation, NOT_INSTALLED[language], language)
        if command == ServiceCommand.STATUS:
            running = await self.services.running(service)
        else:
            running = await self.services.switch(service, on=command == ServiceCommand.ON)
        if command == ServiceCommand.ON and not running:
            return done(operation, START_FAILED[language], language)
        return done(operation, service_word(language, running=running), language)


async def _fields(request: web.Request) -> dict[str, str]:
    posted = await request.post()
    return {
        **request.query,
        **{name: value for name, value in posted.items() if isinstance(value, str)},
    }


def _named_operation(fields: Mapping[str, str]) -> Operation | None:
    """Return the operation by the field names of public clients, or by the vendor's."""
    subdo = fields.get("subdo")
    if fields.get("module") == MODULE and subdo in set(Operation):
        return Operation(subdo)
    return next((op for op in Operation if MODULE in fields and op.value in fields), None)


def _record(request: web.Request, fields: Mapping[str, str]) -> RecordedRequest:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return RecordedRequest(
        method=request.method,
        operation=_named_operation(fields),
        fields={name: "***" if name in _SECRET_FIELDS else v for name, v in fields.items()},
        connection=f"{peer[0]}:{peer[1]}" if peer else "",
        content_type=request.content_type,
    )


def panel_app(panel: Panel) -> web.Application:
    """Return the panel alone, at the path of a real one."""
    app = web.Application()
    app.router.add_route("*", API_PATH, panel.handle)
    return app


def panels_app(panels: Mapping[str, Panel]) -> web.Application:
    """Return many panels behind one port, each under /NAME."""
    app = web.Application()
    for name, panel in panels.items():
        app.router.add_route("*", f"/{name}{API_PATH}", panel.handle)
    return app


@asynccontextmanager
async def serving(
    app: web.Application,
    *,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
    reuse_port: bool = False,
) -> AsyncIterator[str]:
    """Serve an app on loopback; give its URL without a path.

    Port 0 takes a free one. A request in flight at the end is cancelled.
    """
    # A client that goes away must not leave a slow call behind.
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.1,
        keepalive_timeout=KEEPALIVE,
    )
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, "127.0.0.1", port, ssl_context=tls, reuse_port=reuse_port or None, backlog=1024
        )
        await site.start()
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
