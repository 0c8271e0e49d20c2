"""What is not known of a backend never counts as better than what is known of others."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from qonverge.amounts import Money, Quota
from qonverge.scheduling import Job, Plan, plan
from qonverge.scheduling.model import Preset, Terms, Weights
from qonverge.scheduling.scoring import reference_fidelity
from tests.unit.scheduling.worlds import backend, job, snapshot

NAN = math.nan
IDEAL = backend("ideal", two_qubit_error=0.0, readout_error=0.0)
GOOD = backend("good", two_qubit_error=0.002, readout_error=0.01)
BAD = backend("bad", two_qubit_error=0.02, readout_error=0.05)
UNREAD = backend("unread")


def program(name: str, objective: Preset = "Balanced") -> Job:
    return job(name, needs=None, terms=Terms(weights=Weights.preset(objective)))


def goes(made: Plan) -> list[str]:
    there = [decision.backend or decision.planned for decision in made.decisions]
    return [backend.name for backend in there if backend is not None]


@pytest.mark.parametrize("objective", ["Balanced", "Fidelity", "Time", "Cost"])
def test_programs_wait_for_exact_results_rather_than_run_with_unknown_errors(objective: Preset) -> None:
    jobs = [program(f"p{number}", objective) for number in range(4)]
    made = plan(snapshot(jobs, [BAD, IDEAL], fidelity=[[NAN, 1.0]] * 4, run=NAN))
    assert goes(made) == ["ideal"] * 4
    assert made.decisions[0].reason == (
        "lab/ideal is the best of 2 that fit: fidelity 1; "
        "next is lab/bad: fidelity not known (two-qubit error 0.02 and readout error 0.05)"
    )


def test_what_is_known_is_not_waited_for_without_end() -> None:
    """It counts as losing all fidelity, which is worth 1,200 s."""
    busy = [replace(IDEAL, free_seconds=(seconds,)) for seconds in (1100.0, 1300.0)]
    seen = [snapshot([program("p")], [GOOD, one], fidelity=[[NAN, 1.0]], run=NAN) for one in busy]
    assert [goes(plan(each)) for each in seen] == [["ideal"], ["good"]]


def test_calibrations_order_backends_whose_fidelity_is_not_known() -> None:
    for known in ([], [replace(IDEAL, free_seconds=(5000.0,))]):
        backends = [UNREAD, BAD, GOOD, *known]
        made = plan(snapshot([program("p")], backends, fidelity=[[NAN] * 3 + [1.0] * len(known)], run=NAN))
        assert goes(made) == ["good"], "beside one that is known as well as alone"
        assert "next is lab/bad" in made.decisions[0].reason
    assert goes(plan(snapshot([program("p")], [UNREAD, BAD], fidelity=NAN, run=NAN))) == ["bad"]
    only = plan(snapshot([program("p")], [UNREAD], fidelity=NAN, run=NAN))
    assert only.decisions[0].reason == "lab/unread is the only candidate: fidelity not known"


def test_the_reference_is_a_product_over_its_operations() -> None:
    assert reference_fidelity(IDEAL) == 1.0
    assert reference_fidelity(GOOD) == pytest.approx(0.998**20 * 0.99**5)
    assert reference_fidelity(UNREAD) == reference_fidelity(replace(GOOD, readout_error=None)) == 0.0


def test_a_known_fidelity_however_low_is_better_than_none() -> None:
    made = plan(snapshot([job("wide")], [GOOD, BAD], fidelity=[[NAN, 0.1]]))
    assert goes(made) == ["bad"]


def test_a_price_that_is_not_known_is_not_taken_for_none() -> None:
    priced, free = backend("a-priced"), backend("free")
    assert goes(plan(snapshot([program("p")], [priced, free], cost=[[NAN, 0.0]], run=NAN))) == ["free"]
    assert goes(plan(snapshot([program("p")], [priced, free], cost=[[NAN, 7.0]], run=NAN))) == ["a-priced"]


def test_what_is_paid_for_and_has_no_price_gets_nothing_with_a_limit_on_cost() -> None:
    unpriced = backend("acme", unpriced=True)
    unlimited, limited = job("any"), job("poor", budget=Money(Decimal(5)))
    made = plan(snapshot([unlimited, limited], [unpriced], cost=NAN))
    assert goes(made) == ["acme"]
    assert "its tasks are paid for and no price is known, its owner can say one in the backend's spec.pricing" in (
        made.decisions[1].reason
    )
    # A program's spending is kept within limits while it runs, which takes prices.
    assert goes(plan(snapshot([replace(program("p"), budget=Money(Decimal(5)))], [unpriced], cost=NAN))) == []
    quota = {"chem": Quota(cost=Money(Decimal(5)))}
    made = plan(replace(snapshot([unlimited], [unpriced], cost=NAN), quotas=quota))
    assert goes(made) == []
    assert "tasks there are paid for and no price is known" in made.decisions[0].reason


def test_a_round_trip_that_was_not_measured_is_not_taken_for_none() -> None:
    far, unmeasured = backend("far", latency_seconds=3.0), backend("a-new")
    near = replace(far, name="near", latency_seconds=0.01)
    assert goes(plan(snapshot([job("j")], [unmeasured, far, near]))) == ["near"]
    assert goes(plan(snapshot([job("j")], [unmeasured, far]))) == ["a-new"], "as long as the longest, at most"
