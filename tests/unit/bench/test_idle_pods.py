"""What slots and pauses save of idle pods, on a clock of the simulation's own."""

from __future__ import annotations

import pytest

from bench.idle_pods import PROGRAMS, TASKS, Case, simulate


@pytest.mark.parametrize("seconds", [20.0, 60.0, 300.0])
def test_programs_that_wait_for_a_slot_leave_a_tenth_of_the_idle_pods_at_most(seconds: float) -> None:
    at_once, slots = simulate(Case(seconds, None)), simulate(Case(seconds, 1))
    assert slots.idle <= 0.1 * at_once.idle
    assert slots.idle == pytest.approx(PROGRAMS * TASKS * seconds), "only their own tasks are waited for"
    assert slots.pods == at_once.pods == PROGRAMS


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("seconds", [60.0, 300.0])
def test_programs_that_give_their_pods_back_are_idle_for_two_fifths_of_the_time_at_most(
    slots: int, seconds: float
) -> None:
    still, pausing = simulate(Case(seconds, slots)), simulate(Case(seconds, slots, 10.0))
    assert pausing.idle <= 0.4 * still.idle
    assert pausing.pods == PROGRAMS * (1 + TASKS)


def test_a_second_slot_keeps_the_backend_busy_where_programs_compute_between_their_tasks() -> None:
    at_once = simulate(Case(20.0, None))
    assert simulate(Case(20.0, 2)).makespan == pytest.approx(at_once.makespan)
    assert simulate(Case(20.0, 1)).makespan > at_once.makespan
