"""Circuits for devices that take gates and measure at the end: what is refused, and other gates put into theirs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError

from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit

_NOT_GATES = frozenset(("measure", "barrier"))


class GateCircuits:
    """Puts circuits into the gates of one device, whose own compiler places qubits and optimizes."""

    def __init__(self, device: str, vendor: str, gates: Iterable[str]) -> None:
        """Args: the device's name, who compiles for it, both for messages, and Qiskit's names of its gates."""
        self._device, self._vendor, self._gates = device, vendor, frozenset(gates)
        self._passes = generate_preset_pass_manager(
            # What a program says should reach the device's own compiler as it was written.
            optimization_level=0,
            basis_gates=sorted(self._gates),
            seed_transpiler=0,
        )

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None) -> QuantumCircuit:
        """Return the circuit in the device's gates.

        Raises:
            InvalidCircuit: the device cannot run it.
        """
        if layout is not None:
            raise InvalidCircuit(
                f"the circuit has a layout, and {self._vendor}'s compiler places circuits on {self._device} itself: "
                "leave the layout out"
            )
        return self.bound(circuit)

    def bound(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return a flat circuit in the device's gates, such as one whose parameters were bound since ``prepare``.

        Raises:
            InvalidCircuit: the device cannot run it.
        """
        self.check(circuit)
        if all(item.name in self._gates or item.name in _NOT_GATES for item in circuit.data):
            return circuit
        try:
            return self._passes.run(circuit)
        except TranspilerError as error:
            raise InvalidCircuit(f"the circuit cannot be written in the gates of {self._device}: {error}") from None

    def check(self, circuit: QuantumCircuit) -> None:
        """Refuse what no program of gates for the device can say.

        Raises:
            InvalidCircuit: the circuit has such a thing.
        """
        measured: set[Any] = set()
        for item in circuit.data:
            name = item.name
            if name == "barrier":
                continue
            if name != "measure" and (item.clbits or getattr(item.operation, "blocks", ()) or name == "store"):
                raise InvalidCircuit(f"{self._device} runs no control flow, such as {name}: use a simulator")
            if name in ("reset", "delay"):
                raise InvalidCircuit(f"{self._device} takes no {name} in programs: remove it, or use a simulator")
            if name != "measure" and (again := measured.intersection(item.qubits)):
                qubit = min(circuit.find_bit(each).index for each in again)
                raise InvalidCircuit(
                    f"{self._device} measures at the end only, and {name} follows the measurement of qubit {qubit}: "
                    "measure last, or use a simulator"
                )
            if name == "measure":
                measured.update(item.qubits)
