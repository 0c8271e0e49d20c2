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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit, qpy
from qiskit.circuit import (
    CASE_DEFAULT,
    BreakLoopOp,
    ContinueLoopOp,
    ControlFlowOp,
    ControlledGate,
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

from qonverge.circuits.analysis import is_library
from qonverge.circuits.conditions import cases, lowered, stores
from qonverge.circuits.errors import InvalidProgram

# Parameters of equal names are the same parameter to everybody: values are given by name.
_NAMES = uuid.UUID("6f0b3c52-4d0e-5d1f-9c37-2f6a3de1c0a4")


def canonical(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with library gates only and with names that depend on the program alone.

    Global phases are left out: no counts and no expectation value depends on them.

    Raises:
        InvalidProgram: when a gate has no definition.
    """
    flat = _flat(circuit, (_parameter(f"loop.{index}") for index in itertools.count()))
    flat.assign_parameters({old: _parameter(old.name) for old in flat.parameters}, inplace=True)
    # A declared parameter that nothing uses still belongs to the program's interface, and the global phase bears any.
    unused = {old.name for old in circuit.parameters} - {new.name for new in flat.parameters}
    flat.global_phase = sum(map(_parameter, sorted(unused)))
    flat.name = "circuit"
    return flat


def serialise(circuit: QuantumCircuit) -> bytes:
    """Return the QPY of a canonical circuit, the same in every process."""
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
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


def _flat(circuit: QuantumCircuit, loops: Iterator[Parameter]) -> QuantumCircuit:
    flat = circuit.copy_empty_like("block")
    flat.global_phase = 0
    for item in circuit.data:
        _append(flat, item.operation, item.qubits, item.clbits, {}, loops)
    return flat


def _append(
    flat: QuantumCircuit,
    operation: Operation,
    qubits: Sequence[Any],
    clbits: Sequence[Any],
    outer: Mapping[Any, Any],
    loops: Iterator[Parameter],
) -> None:
    """Append an operation; ``outer`` has the bits of the whole circuit for those of the block that it is in."""
    inside: QuantumCircuit | None
    if operation.name == "box":
        inside = operation.blocks[0]
    elif isinstance(operation, ControlFlowOp):
        _append_flow(flat, operation, qubits, clbits, outer, loops)
        return
    elif isinstance(operation, Store):
        for store in stores(operation, outer):
            flat.append(store, (), (), copy=False)
        return
    elif not isinstance(operation, Instruction):
        # A Clifford table or an annotated operation has no name that anybody goes by.
        inside = None
    elif is_library(operation) and not _is_open(operation) and operation.name != "initialize":
        # stdgates.inc's id is read as U(0, 0, 0), which no stabilizer simulation takes.
        if operation.base_class is UGate and all(angle == 0 for angle in operation.params):
            operation = IGate()
        inside = None
    else:
        inside = operation.definition
        if inside is None:
            raise InvalidProgram(
                f"the gate {operation.name!r} has no definition",
                expected=f'one such as "gate {operation.name} ... {{}}"',
            )
    if inside is None:
        flat.append(operation, qubits, clbits, copy=False)
    else:
        _fill(flat, inside, qubits, clbits, outer, loops)


def _fill(
    flat: QuantumCircuit,
    inside: QuantumCircuit,
    qubits: Sequence[Any],
    clbits: Sequence[Any],
    outer: Mapping[Any, Any],
    loops: Iterator[Parameter],
) -> None:
    """Append what is inside of an operation on these bits of the whole circuit."""
    own = {**outer, **dict(zip((*inside.qubits, *inside.clbits), (*qubits, *clbits), strict=True))}
    for item in inside.data:
        _append(flat, item.operation, [own[q] for q in item.qubits], [own[c] for c in item.clbits], own, loops)


def _append_flow(
    flat: QuantumCircuit,
    operation: ControlFlowOp,
    qubits: Sequence[Any],
    clbits: Sequence[Any],
    outer: Mapping[Any, Any],
    loops: Iterator[Parameter],
) -> None:
    """Append control flow with its blocks on the bits of the whole circuit, and its conditions on single bits."""

    def block(inside: QuantumCircuit) -> QuantumCircuit:
        if inside.num_vars:
            names = ", ".join(sorted(variable.name for variable in inside.iter_vars()))
            raise InvalidProgram(f"the variables {names} cannot be kept while the circuit runs", expected="bits")
        # Bits that only a condition inside reads belong to the block as well.
        made = QuantumCircuit(list(qubits), list(clbits), name="block")
        _fill(made, inside, qubits, clbits, outer, loops)
        return made

    made: Instruction
    if isinstance(operation, BreakLoopOp | ContinueLoopOp):
        made = operation
    elif isinstance(operation, ForLoopOp):
        made = _loop(operation, block, loops)
    elif isinstance(operation, WhileLoopOp):
        made = WhileLoopOp(lowered(operation.condition, outer), block(operation.blocks[0]))
    elif isinstance(operation, IfElseOp):
        made = IfElseOp(lowered(operation.condition, outer), *map(block, operation.blocks))
    elif isinstance(operation, SwitchCaseOp):
        _append_switch(flat, operation, qubits, clbits, outer, block)
        return
    else:
        raise InvalidProgram(f"{operation.name} is not known", expected="if, for, while, switch, break or continue")
    flat.append(made, qubits, clbits, copy=False)


def _append_switch(
    flat: QuantumCircuit,
    switch: SwitchCaseOp,
    qubits: Sequence[Any],
    clbits: Sequence[Any],
    outer: Mapping[Any, Any],
    block: Callable[[QuantumCircuit], QuantumCircuit],
) -> None:
    """Append a switch as branches, each of which leaves half of the cases, so that many are not nested deeply."""
    specified = [(labels, block(body)) for labels, body in switch.cases_specifier()]
    named = [(labels, body) for labels, body in specified if CASE_DEFAULT not in labels]
    default = next((body for labels, body in specified if CASE_DEFAULT in labels), None)
    matches = cases(switch.target, [labels for labels, _ in named], outer)

    def one_of(places: Sequence[int]) -> QuantumCircuit:
        """Return the block that runs one of these cases, of which one is known to match."""
        if len(places) == 1:
            return named[places[0]][1]
        half = len(places) // 2
        made = QuantumCircuit(list(qubits), list(clbits), name="block")
        made.append(IfElseOp(matches(places[:half]), one_of(places[:half]), one_of(places[half:])), qubits, clbits)
        return made

    if named:
        every = range(len(named))
        branches = [one_of(every)] if default is None else [one_of(every), default]
        flat.append(IfElseOp(matches(every), *branches), qubits, clbits, copy=False)
    elif default is not None:
        flat.append(IfElseOp(expr.lift(True), default), qubits, clbits, copy=False)


def _is_open(operation: Operation) -> bool:
    """Whether a control acts on 0."""
    return isinstance(operation, ControlledGate) and operation.ctrl_state != 2**operation.num_ctrl_qubits - 1


def _loop(loop: ForLoopOp, block: Callable[[QuantumCircuit], QuantumCircuit], loops: Iterator[Parameter]) -> ForLoopOp:
    values, variable, _ = loop.params
    body = block(loop.blocks[0])
    if variable not in body.parameters:
        # Aer tells the turns of a loop apart by their values.
        return ForLoopOp(range(len(values)), None, body)
    named = next(loops)
    return ForLoopOp(values, named, body.assign_parameters({variable: named}))
