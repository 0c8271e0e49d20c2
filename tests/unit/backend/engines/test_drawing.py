"""Counts from probabilities are those that Aer's own sampling gives, bit for bit in the right places."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import hellinger_fidelity
from qiskit_aer import AerSimulator

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer import Aer
from qonverge.backend.engines.aer_gates import MethodGates
from qonverge.backend.engines.bits import shots_of
from qonverge.backend.engines.drawing import MOST_BITS, Drawable
from qonverge.circuits.analysis.analysis import analyse
from qonverge.wire.messages import Pub


def scattered() -> QuantumCircuit:
    """Return a circuit that measures some qubits, in another order, into some bits of two registers."""
    q = QuantumRegister(4, "q")
    a, b = ClassicalRegister(3, "a"), ClassicalRegister(2, "b")
    circuit = QuantumCircuit(q, a, b)
    circuit.compose(efficient_su2(4, reps=1).assign_parameters(np.linspace(0.1, 2.9, 16)), q, inplace=True)
    circuit.measure(q[2], a[0])
    circuit.measure(q[0], b[1])
    circuit.measure(q[3], a[2])
    return circuit


def overwritten() -> QuantumCircuit:
    """Return a circuit that measures two qubits into the same bit, of which the last counts."""
    circuit = QuantumCircuit(2, 1)
    circuit.x(1)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    return circuit


@pytest.mark.parametrize("circuit", [scattered(), overwritten()])
def test_counts_are_those_of_aer(circuit: QuantumCircuit) -> None:
    engine = Aer(EngineConfig(method="Statevector"))
    prepared = engine.prepare(circuit)
    assert prepared.runnable(MethodGates("statevector")).drawable is not None
    ours = dict(engine.run(prepared, Pub("d", shots=50_000), seed=5, memory=False).counts[0])
    theirs = AerSimulator(seed_simulator=6).run(prepared.circuit, shots=50_000).result().get_counts()
    assert sum(ours.values()) == 50_000
    assert hellinger_fidelity(ours, theirs) > 0.9995
    assert {len(key) for key in ours} == {len(key) for key in theirs}


@pytest.mark.parametrize("kind", ["mid-circuit", "control flow", "too many bits", "nothing measured"])
def test_what_has_no_probabilities_at_its_end_is_run_shot_by_shot(kind: str) -> None:
    circuit = QuantumCircuit(MOST_BITS + 1, MOST_BITS + 1)
    circuit.h(0)
    if kind == "mid-circuit":
        circuit.measure(0, 0)
        circuit.h(0)
        circuit.measure(0, 1)
    elif kind == "control flow":
        circuit.measure(0, 0)
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.x(1)
    elif kind == "too many bits":
        circuit.measure(range(MOST_BITS + 1), range(MOST_BITS + 1))
    assert Drawable.of(circuit, analyse(circuit)) is None


def test_shots_have_the_counts_in_an_order_of_their_own() -> None:
    raw = shots_of({0x0102: 3, 0xFF00: 5}, 2, seed=1)
    assert raw.shape == (8, 2)
    found = [tuple(row) for row in raw.tolist()]
    assert (found.count((1, 2)), found.count((0xFF, 0))) == (3, 5)
    assert found != sorted(found)
    assert (shots_of({0x0102: 3, 0xFF00: 5}, 2, seed=1) == raw).all()


def test_shots_and_counts_of_one_seed_agree() -> None:
    engine = Aer(EngineConfig())
    prepared = engine.prepare(scattered())
    counts = engine.run(prepared, Pub("d", shots=500), seed=9, memory=False).counts[0]
    registers = engine.run(prepared, Pub("d", shots=500), seed=9, memory=True).registers
    a, b = (registers[name][1][0, :, 0] for name in "ab")
    shot_by_shot: dict[str, int] = {}
    for low, high in zip(a.tolist(), b.tolist(), strict=True):
        key = f"{high:02b} {low:03b}"
        shot_by_shot[key] = shot_by_shot.get(key, 0) + 1
    assert shot_by_shot == dict(counts)
