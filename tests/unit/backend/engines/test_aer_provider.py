"""The Aer provider, beside Qiskit's own states and against circuits that are meant to hurt."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate, Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer import Aer
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, InvalidTask, WireError
from qonverge.wire.messages import Pub, PubResult

GIB = 1024**3


def aer(method: str = "Automatic", **more: Any) -> Aer:
    return Aer(EngineConfig(method=method, **{"memory_bytes": 4 * GIB, **more}))


def run(engine: Aer, circuit: QuantumCircuit, *, seed: int = 7, memory: bool = False, **pub: Any) -> PubResult:
    return engine.run(engine.prepare(circuit), Pub("digest", **pub), seed=seed, memory=memory)


def ansatz() -> QuantumCircuit:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3)
    circuit.ry(a, 0)
    circuit.cx(0, 1)
    circuit.rx(b, 1)
    circuit.rzz(a * b, 1, 2)
    circuit.ry(b + 1, 2)
    return circuit


OBSERVABLES = ((("XXI", 0.4), ("ZZI", -1.1), ("III", 0.25)), (("IYZ", 1.0),), (("ZIX", 0.7), ("YYI", 0.2)))
SETS = {"a": np.array([0.1, 0.9, 2.0, -1.3]), "b": np.array([0.5, -0.4, 1.1, 3.0])}


def true_values(sets: dict[str, NDArray[np.float64]] = SETS) -> NDArray[np.float64]:
    circuit, out = ansatz(), []
    for index in range(len(sets["a"])):
        bound = circuit.assign_parameters({name: values[index] for name, values in sets.items()})
        state = Statevector(bound)
        out.append([state.expectation_value(SparsePauliOp.from_list(list(terms))).real for terms in OBSERVABLES])
    return np.array(out)


@pytest.mark.parametrize("method", ["Automatic", "Statevector", "DensityMatrix", "MatrixProductState"])
def test_exact_values_are_those_of_the_state(method: str) -> None:
    answer = run(aer(method), ansatz(), parameters=SETS, observables=OBSERVABLES)
    assert answer.expectation_values == pytest.approx(true_values(), abs=1e-7)
    assert answer.standard_errors is not None
    assert not answer.standard_errors.any()


def test_pairs_pick_values_in_their_order() -> None:
    pairs = np.array([[3, 0], [0, 2], [1, 1], [3, 0]], dtype=np.int32)
    answer = run(aer(), ansatz(), parameters=SETS, observables=OBSERVABLES, pairs=pairs)
    assert answer.expectation_values == pytest.approx(true_values()[pairs[:, 0], pairs[:, 1]], abs=1e-9)


@pytest.mark.parametrize("pairs", [[[4, 0]], [[0, 3]], [[-1, 0]], []])
def test_pairs_outside_are_refused(pairs: list[list[int]]) -> None:
    with pytest.raises(InvalidTask, match="pairs must be indices"):
        run(
            aer(),
            ansatz(),
            parameters=SETS,
            observables=OBSERVABLES,
            pairs=np.array(pairs, dtype=np.int32).reshape(-1, 2),
        )


def test_standard_errors_tell_the_true_spread() -> None:
    engine, true = aer(), true_values()
    prepared = engine.prepare(ansatz())
    scores = []
    for seed in range(40):
        answer = engine.run(
            prepared, Pub("d", SETS, shots=400, observables=OBSERVABLES), seed=1_000_003 * seed, memory=False
        )
        assert answer.expectation_values is not None
        assert answer.standard_errors is not None
        scores.append((answer.expectation_values - true) / answer.standard_errors)
    z = np.array(scores)
    # 480 scores: their mean lies within 0.2 and their deviation within 15 % of a standard normal's in any sane run.
    assert abs(float(z.mean())) < 0.2
    assert 0.85 < float(z.std()) < 1.15
    # Observables and sets draw independently.
    for column in range(1, z.shape[1]):
        assert abs(np.corrcoef(z[:, 0, 0], z[:, column, 0])[0, 1]) < 0.5


@pytest.mark.parametrize("precision", [0.1, 0.02])
def test_precision_is_kept_by_every_value(precision: float) -> None:
    answer = run(aer(), ansatz(), parameters=SETS, observables=OBSERVABLES, precision=precision)
    assert answer.standard_errors is not None
    assert answer.expectation_values is not None
    assert (answer.standard_errors <= precision).all()
    assert (np.abs(answer.expectation_values - true_values()) <= 5 * precision).all()


def test_an_identity_needs_no_sampling() -> None:
    answer = run(aer(), ansatz(), parameters=SETS, observables=((("III", 1.5),),), precision=0.01)
    assert answer.expectation_values == pytest.approx(np.full((4, 1), 1.5))
    assert answer.standard_errors == pytest.approx(np.zeros((4, 1)))


def test_sampled_values_of_a_circuit_with_bits_of_its_own() -> None:
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(3, "old"))
    circuit.x(0)
    circuit.measure(0, 2)
    circuit.barrier()
    answer = run(aer(), circuit, observables=((("IZ", 1.0),), (("ZI", 1.0),)), shots=50)
    assert answer.expectation_values == pytest.approx(np.array([[-1.0, 1.0]]))


@pytest.mark.parametrize("method", ["Automatic", "Statevector", "DensityMatrix", "MatrixProductState"])
def test_values_after_a_reset_are_the_average_over_its_outcomes(method: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(1.1, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.ry(0.3, 1)
    answer = run(aer(method), circuit, observables=((("ZI", 1.0),), (("IZ", 1.0),)))
    assert answer.expectation_values == pytest.approx(np.array([[math.cos(1.1) * math.cos(0.3), 1.0]]))
    if method == "DensityMatrix":
        assert (answer.method, answer.reason) == ("density_matrix", "the backend is set to it")
    else:
        assert answer.method == ("matrix_product_state" if method == "MatrixProductState" else "statevector")
        assert answer.reason.endswith(", a fresh one after each reset")


def test_exact_values_after_many_resets_take_a_density_matrix() -> None:
    circuit = QuantumCircuit(2)
    for _ in range(3):
        circuit.ry(1.1, 0)
        circuit.cx(0, 1)
        circuit.reset(0)
    answer = run(aer(), circuit, observables=((("ZI", 1.0),), (("IZ", 1.0),)))
    assert answer.expectation_values == pytest.approx(np.array([[math.cos(1.1) ** 3, 1.0]]))
    assert (answer.method, answer.reason) == ("density_matrix", "a reset leaves a mixed state")


def test_exact_values_of_a_wide_circuit_with_a_reset_fit() -> None:
    circuit = QuantumCircuit(18)
    circuit.ry(0.7, range(18))
    for _ in range(2):
        for qubit in range(17):
            circuit.cx(qubit, qubit + 1)
    circuit.reset(17)
    observables = ((("Z" + "I" * 17, 1.0),), (("I" * 17 + "Z", 1.0),))
    answer = run(aer(), circuit, observables=observables, parameters={})
    assert answer.expectation_values == pytest.approx(np.array([[1.0, math.cos(0.7)]]))


@pytest.mark.parametrize("method", ["Automatic", "Statevector", "DensityMatrix", "MatrixProductState"])
def test_values_known_by_sampling_only_are_not_called_exact(method: str) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.ry(1.1, 0)
    circuit.cx(0, 1)
    circuit.measure(0, 0)
    circuit.ry(0.3, 1)
    observables = ((("ZI", 1.0),),)
    with pytest.raises(InvalidTask, match="no exact values here: give shots or precision"):
        run(aer(method), circuit, observables=observables)
    answer = run(aer(method), circuit, observables=observables, precision=0.02)
    assert answer.expectation_values is not None
    assert answer.standard_errors is not None
    assert 0 < answer.standard_errors[0, 0] <= 0.02
    assert abs(answer.expectation_values[0, 0] - math.cos(1.1) * math.cos(0.3)) <= 5 * answer.standard_errors[0, 0]


def test_the_same_seed_gives_the_same_bits_and_sets_differ() -> None:
    circuit = QuantumCircuit(1, 1)
    angle = Parameter("t")
    circuit.ry(angle, 0)
    circuit.measure(0, 0)
    sets = {"t": np.full(6, 1.2)}
    first = run(aer(), circuit, parameters=sets, shots=2000, seed=11)
    assert first.counts == run(aer(), circuit, parameters=sets, shots=2000, seed=11).counts
    assert first.counts != run(aer(), circuit, parameters=sets, shots=2000, seed=12).counts
    assert len({tuple(sorted(counts.items())) for counts in first.counts}) > 3
    for counts in first.counts:
        assert sum(counts.values()) == 2000


def two_registers() -> QuantumCircuit:
    qubits, small, wide = QuantumRegister(13), ClassicalRegister(3, "small"), ClassicalRegister(10, "wide")
    circuit = QuantumCircuit(qubits, small, wide)
    circuit.x([0, 3, 12])
    circuit.h(1)
    circuit.cx(1, 4)
    circuit.measure(range(3), small)
    circuit.measure(range(3, 13), wide)
    return circuit


def test_counts_are_written_as_qiskit_writes_them() -> None:
    counts = run(aer(), two_registers(), shots=500).counts[0]
    assert set(counts) == {"1000000001 001", "1000000011 011"}
    assert sum(counts.values()) == 500


def test_bits_of_registers_are_bit_arrays() -> None:
    from qiskit.primitives import BitArray

    answer = run(aer(), two_registers(), shots=300, memory=True)
    assert answer.counts == ()
    arrays = {name: BitArray(raw, bits) for name, (bits, raw) in answer.registers.items()}
    assert {name: (array.num_bits, array.num_shots) for name, array in arrays.items()} == {
        "small": (3, 300),
        "wide": (10, 300),
    }
    assert set(arrays["wide"].get_counts()) == {"1000000001", "1000000011"}
    small, wide = arrays["small"].get_bitstrings(0), arrays["wide"].get_bitstrings(0)
    # The same shot in both registers: the entangled bits agree.
    assert all((s == "011") == (w == "1000000011") for s, w in zip(small, wide, strict=True))


def test_gates_of_a_program_and_control_flow_run() -> None:
    body = QuantumCircuit(1, name="own")
    body.sx(0)
    body.sx(0)
    circuit = QuantumCircuit(2, 2)
    circuit.append(body.to_gate(), [0])
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    assert run(aer(), circuit, shots=100).counts == ({"11": 100},)


def test_branches_beside_qubits_that_nothing_touches() -> None:
    branching = QuantumCircuit(4, 2)
    branching.reset(0)
    with branching.if_test((branching.clbits[0], 0)):
        branching.x(0)
    branching.measure(1, 0)
    assert run(aer(), branching, shots=20).counts == ({"00": 20},)


def test_a_gate_without_a_definition_is_refused() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.append(Gate("oracle", 1, []), [0])
    circuit.measure(0, 0)
    with pytest.raises(WireError, match="oracle") as caught:
        run(aer(), circuit)
    assert not caught.value.retryable


def measured(qubits: int, *, clifford: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, 1)
    circuit.h(0)
    if not clifford:
        circuit.rx(0.3, range(qubits))
        # So entangled that only the whole state will do.
        for qubit in range(qubits // 2):
            circuit.cx(qubit, qubits - 1 - qubit)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize(
    ("method", "fits", "refused"), [("Automatic", 26, 27), ("Statevector", 26, 27), ("DensityMatrix", 13, 14)]
)
def test_what_does_not_fit_is_refused_with_the_numbers(method: str, fits: int, refused: int) -> None:
    engine = aer(method, concurrency=1, memory_bytes=2 * GIB)
    with pytest.raises(CircuitTooLarge) as caught:
        run(engine, measured(refused))
    error = caught.value
    share = 2 * GIB - 2 * 160 * 1024**2
    assert error.detail["has_bytes"] == share
    exponent = 4 + (2 if method == "DensityMatrix" else 1) * refused
    needed = {31: "2 GiB", 32: "4 GiB"}[exponent]
    assert f"{refused} qubits needs {needed} and one circuit has 1.69 GiB here" in error.message
    assert f"enough for {fits} qubits" in error.message
    assert re.search(r"use fewer qubits", error.message)


def test_forty_qubits_run_when_they_are_clifford() -> None:
    engine = aer(memory_bytes=2 * GIB)
    with pytest.raises(CircuitTooLarge):
        run(engine, measured(40))
    answer = run(engine, measured(40, clifford=True), shots=64)
    assert (answer.method, sum(answer.counts[0].values())) == ("stabilizer", 64)


def test_a_stabilizer_takes_hundreds_of_qubits_and_nothing_else() -> None:
    engine = aer("Stabilizer")
    circuit = QuantumCircuit(300)
    circuit.h(0)
    for qubit in range(299):
        circuit.cx(qubit, qubit + 1)
    answer = run(engine, circuit, observables=((("Z" * 300, 1.0),), (("Z" + "I" * 299, 1.0),)))
    assert answer.expectation_values == pytest.approx(np.array([[1.0, 0.0]]))
    with pytest.raises(EngineFailed, match="stabilizer"):
        run(engine, measured(2))


def test_a_matrix_product_state_takes_wide_shallow_circuits() -> None:
    answer = run(aer("MatrixProductState", memory_bytes=2 * GIB), measured(60), shots=20)
    assert answer.method == "matrix_product_state"
    assert sum(answer.counts[0].values()) == 20


def test_a_circuit_of_absurd_width_is_refused() -> None:
    # 16 * 2**20000 has more digits than Python writes by default.
    with pytest.raises(CircuitTooLarge, match="20000 qubits"):
        run(aer(), measured(20_000))


@pytest.mark.parametrize(
    ("pub", "message"),
    [
        ({"parameters": {}}, "no values are given for a, b"),
        ({"parameters": {**SETS, "c": np.zeros(4)}}, "has no parameter c"),
        ({"parameters": SETS, "observables": ((("ZZ", 1.0),),)}, "'ZZ' does not fit a circuit of 3 qubits"),
        ({"parameters": SETS, "observables": ((("ZZQ", 1.0),),)}, "give one of I, X, Y, Z"),
        ({"parameters": SETS, "observables": ()}, "measures nothing and no observables"),
        ({"parameters": SETS, "observables": OBSERVABLES, "shots": 2_000_000}, "2000000 shots and this backend takes"),
        ({"parameters": SETS, "observables": OBSERVABLES, "precision": 1e-6}, "ask for less precision"),
        ({"parameters": SETS, "observables": OBSERVABLES, "precision": 1e-200}, "precision of 1e-200"),
        (
            {"parameters": SETS, "observables": ((("XXX", 1e308),),), "precision": 0.1},
            "precision of 0.1 cannot be reached",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_sentence(pub: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        run(aer(), ansatz(), **pub)


def test_more_qubits_than_the_backend_offers_are_refused() -> None:
    with pytest.raises(CircuitTooLarge, match="has 6 qubits and this backend takes 5"):
        run(aer(max_qubits=5), measured(6))


def test_bits_that_cannot_be_held_are_refused_before_they_are_drawn() -> None:
    engine = aer(memory_bytes=512 * 1024**2)
    circuit = QuantumCircuit(16, 16)
    angle = Parameter("t")
    circuit.ry(angle, range(16))
    circuit.measure(range(16), range(16))
    with pytest.raises(CircuitTooLarge, match="shots"):
        run(engine, circuit, parameters={"t": np.linspace(0, 1, 200)}, shots=1_000_000, memory=True)


def test_what_the_error_says_is_not_in_aer_s_log_too(caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(0.3, 0)
    with pytest.raises(EngineFailed, match="stabilizer"):
        run(aer("Stabilizer"), circuit, observables=((("Z", 1.0),),), shots=10)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
