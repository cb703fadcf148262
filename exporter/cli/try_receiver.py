"""`test-notification`: sends one receiver an alert that is marked as a test."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from exporter.alerting.delivery import make_receiver
from exporter.alertmanager.alert import Alert, Notification
from exporter.alertmanager.client import AlertmanagerClient
from exporter.cli.arguments import config_option, load_or_exit
from exporter.config.alerting import AlertmanagerConfig, ReceiverConfig
from exporter.http.errors import DeliveryError

ENDS_AFTER = 60.0
"""Seconds after which an Alertmanager takes the test for resolved."""


@click.command("test-notification")
@click.argument("receiver")
@config_option
def test_notification(receiver: str, config_file: Path) -> None:
    """Send RECEIVER one alert that says it is a test.

    RECEIVER is the name of an Alertmanager, a webhook or an Apprise receiver of the config. Exit
    code 0 when it took the alert, 1 when it did not; an Alertmanager passes it on by its routes.
    """
    known = {
        config.receiver: config for config in load_or_exit(config_file).config.alerting.receivers
    }
    config = known.get(receiver)
    if config is None:
        names = ", ".join(known) or "none"
        problem = f"no receiver {receiver} in the config; it has {names}"
        raise click.BadParameter(problem, param_hint="RECEIVER")
    try:
        asyncio.run(_send(config))
    except DeliveryError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{receiver} took the test.")


def example(now: float) -> Alert:
    """Return an alert that nobody takes for a real one."""
    labels = {"alertname": "TestNotification", "host": "test", "severity": "info"}
    texts = {
        "summary": "This is a test of brainycp-exporter; nothing is wrong.",
        "description": "Sent by the command test-notification.",
    }
    return Alert(labels, texts, now, now)


async def _send(config: ReceiverConfig) -> None:
    now = time.time()
    alert = example(now)
    if isinstance(config, AlertmanagerConfig):
        client = AlertmanagerClient(config)
        try:
            await client.send([alert], ends_at=now + ENDS_AFTER)
        finally:
            await client.close()
        return
    target = make_receiver(config, "")
    try:
        await target.send(Notification(alert.name, (alert,)))
    finally:
        await target.close()
