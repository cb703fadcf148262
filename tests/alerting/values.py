from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from exporter.alertmanager.alert import Alert
from exporter.config.alerting import AlertmanagerConfig, WebhookConfig


def alert(
    host: str = "mx1",
    name: str = "MailQueueFrozen",
    *,
    resolved: bool = False,
    fired_at: float | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **keys: Any,
) -> Alert:
    """One that has fired for a minute, or did until a second ago."""
    now = time.time()
    fired_at = now - 60 if fired_at is None else fired_at
    return Alert(
        labels={"alertname": name, "host": host, "severity": "warning", **(labels or {})},
        annotations={"summary": f"{host}: 240 frozen messages"}
        if annotations is None
        else annotations,
        since=fired_at - 600,
        fired_at=fired_at,
        resolved_at=max(fired_at, now - 1) if resolved else None,
        url=f"http://127.0.0.1:9897/hosts/{host}",
        **keys,
    )


def alertmanager_config(url: str, **keys: Any) -> AlertmanagerConfig:
    return AlertmanagerConfig.model_validate({"url": url, "name": "main", **keys})


def webhook_config(url: str, **keys: Any) -> WebhookConfig:
    return WebhookConfig.model_validate({"url": url, "name": "ops", **keys})
