from __future__ import annotations

from exporter.web.rate_limit import RateLimit, TokenBucket


def test_a_burst_then_one_an_interval() -> None:
    bucket = TokenBucket(RateLimit(interval=2.0, burst=3), now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(101.0)
    assert bucket.take(102.0)
    assert not bucket.take(102.0)


def test_a_long_quiet_time_allows_no_more_than_the_burst() -> None:
    bucket = TokenBucket(RateLimit(interval=1.0, burst=2), now=0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]
