"""Circuits without qubits: their only state has the values that algebra gives it."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.worker import Worker
from qonverge.devices.rates import Rates
from qonverge.wire.errors import InvalidTask
from qonverge.wire.messages import Pub, PubResult, Task

ENGINES = [
    *(("Aer", method) for method in ("Automatic", "DensityMatrix", "MatrixProductState", "Stabilizer")),
    ("BraketLocal", "Automatic"),
    ("Stim", "Automatic"),
    ("Automatic", "Automatic"),
]


def run(circuit: QuantumCircuit, config: EngineConfig, *, memory: bool = False, **pub: Any) -> PubResult:
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    (result,) = Worker(config).run(Task("t", (Pub(digest, **pub),), {digest: data}, memory=memory), 1, 1)
    return result


@pytest.mark.parametrize("noise", [None, Rates(0.01, 0.1, 0.2)], ids=["ideal", "noisy"])
@pytest.mark.parametrize(("provider", "method"), ENGINES)
@pytest.mark.parametrize("wanted", [{}, {"shots": 100}, {"precision": 0.1}], ids=["exact", "shots", "precision"])
def test_their_observables_are_numbers(provider: str, method: str, noise: Rates | None, wanted: dict[str, Any]) -> None:
    config = EngineConfig(provider=provider, method=method, noise=noise)
    observables = ((("", 2.0), ("", 1.0)), (("", -0.5),))
    result = run(QuantumCircuit(0), config, observables=observables, **wanted)
    assert result.expectation_values is not None
    assert result.expectation_values.tolist() == [[3.0, -0.5]]
    assert result.standard_errors is not None
    assert result.standard_errors.tolist() == [[0.0, 0.0]]


def test_their_state_has_one_amplitude_for_each_set() -> None:
    circuit = QuantumCircuit(0, global_phase=Parameter("a"))
    result = run(circuit, EngineConfig(), statevector=True, parameters={"a": np.array([0.0, 0.5])})
    assert result.statevectors is not None
    # States have no phase of their own, here as on more qubits.
    assert abs(result.statevectors) == pytest.approx(np.ones((2, 1)))


def test_they_have_no_other_observable() -> None:
    with pytest.raises(InvalidTask, match="does not fit"):
        run(QuantumCircuit(0), EngineConfig(), observables=((("Z", 1.0),),))


def test_their_bits_are_zeros() -> None:
    result = run(QuantumCircuit(0, 2), EngineConfig(), memory=True, shots=3)
    ((bits, array),) = result.registers.values()
    assert (bits, array.tolist()) == (2, [[[0], [0], [0]]])
