"""BraketLocal: gates, control flow, limits."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import QFTGate, get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator

from qonverge.wire.errors import CircuitTooLarge, InvalidTask
from tests.unit.backend.engines.engines import engine, label, run, same

BRAKET, DENSE = engine("BraketLocal"), engine("BraketLocal", method="DensityMatrix")


@pytest.mark.parametrize("name", sorted(get_standard_gate_name_mapping().keys() - {"measure", "reset", "delay"}))
def test_gates_of_the_library_act_as_qiskit_says(name: str) -> None:
    kind = get_standard_gate_name_mapping()[name]
    gate = kind.base_class(*[0.3 + 0.4 * place for place in range(len(kind.params))])
    circuit = QuantumCircuit(5)
    for qubit in range(5):
        circuit.u(0.3 + qubit, 0.2 * qubit, 0.7, qubit)
    circuit.append(gate, [4, 1, 3, 0, 2][: gate.num_qubits])
    states = run(BRAKET, circuit, statevector=True).statevectors
    assert states is not None
    assert Statevector(states[0]).equiv(Statevector(circuit), atol=1e-8)


def test_wide_gates_stand_for_their_definitions() -> None:
    circuit = QuantumCircuit(6)
    circuit.ry(0.4, range(6))
    circuit.mcx([0, 1, 2, 4], 5)
    circuit.append(QFTGate(5), [0, 2, 1, 3, 5])
    circuit.mcp(0.7, [0, 1, 2, 3, 4], 5)
    states = run(BRAKET, circuit, statevector=True).statevectors
    assert states is not None
    assert Statevector(states[0]).equiv(Statevector(circuit), atol=1e-8)


def until_zero(circuit: QuantumCircuit) -> None:
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.h(0)
        circuit.measure(0, 0)
        circuit.x(2)


def breaking(circuit: QuantumCircuit) -> None:
    with circuit.for_loop(range(5)) as step:
        circuit.ry(0.2 * step, 1)
        circuit.measure(1, 1)
        with circuit.if_test((circuit.clbits[1], 1)):
            circuit.x(2)
            circuit.break_loop()
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.continue_loop()
        circuit.rx(0.4, 2)


def switching(circuit: QuantumCircuit) -> None:
    circuit.measure(1, 1)
    with circuit.switch(circuit.cregs[0]) as case:
        with case(0):
            circuit.x(2)
        with case(1, 2):
            circuit.h(2)
        with case(case.DEFAULT):
            circuit.ry(0.5, 2)


def nested(circuit: QuantumCircuit) -> None:
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.reset(1)
        with circuit.for_loop([1, 2]):
            circuit.rx(0.5, 1)
            circuit.measure(1, 1)
            with circuit.if_test((circuit.cregs[0], 3)):
                circuit.h(2)
    with otherwise:
        circuit.x(1)


@pytest.mark.parametrize("add", [until_zero, breaking, switching, nested])
@pytest.mark.parametrize("engine_of", [lambda: BRAKET, lambda: DENSE])
def test_control_flow_gives_the_counts_of_aer(
    add: Callable[[QuantumCircuit], None], engine_of: Callable[[], object]
) -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "a"), ClassicalRegister(3, "b"))
    circuit.ry(1.0, 0)
    circuit.ry(1.3, 1)
    circuit.cx(0, 2)
    circuit.measure(0, 0)
    add(circuit)
    circuit.measure(range(3), circuit.cregs[1])
    own = run(engine_of(), circuit, shots=4000).counts[0]  # type: ignore[arg-type]
    assert same(own, AerSimulator(seed_simulator=3).run(circuit, shots=4000).result().get_counts())


def test_methods_and_reasons() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(1.1, 0)
    circuit.cx(0, 1)
    observables = (label("ZZ"), label("ZI"))
    pure = run(BRAKET, circuit, observables=observables)
    assert (pure.method, pure.reason) == ("statevector", "2 qubits without noise")
    circuit.reset(0)
    mixed = run(BRAKET, circuit, observables=observables)
    assert (mixed.method, mixed.reason) == ("density_matrix", "a reset leaves a mixed state")
    assert mixed.expectation_values == pytest.approx(np.array([[math.cos(1.1), math.cos(1.1)]]))
    with pytest.raises(InvalidTask, match="a density matrix has no amplitudes"):
        run(DENSE, QuantumCircuit(1), statevector=True)
    with pytest.raises(
        LookupError, match="BraketLocal has the methods Automatic, Statevector and DensityMatrix: choose"
    ):
        engine("BraketLocal", method="Stabilizer")


@pytest.mark.parametrize(("method", "qubits", "needs"), [("Statevector", 26, "3 GiB"), ("DensityMatrix", 13, "4 GiB")])
def test_what_does_not_fit_is_refused_with_the_figures(method: str, qubits: int, needs: str) -> None:
    small = engine("BraketLocal", method=method, memory_bytes=2 * 1024**3)
    circuit = QuantumCircuit(qubits, 1)
    circuit.measure(0, 0)
    with pytest.raises(CircuitTooLarge, match=f"{qubits} qubits needs {needs} and one circuit has 1.56 GiB here"):
        run(small, circuit)


def test_states_that_wait_are_bounded() -> None:
    # Three states of 19 qubits are at work, and there is room for some more, each of 8 MiB.
    small = engine("BraketLocal", memory_bytes=(320 + 128 + 64) * 1024**2)
    circuit = QuantumCircuit(19, 19)
    for qubit in range(19):
        circuit.h(qubit)
        circuit.measure(qubit, qubit)
        circuit.h(qubit)
    circuit.measure(0, 0)
    with pytest.raises(CircuitTooLarge, match=r"measures so often before its end that \d+ states of 8 MiB each wait"):
        run(small, circuit, shots=1000)


def test_it_loads_where_nothing_but_the_temporary_folder_can_be_written(tmp_path: Path) -> None:
    code = (
        "import os; os.access = lambda *a: False\n"
        "from qonverge.backend.config import EngineConfig\n"
        "from qonverge.backend.engines.braket import BraketLocal\n"
        "BraketLocal(EngineConfig()); print(os.environ['NUMBA_CACHE_DIR'])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    folder = Path(shown.stdout.strip())
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
