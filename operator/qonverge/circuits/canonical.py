"""One form for every circuit: equal programs become equal bytes, whatever process reads them.

Only gates of Qiskit's library remain. Gates that the program defines, controls or inverts stand for their definitions,
since transpilers and simulators go by a gate's name alone: a program's own ``gate h a { ... }`` would run as a
Hadamard.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ControlFlowOp, ControlledGate, ForLoopOp, Instruction, Operation, Parameter
from qiskit.circuit.library import IGate, UGate

from qonverge.circuits.analysis import is_library
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
        _append(flat, item.operation, item.qubits, item.clbits, loops)
    return flat


def _append(
    flat: QuantumCircuit, operation: Operation, qubits: Sequence[Any], clbits: Sequence[Any], loops: Iterator[Parameter]
) -> None:
    inside: QuantumCircuit | None
    if operation.name == "box":
        inside = operation.blocks[0]
    elif isinstance(operation, ForLoopOp) and (once := _once(operation)) is not None:
        inside = once
    elif isinstance(operation, ForLoopOp):
        operation = _named_loop(operation, loops)
        inside = None
    elif isinstance(operation, ControlFlowOp):
        operation = operation.replace_blocks([_flat(block, loops) for block in operation.blocks])
        inside = None
    elif not isinstance(operation, Instruction):
        # A Clifford table or an annotated operation has no name that anybody goes by.
        inside = None
    elif is_library(operation) and not _is_open(operation):
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
        return
    outer = dict(zip((*inside.qubits, *inside.clbits), (*qubits, *clbits), strict=True))
    for item in inside.data:
        _append(flat, item.operation, [outer[bit] for bit in item.qubits], [outer[bit] for bit in item.clbits], loops)


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


def _named_loop(loop: ForLoopOp, loops: Iterator[Parameter]) -> ForLoopOp:
    values, variable, block = loop.params
    body = _flat(block, loops)
    if variable not in body.parameters:
        return ForLoopOp(values, None, body)
    named = next(loops)
    return ForLoopOp(values, named, body.assign_parameters({variable: named}))
