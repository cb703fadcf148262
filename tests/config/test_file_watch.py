from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from exporter.config import file_watch
from exporter.config.file_watch import (
    FileWatch,
    Fingerprint,
    Target,
    fingerprint,
)


async def test_each_kind_of_change_is_noticed_once(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("a")
    watched = FileWatch(interval=0.01)
    watched.set_targets(files=[file], globs=[])
    assert await watched.check() == []

    async def noticed() -> bool:
        return await watched.check() == [file] and await watched.check() == []

    file.write_text("bb")
    assert await noticed()
    os.utime(file, ns=(1, 1))
    assert await noticed()
    file.chmod(0o400)
    assert await noticed()
    (tmp_path / "new").write_text("cc")
    (tmp_path / "new").rename(file)
    assert await noticed()
    file.unlink()
    assert await noticed()
    file.write_text("cc")
    assert await noticed()


async def test_a_swapped_symlink_above_the_file_is_noticed(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "web.yaml").write_text("same")
        os.utime(tmp_path / version / "web.yaml", ns=(1, 1))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "web.yaml").symlink_to("..data/web.yaml")
    watched = FileWatch(interval=0.01)
    watched.set_targets(files=[tmp_path / "web.yaml"], globs=[str(tmp_path / "*.yaml")])
    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert await watched.check() == [tmp_path / "web.yaml", str(tmp_path / "*.yaml")]


async def test_files_of_a_glob_come_and_go(tmp_path: Path) -> None:
    pattern = str(tmp_path / "hosts.d" / "*.yaml")
    watched = FileWatch(interval=0.01)
    watched.set_targets(files=[], globs=[pattern])
    assert await watched.check() == []
    (tmp_path / "hosts.d").mkdir()
    assert await watched.check() == []
    (tmp_path / "hosts.d" / "a.yaml").write_text("[]")
    assert await watched.check() == [pattern]
    (tmp_path / "hosts.d" / "b.txt").write_text("[]")
    assert await watched.check() == []
    (tmp_path / "hosts.d" / "a.yaml").unlink()
    assert await watched.check() == [pattern]


async def test_following_anew_forgets_no_change(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    watched = FileWatch(interval=0.01)
    watched.set_targets(files=[file], globs=[])
    file.write_text("22")  # while somebody re-reads the config
    watched.set_targets(files=[file, other], globs=[])
    assert await watched.check() == [file]
    watched.set_targets(files=[other], globs=[])
    file.write_text("333")
    assert await watched.check() == []


async def test_files_watched_during_a_check_are_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    watched = FileWatch(interval=0.01)
    watched.set_targets(files=[file], globs=[])
    file.write_text("1")

    def slow(target: Target) -> Fingerprint:
        asyncio.run_coroutine_threadsafe(follow_both(), loop).result(10)
        return fingerprint(target)

    async def follow_both() -> None:
        monkeypatch.undo()
        watched.set_targets(files=[file, other], globs=[])

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(file_watch, "fingerprint", slow)
    assert await watched.check() == []
    assert await watched.check() == [file]


async def test_run_tells_each_change_until_cancelled(tmp_path: Path) -> None:
    file = tmp_path / "a"
    changed = asyncio.Event()
    watched = FileWatch(interval=0.005)
    watched.set_targets(files=[file], globs=[])
    running = asyncio.create_task(watched.run(changed.set))
    for text in ("1", "22"):
        file.write_text(text)
        async with asyncio.timeout(10):
            await changed.wait()
        changed.clear()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
