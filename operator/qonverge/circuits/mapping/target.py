"""A device as Qiskit's transpiler sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Parameter
from qiskit.circuit.controlflow import BreakLoopOp, ContinueLoopOp, ForLoopOp, IfElseOp, SwitchCaseOp, WhileLoopOp
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.providers import QubitProperties
from qiskit.transpiler import InstructionProperties, Target

from qonverge.devices import Calibration

CONTROL_FLOW: dict[str, Any] = {
    "if_else": IfElseOp,
    "for_loop": ForLoopOp,
    "while_loop": WhileLoopOp,
    "switch_case": SwitchCaseOp,
}
LEAVING: dict[str, Any] = {"break_loop": BreakLoopOp, "continue_loop": ContinueLoopOp}
"""What ends a loop or its turn, inside of control flow only."""


def operation(name: str) -> Any:
    """Return the instruction of this name; with a free duration, any will do."""
    if name == "delay":
        return Delay(Parameter("t"))
    return get_standard_gate_name_mapping()[name]


def basis_target(names: Iterable[str]) -> Target:
    """Return the target of these gates on any qubits, with measurements, resets, delays and control flow."""
    return Target.from_configuration(
        basis_gates=sorted({*names, "measure", "reset", "delay", *CONTROL_FLOW, *LEAVING}),
        custom_name_mapping=CONTROL_FLOW | LEAVING,
    )


def leaves_loops(circuit: QuantumCircuit) -> bool:
    """Whether a loop is left, or goes on with its next turn, from inside."""
    return any(
        item.operation.name in LEAVING or any(map(leaves_loops, getattr(item.operation, "blocks", ())))
        for item in circuit.data
    )


def device_target(
    device: Calibration, *, control_flow: bool = False, leaving: bool = False, members: Sequence[int] | None = None
) -> Target:
    """Return the device's gates with their places, errors and durations (seconds), measurements included.

    A gate that is out of order (an error of 1) has no place, nor has one on a qubit that is, nor one that Qiskit does
    not know.

    Args:
        device: the device.
        control_flow: whether circuits may have conditions and loops.
        leaving: whether loops may be left from inside; for circuits that need it only: operations more in a target
            change which of equally good places the transpiler finds.
        members: the qubits to take, which are counted anew in this order; None for all.
    """
    members = range(device.num_qubits) if members is None else members
    index = {qubit: place for place, qubit in enumerate(members)}
    size = len(members)
    target = Target(
        description=device.name,
        num_qubits=size,
        qubit_properties=[QubitProperties(t1=device.qubit(q).t1, t2=device.qubit(q).t2) for q in members],
    )
    standard = get_standard_gate_name_mapping()
    places: dict[str, dict[tuple[int, ...], InstructionProperties | None]] = {}
    for gate in device.gates:
        if (
            gate.works
            and gate.name in standard
            and all(qubit in index and qubit in device.working for qubit in gate.qubits)
        ):
            # What was not measured must not look better than what was.
            properties = InstructionProperties(duration=gate.seconds, error=device.error_of(gate))
            places.setdefault(gate.name, {})[tuple(index[qubit] for qubit in gate.qubits)] = properties
    places["measure"] = {
        (place,): InstructionProperties(
            duration=device.qubit(qubit).readout_seconds, error=sum(device.misreading(qubit)) / 2
        )
        for place, qubit in enumerate(members)
    }
    for name in ("reset", "delay"):
        places.setdefault(name, {(place,): None for place in range(size)})
    for name, of_gate in places.items():
        target.add_instruction(operation(name), of_gate, name=name)
    for name, kind in {**(CONTROL_FLOW if control_flow else {}), **(LEAVING if leaving else {})}.items():
        target.add_instruction(kind, name=name)
    return target
