"""Dense on circuits whose values are known, and beside Aer."""

from __future__ import annotations

from math import cos

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.protocol import load
from qonverge.providers.installed import find, installed
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit
from qonverge.wire.messages import Pub, PubResult


def run(circuit: QuantumCircuit, engine: str = "Dense", *, memory: bool = False, **more: object) -> PubResult:
    options = more.pop("options", None)
    provider = load(EngineConfig(provider=engine, options=options))  # type: ignore[arg-type]
    return provider.run(provider.prepare(circuit), Pub("c", **more), seed=5, memory=memory)  # type: ignore[arg-type]


def test_it_is_found_by_its_entry_point() -> None:
    assert "Dense" in installed()
    assert find("Dense").problem(method="DensityMatrix") == (
        "the method is DensityMatrix, and the engine Dense has the methods Automatic and Statevector: choose one, or "
        "another engine"
    )
    assert (
        find("Dense").problem(options={"ignoreBelow": 2})
        == "simulator.options.ignoreBelow: Input should be less than 1"
    )
    assert find("Dense").problem(options={"ignore": 2}) == (
        "simulator.options.ignore: the engine Dense has no such option; it has ignoreBelow"
    )
    with pytest.raises(LookupError, match="imitates no devices"):
        from qonverge.devices import Rates

        load(EngineConfig(provider="Dense", noise=Rates(one_qubit=0.01)))


def test_counts_by_registers() -> None:
    q, a, b = QuantumRegister(3), ClassicalRegister(2, "a"), ClassicalRegister(1, "b")
    circuit = QuantumCircuit(q, a, b)
    circuit.x(2)
    circuit.measure([2, 0, 1], [a[1], a[0], b[0]])
    assert run(circuit, shots=10).counts == ({"0 10": 10},)
    kept = run(circuit, shots=10, memory=True).registers
    assert kept["a"][1].tolist() == [[[2]] * 10]
    assert kept["b"][1].tolist() == [[[0]] * 10]


def test_values_of_parameter_sets() -> None:
    angle = Parameter("angle")
    circuit = QuantumCircuit(2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    angles = np.array([0.3, 1.2])
    observables = ((("ZI", 1.0), ("XX", 0.5)), (("ZZ", 1.0),))
    exact = run(circuit, parameters={"angle": angles}, observables=observables)
    expected = [[cos(v) + 0.5 * np.sin(v), 1.0] for v in angles]
    assert exact.expectation_values == pytest.approx(np.array(expected))
    rough = run(circuit, parameters={"angle": angles}, observables=observables, shots=20_000)
    assert rough.expectation_values is not None
    assert rough.standard_errors is not None
    assert (abs(rough.expectation_values - expected) < 5 * rough.standard_errors + 1e-12).all()


def test_states_are_those_of_aer() -> None:
    circuit = QuantumCircuit(3, global_phase=0.4)
    circuit.h(0)
    circuit.cp(0.7, 0, 2)
    circuit.ryy(0.2, 1, 2)
    ours, aers = (run(circuit, engine, statevector=True).statevectors for engine in ("Dense", "Aer"))
    assert ours == pytest.approx(aers)


def test_its_option() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.ry(0.2, 0)
    circuit.measure(0, 0)
    assert len(run(circuit, shots=100_000).counts[0]) == 2
    assert run(circuit, shots=100_000, options={"ignoreBelow": 0.1}).counts == ({"0": 100_000},)


def test_what_it_cannot_run_is_refused() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.h(0)
    with pytest.raises(InvalidCircuit, match="measures at the end of a circuit only"):
        run(circuit, shots=1)
    wide = QuantumCircuit(40)
    wide.h(range(40))
    with pytest.raises(CircuitTooLarge, match="statevector of 40 qubits"):
        run(wide, observables=((("Z" * 40, 1.0),),))
