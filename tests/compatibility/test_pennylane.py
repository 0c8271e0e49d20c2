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
from pennylane import numpy as pnp

from qonverge.client.embedded import Embedded


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
    for mine, other in zip(np.atleast_1d(ours), np.atleast_1d(theirs), strict=True):
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
