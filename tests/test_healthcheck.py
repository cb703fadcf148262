"""The container's health check, against real listeners."""

from __future__ import annotations

import asyncio
import ssl
import sys

import pytest
import trustme
from aiohttp import web

from exporter.healthcheck import healthy
from exporter.standin.panel import serving


def app(status: int) -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    made = web.Application()
    made.router.add_get("/-/healthy", answer)
    return made


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(
    ("status", "expected"), [(200, True), (401, True), (429, True), (500, False)]
)
async def test_a_daemon_that_answers_is_healthy(
    status: int, expected: bool, encrypted: bool
) -> None:
    async with serving(app(status), tls=tls() if encrypted else None) as url:
        address = url.partition("//")[2]
        assert await asyncio.to_thread(healthy, address) is expected


async def test_the_exit_code_says_so(unused_url: str) -> None:
    for address, code in ((unused_url.split("/")[2], 1),):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "exporter.healthcheck", address
        )
        assert await process.wait() == code
