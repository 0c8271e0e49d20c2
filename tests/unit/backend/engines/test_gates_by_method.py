"""Every gate of the library on every engine and method, against Qiskit's own states and numpy, not Aer's."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import (
    C3XGate,
    C4XGate,
    DiagonalGate,
    HamiltonianGate,
    MCMTGate,
    MCPhaseGate,
    MCXGate,
    PauliEvolutionGate,
    PauliGate,
    PermutationGate,
    StatePreparation,
    UCGate,
    UCRYGate,
    UnitaryGate,
    XXMinusYYGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import SparsePauliOp, Statevector, random_clifford, random_unitary

from qonverge.backend.engines.aer_gates import MethodGates
from qonverge.backend.engines.protocol import Provider
from qonverge.devices.calibration import Calibration, Qubit
from qonverge.devices.calibration import Gate as DeviceGate
from tests.unit.backend.engines.engines import GIB, engine, run

STANDARD = {
    name: gate for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate) and gate.num_qubits
}
ANGLES = (0.7, -1.1, 0.4, 2.3)
WIDER: dict[str, Callable[[], Gate]] = {
    "c3x": C3XGate,
    "c4x": C4XGate,
    "mcx5": lambda: MCXGate(5),
    "mcx_open": lambda: MCXGate(3, ctrl_state=0b010),
    "mcphase": lambda: MCPhaseGate(0.7, 3),
    "mcmt": lambda: MCMTGate(STANDARD["z"], 2, 2),
    "c_of_cu3": lambda: STANDARD["cu3"].base_class(0.3, 0.4, 0.5).control(1),
    "c_of_rzz": lambda: STANDARD["rzz"].base_class(0.3).control(2),
    "c_of_phase": lambda: STANDARD["p"].base_class(0.9).control(2, ctrl_state=1),
    "unitary": lambda: UnitaryGate(random_unitary(8, seed=5)),
    "hamiltonian": lambda: HamiltonianGate(np.diag([0.3, 1.0, -0.2, 0.5]), 0.7),
    "diagonal": lambda: DiagonalGate(list(np.exp(1j * np.arange(8)))),
    "permutation": lambda: PermutationGate([2, 0, 3, 1]),
    "pauli": lambda: PauliGate("XYZ"),
    "evolution": lambda: PauliEvolutionGate(SparsePauliOp.from_list([("XY", 0.4), ("ZZ", 1.1)]), 0.6),
    "ucry": lambda: UCRYGate([0.1, 0.2, 0.3, 0.4]),
    "ucgate": lambda: UCGate([random_unitary(2, seed=k).data for k in range(4)]),
    "state": lambda: StatePreparation(np.array([1, 2j, 0, -1]) / np.sqrt(6)),
    "xx_minus_yy": lambda: XXMinusYYGate(0.8, 0.3),
}
METHODS = {
    "Statevector": engine("Aer", method="Statevector"),
    "DensityMatrix": engine("Aer", method="DensityMatrix"),
    "MatrixProductState": engine("Aer", method="MatrixProductState"),
    "Automatic": engine("Aer"),
    "BraketLocal": engine("BraketLocal"),
}
CLIFFORD = {"Stim": engine("Stim"), "Stabilizer": engine("Aer", method="Stabilizer")}


def around(gate: Gate) -> QuantumCircuit:
    """Return the gate between rotations that leave no basis state, so that every entry of its matrix counts."""
    circuit = QuantumCircuit(gate.num_qubits)
    for qubit in range(gate.num_qubits):
        circuit.ry(0.3 + 0.7 * qubit, qubit)
        circuit.rz(0.2 + 0.5 * qubit, qubit)
    circuit.append(gate, range(gate.num_qubits))
    for qubit in range(gate.num_qubits):
        circuit.rx(0.5 + qubit, qubit)
    return circuit


def labels(width: int) -> list[str]:
    """Return enough Pauli operators to tell two states apart, all of them up to three qubits."""
    every = ["".join(letters) for letters in itertools.product("IXYZ", repeat=min(3, width))][1:]
    return every if width <= 3 else [(text * width)[:width] for text in every]


def values(circuit: QuantumCircuit) -> np.ndarray:
    state = Statevector(circuit)
    return np.array([[state.expectation_value(SparsePauliOp(text)).real for text in labels(circuit.num_qubits)]])


def check(made: Provider, circuit: QuantumCircuit, expected: np.ndarray, **parameters: float) -> None:
    observables = tuple(((text, 1.0),) for text in labels(circuit.num_qubits))
    given = {name: np.array([value]) for name, value in parameters.items()}
    answer = run(made, circuit, observables=observables, parameters=given)
    assert answer.expectation_values == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", sorted(STANDARD))
def test_a_standard_gate(method: str, name: str) -> None:
    kind = STANDARD[name]
    angles = ANGLES[: len(kind.params)]
    expected = values(around(kind.base_class(*angles) if angles else kind))
    check(METHODS[method], around(kind.base_class(*angles) if angles else kind), expected)
    if angles:
        late = [Parameter(f"t{index}") for index in range(len(angles))]
        given = {f"t{index}": angle for index, angle in enumerate(angles)}
        check(METHODS[method], around(kind.base_class(*late)), expected, **given)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", sorted(WIDER))
def test_a_gate_of_the_library(method: str, name: str) -> None:
    circuit = around(WIDER[name]())
    check(METHODS[method], circuit, values(circuit))


@pytest.mark.parametrize("method", [*METHODS, *CLIFFORD])
@pytest.mark.parametrize("name", ["id", "sxdg", "cy", "dcx", "ecr", "iswap", "swap", "pauli", "clifford"])
def test_a_clifford_gate(method: str, name: str) -> None:
    made = (METHODS | CLIFFORD)[method]
    gate = {"pauli": PauliGate("XYZ"), "clifford": random_clifford(3, seed=3).to_instruction()}.get(name)
    gate = gate or STANDARD[name]
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.h(0)
    for qubit in range(1, gate.num_qubits):
        circuit.cx(0, qubit)
        circuit.s(qubit)
    circuit.append(gate, range(gate.num_qubits))
    circuit.sx(0)
    check(made, circuit, values(circuit))


@pytest.mark.parametrize("method", [*METHODS, *CLIFFORD])
@pytest.mark.parametrize(
    ("name", "angles"),
    [("rx", (0.5,)), ("ry", (-0.5,)), ("p", (0.5,)), ("u", (0.5, 0, 1)), ("cp", (1,)), ("rzz", (0.5,)), ("crx", (2,))],
)
def test_a_turn_by_quarters_is_clifford(method: str, name: str, angles: tuple[float, ...]) -> None:
    gate = STANDARD[name].base_class(*(np.pi * angle for angle in angles))
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.s(0)
    circuit.append(gate, range(gate.num_qubits))
    circuit.h(0)
    check((METHODS | CLIFFORD)[method], circuit, values(circuit))


@pytest.mark.parametrize("method", ["Statevector", "DensityMatrix", "MatrixProductState", "Automatic", "BraketLocal"])
@pytest.mark.parametrize("name", ["cry", "cu", "csx", "cswap", "rccx", "xx_plus_yy"])
def test_a_gate_inside_control_flow(method: str, name: str) -> None:
    kind = STANDARD[name]
    late = [Parameter(f"t{index}") for index in range(len(kind.params))]
    width = kind.num_qubits

    def circuit(*angles: float | Parameter) -> QuantumCircuit:
        made = QuantumCircuit(width, width + 1)
        made.h(range(width))
        made.x(0)
        with made.for_loop(range(2)):
            made.append(kind.base_class(*angles) if angles else kind, range(width))
        made.ry(0.4, range(width))
        made.measure(range(width), range(width))
        return made

    straight = QuantumCircuit(width)
    straight.h(range(width))
    straight.x(0)
    for _ in range(2):
        straight.append(kind.base_class(*ANGLES[: len(late)]) if late else kind, range(width))
    straight.ry(0.4, range(width))
    expected = Statevector(straight).probabilities_dict()
    given = {f"t{index}": np.array([angle]) for index, angle in zip(range(len(late)), ANGLES, strict=False)}
    counts = run(METHODS[method], circuit(*late), shots=20_000, parameters=given).counts[0]
    seen = {key[1:]: count / 20_000 for key, count in counts.items()}
    # The total variation distance of 20,000 draws among 8 outcomes is below this but once in 10^9 times.
    assert sum(abs(seen.get(key, 0) - expected.get(key, 0)) for key in seen.keys() | expected.keys()) / 2 < 0.03


def test_automatic_finds_the_gates_of_whatever_method_it_picks() -> None:
    wide = QuantumCircuit(40)
    wide.ry(0.3, 0)
    wide.cry(0.5, 0, 1)
    wide.t(2)
    answer = run(METHODS["Automatic"], wide, observables=((("I" * 38 + "ZI", 1.0),),))
    assert answer.method == "matrix_product_state"
    # q[1] turns by 0.5 where q[0] is 1, which it is with sin(0.15)^2.
    expected = np.cos(0.15) ** 2 + np.sin(0.15) ** 2 * np.cos(0.5)
    assert answer.expectation_values == pytest.approx(np.array([[expected]]), abs=1e-9)
    mixed = QuantumCircuit(3)
    mixed.ry(0.3, 0)
    mixed.cry(0.5, 0, 1)
    mixed.reset(0)
    mixed.ry(0.2, 0)
    answer = run(METHODS["Automatic"], mixed, observables=((("IZZ", 1.0),),))
    assert answer.method == "statevector", "with a fresh qubit in place of the reset"
    assert answer.expectation_values == pytest.approx(np.array([[np.cos(0.2) * expected]]), abs=1e-9)
    for _ in range(3):
        mixed.cry(0.7, 1, 0)
        mixed.reset(0)
    answer = run(METHODS["Automatic"], mixed, observables=((("IZI", 1.0),),))
    assert answer.method == "density_matrix", "with more resets than qubits"
    assert answer.expectation_values == pytest.approx(np.array([[expected]]), abs=1e-9)


def test_one_circuit_runs_on_several_methods() -> None:
    made = engine("Aer", memory_bytes=4 * GIB)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cry(0.8, 0, 1)
    prepared = made.prepare(circuit)
    gates = [MethodGates(name) for name in ("statevector", "density_matrix")]
    runnable = [prepared.runnable(own) for own in gates]
    assert [dict(own.circuit.count_ops()).get("cry", 0) for own in runnable] == [1, 0]
    assert prepared.runnable(gates[1]) is runnable[1]


@pytest.mark.parametrize("method", METHODS)
def test_an_initialisation_resets_what_was_entangled(method: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.initialize([0.6, 0.8], 0)
    answer = run(METHODS[method], circuit, observables=((("ZI", 1.0),), (("IX", 1.0),), (("ZZ", 1.0),)))
    # The other half of the pair is left in a mixture.
    assert answer.expectation_values == pytest.approx(np.array([[0.0, 0.96, 0.0]]), abs=1e-9)


# A device whose gates on two qubits Aer's methods lack or bind wrongly; what it does to them is told by its errors.
ODD = {
    name: Calibration(
        f"odd-{name}",
        (Qubit(), Qubit()),
        (
            *(DeviceGate(plain, (place,), 0.0, 0.0) for plain in ("rz", "sx", "x") for place in (0, 1)),
            DeviceGate(name, (0, 1), 0.1, 0.0),
            DeviceGate("cx", (0, 1), 0.0, 0.0),
        ),
    )
    for name in ("cry", "cu3", "iswap", "cs", "xx_plus_yy", "cp")
}


@pytest.mark.parametrize("method", ["Automatic", "DensityMatrix", "Statevector", "MatrixProductState"])
@pytest.mark.parametrize("name", ODD)
def test_a_device_keeps_the_errors_of_gates_that_a_method_lacks(method: str, name: str) -> None:
    noise, kind = ODD[name], STANDARD[name]
    made = engine("Aer", method=method, noise=noise)
    late = [Parameter(f"t{index}") for index in range(len(kind.params))]
    given = {f"t{index}": np.array([angle, 0.2]) for index, angle in enumerate(ANGLES[: len(late)])}
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.append(kind.base_class(*late) if late else kind, [0, 1])
    circuit.sx(1)
    measured = circuit.copy()
    measured.measure([0, 1], [0, 1])
    # A depolarisation of the average infidelity 0.1 on two qubits, and nothing else.
    kept = 1 - 4 / 3 * 0.1
    counts = run(made, measured, shots=4000, parameters=given).counts
    values = run(made, circuit, observables=((("IZ", 1.0),), (("ZI", 1.0),)), shots=4000, parameters=given)
    for place in range(len(counts)):
        angles = [own[place] for own in given.values()]
        state = Statevector(circuit.assign_parameters(angles) if angles else circuit)
        ideal = state.probabilities_dict()
        expected = {key: kept * ideal.get(key, 0) + (1 - kept) / 4 for key in ("00", "01", "10", "11")}
        seen = {key: count / 4000 for key, count in counts[place].items()}
        assert sum(abs(seen.get(key, 0) - value) for key, value in expected.items()) / 2 < 0.05
        assert values.expectation_values is not None
        wanted = [kept * state.expectation_value(SparsePauliOp(text)).real for text in ("IZ", "ZI")]
        assert values.expectation_values[place] == pytest.approx(wanted, abs=0.11)
