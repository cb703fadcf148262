"""Two at once on one host and one state file, daemons and commands: one of them acts."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from exporter.journal import Kind
from exporter.journal.host_lock import TURN, HostLocks
from exporter.panel.protocol import Operation
from tests.daemon.conftest import eventually, write_config
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel
from tests.remediation.conftest import (
    BY_ID,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    in_the_middle,
    one_at_a_time,
    operations,
    read_journal,
    rule,
    short,
)
from tests.remediation.mischief import CONTROL, Hold, is_change, of
from tests.remediation.processes import exporter
from tests.servers.exim import EximQueue


async def command(folder: Path, *words: str) -> tuple[int, str]:
    """What a command of the exporter ends with and says, with the daemon's config."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", *words, "--config", str(folder / "config.yaml")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def daemon_config(panel: PanelServer, **keys: Any) -> dict[str, Any]:
    return config(panel, rules=[rule(**BY_ID, **keys)])


DELETE = ("queue", "delete", "mx1", "--frozen", "--yes")
PURGE = ("queue", "purge-frozen", "mx1", "--yes")
RUN = ("remediation", "run", "purge", "mx1", "--yes")


@pytest.mark.parametrize("words", [DELETE, PURGE, RUN])
async def test_a_command_while_a_rule_acts(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    frozen = freeze(queue, 8)
    keys = one_at_a_time(panel, rules=[rule(**BY_ID, cooldown="1ms")])
    site, hold = await in_the_middle(start_site, panel, keys, skip=2)
    code, said = await command(tmp_path, *words)
    assert code != 0, said
    assert len(ids_asked(panel)) == 3
    hold.let_go.set()
    await site.quiet()
    assert sorted(ids_asked(panel)) == sorted(frozen)
    (intent,) = site.journal(Kind.INTENT)
    assert intent.actor == "rule"
    assert site.story()[-1] == ("outcome", "ok")


async def test_a_rule_while_a_command_acts(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    site = await start_site(config(panel, rules=[rule()]))
    frozen = freeze(queue, 8)
    hold = panel.panel.interfere = Hold(is_change, done=True)
    acting = asyncio.create_task(command(tmp_path, *PURGE))
    await hold.wait()
    freeze(queue, 8, first=20)
    await site.look()
    assert site.blocks() == ["host_busy"]
    assert operations(panel) == [Operation.DELETE_FROZEN]
    hold.let_go.set()
    code, said = await acting
    assert code == 0, said
    (intent,) = site.journal(Kind.INTENT)
    assert intent.actor.startswith("person:")
    assert sorted(site.plan(intent)) == sorted(frozen)
    assert await site.outcomes(host="mx1", rule="", action="purge_frozen", outcome="ok") is None

    await site.look()
    assert [each.actor.partition(":")[0] for each in site.journal(Kind.INTENT)] == [
        "person",
        "rule",
    ]
    assert await queue.count() == 0


async def test_actions_at_once_are_counted_over_all_processes(
    serve_panel: ServePanel,
    exim_queue: NewEximQueue,
    tmp_path: Path,
) -> None:
    queues = [await exim_queue() for _ in range(2)]
    panels = [await serve_panel(queue) for queue in queues]
    for queue in queues:
        freeze(queue, 8)
    hold = panels[0].panel.interfere = Hold(is_change)
    here = {"hosts": {"names": ["mx1"]}}
    keys = config(*panels, rules=[rule(**here), rule(name="other", hosts={"names": ["mx2"]})])
    keys["remediation"]["limits"] = {"actions_at_once": 2}
    keys["poll"]["timeout"] = "60s"
    write_config(tmp_path / "config.yaml", keys)
    run = ("remediation", "run", "other", "mx2", "--yes")
    with HostLocks(tmp_path / "journal.db").hold(f"{TURN}1"):
        acting = asyncio.create_task(
            command(tmp_path, "remediation", "run", "purge", "mx1", "--yes")
        )
        await hold.wait()
        code, said = await command(tmp_path, *run)
        assert (code, changing(panels[1])) == (1, [])
        assert "held back by actions_at_once" in said
    code, said = await command(tmp_path, *run)
    assert code == 0, said
    hold.let_go.set()
    code, said = await acting
    assert code == 0, said


@pytest.mark.parametrize("words", [DELETE, RUN])
async def test_two_commands(
    panel: PanelServer, queue: EximQueue, tmp_path: Path, words: tuple[str, ...]
) -> None:
    frozen = freeze(queue, 8)
    keys = daemon_config(panel)
    keys["poll"]["requests_per_host"] = 1
    write_config(tmp_path / "config.yaml", keys)
    hold = panel.panel.interfere = Hold(is_change)
    acting = asyncio.create_task(command(tmp_path, *words))
    await hold.wait()
    code, said = await command(tmp_path, *words)
    assert code != 0, said
    assert len(changing(panel)) == 1
    hold.let_go.set()
    code, said = await acting
    assert code == 0, said
    assert sorted(ids_asked(panel)) == sorted(frozen)
    entries = read_journal(tmp_path / "journal.db", Kind.INTENT, Kind.OUTCOME)
    assert short(entries) == [("intent", ""), ("outcome", "ok")]


async def test_a_second_daemon_neither_acts_nor_settles_what_the_first_is_at(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    frozen = freeze(queue, 12)
    hold = panel.panel.interfere = Hold(CONTROL, skip=2)
    keys = daemon_config(panel, cooldown="1ms")
    keys["poll"]["requests_per_host"] = 1
    first = await start_site(keys, wait=False)
    await hold.wait()
    second = await start_site(keys)
    await second.look()
    assert second.blocks() == ["host_busy"]
    assert not second.journal(Kind.OUTCOME)
    assert len(ids_asked(panel)) == 3
    hold.let_go.set()
    await first.quiet()
    assert sorted(ids_asked(panel)) == sorted(frozen)
    for site in (first, second):
        await site.look()
        assert await site.outcomes(host="mx1", rule="purge", action="delete", outcome="ok") == 1
    assert short(first.journal(Kind.INTENT, Kind.OUTCOME)) == [("intent", ""), ("outcome", "ok")]


async def test_two_daemons_that_start_at_once(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    frozen = freeze(queue, 30)
    # Nobody is answered before both are there.
    holds = [Hold(of(Operation.COUNT)) for _ in range(2)]
    panel.panel.interfere = lambda request, answer: holds[0](
        request, lambda: holds[1](request, answer)
    )
    keys = daemon_config(panel)
    async with AsyncExitStack() as stack:
        both = await asyncio.gather(
            *(stack.enter_async_context(exporter(tmp_path, keys)) for _ in range(2))
        )
        for hold in holds:
            await hold.wait()
        for hold in holds:
            hold.let_go.set()
        for each in both:
            await each.poll()

        async def over() -> bool:
            return bool(read_journal(tmp_path / "journal.db", Kind.OUTCOME))

        await eventually(over, seconds=20)
        freeze(queue, 8, first=100)
        for each in both:
            await each.poll()
            labels = {"rule": "purge", "guard": "cooldown"}

            async def held_back() -> bool:
                return bool(await each.value("blocked_total", **labels))  # noqa: B023

            await eventually(held_back)
    assert sorted(ids_asked(panel)) == sorted(frozen)
    assert max(Counter(ids_asked(panel)).values()) == 1
    entries = read_journal(tmp_path / "journal.db", Kind.INTENT, Kind.OUTCOME)
    assert short(entries) == [("intent", ""), ("outcome", "ok")]
    assert len(changing(panel)) == 30
