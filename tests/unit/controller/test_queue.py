"""The work queue: each key once, never by two workers at a time."""

from __future__ import annotations

import asyncio

from qonverge.controller.queue import WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def taken(queue: WorkQueue) -> str | None:
    """Return the next key, or None where nothing is ready."""
    try:
        return await asyncio.wait_for(queue.get(), 0.01)
    except TimeoutError:
        return None


async def test_a_key_that_waits_is_there_once() -> None:
    queue = WorkQueue(Clock())
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await taken(queue), await taken(queue), await taken(queue)] == ["a", "b", None]


async def test_what_is_added_while_it_is_looked_at_comes_again_afterwards() -> None:
    queue = WorkQueue(Clock())
    queue.add("a")
    assert await taken(queue) == "a"
    queue.add("a")
    assert await taken(queue) is None
    queue.done("a")
    assert await taken(queue) == "a"
    queue.done("a")
    assert await taken(queue) is None


async def test_the_earliest_of_several_times_counts() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    timers = asyncio.create_task(queue.run_timers())
    try:
        queue.add_at("a", 300)
        queue.add_at("a", 200)
        queue.add_at("a", 250)
        clock.now = 199
        queue.add_at("wake", 199)
        assert await asyncio.wait_for(queue.get(), 5) == "wake"
        assert await taken(queue) is None
        clock.now = 200
        queue.add_at("wake again", 200)
        assert {await asyncio.wait_for(queue.get(), 5) for _ in range(2)} == {"a", "wake again"}
    finally:
        timers.cancel()


async def test_failures_are_repeated_ever_later_and_success_forgives() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    timers = asyncio.create_task(queue.run_timers())

    async def ready_at(when: float) -> set[str]:
        clock.now = when
        queue.add_at("tick", when)
        ready = set()
        while (key := await taken(queue)) is not None:
            ready.add(key)
            if key == "tick":
                queue.done(key)
        return ready

    try:
        queue.add("a")
        assert await taken(queue) == "a"
        for delay in (0.1, 0.2, 0.4):
            failed = clock.now
            queue.done("a", failed=True)
            assert await ready_at(failed + 0.9 * delay) == {"tick"}
            assert await ready_at(failed + 1.1 * delay) == {"tick", "a"}
        queue.done("a")
        queue.add("a")
        assert await taken(queue) == "a"
        failed = clock.now
        queue.done("a", failed=True)
        assert await ready_at(failed + 0.11) == {"tick", "a"}
    finally:
        timers.cancel()
