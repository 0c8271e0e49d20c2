"""PennyLane's own device suite, and programs as its users write them, beside ``default.qubit``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pennylane import numpy as pnp

from qonverge.client.transport.embedded import Embedded


@pytest.mark.parametrize("shots", ["None", "20000"])
def test_device_suite(shots: str, record_property: Any) -> None:
    """pl-device-test, PennyLane's suite for devices, in full: exact, and with 20,000 shots"""
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [scripts / "pl-device-test", "--device=qonverge.remote", f"--shots={shots}", "-q", "-p", "no:cacheprovider"],
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    said = re.findall(r"(\d+) (passed|failed|error)", done.stdout)
    counts = {kind: int(number) for number, kind in said}
    assert counts.keys() == {"passed"}
    assert counts["passed"] > 300


@pytest.fixture
def devices(runner: Embedded) -> tuple[Any, Any]:
    return qml.device("qonverge.remote", wires=4, runner=runner, seed=3), qml.device("default.qubit", wires=4)


def same(devices: tuple[Any, Any], program: Any, *arguments: Any, **kwargs: Any) -> None:
    ours, theirs = (qml.QNode(program, device, **kwargs)(*arguments) for device in devices)
    assert type(ours) is type(theirs)
    for mine, other in zip(*(each if isinstance(each, tuple) else (each,) for each in (ours, theirs)), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-7)


def ansatz(x: Any) -> None:
    qml.Hadamard(0)
    qml.CRX(x[0], wires=[0, 1])
    qml.Rot(x[1], 0.3, x[0], wires=2)
    qml.CNOT([2, 3])
    qml.IsingXY(x[1], wires=[1, 2])
    qml.QubitUnitary(np.diag([1, 1j, -1, 1]), wires=[3, 0])
    qml.GlobalPhase(0.4)


@pytest.mark.parametrize(
    "measured",
    [
        lambda: qml.expval(qml.Z(0) @ qml.X(2) + 0.5 * qml.Y(1)),
        lambda: qml.expval(qml.Hermitian(np.array([[1, 2 - 1j], [2 + 1j, 0]]), wires=1)),
        lambda: qml.expval(qml.Projector([1, 0], wires=[0, 3])),
        lambda: qml.var(qml.Z(0) @ qml.Y(3)),
        lambda: qml.probs(wires=[3, 1]),
        qml.state,
        lambda: qml.density_matrix(wires=[1, 2]),
        lambda: qml.purity(wires=[0, 1]),
        lambda: qml.vn_entropy(wires=[2]),
        lambda: qml.mutual_info([0], [1]),
    ],
)
def test_measurements(devices: tuple[Any, Any], measured: Any) -> None:
    """Exact measurements equal those of default.qubit: expval, var, probs, state, density_matrix, entropies"""

    def program(x: Any) -> Any:
        ansatz(x)
        return measured()

    same(devices, program, [0.4, 1.1])


def test_gradients(devices: tuple[Any, Any]) -> None:
    """Gradients by parameter shift equal those of backpropagation, and all shifts are one task with one circuit"""

    def program(x: Any) -> Any:
        qml.RX(x[0], 0)
        qml.CRY(x[1], wires=[0, 1])
        qml.IsingZZ(x[2], wires=[1, 2])
        return qml.expval(qml.X(0) @ qml.Z(1))

    ours, theirs = devices
    x = pnp.array([0.3, 0.7, 0.2], requires_grad=True)
    node = qml.QNode(program, ours, diff_method="parameter-shift")
    with qml.Tracker(ours) as tracker:
        gradient = qml.grad(node)(x)
    np.testing.assert_allclose(gradient, qml.grad(qml.QNode(program, theirs))(x), atol=1e-7)
    # The value, and all shifts together.
    assert tracker.totals["batches"] == 2


def test_shots(devices: tuple[Any, Any]) -> None:
    """Finite shots, shot vectors, samples and counts"""

    def program() -> Any:
        qml.Hadamard(0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(0)), qml.sample(wires=[0, 1]), qml.counts(wires=[0, 1])

    value, samples, counts = qml.set_shots(qml.QNode(program, devices[0]), 500)()
    assert abs(value) < 0.3
    assert samples.shape == (500, 2)
    assert (samples[:, 0] == samples[:, 1]).all()
    assert set(counts) == {"00", "11"}
    vector = qml.set_shots(qml.QNode(program, devices[0]), (10, 20))()
    assert [part[1].shape for part in vector] == [(10, 2), (20, 2)]


