"""A stand-in BrainyCP panel: its mail API over HTTP, on any queue and services."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from aiohttp import encode_basic_auth, hdrs, web

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
    Reply,
    ReplyStyle,
    console_payload,
    count_reply,
    done,
    encode_reply,
    list_payload,
    not_installed_words,
    refusal,
    service_word,
    start_failed_words,
)
from exporter.standin.services import MailServices

QUEUE_RIGHT = "mailserver_queue"
ANTISPAM_RIGHT = "antispam"

RIGHT_OF = {
    operation: ANTISPAM_RIGHT if operation in SERVICE_OPERATIONS.values() else QUEUE_RIGHT
    for operation in Operation
}
"""The right that an account's group needs for an operation."""

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
    language: Language = "ru"
    """What it speaks when a request names no language."""
    delay: float = 0
    """Seconds that each call takes."""
    rights: frozenset[str] = frozenset({QUEUE_RIGHT, ANTISPAM_RIGHT})
    documented_fields: bool = True
    """It understands the vendor's field names (username, mailserver, ...)."""
    module_fields: bool = True
    """It understands those of public clients (login, module, subdo, ...)."""
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    """User and password of an htpasswd in front of the whole panel."""
    mail_server_chosen: bool = True
    """Without a mail server in the panel's settings no message can be acted on."""
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


