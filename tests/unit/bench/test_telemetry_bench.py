"""The measurement of what telemetry costs: it runs, and measures what it says."""

from __future__ import annotations

from bench.telemetry import measure


async def test_pods_are_asked_and_the_operator_is_scraped() -> None:
    found = await measure(4, 0.2, 1)
    fewer = await measure(3, 0.2, 0)
    assert found.backends == 4
    # Those of a replica, and of each backend.
    assert found.series - fewer.series > 20
    assert found.bytes > fewer.bytes
    assert found.polls > 0
    assert found.polls_and_scrapes > 0
    assert found.poll_seconds > 0
    # A job goes to the other device once its pod tells of a shorter wait.
    assert (len(found.decisions), fewer.decisions) == (1, ())
