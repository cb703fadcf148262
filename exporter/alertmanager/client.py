"""A client of Alertmanager's API version 2: sends alerts, reads silences."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from yarl import URL

from exporter.alertmanager.alert import Alert
from exporter.alertmanager.payload import alert_payload
from exporter.alertmanager.sanitize import one_line
from exporter.alertmanager.silences import Silence, UnclearSilenceError, matching
from exporter.config.alerting import AlertmanagerConfig
from exporter.http.endpoint import TIMEOUT, HttpEndpoint
from exporter.http.errors import DeliveryError
from exporter.snapshot import Reason

T = TypeVar("T")

BATCH = 256
"""Alerts in one request: some 200 KiB."""

_MAX_REPLY = 16 * 2**20
"""Bytes. Expired silences are listed for five days, half a kilobyte each."""


class _AlertStatus(msgspec.Struct, frozen=True, rename="camel"):
    silenced_by: tuple[str, ...]


class _ListedAlert(msgspec.Struct, frozen=True):
    labels: dict[str, str]
    status: _AlertStatus


class AlertmanagerClient:
    """One Alertmanager."""

    def __init__(self, config: AlertmanagerConfig, *, timeout: float = TIMEOUT) -> None:
        """`timeout`: seconds that one request may take."""
        self._api = URL(config.url) / "api" / "v2"
        self._endpoint = HttpEndpoint(config.receiver, config, timeout=timeout)

    @property
    def name(self) -> str:
        """The label `receiver`."""
        return self._endpoint.name

    async def send(self, alerts: Sequence[Alert], *, ends_at: float) -> None:
        """Send alerts in batches.

        Args:
            alerts: firing ones and resolved ones.
            ends_at: Unix time at which it shall take a firing alert for resolved unless that is
                sent again.

        Raises:
            DeliveryError: not all of them were accepted.
        """
        refused: DeliveryError | None = None
        for start in range(0, len(alerts), BATCH):
            batch = alerts[start : start + BATCH]
            payload = [alert_payload(alert, alert.resolved_at or ends_at) for alert in batch]
            try:
                await self._endpoint.post(self._api / "alerts", msgspec.json.encode(payload))
            except DeliveryError as error:
                if error.retryable or error.reason != Reason.HTTP_STATUS:
                    raise  # the next batch would fare no better
                refused = refused or error
        if refused is not None:
            raise refused

    async def silenced(self, host: str, labels: Mapping[str, str]) -> str:
        """Return why a host is silenced here, as a sentence; "" when it is not.

        Args:
            host: it is silenced when any of its alerts is.
            labels: it is silenced when a silence matches these, whether there is an alert or not.

        Raises:
            DeliveryError: it cannot be decided.
        """
        alerts = await self._alerts_of(host)
        silences = await self._get(self._api / "silences", list[Silence])
        for alert in alerts:
            for silence_id in alert.status.silenced_by:
                known = (silence for silence in silences if silence.id == silence_id)
                silence = next(known, None) or f"silence {one_line(silence_id, 40)}"
                name = one_line(alert.labels.get("alertname", ""), 60)
                return f"The alert {name} of {host} is silenced at {self.name}: {silence}."
        try:
            # Ten thousand regular expressions take a second: not on the event loop.
            match = await asyncio.to_thread(matching, silences, labels)
        except UnclearSilenceError as error:
            raise DeliveryError(
                Reason.UNEXPECTED,
                f"Whether {self.name} silences {host} cannot be told: {error}",
                hint="Write the silence with plain values, or a simpler expression.",
                retryable=False,
            ) from None
        return "" if match is None else f"{host} is silenced at {self.name}: {match}."

    async def close(self) -> None:
        """Close connections."""
        await self._endpoint.close()

    async def _alerts_of(self, host: str) -> list[_ListedAlert]:
        quoted = host.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        query = {
            "filter": f'host="{quoted}"',
            "active": "false",
            "silenced": "true",
            # One that is inhibited as well would not be listed otherwise.
            "inhibited": "true",
            "unprocessed": "false",
        }
        url = (self._api / "alerts").with_query(query)
        alerts = await self._get(url, list[_ListedAlert])
        return [alert for alert in alerts if alert.labels.get("host") == host]

    async def _get(self, url: URL, kind: type[T]) -> T:
        body = await self._endpoint.get(url, _MAX_REPLY)
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError:
            reason = Reason.UNEXPECTED
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            reason = Reason.NOT_JSON
        raise DeliveryError(
            reason,
            f"The receiver {self.name} answers otherwise than Alertmanager's API version 2.",
            hint="Check its url: it is where Alertmanager's own page is, without /api.",
            retryable=False,
        )
