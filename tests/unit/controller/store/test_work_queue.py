"""The work queue: each key once, never by two workers at a time."""

from __future__ import annotations

import asyncio

from qonverge.controller.store.work_queue import STALLED_SECONDS, WorkQueue


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


def problem(queue: WorkQueue) -> str | None:
    return queue.problem


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


async def test_namespaces_take_turns_and_what_ends_goes_before_what_is_new() -> None:
    queue = WorkQueue(Clock())
    for number in range(3):
        queue.add(f"HybridJob crowd/{number}")
    queue.add("HybridJob alone/0")
    queue.add("HybridJob alone/1")
    queue.add("HybridJob crowd/ended", urgent=True)
    queue.add("HybridJob alone/1", urgent=True)
    order = []
    while (key := await taken(queue)) is not None:
        order.append(key.partition(" ")[2])
        queue.done(key)
    assert order == ["crowd/ended", "alone/1", "crowd/0", "alone/0", "crowd/1", "crowd/2"]


async def test_a_namespace_whose_keys_take_long_falls_back_and_leaves_workers_to_others() -> None:
    clock = Clock()
    queue = WorkQueue(clock, most=2)
    for number in range(4):
        queue.add(f"HybridJob slow/{number}")
    under_way = [await taken(queue), await taken(queue)]
    assert under_way == ["HybridJob slow/0", "HybridJob slow/1"]
    assert await taken(queue) is None
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("HybridJob quick/0")
    assert await asyncio.wait_for(waiting, 5) == "HybridJob quick/0"
    for number in range(1, 6):
        queue.add(f"HybridJob quick/{number}")
    queue.done("HybridJob quick/0")
    clock.now += 30.0
    queue.done("HybridJob slow/0")
    # What a worker spent on it counts.
    for number in range(1, 6):
        assert await taken(queue) == f"HybridJob quick/{number}"
        queue.done(f"HybridJob quick/{number}")
    assert await taken(queue) == "HybridJob slow/2"


async def test_keys_that_wait_while_no_worker_takes_one_are_a_problem() -> None:
    clock = Clock()
    queue = WorkQueue(clock, most=2)
    clock.now += STALLED_SECONDS
    for number in range(4):
        queue.add(f"HybridJob a/{number}")
    assert await taken(queue) == "HybridJob a/0"
    clock.now += 20.0
    assert await taken(queue) == "HybridJob a/1"
    # One namespace has no more workers than these, and keeps both.
    clock.now += STALLED_SECONDS - 1.0
    assert problem(queue) is None
    clock.now += 1.0
    assert problem(queue) == (
        "for 60 s no worker has taken any of 2 objects that wait: HybridJob a/0 has been looked at for 80 s"
    )
    queue.done("HybridJob a/0")
    assert await taken(queue) == "HybridJob a/2"
    assert problem(queue) is None
    clock.now += STALLED_SECONDS
    assert problem(queue) is not None
    queue.done("HybridJob a/1")
    assert await taken(queue) == "HybridJob a/3"
    # A look that takes long keeps nobody waiting.
    clock.now += STALLED_SECONDS
    assert problem(queue) is None
    # Nor has what comes now waited.
    queue.add("HybridJob a/4")
    assert problem(queue) is None


async def test_what_becomes_urgent_while_it_is_looked_at_is_urgent_afterwards() -> None:
    queue = WorkQueue(Clock())
    queue.add("HybridJob a/0")
    assert await taken(queue) == "HybridJob a/0"
    queue.add("HybridJob a/1")
    queue.add("HybridJob a/0", urgent=True)
    queue.add("HybridJob a/0")
    queue.done("HybridJob a/0")
    assert await taken(queue) == "HybridJob a/0"


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
