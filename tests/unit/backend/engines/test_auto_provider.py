"""Automatic: which engine, and why."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.auto import Automatic
from qonverge.backend.engines.protocol import Question, load
from qonverge.circuits.analysis.analysis import analyse
from qonverge.wire.errors import InvalidCircuit
from tests.unit.backend.engines.engines import label, run

AUTO = Automatic(EngineConfig())


def circuit(qubits: int, *, clifford: bool = True) -> QuantumCircuit:
    made = QuantumCircuit(qubits, qubits)
    made.h(range(qubits)) if clifford else made.ry(0.3, range(qubits))
    made.measure(range(qubits), range(qubits))
    return made


@pytest.mark.parametrize(
    ("made", "more", "engine"),
    [
        (circuit(2), {"shots": 1000}, "Stim"),
        (circuit(2), {"shots": 1_000_000}, "Aer"),
        (circuit(12), {"shots": 1_000_000}, "Stim"),
        (circuit(4), {"shots": 1_000_000, "noisy": True}, "Aer"),
        (circuit(9), {"shots": 1_000_000, "noisy": True}, "Stim"),
        (circuit(2), {"statevector": True}, "Aer"),
        (circuit(2), {"relaxing_bytes": 64, "limit": 64}, "Aer"),
        (circuit(2), {"relaxing_bytes": 64, "limit": 63}, "Stim"),
        (circuit(2, clifford=False), {}, "Aer"),
    ],
)
def test_the_engine_is_the_faster_one(made: QuantumCircuit, more: dict[str, int], engine: str) -> None:
    assert AUTO.ranked(Question(analyse(made), **more))[0] == engine  # type: ignore[arg-type]


def test_results_name_their_engine_and_reason() -> None:
    answer = run(AUTO, circuit(300), shots=10)
    assert answer.engine.startswith("Stim ")
    assert (answer.method, answer.reason) == ("stabilizer", "all gates are Clifford, on 300 qubits")
    answer = run(AUTO, circuit(3, clifford=False), shots=10)
    assert answer.engine.startswith("Aer ")
    assert (answer.method, answer.reason) == ("statevector", "3 qubits need 128 B")
    assert AUTO.version.startswith("Automatic (Aer ")
    assert "Stim" in AUTO.version


def test_what_stim_refuses_goes_to_aer() -> None:
    made = QuantumCircuit(1, 1)
    made.h(0)
    made.measure(0, 0)
    with made.while_loop((made.clbits[0], 0)):
        made.h(0)
        made.measure(0, 0)
    assert analyse(made).clifford
    answer = run(AUTO, made, shots=50)
    assert answer.engine.startswith("Aer ")
    assert answer.counts == ({"1": 50},)


def test_a_method_that_is_set_leaves_the_engines_that_have_it() -> None:
    made = QuantumCircuit(2)
    made.h(0)
    values = run(Automatic(EngineConfig(method="DensityMatrix")), made, observables=(label("IX"),))
    assert (values.method, values.engine[:3]) == ("density_matrix", "Aer")
    assert values.expectation_values == pytest.approx(np.array([[1.0]]))
    with pytest.raises(LookupError, match=r"the engine Aer has the methods .*the engine Stim has the methods"):
        Automatic(EngineConfig(method="Guess"))


@pytest.mark.parametrize("name", ["Stim", "BraketLocal"])
def test_only_aer_computes_on_a_gpu(name: str) -> None:
    with pytest.raises(LookupError, match=f"the engine {name} computes on CPU only"):
        load(EngineConfig(provider=name, device="GPU"))


def test_a_gate_that_nobody_knows_is_refused() -> None:
    from qiskit.circuit import Gate

    made = QuantumCircuit(1, 1)
    made.append(Gate("oracle", 1, []), [0])
    made.measure(0, 0)
    with pytest.raises(InvalidCircuit, match="oracle"):
        run(AUTO, made)
