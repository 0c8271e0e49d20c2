"""Circuits with a layout as verbatim boxes, by Braket's own interpreter, against the circuits' own states."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
from braket.default_simulator import StateVectorSimulator
from braket.ir.openqasm import Program
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import CZGate, RGate, RXGate, RZGate, RZZGate, iSwapGate
from qiskit.quantum_info import SparsePauliOp, Statevector

from qonverge.backend.clouds.braket.translator import BraketTranslator
from qonverge.backend.clouds.measurement import reduced
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.config import EngineConfig
from qonverge.circuits.checker.checked_circuit import check
from qonverge.devices import Layout
from qonverge.devices.braket import from_capabilities
from qonverge.wire.errors import InvalidCircuit
from qonverge.wire.messages import Pub, Task
from tests.unit.backend.clouds import braket_documents as documents
from tests.unit.backend.clouds.circuits import true_probabilities
from tests.unit.backend.clouds.test_braket_translator import DEVICES, counts, translator
from tests.unit.backend.clouds.test_exact_values import translation
from tests.unit.backend.clouds.test_plan import task_of

LAYOUT = Layout((7, 3, 12))
NATIVE: dict[str, Any] = {
    "iqm": [RGate, lambda a, b: CZGate()],
    "ionq": [lambda a, b: RGate(np.pi, b), lambda a, b: RGate(np.pi / 2, b), lambda a, b: RZZGate(a)],
    "rigetti": [lambda a, b: RXGate(a), lambda a, b: RZGate(b), lambda a, b: iSwapGate()],
}
ALLOWED = {
    "iqm": {"prx", "cz"},
    "ionq": {"gpi", "gpi2", "zz"},
    "rigetti": {"rx", "rz", "iswap"},
}


def native_circuit(rng: np.random.Generator, family: str) -> QuantumCircuit:
    """Return a circuit on three qubits, each of which has a gate."""
    circuit = QuantumCircuit(3, 3)
    for qubit in range(3):
        circuit.append(NATIVE[family][-2 if family == "ionq" else 0](*rng.uniform(-3, 3, 2)), [qubit])
    for _ in range(9):
        gate = NATIVE[family][rng.integers(len(NATIVE[family]))](*rng.uniform(-3, 3, 2))
        circuit.append(gate, rng.permutation(3)[: gate.num_qubits].tolist())
    return circuit


def answer(submission: Submission) -> str:
    """Return the exact probabilities of the qubits that are measured, by the device's numbers."""
    lines = [line for line in submission.program.splitlines() if "measure" not in line]
    source = "\n".join([*lines, "#pragma braket result probability all"])
    program = Program(source=source, inputs=dict(submission.inputs))
    values = StateVectorSimulator().run(program, shots=0).resultTypes[0].value
    numbers = sorted({int(word.strip("$,;")) for line in lines for word in line.split() if word.startswith("$")})
    width = len(numbers)
    chances = {format(index, f"0{width}b"): float(value) for index, value in enumerate(values)}
    return json.dumps({"measuredQubits": numbers, "measurementProbabilities": chances})


def gates(submission: Submission) -> list[str]:
    inside = submission.program.split("box {\n")[1].split("}\n")[0]
    return [line.strip() for line in inside.splitlines()]


@pytest.mark.parametrize("family", NATIVE)
def test_native_gates_run_as_they_are_where_the_layout_says(family: str) -> None:
    rng, own, shots = np.random.default_rng(4), translator(family), 10**9
    for _ in range(5):
        circuit = native_circuit(rng, family)
        order = rng.permutation(3).tolist()
        circuit.measure([0, 1, 2], order)
        sent = own.encode(own.prepare(circuit, LAYOUT), shots)
        assert "#pragma braket verbatim\nbox {" in sent.program
        assert "qubit[" not in sent.program
        written = gates(sent)
        assert len(written) == len(circuit.data) - 3
        for line, item in zip(written, circuit.data, strict=False):
            places = [f"${LAYOUT.qubits[circuit.find_bit(qubit).index]}" for qubit in item.qubits]
            assert line.endswith(f" {', '.join(places)};")
            assert line.split("(")[0].split(" ")[0] in ALLOWED[family]
        found, true = counts(own.decode(sent, answer(sent))), true_probabilities(circuit)
        for outcome in found.keys() | true.keys():
            assert found.get(outcome, 0) / shots == pytest.approx(true.get(outcome, 0), abs=1e-7)


