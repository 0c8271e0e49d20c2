"""What limits hold for calls of a cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest_asyncio

from qonverge.backend.clouds.protocol import Rates, Submission
from qonverge.backend.executors.cloud.calls import Calls
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.telemetry import BackendMetrics


class Named:
    """A cloud that has whatever it is asked for."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates

    def submit(self, key: str, submission: Submission) -> str:
        return f"id of {key}"

    def cancel(self, identity: str) -> None:
        pass


@pytest_asyncio.fixture
async def made() -> AsyncIterator[Callable[..., Calls]]:
    all_calls: list[Calls] = []

    def make(**rates: Any) -> Calls:
        all_calls.append(Calls(Named(Rates(read=1e3, **rates)), BackendMetrics(), Patience(), str, lambda: None))  # type: ignore[arg-type]
        return all_calls[-1]

    yield make
    for each in all_calls:
        each.close()


async def submission() -> tuple[str, list[Submission]]:
    return "key", [Submission("", 1)]


@contextmanager
def waiting(call: Any) -> Iterator[asyncio.Task[Any]]:
    task = asyncio.ensure_future(call)
    yield task
    task.cancel()


async def test_cancelling_has_a_limit_of_its_own_where_the_cloud_says_so(made: Callable[..., Calls]) -> None:
    # With a rate like that there is one call, and another one in hours.
    calls = made(submit=1e-4, cancel=1e3)
    assert await calls.submit(submission) == "id of key"
    async with asyncio.timeout(60):
        for _ in range(5):
            await calls.cancel("a")
    slow = made(submit=1e3, cancel=1e-4)
    await slow.cancel("a")
    with waiting(slow.cancel("b")) as second:
        async with asyncio.timeout(60):
            for _ in range(5):
                await slow.submit(submission)
        assert not second.done()
        # The next one waits for its turn behind it.
        assert slow.cancel_backlog > 3600
