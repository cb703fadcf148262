"""The whole page: both formats, compression, caching, staleness, and promtool's opinion."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import zlib
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from exporter.fleet.store import Store
from exporter.metrics.gzip_member import GzipHead, compress_head
from exporter.metrics.own import OwnMetrics
from exporter.metrics.page import MetricsPage
from exporter.panel.protocol import Operation
from tests.builders import NOW, bad, host, snapshot


class Site:
    """A store and its page with a clock that is set by hand."""

    def __init__(self, *names: str) -> None:
        self.now = NOW
        self.store = Store()
        self.own = OwnMetrics()
        self.page = MetricsPage(self.store, self.own.registry, lambda: self.now)
        self.configure(*names)

    def configure(self, *names: str, stale_after: float = 3, **keys: Any) -> None:
        self.store.apply_config([(host(name, **keys), 60) for name in names], stale_after)
        self.page.rebuild()

    def poll(self, name: str, *, ok: bool = True) -> None:
        record = self.store.get(name)
        assert record is not None
        results = () if ok else (bad("queue", at=self.now),)
        record.add(snapshot(*results, at=self.now, name=name))
        self.page.refresh(record)

    async def text(self, *, openmetrics: bool = False) -> str:
        return (await self.page.render(openmetrics=openmetrics, gzip=False)).decode()

    async def series(self) -> list[str]:
        return [line for line in (await self.text()).splitlines() if "queue_messages{" in line]


@pytest.fixture
def site() -> Site:
    built = Site("mx1", "mx2")
    built.poll("mx1")
    built.poll("mx2", ok=False)
    built.own.request(Operation.COUNT, "ok", 2.5)
    built.own.request(Operation.COUNT, "timeout", 30)
    built.own.reloaded(NOW, ok=True)
    return built


async def test_both_formats_hold_the_same_families(site: Site) -> None:
    plain = {f.name: f.type for f in text_string_to_metric_families(await site.text())}
    text = await site.text(openmetrics=True)
    assert text.endswith("# EOF\n")
    modern = {f.name: f.type for f in openmetrics_families(text)}  # type: ignore[no-untyped-call]  # not annotated there
    assert plain == modern
    assert {"brainycp_up", "brainycp_api_requests", "process_cpu_seconds"} <= set(modern)
    assert "brainycp_exporter_build_info" in modern


@pytest.mark.usefixtures("promtool")
async def test_promtool_finds_nothing_to_say(site: Site) -> None:
    page = await site.page.render(openmetrics=False, gzip=False)
    command = ["promtool", "check", "metrics"]
    check = await asyncio.to_thread(
        subprocess.run, command, input=page, capture_output=True, check=False
    )
    ours = [line for line in check.stderr.decode().splitlines() if "brainycp" in line]
    assert ours == []
    assert check.returncode == 0, check.stderr.decode()


async def test_gzip_is_one_member_that_any_client_reads(site: Site) -> None:
    packed = await site.page.render(openmetrics=False, gzip=True)
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    text = reader.decompress(packed)
    assert reader.eof
    assert reader.unused_data == b""
    assert "brainycp_up" in text.decode()
    assert gzip.decompress(packed).startswith(text[:100])


async def test_an_unchanged_page_is_compressed_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []

    def counted(text: bytes) -> GzipHead:
        made.append(text)
        return compress_head(text)

    monkeypatch.setattr("exporter.metrics.page.compress_head", counted)
    pages = await asyncio.gather(
        *(site.page.render(openmetrics=False, gzip=True) for _ in range(3))
    )
    assert len(made) == 1
    site.poll("mx1")
    pages.append(await site.page.render(openmetrics=False, gzip=True))
    assert len(made) == 2
    for page in pages:
        assert b"brainycp_queue_messages" in gzip.decompress(page)


async def test_a_large_page_is_compressed_in_a_thread() -> None:
    names = [f"mx{i}" for i in range(500)]
    site = Site(*names)
    for name in names:
        site.poll(name)
    packed = await site.page.render(openmetrics=False, gzip=True)
    text = gzip.decompress(packed).decode()
    assert len(text) > 2**20
    assert text.count("brainycp_up{") == 500


async def test_stale_values_leave_without_a_poll(site: Site) -> None:
    assert await site.series() == ['brainycp_queue_messages{host="mx1"} 5']
    site.now += 179
    assert len(await site.series()) == 1
    site.now += 1
    assert await site.series() == []
    assert 'brainycp_up{host="mx1"} 1' in await site.text()


async def test_another_time_to_go_stale_counts_at_once(site: Site) -> None:
    site.now += 100
    site.configure("mx1", "mx2", stale_after=1)
    assert await site.series() == []
    site.configure("mx1", "mx2")
    assert await site.series() == ['brainycp_queue_messages{host="mx1"} 5']


async def test_a_hosts_new_labels_are_shown_at_once(site: Site) -> None:
    assert 'brainycp_host_info{host="mx1"' in await site.text()
    site.configure("mx1", "mx2", labels={"dc": "msk1"})
    assert (await site.text()).count('dc="msk1"} 1') == 2
    assert await site.series() == ['brainycp_queue_messages{host="mx1"} 5']


async def test_removed_hosts_leave(site: Site) -> None:
    site.configure("mx2")
    assert "mx1" not in await site.text()
    assert 'host="mx2"' in await site.text()
    site.now += 1000
    await site.text()


def test_one_host_alone(site: Site) -> None:
    assert b'host="mx1"' in site.page.host("mx1", openmetrics=True)
    assert b"mx2" not in site.page.host("mx1", openmetrics=False)
    assert site.page.host("mx1", openmetrics=True).endswith(b"# EOF\n")
    assert b"# EOF" not in site.page.host("mx1", openmetrics=False)
    with pytest.raises(KeyError):
        site.page.host("nobody", openmetrics=False)


async def test_api_requests_are_counted_by_outcome(site: Site) -> None:
    text = await site.text()
    assert 'brainycp_api_requests_total{operation="count_msg",outcome="ok"} 1.0' in text
    assert 'brainycp_api_requests_total{operation="count_msg",outcome="timeout"} 1.0' in text
    assert 'brainycp_api_request_duration_seconds_count{operation="count_msg"} 2.0' in text


async def test_a_failed_reload_keeps_the_time_of_the_last_good_one(site: Site) -> None:
    site.own.reloaded(NOW + 5, ok=False)
    text = await site.text()
    assert "brainycp_config_last_reload_successful 0.0" in text
    assert "brainycp_config_last_reload_success_timestamp_seconds 1.8e+09" in text
