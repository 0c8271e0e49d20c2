"""Circuits as they come to a process that may open them, and the answers to pubs that run none."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping

import numpy as np
from qiskit import QuantumCircuit, qpy

from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.wire.errors import InvalidCircuit
from qonverge.wire.messages import Pub, PubResult


def opened(digest: str, data: bytes) -> QuantumCircuit:
    """Return the circuit in a QPY that nobody trusts.

    Raises:
        InvalidCircuit: it is damaged, or none.
    """
    if hashlib.sha256(data).hexdigest() != digest:
        raise InvalidCircuit(f"the QPY sent as {digest[:12]} has another digest: it was damaged on its way")
    try:
        (circuit,) = qpy.load(io.BytesIO(data))
    except Exception as error:  # hostile or damaged QPY raises errors of every kind
        raise InvalidCircuit(f"the QPY cannot be read: {str(error) or type(error).__name__}") from None
    return circuit


def nothing(pub: Pub, num_qubits: int, registers: Mapping[str, int], *, memory: bool) -> PubResult:
    """Return the answer to an empty pub.

    Args:
        pub: without parameter sets, or without pairs.
        num_qubits: of its circuit.
        registers: bits of each of its classical registers.
        memory: whether the bits of every shot are wanted.
    """
    if pub.estimates:
        shape = (len(pub.pairs),) if pub.pairs is not None else (0, len(pub.observables))
        return PubResult(expectation_values=np.zeros(shape), standard_errors=np.zeros(shape), shots=pub.shots)
    if pub.statevector:
        return PubResult(statevectors=np.zeros((0, 2**num_qubits), dtype=np.complex128))
    shots = pub.shots or DEFAULT_SHOTS
    bits = {name: (size, np.zeros((0, shots, -(-size // 8)), dtype=np.uint8)) for name, size in registers.items()}
    return PubResult(registers=bits if memory else {}, shots=shots)
