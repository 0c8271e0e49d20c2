"""How fast a cloud is called."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.backend.clouds.protocol import CloudTask
from qonverge.backend.executors.cloud.pacing import Bucket, Pacer
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.executors.cloud.translating_lane import inherited

PATIENCE = Patience()


@given(st.floats(0.05, 500), st.integers(0, 2**32 - 1))
def test_no_window_has_more_calls_than_the_limit(rate: float, seed: int) -> None:
    bucket, now, calls, drawn = Bucket(rate), 1000.0, [], random.Random(seed)
    for _ in range(300):
        if drawn.random() < 0.05:
            now += drawn.random() * 20 / rate
        now += bucket.delay(now)
        bucket.take(now)
        calls.append(now)
    # In a second, or in the time for ten calls where that is longer.
    window = max(1.0, 10 / rate)
    for first, at in enumerate(calls):
        within = sum(1 for other in calls[first:] if other < at + window - 1e-6)
        assert within <= max(1, rate * window) + 1e-6


def test_a_bucket_is_no_slower_than_it_has_to_be() -> None:
    bucket, now = Bucket(10), 0.0
    for _ in range(100):
        now += bucket.delay(now)
        bucket.take(now)
    assert now == pytest.approx(98 / 8)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_grows_to_a_bound(failures: int, jitter: float) -> None:
    wait = PATIENCE.backoff(failures, jitter)
    longest = min(60.0, 2.0 ** min(failures - 1, 10))
    assert longest / 2 <= wait <= longest


@pytest.mark.parametrize(
    ("task", "age", "low", "high"),
    [
        (None, 0.0, 0.03, 0.07),
        (CloudTask("Running"), 1.0, 0.37, 0.63),
        (CloudTask("Running"), 3600.0, 3.0, 5.0),
        (CloudTask("Queued"), 60.0, 3.0, 5.0),
        (CloudTask("Queued"), 3600.0, 90.0, 150.0),
        (CloudTask("Queued", queue_position=2), 3600.0, 3.0, 5.0),
        (CloudTask("Queued", queue_position=10), 3600.0, 37.0, 63.0),
        (CloudTask("Queued", queue_position=2000), 1.0, 90.0, 150.0),
        (CloudTask("Queued", expected_start=1_060.0), 3600.0, 22.0, 150.0),
        (CloudTask("Queued", expected_start=900.0, queue_position=1), 3600.0, 3.0, 5.0),
    ],
)
def test_tasks_are_asked_about_when_it_may_pay(task: CloudTask | None, age: float, low: float, high: float) -> None:
    for jitter in (0.0, 0.5, 1.0):
        assert low <= PATIENCE.poll(task, age, 1_000.0, jitter) <= high


async def test_calls_that_fail_go_one_by_one_and_later() -> None:
    waits: list[float] = []
    clock = asyncio.get_running_loop().time
    pacer = Pacer(1e6, Patience(first_backoff=0.02, most_backoff=0.04), clock, waits.append)
    inside = most = failures = 0
    done: list[float] = []

    async def call() -> None:
        nonlocal inside, most, failures
        while True:
            async with pacer.turn():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1
                if failures < 4:
                    failures += 1
                    pacer.failed(after=0.01)
                    continue
                pacer.worked()
                done.append(clock())
                return

    began = clock()
    pacer.failed()
    await asyncio.gather(*(call() for _ in range(20)))
    assert failures == 4
    # At least half of each backoff: 0.01, 0.02, and 0.02 three times.
    assert min(done) - began >= 0.09
    assert len(waits) == 24
    # As soon as one had worked, all went at once.
    assert most > 5


def test_a_child_gets_what_python_reads_and_nothing_else() -> None:
    assert all(map(inherited, ("PATH", "PYTHONPATH", "LC_ALL", "OMP_NUM_THREADS")))
    secret = ("AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "QISKIT_IBM_TOKEN", "IONQ_API_KEY", "TOKEN")
    assert not any(map(inherited, secret))