class Panel:
    """One panel: options, what is behind it, and what was asked of it."""

    def __init__(
        self,
        options: PanelOptions,
        queue: MailQueue,
        services: MailServices,
        *,
        record: int = 10_000,
    ) -> None:
        self.options = options
        self.queue = queue
        self.services = services
        self.requests: deque[RecordedRequest] = deque(maxlen=record)
        """The last `record` requests, oldest first."""
        self.interfere: Interfere | None = None
        """Plays a panel that misbehaves; None: it behaves."""
        self._rendered: dict[tuple[Operation, Language], tuple[Hashable, bytes]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one HTTP request to the API."""
        fields = await _fields(request)
        recorded = _record(request, fields)
        self.requests.append(recorded)
        answer = partial(self._respond, request, fields)
        return await (answer() if self.interfere is None else self.interfere(recorded, answer))

    async def _respond(self, request: web.Request, fields: Mapping[str, str]) -> web.Response:
        options = self.options
        if options.closed:
            return web.Response(status=403, text="Forbidden")
        if options.basic_auth is not None and not _authorized(request, options.basic_auth):
            return web.Response(
                status=401, text="Unauthorized", headers={"WWW-Authenticate": 'Basic realm="panel"'}
            )
        if options.delay:
            await asyncio.sleep(options.delay)
        body = await self._answer(fields)
        return web.Response(body=body, content_type=options.style.content_type, charset="utf-8")

    async def _answer(self, fields: Mapping[str, str]) -> bytes:
        if not self._logged_in(fields):
            return _LOGIN_REFUSED
        operation = self._operation(fields)
        if operation is None:
            return b""
        language = self._language(fields)
        if RIGHT_OF[operation] not in self.options.rights:
            return self._encode(refusal(operation, 400, language))
        if operation in {Operation.COUNT, Operation.LIST}:
            return await self._queue_view(operation, language)
        if operation in {Operation.CLAMAV, Operation.SPAMASSASSIN}:
            return self._encode(await self._service(operation, fields, language))
        return self._encode(await self._queue_action(operation, fields, language))

    def _logged_in(self, fields: Mapping[str, str]) -> bool:
        given = [
            *([("username", "password")] if self.options.documented_fields else []),
            *([("login", "pass"), ("Login", "pass")] if self.options.module_fields else []),
        ]
        wanted = (self.options.username, self.options.password)
        return any((fields.get(user), fields.get(password)) == wanted for user, password in given)

    def _operation(self, fields: Mapping[str, str]) -> Operation | None:
        return _named_operation(
            fields,
            documented=self.options.documented_fields,
            module=self.options.module_fields,
        )

    def _language(self, fields: Mapping[str, str]) -> Language:
        if fields.get("language") == "en":
            return "en"
        return "ru" if fields.get("language") == "ru" else self.options.language

    async def _queue_view(self, operation: Operation, language: Language) -> bytes:
        revision = self.queue.revision
        known = self._rendered.get((operation, language))
        if known is not None and revision is not None and known[0] == revision:
            return known[1]
        show = self._count if operation is Operation.COUNT else self._list
        body = self._encode(await show(language))
        self._rendered[operation, language] = (revision, body)
        return body

    async def _count(self, language: Language) -> Reply:
        return count_reply(self.options.style.count, await self.queue.count(), language)

    async def _list(self, language: Language) -> Reply:
        if await self.queue.count() == 0:
            return refusal(Operation.LIST, 100, language)
        shape = self.options.style.shape
        if shape in CONSOLE_SHAPES:
            payload = console_payload(shape, await self.queue.console())
        else:
            messages, now = await self.queue.messages(), self.queue.now
            payload = list_payload(shape, messages, now=now, language=language)
        return done(Operation.LIST, payload, language)

    async def _queue_action(
        self, operation: Operation, fields: Mapping[str, str], language: Language
    ) -> Reply:
        if operation is Operation.CONTROL:
            return await self._control(fields, language)
        exim = self.queue.mta == "exim"
        if operation is Operation.DELETE_FROZEN:
            if not exim:
                return refusal(operation, 100, language)
            return done(operation, await self.queue.delete_frozen(), language)
        force = "dellete_forse" in fields
        if force and not exim:
            return refusal(operation, 100, language)
        return done(operation, await self.queue.delete_all(force=force), language)

    async def _control(self, fields: Mapping[str, str], language: Language) -> Reply:
        command, message_id = fields.get("command"), fields.get("id")
        if command not in set(MessageCommand):
            return refusal(Operation.CONTROL, 100, language)
        if not message_id:
            return refusal(Operation.CONTROL, 101, language)
        if not self.options.mail_server_chosen:
            return refusal(Operation.CONTROL, 102, language)
        act = self.queue.delete if command == MessageCommand.DELETE else self.queue.retry
        return done(Operation.CONTROL, await act(message_id), language)

    async def _service(
        self, operation: Operation, fields: Mapping[str, str], language: Language
    ) -> Reply:
        command, service = fields.get("command"), operation.value
        if command not in set(ServiceCommand):
            return refusal(operation, 100, language)
        if not await self.services.installed(service):
            return done(operation, not_installed_words(language), language)
        if command == ServiceCommand.STATUS:
            running = await self.services.running(service)
        else:
            running = await self.services.switch(service, on=command == ServiceCommand.ON)
        if command == ServiceCommand.ON and not running:
            return done(operation, start_failed_words(language), language)
        return done(operation, service_word(language, running=running), language)

    def _encode(self, reply: Reply) -> bytes:
        return encode_reply(self.options.style, reply)


async def _fields(request: web.Request) -> dict[str, str]:
    posted = await request.post()
    return {
        **request.query,
        **{name: value for name, value in posted.items() if isinstance(value, str)},
    }


def _named_operation(
    fields: Mapping[str, str], *, documented: bool = True, module: bool = True
) -> Operation | None:
    if module and fields.get("module") == MODULE:
        subdo = fields.get("subdo")
        if subdo in set(Operation):
            return Operation(subdo)
    if documented and MODULE in fields:
        return next((operation for operation in Operation if operation.value in fields), None)
    return None


def _record(request: web.Request, fields: Mapping[str, str]) -> RecordedRequest:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return RecordedRequest(
        method=request.method,
        operation=_named_operation(fields),
        fields={name: "***" if name in _SECRET_FIELDS else v for name, v in fields.items()},
        connection=f"{peer[0]}:{peer[1]}" if peer else "",
        content_type=request.content_type,
    )


def _authorized(request: web.Request, wanted: tuple[str, str]) -> bool:
    return request.headers.get(hdrs.AUTHORIZATION) == encode_basic_auth(*wanted)


def panel_app(panel: Panel) -> web.Application:
    """The panel alone, at the path of a real one."""
    app = web.Application()
    app.router.add_get(API_PATH, panel.handle)
    app.router.add_post(API_PATH, panel.handle)
    return app


def panels_app(panels: Mapping[str, Panel]) -> web.Application:
    """Many panels behind one port, each under /NAME."""

    async def handle(request: web.Request) -> web.Response:
        panel = panels.get(request.match_info["panel"])
        if panel is None:
            raise web.HTTPNotFound
        return await panel.handle(request)

    app = web.Application()
    app.router.add_get("/{panel}" + API_PATH, handle)
    app.router.add_post("/{panel}" + API_PATH, handle)
    return app


@asynccontextmanager
async def serving(
    app: web.Application,
    *,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
    reuse_port: bool = False,
    keepalive: float = KEEPALIVE,
) -> AsyncIterator[str]:
    """Serve an app on loopback; gives its URL without a path.

    Port 0 takes a free one. An idle connection is closed after `keepalive` seconds. A request
    in flight at the end is cancelled.
    """
    # A client that goes away must not leave a slow call behind.
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.1,
        keepalive_timeout=keepalive,
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
