"""What every request passes before a route sees it: the web config's rules."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from aiohttp import web

from exporter.web.auth import PasswordChecker, TooManyChecksError, basic_credentials
from exporter.web.rate_limit import TokenBucket
from exporter.web.toolkit import WebSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CHALLENGE = 'Basic realm="brainycp-exporter", charset="UTF-8"'

USER = web.RequestKey("user", str)
"""Under it a request holds the name of who has given the right password."""

MAX_BODY_BYTES = 2**20
"""No route wants a larger body than an Alertmanager's webhook; it is not waited for."""


class Gate:
    """Lets requests through by the WebSettings in force, on every path."""

    def __init__(self) -> None:
        self._settings = WebSettings()
        self._bucket: TokenBucket | None = None
        self._checker: PasswordChecker | None = None
        # One thread: guessing passwords takes one core at most.
        self._bcrypt = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")

    def guard(self, app: web.Application) -> None:
        """Stand before every route of `app`, which is not started yet."""

        @web.middleware
        async def pass_gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._refusal(request) or await handler(request)

        app.middlewares.insert(0, pass_gate)
        app.on_response_prepare.append(self._add_headers)

    def use(self, settings: WebSettings) -> None:
        """Judge every request from now on by `settings`, also on connections already open.

        What is known of passwords is forgotten when the users change, how many requests came
        when the rate limit does.
        """
        if settings.users != self._settings.users or self._checker is None:
            users = settings.users
            self._checker = PasswordChecker(users, self._bcrypt) if users else None
        if settings.rate_limit != self._settings.rate_limit:
            limit = settings.rate_limit
            self._bucket = None if limit is None else TokenBucket(limit, time.monotonic())
        self._settings = settings

    def close(self) -> None:
        """Take no more passwords; a check that runs is not waited for."""
        self._bcrypt.shutdown(wait=False, cancel_futures=True)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        if self._bucket is not None and not self._bucket.take(time.monotonic()):
            return _refuse(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests.")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "No body of this size is wanted here.",
                close=True,
            )
        allowed = self._settings.client_sans
        certificate = request.get_extra_info("peercert") or {}
        if allowed and allowed.isdisjoint(alternative_names(certificate)):
            return _refuse(
                HTTPStatus.FORBIDDEN, "The client certificate has no allowed name.", close=True
            )
        return None if self._checker is None else await self._wrong_password(request, self._checker)

    async def _wrong_password(
        self, request: web.Request, checker: PasswordChecker
    ) -> web.Response | None:
        credentials = basic_credentials(request.headers.get("Authorization"))
        try:
            if credentials and await checker.check(*credentials, request.remote or ""):
                request[USER] = credentials[0].decode("utf-8", "replace")
                return None
        except TooManyChecksError:
            text = "Too many passwords wait to be checked; try again."
            return _refuse(HTTPStatus.TOO_MANY_REQUESTS, text, headers={"Retry-After": "1"})
        headers = {"WWW-Authenticate": _CHALLENGE}
        return _refuse(HTTPStatus.UNAUTHORIZED, "Unauthorized", headers=headers)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        del request
        response.headers.update(self._settings.headers)


def alternative_names(certificate: Mapping[str, object]) -> set[str]:
    """The subject alternative names of a certificate as the ssl module shows it.

    Addresses in their short form, as the toolkit compares them.
    """
    names = set[str]()
    entries = certificate.get("subjectAltName")
    for kind, name in entries if isinstance(entries, tuple) else ():
        if kind == "IP Address":
            names.add(str(ipaddress.ip_address(name.strip())))
        elif kind in {"DNS", "email", "URI"}:
            names.add(name)
    return names


def _refuse(
    status: HTTPStatus,
    text: str,
    *,
    headers: Mapping[str, str] | None = None,
    close: bool = False,
) -> web.Response:
    response = web.Response(status=status, text=f"{text}\n", headers=headers)
    if close:
        response.force_close()
    return response
