"""The pages under attack: hostile data, queries, names, clients, and what changes meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yaml
from aiohttp import web
from yarl import URL

from exporter.journal import Entry, Journal, Kind
from exporter.panel.protocol import Operation
from exporter.snapshot import Message
from exporter.standin.panel import RecordedRequest
from exporter.standin.queue import QueuedMessage
from exporter.web.pages import live
from exporter.web.server.passwords import hash_password
from tests.daemon.conftest import RunningDaemon, StartDaemon, eventually, host, start_daemon
from tests.fixtures.standin import PanelServer, ServePanel
from tests.remediation.conftest import panel_of
from tests.web.pages.site import HeldQueue
from tests.web.server.clients import get as raw_get

__all__ = ["start_daemon"]

EVIL = "\"'><script>alert(1)</script><svg onload=alert(2)>]]>\u202eevil\u2066{{7*7}}%s{0}\x07"
PAGES = ["/", "/alerts", "/journal", "/remediation", "/hosts/mx1", "/hosts/mx1/messages"]
RULES = {
    "remediation": {
        "mode": "dry_run",
        # Without conditions: what a test writes into the journal must not lapse by a poll.
        "rules": [{"name": "purge", "when": [], "action": "purge_frozen"}],
    }
}


def message(serial: int = 1, sender: str = "ann@example.com", **keys: Any) -> QueuedMessage:
    id_ = f"1rXyZa-{serial:06d}-AA"
    return QueuedMessage(id_, 7200, 900, sender, ("bob@example.net",), **keys)


class Inert(HTMLParser):
    """Everything of a page that could do or hide something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"iframe", "object", "embed", "base", "style"}:
            self.live.append(tag)
        if tag == "script" and not (values.get("src") or "").partition("?")[0].endswith(
            "static/page.js"
        ):
            self.live.append(f"script {values}")
        self.live += [f"{tag} {name}" for name in values if name.startswith("on")]
        for name in ("href", "src", "action", "formaction"):
            if re.match(r"(?i)[\s\x00-\x1f]*(\w+:|//)", values.get(name) or ""):
                self.live.append(f"{tag} {name}={values[name]}")

    def handle_data(self, data: str) -> None:
        self.text += data


def live_parts(text: str) -> list[str]:
    return Inert(text).live


@pytest.fixture
async def queue() -> HeldQueue:
    return HeldQueue([message()])


@pytest.fixture
async def panel(serve_panel: ServePanel, queue: HeldQueue) -> PanelServer:
    return await serve_panel(queue)


def plain(queued: QueuedMessage) -> Message:
    return Message(queued.id, queued.age, queued.size, queued.sender, queued.recipients)


def lists(panel: PanelServer) -> int:
    return sum(request.operation is Operation.LIST for request in panel.panel.requests)


def with_users(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "web.yaml").write_text(
        yaml.safe_dump({"basic_auth_users": {"ann": hash_password("sesame", cost=4)}})
    )
    return {"web": {"listen": "127.0.0.1:0", "config_file": "web.yaml"}}


ANN = {"Authorization": aiohttp.encode_basic_auth("ann", "sesame")}


async def page(running: RunningDaemon, path: str, **keys: Any) -> str:
    async with running.session.get(running.url + path, **keys) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def token_of(running: RunningDaemon) -> str:
    (token, *_) = re.findall(
        r'name="token" value="(\w+)"', await page(running, "/remediation", headers=ANN)
    )
    return str(token)


async def post(
    running: RunningDaemon, what: str, headers: Mapping[str, str] = {}, **keys: Any
) -> tuple[int, str]:
    url = f"{running.url}/remediation/{what}"
    async with running.session.post(
        url, headers={**ANN, **headers}, allow_redirects=False, **keys
    ) as answer:
        return answer.status, await answer.text()


# --- hostile data -----------------------------------------------------------------------------


