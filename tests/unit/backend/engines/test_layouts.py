"""Layouts in engines: what is counted is what the calibration says of those very qubits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.protocol import Provider, load
from qonverge.backend.executors.worker import Worker
from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.mapping.mapped import load_of
from qonverge.circuits.mapping.mapper import Mapper
from qonverge.circuits.mapping.target import device_target
from qonverge.devices import Calibration, Gate, Layout, Qubit
from qonverge.forecast.fidelity import EXACT, FAST, Forecaster, interval
from qonverge.forecast.intervals import Interval
from qonverge.wire.errors import InvalidCircuit
from qonverge.wire.messages import Pub, PubResult, Task

Floats = NDArray[np.float64]

GATES = {"x": 0.004, "sx": 0.004}
PAIRS = {(0, 1): 0.02, (1, 2): 0.3, (2, 3): 0.25, (3, 4): 0.01}
# To read 0 for 1 and 1 for 0: qubit 2 is a very bad one.
READ = ((0.03, 0.01), (0.05, 0.02), (0.35, 0.2), (0.04, 0.02), (0.02, 0.01))
DEVICE = Calibration(
    "street",
    tuple(Qubit(read_1_as_0=low, read_0_as_1=high) for low, high in READ),
    (
        *(Gate(name, (q,), error * (40 if q == 2 else 1)) for name, error in GATES.items() for q in range(5)),
        *(Gate("rz", (q,), 0.0) for q in range(5)),
        *(Gate("cx", pair, error) for (a, b), error in PAIRS.items() for pair in ((a, b), (b, a))),
    ),
)
ENGINES = ("Aer", "Stim", "BraketLocal")
SHOTS = 40_000


def flip() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def expected(places: tuple[int, ...]) -> Floats:
    """Return the probabilities of 00, 01, 10, 11 for ``flip``, by the calibration alone, without any simulator."""
    first = places[0]
    x = np.array([[0, 1], [1, 0]])
    cx = np.eye(4)[[0, 3, 2, 1]]  # qubit 0 is the low bit, and the control
    rho = np.zeros((4, 4))
    rho[0, 0] = 1
    rho = np.kron(np.eye(2), x) @ rho @ np.kron(np.eye(2), x)
    # An average infidelity e of a gate on d levels is a depolarising probability of e d / (d - 1).
    p = 2 * error_of("x", (first,))
    inner = rho.reshape(2, 2, 2, 2)
    mixed = np.einsum("aibi,jk->ajbk", inner, np.eye(2) / 2).reshape(4, 4)
    rho = (1 - p) * rho + p * mixed
    rho = cx @ rho @ cx.T
    p = 4 / 3 * error_of("cx", places)
    rho = (1 - p) * rho + p * np.eye(4) / 4
    confusions = [np.array([[1 - READ[q][1], READ[q][0]], [READ[q][1], 1 - READ[q][0]]]) for q in places]
    return np.asarray(np.kron(confusions[1], confusions[0]) @ np.diag(rho))


def error_of(name: str, qubits: tuple[int, ...]) -> float:
    gate = DEVICE.gate(name, qubits)
    assert gate is not None
    assert gate.error is not None
    return gate.error


def engine(name: str = "Aer", *, keep_layouts: bool = False) -> Provider:
    return load(EngineConfig(provider=name, noise=DEVICE, keep_layouts=keep_layouts))


def ran(provider: Provider, circuit: QuantumCircuit, layout: Layout | None = None) -> PubResult:
    return provider.run(provider.prepare(circuit, layout), Pub("c", shots=SHOTS), seed=7, memory=False)


def frequencies(result: PubResult) -> Floats:
    (counts,) = result.counts
    return np.array([counts.get(outcome, 0) for outcome in ("00", "01", "10", "11")]) / SHOTS


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("places", [(0, 1), (1, 2), (2, 1), (3, 4), (4, 3)])
def test_counts_are_those_of_the_qubits_that_were_named(name: str, places: tuple[int, ...]) -> None:
    result = ran(engine(name), flip(), Layout(places))
    assert result.layout == places
    # Five standard deviations.
    assert frequencies(result) == pytest.approx(expected(places), abs=5 * 0.5 / SHOTS**0.5)


def test_without_a_layout_the_bad_qubit_is_not_taken() -> None:
    result = ran(engine(), flip())
    assert 2 not in result.layout
    assert frequencies(result)[3] > 0.9
    # Which is far from what it gives.
    assert expected((1, 2))[3] < 0.6


def test_a_backend_that_keeps_layouts_takes_the_first_qubits() -> None:
    result = ran(engine(keep_layouts=True), flip())
    assert result.layout == (0, 1)
    assert frequencies(result) == pytest.approx(expected((0, 1)), abs=5 * 0.5 / SHOTS**0.5)
    # A job's own layout counts more.
    assert ran(engine(keep_layouts=True), flip(), Layout((4, 3))).layout == (4, 3)


def test_a_transpiled_circuit_keeps_its_qubits() -> None:
    there = transpile(flip(), target=device_target(DEVICE), initial_layout=[2, 1], optimization_level=0)
    assert frequencies(ran(engine(), there)) == pytest.approx(expected((2, 1)), abs=5 * 0.5 / SHOTS**0.5)


def test_values_are_of_the_program_s_qubits_wherever_they_lie() -> None:
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.cx(0, 2)
    provider = engine()
    for layout in (Layout((0, 1, 2)), Layout((4, 0, 3)), Layout((1, 4, 3))):
        prepared = provider.prepare(circuit, layout)
        observables = tuple(((label, 1.0),) for label in ("IIZ", "IZI", "ZII"))
        found = provider.run(prepared, Pub("c", observables=observables), seed=1, memory=False).expectation_values
        assert found is not None
        assert np.sign(found.ravel()).tolist() == [-1, 1, -1]


def test_what_cannot_be_laid_out_is_refused() -> None:
    with pytest.raises(InvalidCircuit, match=r"does not run on street: .* qubits 0 and 2 are not coupled on street"):
        engine().prepare(flip(), Layout((0, 2), routing=False))


def test_a_worker_keeps_each_layout_apart() -> None:
    done = check(
        'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; x q[0]; cx q[0], q[1]; c = measure q;', {}, []
    )
    worker = Worker(EngineConfig(noise=DEVICE))
    pubs = tuple(Pub(done.digest, shots=SHOTS, layout=layout) for layout in (Layout((1, 2)), Layout((0, 1)), None))
    # What was prepared for one layout is none for another; the circuit travels once.
    first, second, third = worker.run(Task("t", pubs, {done.digest: done.qpy}), 1, 1)
    assert (first.layout, second.layout) == ((1, 2), (0, 1))
    assert third.layout not in (first.layout, second.layout)
    assert frequencies(first) == pytest.approx(expected((1, 2)), abs=5 * 0.5 / SHOTS**0.5)
    assert frequencies(second) == pytest.approx(expected((0, 1)), abs=5 * 0.5 / SHOTS**0.5)


def test_physical_qubits_of_openqasm_are_a_layout() -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; bit[2] c; x ${}; cx ${}, ${}; c[0] = measure ${}; c[1] = measure ${};'
    for places in ((1, 2), (4, 3)):
        first, second = places
        done = check(text.format(first, first, second, first, second), {}, [])
        assert done.layout == Layout(tuple(sorted(places)), routing=False)
        assert done.analysis.num_qubits == 2
        worker = Worker(EngineConfig(noise=DEVICE))
        pub = Pub(done.digest, shots=SHOTS, layout=done.layout)
        (result,) = worker.run(Task("t", (pub,), {done.digest: done.qpy}), 1, 1)
        assert frequencies(result) == pytest.approx(expected(places), abs=5 * 0.5 / SHOTS**0.5)


def test_a_parameter_that_nothing_uses_still_belongs_to_the_program() -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; input float a; input float b; bit[1] c; rx(a) $3; c[0] = measure $3;'
    done = check(text, {"a": np.pi, "b": 0.2}, [])
    assert done.analysis.parameters == ("a", "b")
    worker = Worker(EngineConfig(noise=DEVICE))
    pub = Pub(done.digest, {"a": np.array([np.pi]), "b": np.array([0.2])}, SHOTS, layout=done.layout)
    (result,) = worker.run(Task("t", (pub,), {done.digest: done.qpy}), 1, 1)
    assert result.counts[0]["1"] / SHOTS == pytest.approx(1 - READ[3][0], abs=0.02)


def test_observables_of_physical_qubits_go_by_their_numbers() -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; x $3; cx $3, $4; '
    done = check(text, {}, ["IZIII", "ZIIII", "IIIIZ", "IIIIX", {"ZZIIZ": 0.5, "IZXII": 2.0}])
    assert done.observables == (
        (("IZ", 1.0),),
        (("ZI", 1.0),),
        (("II", 1.0),),
        (("II", 0.0),),
        (("ZZ", 0.5), ("IZ", 0.0)),
    )
    worker = Worker(EngineConfig(noise=DEVICE))
    pub = Pub(done.digest, observables=done.observables, layout=done.layout)
    (result,) = worker.run(Task("t", (pub,), {done.digest: done.qpy}), 1, 1)
    assert result.expectation_values is not None
    z_3, z_4, idle, off, both = result.expectation_values.ravel()
    # Depolarised by x, and then by cx, as in ``expected``.
    left = 1 - 4 / 3 * error_of("cx", (3, 4))
    assert z_3 == pytest.approx(-left * (1 - 2 * error_of("x", (3,))))
    assert (z_4, idle, off, both) == pytest.approx((z_3, 1, 0, 0.5 * left))
    with pytest.raises(InvalidProgram, match="ZZ"):
        check(text, {}, ["ZZ"])


@pytest.mark.parametrize("exact", [False, True])
def test_the_forecast_is_of_the_qubits_that_were_named(exact: bool) -> None:
    done = check(
        'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; x q[0]; cx q[0], q[1]; c = measure q;', {}, []
    )
    profile = done.profile
    assert profile is not None

    def forecast(places: tuple[int, ...]) -> Interval:
        layout = Layout(places)
        if exact:
            return interval(profile, load_of(Mapper(DEVICE).map(flip(), layout).circuit, DEVICE, {0: 1, 1: 1}), EXACT)
        return interval(profile, Forecaster().load(profile, DEVICE, layout=layout), FAST)

    everywhere = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 0), (4, 3)]
    found = {places: forecast(places) for places in everywhere}
    for places, told in found.items():
        # The outcome without errors is 11 alone, so that its probability is the fidelity.
        truth = expected(places)[3]
        assert told.mid == pytest.approx(truth, abs=0.02 if truth > 0.8 else 0.08)
        assert told.low <= truth <= told.high
    assert sorted(everywhere[:4], key=lambda places: found[places].mid) == sorted(
        everywhere[:4], key=lambda places: float(expected(places)[3])
    )