@pytest.mark.parametrize("family", NATIVE)
def test_bases_of_observables_are_turned_by_native_gates(family: str) -> None:
    circuit = native_circuit(np.random.default_rng(6), family)
    labels = ["ZZZ", "XIY", "YXI", "IYX", "XXX"]
    observables = tuple(((label, 1.0),) for label in labels)
    task, made = task_of(circuit, observables=observables, shots=500_000, layout=LAYOUT), translation(family)
    found = made.plan(task, None)
    sent = [made.encode(*reduced(task, [each])) for each in found]
    assert {line.split("(")[0].split(" ")[0] for each in sent for line in gates(each)} <= ALLOWED[family]
    answers = [zlib.compress(answer(each).encode()) for each in sent]
    (result,) = made.assemble(task, found, [each.reading for each in sent], answers, 0)
    state = Statevector(circuit)
    true = [state.expectation_value(SparsePauliOp(label)).real for label in labels]
    assert result.expectation_values == pytest.approx(np.array([true]), abs=1e-4)


def test_a_sweep_keeps_its_inputs() -> None:
    a = Parameter("a")
    circuit = QuantumCircuit(1, 1)
    circuit.append(RGate(2 * a, 0.5), [0])
    circuit.measure(0, 0)
    task, made = task_of(circuit, parameters={"a": np.array([0.1, 0.4])}, layout=Layout((5,))), translation("iqm")
    first, second = [made.encode(*reduced(task, [each])) for each in made.plan(task, None)]
    assert gates(first) == ["prx(p0, 0.5) $5;"]
    assert (first.inputs, second.inputs) == ({"p0": 0.2}, {"p0": 0.8})


def test_a_persons_box_reaches_the_device_as_it_was_written() -> None:
    text = """OPENQASM 3.0; bit[2] b;
#pragma braket verbatim
box { prx(0.3, 0.2) $3; cz $3, $7; prx(0.1, 1.5) $7; }
b[0] = measure $7; b[1] = measure $3;"""
    done = check(text, {}, ())
    assert not done.warnings
    made = translation("iqm")
    task = Task("t", (Pub(done.digest, shots=10, layout=done.layout),), {done.digest: done.qpy})
    (found,) = made.plan(task, None)
    sent = made.encode(*reduced(task, [found]))
    assert gates(sent) == ["prx(0.3, 0.2) $3;", "cz $3, $7;", "prx(0.1, 1.5) $7;"]
    assert sorted(sent.reading["bits"]) == [[0, 7], [1, 3]]


def refused(circuit: QuantumCircuit, layout: Layout, family: str, **config: Any) -> str:
    options = {"device": DEVICES[family], "bucket": "results"}
    own = BraketTranslator(EngineConfig(provider="Braket", options=options, **config))
    with pytest.raises(InvalidCircuit) as info:
        own.prepare(circuit, layout)
    return info.value.message


def test_what_is_refused() -> None:
    plain = QuantumCircuit(2, 2)
    plain.h(0)
    plain.cx(0, 1)
    plain.measure([0, 1], [0, 1])
    for family in NATIVE:
        assert "which has no native gate h: use" in refused(plain, Layout((1, 2)), family)
    for family in ("amazon", "unknown"):
        assert "runs none on its own qubits" in refused(plain, Layout((1, 2)), family)
    turned = QuantumCircuit(1, 1)
    turned.r(0.3, 0.1, 0)
    turned.measure(0, 0)
    assert "and not by 0.3" in refused(turned, Layout((1,)), "ionq")
    # The device has qubits 1 to 3, of which 1 and 3 are not coupled.
    known = from_capabilities(documents.iqm(), "Garnet")
    pair = QuantumCircuit(2, 1)
    pair.cz(0, 1)
    pair.measure(0, 0)
    assert "qubits 1 and 3 are not coupled on Garnet" in refused(pair, Layout((3, 1)), "iqm", noise=known)
    assert "qubit 0 of Garnet is out of order" in refused(pair, Layout((0, 1)), "iqm", noise=known)
