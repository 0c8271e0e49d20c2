"""How long a forecast takes: ``python -m bench.fidelity.latency``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.error_response.profile_builder import profile
from qonverge.devices import snapshots
from qonverge.forecast.fidelity import Forecaster

_ROUNDS = 9


def main() -> None:
    """Time a new circuit of 50 qubits and 1,000 gates on 16 devices of 100 qubits or more."""
    random = np.random.default_rng(0)
    circuit = QuantumCircuit(50)
    for _ in range(1000):
        if random.random() < 0.5:
            circuit.cx(*map(int, random.choice(50, 2, replace=False)))
        else:
            getattr(circuit, str(random.choice(["h", "s", "x", "t"])))(int(random.integers(50)))
    circuit.measure_all()
    circuit = canonical(circuit)
    analysis = analyse(circuit)
    known = profile(circuit, analysis, {})
    assert known is not None
    devices = [device for device in map(snapshots.load, snapshots.names()) if len(device.couplings) > 100][:16]
    warm = Forecaster()
    warm.estimate(known, devices)
    _print("profile, once for a circuit", lambda: profile(circuit, analysis, {}))
    _print("16 devices, calibrations laid out before", lambda: warm.estimate(known, devices))
    _print("16 devices, calibrations new", lambda: Forecaster().estimate(known, devices))


def _print(what: str, do: Callable[[], Any]) -> None:
    walls, cpus = [], []
    for _ in range(_ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        do()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    print(f"{what}: {1e3 * statistics.median(walls):.0f} ms (median), {1e3 * statistics.median(cpus):.0f} ms of CPU")


if __name__ == "__main__":
    main()
