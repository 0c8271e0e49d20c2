"""Programs as people have them for Cirq, unchanged but for the sampler, beside cirq.Simulator."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from cirq.work.observable_measurement import RepetitionsStoppingCriteria, measure_observables
from duet.api import pstarmap_async
from duet.api import run as run_duet

from qonverge.client.cirq import Sampler
from qonverge.client.transport.embedded import Embedded

A, B, C = cirq.LineQubit.range(3)
T = sympy.Symbol("t")


@pytest.fixture
def sampler(runner: Embedded) -> Sampler:
    return Sampler(runner, seed=17)


@pytest.fixture
def simulator() -> cirq.Simulator:
    return cirq.Simulator(dtype=np.complex128, seed=17)


def distance(ours: Counter[Any], theirs: Counter[Any]) -> float:
    """Total variation distance of two samples."""
    return 0.5 * sum(
        abs(ours[outcome] / ours.total() - theirs[outcome] / theirs.total()) for outcome in ours.keys() | theirs.keys()
    )


def assert_same_distribution(sampler: Sampler, circuit: cirq.Circuit, *keys: str, repetitions: int = 4000) -> None:
    theirs = cirq.Simulator(seed=5).run(circuit, repetitions=repetitions)
    ours = sampler.run(circuit, repetitions=repetitions)
    assert ours.records.keys() == theirs.records.keys()
    assert {key: each.shape for key, each in ours.records.items()} == {
        key: each.shape for key, each in theirs.records.items()
    }
    outcomes = [
        Counter(map(bytes, np.concatenate([result.records[key].reshape(repetitions, -1) for key in keys], axis=1)))
        for result in (ours, theirs)
    ]
    # Two samples of one distribution over K outcomes differ by sqrt(K / (pi n)) on average, at most.
    assert distance(*outcomes) < np.sqrt(len(outcomes[1]) / repetitions)


def test_base_classes(sampler: Sampler) -> None:
    """The sampler is a cirq.Sampler and computes exact values as cirq.SimulatesExpectationValues"""
    assert isinstance(sampler, cirq.Sampler)
    assert isinstance(sampler, cirq.SimulatesExpectationValues)


@pytest.mark.parametrize(
    "params",
    [
        None,
        {"t": 1},
        cirq.ParamResolver({"t": 1}),
        [{"t": 0}, {"t": 1}],
        cirq.Linspace("t", 0, 2, 3),
        [cirq.Points("t", [0, 1]), cirq.Points("t", [2])],
        cirq.UnitSweep,
        [],
    ],
    ids=str,
)
def test_forms_of_parameters(sampler: Sampler, simulator: cirq.Simulator, params: Any) -> None:
    """Parameters as a resolver, a dictionary, a sweep, lists of these, and none"""
    exponent = 1 if params is None or params is cirq.UnitSweep else T
    circuit = cirq.Circuit(cirq.X(A) ** exponent, cirq.measure(A, B, key="m"))
    assert sampler.run_sweep(circuit, params, 4) == simulator.run_sweep(circuit, params, 4)


def test_sample(sampler: Sampler, simulator: cirq.Simulator) -> None:
    """sample gives the same data frames, with a column for each symbol and key"""
    s = sympy.Symbol("s")
    circuit = cirq.Circuit(cirq.X(A) ** s, cirq.X(B) ** T, cirq.measure(A, B, key="out"), cirq.measure(C, key="other"))
    sweep = cirq.Points("s", [0, 1]) * cirq.Points("t", [0, 1, 2])
    ours, theirs = (each.sample(circuit, repetitions=3, params=sweep) for each in (sampler, simulator))
    assert ours.equals(theirs)
    fixed = cirq.Circuit(cirq.X(A), cirq.measure(A, B, key="out"))
    assert sampler.sample(fixed, repetitions=3).equals(simulator.sample(fixed, repetitions=3))
    with pytest.raises(ValueError, match="Inconsistent sweep parameters"):
        sampler.sample(fixed, params=[{"a": 1}, {"a": 1, "b": 2}])


def test_run_batch(sampler: Sampler, simulator: cirq.Simulator) -> None:
    """run_batch pairs circuits with parameters and repetitions, and refuses lists of other lengths"""
    one, two = (cirq.Circuit(gate(A) ** T, cirq.measure(A, key="m")) for gate in (cirq.X, cirq.Y))
    sweeps = [cirq.Points("t", [0, 1]), cirq.Points("t", [1, 2])]
    assert sampler.run_batch([one, two], sweeps, [1, 2]) == simulator.run_batch([one, two], sweeps, [1, 2])
    with pytest.raises(ValueError, match="2 and 1"):
        sampler.run_batch([one, two], sweeps[:1])
    with pytest.raises(ValueError, match="2 and 3"):
        sampler.run_batch([one, two], sweeps, [1, 2, 3])


def test_async(sampler: Sampler) -> None:
    """run_async, run_sweep_async and run_batch_async run beside each other under duet"""
    circuit = cirq.Circuit(cirq.X(A) ** T, cirq.measure(A, key="m"))

    async def together() -> Any:
        return await pstarmap_async(sampler.run_sweep_async, [(circuit, {"t": 1}, n) for n in (2, 3)])

    assert [results[0].repetitions for results in run_duet(together)] == [2, 3]
    assert run_duet(sampler.run_async, circuit, {"t": 1}, 2).measurements["m"].tolist() == [[1], [1]]
    assert [len(each) for each in run_duet(sampler.run_batch_async, [circuit], [cirq.Linspace("t", 0, 1, 5)])] == [5]


def test_sampled_expectation_values(sampler: Sampler) -> None:
    """sample_expectation_values of one or more observables, over a sweep, with its checks of arguments"""
    # Sums that share a string, and equal parameter sets, which Cirq's own method mixes up.
    shared = [cirq.Z(A) + 1, cirq.Z(A), cirq.Z(A) * cirq.Z(B) + cirq.Z(A)]
    turned = cirq.Circuit(cirq.X(A) ** sympy.Symbol("t"), cirq.X(B))
    twice = [{"t": 1}, {"t": 0}, {"t": 1}]
    assert sampler.sample_expectation_values(turned, shared, num_samples=20, params=twice) == [
        [0, -1, 0], [2, 1, 0], [0, -1, 0],
    ]  # fmt: skip
    assert sampler.sample_expectation_values(cirq.Circuit(cirq.H(A)), cirq.X(A), num_samples=100) == [[1]]
    sweep = cirq.Linspace("t", 0, 2, 3)
    values = sampler.sample_expectation_values(
        cirq.Circuit(cirq.X(A) ** T, cirq.X(B)), [cirq.Z(A), cirq.Z(A) * cirq.Z(B)], num_samples=5, params=sweep
    )
    assert values == [[1, -1], [-1, 1], [1, -1]]
    (value,) = sampler.sample_expectation_values(
        cirq.Circuit(cirq.ry(1.0)(A)), [0.5 * cirq.X(A) + cirq.Z(A)], num_samples=20_000
    )[0]
    assert value == pytest.approx(0.5 * np.sin(1) + np.cos(1), abs=0.03)
    phases = cirq.Points("t", [1, 1j])  # type: ignore[list-item]  # a global phase may be complex
    assert sampler.sample_expectation_values(
        cirq.Circuit(cirq.global_phase_operation(T)), cirq.Z(A), num_samples=5, params=phases
    ) == [[1], [1]]
    for circuit, observables, samples in [
        (cirq.Circuit(cirq.H(A)), [cirq.X(A)], 0),
        (cirq.Circuit(cirq.H(A)), [], 1),
        (cirq.Circuit(cirq.H(A), cirq.measure(A)), [cirq.X(A)], 1),
    ]:
        with pytest.raises(ValueError, match=r"at least one|At least one|permit_terminal_measurements"):
            sampler.sample_expectation_values(circuit, observables, num_samples=samples)


GATES: dict[cirq.Gate, int] = {
    **dict.fromkeys(
        (
            cirq.X,
            cirq.Y**0.5,
            cirq.Z**0.3,
            cirq.H,
            cirq.S,
            cirq.T,
            cirq.rx(0.4),
            cirq.PhasedXPowGate(phase_exponent=0.3, exponent=0.6),
        ),
        1,
    ),
    **dict.fromkeys(
        (cirq.CX, cirq.CZ**0.4, cirq.ISWAP**0.5, cirq.SWAP**0.7, cirq.FSimGate(0.3, 0.8), cirq.ZZ**0.2, cirq.XX**0.6), 2
    ),
    **dict.fromkeys((cirq.CCX, cirq.CCZ**0.3, cirq.CSWAP), 3),
}


@pytest.mark.parametrize("seed", range(5))
def test_samples_of_random_circuits(sampler: Sampler, seed: int) -> None:
    """Random circuits of one-, two- and three-qubit gates: the distribution of samples"""
    circuit = cirq.testing.random_circuit(4, 15, 0.8, GATES, random_state=seed)
    circuit.append(cirq.measure(*sorted(circuit.all_qubits()), key="m"))
    assert_same_distribution(sampler, circuit, "m")


@pytest.mark.parametrize("seed", range(5))
def test_values_of_random_circuits(sampler: Sampler, simulator: cirq.Simulator, seed: int) -> None:
    """Random circuits of one-, two- and three-qubit gates: exact expectation values of Pauli sums"""
    circuit = cirq.testing.random_circuit(5, 25, 0.8, GATES, random_state=seed)
    qubits = sorted(circuit.all_qubits())
    generator = np.random.default_rng(seed)
    paulis = (cirq.I, cirq.X, cirq.Y, cirq.Z)
    strings: list[cirq.PauliString[Any]] = [
        cirq.PauliString({qubit: paulis[generator.integers(4)] for qubit in qubits}) for _ in range(6)
    ]
    observables: list[Any] = [*strings, 0.3 * strings[0] - strings[1] + 2]
    theirs = simulator.simulate_expectation_values(circuit, observables)
    assert sampler.simulate_expectation_values(circuit, observables) == pytest.approx(np.real(theirs), abs=1e-7)


def test_values_of_sweeps(sampler: Sampler, simulator: cirq.Simulator) -> None:
    """Symbols and expressions in every gate that takes them: exact values over a sweep"""
    s, t = sympy.symbols("s t")
    circuit = cirq.Circuit(
        cirq.H.on_each(A, B, C),
        *((gate**exponent)(A) for gate in (cirq.X, cirq.Y, cirq.Z, cirq.H) for exponent in (t, 2 * s + 1)),
        *((gate ** (t * s))(A, B) for gate in (cirq.CX, cirq.CZ, cirq.SWAP, cirq.ISWAP, cirq.XX, cirq.YY, cirq.ZZ)),
        *((gate ** (t - s))(A, B, C) for gate in (cirq.CCX, cirq.CCZ)),
        *(gate(sympy.sqrt(s))(B) for gate in (cirq.rx, cirq.ry, cirq.rz)),
        cirq.PhasedXPowGate(phase_exponent=s, exponent=t)(A),
        cirq.PhasedXZGate(x_exponent=s, z_exponent=t, axis_phase_exponent=s / 3)(B),
        cirq.FSimGate(s, sympy.pi * t)(B, C),
        cirq.PhasedFSimGate(s, t, 0.3, s * t, t)(A, C),
        cirq.PhasedISwapPowGate(phase_exponent=s, exponent=t)(A, B),
        (cirq.X**s)(B).controlled_by(A, C, control_values=[0, 1]),
        cirq.ISWAP(A, B).controlled_by(C) ** t,
        cirq.CircuitOperation(cirq.FrozenCircuit(cirq.X(A) ** t, cirq.CX(A, B) ** s)).with_params({s: t / 2}),
    )
    observables: list[Any] = [cirq.Z(A), cirq.X(B) * cirq.Y(C), cirq.Z(A) * cirq.Z(B) * cirq.Z(C) + 0.5 * cirq.Y(A)]
    sweep = cirq.Linspace("s", 0.1, 1.7, 4) * cirq.Points("t", [-0.4, 0, 1.3])
    theirs = simulator.simulate_expectation_values_sweep(circuit, observables, sweep)
    ours = sampler.simulate_expectation_values_sweep(circuit, observables, sweep)
    np.testing.assert_allclose(ours, np.real(theirs), atol=1e-7)


@pytest.mark.parametrize(
    "qubits",
    [
        cirq.LineQubit.range(3),
        cirq.GridQubit.rect(1, 3),
        [cirq.NamedQubit(name) for name in ("q10", "q2", "anna")],
        [cirq.q("z"), cirq.q(5), cirq.q(1, 2)],
    ],
    ids=str,
)
def test_qubits_of_every_kind(sampler: Sampler, simulator: cirq.Simulator, qubits: list[cirq.Qid]) -> None:
    """Line, grid and named qubits, and a mixture, keep the order that measurements and qubit_order name"""
    first, second, third = qubits
    circuit = cirq.Circuit(cirq.X(first), cirq.CX(first, third), cirq.I(second))
    measured = circuit + cirq.Circuit(cirq.measure(third, second, first, key="m"), cirq.measure_each(*qubits))
    assert sampler.run(measured, repetitions=2) == simulator.run(measured, repetitions=2)
    observables = [cirq.Z(qubit) for qubit in qubits]
    arguments: dict[str, Any] = {"qubit_order": qubits, "initial_state": 0b010}
    theirs = simulator.simulate_expectation_values(circuit, observables, **arguments)
    assert sampler.simulate_expectation_values(circuit, observables, **arguments) == pytest.approx(np.real(theirs))


def test_keys(sampler: Sampler) -> None:
    """Repeated keys, keys of subcircuits, inverted and confused bits, measurements amid the circuit"""
    inner = cirq.FrozenCircuit(cirq.H(A), cirq.CX(A, B), cirq.measure(B, key="in"))
    circuit = cirq.Circuit(
        cirq.CircuitOperation(inner, repetitions=2, use_repetition_ids=True),
        cirq.CircuitOperation(inner, repetitions=3, use_repetition_ids=False).with_measurement_key_mapping({"in": "r"}),
        cirq.measure(A, B, key="m", invert_mask=(True, False)),
        cirq.reset(A),
        cirq.measure(A, B, key="n", confusion_map={(1,): np.array([[0.9, 0.1], [0.4, 0.6]])}),
        cirq.measure_single_paulistring(cirq.X(A) * cirq.Z(B), key="p"),
    )
    assert_same_distribution(sampler, circuit, "0:in", "r", "m", "n", "p", repetitions=500)


def test_teleportation(sampler: Sampler) -> None:
    """Teleportation with classical controls"""
    message, alice, bob = cirq.LineQubit.range(3)
    prepare = cirq.PhasedXZGate(x_exponent=0.3, z_exponent=0.2, axis_phase_exponent=0.4)
    circuit = cirq.Circuit(
        prepare(message),
        cirq.H(alice),
        cirq.CX(alice, bob),
        cirq.CX(message, alice),
        cirq.H(message),
        cirq.measure(message, key="z"),
        cirq.measure(alice, key="x"),
        cirq.X(bob).with_classical_controls("x"),
        cirq.Z(bob).with_classical_controls("z"),
        (prepare**-1)(bob),
        cirq.measure(bob, key="out"),
    )
    result = sampler.run(circuit, repetitions=300)
    assert not result.measurements["out"].any()
    assert {*result.multi_measurement_histogram(keys=["x", "z"])} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_classical_controls(sampler: Sampler) -> None:
    """Classical controls on keys, several at once, and on sympy conditions"""
    m, n = sympy.symbols("m n")
    circuit = cirq.Circuit(
        cirq.H.on_each(A, B, C),
        cirq.measure(A, B, key="m"),
        cirq.measure(C, key="n"),
        cirq.X(A).with_classical_controls("m", "n"),
        cirq.X(B).with_classical_controls(sympy.Eq(m, 2) | (m < n)),
        (cirq.X(C) ** 0.5).with_classical_controls(sympy.Eq(m % 2, n)),
        cirq.measure(A, B, C, key="out"),
    )
    assert_same_distribution(sampler, circuit, "m", "n", "out", repetitions=800)


def test_ghz(sampler: Sampler) -> None:
    """GHZ states, of 50 qubits too, which are Clifford circuits"""
    for count in (3, 50):
        qubits = cirq.LineQubit.range(count)
        circuit = cirq.Circuit(
            cirq.H(qubits[0]),
            [cirq.CX(*pair) for pair in pairwise(qubits)],
            cirq.measure(*qubits, key="m"),
        )
        counts = sampler.run(circuit, repetitions=1000).histogram(key="m")
        assert set(counts) == {0, 2**count - 1}
        assert 400 < counts[0] < 600


def test_phase_estimation(sampler: Sampler) -> None:
    """Phase estimation with controlled powers of a gate and cirq.qft"""
    theta, bits = 0.140625, 6
    register, target = cirq.LineQubit.range(bits), cirq.NamedQubit("u")
    unitary = cirq.Z ** (2 * theta)
    circuit = cirq.Circuit(
        cirq.H.on_each(*register),
        cirq.X(target),
        [(unitary ** (2**power)).on(target).controlled_by(qubit) for power, qubit in enumerate(reversed(register))],
        cirq.qft(*register, without_reverse=False, inverse=True),
        cirq.measure(*register, key="phase"),
    )
    counts = sampler.run(circuit, repetitions=50).histogram(key="phase")
    assert counts == {round(theta * 2**bits): 50}


def test_qaoa(sampler: Sampler, simulator: cirq.Simulator) -> None:
    """QAOA for MaxCut: a grid of angles as one sweep, sampled and exact"""
    qubits = cirq.LineQubit.range(4)
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    gamma, beta = sympy.symbols("gamma beta")
    circuit = cirq.Circuit(
        cirq.H.on_each(*qubits),
        [cirq.ZZ(qubits[i], qubits[j]) ** gamma for i, j in edges],
        [cirq.X(qubit) ** beta for qubit in qubits],
    )
    cut = sum(0.5 - 0.5 * cirq.Z(qubits[i]) * cirq.Z(qubits[j]) for i, j in edges)
    sweep = cirq.Linspace("gamma", 0, 1, 5) * cirq.Linspace("beta", 0, 1, 5)
    exact = sampler.simulate_expectation_values_sweep(circuit, cut, sweep)
    theirs = simulator.simulate_expectation_values_sweep(circuit, cut, sweep)
    np.testing.assert_allclose(exact, np.real(theirs), atol=1e-7)
    results = sampler.run_sweep(circuit + cirq.Circuit(cirq.measure(*qubits, key="m")), sweep, 4000)
    bits = [result.measurements["m"] for result in results]
    sampled = [sum(np.mean(each[:, i] != each[:, j]) for i, j in edges) for each in bits]
    np.testing.assert_allclose(sampled, np.ravel(exact), atol=0.12)


def test_grover(sampler: Sampler) -> None:
    """Grover's search with multi-controlled gates"""
    qubits = cirq.LineQubit.range(4)
    marked = [1, 0, 1, 1]
    circuit = cirq.Circuit(cirq.H.on_each(*qubits))
    for _ in range(3):
        circuit.append(_mark(qubits, marked))
        circuit.append([cirq.H.on_each(*qubits), _mark(qubits, [0] * 4), cirq.H.on_each(*qubits)])
    circuit.append(cirq.measure(*qubits, key="m"))
    counts = sampler.run(circuit, repetitions=500).histogram(key="m")
    assert counts.most_common(1)[0][0] == 0b1011
    assert counts[0b1011] > 450


