"""The routes for machines: metrics, probes, health, the JSON API, and Alertmanager's webhook."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from exporter.alerting.service import AlertingService
from exporter.alerting.view import alerts_view, receivers_view
from exporter.config.errors import ConfigError
from exporter.config.panel_api import API_PATH
from exporter.config.units import parse_duration
from exporter.fleet.store import Store
from exporter.fleet.view import host_view
from exporter.journal import Actor, JournalError
from exporter.journal.view import entry_view
from exporter.metrics.page import MetricsPage
from exporter.remediation.controller import RemediationController
from exporter.remediation.fleet_state import UnknownRuleError
from exporter.remediation.requests import Incident, Request
from exporter.snapshot import HostGoneError, HostSnapshot
from exporter.web.pages.routes import Pages
from exporter.web.responses import accepts_gzip, accepts_openmetrics, json_response, text_response

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_DEADLINE_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
_DEADLINE_MARGIN = 0.5
"""Seconds of Prometheus' scrape timeout kept for the way back of the response."""
_MAX_PROBE = 300.0


class StoppingError(Exception):
    """The daemon is ending and takes no more work."""


@dataclass(slots=True)
class Served:
    """The parts of the daemon that are served, and their routes."""

    store: Store
    page: MetricsPage
    poll: Callable[[str], Awaitable[HostSnapshot]]
    reload_config: Callable[[], Awaitable[None]]
    remediation: RemediationRoutes | None = None
    """None: nothing acts here, and there is no journal."""
    alerting: AlertingService | None = None
    """None: there are no alerts here."""
    pages: Pages | None = None
    """None: there are no pages."""
    _was_ready: bool = field(default=False, init=False)

    def routes(self) -> Iterator[web.AbstractRouteDef]:
        """Yield every route."""
        yield web.get("/metrics", self._metrics)
        yield web.get("/probe", self._probe)
        yield web.get("/sd", self._service_discovery)
        yield web.get("/-/healthy", self._healthy)
        yield web.get("/-/ready", self._ready)
        yield web.post("/-/reload", self._reload)
        yield web.get("/api/v1/hosts", self._hosts)
        yield web.get("/api/v1/hosts/{name}", self._host)
        yield web.get("/api/v1/alerts", self._alerts)
        for more in (self.pages, self.remediation):
            if more is not None:
                yield from more.routes()

    async def _metrics(self, request: web.Request) -> web.Response:
        openmetrics = accepts_openmetrics(request)
        gzip = accepts_gzip(request)
        body = await self.page.render(openmetrics=openmetrics, gzip=gzip)
        return _exposition(body, openmetrics=openmetrics, gzip=gzip)

    async def _probe(self, request: web.Request) -> web.Response:
        target = request.query.get("target")
        if not target:
            return text_response(400, "Name a configured host: /probe?target=NAME")
        if self.store.get(target) is None:
            return text_response(404, f"No host of this name is configured: {target!r:.200}")
        deadline = probe_deadline(request.headers.get(_DEADLINE_HEADER))
        openmetrics = accepts_openmetrics(request)
        try:
            async with asyncio.timeout(deadline):
                snapshot = await self.poll(target)
            if snapshot.missed is not None:  # no poll was made: nothing is known either
                return text_response(503, snapshot.missed.sentence)
            body = self.page.host(target, openmetrics=openmetrics)
        except TimeoutError:
            # Neither up nor down is known yet, so no sample is given; Prometheus' own `up`
            # shows that the probe did not end in time.
            why = f"The poll of {target} did not end within {deadline:g} s: raise scrape_timeout."
            return text_response(503, why)
        except (HostGoneError, KeyError):
            why = f"{target} left the config, or changed, while it was polled."
            return text_response(503, why)
        return _exposition(body, openmetrics=openmetrics, gzip=False)

    async def _service_discovery(self, _: web.Request) -> web.Response:
        groups = [
            {
                "targets": [record.host.name],
                "labels": {
                    **record.host.labels,
                    "__meta_brainycp_url": record.host.url.removesuffix(API_PATH),
                },
            }
            for record in self.store
        ]
        return json_response(groups)

    async def _healthy(self, _: web.Request) -> web.Response:
        return text_response(200, "Healthy.")

    async def _ready(self, _: web.Request) -> web.Response:
        waiting = [r.host.name for r in self.store if r.latest is None]
        # Hosts that a reload adds later do not make the daemon unready again.
        self._was_ready = self._was_ready or not waiting
        if self._was_ready:
            return text_response(200, "Ready.")
        return text_response(503, f"Waiting for the first poll of {len(waiting)} hosts.")

    async def _reload(self, request: web.Request) -> web.Response:
        if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            return text_response(403, "A page of another site may not ask for a reload.")
        try:
            await self.reload_config()
        except ConfigError as error:
            return text_response(400, f"The config was not reloaded, the old one stays:\n{error}")
        except StoppingError:
            return text_response(503, "The daemon is stopping.")
        return text_response(200, "Reloaded.")

    async def _hosts(self, _: web.Request) -> web.Response:
        now = time.time()
        return json_response([host_view(record, now) for record in self.store])

    async def _host(self, request: web.Request) -> web.Response:
        record = self.store.get(request.match_info["name"])
        if record is None:
            return text_response(404, "No host of this name is configured.")
        return json_response(host_view(record, time.time()))

    async def _alerts(self, _: web.Request) -> web.Response:
        alerting = self.alerting
        if alerting is None:
            return json_response({"alerts": [], "receivers": []})
        receivers = receivers_view(alerting.receiver_names, alerting.delivery_stats)
        return json_response({"alerts": alerts_view(alerting.evaluator), "receivers": receivers})


