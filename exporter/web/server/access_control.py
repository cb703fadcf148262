"""Access control: the checks of the web config that every request passes before its route."""

from __future__ import annotations

import errno
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from exporter.web.responses import text_response
from exporter.web.server.auth import (
    Credentials,
    PasswordChecker,
    TooManyChecksError,
    basic_credentials,
)
from exporter.web.server.web_config import RateLimit, WebSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BaseHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_CHALLENGE = 'Basic realm="brainycp-exporter", charset="UTF-8"'

USER = web.RequestKey("user", str)
"""The key of a request's user: the name that was given with the right password."""

_NO_SUCH_NAME = frozenset({errno.ENAMETOOLONG, errno.ELOOP})
"""Errors of the system for a path that no file of ours can have."""

MAX_BODY_BYTES = 2**20
"""No route takes a larger body than an Alertmanager's webhook; it is not waited for."""


class AccessControl:
    """Passes or refuses requests by the WebSettings in force, on every path."""

    def __init__(self) -> None:
        self._settings = WebSettings()
        # One for requests with a password known to be right, and one for all others: guesses that
        # come by the same proxy as Prometheus use up only the second one.
        self._buckets: Mapping[bool, TokenBucket] = {}
        self._checker: PasswordChecker | None = None
        # One thread: guessing passwords takes one core at most.
        self._bcrypt = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")

    def guard(self, app: web.Application) -> None:
        """Check access before every route of `app`, which is not started yet."""

        @web.middleware
        async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._refusal(request) or await handler(request)

        app.middlewares.insert(0, check_access)
        app.on_response_prepare.append(self._add_headers)

    def wrap(self, handle: BaseHandler) -> BaseHandler:
        """Return the application's `handle`, refusing what makes aiohttp fail before the check.

        aiohttp answers such requests with 500 and writes a traceback for each into the log.
        """

        async def handle_safely(request: web.BaseRequest) -> web.StreamResponse:
            expected = request.headers.get("Expect", "")
            if expected.strip().lower() not in {"", "100-continue"}:
                return self._plain(417, "Only 100-continue is known.")
            try:
                return await handle(request)
            except ConnectionError:
                if request.transport is not None and not request.transport.is_closing():
                    raise
                return self._plain(400, "The client has gone.")
            except OSError as error:
                if error.errno not in _NO_SUCH_NAME:
                    raise
                return self._plain(404, "There is nothing of this name.")

        return handle_safely

    def _plain(self, status: int, text: str) -> web.Response:
        headers = {"X-Content-Type-Options": "nosniff", **self._settings.headers}
        return text_response(status, text, headers=headers, close=True)

    def apply_config(self, settings: WebSettings) -> None:
        """Check every request from now on by `settings`, also on connections already open.

        The known results for a user's passwords are forgotten when that user changes, the number of
        requests when the rate limit does.
        """
        before, self._settings = self._settings, settings
        if settings.users != before.users:
            old, users = self._checker, settings.users
            remembered = None if old is None else old.remembered
            self._checker = (
                PasswordChecker(users, self._bcrypt, remembered=remembered) if users else None
            )
            if old is not None:
                old.close()
        if (limit := settings.rate_limit) != before.rate_limit:
            now = time.monotonic()
            self._buckets = {known: TokenBucket(limit, now) for known in (False, True) if limit}

    def close(self) -> None:
        """Take no more passwords; a check that runs is not waited for."""
        if self._checker is not None:
            self._checker.close()
        self._bcrypt.shutdown(wait=False, cancel_futures=True)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        credentials = basic_credentials(request.headers.get("Authorization"))
        checker = self._checker
        known = bool(checker and credentials and checker.is_known(*credentials))
        if self._buckets and not self._buckets[known].take(time.monotonic()):
            return text_response(429, "Too many requests.")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            text = "No body of this size is wanted here."
            return text_response(413, text, close=True)
        allowed = self._settings.client_sans
        certificate = request.get_extra_info("peercert") or {}
        if allowed and allowed.isdisjoint(alternative_names(certificate)):
            text = "The client certificate has no allowed name."
            return text_response(403, text, close=True)
        return None if checker is None else await self._login(request, checker, credentials)

    async def _login(
        self, request: web.Request, checker: PasswordChecker, credentials: Credentials | None
    ) -> web.Response | None:
        try:
            if credentials and await checker.check(*credentials, request.remote or ""):
                request[USER] = credentials[0].decode("utf-8", "replace")
                return None
        except TooManyChecksError:
            text = "Too many passwords wait to be checked; try again."
            return text_response(429, text, headers={"Retry-After": "1"})
        headers = {"WWW-Authenticate": _CHALLENGE}
        return text_response(401, "Unauthorized", headers=headers)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        del request
        response.headers.update(self._settings.headers)


def alternative_names(certificate: Mapping[str, object]) -> set[str]:
    """Return the subject alternative names of a certificate as the ssl module shows it.

    Addresses are in their short form, as the toolkit compares them.
    """
    names = set[str]()
    entries = certificate.get("subjectAltName")
    for kind, name in entries if isinstance(entries, tuple) else ():
        if kind == "IP Address":
            names.add(str(ipaddress.ip_address(name.strip())))
        elif kind in {"DNS", "email", "URI"}:
            names.add(name)
    return names


class TokenBucket:
    """Counts the requests of all clients together against a RateLimit."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Return whether a request at `now`, in seconds of a monotonic clock, is let in."""
        gained = (now - self._at) / self._limit.interval
        self._tokens = min(self._limit.burst, self._tokens + gained)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