def _mark(qubits: list[cirq.LineQubit], state: list[int]) -> cirq.Operation:
    return cirq.GlobalPhaseGate(-1).on().controlled_by(*qubits, control_values=state)


def test_bell_inequality(sampler: Sampler) -> None:
    """CHSH's game with random referees wins more often than any classical strategy"""
    alice, bob, x, y = cirq.LineQubit.range(4)
    circuit = cirq.Circuit(
        cirq.H(alice),
        cirq.CX(alice, bob),
        cirq.X(alice) ** -0.25,
        cirq.H.on_each(x, y),
        cirq.CX(x, alice) ** 0.5,
        cirq.CX(y, bob) ** 0.5,
        cirq.measure(alice, key="a"),
        cirq.measure(bob, key="b"),
        cirq.measure(x, key="x"),
        cirq.measure(y, key="y"),
    )
    result = sampler.run(circuit, repetitions=4000)
    bits = {key: result.measurements[key][:, 0] for key in "abxy"}
    won = np.mean((bits["a"] ^ bits["b"]) == (bits["x"] & bits["y"]))
    assert won == pytest.approx(np.cos(np.pi / 8) ** 2, abs=0.03)


def test_measure_observables(sampler: Sampler) -> None:
    """cirq.work's grouped measurement of observables and its collector"""
    circuit = cirq.Circuit(cirq.H(A), cirq.CX(A, B))
    observables = [cirq.X(A) * cirq.X(B), cirq.Y(A) * cirq.Y(B), cirq.Z(A) * cirq.Z(B)]
    measured = measure_observables(
        circuit, observables, sampler, RepetitionsStoppingCriteria(500), readout_symmetrization=True
    )
    assert [round(each.mean, 9) for each in measured] == [1, -1, 1]
    collector = cirq.PauliSumCollector(circuit, observables[0] - 2 * observables[1], samples_per_term=100)
    collector.collect(sampler)
    assert collector.estimated_energy() == pytest.approx(3)


