"""Slots for programs: who gets one, who waits for one, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qonverge.amounts import Quota
from qonverge.scheduling import Active, Backend, Decision, Job, Plan, Policy, Snapshot, plan
from qonverge.scheduling.rounds import check
from tests.unit.scheduling.worlds import NEEDS, backend, job


def program(name: str, **fields: Any) -> Job:
    return job(name, needs=None, **fields)


def decided(jobs: list[Job], *backends: Backend, **fields: Any) -> dict[str, Decision]:
    made = plan(Snapshot(tuple(jobs), backends, 0.0, **fields))
    return {decision.job.removeprefix("chem/"): decision for decision in made.decisions}


def test_a_program_for_each_free_slot_is_sent_and_the_others_wait_in_order() -> None:
    aer = backend("aer", workers=4, dispatch_depth=256, slot_seconds=(0.0, 0.0, 30.0))
    found = decided([program(f"p{n}", created=n, program_seconds=100.0) for n in range(5)], aer)
    assert [name for name, each in found.items() if each.backend] == ["p0", "p1"]
    assert [found[f"p{n}"].slot_place for n in range(5)] == [0, 0, 1, 2, 3]
    assert [found[f"p{n}"].expected_start for n in range(2, 5)] == [30.0, 100.0, 100.0]
    assert found["p2"].reason == (
        "place 1 of 3 in the queue for the 3 program slots of lab/aer, start in about 30 s; "
        "lab/aer is the only candidate"
    )


def test_a_backend_without_a_limit_takes_all_programs() -> None:
    found = decided([program(f"p{n}") for n in range(9)], backend("aer", workers=16))
    assert all(each.backend for each in found.values())


def test_a_slot_that_is_about_to_be_free_is_not_given_away() -> None:
    found = decided([program("p")], backend("aer", slot_seconds=(0.5,)))
    assert (found["p"].backend, found["p"].slot_place) == (None, 1)


def test_programs_that_wait_keep_no_circuit_back_and_circuits_no_program() -> None:
    full = backend("aer", dispatch_depth=256, slot_seconds=(40.0,))
    jobs = [program("p", created=0.0), *(job(f"c{n}", created=1.0 + n) for n in range(3))]
    found = decided(jobs, full)
    assert [name for name, each in found.items() if each.backend] == ["c0", "c1", "c2"]
    # Circuits that came before are behind a program that has a slot: else it might wait for as long as more come.
    free = backend("aer", dispatch_depth=256, slot_seconds=(0.0,), ahead_seconds=1.0)
    found = decided([*(job(f"c{n}", created=n) for n in range(5)), program("p", created=9.0)], free)
    assert found["p"].backend == free


def test_a_program_goes_where_a_slot_is_free_first() -> None:
    slow, soon = backend("a", slot_seconds=(300.0,)), backend("b", slot_seconds=(20.0,))
    assert decided([program("p")], slow, soon)["p"].planned == soon
    free = backend("c", slot_seconds=(0.0,))
    found = decided([program(f"p{n}", created=n, program_seconds=100.0) for n in range(2)], slow, soon, free)
    assert (found["p0"].backend, found["p1"].planned) == (free, soon)


def test_one_that_is_past_the_aging_bound_needs_a_slot_too() -> None:
    aer = backend("aer", slot_seconds=(7.0,))
    found = decided([program("old", created=-10_000.0), program("older", created=-20_000.0)], aer)
    assert (found["older"].slot_place, found["old"].slot_place) == (1, 2)


def test_the_wait_for_a_slot_counts_for_the_deadline_and_the_longest_wait() -> None:
    aer = backend("aer", slot_seconds=(90.0,))
    found = decided([program("p", deadline=60.0)], aer)
    assert (found["p"].backend, found["p"].planned, found["p"].slot_place) == (None, None, 0)
    assert "no backend would end within 60 s" in found["p"].reason


def test_a_program_without_a_slot_displaces_no_task() -> None:
    """Room for a task is no slot."""
    aer = backend("aer", slot_seconds=(90.0,), load=1.0, free_seconds=(50.0,))
    active = Active("chem/c", "chem", "lab/aer", priority=0, started=False, preemptible=True, remaining_seconds=50.0)
    snapshot = Snapshot((program("p", priority=1000),), (aer,), 0.0, active=(active,))
    assert plan(snapshot).preemptions == ()
    assert plan(Snapshot((job("c2", priority=1000, needs=NEEDS),), (aer,), 0.0, active=(active,))).preemptions


def test_a_quota_that_refuses_a_program_leaves_the_slot_to_the_next() -> None:
    aer = backend("aer", workers=4, slot_seconds=(0.0,))
    found = decided(
        [program("p", created=0.0), job("q", "bio", created=1.0, needs=None)], aer, quotas={"chem": Quota(jobs=0)}
    )
    assert (found["p"].backend, found["bio/q"].backend) == (None, aer)


def test_another_scheduler_may_not_send_a_program_without_a_slot() -> None:
    aer = backend("aer", slot_seconds=(5.0,))
    snapshot = Snapshot((program("p"),), (aer,), 0.0)
    sent = Plan((Decision("chem/p", aer, "I say so"),))
    assert "beyond what it takes" in check(snapshot, Policy(), sent)


def test_a_program_of_higher_priority_takes_the_slots_of_those_that_can_go_on_later() -> None:
    aer = backend("aer", workers=4, dispatch_depth=256, slot_seconds=(0.0, 50.0, 60.0, 70.0))
    held = Active("bio/p", "bio", "lab/aer", preemptible=True, checkpointable=True, remaining_seconds=50.0, ranks=1)
    lower = (held, replace(held, job="bio/long", remaining_seconds=60.0), replace(held, job="bio/own", priority=1000))

    def displaced(*active: Active, ranks: tuple[int, ...] = (2,)) -> list[tuple[str, str]]:
        high = program("high", priority=1000, ranks=ranks)
        made = plan(Snapshot((high,), (aer,), 0.0, active=active)).preemptions
        return [(each.job, each.beneficiary) for each in made]

    # One slot is free already, and who needs longest gives another.
    assert displaced(*lower) == [("bio/long", "chem/high")]
    assert displaced(*lower, ranks=(3,)) == [("bio/long", "chem/high"), ("bio/p", "chem/high")]
    assert displaced(*lower, ranks=(4,)) == [], "what would not be enough displaces nobody"
    assert displaced(*lower, ranks=(1,)) == [], "its slot is free"
    # Nobody makes room twice for one job.
    assert displaced(replace(lower[0], yields=True), *lower[1:]) == []
    assert displaced(replace(lower[0], yields=True), *lower[1:], ranks=(3,)) == [("bio/long", "chem/high")]
    for other in (replace(held, preemptible=False), replace(held, checkpointable=False), replace(held, ranks=0)):
        assert displaced(other) == []
