"""Circuits in the gates of each of Aer's methods: they differ, and Aer says which each has."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ForLoopOp, Operation, ParameterExpression
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator

from qonverge.circuits.target import CONTROL_FLOW
from qonverge.wire.errors import InvalidCircuit

# Names that every circuit may have besides gates.
_STRUCTURE = frozenset(("measure", "reset", "barrier", "delay", "store", *CONTROL_FLOW))
# Controlled gates to which Aer 0.18 binds the values of free parameters wrongly, without an error: a crx(t) given
# t = 0.7 at run time is not the crx(0.7) of a circuit (tests/unit/backend/test_aer_gates.py).
_MISBOUND = frozenset(("cp", "crx", "cry", "crz", "cu", "cu1", "cu3"))


class MethodGates:
    """The gates of one method of Aer."""

    def __init__(self, method: str) -> None:
        """Take the names that Aer lists for the method, by Aer's name of it."""
        # Aer also lists its own instructions, which no program can name.
        listed = set(AerSimulator(method=method).configuration().basis_gates)
        self.names = frozenset(get_standard_gate_name_mapping().keys() & listed)
        self.method = method

    def translated(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit in these gates, itself where it has no others.

        Raises:
            InvalidCircuit: it has a gate that cannot be built from them.
        """
        used = {operation.name for operation in _operations(circuit)}
        if not used <= self.names | _STRUCTURE:
            circuit = self._transpiled(circuit, self.names)
        if is_misbound(circuit):
            circuit = self._transpiled(circuit, self.names - _MISBOUND)
        return _told_apart(circuit) if "for_loop" in used else circuit

    def _transpiled(self, circuit: QuantumCircuit, names: Collection[str]) -> QuantumCircuit:
        target = Target.from_configuration(
            basis_gates=sorted({*names, "measure", "reset", "delay", *CONTROL_FLOW}), custom_name_mapping=CONTROL_FLOW
        )
        try:
            return transpile(circuit, target=target, optimization_level=0)
        except Exception as error:  # the transpiler's plugins raise errors of every kind
            raise InvalidCircuit(f"the circuit cannot be translated for Aer's method {self.method}: {error}") from None


class _Turn(int):
    """A value of a loop, which is spelled by its place: Aer names the turns by their values, which may be equal."""

    place = 0

    def __format__(self, spec: str) -> str:
        return f"turn{self.place}"


def _told_apart(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with loops whose values are spelled differently."""
    made = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if blocks := getattr(operation, "blocks", ()):
            operation = operation.replace_blocks([_told_apart(block) for block in blocks])
        if operation.name == "for_loop" and len(set(operation.params[0])) < len(operation.params[0]):
            values, variable, body = operation.params
            turns = [_Turn(value) for value in values]
            for place, turn in enumerate(turns):
                turn.place = place
            operation = ForLoopOp(turns, variable, body)
        made.append(item.replace(operation=operation), copy=False)
    return made


def _operations(circuit: QuantumCircuit) -> Iterator[Operation]:
    """Yield every operation, those inside control flow included."""
    for item in circuit.data:
        yield item.operation
        for block in getattr(item.operation, "blocks", ()):
            yield from _operations(block)


def is_misbound(circuit: QuantumCircuit) -> bool:
    """Whether Aer would bind the value of a free parameter wrongly."""
    return any(
        operation.name in _MISBOUND and any(isinstance(value, ParameterExpression) for value in operation.params)
        for operation in _operations(circuit)
    )
