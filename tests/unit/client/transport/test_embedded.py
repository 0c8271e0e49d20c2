"""The engine inside a program's own process."""

from __future__ import annotations

from qiskit import QuantumCircuit

from qonverge.client import SamplerV2


def test_a_clifford_circuit_that_is_too_wide_for_a_statevector_runs_in_a_notebook() -> None:
    wide = QuantumCircuit(60)
    wide.h(0)
    for qubit in range(59):
        wide.cx(qubit, qubit + 1)
    wide.measure_all()
    counts = SamplerV2(seed=1).run([wide], shots=100).result()[0].data.meas.get_counts()
    assert set(counts) == {"0" * 60, "1" * 60}


def test_each_circuit_gets_the_engine_that_suits_it() -> None:
    from qonverge.client.transport.embedded import Embedded

    engine = Embedded().info().engine
    assert engine.startswith("Automatic (")
    assert "Stim" in engine
