"""Programs for IQM against what numpy makes of them, and measurements as bits."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector
from qonverge_iqm.translator import IqmTranslator

from qonverge.backend.clouds.plan import Opened
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.config import EngineConfig
from qonverge.devices import Calibration, Layout
from qonverge.devices.calibration import Gate, Qubit
from qonverge.wire.errors import InvalidCircuit

COUPLED = ((0, 1), (1, 2), (2, 3), (3, 4), (1, 4))
DEVICE = Calibration(
    "ring",
    (Qubit(),) * 5,
    tuple(
        [Gate(name, (q,), 0.001 * (name == "rx"), 0.0) for q in range(5) for name in ("rx", "rz")]
        + [Gate("cz", pair, 0.01, 0.0) for edge in COUPLED for pair in permutations(edge)]
    ),
)


def translator(noise: Calibration | None = DEVICE) -> IqmTranslator:
    return IqmTranslator(EngineConfig(provider="IQM", options={"quantumComputer": "ring"}, noise=noise))


def distribution(program: str, bits: int) -> Any:
    """Return the probability of each value of the classical bits, by the formulas of IQM's documentation."""
    (circuit,) = json.loads(program)["circuits"]
    state, reads = np.zeros((2,) * 5, dtype=complex), dict[int, int]()
    state[(0,) * 5] = 1
    for own in circuit["instructions"]:
        axes = [int(name.removeprefix("QB")) - 1 for name in own["locus"]]
        assert not set(axes) & set(reads.values()) or own["name"] in ("barrier", "delay"), "it is measured already"
        if own["name"] == "prx":
            angle, phase = own["args"]["angle"], own["args"]["phase"]
            axis = np.array([[0, np.exp(-1j * phase)], [np.exp(1j * phase), 0]])
            gate = np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * axis
            state = np.moveaxis(np.tensordot(gate, state, (1, axes[0])), 0, axes[0])
        elif own["name"] == "cz":
            assert tuple(sorted(axes)) in COUPLED
            sign = np.ones(state.shape)
            sign[tuple(1 if axis in axes else slice(None) for axis in range(5))] = -1
            state = state * sign
        elif own["name"] == "measure":
            reads[int(own["args"]["key"].removeprefix("m"))] = axes[0]
    found = np.zeros(2**bits)
    for outcome in np.ndindex(*state.shape):
        found[sum(outcome[axis] << bit for bit, axis in reads.items())] += abs(state[outcome]) ** 2
    return found


def wanted(circuit: QuantumCircuit) -> Any:
    """Return the same of a circuit that measures at its end, by Qiskit."""
    reads = {circuit.find_bit(i.clbits[0]).index: circuit.find_bit(i.qubits[0]).index for i in circuit if i.clbits}
    gates = circuit.remove_final_measurements(inplace=False)
    found = np.zeros(2**circuit.num_clbits)
    for value, chance in enumerate(Statevector(gates).probabilities()):
        found[sum((value >> qubit & 1) << bit for bit, qubit in reads.items())] += chance
    return found


def encoded(circuit: QuantumCircuit, layout: Layout | None = None, **values: float) -> Submission:
    own = translator()
    prepared = own.prepare(Opened.of(circuit).circuit, layout)
    return own.encode(prepared.assign_parameters(values) if values else prepared, 10)


@pytest.mark.parametrize("seed", range(12))
def test_programs_do_what_the_circuits_say(seed: int) -> None:
    generator = np.random.default_rng(seed)
    circuit = random_circuit(4, 5, max_operands=3, seed=seed)
    circuit.add_register(ClassicalRegister(2, "low"), ClassicalRegister(3, "high"))
    measured = generator.permutation(4)[: 2 + seed % 3]
    bits = generator.permutation(5)[: len(measured)]
    circuit.barrier()
    circuit.measure(measured.tolist(), bits.tolist())
    assert distribution(encoded(circuit).program, 5) == pytest.approx(wanted(circuit), abs=1e-9)


