"""Energy as a term of the objective: relative, where it is known, for jobs that ask for it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qonverge.scheduling import Backend, Plan, Policy, plan
from qonverge.scheduling.comparison import compare
from qonverge.scheduling.lanes import Lanes
from qonverge.scheduling.model import Preset, Terms, Weights
from qonverge.scheduling.network import network_seconds
from qonverge.scheduling.scoring import second_weights, static_costs
from qonverge.scheduling.terms import judge
from qonverge.scheduling.trace import read, record
from tests.unit.scheduling.worlds import backend, job, snapshot

MEANT = Terms(weights=Weights.preset("Energy"))
HUNGRY, FRUGAL = backend("a-hungry", task_watts=200.0), backend("frugal", task_watts=5.0)
UNKNOWN = backend("unknown")


def goes(made: Plan) -> list[str]:
    there = [decision.backend or decision.planned for decision in made.decisions]
    return [placed.name for placed in there if placed is not None]


def static(weights: Weights, *backends: Backend, run: float | list[list[float]] = 10.0) -> list[float]:
    seen = snapshot([job("j", terms=Terms(weights=weights))], backends, run=run)
    table = judge(seen, [Lanes([0.0]) for _ in backends], Policy())
    found: list[float] = static_costs(seen, table, Policy(), network_seconds(seen, Policy()))[0].tolist()
    return found


def test_a_job_goes_where_it_takes_less_energy_and_not_where_less_power() -> None:
    """2 s at 200 W are less than 200 s at 5 W."""
    for runs, place in (([10.0, 10.0], "frugal"), ([2.0, 200.0], "a-hungry")):
        made = plan(snapshot([job("j", terms=MEANT)], [HUNGRY, FRUGAL], run=[runs]))
        assert goes(made) == [place]
    assert made.decisions[0].reason == (
        "lab/a-hungry is the best of 2 that fit: fidelity 0.9, run 2 s, 400 J; "
        "next is lab/frugal: fidelity 0.9, run 3.33 min, 1 kJ"
    )
    assert [each.energy_joules for each in made.decisions[0].candidates] == [400.0, 1000.0]


def test_the_term_is_relative_to_the_most_that_fits() -> None:
    narrow = replace(backend("narrow", task_watts=9000.0), max_qubits=1)
    expected = [0.75 * 200.0 * 3 / (5.0 * 200), 0.75, np.inf]
    assert static(Weights(1, 0, 0, 3), HUNGRY, FRUGAL, narrow, run=[[3.0, 200.0, 1.0]]) == pytest.approx(expected)


def test_what_is_not_known_counts_as_the_most_and_never_as_none() -> None:
    assert static(Weights(0, 0, 0, 1), HUNGRY, FRUGAL, UNKNOWN) == pytest.approx([1.0, 0.025, 1.0])
    assert goes(plan(snapshot([job("j", terms=MEANT)], [UNKNOWN, FRUGAL, HUNGRY]))) == ["frugal"]


def test_where_nothing_is_known_the_term_does_not_count() -> None:
    """The others weigh as if energy were not asked for, beside soft terms as well."""
    without, asked = Weights(2, 1, 1), Weights(2, 1, 1, 7)
    assert static(asked, UNKNOWN, backend("b")) == static(without, UNKNOWN, backend("b"))
    seen = [snapshot([job("j", terms=Terms(weights=each))], [UNKNOWN]) for each in (without, asked)]
    weights = [second_weights(each, Policy()).tolist() for each in seen]
    assert weights == [[pytest.approx(0.25 / 1200)]] * 2
    known = snapshot([job("j", terms=Terms(weights=asked))], [FRUGAL])
    assert second_weights(known, Policy()).tolist() == [pytest.approx(1 / 11 / 1200)]


@pytest.mark.parametrize("preset", ["Balanced", "Fidelity", "Time", "Cost"])
def test_jobs_that_do_not_ask_for_it_are_placed_as_before(preset: Preset) -> None:
    bare = [replace(each, task_watts=None) for each in (HUNGRY, FRUGAL)]
    assert static(Weights.preset(preset), HUNGRY, FRUGAL) == static(Weights.preset(preset), *bare)


def test_a_policy_says_it_for_jobs_that_say_nothing() -> None:
    later = replace(FRUGAL, free_seconds=(1.0,))
    for own, place in ((Weights(), "frugal"), (Weights(1, 0.5, 0), "a-hungry")):
        seen = snapshot([job("j", terms=Terms(weights=own))], [HUNGRY, later])
        assert goes(plan(seen, Policy(weights=Weights(1, 1, 1, 1)))) == [place]
        assert goes(plan(seen)) == ["a-hungry"]


def test_of_a_program_whose_run_time_is_not_known_the_power_decides() -> None:
    made = plan(snapshot([job("p", needs=None, terms=MEANT)], [HUNGRY, FRUGAL], run=math.nan))
    assert goes(made) == ["frugal"]
    assert made.decisions[0].candidates[0].energy_joules is None, "which is no forecast"


@pytest.mark.parametrize("known", [True, False])
def test_a_comparison_of_policies_says_what_energy_changes_where_both_places_are_known(known: bool) -> None:
    in_force, second = Policy(weights=Weights(0, 1, 0)), Policy(weights=Weights(0, 0, 0, 1))
    quick = HUNGRY if known else UNKNOWN
    seen = snapshot([job("j")], [quick, FRUGAL], run=[[10.0, 40.0]])
    line = record(seen, in_force, plan(seen, in_force))
    found = compare([read(line)], second if known else in_force)
    for group in (found.by_round[0], found.simulated[0]):
        if not known:
            assert group.energy is None
        else:
            assert group.energy is not None
            assert (group.energy.before, group.energy.after) == (2000.0, 200.0)
