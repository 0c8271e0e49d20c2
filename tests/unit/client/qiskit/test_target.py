"""What Qiskit's transpiler is told of a noisy backend."""

from __future__ import annotations

import pytest

from qonverge.client.qiskit.backend import target_of
from qonverge.devices import Calibration, Gate, Qubit, Rates
from qonverge.devices.noise import Noise
from qonverge.wire.backend_info import BackendInfo


def info(noise: Noise) -> BackendInfo:
    return BackendInfo(
        engine="Aer",
        method="Automatic",
        methods=("Automatic",),
        basis_gates=noise.basis_gates,
        max_qubits=noise.num_qubits,
        max_shots=100,
        memory_bytes=2**30,
        workers=1,
        queued=0,
        running=0,
        queue_limit=1,
        draining=False,
        calibration=noise.to_dict(),
        calibration_digest=noise.digest,
    )


def test_a_device_has_its_gates_at_their_places_with_errors_and_durations() -> None:
    gates = (
        Gate("sx", (0,), 0.001, 3e-8),
        Gate("sx", (1,), 1.0),
        Gate("sx", (2,)),
        Gate("cz", (0, 2), 0.01, 7e-8),
        Gate("cz", (2, 0), 1.0),
        # A coupling to a qubit on which no pulse works leads nowhere.
        Gate("cz", (0, 1), 0.002),
        Gate("its_own", (0,), 0.1),
    )
    device = Calibration("d", (Qubit(1e-4, 2e-4, 0.03, 0.01, 1e-6), Qubit(), Qubit()), gates)
    target = target_of(info(device))
    assert target.num_qubits == 3
    assert set(target.operation_names) == {"sx", "cz", "measure", "reset", "delay"}
    # What is out of order is not there.
    assert set(target["sx"]) == {(0,), (2,)}
    assert set(target["cz"]) == {(0, 2)}
    assert (target["cz"][0, 2].error, target["cz"][0, 2].duration) == (0.01, 7e-8)
    # What was not measured is as good as the median, and not better than all.
    assert target["sx"][2,].error == device.median_error(1)
    assert target["measure"][1,].error == pytest.approx(0.02)
    assert target["measure"][0,].error == pytest.approx(0.02)
    assert target["measure"][0,].duration == 1e-6
    assert (target.qubit_properties[0].t1, target.qubit_properties[0].t2) == (1e-4, 2e-4)


def test_rates_hold_for_gates_on_any_qubits() -> None:
    target = target_of(info(Rates(two_qubit=0.01)))
    assert {"rz", "sx", "x", "cx", "measure"} <= set(target.operation_names)
    assert target.num_qubits == 26
    assert target.instruction_supported("cx", (7, 3))
