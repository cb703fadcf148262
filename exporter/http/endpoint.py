"""Requests to receivers over HTTP: one place for login, TLS, bounds and secrecy."""

from __future__ import annotations

import ssl
from contextlib import suppress

import aiohttp
from yarl import URL

from exporter import USER_AGENT
from exporter.config.access import TlsConfig
from exporter.config.alerting import HttpReceiver
from exporter.config.units import format_size
from exporter.http.errors import (
    DeliveryError,
    EarlyReplyRequest,
    Request,
    exchange_fault,
    status_fault,
)
from exporter.snapshot import Reason

TIMEOUT = 10.0
"""Seconds for one request, from the name look-up to the last byte."""

_REPLY_TO_POST = 64 * 2**10
"""Bytes of the reply to a POST that are read at most; nothing in it counts."""


class HttpEndpoint:
    """Sends requests to one receiver; holds secrets and shows none of them.

    Every request has a connection of its own: they are minutes apart, and a kept one would have
    been dropped by the other side just when it counts.
    """

    def __init__(self, name: str, config: HttpReceiver, *, timeout: float = TIMEOUT) -> None:
        """`name` is the receiver's; `timeout` the seconds that one request may take."""
        self.name = name
        self._tls = config.tls
        self._login = _login(config)
        self._seconds = timeout
        self._session: aiohttp.ClientSession | None = None
        self._resolver: aiohttp.AsyncResolver | None = None

    async def post(self, url: URL, body: bytes) -> None:
        """Send some JSON.

        Raises:
            DeliveryError: it was not accepted.
        """
        await self._request(url, body)

    async def get(self, url: URL, limit: int) -> bytes:
        """Return what is at `url`, at most `limit` bytes.

        Raises:
            DeliveryError: it cannot be had.
        """
        return await self._request(url, limit=limit)

    async def close(self) -> None:
        """Close what is open; a later request begins anew."""
        session, self._session = self._session, None
        resolver, self._resolver = self._resolver, None
        if session is not None:
            await session.close()
        if resolver is not None:
            await resolver.close()

    async def _request(self, url: URL, body: bytes | None = None, *, limit: int = 0) -> bytes:
        request = Request(self.name, bool(self._login), url.scheme == "https", self._seconds)
        try:
            return await self._exchange(request, url, body, limit)
        except (aiohttp.ClientError, TimeoutError) as error:
            fault = exchange_fault(request, error)
        except DeliveryError as error:
            fault = error
        # Raised out here because aiohttp's error, which holds the URL and the headers, would
        # stay attached to it as its context.
        raise fault

    async def _exchange(self, request: Request, url: URL, body: bytes | None, limit: int) -> bytes:
        method, trust = "GET" if body is None else "POST", _trust(self._tls, request)
        headers = {"Authorization": _sendable(self._login, request)} if self._login else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        response = await self._opened(request).request(
            method, url, data=body, headers=headers, ssl=trust, allow_redirects=False
        )
        try:
            if not 200 <= response.status < 300:
                raise status_fault(request, response.status)
            if body is None:
                return await _read(response, limit, request)
            await _drain(response)
            return b""
        finally:
            response.close()

    def _opened(self, request: Request) -> aiohttp.ClientSession:
        if self._session is None:
            # With the three servers that a resolv.conf may name, giving up takes less than
            # connecting may.
            self._resolver = aiohttp.AsyncResolver(timeout=1.0, tries=2)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._resolver, use_dns_cache=False, force_close=True
                ),
                headers={
                    "User-Agent": USER_AGENT,
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",  # a compressed reply could be a bomb
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=request.seconds, connect=request.connect_seconds
                ),
                auto_decompress=False,
                request_class=EarlyReplyRequest,
            )
        return self._session


def _login(config: HttpReceiver) -> str:
    """Return the header Authorization; "" without a login."""
    auth = config.basic_auth
    if auth is not None and auth.password is not None:
        return aiohttp.encode_basic_auth(auth.username, auth.password.get_secret_value())
    if config.bearer_token is not None:
        return f"Bearer {config.bearer_token.get_secret_value()}"
    return ""


def _sendable(login: str, request: Request) -> str:
    """Return `login` when a header can hold it: aiohttp's own error would quote it."""
    if login.isascii() and login.isprintable():
        return login
    raise request.fault(
        Reason.HTTP_401,
        "was not asked: its bearer token holds characters that no HTTP header can",
        "Check the token: it should be one line of ASCII.",
    )


def _trust(tls: TlsConfig, request: Request) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
    """Return what aiohttp calls `ssl`; True are the system's authorities."""
    if tls.fingerprint_sha256 is not None:
        return aiohttp.Fingerprint(bytes.fromhex(tls.fingerprint_sha256))
    if tls.insecure_skip_verify:
        return False
    if tls.ca_file is None or not request.encrypted:
        return True
    try:
        # Read for each request: it is a few milliseconds, and a renewed file counts at once.
        return ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror
    raise request.fault(
        Reason.TLS,
        f"was not asked: the file of its tls.ca_file cannot be used: {tls.ca_file}: {why}",
        "Put the authority's certificate there, in PEM form, readable by the exporter.",
    )


async def _read(response: aiohttp.ClientResponse, limit: int, request: Request) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > limit:
            raise request.fault(
                Reason.TOO_LARGE, f"answers with more than {format_size(limit)}", "Check its url."
            )
        pieces.append(chunk)
    return b"".join(pieces)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read what comes after a success: some programs end when nobody listens."""
    left = _REPLY_TO_POST
    with suppress(aiohttp.ClientError, TimeoutError):
        while left > 0 and (chunk := await response.content.readany()):
            left -= len(chunk)