def add_routes(app: web.Application, served: Served) -> None:
    """Add every route to `app`."""
    app.on_response_prepare.append(_forbid_sniffing)
    app.add_routes(served.routes())


async def _forbid_sniffing(_: web.Request, response: web.StreamResponse) -> None:
    """Make browsers take each response for the type that it names."""
    response.headers["X-Content-Type-Options"] = "nosniff"


def probe_deadline(header: str | None) -> float:
    """Return the seconds that a probe may take by Prometheus' header; many without a valid one."""
    try:
        seconds = float(header or "")
    except ValueError:
        return _MAX_PROBE
    if not 0 < seconds < _MAX_PROBE:
        return _MAX_PROBE
    return max(seconds - _DEADLINE_MARGIN, seconds / 2)


def _exposition(body: bytes, *, openmetrics: bool, gzip: bool) -> web.Response:
    kind = OPENMETRICS if openmetrics else TEXT
    headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
    if gzip:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


# --- remediation ---------------------------------------------------------------------------------

MAX_ENTRIES = 1000
"""Entries of the journal in one response."""

MAX_WEBHOOKS = 8
"""Webhooks read or written down at once. One may hold thousands of alerts, and each is
written to the disk before the next, also when its sender waits no more."""

READ_TIMEOUT = 30.0
"""Seconds in which a webhook's body must arrive."""


class _Alert(msgspec.Struct):
    """The fields of an alert that are read."""

    status: str
    labels: dict[str, str]
    startsAt: str = ""  # noqa: N815 - Alertmanager's name
    fingerprint: str = ""


class _Webhook(msgspec.Struct):
    """The fields of Alertmanager's webhook, version 4, that are read."""

    version: str
    alerts: list[_Alert]


_webhook = msgspec.json.Decoder(_Webhook)


@dataclass(frozen=True, slots=True)
class RemediationRoutes:
    """Routes of remediation: Alertmanager's webhook, and the journal."""

    controller: RemediationController
    may_act: Callable[[], str]
    """Returns why nobody may act through these addresses; "" when somebody may."""
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_WEBHOOKS))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/api/v1/alertmanager", self.alertmanager),
            web.get("/api/v1/journal", self.journal),
        ]

    async def alertmanager(self, request: web.Request) -> web.Response:
        """Request the rules that the alerts of an Alertmanager name.

        Each rule passes the same guards as without an alert, and its conditions must hold. An
        alert that comes again requests nothing new.
        """
        refusal = self.may_act()
        if refusal:
            return text_response(403, refusal)
        # Every browser sends it with a page's POST, also to a name that leads here by a trick.
        if "Origin" in request.headers:
            return text_response(403, "Refused: it comes from a page in a browser.")
        # A page in a browser cannot send this type to another site without asking first.
        if request.content_type != "application/json":
            return text_response(415, "Send application/json, as Alertmanager does.")
        if self._slots.locked():
            # Alertmanager tries again on a 5xx.
            return text_response(503, "Too many webhooks are under way; try again.")
        async with self._slots:
            return await self._receive(request)

    async def _receive(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                body = await request.read()
        except TimeoutError:
            return text_response(408, "The body did not come in time.", close=True)
        try:
            webhook = _webhook.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return text_response(400, f"This is no webhook of an Alertmanager: {error}")
        if webhook.version != "4":
            return text_response(400, "Only version 4 of Alertmanager's webhook is known.")
        outcomes: list[dict[str, str]] = []
        status = 200
        for alert in webhook.alerts:
            try:
                outcomes.append(await self._request(alert))
            except JournalError as error:
                status = 503
                outcomes.append({"result": "not written down", "why": str(error)})
        return json_response({"alerts": outcomes}, status=status)

    async def _request(self, alert: _Alert) -> dict[str, str]:
        host, rule = alert.labels.get("host", ""), alert.labels.get("remediation", "")
        named = {"host": host, "rule": rule}
        if not rule:
            return named | {"result": "ignored", "why": "it has no label remediation"}
        if not host:
            return named | {"result": "unknown", "why": "it has no label host"}
        name, incident = alert.labels.get("alertname", ""), _incident(alert)
        if alert.status != "firing":
            await self.controller.withdraw(host, rule, incident, name)
            return named | {"result": "withdrawn", "why": f"it is {alert.status or 'not firing'}"}
        request = Request(Actor.ALERTMANAGER, name, incident.detail(name))
        try:
            result = await self.controller.ask(host, rule, request)
        except UnknownRuleError as error:
            return named | {"result": "unknown", "why": str(error)}
        return named | {"result": result.value}

    async def journal(self, request: web.Request) -> web.Response:
        """Return the newest entries; `host`, `rule` and `since` (as 24h) select among them."""
        filters: dict[str, Any] = dict(request.query.items())
        if not filters.keys() <= {"host", "rule", "since"}:
            return text_response(400, "Known are host, rule and since (as 24h).")
        if "since" in filters:
            try:
                filters["since"] = time.time() - parse_duration(filters["since"])
            except ValueError as error:
                return text_response(400, str(error))
        try:
            entries = await self.controller.follower.entries(newest=MAX_ENTRIES, **filters)
        except JournalError as error:
            return text_response(503, str(error))
        return json_response([entry_view(entry) for entry in entries])


def _incident(alert: _Alert) -> Incident:
    labels = "\0".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
    return Incident.made(alert.fingerprint or labels, alert.startsAt)
