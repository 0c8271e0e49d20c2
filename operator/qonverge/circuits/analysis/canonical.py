"""One form for every circuit: equal programs become equal bytes, whatever process reads them.

Only gates of Qiskit's library remain, and no reset hides in another operation. Gates that the program defines,
controls or inverts stand for their definitions, since transpilers and simulators go by a gate's name alone: a
program's own ``gate h a { ... }`` would run as a Hadamard.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit, qpy
from qiskit.circuit import (
    CASE_DEFAULT,
    BreakLoopOp,
    ContinueLoopOp,
    ControlFlowOp,
    ControlledGate,
    Delay,
    ForLoopOp,
    IfElseOp,
    Instruction,
    Operation,
    Parameter,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr
from qiskit.circuit.library import IGate, UGate

from qonverge.circuits.analysis.analysis import is_library
from qonverge.circuits.analysis.conditions import cases, lowered, stores
from qonverge.circuits.analysis.delays import canonical_delay, is_travelling, mapped, travelling
from qonverge.circuits.analysis.fresh_resets import without_fresh_resets
from qonverge.circuits.errors import InvalidProgram

# Parameters of equal names are the same parameter to everybody: values are given by name.
_NAMES = uuid.UUID("6f0b3c52-4d0e-5d1f-9c37-2f6a3de1c0a4")


def canonical(circuit: QuantumCircuit, *, delays: bool = True) -> QuantumCircuit:
    """Return the circuit with library gates only, no resets of fresh qubits and names that the program alone decides.

    Global phases are left out: no counts and no expectation value depends on them.

    Args:
        circuit: any.
        delays: whether delays are kept, in s or in dt; where nothing relaxes they have no effect.

    Raises:
        InvalidProgram: a gate has no definition, or a condition, an assignment or a delay is none that a circuit can
            carry.
    """
    flat = without_fresh_resets(_Flattening(delays).whole(circuit))
    flat.assign_parameters({old: _parameter(old.name) for old in flat.parameters}, inplace=True)
    # A declared parameter that nothing uses still belongs to the program's interface, and the global phase bears any.
    unused = {old.name for old in circuit.parameters} - {new.name for new in flat.parameters}
    flat.global_phase = sum(map(_parameter, sorted(unused)))
    flat.name = "circuit"
    return flat


def serialise(circuit: QuantumCircuit) -> bytes:
    """Return the QPY of a canonical circuit, the same in every process."""
    buffer = io.BytesIO()
    qpy.dump(mapped(circuit, travelling), buffer)
    data = buffer.getvalue()
    # The table of an expression's symbols is written in the order of a set, which differs between processes. Its order
    # means nothing (QPY documentation, PARAMETER_EXPR), so that of the names is taken.
    entries = [_symbol_entry(parameter) for parameter in sorted(_parameters(circuit), key=lambda p: str(p.name))]
    if len(entries) < 2:
        return data
    entry = b"|".join(map(re.escape, entries))
    rank = {entry: index for index, entry in enumerate(entries)}
    return re.sub(
        b"(?:" + entry + b"){2,}",
        lambda table: b"".join(sorted(re.findall(entry, table[0]), key=lambda part: rank[bytes(part)])),
        data,
    )


def deserialise(data: bytes) -> QuantumCircuit:
    """Return the circuit in the QPY that ``serialise`` gave, or any other QPY of one circuit, in canonical form.

    Raises:
        Exception: of every kind, for damaged QPY.
        InvalidProgram: as ``canonical``.
    """
    (circuit,) = qpy.load(io.BytesIO(data))
    return canonical(circuit)


def _parameters(circuit: QuantumCircuit) -> set[Parameter]:
    """Return the parameters, those of loops included."""
    found = set(circuit.parameters)
    for item in circuit.data:
        if isinstance(item.operation, ControlFlowOp):
            found.update(*map(_parameters, item.operation.blocks))
    return found


def _symbol_entry(parameter: Parameter) -> bytes:
    """Return how QPY writes a parameter into such a table: kinds, size of its value (it has none), length, id, name."""
    name: bytes = parameter.name.encode()
    return struct.pack("!ccQH16s", b"p", b"p", 0, len(name), parameter.uuid.bytes) + name


def _parameter(name: str) -> Parameter:
    return Parameter(name, uuid=uuid.uuid5(_NAMES, name))


class _Flattening:
    """Makes one circuit of library gates from another; names of loops' variables are counted."""

    def __init__(self, delays: bool) -> None:
        self._delays = delays
        self._loops = (_parameter(f"loop.{index}") for index in itertools.count())

    def whole(self, circuit: QuantumCircuit) -> QuantumCircuit:
        flat = circuit.copy_empty_like("block")
        flat.global_phase = 0
        for item in circuit.data:
            self._append(flat, item.operation, item.qubits, item.clbits, {})
        return flat

    def _append(
        self,
        flat: QuantumCircuit,
        operation: Operation,
        qubits: Sequence[Any],
        clbits: Sequence[Any],
        outer: Mapping[Any, Any],
    ) -> None:
        """Append an operation; ``outer`` has the bits of the whole circuit for those of the block that it is in."""
        if operation.name == "box":
            self._fill(flat, operation.blocks[0], qubits, clbits, outer)
        elif isinstance(operation, ForLoopOp) and (once := _once(operation)) is not None:
            self._fill(flat, once, qubits, clbits, outer)
        elif isinstance(operation, ControlFlowOp):
            self._append_flow(flat, operation, qubits, clbits, outer)
        elif isinstance(operation, Store):
            for store in stores(operation, outer):
                flat.append(store, (), (), copy=False)
        elif isinstance(operation, Delay) or is_travelling(operation):
            if self._delays:
                flat.append(canonical_delay(operation), qubits, clbits, copy=False)
        elif (inside := _inside(operation)) is not None:
            self._fill(flat, inside, qubits, clbits, outer)
        elif getattr(operation, "base_class", None) is UGate and all(angle == 0 for angle in operation.params):
            # stdgates.inc's id is read as U(0, 0, 0), which no stabilizer simulation takes.
            flat.append(IGate(), qubits, clbits, copy=False)
        else:
            flat.append(operation, qubits, clbits, copy=False)

    def _fill(
        self,
        flat: QuantumCircuit,
        inside: QuantumCircuit,
        qubits: Sequence[Any],
        clbits: Sequence[Any],
        outer: Mapping[Any, Any],
    ) -> None:
        """Append what is inside of an operation on these bits of the whole circuit."""
        own = {**outer, **dict(zip((*inside.qubits, *inside.clbits), (*qubits, *clbits), strict=True))}
        for item in inside.data:
            self._append(flat, item.operation, [own[q] for q in item.qubits], [own[c] for c in item.clbits], own)

    def _append_flow(
        self,
        flat: QuantumCircuit,
        operation: ControlFlowOp,
        qubits: Sequence[Any],
        clbits: Sequence[Any],
        outer: Mapping[Any, Any],
    ) -> None:
        """Append control flow with its blocks on the bits of the whole circuit, and its conditions on single bits."""

        def block(inside: QuantumCircuit) -> QuantumCircuit:
            if inside.num_vars:
                names = ", ".join(sorted(variable.name for variable in inside.iter_vars()))
                raise InvalidProgram(f"the variables {names} cannot be kept while the circuit runs", expected="bits")
            made = _block(qubits, clbits)
            self._fill(made, inside, qubits, clbits, outer)
            return made

        made: Instruction
        if isinstance(operation, BreakLoopOp | ContinueLoopOp):
            made = operation
        elif isinstance(operation, ForLoopOp):
            made = self._loop(operation, block)
        elif isinstance(operation, WhileLoopOp):
            made = WhileLoopOp(lowered(operation.condition, outer), block(operation.blocks[0]))
        elif isinstance(operation, IfElseOp):
            made = IfElseOp(lowered(operation.condition, outer), *map(block, operation.blocks))
        elif isinstance(operation, SwitchCaseOp):
            branches = _branches(operation, qubits, clbits, outer, block)
            if branches is None:
                return
            made = branches
        else:
            raise InvalidProgram(f"{operation.name} is not known", expected="if, for, while, switch, break or continue")
        flat.append(made, qubits, clbits, copy=False)

    def _loop(self, loop: ForLoopOp, block: Callable[[QuantumCircuit], QuantumCircuit]) -> ForLoopOp:
        values, variable, _ = loop.params
        body = block(loop.blocks[0])
        if variable not in body.parameters:
            return ForLoopOp(range(len(values)), None, body)
        named = next(self._loops)
        return ForLoopOp(values, named, body.assign_parameters({variable: named}))


