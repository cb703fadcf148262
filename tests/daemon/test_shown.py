"""What a panel's replies say, as the page and the JSON views show it."""

from __future__ import annotations

import json

from exporter.standin.panel import serving
from tests.daemon.conftest import StartDaemon, host
from tests.daemon.test_polling import Scripted

SECRET = "open-sesame-42"
ABSENT = {"error": 0, "message": "Enabled", "detail": "Служба не установлена"}


async def test_shapes_and_samples_hold_no_secret_that_a_panel_tells(
    start_daemon: StartDaemon,
) -> None:
    """A key may be the password, and so may a row that is not understood."""
    read = 0
    rows = [{"id": "1kXpJb-0004Uv-7Q", SECRET: "x"}, [SECRET], SECRET, f"<b>{SECRET}</b>"]
    named = [{"id": "1kXpJb-0004Uv-7Q", SECRET: "ann@example.org"}]
    for detail in (
        named,
        rows,
        {SECRET: rows},
        {"list": {SECRET: [[SECRET, 1]]}},
        f"{SECRET}\tx\n",
    ):
        panel = Scripted(
            count_msg={"error": 0, "detail": 4}, list_msg={"error": 0, "detail": detail}
        )
        async with serving(panel.app()) as url:
            mx1 = {**host("mx1", url, collectors=["queue"]), "password": SECRET}
            running = await start_daemon({"hosts": [mx1]})
            await running.poll("mx1")
            shown = [
                await running.get(path)
                for path in ("/api/v1/hosts/mx1", "/hosts/mx1", "/hosts/mx1/messages", "/metrics")
            ]
            for text in shown:
                assert SECRET not in text
            state = running.daemon.app.store.get("mx1")
            assert state is not None
            assert SECRET not in repr((state.good, state.latest))
            read += "queue" in state.good
            running.daemon.stop()
            await running.task
    assert read, "a shape and samples were kept"


async def test_a_service_that_is_not_installed_is_shown_as_that(
    start_daemon: StartDaemon,
) -> None:
    async with serving(Scripted(clamav=ABSENT).app()) as url:
        running = await start_daemon({"hosts": [host("mx1", url)]})
        await running.poll("mx1")
        view = json.loads(await running.get("/api/v1/hosts/mx1"))
        assert view["services_installed"] == {"clamav": False, "spamassassin": True}
        assert view["services"] == {"clamav": False, "spamassassin": True}
        assert view["state"] == "up"
        for language, words in (("en", "not installed"), ("ru", "не установлен")):
            for path in ("/", "/hosts/mx1"):
                page = await running.get(path, headers={"Accept-Language": language})
                assert words in page
        assert "stopped" not in await running.get("/hosts/mx1")
        assert await running.value("service_up", host="mx1", service="clamav") == 0
        assert await running.value("service_installed", host="mx1", service="clamav") == 0
