"""Stim: width, gates, conditions, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import stim
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr
from qiskit.circuit.library import PauliGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import Clifford, Operator, random_clifford

from qonverge.backend.engines.stim_circuit import Translator
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit, InvalidTask
from tests.unit.backend.engines.engines import CLIFFORD, CLIFFORD_2, engine, label, run

STIM = engine("Stim")


def ghz(qubits: int, *, measured: bool) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits if measured else 0)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    if measured:
        circuit.measure(range(qubits), range(qubits))
    return circuit


def test_five_thousand_qubits_run() -> None:
    n = 5000
    answer = run(STIM, ghz(n, measured=True), shots=1000)
    assert (set(answer.counts[0]), answer.method) == ({"0" * n, "1" * n}, "stabilizer")
    assert sum(answer.counts[0].values()) == 1000
    _, raw = run(STIM, ghz(n, measured=True), shots=300, memory=True).registers["c"]
    assert raw.shape == (1, 300, n // 8)
    assert set(np.unique(raw)) == {0, 255}
    assert (raw == raw[..., :1]).all()
    observables = (label("X" * n), label("Z" * n), label("Z" + "I" * (n - 1)), label("I" * n))
    assert run(STIM, ghz(n, measured=False), observables=observables).expectation_values == pytest.approx(
        np.array([[1, 1, 0, 1]])
    )
    sampled = run(STIM, ghz(n, measured=False), observables=observables, shots=400)
    assert sampled.expectation_values is not None
    assert np.abs(sampled.expectation_values - [[1, 1, 0, 1]]).max() < 0.3


def test_shots_of_several_pieces_are_all_there() -> None:
    # 16 MiB of bits are sampled at a time: 20,000 shots of 20,000 measurements are three pieces.
    circuit = QuantumCircuit(QuantumRegister(400), ClassicalRegister(3))
    circuit.h([0, 1])
    for _ in range(50):
        circuit.measure(range(397), [0] * 397)
    circuit.measure([0, 1, 2], [0, 1, 2])
    counts = run(STIM, circuit, shots=20_000).counts[0]
    assert set(counts) == {"000", "001", "010", "011"}
    assert sum(counts.values()) == 20_000
    assert max(counts.values()) < 5500


def test_every_gate_of_the_library_is_itself_or_refused() -> None:
    translator, found = Translator(), set()
    for name, kind in get_standard_gate_name_mapping().items():
        if name in ("measure", "reset", "delay", "global_phase"):
            continue
        for angle in (0.0, math.pi / 2, math.pi, 0.3):
            gate = kind.base_class(*[angle] * len(kind.params))
            try:
                moves = translator.moves(gate)
            except InvalidCircuit as error:
                assert f"{name}" in error.message
                continue
            circuit = QuantumCircuit(gate.num_qubits)
            for own, places in moves:
                matrix = stim.Tableau.from_named_gate(own).to_unitary_matrix(endian="little")
                circuit.unitary(UnitaryGate(matrix, check_input=False), list(places))
            assert Operator(circuit).equiv(Operator(gate), atol=1e-5), name
            found.add(name)
    assert {*CLIFFORD, *CLIFFORD_2, "id", "rz", "rx", "rzz"} < found
    assert not {"t", "ccx", "ch", "csx"} & found


@pytest.mark.parametrize("seed", range(5))
def test_gates_on_many_qubits_stand_for_their_definitions(seed: int) -> None:
    circuit = QuantumCircuit(4)
    operator = random_clifford(4, seed=seed)
    circuit.append(operator.to_instruction(), range(4))
    circuit.append(PauliGate("XZYI"), [3, 1, 0, 2])
    true = Clifford(circuit)
    labels = [text[1:] for text in true.to_labels(mode="S")]
    signs = [-1.0 if text[0] == "-" else 1.0 for text in true.to_labels(mode="S")]
    answer = run(STIM, circuit, observables=tuple(map(label, labels)))
    assert answer.expectation_values == pytest.approx(np.array([signs]))


@pytest.mark.parametrize("away", [1e-3, 1e-6, 1e-8])
def test_gates_near_a_clifford_gate_are_refused(away: float) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rz(math.pi / 2 + away, 0)
    circuit.measure(0, 0)
    with pytest.raises(InvalidCircuit, match=r"rz\(1\.5.*engine Aer or Automatic"):
        run(STIM, circuit)


def test_parameters_that_give_clifford_gates() -> None:
    angle = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    sets = {"t": np.array([0, math.pi, 3 * math.pi])}
    assert run(STIM, circuit, parameters=sets, shots=10).counts == ({"0": 10}, {"1": 10}, {"1": 10})
    with pytest.raises(InvalidCircuit, match=r"rx\(0\.25\)"):
        run(STIM, circuit, parameters={"t": np.array([0.25])})


def test_teleportation_by_single_bits_parities_and_expressions() -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.s(0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test(expr.bit_xor(expr.lift(circuit.clbits[1]), expr.lift(circuit.clbits[2]))):
        circuit.x(2)
    with circuit.if_test(expr.logic_not(circuit.clbits[0])) as otherwise:
        circuit.id(2)
    with otherwise:
        circuit.z(2)
    circuit.sdg(2)
    circuit.h(2)
    circuit.measure(2, 2)
    assert {outcome[0] for outcome in run(STIM, circuit, shots=400).counts[0]} == {"0"}


def test_loops_of_fixed_length_are_unrolled() -> None:
    circuit = QuantumCircuit(4, 4)
    with circuit.for_loop(range(3)):
        circuit.x(0)
        circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    # x three times; cx after each: 1, 0, 1 more.
    assert run(STIM, circuit, shots=5).counts == ({"0001": 5},)
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(10**8)):
        circuit.x(0)
    circuit.measure(0, 0)
    with pytest.raises(CircuitTooLarge, match="loops make more than 1000000 operations"):
        run(STIM, circuit)


def while_loop(circuit: QuantumCircuit) -> None:
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.x(0)
        circuit.measure(0, 0)


def product(circuit: QuantumCircuit) -> None:
    with circuit.if_test((circuit.cregs[0], 3)):
        circuit.x(0)


def turned(circuit: QuantumCircuit) -> None:
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.h(0)


def inside(circuit: QuantumCircuit) -> None:
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.measure(0, 0)


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (while_loop, "and no while_loop"),
        (product, "exclusive or of measured bits"),
        (turned, "Pauli gates only under a condition, and h is none"),
        (inside, "Pauli gates only under a condition, and measure is none"),
        (
            lambda circuit: circuit.t(0),
            "and t is none or not known as one: use a backend with the engine Aer or Automatic",
        ),
        (lambda circuit: circuit.ccx(0, 1, 2), "and ccx is none"),
        (lambda circuit: circuit.mcx([0, 1, 2], 3), "and mcx is none"),
        (lambda circuit: circuit.initialize([0.6, 0.8], 0), "is none"),
    ],
)
def test_what_stim_cannot_run_is_refused_with_its_name(add: object, message: str) -> None:
    circuit = QuantumCircuit(4, 2)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    add(circuit)  # type: ignore[operator]
    with pytest.raises(InvalidCircuit, match=message):
        run(STIM, circuit)


def test_states_and_too_much_are_refused() -> None:
    with pytest.raises(InvalidTask, match="keeps no amplitudes"):
        run(STIM, ghz(2, measured=False), statevector=True)
    small = engine("Stim", memory_bytes=512 * 1024**2)
    with pytest.raises(CircuitTooLarge, match="40000 qubits needs 763 MiB and one circuit has 192 MiB here"):
        circuit = QuantumCircuit(40_000, 1)
        circuit.measure(0, 0)
        run(small, circuit)
    with pytest.raises(CircuitTooLarge, match="shots of 5000 qubits need"):
        run(small, ghz(5000, measured=False), observables=(label("X" * 5000),), shots=1_000_000)
    with pytest.raises(LookupError, match="the engine Stim has the methods Automatic and Stabilizer: choose one"):
        engine("Stim", method="Statevector")


def test_bits_that_nothing_measures_are_zero() -> None:
    circuit = QuantumCircuit(2, 11)
    circuit.x(1)
    circuit.measure(1, 9)
    assert run(STIM, circuit, shots=3).counts == ({"01" + "0" * 9: 3},)
    empty = QuantumCircuit(1, 3)
    assert run(STIM, empty, shots=4, memory=True).registers["c"][1].tolist() == [[[0]] * 4]
