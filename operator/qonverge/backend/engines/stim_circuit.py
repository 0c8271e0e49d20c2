"""Qiskit's circuits in Stim's instructions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import stim
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit, Operation, Qubit

from qonverge.backend.engines.channels import twirled
from qonverge.backend.engines.conditions import parity_of
from qonverge.backend.engines.matrices import matrix_of
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, InvalidCircuit

Moves = tuple[tuple[str, tuple[int, ...]], ...]
"""A gate in Stim's gates, each with the places of its qubits among the gate's."""

_NAMES = {
    "x": "X",
    "y": "Y",
    "z": "Z",
    "h": "H",
    "s": "S",
    "sdg": "S_DAG",
    "sx": "SQRT_X",
    "sxdg": "SQRT_X_DAG",
    "cx": "CX",
    "cy": "CY",
    "cz": "CZ",
    "swap": "SWAP",
    "iswap": "ISWAP",
}
_PAULIS = frozenset(("X", "Y", "Z"))
# Gates to which a matrix is made; of wider ones the definition is taken.
_MATRIX_QUBITS = 2
# How far a matrix may be from a Clifford gate's: as far as rounding of an angle brings it.
_TOLERANCE = 1e-9
# Loops are unrolled, and a line is about 100 bytes.
_MOST_LINES = 1_000_000
_INSTEAD = "use a backend with the engine Aer or Automatic"


@dataclass(frozen=True, slots=True)
class Program:
    """A circuit as Stim runs it."""

    circuit: stim.Circuit
    records: tuple[int | None, ...]
    """For each classical bit the measurement that wrote it last; None where none did."""
    misread: NDArray[np.float32] | None = None
    """For each measurement the probabilities to read 1 for 0 and 0 for 1; None where none errs."""


class Translator:
    """Translates circuits; the translations of gates are kept."""

    def __init__(self) -> None:
        """Begin with Stim's own gates, by their tableaus."""
        # Those on products of Pauli operators act on any number of qubits, and have no tableau.
        fixed = {name: gate for name, gate in stim.gate_data().items() if gate.is_unitary and "SPP" not in name}
        self._named = [(name, gate.tableau) for name, gate in fixed.items()]
        self._moves: dict[tuple[str, tuple[float, ...]], Moves] = {}
        self._channels: dict[bytes, str] = {}

    def program(self, circuit: QuantumCircuit, confusions: Sequence[NDArray[np.float64]] = ()) -> Program:
        """Return a circuit without free parameters in Stim's instructions.

        Args:
            circuit: errors in it are superoperators, which are twirled to random Pauli operators.
            confusions: how each qubit is misread: rows for what is there, columns for what is read.

        Raises:
            CircuitTooLarge: its loops take too many steps.
            InvalidCircuit: it has what Stim cannot run; the message names it.
        """
        writer = _Writer(self, {qubit: place for place, qubit in enumerate(circuit.qubits)})
        writer.block(circuit, {bit: bit for bit in (*circuit.qubits, *circuit.clbits)})
        try:
            made = stim.Circuit("\n".join(writer.lines))
        except ValueError as error:
            raise EngineFailed(f"Stim refused the circuit: {error}") from None
        misread = None
        if any(not np.array_equal(confusion, np.eye(2)) for confusion in confusions):
            errors = [(confusions[qubit][0, 1], confusions[qubit][1, 0]) for qubit in writer.measured]
            misread = np.array(errors, dtype=np.float32).reshape(-1, 2)
        return Program(made, tuple(writer.records.get(bit) for bit in circuit.clbits), misread)

    def channel(self, superoperator: NDArray[np.complex128]) -> str:
        """Return the name of a channel's twirl with its probabilities; empty where it does nothing."""
        key = superoperator.tobytes()
        if key not in self._channels:
            probabilities = twirled(superoperator)
            size = 1 if len(probabilities) == 3 else 2
            given = ", ".join(repr(probability) for probability in probabilities)
            self._channels[key] = f"PAULI_CHANNEL_{size}({given})" if any(probabilities) else ""
        return self._channels[key]

    def moves(self, operation: Operation) -> Moves:
        """Return a gate in Stim's gates, up to a global phase.

        Raises:
            InvalidCircuit: it is no Clifford gate.
        """
        name = operation.name
        if name in _NAMES:
            return ((_NAMES[name], tuple(range(operation.num_qubits))),)
        if name == "id" or not operation.num_qubits:
            return ()
        if name == "pauli":
            letters = enumerate(reversed(operation.params[0]))
            return tuple((letter, (place,)) for place, letter in letters if letter != "I")
        try:
            key = (name, tuple(float(value) for value in operation.params))
        except TypeError:
            # Of matrices and the like nobody asks twice.
            return self._found(operation)
        if key not in self._moves:
            self._moves[key] = self._found(operation)
        return self._moves[key]

    def _found(self, operation: Operation) -> Moves:
        if operation.num_qubits <= _MATRIX_QUBITS:
            tableau = _tableau(operation)
            if tableau is not None:
                own = next((name for name, known in self._named if known == tableau), None)
                return _decomposed(tableau) if own is None else ((own, tuple(range(operation.num_qubits))),)
        elif (definition := getattr(operation, "definition", None)) is not None and not definition.clbits:
            try:
                return self._of_definition(definition)
            except InvalidCircuit:
                pass  # the gate that the program names is to be told, not one inside it
        raise InvalidCircuit(
            f"Stim runs Clifford gates only, and {spelled(operation)} is none or not known as one: {_INSTEAD}",
            gate=operation.name,
        )

    def _of_definition(self, definition: QuantumCircuit) -> Moves:
        place = {qubit: index for index, qubit in enumerate(definition.qubits)}
        return tuple(
            (name, tuple(place[item.qubits[inner]] for inner in places))
            for item in definition.data
            if item.operation.name != "barrier"
            for name, places in self.moves(item.operation)
        )