async def test_hostile_data_is_inert_on_every_page(
    start_daemon: StartDaemon, panel: PanelServer, queue: HeldQueue, tmp_path: Path
) -> None:
    queue.held = [
        message(1, f"{'x' * 10000}@example.com"),
        message(2, '"<script>alert(1)</script>"@example.com'),
        message(3, "\u202eann\u2066@example.com"),
        message(4, "<svg/onload=alert(2)>@example.com", frozen=True),
        message(5, "a@]]></script><img/src=x/onerror=alert(3)>"),
    ]

    async def interfere(request: RecordedRequest, answer: Any) -> web.Response:
        if request.operation in {Operation.COUNT, Operation.LIST}:
            reply: web.Response = await answer()
            return reply
        return web.json_response({"error": 104, "message": EVIL})

    panel.panel.interfere = interfere
    running = await start_daemon(
        {"hosts": [host("mx1", panel.url, labels={"dc": EVIL.replace("\x07", "")})], **RULES}
    )
    await running.poll("mx1")
    asked: dict[str, Any] = {"host": "mx1", "rule": "purge", "run": EVIL, "action": "delete"}
    with closing(Journal.open(tmp_path / "brainycp-exporter.db")) as journal:
        journal.add(Entry(Kind.ASKED, actor=f"alertmanager:{EVIL}", text=EVIL, **asked))
        journal.add(Entry(Kind.STOPPED, text=EVIL, **asked))
        journal.add(Entry(Kind.APPROVAL_REQUESTED, **asked), map(plain, queue.held))
    await running.daemon.app.controller.follower.read_journal()
    for path in (*PAGES, f"/journal?run={quote(EVIL)}"):
        text = await page(running, path)
        assert live_parts(text) == [], path
        assert "&lt;time" not in text, f"{path} shows markup as text"
        assert "x" * 300 not in text, path
    shown = Inert(await page(running, "/hosts/mx1/messages")).text
    assert "\u202eann" in shown
    assert "<svg onload=alert(2)>" in Inert(await page(running, "/")).text


GARBAGE = [
    f"?page=0&sort={quote(EVIL)}&q={quote(EVIL)}&state=x&label={quote(EVIL)}",
    "?page=999999999999999999999&q=%FF%00%0D%0ASet-Cookie:x&older_than=1w1",
    f"?page=-1&sender={'*a' * 3000}",
    "?page=%D9%A3&page=2&page&&==&older_than=3d&younger_than=1h&larger_than=NaN",
    "?run=x&host=%2E%2E%2F&rule=%00&q=(((",
]


async def test_garbage_in_a_query_or_a_header_ends_no_page(
    start_daemon: StartDaemon, panel: PanelServer
) -> None:
    running = await start_daemon({"hosts": [host("mx1", panel.url)], **RULES})
    await running.poll("mx1")
    for path in PAGES:
        for query in GARBAGE:
            text = await page(running, path + query)
            assert live_parts(text) == [], path + query
    for languages in (
        "q=;,,;q=nan;*",
        "ru;q=inf,en",
        "\xff\xfe;q=1e999",
        "ru;q=0,ru-RU;q=-1",
        "," * 8000,
    ):
        text = await page(running, "/", headers={"Accept-Language": languages})
        assert "<html lang=" in text
    for path in (
        "/hosts/a%2Fb",
        "/hosts/..%2Fmx1",
        "/hosts/mx1%00",
        "/hosts/%FF",
        f"/hosts/{quote(EVIL, '')}",
    ):
        reply = await raw_get(running.url, path)
        assert reply.status == 404
        assert live_parts(reply.body) == []
    raw = await raw_get(running.url, "/?q=\xff\udcff".encode("utf-8", "replace").decode("latin-1"))
    assert raw.status in {200, 400}