def test_tapes_draw_shots_of_their_own(devices: tuple[Any, Any]) -> None:
    """Equal circuits that are executed together draw shots of their own"""
    tape = qml.tape.QuantumScript([qml.Hadamard(0)], [qml.sample(wires=0)], shots=64)
    first, second = qml.execute([tape, tape], devices[0], cache=False)
    assert first.tolist() != second.tolist()


def test_shadows(devices: tuple[Any, Any]) -> None:
    """Classical shadows"""

    def program() -> Any:
        qml.Hadamard(0)
        qml.CNOT([0, 1])
        return qml.shadow_expval(qml.Z(0) @ qml.Z(1))

    assert qml.set_shots(qml.QNode(program, devices[0]), 5000)() == pytest.approx(1, abs=0.25)


def test_conditionals(devices: tuple[Any, Any]) -> None:
    """Mid-circuit measurements and conditions, deferred to the end"""

    def program(x: Any) -> Any:
        qml.RY(x, 0)
        measured = qml.measure(0)
        qml.cond(measured, qml.X)(1)
        return qml.expval(qml.Z(1))

    same(devices, program, 0.8)


def test_broadcast(devices: tuple[Any, Any]) -> None:
    """Parameter broadcasting"""

    def program(x: Any) -> Any:
        qml.RX(x, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    same(devices, program, np.linspace(0, 3, 7))


def test_optimisation(devices: tuple[Any, Any]) -> None:
    """A variational loop with qml.grad finds the ground state"""
    hamiltonian = qml.Hamiltonian([1.0, 1.0, 0.5], [qml.Z(0) @ qml.Z(1), qml.X(0), qml.X(1)])

    def program(x: Any) -> Any:
        qml.StronglyEntanglingLayers(x, wires=[0, 1])
        return qml.expval(hamiltonian)

    node = qml.QNode(program, devices[0])
    x = pnp.array(np.random.default_rng(1).uniform(0, 1, (2, 2, 3)), requires_grad=True)
    optimiser = qml.AdamOptimizer(0.2)
    for _ in range(60):
        x = optimiser.step(node, x)
    exact = np.linalg.eigvalsh(qml.matrix(hamiltonian, wire_order=[0, 1]))[0]
    assert node(x) == pytest.approx(exact, abs=0.02)


WIRES = range(3)
SINGLE: dict[str, Any] = {"X": qml.X, "Y": qml.Y, "Z": qml.Z, "I": qml.I, "H": qml.Hadamard}


@st.composite
def factors(draw: st.DrawFn, wire: int) -> Any:
    """A single-wire observable, or a matrix."""
    kind = draw(st.sampled_from([*SINGLE, "matrix"]))
    if kind != "matrix":
        return SINGLE[kind](wire)
    a, b, c, d = (draw(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0])) for _ in range(4))
    return qml.Hermitian(np.array([[a, b + 1j * c], [b - 1j * c, d]]), wire)


@st.composite
def observables(draw: st.DrawFn, depth: int = 2) -> Any:
    """A product on different wires, a multiple, a sum, a Hamiltonian; identities anywhere."""
    kind = draw(st.sampled_from(["product", "multiple", "sum", "hamiltonian"] if depth else ["product"]))
    if kind == "product":
        wires = draw(st.lists(st.sampled_from(WIRES), min_size=1, max_size=3, unique=True))
        parts = [draw(factors(wire)) for wire in wires]
        return parts[0] if len(parts) == 1 else qml.prod(*parts)
    weights = st.sampled_from([-1.5, 0.5, 1.0, 2.0])
    if kind == "multiple":
        return qml.s_prod(draw(weights), draw(observables(depth=depth - 1)))
    terms = [draw(observables(depth=depth - 1)) for _ in range(2)]
    return qml.sum(*terms) if kind == "sum" else qml.Hamiltonian([draw(weights), draw(weights)], terms)


def prepare(angles: list[float]) -> None:
    for wire in WIRES:
        qml.RY(angles[wire], wire)
    qml.CNOT([0, 1])
    qml.IsingXX(angles[3], wires=[1, 2])
    qml.PhaseShift(angles[4], 1)


angles = st.lists(st.floats(-3, 3), min_size=5, max_size=5)
statistics = st.lists(st.tuples(st.sampled_from(["expval", "var", "sample", "counts"]), observables()), max_size=3)


