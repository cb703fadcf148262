"""The Host header check, against DNS rebinding on loopback without a password.

A page of another site can make its own name lead to 127.0.0.1 and read mail addresses as if they
were its own. Its browser sends that name as Host: without a password only this machine's own names
are accepted there.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from exporter.web.responses import text_response
from exporter.web.server.access_control import USER, Handler

_FOR_MACHINES = ("/metrics", "/probe", "/sd", "/-/")
"""Scraped by any name, and without mail addresses."""


class HostHeaderCheck:
    """Refuses requests without a password, over loopback, for a name that is not this machine's."""

    def __init__(self) -> None:
        self.external_url = ""
        """Where people reach the pages, by the config: a proxy may pass its name on."""

    def guard(self, app: web.Application) -> None:
        """Check names before the pages and the API of `app`, which is not started yet."""

        @web.middleware
        async def check_name(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self._is_trusted(request):
                return await handler(request)
            text = (
                f"Refused: this is not asked for as {request.headers['Host']!r:.200}. Take "
                "localhost or an address of this machine, or set web.external_url."
            )
            return text_response(403, text)

        app.middlewares.append(check_name)

    def _is_trusted(self, request: web.Request) -> bool:
        if request.secure or USER in request or request.path.startswith(_FOR_MACHINES):
            return True  # the browser gives a certificate or a password for one name only
        name = host_name(request.headers.get("Host", ""))
        return name in {"", host_name(urlsplit(self.external_url).netloc)} or (
            is_of_this_machine(name) or not _came_over_loopback(request)
        )


def host_name(authority: str) -> str:
    """Return the host of `HOST:PORT`, in lower case and without the brackets of an IPv6 address."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return authority


def is_of_this_machine(name: str) -> bool:
    """Return whether no DNS server decides where a name leads: an address, or a localhost."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True


def _came_over_loopback(request: web.Request) -> bool:
    place = request.get_extra_info("sockname")
    try:
        return ipaddress.ip_address(place[0].partition("%")[0]).is_loopback
    except (ValueError, TypeError, IndexError):
        return False