def test_one_rotation_is_one_pulse_and_frames_take_none() -> None:
    circuit = QuantumCircuit(2, 2)
    for angle in (0.3, 1.1):
        circuit.u(angle, 0.4, -0.9, 0)
        circuit.rz(0.7, 1)
        circuit.cz(0, 1)
    circuit.sx(1)
    circuit.measure([0, 1], [1, 0])
    found = encoded(circuit)
    names = [own["name"] for own in json.loads(found.program)["circuits"][0]["instructions"]]
    assert sorted(names) == ["cz", "cz", "measure", "measure", "prx", "prx", "prx"]
    assert distribution(found.program, 2) == pytest.approx(wanted(circuit), abs=1e-9)


def test_parameters_layouts_and_delays() -> None:
    turn = Parameter("turn")
    circuit = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(3, "c"))
    circuit.ry(turn, 0)
    circuit.cx(0, 1)
    circuit.rz(2 * turn, 1)
    circuit.h(1)
    circuit.delay(100, 1, unit="ns")
    circuit.cx(1, 2)
    circuit.measure([0, 1, 2], [2, 0, 1])
    whole = translator().prepare(Opened.of(circuit).circuit, Layout((3, 4, 1)))
    for value in (0.4, 2.9):
        program = translator().encode(whole.assign_parameters({"turn": value}), 10).program
        bare = circuit.assign_parameters({"turn": value})
        bare.data = [own for own in bare.data if own.name != "delay"]
        assert distribution(program, 3) == pytest.approx(wanted(bare), abs=1e-9)
        instructions = json.loads(program)["circuits"][0]["instructions"]
        assert {name for own in instructions for name in own["locus"]} == {"QB4", "QB5", "QB2"}
        assert [own for own in instructions if own["name"] == "delay"] == [
            {"name": "delay", "implementation": None, "locus": ["QB5"], "args": {"duration": pytest.approx(1e-7)}}
        ]
    # Every process makes the same program of the same circuit.
    assert encoded(circuit, turn=0.4) == encoded(circuit, turn=0.4)


def test_measurements_become_bits_in_the_order_of_shots() -> None:
    own, asked = translator(), Submission("", 3, {"bits": [4, 0]})
    answer = [{"m0": [[1], [0], [1]], "m4": [[0], [1], [1]]}]
    found = own.decode(asked, json.dumps(answer))
    assert (found.values, found.times) == ([0b00001, 0b10000, 0b10001], None)
    bad: list[Any] = [
        {"m0": [[1], [0], [1]], "m4": [[0], [1]]},
        {"m0": [[1], [0], [1]]},
        {"m0": [[1], [0], [1]], "m4": [[0], [2], [1]]},
        {"m0": [[1, 1], [0, 0], [1, 1]], "m4": [[0], [1], [1]]},
    ]
    for each in bad:
        with pytest.raises(ValueError, match="measurement"):
            own.decode(asked, json.dumps([each]))
    with pytest.raises(ValueError, match="one circuit"):
        own.decode(asked, json.dumps(answer * 2))


def test_what_no_program_can_say_is_refused() -> None:
    bare = QuantumCircuit(1, 1)
    with pytest.raises(InvalidCircuit, match="IQM has not told of the gates of ring yet"):
        translator(None).prepare(bare)
    with pytest.raises(InvalidCircuit, match="measures nothing"):
        encoded(bare)
    wide = QuantumCircuit(6, 6)
    wide.h(range(6))
    wide.measure(range(6), range(6))
    with pytest.raises(InvalidCircuit, match="the circuit has 6 qubits and ring has 5"):
        encoded(wide)
    reset = QuantumCircuit(1, 1)
    reset.h(0)
    reset.reset(0)
    reset.measure(0, 0)
    with pytest.raises(InvalidCircuit, match="ring has no reset"):
        encoded(reset)