def _branches(
    switch: SwitchCaseOp,
    qubits: Sequence[Any],
    clbits: Sequence[Any],
    outer: Mapping[Any, Any],
    block: Callable[[QuantumCircuit], QuantumCircuit],
) -> IfElseOp | None:
    """Return a switch as branches, each of which leaves half of the cases: so many are not nested deeply."""
    specified = [(labels, block(body)) for labels, body in switch.cases_specifier()]
    named = [(labels, body) for labels, body in specified if CASE_DEFAULT not in labels]
    default = next((body for labels, body in specified if CASE_DEFAULT in labels), None)
    if not named:
        return None if default is None else IfElseOp(expr.lift(True), default)
    matches = cases(switch.target, [labels for labels, _ in named], outer)

    def one_of(places: Sequence[int]) -> QuantumCircuit:
        """Return the block that runs one of these cases, of which one is known to match."""
        if len(places) == 1:
            return named[places[0]][1]
        half = len(places) // 2
        made = _block(qubits, clbits)
        made.append(IfElseOp(matches(places[:half]), one_of(places[:half]), one_of(places[half:])), qubits, clbits)
        return made

    every = range(len(named))
    return IfElseOp(matches(every), one_of(every), *([] if default is None else [default]))


def _block(qubits: Sequence[Any], clbits: Sequence[Any]) -> QuantumCircuit:
    return QuantumCircuit(list(qubits), list(clbits), name="block")


