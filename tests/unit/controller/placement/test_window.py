"""Which jobs a round looks at, where more wait than it can."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qonverge.controller.placement import rounds
from qonverge.controller.placement.window import WaitingJob, chosen
from tests.unit.controller.worlds import NOW, World


def waiting(namespace: str, number: int, **more: object) -> WaitingJob:
    return replace(WaitingJob(f"{namespace}/{number}", namespace, float(number)), **more)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 60))
def test_each_namespace_has_its_part_and_what_it_leaves_goes_to_others(sizes: list[int], most: int) -> None:
    candidates = [waiting(f"n{n}", number) for n, size in enumerate(sizes) for number in range(size)]
    taken = chosen(candidates, most)
    assert len(taken) == min(most, sum(sizes))
    counts = [sum(key.startswith(f"n{n}/") for key in taken) for n in range(len(sizes))]
    for count, size in zip(counts, sizes, strict=True):
        # Who has less than another has all that it has.
        assert count == size or count >= max(counts) - 1
    for n, count in enumerate(counts):
        assert all(f"n{n}/{number}" in taken for number in range(count))


def test_in_a_namespace_what_aged_is_first_then_priority_then_deadlines_then_what_came_first() -> None:
    candidates = [waiting("a", number) for number in range(10)]
    candidates[9] = replace(candidates[9], priority=5)
    candidates[8] = replace(candidates[8], aged=True)
    candidates[7] = replace(candidates[7], held=True, tried_at=9.0)
    candidates[6] = replace(candidates[6], deadline=99.0)
    assert chosen(candidates, 5) == {"a/7", "a/8", "a/9", "a/6", "a/0"}


def test_what_finds_no_place_keeps_nobody_from_being_looked_at_and_gets_its_turn_again() -> None:
    tried = {f"a/{number}": 0.0 for number in range(40)}
    seen = set[str]()
    for round_ in range(1, 12):
        taken = chosen([waiting("a", n, tried_at=tried[f"a/{n}"]) for n in range(40)], 8)
        seen |= taken
        for key in taken:
            tried[key] = float(round_)
    assert len(seen) == 40
    new = [*(waiting("a", n, tried_at=5.0) for n in range(40)), waiting("a", 40)]
    assert "a/40" in chosen(new, 2)


async def test_a_job_beside_thousands_of_another_namespace_is_placed_by_the_next_round() -> None:
    world = World()
    world.backend("a", access={"namespaces": {"from": "All"}})
    many = 3 * rounds._LEAST_WINDOW
    for number in range(many):
        world.job(f"j{number}", age=100.0)
    alone = world.job("alone", age=1.0)
    metadata = alone.metadata.model_copy(update={"namespace": "bio"})
    world.state.jobs["bio/alone"] = alone.model_copy(update={"metadata": metadata})
    world.state.flights["bio/alone"] = world.state.flights.pop("chem/alone")
    del world.state.jobs["chem/alone"]
    await world.rounds.once()
    planned = world.state.flights["bio/alone"].proposal
    assert planned is not None
    assert planned.backend is not None
    looked_at = [flight for flight in world.state.flights.values() if flight.proposal is not None]
    assert len(looked_at) == rounds._LEAST_WINDOW
    # The others say that they wait behind those, once.
    behind = [key for key, flight in world.state.flights.items() if flight.behind]
    assert len(behind) == many + 1 - rounds._LEAST_WINDOW
    told = len(world.queue)
    world.now = NOW + 1
    await world.rounds.once()
    assert len(world.queue) <= told + rounds._LEAST_WINDOW
