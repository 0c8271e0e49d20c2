"""A job as placement sees it, what simulators can do, and what is shown of a decision."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from qonverge.amounts import Amounts, Money
from qonverge.api import HybridJob
from qonverge.api.backend import Simulator
from qonverge.devices import Rates, snapshots
from qonverge.execution.placement import abilities, device_errors, shown, waiting
from qonverge.forecast.intervals import Interval, Intervals, JobForecasts
from qonverge.providers.descriptor import FEATURES
from qonverge.scheduling import Backend, Decision
from qonverge.scheduling.model import Candidate, Split, Weights


def job(**spec: Any) -> HybridJob:
    given = {"metadata": {"name": "j", "namespace": "chem"}, "spec": {"program": {"python": {"source": "x"}}, **spec}}
    return HybridJob.model_validate(given)


def test_terms_are_those_of_the_manifest() -> None:
    placement = {
        "tiers": ["Edge", "OnPrem"],
        "preferredTiers": ["Edge"],
        "regions": ["eu"],
        "dataSite": "lab",
        "minFidelity": 0.9,
        "maxErrors": {"twoQubit": 0.02, "readout": 0.05},
        "maxWait": "1m30s",
        "maxLatency": "20ms",
        "split": {"minShots": 5},
        "hedge": True,
        "weights": {"fidelity": 2, "cost": 1},
    }
    seen = waiting(job(placement=placement, deadline="1970-01-01T00:01:00Z"), 5.0, None, Amounts(), priority=7)
    assert (seen.key, seen.namespace, seen.created, seen.priority, seen.deadline) == ("chem/j", "chem", 5.0, 7, 60.0)
    assert (seen.split, seen.hedge, seen.data_site) == (Split(5), True, "lab")
    terms = seen.terms
    assert [sorted(each) for each in (terms.tiers, terms.preferred_tiers, terms.regions)] == [
        ["Edge", "OnPrem"],
        ["Edge"],
        ["eu"],
    ]
    assert (terms.min_fidelity, terms.max_wait_seconds, terms.max_latency_seconds) == (0.9, 90.0, 0.02)
    assert (terms.max_two_qubit_error, terms.max_readout_error) == (0.02, 0.05)
    assert terms.weights == Weights(2.0, 0.0, 1.0)


def test_without_terms_all_is_balanced_and_unlimited() -> None:
    seen = waiting(job(), 5.0, None, Amounts())
    assert (seen.budget, seen.split, seen.hedge, seen.deadline) == (None, None, False, None)
    assert seen.terms.weights == Weights.preset("Balanced")
    assert waiting(job(placement={"objective": "Cost"}), 5.0, None, Amounts()).terms.weights == Weights.preset("Cost")


def test_a_budget_is_for_all_attempts_together() -> None:
    limited = job(budget={"amount": "2.50", "currency": "EUR"})
    spent = Amounts(costs=(Money(Decimal("1.25"), "EUR"), Money(Decimal(9), "USD")))
    assert waiting(limited, 0.0, None, spent).budget == Money(Decimal("1.25"), "EUR")


UNKNOWN = Interval(np.nan, np.nan, np.nan)


def test_what_fits_is_shown_first_and_the_best_of_it_before_the_rest() -> None:
    names = ("slow", "best", "cut", "other")
    backends = [Backend(name, "lab", admits_all_namespaces=True, currency="EUR") for name in names]
    backends.append(Backend("hidden", "lab", admits_all_namespaces=False))
    candidates = (
        Candidate("lab/best", 0.9, 1.0, 2.0, 1.5, 0.0, 0.0),
        Candidate("lab/slow", 0.9, 9.0, 2.0, 1.5, 0.0, 0.0),
    )
    decision = Decision("chem/j", backends[1], "", rejected={"lab/cut": "it is cut"}, candidates=candidates)
    known = (Interval(0.8, 0.9, 0.95), Interval(1.0, 2.0, 4.0), Interval(1.0, 1.5, 2.0))
    row = JobForecasts(*(Intervals.of([each, each, each, UNKNOWN, each]) for each in known))
    found = shown(waiting(job(), 0.0, None, Amounts()), decision, row, backends, [Interval(0.0, 1.0, 2.0)] * 5)
    assert [each.backend for each in found] == ["lab/best", "lab/slow", "lab/other", "lab/cut"]
    best, _, other, cut = found
    assert best.fidelity is not None
    assert (best.fidelity.low, best.fidelity.mid, best.fidelity.high) == (0.8, 0.9, 0.95)
    assert best.wait_seconds is not None
    assert (best.wait_seconds.mid, best.currency, best.rejected) == (1.0, "EUR", None)
    assert (other.fidelity, other.run_seconds, other.cost, other.currency) == (None, None, None, None)
    assert (cut.rejected, cut.wait_seconds) == ("it is cut", None)
    assert cut.run_seconds is not None


NOISE = {"rates": {"oneQubit": 0.01}}


@pytest.mark.parametrize(
    ("simulator", "method", "lacks", "copies"),
    [
        ({}, "Automatic", set(), 1),
        ({"noise": NOISE}, "Automatic", set(), 1),
        ({"engine": "Aer", "method": "MatrixProductState"}, "MatrixProductState", set(), 1),
        ({"method": "Stabilizer"}, "Stabilizer", {"NonClifford"}, 1),
        ({"engine": "Stim"}, "Stabilizer", {"NonClifford"}, 1),
        ({"engine": "Stim", "noise": NOISE}, "Stabilizer", {"NonClifford", "ControlFlow"}, 1),
        ({"engine": "BraketLocal"}, "Statevector", set(), 3),
        ({"engine": "BraketLocal", "method": "DensityMatrix"}, "DensityMatrix", set(), 4),
        ({"engine": "BraketLocal", "noise": NOISE}, "DensityMatrix", {"ControlFlow"}, 4),
    ],
)
def test_what_simulators_can_do(simulator: dict[str, Any], method: str, lacks: set[str], copies: int) -> None:
    able = abilities(Simulator.model_validate(simulator).source)
    assert (able.method, set(FEATURES - able.features)) == (method, lacks)
    assert able.descriptor.copies(able.method) == copies


def test_memory_is_what_the_engine_leaves_of_it() -> None:
    braket, aer = abilities(Simulator(engine="BraketLocal").source), abilities(Simulator().source)
    assert (aer.memory(2**30), aer.memory(None)) == (2**30, None)
    assert (braket.memory(2**30), braket.memory(2**20), braket.memory(None)) == (2**30 - 2**27, 2**26, None)


def test_errors_are_those_of_the_device_as_far_as_it_is_known() -> None:
    lima = snapshots.load("lima")
    noisy = Simulator.model_validate({"noise": {"device": "lima"}}).source
    assert device_errors(noisy, lima) == (lima.median_error(2), lima.median_readout_error)
    assert device_errors(noisy, Rates(two_qubit=0.01, readout=0.02)) == (0.01, 0.02)
    assert device_errors(noisy, None) == (None, None)
    assert device_errors(Simulator().source, None) == (0.0, 0.0)
