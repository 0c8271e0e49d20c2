"""Circuits as IBM's jobs: what is sent runs on Qiskit's own reference primitives, and means what was asked."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import Clbit, Parameter, ParameterVector
from qiskit.circuit.random import random_circuit
from qiskit.primitives import DataBin, PrimitiveResult, PubResult, StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.json import SERVICE_MAX_SUPPORTED_QPY_VERSION

from qonverge.amounts import TaskLimits
from qonverge.backend.clouds.ibm.primitive_options import inputs, of_sdk
from qonverge.backend.clouds.ibm.translator import IBMTranslator
from qonverge.backend.clouds.ibm.wire_format import QPY_VERSION, pub_results
from qonverge.backend.clouds.measurement import in_tasks, reduced
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translation import Translation
from qonverge.backend.clouds.translators import Estimates, Outcomes, PreparedPub, PubTranslator
from qonverge.backend.config import EngineConfig
from qonverge.circuits.analysis.canonical import canonical, serialise
from qonverge.devices import Layout
from qonverge.devices.snapshots import load
from qonverge.wire.errors import EngineFailed, InvalidCircuit, InvalidTask
from qonverge.wire.messages import Observable, Pub, Task

DEVICE = load("manila")


def translator(**options: Any) -> IBMTranslator:
    return IBMTranslator(EngineConfig("IBM", {"backend": "ibm_manila", **options}, noise=DEVICE))


def sampled(own: IBMTranslator, circuit: QuantumCircuit, shots: int) -> Submission:
    return own.encode_pubs([PreparedPub(circuit, {}, shots)])


def pub_of(submission: Submission) -> Any:
    params = json.loads(submission.program, cls=RuntimeDecoder)["params"]
    (pub,) = params["pubs"]
    return pub


def run(circuit: QuantumCircuit, shots: int) -> Outcomes:
    """Send a circuit, run what is sent, and read the answer."""
    own = translator()
    sent = sampled(own, own.prepare(canonical(circuit)), shots)
    received, values, count = pub_of(sent)
    assert (len(values), count) == (0, shots)
    answer = StatevectorSampler(seed=5).run([(received,)], shots=count).result()
    (found,) = own.decode_pubs(Submission("", shots, sent.reading), json.dumps(answer, cls=RuntimeEncoder))
    assert isinstance(found, Outcomes)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_outcomes_have_the_circuit_s_bits(seed: int) -> None:
    draw = np.random.default_rng(seed)
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "class"), [Clbit(), Clbit()])
    circuit.add_register(ClassicalRegister(7, "b"))
    circuit.compose(random_circuit(3, 3, max_operands=2, seed=seed), range(3), inplace=True)
    state = Statevector(circuit.remove_final_measurements(inplace=False) or circuit)
    qubits = draw.permutation(3)[:2].tolist()
    bits = draw.permutation(circuit.num_clbits)[:2].tolist()
    circuit.measure(qubits, bits)
    found = run(circuit, 4000)
    assert found.times is None
    counts = np.unique(np.asarray(found.values), return_counts=True)
    frequencies = dict(zip(counts[0].tolist(), (counts[1] / 4000).tolist(), strict=True))
    want: dict[int, float] = {}
    for index, chance in enumerate(state.probabilities()):
        value = sum((index >> qubit & 1) << bit for qubit, bit in zip(qubits, bits, strict=True))
        want[value] = want.get(value, 0.0) + chance
    for value in {*want, *frequencies}:
        assert frequencies.get(value, 0.0) == pytest.approx(want.get(value, 0.0), abs=0.04)


@pytest.mark.parametrize("seed", range(3))
def test_observables_are_where_their_qubits_end(seed: int) -> None:
    circuit = random_circuit(4, 4, max_operands=2, seed=seed)
    observables: list[Observable] = [
        (("XIYZ", 1.0), ("IIII", 0.5)),
        (("ZIII", 2.0), ("ZIII", -0.5)),
        (("IIXI", 1.0),),
        (),
    ]
    observables.append((("IIIX", 1.0), ("IIIX", -1.0)))
    own = translator()
    prepared = own.prepare(canonical(circuit))
    sent = own.encode_pubs([PreparedPub(prepared, {}, None, observables, 0.01)])
    received, there, _, precision = pub_of(sent)
    assert precision == 0.01
    exact = StatevectorEstimator().run([(received, there)]).result()
    answer = json.dumps(exact, cls=RuntimeEncoder)
    (found,) = own.decode_pubs(Submission("", 0, sent.reading), answer)
    assert isinstance(found, Estimates)
    state = Statevector(circuit)
    true = [state.expectation_value(SparsePauliOp.from_list(each)).real if each else 0.0 for each in observables]
    assert found.values == pytest.approx(true, abs=1e-9)
    assert len(found.errors) == 5


def test_options_of_the_primitives_go_along_and_shots_come_before_a_precision() -> None:
    own = translator(
        sampler={"dynamical_decoupling": {"enable": True}},
        estimator={"resilience_level": 2, "resilience": {"zne_mitigation": True}, "default_precision": 0.1},
    )
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    estimation = json.loads(own.encode_pubs([PreparedPub(own.prepare(circuit), {}, 500, [(("X", 1.0),)])]).program)
    assert estimation["program_id"] == "estimator"
    params = estimation["params"]
    del params["pubs"]
    assert params == {
        "options": {"resilience": {"zne_mitigation": True}, "default_shots": 500},
        "resilience_level": 2,
        "support_qiskit": True,
        "version": 2,
    }
    circuit.measure(0, 0)
    sent = json.loads(sampled(own, own.prepare(circuit), 7).program)
    assert sent["params"]["options"] == {"dynamical_decoupling": {"enable": True}}
    assert isinstance(own, PubTranslator)


@pytest.mark.parametrize(
    ("which", "options", "words"),
    [
        ("sampler", {"nope": 1}, "options.sampler.nope: Unexpected keyword argument"),
        ("estimator", {"resilience_level": 7}, "options.estimator.resilience_level: "),
        ("estimator", {"twirling": {"strategy": "all-of-them"}}, "options.estimator.twirling.TwirlingOptions"),
    ],
)
def test_options_are_those_of_the_sdk(which: str, options: dict[str, Any], words: str) -> None:
    assert of_sdk(which, options)["refused"].startswith(words)
    # Nothing is asked of it where there are none.
    assert of_sdk(which, {})["inputs"] == inputs(which, None) == inputs(which, {})


def test_wrong_options_are_told_by_the_process_that_checks_them() -> None:
    with pytest.raises(LookupError, match=r"^options\.sampler\.nope: Unexpected keyword argument"):
        translator(sampler={"nope": 1})


def test_results_have_what_metadata_say_of_them() -> None:
    own = {"extrapolator": np.array(["exponential"]), "spans": {1, 2}, "at": 1 + 2j}
    text = json.dumps(
        PrimitiveResult([PubResult(DataBin(evs=np.array(0.5), stds=np.array(0.1)), own)]), cls=RuntimeEncoder
    )
    text = text.replace('"spans"', '"zne": {"__type__": "ndarray", "__value__": "exponential"}, "spans"')
    ((fields, metadata),) = pub_results(text)
    assert (fields["evs"], fields["stds"]) == (0.5, 0.1)
    assert (metadata["extrapolator"].tolist(), metadata["zne"], metadata["spans"]) == (
        ["exponential"],
        "exponential",
        [1, 2],
    )
    assert min(SERVICE_MAX_SUPPORTED_QPY_VERSION, qpy.common.QPY_VERSION) == QPY_VERSION


def test_the_sdk_is_not_loaded() -> None:
    code = "import sys, qonverge.backend.clouds.ibm.translator; print({'qiskit_ibm_runtime'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_delays_are_steps_of_the_device_s_clock() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.delay(1, 0, "us")
    with circuit.if_test((circuit.clbits[0], 0)):
        circuit.delay(200, 0, "ns")
    circuit.measure(0, 0)
    own = translator()
    received = pub_of(sampled(own, own.prepare(canonical(circuit)), 1))[0]
    (delay,) = [item.operation for item in received.data if item.name == "delay"]
    (block,) = [item.operation.blocks[0] for item in received.data if item.name == "if_else"]
    assert DEVICE.dt is not None
    assert (delay.duration, delay.unit) == (round(1e-6 / DEVICE.dt), "dt")
    assert block.data[0].operation.duration == round(2e-7 / DEVICE.dt)


def test_a_layout_is_kept_and_what_fits_nowhere_is_refused() -> None:
    own = translator()
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    received = pub_of(sampled(own, own.prepare(circuit, Layout((4, 3), routing=False)), 1))[0]
    measured = {received.find_bit(item.qubits[0]).index for item in received.data if item.name == "measure"}
    assert measured == {3, 4}
    with pytest.raises(InvalidCircuit, match="has 6 qubits and manila has 5"):
        own.prepare(QuantumCircuit(6, 1))
    with pytest.raises(InvalidCircuit, match="are not known yet"):
        IBMTranslator(EngineConfig("IBM", {"backend": "ibm_manila"})).prepare(circuit)
    silent = QuantumCircuit(1, 1)
    silent.h(0)
    with pytest.raises(InvalidCircuit, match="measures nothing"):
        sampled(own, own.prepare(silent), 1)


@pytest.mark.parametrize("answer", ["[]", "nonsense", '{"a": 1}'])
def test_an_answer_of_another_form_is_none(answer: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        translator().decode_pubs(Submission("", 1, {"pubs": [{"sets": 1, "bits": [0]}]}), answer)


def device(submission: Submission) -> bytes:
    """Return what a device without errors answers, compressed."""
    sent = json.loads(submission.program, cls=RuntimeDecoder)
    pubs = [tuple(pub) for pub in sent["params"]["pubs"]]
    if sent["program_id"] == "sampler":
        result = StatevectorSampler(seed=3).run(pubs).result()
    else:
        result = StatevectorEstimator().run([pub[:3] for pub in pubs]).result()
    return zlib.compress(json.dumps(result, cls=RuntimeEncoder).encode())


def test_a_task_of_counts_values_and_pairs_comes_together_again() -> None:
    theta = Parameter("theta")
    plain = QuantumCircuit(2)
    plain.ry(theta, 0)
    plain.cx(0, 1)
    measuring = plain.copy()
    measuring.add_register(ClassicalRegister(1, "m"))
    measuring.measure(1, 0)
    angles = {"theta": np.array([0.4, 1.9, 3.0])}
    observables = ((("ZI", 1.0),), (("XX", 1.0), ("YY", 0.5)), (("II", 3.0),))
    pairs = np.array([[2, 1], [0, 2], [2, 0]], dtype=np.int32)
    sources = [serialise(canonical(each)) for each in (plain, measuring)]
    first, second = (hashlib.sha256(each).hexdigest() for each in sources)
    task = Task(
        "t",
        (
            Pub(first, angles, shots=100, observables=observables),
            Pub(second, angles, shots=4000),
            Pub(first, angles, precision=0.01, observables=observables, pairs=pairs),
            # It measures something of its own, and so is measured in bases.
            Pub(second, {"theta": np.array([0.4])}, shots=4000, observables=((("IX", 1.0), ("IZ", 1.0)),)),
        ),
        dict(zip((first, second), sources, strict=True)),
    )
    config = EngineConfig("IBM", {"backend": "ibm_manila"}, noise=DEVICE, memory_bytes=2 * 1024**3)
    own = Translation(config)
    found = own.plan(task, 10_000)
    device_limits = TaskLimits(10_000, 300, 10_000_000, 0)
    tasks = in_tasks(found, device_limits)
    assert [each.basis for each in found if each.pub != 3] == ["estimation"] * 3 + [""] * 3 + ["estimation"] * 2
    assert len({each.name for each in found}) == len(found)
    # Values at 100 shots, two kinds of measurement at 4,000, and values at a precision.
    assert [len(each) for each in tasks] == [3, 4 + 1, 2]
    sent = [own.encode(*reduced(task, each)) for each in tasks]
    shapes = [
        [np.shape(pub[-2]) for pub in json.loads(each.program, cls=RuntimeDecoder)["params"]["pubs"]] for each in sent
    ]
    # A circuit's parameter sets are an array of one PUB, but for sets of which other observables are wanted.
    assert shapes == [[(3, 1, 1)], [(3, 1), (1, 1), (1, 1)], [(1, 1, 1), (1, 1, 1)]]
    readings, answers = [each.reading for each in sent], [device(each) for each in sent]
    places = [[found.index(each) for each in own] for own in tasks]
    # Another process, as after a restart.
    values, counts, some, measured = Translation(config).assemble(task, found, readings, answers, 1, places)
    states = [Statevector(plain.assign_parameters([angle])) for angle in angles["theta"]]
    true = np.array(
        [[state.expectation_value(SparsePauliOp.from_list(each)).real for each in observables] for state in states]
    )
    assert values.expectation_values == pytest.approx(true, abs=1e-9)
    assert values.shots == 100
    assert some.expectation_values == pytest.approx([true[2, 1], true[0, 2], true[2, 0]], abs=1e-9)
    for row, angle in enumerate(angles["theta"]):
        assert counts.counts[row].get("1", 0) / 4000 == pytest.approx(np.sin(angle / 2) ** 2, abs=0.04)
    # Measuring the other qubit of the pair leaves no X.
    assert measured.expectation_values == pytest.approx(np.array([[np.cos(0.4)]]), abs=0.1)
    wrong = [answers[1], *answers[:-1]]
    with pytest.raises(EngineFailed, match="cannot be read"):
        Translation(config).assemble(task, found, readings, wrong, 1, places)
    with pytest.raises(InvalidTask, match="takes 50 shots at a time and 100 are asked for"):
        own.plan(task, 50)


def test_values_are_those_of_the_parameters_of_their_names() -> None:
    # Eleven and more tell the order of a vector from that of its names.
    angles, factor = ParameterVector("v", 12), Parameter("a")
    circuit = QuantumCircuit(2)
    for index, angle in enumerate(angles):
        circuit.rx(angle * factor, index % 2)
        circuit.ry(0.3 * index, index % 2)
    circuit.cx(0, 1)
    draw = np.random.default_rng(5)
    values = {each.name: draw.uniform(-3, 3, 3) for each in (*angles, factor)}
    source = serialise(canonical(circuit))
    digest = hashlib.sha256(source).hexdigest()
    observables = ((("ZI", 1.0),), (("XY", 1.0),))
    task = Task("t", (Pub(digest, values, shots=100, observables=observables),), {digest: source})
    config = EngineConfig("IBM", {"backend": "ibm_manila"}, noise=DEVICE, memory_bytes=2 * 1024**3)
    own = Translation(config)
    found = own.plan(task, None)
    # As after half of a task has failed: some of its rows only.
    for rows in ([0, 1, 2], [0, 2], [1]):
        some = [found[row] for row in rows]
        sent = own.encode(*reduced(task, some))
        (result,) = own.assemble(task, some, [sent.reading], [device(sent)], 0, [range(len(rows))])
        assert result.expectation_values is not None
        for row in rows:
            bound = circuit.assign_parameters({name: float(each[row]) for name, each in values.items()})
            true = [Statevector(bound).expectation_value(SparsePauliOp.from_list(each)).real for each in observables]
            assert result.expectation_values[row] == pytest.approx(true, abs=1e-9)


def test_a_parameter_without_a_number_is_refused_before_anything_is_sent() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(theta, 0)
    circuit.measure(0, 0)
    own = translator()
    with pytest.raises(InvalidTask, match="is no number"):
        own.encode_pubs([PreparedPub(own.prepare(circuit), {"theta": np.array([1.0, np.nan])}, 10)])
