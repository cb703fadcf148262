"""The routes: what the daemon serves over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from exporter.alerting.service import AlertingService
from exporter.alerting.view import alerts_view, receivers_view
from exporter.config.document import ConfigError
from exporter.config.panel_api import API_PATH
from exporter.fleet.store import Store
from exporter.fleet.view import host_view
from exporter.metrics.page import MetricsPage
from exporter.snapshot import HostGoneError, HostSnapshot
from exporter.web.listener import ListenError
from exporter.web.pages.routes import Pages
from exporter.web.remediation import RemediationRoutes
from exporter.web.responses import accepts_gzip, json_answer, text_answer

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_DEADLINE_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
_DEADLINE_MARGIN = 0.5
"""Seconds of Prometheus' scrape timeout kept for the answer's way back."""
_LONGEST_PROBE = 300.0


class StoppingError(Exception):
    """The daemon is ending and takes no more work."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the routes need of the daemon."""

    store: Store
    page: MetricsPage
    poll: Callable[[str], Awaitable[HostSnapshot]]
    reload: Callable[[], Awaitable[None]]
    remediation: RemediationRoutes | None = None
    """None: nothing acts here, and there is no journal."""
    alerting: AlertingService | None = None
    """None: there are no alerts here."""
    pages: Pages | None = None
    """None: there is nothing to look at."""


def add_routes(app: web.Application, served: Served) -> None:
    """Add every route to `app`."""
    routes = _Routes(served)
    app.on_response_prepare.append(_forbid_guessing)
    app.add_routes(
        [
            web.get("/metrics", routes.metrics),
            web.get("/probe", routes.probe),
            web.get("/sd", routes.service_discovery),
            web.get("/-/healthy", routes.healthy),
            web.get("/-/ready", routes.ready),
            web.post("/-/reload", routes.reload),
            web.get("/api/v1/hosts", routes.hosts),
            web.get("/api/v1/hosts/{name}", routes.host),
            web.get("/api/v1/alerts", routes.alerts),
            *(served.pages.routes() if served.pages is not None else ()),
            *(served.remediation.routes() if served.remediation is not None else ()),
        ]
    )


async def _forbid_guessing(request: web.Request, response: web.StreamResponse) -> None:
    """Of every answer: a browser takes it for what it is said to be."""
    del request
    response.headers["X-Content-Type-Options"] = "nosniff"


class _Routes:
    def __init__(self, served: Served) -> None:
        self._served = served
        self._was_ready = False

    async def metrics(self, request: web.Request) -> web.Response:
        openmetrics = accepts_openmetrics(request.headers.get("Accept", ""))
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        body = await self._served.page.render(openmetrics=openmetrics, gzip=gzip)
        return _exposition(body, openmetrics=openmetrics, gzip=gzip)

    async def probe(self, request: web.Request) -> web.Response:
        target = request.query.get("target")
        if not target:
            return text_answer(400, "Name a configured host: /probe?target=NAME\n")
        if self._served.store.get(target) is None:
            return text_answer(404, f"No host of this name is configured: {target!r:.200}\n")
        deadline = probe_deadline(request.headers.get(_DEADLINE_HEADER))
        openmetrics = accepts_openmetrics(request.headers.get("Accept", ""))
        try:
            async with asyncio.timeout(deadline):
                snapshot = await self._served.poll(target)
            if snapshot.missed is not None:  # likewise
                return text_answer(503, f"{snapshot.missed.sentence}\n")
            body = self._served.page.host(target, openmetrics=openmetrics)
        except TimeoutError:
            # Neither up nor down is known yet, so no sample is given; Prometheus' own `up`
            # tells that the probe did not end in time.
            text = (
                f"The poll of {target} did not end within {deadline:g} s: raise scrape_timeout.\n"
            )
            return text_answer(503, text)
        except (HostGoneError, KeyError):
            return text_answer(503, f"{target} left the config, or changed, while it was polled.\n")
        return _exposition(body, openmetrics=openmetrics, gzip=False)

    async def service_discovery(self, request: web.Request) -> web.Response:
        del request
        groups = [
            {
                "targets": [record.host.name],
                "labels": {
                    **record.host.labels,
                    "__meta_brainycp_url": record.host.url.removesuffix(API_PATH),
                },
            }
            for record in self._served.store
        ]
        return json_answer(groups)

    async def healthy(self, request: web.Request) -> web.Response:
        del request
        return text_answer(200, "Healthy.\n")

    async def ready(self, request: web.Request) -> web.Response:
        del request
        waiting = [r.host.name for r in self._served.store if r.latest is None]
        # Hosts that a reload adds later do not make the daemon unready again.
        self._was_ready = self._was_ready or not waiting
        if self._was_ready:
            return text_answer(200, "Ready.\n")
        return text_answer(503, f"Waiting for the first poll of {len(waiting)} hosts.\n")

    async def reload(self, request: web.Request) -> web.Response:
        if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            return text_answer(403, "A page of another site may not ask for a reload.\n")
        try:
            await self._served.reload()
        except (ConfigError, ListenError) as error:
            return text_answer(400, f"The config was not reloaded, the old one stays:\n{error}\n")
        except StoppingError:
            return text_answer(503, "The daemon is stopping.\n")
        return text_answer(200, "Reloaded.\n")

    async def hosts(self, request: web.Request) -> web.Response:
        del request
        now = time.time()
        return json_answer([host_view(record, now) for record in self._served.store])

    async def host(self, request: web.Request) -> web.Response:
        record = self._served.store.get(request.match_info["name"])
        if record is None:
            return text_answer(404, "No host of this name is configured.\n")
        return json_answer(host_view(record, time.time()))

    async def alerts(self, request: web.Request) -> web.Response:
        del request
        alerting_service = self._served.alerting
        if alerting_service is None:
            return json_answer({"alerts": [], "receivers": []})
        receivers = receivers_view(alerting_service.receiver_names, alerting_service.delivery_stats)
        return json_answer(
            {"alerts": alerts_view(alerting_service.evaluator), "receivers": receivers}
        )


def accepts_openmetrics(accept: str) -> bool:
    """Whether the client names OpenMetrics 1.0; everyone reads the text format."""
    return any(
        part.strip().startswith("application/openmetrics-text") and "q=0;" not in f"{part};"
        for part in accept.replace(" ", "").split(",")
    )


def probe_deadline(header: str | None) -> float:
    """Seconds that a probe may take, by Prometheus' header; long when it is absent or odd."""
    try:
        seconds = float(header or "")
    except ValueError:
        return _LONGEST_PROBE
    if not 0 < seconds < _LONGEST_PROBE:
        return _LONGEST_PROBE
    return max(seconds - _DEADLINE_MARGIN, seconds / 2)


def _exposition(body: bytes, *, openmetrics: bool, gzip: bool) -> web.Response:
    headers = {"Content-Type": OPENMETRICS if openmetrics else TEXT}
    headers["Vary"] = "Accept, Accept-Encoding"
    if gzip:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)