def test_experiments(sampler: Sampler) -> None:
    """cirq.experiments: randomized benchmarking, readout errors, T1 decay, confusion matrices"""
    benchmark = cirq.experiments.single_qubit_rb(
        sampler, A, cirq.experiments.RBParameters(num_clifford_range=[3, 9], num_circuits=3, repetitions=20)
    )
    assert [ground for _, ground in benchmark.data] == [1, 1]
    readout = cirq.experiments.estimate_single_qubit_readout_errors(sampler, qubits=[A, B], repetitions=20)
    assert readout.zero_state_errors == {A: 0, B: 0}
    assert readout.one_state_errors == {A: 0, B: 0}
    decay = cirq.experiments.t1_decay(sampler, qubit=A, num_points=3, max_delay=cirq.Duration(micros=1), repetitions=10)
    assert decay.data["true_count"].tolist() == [10, 10, 10]
    confusion = cirq.measure_confusion_matrix(sampler, [[A, B]], repetitions=20)
    np.testing.assert_array_equal(confusion.confusion_matrices[0], np.eye(4))


@pytest.mark.xfail(raises=ValueError, strict=True, reason="circuits are sent without noise: give the backend a model")
def test_noise(sampler: Sampler) -> None:
    """Noise channels in circuits"""
    sampler.run(cirq.Circuit(cirq.depolarize(0.1)(A), cirq.measure(A)))


@pytest.mark.xfail(raises=ValueError, strict=True, reason="circuits are sent for qubits only")
def test_qudits(sampler: Sampler) -> None:
    """Qudits"""
    sampler.run(cirq.Circuit(cirq.measure(cirq.LineQid(0, dimension=3))))


@pytest.mark.xfail(raises=ValueError, strict=True, reason="how often it repeats, and so its records, are not known")
def test_repeat_until(sampler: Sampler) -> None:
    """Subcircuits that repeat until a condition holds"""
    inner = cirq.FrozenCircuit(cirq.H(A), cirq.measure(A, key="m"))
    until = cirq.KeyCondition(cirq.MeasurementKey("m"))
    sampler.run(cirq.Circuit(cirq.CircuitOperation(inner, use_repetition_ids=False, repeat_until=until)))


@pytest.mark.xfail(raises=ValueError, strict=True, reason="it has no single final state: sample it")
def test_values_after_measurements(sampler: Sampler) -> None:
    """Exact expectation values of circuits that go on after a measurement"""
    sampler.simulate_expectation_values(cirq.Circuit(cirq.measure(A, key="m"), cirq.H(A)), cirq.Z(A))
