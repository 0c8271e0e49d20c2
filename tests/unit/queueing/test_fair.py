"""What fair queues promise about waiting."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.queueing import FairQueue, Turns

COSTS = st.lists(st.floats(0.01, 50.0), min_size=1, max_size=30)


def drained(queue: FairQueue[str]) -> list[str]:
    found = []
    while (taken := queue.take()) is not None:
        found.append(taken[1])
        queue.done(taken[0])
    return found


def test_tenants_take_turns_and_each_of_their_items_goes_in_the_order_in_which_it_came() -> None:
    queue = FairQueue[str]()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item)
    assert drained(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_urgent_items_go_before_a_tenant_s_own_others_and_not_before_other_tenants() -> None:
    queue = FairQueue[str]()
    for item in ("a1", "a2", "b1", "b2"):
        queue.put(item[0], item)
    queue.put("a", "a-end", urgent=True)
    queue.put("a", "a2", urgent=True)
    queue.put("a", "a-end")
    assert len(queue) == 5
    assert drained(queue) == ["a-end", "b1", "a2", "b2", "a1"]


@given(st.integers(1, 400), st.integers(0, 400))
def test_an_item_of_a_tenant_that_had_nothing_waits_for_one_item_of_each_other(flood: int, served: int) -> None:
    queue = FairQueue[str]()
    for number in range(flood):
        for tenant in ("a", "b"):
            queue.put(tenant, f"{tenant}{number}")
    for _ in range(min(served, 2 * flood - 1)):
        taken = queue.take()
        assert taken is not None
        queue.done(taken[0])
    queue.put("c", "mine")
    assert drained(queue).index("mine") <= 2


@given(COSTS, COSTS, st.booleans())
def test_what_tenants_got_differs_by_the_cost_of_one_item_each(
    one: list[float], two: list[float], foreseen: bool
) -> None:
    """Whether costs are known before or only afterwards."""
    queue = FairQueue[tuple[str, int]]()
    costs = {"a": one, "b": two}
    for tenant, of in costs.items():
        for number, cost in enumerate(of):
            queue.put(tenant, (tenant, number), cost=cost if foreseen else 1.0)
    got, left = {"a": 0.0, "b": 0.0}, {tenant: len(of) for tenant, of in costs.items()}
    # Before its cost is known an item counts as 1.
    bound = max(one) + max(two) + (0.0 if foreseen else 1.0)
    while all(left.values()):
        taken = queue.take()
        assert taken is not None
        tenant, (_, number) = taken
        cost = costs[tenant][number]
        queue.done(tenant, expected=cost if foreseen else 1.0, cost=cost)
        got[tenant] += cost
        left[tenant] -= 1
        assert abs(got["a"] - got["b"]) <= bound + 1e-9


def test_what_was_too_much_is_remembered_while_others_wait_and_what_was_left_is_not_saved_up() -> None:
    queue = FairQueue[str]()
    for number in range(20):
        queue.put("many", f"m{number}")
    queue.put("costly", "c0")
    for _ in range(2):
        taken = queue.take()
        assert taken is not None
        queue.done(taken[0], cost=8.0 if taken[0] == "costly" else 1.0)
    # It comes back at once, and waits until the other had as much.
    queue.put("costly", "c1")
    order = drained(queue)
    assert 6 <= order.index("c1") <= 8
    # All is forgotten when nobody waits: who had nothing for a while goes neither first nor last.
    for item in ("m", "c2"):
        queue.put(item, item)
    assert drained(queue) == ["m", "c2"]


def test_no_tenant_has_more_in_service_than_it_may() -> None:
    queue = FairQueue[str](most=2)
    for number in range(5):
        queue.put("a", f"a{number}")
    assert [queue.take(), queue.take(), queue.take()] == [("a", "a0"), ("a", "a1"), None]
    queue.put("b", "b0")
    assert queue.take() == ("b", "b0")
    queue.done("a")
    assert queue.take() == ("a", "a2")


def test_an_item_that_was_taken_back_is_not_served() -> None:
    queue = FairQueue[str]()
    queue.put("a", "a0")
    queue.put("a", "a1")
    queue.remove("a", "a0")
    queue.remove("a", "a0")
    queue.remove("nobody", "a0")
    assert (len(queue), drained(queue)) == (1, ["a1"])


@pytest.mark.parametrize("granted", [False, True])
async def test_who_is_cancelled_leaves_its_place_to_others(granted: bool) -> None:
    turns, order = Turns(1), []

    async def one(tenant: str) -> None:
        async with turns.turn(tenant, 1.0):
            order.append(tenant)
            await asyncio.sleep(0)

    async with turns.turn("first", 1.0):
        cancelled = asyncio.create_task(one("cancelled"))
        await asyncio.sleep(0)
        others = [asyncio.create_task(one(tenant)) for tenant in ("a", "a", "b")]
        await asyncio.sleep(0)
        if not granted:
            cancelled.cancel()
    # Where its turn has just come, it goes on to the next.
    cancelled.cancel()
    await asyncio.gather(cancelled, *others, return_exceptions=True)
    assert order == ["a", "b", "a"]
    async with turns.turn("last", 1.0):
        assert len(turns) == 0