class _Writer:
    """Writes one circuit."""

    def __init__(self, translator: Translator, places: Mapping[Qubit, int]) -> None:
        self._translator = translator
        self._places = places
        self.lines: list[str] = []
        self.records: dict[Clbit, int] = {}
        self.measured: list[int] = []

    def block(self, circuit: QuantumCircuit, outer: Mapping[Any, Any]) -> None:
        """Write a circuit whose bits are those outer ones."""
        for item in circuit.data:
            operation = item.operation
            qubits = [self._places[outer[qubit]] for qubit in item.qubits]
            if operation.name == "measure":
                self.lines.append(f"M {qubits[0]}")
                self.records[outer[item.clbits[0]]] = len(self.measured)
                self.measured.append(qubits[0])
            elif operation.name == "reset":
                self.lines.append(f"R {qubits[0]}")
            elif operation.name in ("barrier", "delay"):
                continue
            elif operation.name == "superop":
                if channel := self._translator.channel(operation.params[0]):
                    self.lines.append(f"{channel} {' '.join(map(str, qubits))}")
            elif operation.name == "for_loop":
                self._loop(operation, [outer[bit] for bit in (*item.qubits, *item.clbits)])
            elif operation.name == "if_else":
                self._branches(operation, [outer[bit] for bit in (*item.qubits, *item.clbits)])
            elif item.clbits or operation.name in ("while_loop", "break_loop", "continue_loop", "store"):
                raise InvalidCircuit(
                    "Stim runs loops of fixed length and Pauli gates under conditions, and no "
                    f"{operation.name}: {_INSTEAD}"
                )
            else:
                for name, inner in self._translator.moves(operation):
                    self.lines.append(f"{name} {' '.join(str(qubits[place]) for place in inner)}")

    def _loop(self, loop: Operation, outer: Sequence[Any]) -> None:
        values, variable, body = loop.params
        for value in values:
            # Before the first step where one loop alone says so, else when several inside each other have added up.
            if max(len(self.lines), len(values) * len(body.data)) > _MOST_LINES:
                raise CircuitTooLarge(f"the circuit's loops make more than {_MOST_LINES} operations: use shorter ones")
            bound = body if variable is None else body.assign_parameters({variable: value})
            self.block(bound, dict(zip((*body.qubits, *body.clbits), outer, strict=True)))

    def _branches(self, branch: Operation, outer: Sequence[Any]) -> None:
        parity = parity_of(branch.condition, self.records)
        if parity is None:
            raise InvalidCircuit(
                "Stim takes conditions that are an exclusive or of measured bits, such as one bit, and a condition of "
                f"the circuit is none: {_INSTEAD}"
            )
        bits, constant = parity
        for body, wanted in zip(branch.blocks, (constant, 1 - constant), strict=False):
            places = dict(zip(body.qubits, outer, strict=False))
            for item in body.data:
                if item.operation.name in ("barrier", "delay"):
                    continue
                moves = None if item.clbits else self._translator.moves(item.operation)
                if moves is None or not {name for name, _ in moves} <= _PAULIS:
                    raise InvalidCircuit(
                        f"Stim runs Pauli gates only under a condition, and {spelled(item.operation)} is none: "
                        f"{_INSTEAD}"
                    )
                for name, (inner,) in moves:
                    qubit = self._places[places[item.qubits[inner]]]
                    if wanted:
                        self.lines.append(f"{name} {qubit}")
                    self.lines.extend(f"C{name} rec[{self.records[bit] - len(self.measured)}] {qubit}" for bit in bits)


def spelled(operation: Operation) -> str:
    """Return the operation as people write it, such as ``rx(0.3)``."""
    numbers = [value for value in operation.params if isinstance(value, int | float)]
    return str(operation.name) + (f"({', '.join(f'{value:.12g}' for value in numbers)})" if numbers else "")


def _tableau(operation: Operation) -> stim.Tableau | None:
    """Return what a gate does to Pauli operators; None where it is no Clifford gate.

    Stim itself would take gates that are only near one. Up to a factor all entries of a Clifford gate's matrix are 0 or
    powers of i: its columns are stabilizer states that differ by Pauli operators.
    """
    matrix = matrix_of(operation)
    if matrix is None:
        return None
    ratios = matrix / next(value for value in matrix.flat if abs(value) > _TOLERANCE)
    whole = np.round(ratios.real) + 1j * np.round(ratios.imag)
    if np.abs(ratios - whole).max() > _TOLERANCE or not np.isin(np.abs(whole), (0, 1)).all():
        return None
    try:
        return stim.Tableau.from_unitary_matrix(whole / math.sqrt(np.count_nonzero(whole[0])), endian="little")
    except ValueError:
        return None


def _decomposed(tableau: stim.Tableau) -> Moves:
    return tuple(
        (instruction.name, tuple(target.value for target in group))
        for instruction in tableau.to_circuit("elimination")
        for group in instruction.target_groups()
    )
