"""The routes of remediation: an Alertmanager that asks for rules, and the journal as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from exporter.config.units import parse_duration
from exporter.journal import Actor, JournalError
from exporter.journal.view import entry_view
from exporter.remediation.controller import RemediationController
from exporter.remediation.fleet_state import UnknownRuleError
from exporter.remediation.requests import Incident, Request
from exporter.web.responses import json_answer, text_answer

MAX_ENTRIES = 1000
"""Entries of the journal in one answer."""


MOST_AT_ONCE = 8
"""Webhooks read or written down at once. One may hold thousands of alerts, each of which is
written to the disk before the next, also when who sent it waits no more."""

LONGEST_READ = 30.0
"""Seconds that a webhook's body may take to come."""


class _Alert(msgspec.Struct):
    """What is read of one alert."""

    status: str
    labels: dict[str, str]
    startsAt: str = ""  # noqa: N815 - Alertmanager's name
    fingerprint: str = ""


class _Webhook(msgspec.Struct):
    """Alertmanager's webhook, version 4, as far as it matters here."""

    version: str
    alerts: list[_Alert]


_webhook = msgspec.json.Decoder(_Webhook)


@dataclass(frozen=True, slots=True)
class RemediationRoutes:
    """Handlers for what concerns remediation."""

    controller: RemediationController
    may_act: Callable[[], str]
    """Why nobody may be let to act through this address; "" when somebody may."""
    clock: Callable[[], float]
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.post("/api/v1/alertmanager", self.alertmanager),
            web.get("/api/v1/journal", self.journal),
        ]

    async def alertmanager(self, request: web.Request) -> web.Response:
        """Take the alerts of an Alertmanager that ask for a rule.

        Whatever is asked for passes the same guards as a rule that trips by itself, and its
        condition must hold. An alert that comes again asks for nothing new.
        """
        refusal = self.may_act()
        if refusal:
            return text_answer(403, f"{refusal}\n")
        # Every browser says so of what a page sends, also to a name that leads here by a trick.
        if "Origin" in request.headers:
            return text_answer(403, "Refused: it comes from a page in a browser.\n")
        # A page in a browser cannot send this type to another site without asking first.
        if request.content_type != "application/json":
            return text_answer(415, "Send application/json, as Alertmanager does.\n")
        if self._turns.locked():
            # Alertmanager tries again on a 5xx.
            return text_answer(503, "Too many webhooks are under way; try again.\n")
        async with self._turns:
            return await self._take_all(request)

    async def _take_all(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(LONGEST_READ):
                body = await request.read()
        except TimeoutError:
            response = text_answer(408, "The body did not come in time.\n")
            response.force_close()
            return response
        try:
            webhook = _webhook.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return text_answer(400, f"This is no webhook of an Alertmanager: {error}\n")
        if webhook.version != "4":
            return text_answer(400, "Only version 4 of Alertmanager's webhook is known.\n")
        outcomes: list[dict[str, str]] = []
        status = 200
        for alert in webhook.alerts:
            try:
                outcomes.append(await self._take(alert))
            except JournalError as error:
                status = 503
                outcomes.append({"result": "not written down", "why": str(error)})
        return json_answer({"alerts": outcomes}, status=status)

    async def _take(self, alert: _Alert) -> dict[str, str]:
        host, rule = alert.labels.get("host", ""), alert.labels.get("remediation", "")
        told = {"host": host, "rule": rule}
        if not rule:
            return told | {"result": "ignored", "why": "it has no label remediation"}
        if not host:
            return told | {"result": "unknown", "why": "it has no label host"}
        name, incident = alert.labels.get("alertname", ""), _incident(alert)
        if alert.status != "firing":
            await self.controller.withdraw(host, rule, incident, name)
            return told | {"result": "withdrawn", "why": f"it is {alert.status or 'not firing'}"}
        request = Request(Actor.ALERTMANAGER, name, {"alert": name, **incident.detail})
        try:
            taken = await self.controller.ask(host, rule, request)
        except UnknownRuleError as error:
            return told | {"result": "unknown", "why": str(error)}
        return told | {"result": taken.value}

    async def journal(self, request: web.Request) -> web.Response:
        """The newest entries; `host`, `rule` and `since` (as 24h) narrow them down."""
        try:
            filters = dict(_filters(request, self.clock()))
        except ValueError as error:
            return text_answer(400, f"{error}\n")
        try:
            entries = await self.controller.entries(newest=MAX_ENTRIES, **filters)
        except JournalError as error:
            return text_answer(503, f"{error}\n")
        return json_answer([entry_view(entry) for entry in entries])


def _incident(alert: _Alert) -> Incident:
    labels = "\0".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
    return Incident.made(alert.fingerprint or labels, alert.startsAt)


def _filters(request: web.Request, now: float) -> Iterator[tuple[str, Any]]:
    for name, value in request.query.items():
        match name:
            case "host" | "rule":
                yield name, value
            case "since":
                yield name, now - parse_duration(value)
            case _:
                raise ValueError("Known are host, rule and since (as 24h).")
