"""Tasks that ask for nothing have a result at once, of the shape of what was asked, and hold no worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.primitives.containers.bindings_array import BindingsArray

from qonverge.amounts import Amounts, TaskLimits
from qonverge.client import EstimatorV2, SamplerV2
from qonverge.client.transport.connection import Connection
from qonverge.client.transport.embedded import Embedded
from qonverge.wire.messages import Pub

QASM = 'OPENQASM 3.0; include "stdgates.inc"; input float w; qubit[1] q; bit[1] c; ry(w) q[0]; c = measure q;'
SHAPES = [(0,), (0, 3), (3, 0), (2, 0, 2)]


def rotated(*, measured: bool) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w"), 0)
    if measured:
        circuit.measure_all()
    return circuit


@pytest.fixture(params=["server", "here"])
def runner(request: pytest.FixtureRequest, backend: Any) -> Iterator[Any]:
    yield Connection(backend.url, backend.token) if request.param == "server" else Embedded()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_parameter_sets(runner: Any, shape: tuple[int, ...]) -> None:
    values = np.zeros((*shape, 1))
    for pub in [(rotated(measured=True), values), (rotated(measured=True), BindingsArray({"w": np.zeros(shape)}))]:
        ours, theirs = (
            primitive.run([pub], shots=10).result()[0].data for primitive in (SamplerV2(runner), StatevectorSampler())
        )
        assert ours.shape == theirs.shape == shape
        assert (ours.meas.array.shape, ours.meas.array.dtype) == (theirs.meas.array.shape, theirs.meas.array.dtype)
        assert ours.meas.get_counts() == theirs.meas.get_counts() == {}
    for precision in (None, 0.1):
        ours, theirs = (
            primitive.run([(rotated(measured=False), "Z", values)], precision=precision).result()[0].data
            for primitive in (EstimatorV2(runner), StatevectorEstimator())
        )
        assert ours.evs.shape == theirs.evs.shape == ours.stds.shape == shape
        assert ours.evs.dtype == theirs.evs.dtype


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_observables(runner: Any, shape: tuple[int, ...]) -> None:
    pub = (QuantumCircuit(1), np.empty(shape, dtype=object))
    ours, theirs = (
        primitive.run([pub]).result()[0].data for primitive in (EstimatorV2(runner), StatevectorEstimator())
    )
    assert ours.evs.shape == theirs.evs.shape == ours.stds.shape


def test_nothing_beside_something(runner: Any) -> None:
    circuit = rotated(measured=False)
    nothing, something = EstimatorV2(runner).run([(circuit, "Z", np.zeros((0, 1))), (circuit, "Z", [[np.pi]])]).result()
    assert nothing.data.evs.shape == (0,)
    assert something.data.evs == pytest.approx([-1.0])


@pytest.mark.parametrize("precision", [None, 0.05])
def test_sets_of_a_circuit_without_parameters_are_runs_of_their_own(runner: Any, precision: float | None) -> None:
    """Nothing on the wire says how many sets there are where no parameter does."""
    circuit = QuantumCircuit(1)
    circuit.h(0)
    sets = BindingsArray({}, shape=(3,))
    found = EstimatorV2(runner, seed=1).run([(circuit, [["Z"], ["X"]], sets)], precision=precision).result()[0].data.evs
    assert found.shape == (2, 3)
    assert found[1] == pytest.approx([1.0] * 3)
    assert (np.abs(found[0]) < 0.3).all()
    assert (len(set(found[0])) == 3) == (precision is not None)
    circuit.measure_all()
    data = SamplerV2(runner, seed=1).run([(circuit, sets)], shots=64).result()[0].data
    assert data.meas.array.shape == (3, 64, 1)
    assert len({data.meas.array[index].tobytes() for index in range(3)}) == 3
    none = SamplerV2(runner).run([(circuit, BindingsArray({}, shape=(0, 2)))], shots=64).result()[0].data
    assert none.meas.array.shape == (0, 2, 64, 1)


def test_over_the_wire(backend: Any, kit: Any) -> None:
    no_sets, no_pairs = {"w": np.zeros(0)}, np.zeros((0, 2), dtype=np.int32)
    one = {"w": np.zeros(1)}
    observables = ((("Z", 1.0),), (("X", 1.0),))
    pubs: list[tuple[bool, bool, dict[str, Any]]] = [
        (True, True, {"parameters": no_sets, "shots": 10}),
        (True, False, {"parameters": no_sets}),
        (False, False, {"parameters": no_sets, "observables": observables}),
        (False, False, {"parameters": no_sets, "observables": observables, "precision": 0.1}),
        (False, False, {"parameters": one, "observables": observables, "pairs": no_pairs}),
        (False, False, {"parameters": one, "pairs": no_pairs, "shots": 10}),
        (False, False, {"parameters": no_sets, "statevector": True}),
    ]
    shapes = []
    for index, (measured, memory, options) in enumerate(pubs):
        answer = backend.send(kit.task(rotated(measured=measured), f"empty-{index}", memory=memory, **options))
        assert (answer.status, answer.body["error"]) == (200, None)
        (result,) = answer.body["results"]
        assert list(result["counts"]) == []
        kept = {"meas": result["registers"]["meas"][1]} if result["registers"] else {}
        for name in ("expectation_values", "standard_errors", "statevectors"):
            if result[name] is not None:
                kept[name] = result[name]
        shapes.append({name: np.shape(array) for name, array in kept.items()})
    estimated = [(0, 2), (0, 2), (0,), (0,)]
    assert shapes == [
        {"meas": (0, 10, 1)},
        {},
        *({"expectation_values": shape, "standard_errors": shape} for shape in estimated),
        {"statevectors": (0, 2)},
    ]


@pytest.mark.parametrize(
    ("pub", "name", "value"),
    [
        ({"openqasm": QASM, "parameters": {"w": []}, "shots": 10}, "counts", []),
        ({"openqasm": QASM, "parameters": {"w": []}, "observables": ["Z"]}, "expectation_values", []),
        ({"openqasm": QASM, "parameters": {"w": [1]}, "observables": ["Z"], "pairs": []}, "expectation_values", []),
    ],
)
def test_in_json(backend: Any, pub: dict[str, Any], name: str, value: Any) -> None:
    answer = backend.send_json({"pubs": [pub]})
    assert (answer.status, answer.body["error"]) == (200, None)
    assert answer.body["results"][0][name] == value


def test_no_worker_is_held(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    for index in range(4):
        backend.send(kit.task(rotated(measured=True), f"hold-{index}", parameters={"w": np.zeros(0)}), wait=0)
    assert backend.send(kit.task(bell, "after-nothing", shots=10)).body["state"] == "Completed"
    assert kit.until(lambda: backend.ask("GET", "/v1/tasks").body["tasks"] == [], "nothing waits or runs")
    assert backend.ask("GET", "/readyz").status == 200


def test_nothing_uses_nothing() -> None:
    from qonverge.backend.tasks.meters import asked

    observables = ((("Z", 1.0),),)
    nothing = np.zeros((0, 2), dtype=np.int32)
    assert asked([Pub("d", {"w": np.zeros(0)}, 10)], TaskLimits()) == Amounts()
    assert asked([Pub("d", {"w": np.zeros(5)}, 10, None, observables, nothing)], TaskLimits()) == Amounts()
    assert asked([Pub("d", {"w": np.zeros(5)}, None, None, observables, nothing)], TaskLimits()) == Amounts()
    assert asked([Pub("d", pairs=nothing)], TaskLimits()) == Amounts()
