"""Circuits as they travel."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.errors import InvalidProgram

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.primitives.containers.bindings_array import BindingsArray

_REMEMBERED = 256


class CircuitCache:
    """QPY and digest of circuits seen before; the same, unchanged object is not serialized again."""

    def __init__(self, shorten: Callable[[QuantumCircuit], QuantumCircuit] | None = None) -> None:
        """Start empty; ``shorten`` leaves out what does not matter to those who ask."""
        from qiskit.circuit.library import get_standard_gate_name_mapping

        self._plain = frozenset((*get_standard_gate_name_mapping(), "barrier")) - {"delay"}
        self._shorten = shorten
        self._entries: OrderedDict[int, tuple[QuantumCircuit, QuantumCircuit, str, bytes]] = OrderedDict()

    def travel(self, circuit: QuantumCircuit) -> tuple[str, bytes]:
        """Return (digest, QPY).

        Raises:
            ValueError: it has what no backend runs, such as a gate without a definition.
        """
        from qiskit import qpy

        from qonverge.circuits.analysis.canonical import canonical, serialise

        entry = self._entries.get(id(circuit))
        # Circuits can change under the same identity, so the copy taken then decides.
        if entry is not None and entry[0] is circuit and entry[1] == circuit:
            return entry[2], entry[3]
        plain = circuit.copy()
        # Neither a name that counts up nor metadata is part of what runs.
        plain.name, plain.metadata = "circuit", {}
        try:
            if any(name not in self._plain for name in plain.count_ops()):
                # QPY loses units of delays, values of 2**63 and more, and what bits of a block stand for.
                data = serialise(self._shortened(canonical(plain)))
            else:
                buffer = io.BytesIO()
                qpy.dump(self._shortened(plain), buffer)
                data = buffer.getvalue()
        except InvalidProgram as error:
            raise ValueError(f"the circuit {circuit.name} cannot run on a backend: {error}") from None
        digest = hashlib.sha256(data).hexdigest()
        self._entries[id(circuit)] = (circuit, plain, digest, data)
        if len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)
        return digest, data

    def _shortened(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return circuit if self._shorten is None else self._shorten(circuit)


def before_measurements(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit up to the measurements that end it, as expectation values are about it.

    Raises:
        InvalidProgram: it has what no backend runs.
    """
    from qonverge.circuits.analysis.canonical import canonical
    from qonverge.circuits.analysis.final_operations import without_final_measurements

    return without_final_measurements(canonical(circuit)) if circuit.clbits else circuit


def flat_parameters(circuit: QuantumCircuit, bindings: BindingsArray) -> dict[str, NDArray[np.float64]]:
    """Return the values of every parameter, flat over the pub's shape, by name."""
    if not circuit.num_parameters:
        return {}
    values = bindings.as_array(circuit.parameters).reshape(-1, circuit.num_parameters)
    return {
        parameter.name: np.ascontiguousarray(values[:, index], dtype=np.float64)
        for index, parameter in enumerate(circuit.parameters)
    }


def times(circuit: QuantumCircuit, bindings: BindingsArray) -> int:
    """Return how often a pub is to be sent: without parameters nothing says how many sets there are."""
    return 1 if circuit.num_parameters else int(bindings.size)
