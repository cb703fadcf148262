from __future__ import annotations

from exporter.standin.services import MemoryServices


async def test_flags() -> None:
    services = MemoryServices(stopped=["clamav"])
    assert not await services.running("clamav")
    assert await services.running("spamassassin")
    assert await services.switch("clamav", on=True)
    assert await services.running("clamav")
    assert not await services.switch("spamassassin", on=False)
    assert not await services.running("spamassassin")
