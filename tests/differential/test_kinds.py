"""What random programs seldom hold: shared bits and names, expressions of parameters, shapes that broadcast, pubs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qonverge.client import EstimatorV2, QonvergeBackend, SamplerV2
from qonverge.client.transport.embedded import Embedded
from tests.differential import paths
from tests.differential.answers import Answer, wrong
from tests.differential.openqasm import Spelling
from tests.differential.program import (
    Angle,
    BitIs,
    Bits,
    Case,
    Counts,
    Gate,
    If,
    Measure,
    Program,
    Register,
    Statement,
    Values,
)
from tests.differential.reference import Exact, simulate
from tests.differential.served import Servers

_ENGINES = ("Automatic", "Aer/MatrixProductState", "BraketLocal/Statevector")


@pytest.fixture(scope="module", params=_ENGINES)
def runner(request: pytest.FixtureRequest) -> Embedded:
    return paths.embedded(request.param)


def true(*body: Statement, qubits: int = 3, bits: int = 3) -> Exact:
    return simulate(Program(3, (Register("q", qubits, 0),), (Register("c", bits, 0),), body), {})


def test_bits_that_are_in_several_registers_or_in_none(runner: Embedded) -> None:
    shared, loose = [Clbit(), Clbit(), Clbit()], Clbit()
    one, two = ClassicalRegister(bits=shared[:2], name="one"), ClassicalRegister(bits=shared[1:], name="two")
    circuit = QuantumCircuit(QuantumRegister(3, "q"))
    circuit.add_bits([loose, *shared])
    circuit.add_register(two)
    circuit.add_register(one)
    circuit.x(0)
    circuit.ry(1.1, 1)
    circuit.measure(0, shared[1])
    circuit.measure(1, loose)
    with circuit.if_test((two, 1)):
        circuit.x(2)
    with circuit.if_test((loose, 1)):
        circuit.h(2)
    circuit.measure(2, shared[0])
    truth = true(
        Gate("x", (0,)),
        Gate("ry", (1,), (Angle(1.1),)),
        Measure(0, 2),
        Measure(1, 0),
        If(BitIs(2), (Gate("x", (2,)),)),
        If(BitIs(0), (Gate("h", (2,)),)),
        Measure(2, 1),
        bits=4,
    )
    data = SamplerV2(runner, seed=4).run([circuit], shots=4000).result()[0].data
    for register, places in (("one", (1, 2)), ("two", (2, 3))):
        found = _bits(data[register].get_counts())
        _right(found, truth, places, 4000)
    memory = QonvergeBackend(runner).run(circuit, shots=4000, seed_simulator=4).result().get_counts()
    _right(_bits(memory), truth, (0, 1, 2, 3), 4000)


def _bits(counts: dict[str, int]) -> dict[Bits, int]:
    found: Counter[Bits] = Counter()
    for key, times in counts.items():
        found[tuple(int(bit) for bit in reversed(key.replace(" ", "")))] += times
    return found


def _right(found: dict[Bits, int], truth: Exact, places: Sequence[int], shots: int) -> None:
    program = Program(3, (), (), ())
    assert not wrong(Case(program, ({},), Counts(shots)), Answer((found,)), [truth], places)


def test_names_that_are_shared_and_expressions_of_parameters(runner: Embedded) -> None:
    q, other, vector = Parameter("q"), Parameter("c"), ParameterVector("θ", 2)
    circuit = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(3, "c"))
    circuit.rx(q * other - q, 0)
    circuit.ry(vector[0].sin() + q**2 / 3, 1)
    circuit.crz(-vector[1], 0, 1)
    circuit.cu(q, vector[0], other / 2, 2 * vector[1], 1, 2)
    circuit.rxx(abs(other) * 0 + q, 0, 2)
    labels = ["XYZ", "ZIX", "IYY", "ZZZ"]
    rng = np.random.default_rng(5)
    values = rng.uniform(-2, 2, (4, 4))
    names = [q, other, *vector]
    found = EstimatorV2(runner).run([(circuit, [[label] for label in labels], {tuple(names): values})]).result()[0]
    assert found.data.evs.shape == (4, 4)
    for column, (a, b, c, d) in enumerate(values.tolist()):
        exact = true(
            Gate("rx", (0,), (Angle(a * b - a),)),
            Gate("ry", (1,), (Angle(math.sin(c) + a**2 / 3),)),
            Gate("crz", (0, 1), (Angle(-d),)),
            Gate("cu", (1, 2), (Angle(a), Angle(c), Angle(b / 2), Angle(2 * d))),
            Gate("h", (0,)),
            Gate("h", (2,)),
            Gate("cx", (0, 2)),
            Gate("rz", (2,), (Angle(a),)),
            Gate("cx", (0, 2)),
            Gate("h", (0,)),
            Gate("h", (2,)),
        )
        expected = [exact.value([(label, 1.0)]) for label in labels]
        assert found.data.evs[:, column] == pytest.approx(expected, abs=1e-8)


def test_sets_of_values_and_observables_broadcast_in_order(runner: Embedded) -> None:
    a, b = Parameter("b"), Parameter("a")  # not in the order of their names
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0)
    circuit.rx(b, 1)
    circuit.cx(0, 1)
    first, second = np.linspace(-1, 2, 6).reshape(3, 1, 2), np.linspace(0.5, 1.5, 6).reshape(3, 1, 2)
    observables = np.array([[{"ZZ": 0.5, "XI": 2.0}], [{"IZ": -1.0, "II": 3.0}]], dtype=object)
    values = {a: first, b: second}
    found = EstimatorV2(runner).run([(circuit, observables, values)]).result()[0].data.evs
    assert found.shape == (3, 2, 2)
    for i, j, k in product(range(3), range(2), range(2)):
        exact = true(
            Gate("ry", (0,), (Angle(float(first[i, 0, k])),)),
            Gate("rx", (1,), (Angle(float(second[i, 0, k])),)),
            Gate("cx", (0, 1)),
            qubits=2,
        )
        assert found[i, j, k] == pytest.approx(exact.value(list(observables[j, 0].items())), abs=1e-8)


def test_observables_that_repeat_labels(runner: Embedded) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.8, 0)
    circuit.cx(0, 1)
    exact = true(Gate("ry", (0,), (Angle(0.8),)), Gate("cx", (0, 1)), qubits=2)
    sums = [[("ZZ", 1.0), ("ZZ", 0.5)], [("XX", 1.0), ("XX", -0.5)], [("II", 2.0)], [("IZ", 1.0), ("II", -0.25)]]
    wanted = [SparsePauliOp.from_list(terms) for terms in sums]
    expected = [exact.value(terms) for terms in sums]
    assert EstimatorV2(runner).run([(circuit, wanted)]).result()[0].data.evs == pytest.approx(expected, abs=1e-8)
    sampled = EstimatorV2(runner, seed=2).run([(circuit, wanted)], precision=0.02).result()[0].data
    assert sampled.evs == pytest.approx(expected, abs=8 * 0.02)
    assert sampled.evs[2] == pytest.approx(2.0, abs=1e-12)


def test_many_pubs_of_one_task_keep_their_shots_and_places(runner: Embedded) -> None:
    certain = []
    for number in range(4):
        circuit = QuantumCircuit(2, 2)
        for place in range(2):
            if number >> place & 1:
                circuit.x(place)
        circuit.measure([0, 1], [0, 1])
        certain.append(circuit)
    asked = [(number, shots) for number in (2, 0, 3, 1, 2) for shots in (5, 1000, 1)]
    done = SamplerV2(runner, seed=9).run([(certain[number], None, shots) for number, shots in asked]).result()
    found = [pub.data.c.get_counts() for pub in done]
    assert found == [{format(number, "02b"): shots} for number, shots in asked]


def test_draws_repeat_with_a_seed_and_sets_do_not_repeat_each_other(runner: Embedded) -> None:
    turn = Parameter("t")
    circuit = QuantumCircuit(6)
    circuit.rx(turn, range(6))
    circuit.measure_all()
    sets = {turn: np.full(4, math.pi / 2)}

    def drawn(seed: int) -> list[dict[str, int]]:
        data = SamplerV2(runner, seed=seed).run([(circuit, sets)], shots=500).result()[0].data.meas
        return [data[index].get_counts() for index in range(4)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert len({tuple(sorted(counts.items())) for counts in drawn(3)}) == 4


def test_a_result_from_the_cache_is_that_of_the_same_request() -> None:
    q, c = (Register("q", 2, 0),), (Register("c", 2, 0),)
    turned = Gate("ry", (0,), (Angle(0.0, "theta"),))
    counted = Program(3, q, c, (turned, Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
    valued = Program(3, q, c, (turned, Gate("cx", (0, 1))))
    sets = [({"theta": 0.4},), ({"theta": 2.5},), ({"theta": 0.4}, {"theta": 2.5}), ({"theta": 2.5}, {"theta": 0.4})]
    cases = [Case(counted, each, Counts(shots), 7) for each in sets for shots in (1000, 1001)]
    for observables in ((("ZZ", 1.0),), (("XX", 1.0),), (("ZI", 2.0),)):
        for shots in (None, 1000):
            cases += [Case(valued, each, Values((observables, (("IZ", 1.0),)), shots), 7) for each in sets]
    with Servers("--result-cache", str(1 << 26)) as servers:
        url = servers.url("Aer")
        for case in (*cases, *cases, *(replace(case, seed=8) for case in cases)):
            truth = [simulate(case.program, values) for values in case.sets]
            assert not wrong(case, paths.posted(url, case, Spelling()), truth), case
