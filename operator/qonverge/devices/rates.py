"""A device made of a few rates, alike everywhere."""

from __future__ import annotations

from qonverge.devices.calibration import Calibration, Gate, Qubit

# Basis of a device that is told by its rates alone.
ONE_QUBIT_GATES = ("sx", "x")
TWO_QUBIT_GATE = "cx"


def uniform(
    num_qubits: int,
    *,
    one_qubit: float = 0.0,
    two_qubit: float = 0.0,
    readout: float = 0.0,
    t1: float | None = None,
    t2: float | None = None,
    one_qubit_seconds: float | None = None,
    two_qubit_seconds: float | None = None,
    readout_seconds: float | None = None,
) -> Calibration:
    """Return a device whose qubits are all coupled and equally good.

    Args:
        num_qubits: how many qubits.
        one_qubit: error of each gate on one qubit, average infidelity.
        two_qubit: error of each gate on two qubits, average infidelity.
        readout: probability to read a bit wrongly, either way.
        t1: relaxation time, seconds; None for none.
        t2: dephasing time, seconds; None for none.
        one_qubit_seconds: duration of a gate on one qubit.
        two_qubit_seconds: duration of a gate on two qubits.
        readout_seconds: duration of a measurement.
    """
    qubit = Qubit(t1, t2, readout, readout, readout_seconds)
    gates = [Gate("rz", (place,), 0.0, 0.0) for place in range(num_qubits)]
    gates += [
        Gate(name, (place,), one_qubit, one_qubit_seconds) for name in ONE_QUBIT_GATES for place in range(num_qubits)
    ]
    gates += [
        Gate(TWO_QUBIT_GATE, (a, b), two_qubit, two_qubit_seconds)
        for a in range(num_qubits)
        for b in range(num_qubits)
        if a != b
    ]
    return Calibration("rates", (qubit,) * num_qubits, tuple(gates), source="explicit rates")
