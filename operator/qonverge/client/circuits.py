"""Circuits as they travel."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.primitives.containers.bindings_array import BindingsArray

_REMEMBERED = 256


class CircuitCache:
    """QPY and digest of circuits seen before; the same, unchanged object is not serialized again."""

    def __init__(self, shorten: Callable[[QuantumCircuit], QuantumCircuit] | None = None) -> None:
        """Start empty; ``shorten`` leaves out what does not matter to those who ask."""
        self._shorten = shorten
        self._entries: OrderedDict[int, tuple[QuantumCircuit, QuantumCircuit, str, bytes]] = OrderedDict()

    def travel(self, circuit: QuantumCircuit) -> tuple[str, bytes]:
        """Return (digest, QPY)."""
        from qiskit import qpy

        entry = self._entries.get(id(circuit))
        # Circuits can change under the same identity, so the copy taken then decides.
        if entry is not None and entry[0] is circuit and entry[1] == circuit:
            return entry[2], entry[3]
        buffer = io.BytesIO()
        plain = circuit.copy()
        # Neither a name that counts up nor metadata is part of what runs.
        plain.name, plain.metadata = "circuit", {}
        qpy.dump(plain if self._shorten is None else self._shorten(plain), buffer)
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        self._entries[id(circuit)] = (circuit, plain, digest, data)
        if len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)
        return digest, data


def before_measurements(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit up to the measurements that end it, as expectation values are about it."""
    from qonverge.circuits.canonical import canonical
    from qonverge.circuits.errors import InvalidProgram
    from qonverge.circuits.final_operations import without_final_measurements

    if not circuit.clbits:
        return circuit
    try:
        return without_final_measurements(canonical(circuit))
    except InvalidProgram:
        # The backend says what is wrong, as it does of every other circuit.
        return circuit


def flat_parameters(circuit: QuantumCircuit, bindings: BindingsArray) -> dict[str, NDArray[np.float64]]:
    """Return the values of every parameter, flat over the pub's shape, by name."""
    if not circuit.num_parameters:
        return {}
    values = bindings.as_array(circuit.parameters).reshape(-1, circuit.num_parameters)
    return {
        parameter.name: np.ascontiguousarray(values[:, index], dtype=np.float64)
        for index, parameter in enumerate(circuit.parameters)
    }