def _inside(operation: Operation) -> QuantumCircuit | None:
    """Return the definition that an operation stands for; None for one that its name tells.

    Raises:
        InvalidProgram: there is none.
    """
    # A Clifford table or an annotated operation has no name that anybody goes by.
    if not isinstance(operation, Instruction):
        return None
    if is_library(operation) and not _is_open(operation) and operation.name != "initialize":
        return None
    inside: QuantumCircuit | None = operation.definition
    if inside is None:
        raise InvalidProgram(
            f"the gate {operation.name!r} has no definition", expected=f'one such as "gate {operation.name} ... {{}}"'
        )
    return inside


def _once(loop: ForLoopOp) -> QuantumCircuit | None:
    """Return the body of a loop that runs once and is not left before its end."""
    values, variable, block = loop.params
    if len(values) != 1 or _jumps(block):
        return None
    return block.assign_parameters({variable: values[0]}) if variable in block.parameters else block


def _jumps(block: QuantumCircuit) -> bool:
    """Whether a break or continue leaves the block; those of loops inside do not."""
    return any(
        item.operation.name in ("break_loop", "continue_loop")
        or (item.operation.name in ("if_else", "switch_case", "box") and any(map(_jumps, item.operation.blocks)))
        for item in block.data
    )


def _is_open(operation: Operation) -> bool:
    """Whether a control acts on 0."""
    return isinstance(operation, ControlledGate) and operation.ctrl_state != 2**operation.num_ctrl_qubits - 1
