"""What is assumed of an engine before its tasks were timed comes from its descriptor."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import cast

import numpy as np
import pytest

from qonverge.backend.engines.descriptors import AER, AER_FIGURES, AUTOMATIC, BRAKET_LOCAL, STIM, result_method
from qonverge.circuits.checker.checked_circuit import CheckedCircuit, check
from qonverge.forecast.exact import ExactForecasts
from qonverge.forecast.features import Work, peak_bytes, seconds, table
from qonverge.forecast.forecaster import Outlook
from qonverge.forecast.intervals import Floats
from qonverge.forecast.requests import BackendOffer, ForecastRequest, Outcome
from qonverge.programs.circuit import method_of
from qonverge.providers.figures import Figures
from qonverge.providers.installed import usual_figures
from qonverge.wire.messages import PubResult, TaskResult

METHODS = ("Statevector", "DensityMatrix", "MatrixProductState", "Stabilizer")
WORKS = [
    Work(10, 100, 30, 20, 4, 10, 1000),
    Work(16, 100, 30, 20, 4, 14, 1000),
    Work(17, 100, 30, 20, 4, 15, 1000),
    Work(10, 100, 30, 20, 4, 10, 1000, sets=3, terms=5, bases=2, repeated=True),
    Work(10, 100, 30, 20, 4, 10, 0, terms=5),
]
# Which say from where on something holds.
BOUNDS = {"threaded_qubits": 16, "drawn_bits": 15}


def all_parts(figures: Figures) -> Floats:
    rows = table(WORKS)
    return np.hstack([np.hstack((seconds(m, rows, figures), peak_bytes(m, rows, figures))) for m in METHODS])


@pytest.mark.parametrize("name", [field.name for field in fields(Figures) if field.name != "narrow_clifford_qubits"])
def test_every_figure_counts(name: str) -> None:
    other = BOUNDS.get(name, 2 * getattr(AER_FIGURES, name))
    assert (all_parts(replace(AER_FIGURES, **{name: other})) != all_parts(AER_FIGURES)).any()


def request(qubits: int) -> ForecastRequest:
    gates = "".join(f"cx q[0], q[{qubit}]; " for qubit in range(1, qubits))
    text = f'OPENQASM 3.0; include "stdgates.inc"; qubit[{qubits}] q; bit[{qubits}] c; h q[0]; {gates}c = measure q;'
    checked: CheckedCircuit = check(text, {}, [])
    return ForecastRequest(checked, {}, Work.of(checked.analysis, 1000))


def outlook() -> Outlook:
    return Outlook(cast(ExactForecasts, None))


def test_forecasts_are_those_of_the_backends_engine() -> None:
    slow = replace(AER_FIGURES, task_seconds=100.0, outcome_bytes=10**9)
    models, asked = outlook(), request(3)
    usual, other = BackendOffer("n/a"), BackendOffer("n/b", figures=slow)
    assert models.run_seconds(asked, usual).mid < 0.1 < 50 < models.run_seconds(asked, other).mid
    assert models.memory_bytes(asked, usual).mid < 1e9 < models.memory_bytes(asked, other).mid
    for key, figures, took, peak in (("n/a", AER_FIGURES, 0.004, 0), ("n/b", slow, 100.0, 8 * 10**9)):
        for at in range(20):
            outcome = Outcome(key, asked, "Statevector", took, 0.0, None, None, at, peak_bytes=peak, figures=figures)
            models.observe(outcome)
    # What is learned are factors of the engine's own figures, also by an operator that starts again.
    again = outlook()
    assert again.load(models.dump()) == ()
    for known in (models, again):
        assert known.run_seconds(asked, usual).mid == pytest.approx(0.004, rel=0.3)
        assert known.run_seconds(asked, other).mid == pytest.approx(100, rel=0.3)
        assert known.memory_bytes(asked, other).mid == pytest.approx(8e9, rel=0.3)


def test_the_likely_method_follows_the_engines_bound() -> None:
    models, asked = outlook(), request(8)
    tableau = BackendOffer("n/a", figures=replace(AER_FIGURES, narrow_clifford_qubits=7, tableau_seconds=10.0))
    narrow = replace(tableau, figures=replace(tableau.figures, narrow_clifford_qubits=8))
    assert models.run_seconds(asked, tableau).mid > 1000 > 1 > models.run_seconds(asked, narrow).mid


def test_engines_without_figures_have_aers() -> None:
    assert AER.figures is AER_FIGURES is usual_figures()
    assert BackendOffer("n/a").figures is AER_FIGURES


def test_methods_are_named_in_results_as_in_the_api() -> None:
    for method in sorted({method for each in (AER, AUTOMATIC, BRAKET_LOCAL, STIM) for method in each.methods}):
        result = TaskResult("t", "Completed", (PubResult(counts=(), shots=1, method=result_method(method)),))
        assert method_of(result) == method
    assert [result_method(method) for method in AER.methods] == [
        "automatic",
        "statevector",
        "density_matrix",
        "matrix_product_state",
        "stabilizer",
    ]
