"""A task of several measurements whose right results anybody can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.wire.messages import Task, TaskResult

ANGLES = np.array([0.0, np.pi, np.pi / 2])


def sweep(kit: Any, identity: str, shots: int = 200, **more: Any) -> Task:
    """Return a task of three measurements: all 0, all 1, and half of each."""
    a = Parameter("a")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(a, 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    task: Task = kit.task(circuit, identity, shots=shots, parameters={"a": ANGLES}, **more)
    return task


def check(result: TaskResult, shots: int = 200) -> None:
    assert result.error is None
    zeros, ones, half = result.results[0].counts
    assert (zeros, ones) == ({"00": shots}, {"11": shots})
    # Of a fair coin one in 10^12 is further off.
    assert set(half) == {"00", "11"}
    assert abs(half["00"] - shots / 2) < 3.6 * np.sqrt(shots)
