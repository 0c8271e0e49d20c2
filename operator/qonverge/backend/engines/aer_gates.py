"""Circuits in the gates of each of Aer's methods: they differ, and Aer says which each has."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ForLoopOp, Operation, ParameterExpression
from qiskit.circuit.library import UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import Operator
from qiskit_aer import AerSimulator

from qonverge.circuits.analysis.wiring import NOT_GATES, rewired
from qonverge.circuits.mapping.target import CONTROL_FLOW, LEAVING, basis_target
from qonverge.wire.errors import InvalidCircuit

# Names that every circuit may have besides gates.
_STRUCTURE = NOT_GATES | CONTROL_FLOW.keys()
_STANDARD = frozenset(get_standard_gate_name_mapping())
# Controlled gates to which Aer 0.18 binds the values of free parameters wrongly, without an error: a crx(t) given
# t = 0.7 at run time is not the crx(0.7) of a circuit (tests/unit/backend/engines/test_aer_gates.py).
_MISBOUND = frozenset(("cp", "crx", "cry", "crz", "cu", "cu1", "cu3"))


class MethodGates:
    """The gates of one method of Aer."""

    def __init__(self, method: str) -> None:
        """Take the names that Aer lists for the method, by Aer's name of it."""
        # Aer also lists its own instructions, which no program can name.
        listed = set(AerSimulator(method=method).configuration().basis_gates)
        self.names = frozenset(_STANDARD & listed)
        self.bindable = self.names - _MISBOUND
        """Those to which Aer binds the values of parameters rightly."""
        self.method = method
        self._matrices = "unitary" in listed

    def translated(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit in these gates, itself where it has no others.

        Raises:
            InvalidCircuit: it has a gate that cannot be built from them.
        """
        used = names_in(circuit)
        if not used <= self.names | _STRUCTURE:
            circuit = self._transpiled(circuit, self.names)
        if has_free_gates(circuit, self.bindable):
            circuit = self._transpiled(circuit, self.bindable)
        return _followed(circuit) if not used.isdisjoint(CONTROL_FLOW) else circuit

    def on_device(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return a device's circuit with those of its gates that the method lacks as matrices, itself where it has all.

        A matrix keeps the gate's name as its label, by which Aer finds the error of the device's gate.

        Raises:
            InvalidCircuit: the method takes no matrices.
        """
        used = names_in(circuit)
        if lacking := used & _STANDARD - self.names - _STRUCTURE:
            if not self._matrices:
                raise InvalidCircuit(
                    f"Aer's method {self.method} lacks the device's {', '.join(sorted(lacking))}: use another method"
                )
            circuit = _with_matrices(circuit, lacking)
        return _followed(circuit) if not used.isdisjoint(CONTROL_FLOW) else circuit

    def _transpiled(self, circuit: QuantumCircuit, names: Collection[str]) -> QuantumCircuit:
        try:
            return transpile(circuit, target=basis_target(names), optimization_level=0)
        except Exception as error:  # the transpiler's plugins raise errors of every kind
            raise InvalidCircuit(f"the circuit cannot be translated for Aer's method {self.method}: {error}") from None


class _Turn(int):
    """A value of a loop, which is spelled by its place: Aer names the turns by their values, which may be equal."""

    place = 0

    def __format__(self, spec: str) -> str:
        return f"turn{self.place}"


def _followed(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with control flow in which Aer finds its way.

    Loops whose values are equal get values that are spelled differently. What acts on no qubit gets one: Aer 0.18 loses
    the end of a loop without qubits, and measurements before it, without an error.
    """
    made = circuit.copy_empty_like()
    for item in circuit.data:
        operation, qubits = item.operation, item.qubits
        lone = not qubits and circuit.num_qubits > 0
        if blocks := getattr(operation, "blocks", ()):
            operation = operation.replace_blocks(
                [_followed(rewired(block, (), 1) if lone else block) for block in blocks]
            )
        elif lone and operation.name in LEAVING:
            operation = LEAVING[operation.name](1, len(item.clbits))
        else:
            lone = False
        if operation.name == "for_loop" and len(set(operation.params[0])) < len(operation.params[0]):
            values, variable, body = operation.params
            turns = [_Turn(value) for value in values]
            for place, turn in enumerate(turns):
                turn.place = place
            operation = ForLoopOp(turns, variable, body)
        made.append(operation, circuit.qubits[:1] if lone else qubits, item.clbits, copy=False)
    return made


def _operations(circuit: QuantumCircuit) -> Iterator[Operation]:
    """Yield every operation, those inside control flow included."""
    for item in circuit.data:
        yield item.operation
        for block in getattr(item.operation, "blocks", ()):
            yield from _operations(block)


def names_in(circuit: QuantumCircuit) -> set[str]:
    """Return the names of all operations, those inside control flow included."""
    return {operation.name for operation in _operations(circuit)}


def has_free_gates(circuit: QuantumCircuit, names: Collection[str]) -> bool:
    """Whether a gate of another name than these has a parameter without a value."""
    return any(
        operation.name not in names
        and operation.name in _STANDARD
        and any(isinstance(value, ParameterExpression) for value in operation.params)
        for operation in _operations(circuit)
    )


def _with_matrices(circuit: QuantumCircuit, names: Collection[str]) -> QuantumCircuit:
    made = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if blocks := getattr(operation, "blocks", ()):
            operation = operation.replace_blocks([_with_matrices(block, names) for block in blocks])
        elif operation.name in names:
            operation = UnitaryGate(Operator(operation).data, label=operation.name)
        made.append(item.replace(operation=operation), copy=False)
    return made