async def test_a_count_never_shows_as_zero_where_nothing_is_known(
    start_daemon: StartDaemon, unused_url: str, panel: PanelServer
) -> None:
    running = await start_daemon({"hosts": [host("mx1", panel.url), host("mx2", unused_url)]})
    await running.poll("mx1")
    await running.poll("mx2")
    text = await page(running, "/")
    rows = dict(
        re.findall(r'<tr id="host-(mx\d)".*?data-label="Queue">(.*?)</td>', text, re.DOTALL)
    )
    assert rows == {"mx1": "1", "mx2": "–"}
    growth = dict(re.findall(r'<tr id="host-(mx\d)".*?data-growth="(.*?)"', text, re.DOTALL))
    assert growth == {"mx1": "", "mx2": ""}, "one poll tells of no change"
    assert "1 of 2 hosts" in text


# --- permission to act ------------------------------------------------------------------------


async def test_only_a_form_of_this_page_is_followed(
    start_daemon: StartDaemon, panel: PanelServer, tmp_path: Path
) -> None:
    running = await start_daemon(
        {"hosts": [host("mx1", panel.url)], **RULES, **with_users(tmp_path)}
    )
    token = await token_of(running)
    good = {"token": token, "reason": "work"}
    local = running.url.removeprefix("http://")
    refused: list[dict[str, Any]] = [
        {"data": {"reason": "no token"}},
        {"data": {**good, "token": "0" * 64}},
        {"data": {**good, "token": "\u2028é"}},
        {"json": good},
        {"data": b"\xff=\xff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {
            "data": f"token={token}".encode(),
            "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"},
        },
    ]
    foreign: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": f"http://{local}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
    ]
    refused += [{"data": good, "headers": headers} for headers in foreign]
    for keys in refused:
        status, text = await post(running, "pause", **keys)
        assert (status, "That was not done" in text) == (403, True), keys
    assert "Paused: nothing acts" not in await page(running, "/remediation", headers=ANN)
    assert (await post(running, "pause", {"Authorization": ""}, data=good))[0] == 401
    # As browsers say it, the second behind a proxy that asks for another name.
    for headers in (
        {"Origin": f"http://{local}"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://mail.example.com"},
    ):
        status, _ = await post(running, "pause", headers, data=good)
        assert status == 303
    assert "Paused by ann" in await page(running, "/remediation", headers=ANN)


async def test_nobody_is_believed_to_be_somebody_without_a_password(
    start_daemon: StartDaemon, panel: PanelServer, tmp_path: Path
) -> None:
    config = {"hosts": [host("mx1", panel.url)], **RULES}
    running = await start_daemon({**config, **with_users(tmp_path)})
    token = await token_of(running)
    running.write(config)
    await running.daemon.reload()
    assert "You are ann" not in await page(running, "/remediation", headers=ANN)
    status, text = await post(running, "pause", data={"token": token})
    assert status == 403
    assert "no users" in text


async def test_a_second_click_decides_nothing_anew_and_an_old_form_nothing_at_all(
    start_daemon: StartDaemon, panel: PanelServer, tmp_path: Path
) -> None:
    running = await start_daemon(
        {"hosts": [host("mx1", panel.url)], **RULES, **with_users(tmp_path)}
    )
    asked: dict[str, Any] = {"host": "mx1", "rule": "purge", "action": "purge_frozen"}
    asked["panel"] = panel_of(panel)
    path = tmp_path / "brainycp-exporter.db"
    with closing(Journal.open(path)) as journal:
        journal.add(Entry(Kind.APPROVAL_REQUESTED, run="1", **asked), [plain(message())])
    form = {"token": await token_of(running), "host": "mx1", "rule": "purge", "run": "1"}
    answers = await asyncio.gather(*(post(running, "approve", data=form) for _ in range(5)))
    assert {status for status, _ in answers} == {303}
    with closing(Journal.open(path)) as journal:
        (approved,) = journal.entries(kinds=[Kind.APPROVED])
        assert (approved.run, approved.actor) == ("1", "person:ann")
        journal.add(Entry(Kind.APPROVAL_REQUESTED, run="2", **asked), [plain(message(2))])
    for what in ("approve", "reject"):
        status, text = await post(running, what, data=form)
        assert status == 403
        assert "asked anew" in text
    with closing(Journal.open(path)) as journal:
        assert len(journal.entries(kinds=[Kind.APPROVED, Kind.REJECTED])) == 1
        assert journal.rule_facts("mx1", "purge").approval == "requested"


# --- where it is ------------------------------------------------------------------------------


async def test_a_foreign_name_that_leads_to_loopback_reads_nothing(
    start_daemon: StartDaemon, panel: PanelServer
) -> None:
    config = {"hosts": [host("mx1", panel.url)]}
    running = await start_daemon(config)
    await running.poll("mx1")
    port = running.url.rpartition(":")[2]
    paths = [*PAGES, "/events?watch=all", "/api/v1/hosts", "/api/v1/journal"]
    for name in (
        "evil.example",
        f"evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
    ):
        for path in paths:
            assert "Refused" in await running.get(path, 403, {"Host": name})
        await running.get("/metrics", headers={"Host": name})
    for name in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}", "mx.localhost", "LOCALHOST."):
        await running.get("/hosts/mx1/messages", headers={"Host": name})
    running.write(
        {**config, "web": {"listen": "127.0.0.1:0", "external_url": "https://Mail.Example/x"}}
    )
    await running.daemon.reload()
    url = running.url
    async with running.session.get(url, headers={"Host": "mail.example"}) as answer:
        assert answer.status == 200
    async with running.session.get(url, headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403


async def test_every_link_holds_behind_any_path_of_a_proxy(
    start_daemon: StartDaemon, panel: PanelServer, tmp_path: Path
) -> None:
    running = await start_daemon(
        {"hosts": [host("mx:1", panel.url)], **RULES, **with_users(tmp_path)}
    )
    for path in ("/", "/alerts", "/journal", "/remediation", "/hosts/mx:1", "/hosts/mx:1/messages"):
        text = await page(running, path, headers=ANN)
        for link in re.findall(r'(?:href|src|action|formaction|data-events)="([^"]*)"', text):
            if link.startswith("#"):
                continue
            assert not link.startswith("/"), f"{path}: {link}"
            target = URL(f"http://proxy/mail/x{path}").join(URL(link, encoded=True))
            inner = target.path.removeprefix("/mail/x")
            assert target.path.startswith("/mail/x/"), f"{path}: {link}"
            if "remediation/" in inner or inner == "/events":
                continue
            async with running.session.get(running.url + inner, headers=ANN) as answer:
                assert answer.status == 200, f"{path}: {link}"
    form = {"token": await token_of(running)}
    async with running.session.post(
        f"{running.url}/remediation/pause", data=form, headers=ANN, allow_redirects=False
    ) as answer:
        assert URL("http://proxy/mail/x/remediation/pause").join(
            URL(answer.headers["Location"])
        ) == URL("http://proxy/mail/x/remediation")


# --- messages ---------------------------------------------------------------------------------


@pytest.fixture
def hold(panel: PanelServer) -> asyncio.Event:
    """Lists of the panel wait until it is set."""
    go = asyncio.Event()

    async def interfere(request: RecordedRequest, answer: Any) -> web.Response:
        if request.operation is Operation.LIST:
            await go.wait()
        reply: web.Response = await answer()
        return reply

    panel.panel.interfere = interfere
    return go


async def test_many_viewers_cost_the_panel_one_list_also_when_it_fails(
    start_daemon: StartDaemon, panel: PanelServer, hold: asyncio.Event
) -> None:
    hold.set()
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    await running.poll("mx1")
    before = lists(panel)
    hold.clear()
    viewers = [asyncio.create_task(page(running, "/hosts/mx1/messages")) for _ in range(20)]
    await eventually(lambda: _true(lists(panel) > before))
    viewers.pop().cancel()
    hold.set()
    texts = await asyncio.gather(*viewers)
    assert all("1rXyZa-000001-AA" in text for text in texts)
    assert lists(panel) == before + 1

    async def fails(request: RecordedRequest, answer: Any) -> web.Response:
        del request, answer
        await asyncio.sleep(0.1)
        return web.json_response({"error": 104, "message": "no"})

    panel.panel.interfere = fails
    await running.daemon.reload()  # forgets the lists
    before = len(panel.panel.requests)
    texts = await asyncio.gather(*(page(running, "/hosts/mx1/messages") for _ in range(20)))
    assert all("could not be listed" in text for text in texts)
    assert len(panel.panel.requests) == before + 1


async def test_a_host_that_leaves_while_it_is_listed_is_not_found(
    start_daemon: StartDaemon, panel: PanelServer, hold: asyncio.Event
) -> None:
    hold.set()
    running = await start_daemon({"hosts": [host("mx1", panel.url), host("mx2", panel.url)]})
    await running.poll("mx1")
    await running.poll("mx2")
    hold.clear()
    before = lists(panel)
    viewer = asyncio.create_task(running.session.get(f"{running.url}/hosts/mx1/messages"))
    await eventually(lambda: _true(lists(panel) > before))
    running.write({"hosts": [host("mx2", panel.url)]})
    await running.daemon.reload()
    hold.set()
    async with await viewer as answer:
        assert answer.status in {200, 404}  # as it was, or not any more; never a bug
    async with running.session.get(f"{running.url}/hosts/mx1/messages") as answer:
        assert answer.status == 404


# --- streams ----------------------------------------------------------------------------------


async def _true(value: bool) -> bool:
    return value


def streams() -> list[asyncio.Task[Any]]:
    """The streams that are open."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "events"]


@asynccontextmanager
async def stream(running: RunningDaemon, query: str, **headers: str) -> AsyncIterator[Any]:
    async with running.session.get(f"{running.url}/events?{query}", headers=headers) as answer:
        assert answer.status == 200
        yield answer.content


async def event(content: aiohttp.StreamReader, *names: str) -> Mapping[str, str]:
    """The next event of one of these names."""
    while True:
        block = (await asyncio.wait_for(content.readuntil(b"\n\n"), 10)).decode()
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if fields.get("event") in names:
            return fields


def seen_by(text: str) -> str:
    (seen,) = re.findall(r'data-seen="([^"]+)"', text)
    return str(seen)


async def test_a_stream_goes_on_from_where_the_page_stands(
    start_daemon: StartDaemon, panel: PanelServer, queue: HeldQueue
) -> None:
    running = await start_daemon({"hosts": [host("mx1", panel.url), host("mx2", panel.url)]})
    await running.poll("mx1")
    await running.poll("mx2")
    seen = seen_by(await page(running, "/"))
    queue.held = [message(serial) for serial in range(7)]
    await running.poll("mx1")  # between the page and its stream
    async with stream(running, f"watch=fleet&seen={seen}") as content:
        fields = await event(content, "fleet")
        news = json.loads(fields["data"])
        assert list(news["rows"]) == ["mx1"]
        assert 'data-queue="7"' in news["rows"]["mx1"]
    await running.poll("mx2")
    async with stream(running, "watch=fleet", **{"Last-Event-ID": fields["id"]}) as content:
        assert list(json.loads((await event(content, "fleet"))["data"])["rows"]) == ["mx2"]
    # Of an exporter before this one, or of none: everything is made anew.
    for wrong in ("0000.1.5", f"{seen}9999", "\u0663", EVIL):
        async with stream(running, f"watch=fleet&seen={quote(wrong)}") as content:
            assert json.loads((await event(content, "fleet"))["data"]) == {"reload": True}
        async with stream(running, f"watch=all&seen={quote(wrong)}") as content:
            await event(content, "changed")


async def test_a_stream_is_packed_for_who_takes_that_and_each_event_comes_at_once(
    start_daemon: StartDaemon, panel: PanelServer
) -> None:
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    await running.poll("mx1")
    seen = seen_by(await page(running, "/"))
    coding = {"Accept-Encoding": "gzip;q=0", "Last-Event-ID": seen}
    async with running.session.get(f"{running.url}/events?watch=fleet", headers=coding) as plain:
        assert "Content-Encoding" not in plain.headers
    address = f"{running.url}/events?watch=fleet&seen={seen}"
    coding = {"Accept-Encoding": "gzip"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(address, headers=coding) as packed,
    ):
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["Vary"] == "Accept-Encoding"
        unpacker, text, sizes = zlib.decompressobj(31), b"", list[int]()
        for expected in (1, 2):
            await running.poll("mx1")
            size = 0
            while text.count(b"event: fleet") < expected or not text.endswith(b"\n\n"):
                raw = await asyncio.wait_for(packed.content.readany(), 10)
                size += len(raw)
                text += unpacker.decompress(raw)
            sizes.append(size)
        assert sizes[1] < len(text) / 4


async def test_a_stream_answers_no_head(start_daemon: StartDaemon, panel: PanelServer) -> None:
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    async with running.session.head(f"{running.url}/events?watch=all") as answer:
        assert answer.status == 405


async def test_a_reload_tells_pages_to_be_made_anew(
    start_daemon: StartDaemon, panel: PanelServer
) -> None:
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    await running.poll("mx1")
    async with stream(running, f"watch=fleet&seen={seen_by(await page(running, '/'))}") as content:
        await event(content, "alive")
        running.write({"web": {"listen": running.url[7:]}, "hosts": [host("mx2", panel.url)]})
        await running.daemon.reload()
        assert json.loads((await event(content, "fleet"))["data"]) == {"reload": True}


async def test_values_that_go_stale_leave_the_page_that_shows_them(
    start_daemon: StartDaemon, panel: PanelServer
) -> None:
    running = await start_daemon(
        {
            "poll": {"interval": "1s", "stale_after": 1, "timeout": "20s"},
            "hosts": [host("mx1", panel.url, collectors=["queue"])],
        }
    )
    await running.poll("mx1")
    silent = asyncio.Event()

    async def interfere(request: RecordedRequest, answer: Any) -> web.Response:
        await silent.wait()
        reply: web.Response = await answer()
        return reply

    async with stream(running, f"watch=fleet&seen={seen_by(await page(running, '/'))}") as content:
        panel.panel.interfere = interfere  # no poll ends any more
        while True:
            news = json.loads((await event(content, "fleet"))["data"])
            if 'data-queue=""' in news["rows"].get("mx1", ""):
                break
    silent.set()


async def test_a_client_that_does_not_read_is_let_go(
    start_daemon: StartDaemon, panel: PanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WRITE_TIMEOUT", 0.2)
    monkeypatch.setattr(live, "SHORTEST_PAUSE", 0.0)
    hosts = [host(f"mx{n}", panel.url, labels={"x": "y" * 5000}) for n in range(40)]
    running = await start_daemon({"hosts": hosts})
    address, _, port = running.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(address, int(port), limit=1024)
    writer.write(b"GET /events?watch=fleet HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await eventually(lambda: _true(bool(streams())))
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    feed = running.daemon.app.pages.feed

    async def flooded() -> bool:
        for n in range(40):
            feed.changed(f"mx{n}")
        return not streams()

    await eventually(flooded, 30)
    del reader
    writer.transport.abort()


async def test_open_streams_hold_up_no_stop(start_daemon: StartDaemon, panel: PanelServer) -> None:
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    answers = [
        await running.session.get(f"{running.url}/events?watch={watch}")
        for watch in ("fleet", "all", "host:mx1") * 10
    ]
    began = asyncio.get_running_loop().time()
    running.daemon.stop()
    await asyncio.wait_for(asyncio.shield(running.task), 5)
    assert asyncio.get_running_loop().time() - began < 3
    for answer in answers:
        answer.close()


@pytest.mark.slow
async def test_too_many_streams_are_refused_and_their_places_come_free(
    start_daemon: StartDaemon, panel: PanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 2)
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    async with stream(running, "watch=all"), stream(running, "watch=all"):
        await running.get("/events", 503)

    async def free() -> bool:
        await running.poll("mx1")  # a change, by which a stream notices that its page has gone
        async with running.session.get(f"{running.url}/events?watch=all") as answer:
            return answer.status == 200

    await eventually(free)