def spectrum(observable: Any, given: list[float]) -> dict[float, float]:
    """Return the probability of each eigenvalue, by numpy from the state."""

    def program() -> Any:
        prepare(given)
        return qml.state()

    state = qml.QNode(program, qml.device("default.qubit", wires=WIRES))()
    values, vectors = np.linalg.eigh(qml.matrix(observable, wire_order=WIRES))
    found: dict[float, float] = {}
    for value, vector in zip(values, vectors.T, strict=True):
        outcome = round(float(value), 6) + 0.0
        found[outcome] = found.get(outcome, 0.0) + abs(np.vdot(vector, state)) ** 2
    return found


@settings(max_examples=60, deadline=None)
@given(angles, st.lists(st.tuples(st.sampled_from(["expval", "var"]), observables()), min_size=1, max_size=3))
def test_random_measurements(runner: Embedded, given_angles: list[float], wanted: list[tuple[str, Any]]) -> None:
    """Exact values of random sums and products, with identities and matrices, equal those of default.qubit"""

    def program() -> Any:
        prepare(given_angles)
        return [getattr(qml, kind)(observable) for kind, observable in wanted]

    ours, theirs = (
        qml.QNode(program, device)()
        for device in (qml.device("qonverge.remote", wires=3, runner=runner), qml.device("default.qubit", wires=3))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


def close(found: dict[float, float], expected: dict[float, float], shots: int) -> None:
    """See that outcomes come as often as they should, within 6 standard deviations."""
    for value, times in found.items():
        assert min(abs(value - other) for other in expected) < 1e-5, f"{value} is no eigenvalue"
        assert times > 0
    for value, probability in expected.items():
        share = sum(times for other, times in found.items() if abs(other - value) < 1e-5) / shots
        assert abs(share - probability) <= 6 * np.sqrt(max(probability * (1 - probability), 1 / shots) / shots)


@settings(max_examples=40, deadline=None)
@example([0.0] * 5, [("var", qml.X(2) + qml.X(2))], 400)
@given(angles, statistics.filter(bool), st.sampled_from([400, (300, 400)]))
def test_random_samples(runner: Embedded, given_angles: list[float], wanted: list[tuple[str, Any]], shots: Any) -> None:
    """Samples, counts, variances and means of random observables, with shot vectors too, are of their eigenvalues"""

    def program() -> Any:
        prepare(given_angles)
        return tuple(getattr(qml, kind)(observable) for kind, observable in wanted)

    device = qml.device("qonverge.remote", wires=3, runner=runner, seed=3)
    answers = qml.set_shots(qml.QNode(program, device), shots)()
    for answer, number in zip(answers if isinstance(shots, tuple) else [answers], np.atleast_1d(shots), strict=True):
        for (kind, observable), value in zip(wanted, answer, strict=True):
            expected = spectrum(observable, given_angles)
            mean = sum(outcome * weight for outcome, weight in expected.items())
            squares = sum((outcome - mean) ** 2 * weight for outcome, weight in expected.items())
            spread = max(map(abs, expected)) + 1e-9
            if kind == "sample":
                assert np.shape(value) == (number,)
                close(dict(zip(*np.unique(value, return_counts=True), strict=True)), expected, number)
            elif kind == "counts":
                assert sum(value.values()) == number
                close({float(outcome): times for outcome, times in value.items()}, expected, number)
            elif kind == "expval":
                # Terms of a sum are measured apart, of which each may spread as widely as its own coefficient.
                assert abs(value - mean) <= 6 * 12 * max(spread, 1) / np.sqrt(number)
            else:
                assert abs(value - squares) <= 6 * 2 * (2 * spread) ** 2 / np.sqrt(number)


@pytest.mark.parametrize("shots", [5, (2, 3)])
@pytest.mark.parametrize("observable", [qml.I(0), qml.I(0) @ qml.I(2), 3.0 * qml.I(1), qml.I(0) + qml.I(1)])
def test_identities(devices: tuple[Any, Any], observable: Any, shots: Any) -> None:
    """Means, variances, samples and counts of identities, for each shot and each of a batch"""

    def program(x: Any) -> Any:
        qml.RX(x, 0)
        return qml.var(observable), qml.sample(observable), qml.expval(observable), qml.expval(qml.Z(1))

    def counted() -> Any:
        return qml.counts(observable)

    for argument in (0.3, np.array([0.1, 0.2])):
        ours, theirs = (qml.set_shots(qml.QNode(program, device), shots)(argument) for device in devices)
        if not isinstance(shots, tuple):
            ours, theirs = [ours], [theirs]
        for mine, other in zip(ours, theirs, strict=True):
            for one, another in zip(mine, other, strict=True):
                np.testing.assert_array_equal(one, another)
    mine, other = (qml.set_shots(qml.QNode(counted, device), shots)() for device in devices)
    assert mine == other


def test_cut_circuits(devices: tuple[Any, Any]) -> None:
    """qml.cut_circuit_mc, whose fragments sample identities"""

    def cut() -> Any:
        qml.RX(0.3, 0)
        qml.CZ([0, 1])
        qml.WireCut(1)
        qml.CZ([1, 2])
        return qml.sample(wires=[0, 2])

    shape = np.shape(qml.cut_circuit_mc(qml.set_shots(qml.QNode(cut, devices[0]), 20))())
    assert shape == (20, 2)


def postselecting(x: Any) -> None:
    qml.RX(x, 0)
    qml.CNOT([0, 1])
    qml.measure(0, postselect=1)
    qml.RY(x, 1)


def test_postselection(devices: tuple[Any, Any]) -> None:
    """Postselected mid-circuit measurements: exact values, of a batch too; impossible outcomes are NaN"""

    def program(x: Any) -> Any:
        postselecting(x)
        return qml.expval(qml.X(1)), qml.probs(wires=[0, 1]), qml.var(qml.Z(1)), qml.expval(qml.Z(0) @ qml.Z(1))

    def twice(x: Any) -> Any:
        qml.RX(x, 0)
        first = qml.measure(0, postselect=1)
        qml.Hadamard(0)
        second = qml.measure(0, postselect=0)
        qml.RY(x, 0)
        return qml.expval(qml.Z(0)), qml.probs(op=[first, second]), qml.density_matrix([0])

    def impossible(x: Any) -> Any:
        qml.RZ(x, 0)
        qml.measure(0, postselect=1)
        return qml.expval(qml.Z(1)), qml.expval(qml.X(0))

    for body in (program, twice, impossible):
        same(devices, body, 0.9)
    same(devices, program, np.array([0.4, 0.9, 2.0]))


@pytest.mark.parametrize("mode", ["hw-like", "fill-shots"])
def test_postselection_with_shots(devices: tuple[Any, Any], mode: str) -> None:
    """Postselection with shots keeps those with the outcome (hw-like), or draws until there are enough (fill-shots)"""

    def program() -> Any:
        postselecting(1.2)
        return qml.sample(wires=[0, 1]), qml.counts(qml.X(1)), qml.expval(qml.Z(1) + 2 * qml.X(1))

    def exact() -> Any:
        postselecting(1.2)
        return qml.probs(wires=1), qml.probs(op=qml.X(1)), qml.expval(qml.Z(1) + 2 * qml.X(1))

    shots, kept = 3000, np.sin(0.6) ** 2
    node = qml.set_shots(qml.QNode(program, devices[0], postselect_mode=mode), shots)
    samples, counts, value = node()
    probabilities, of_x, mean = qml.QNode(exact, devices[1])()
    if mode == "fill-shots":
        assert (len(samples), sum(counts.values())) == (shots, shots)
    for number in (len(samples), sum(counts.values())):
        assert abs(number - (shots if mode == "fill-shots" else shots * kept)) <= 6 * np.sqrt(shots * kept * (1 - kept))
    assert (samples[:, 0] == 1).all()
    error = 6 / np.sqrt(len(samples))
    assert abs(samples[:, 1].mean() - probabilities[1]) <= error
    assert abs(counts[1.0] / sum(counts.values()) - of_x[0]) <= error
    assert abs(value - mean) <= 3 * error


def test_impossible_postselection_with_shots(devices: tuple[Any, Any]) -> None:
    """Postselection that no shot passes: NaN (hw-like), or an error that says so (fill-shots)"""

    def program() -> Any:
        qml.measure(0, postselect=1)
        return qml.expval(qml.Z(1)), qml.sample(wires=1)

    for device in devices:
        assert np.isnan(qml.set_shots(qml.QNode(program, device, postselect_mode="hw-like"), 10)()).all()
    with pytest.raises(RuntimeError, match="shots 0 have the postselected outcomes and 10 are wanted"):
        qml.set_shots(qml.QNode(program, devices[0], postselect_mode="fill-shots"), 10)()


def test_shadows_beside_others(devices: tuple[Any, Any]) -> None:
    """Classical shadows beside other measurements of one circuit"""

    def program() -> Any:
        qml.Hadamard(0)
        return qml.classical_shadow(wires=[0, 1]), qml.expval(qml.X(0)), qml.sample(qml.Z(1))

    shadow, value, samples = qml.set_shots(qml.QNode(program, devices[0]), 20)()
    assert (np.shape(shadow), float(value), samples.tolist()) == ((2, 20, 2), 1.0, [1.0] * 20)
