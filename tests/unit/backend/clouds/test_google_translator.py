"""Programs are read and run by cirq-google, and outcomes compared with the circuit's exact ones."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from dataclasses import replace
from typing import Any

import cirq
import cirq_google
import numpy as np
import pytest
from cirq_google.api import v2
from cirq_google.engine import virtual_engine_factory
from google.protobuf import any_pb2, json_format
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator

from qonverge.backend.clouds.google.program import KEY, written
from qonverge.backend.clouds.google.translator import GoogleTranslator
from qonverge.backend.clouds.measurement import Measurement
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translation import Translation
from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from qonverge.wire.messages import Pub, Task
from tests.unit.backend.clouds.circuits import random_circuit, true_probabilities
from tests.unit.backend.clouds.google_documents import calibration


def translator(processor: str) -> GoogleTranslator:
    options = {"project": "p", "processor": processor}
    return GoogleTranslator(EngineConfig(provider="Google", options=options, noise=calibration(processor)))


def read(program: str) -> cirq.Circuit:
    packed = json_format.ParseDict(json.loads(program), any_pb2.Any())
    message = v2.program_pb2.Program()
    assert packed.Unpack(message)
    circuit = cirq_google.CIRCUIT_SERIALIZER.deserialize(message)
    assert isinstance(circuit, cirq.Circuit)
    return circuit


def answer(circuit: cirq.Circuit, shots: Any) -> str:
    """Return a result with these shots of the measured qubits, in the order of the measurement."""
    records = np.asarray(shots, dtype=np.uint8)[:, np.newaxis, :]
    result = cirq.ResultDict(params=cirq.ParamResolver({}), records={KEY: records})
    message = v2.results_to_proto([[result]], v2.find_measurements(circuit))
    packed = any_pb2.Any()
    packed.Pack(message)
    return json.dumps({"parent": "projects/p", "result": json_format.MessageToDict(packed)})


def probabilities(made: GoogleTranslator, submission: Submission) -> dict[int, float]:
    """Return the probability of each value, of what cirq computes of the program and the translator reads of it."""
    circuit = read(submission.program)
    qubits = v2.find_measurements(circuit)[0].qubits
    bare = circuit[:-1]
    everything = sorted({*bare.all_qubits(), *qubits})
    state = cirq.Simulator(dtype=np.complex128).simulate(bare, qubit_order=everything).final_state_vector
    shots = np.array(list(np.ndindex((2,) * len(everything))))
    columns = [everything.index(qubit) for qubit in qubits]
    told = made.decode(Submission("", len(shots), submission.reading), answer(circuit, shots[:, columns]))
    assert told.times is None
    found: dict[int, float] = defaultdict(float)
    for value, weight in zip(told.values, np.abs(state) ** 2, strict=True):
        found[value] += float(weight)
    return found


@pytest.mark.parametrize("processor", ["willow_pink", "weber"])
def test_random_circuits_give_what_they_say(processor: str) -> None:
    made = translator(processor)
    device = virtual_engine_factory.create_device_from_processor_id(processor)
    rng = np.random.default_rng(5)
    for qubits in (2, 3, 4, 4):
        circuit = random_circuit(rng, qubits, 8)
        while circuit.count_ops().get("measure", 0) > len({item.clbits[0] for item in circuit.data if item.clbits}):
            circuit = random_circuit(rng, qubits, 8)
        prepared = made.prepare(circuit)
        submission = made.encode(prepared, 1)
        program = read(submission.program)
        device.validate_circuit(program)
        assert all(len(op.qubits) == 1 or cirq.is_measurement(op) for op in program[-1])
        true, found = true_probabilities(circuit), probabilities(made, submission)
        assert {key: found.get(key, 0.0) for key in true} == pytest.approx(true, abs=1e-6)


@pytest.mark.parametrize("native", ["cz", "sqrt_iswap"])
def test_gates_are_one_by_one_what_qiskit_says(native: str) -> None:
    rng = np.random.default_rng(2)
    labels = ["4_5", "4_6"]
    for name, count in (("rx", 1), ("rz", 1), ("cz", 0)):
        for _ in range(3):
            circuit = QuantumCircuit(2, 2)
            # What stands around it keeps phases visible.
            for qubit in range(2):
                circuit.rx(float(rng.uniform(-7, 7)), qubit)
                circuit.rz(float(rng.uniform(-7, 7)), qubit)
            getattr(circuit, name)(*rng.uniform(-7, 7, count).tolist(), *([0, 1] if name == "cz" else [1]))
            whole = circuit.copy()
            whole.measure([0, 1], [0, 1])
            text, _ = written(whole, labels, native)
            # Cirq's first qubit is the most significant one.
            order = [cirq.GridQubit(4, 6), cirq.GridQubit(4, 5)]
            bare = read(text)[:-1]
            got = bare.unitary(qubit_order=order, qubits_that_should_be_present=order)
            cirq.testing.assert_allclose_up_to_global_phase(got, Operator(circuit).data, atol=1e-6)


def test_a_run_of_gates_on_one_qubit_is_one_pulse_and_frames_take_none() -> None:
    circuit = QuantumCircuit(2, 2)
    for _ in range(5):
        circuit.rx(0.3, 0)
        circuit.rz(0.4, 0)
    circuit.rz(0.7, 1)
    circuit.measure([0, 1], [0, 1])
    program = read(written(circuit, ["4_5", "4_6"], "cz")[0])
    kinds = sorted(type(op.gate).__name__ for op in program.all_operations())
    assert kinds == ["MeasurementGate", "PhasedXZGate", "ZPowGate"]


def test_delays_and_barriers_are_kept() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.rx(1.0, 0)
    circuit.delay(1.5e-6, 0, "s")
    circuit.barrier(0, 1)
    circuit.rx(1.0, 1)
    circuit.measure(1, 0)
    program = read(written(circuit, ["4_5", "4_6"], "cz")[0])
    (wait,) = [op for op in program.all_operations() if isinstance(op.gate, cirq.WaitGate)]
    assert isinstance(wait.gate, cirq.WaitGate)
    assert wait.gate.duration == cirq.Duration(micros=1.5)
    moments = [{str(op.qubits[0]) for op in moment} for moment in program]
    assert moments == [{"q(4, 5)"}, {"q(4, 5)"}, {"q(4, 6)"}, {"q(4, 6)"}]


def test_registers_bits_and_a_layout() -> None:
    made = translator("willow_pink")
    device = calibration("willow_pink")
    places = tuple(device.labels.index(label) for label in ("6_6", "6_7", "7_7"))
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "low"), ClassicalRegister(9, "high"))
    circuit.x(0)
    circuit.x(2)
    circuit.measure([2, 0, 1], [10, 1, 4])
    submission = made.encode(made.prepare(circuit, Layout(places)), 3)
    assert submission.reading["bits"] == [[1, 0], [4, 1], [10, 2]]
    program = read(submission.program)
    assert [f"{each.row}_{each.col}" for each in v2.find_measurements(program)[0].qubits] == ["6_6", "6_7", "7_7"]
    told = made.decode(submission, answer(program, [[1, 0, 1]] * 3))
    assert list(told.values) == [1 << 10 | 1 << 1] * 3
    assert probabilities(made, submission)[1 << 10 | 1 << 1] == pytest.approx(1.0, abs=1e-6)


def test_each_shot_has_its_own_bit_of_the_bytes() -> None:
    made = translator("willow_pink")
    circuit = QuantumCircuit(2, 2)
    circuit.h([0, 1])
    circuit.measure([0, 1], [0, 1])
    submission = made.encode(made.prepare(circuit), 21)
    program = read(submission.program)
    shots = np.random.default_rng(1).integers(0, 2, (21, 2))
    expected = [int(first) | int(second) << 1 for first, second in shots]
    told = made.decode(submission, answer(program, shots))
    assert list(told.values) == expected


def test_the_same_circuit_is_the_same_program_in_every_process() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(3, 3)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.measure(range(3), range(3))
    texts = set()
    for _ in range(2):
        made = translator("willow_pink")
        texts.add(made.encode(made.prepare(circuit).assign_parameters({"theta": 0.3}), 10).program)
    assert len(texts) == 1


def test_what_is_refused() -> None:
    made = translator("willow_pink")

    def refused(circuit: QuantumCircuit, layout: Layout | None = None) -> str:
        with pytest.raises((InvalidCircuit, InvalidTask)) as info:
            made.encode(made.prepare(circuit, layout), 1)
        return str(info.value)

    again = QuantumCircuit(1, 1)
    again.measure(0, 0)
    again.x(0)
    assert "measures at the end only" in refused(again)
    reset = QuantumCircuit(1, 1)
    reset.x(0)
    reset.reset(0)
    reset.measure(0, 0)
    assert "measures at the end only" in refused(reset)
    nothing = QuantumCircuit(1)
    nothing.x(0)
    assert "measures nothing" in refused(nothing)
    branch = QuantumCircuit(2, 2)
    branch.measure(0, 0)
    with branch.if_test((branch.clbits[0], 1)):
        branch.x(1)
    assert "control flow" in refused(branch)
    wide = QuantumCircuit(200, 1)
    wide.x(range(200))
    wide.measure(0, 0)
    assert "200 qubits and willow_pink has 105" in refused(wide)
    endless = QuantumCircuit(1, 1)
    endless.rx(float("inf"), 0)
    with pytest.raises(InvalidTask, match="finite"):
        written(endless, ["0_0"], "cz")
    unknown = GoogleTranslator(EngineConfig(provider="Google", options={"project": "p", "processor": "one"}))
    with pytest.raises(InvalidCircuit, match="tells no qubits of one"):
        unknown.prepare(nothing)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repetitions": 2}, "2 repetitions and 8"),
        ({"parameterizedResults": []}, "unpack"),
    ],
)
def test_an_answer_that_is_none(change: dict[str, Any], words: str) -> None:
    made = translator("willow_pink")
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    submission = made.encode(made.prepare(circuit), 8)
    told = json.loads(answer(read(submission.program), [[0]] * 8))
    assert list(made.decode(submission, json.dumps(told)).values) == [0] * 8
    told["result"]["sweepResults"][0].update(change)
    with pytest.raises(ValueError, match=words):
        made.decode(submission, json.dumps(told))


def test_outcomes_that_are_too_few_or_of_other_qubits() -> None:
    made = translator("willow_pink")
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    submission = made.encode(made.prepare(circuit), 8)
    told = json.loads(answer(read(submission.program), [[1]] * 8))
    (own,) = told["result"]["sweepResults"][0]["parameterizedResults"][0]["measurementResults"]
    (column,) = own["qubitMeasurementResults"]
    for change, words in (
        ({"results": "//8="}, "2 bytes of outcomes"),
        ({"results": "%%"}, "no base64"),
        ({"results": "_w=="}, "no base64"),
    ):
        own["qubitMeasurementResults"] = [{**column, **change}]
        with pytest.raises(ValueError, match=words):
            made.decode(submission, json.dumps(told))
    own["qubitMeasurementResults"] = [column, column]
    with pytest.raises(ValueError, match="outcomes of 2 qubits and 1 were measured"):
        made.decode(submission, json.dumps(told))


def test_an_answer_is_read_by_who_would_put_the_circuit_elsewhere() -> None:
    """As a process does that was started since, and has a newer calibration."""
    circuit = QuantumCircuit(3, 5)
    circuit.x([0, 2])
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    # Two bits of one qubit, and bits in another order than their qubits.
    circuit.measure([2, 1, 0, 2], [1, 2, 0, 4])
    made, other = translator("willow_pink"), translator("weber")
    sent, again = (one.encode(one.prepare(circuit), 4) for one in (made, other))
    program = read(sent.program)
    assert set(v2.find_measurements(program)[0].qubits) != set(v2.find_measurements(read(again.program))[0].qubits)
    measured = cirq.Simulator(seed=1).run(program, repetitions=4).measurements[KEY]
    told = other.decode(Submission("", 4, again.reading), answer(program, measured))
    assert list(told.values) == [0b10011] * 4


def test_what_may_have_been_sent_is_planned_also_where_the_device_does_not_run_it_any_more() -> None:
    """Its keys follow from the plan, by which it is found at the cloud, and cancelled there."""
    circuit = QuantumCircuit(2, 2)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    # Qubits that are not coupled now.
    pub = Pub(digest, shots=100, layout=Layout((0, 50), routing=False))
    task = Task("t", (pub,), {digest: buffer.getvalue()})
    options = {"project": "p", "processor": "willow_pink"}
    device = calibration("willow_pink")
    made = Translation(EngineConfig("Google", options, memory_bytes=1024**3, noise=device))
    with pytest.raises(InvalidCircuit):
        made.plan(task, None)
    assert made.plan(replace(task, again=True), None) == [Measurement(0, 0, "", 0, 100)]
