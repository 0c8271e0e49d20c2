"""Programs as PennyLane's quantum functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pennylane as qml

from qonverge.client.errors import TaskFailed
from qonverge.client.pennylane import RemoteDevice
from qonverge.client.transport.connect import Runner
from tests.differential.answers import Answer, Inexpressible, Refused
from tests.differential.openqasm import Spelling
from tests.differential.program import BitIs, Case, Counts, Gate, Measure, Program, Reset, Values
from tests.differential.reference import gate_matrix, without_final_measurements
from tests.differential.straight import Step, measured, steps

_GATES: Mapping[str, Callable[..., Any]] = {
    "id": qml.Identity,
    "x": qml.X,
    "y": qml.Y,
    "z": qml.Z,
    "h": qml.Hadamard,
    "s": qml.S,
    "sdg": lambda wires: qml.adjoint(qml.S(wires)),
    "t": qml.T,
    "tdg": lambda wires: qml.adjoint(qml.T(wires)),
    "sx": qml.SX,
    "rx": qml.RX,
    "ry": qml.RY,
    "rz": qml.RZ,
    "p": qml.PhaseShift,
    "u1": qml.U1,
    "u": qml.U3,
    "cx": qml.CNOT,
    "cy": qml.CY,
    "cz": qml.CZ,
    "ch": qml.CH,
    "cp": qml.ControlledPhaseShift,
    "crx": qml.CRX,
    "cry": qml.CRY,
    "crz": qml.CRZ,
    "swap": qml.SWAP,
    "ccx": qml.Toffoli,
    "cswap": qml.CSWAP,
    "rxx": qml.IsingXX,
    "rzz": qml.IsingZZ,
}
# Each deferred measurement is a qubit more.
_MOST_WIRES = 9


def through_pennylane(runner: Runner, case: Case, _: Spelling) -> Answer:
    """Run PennyLane's quantum function on the device.

    Raises:
        Inexpressible: PennyLane, or this writer, has no way to write it.
    """
    made = steps(case.program)
    deferred = sum(isinstance(step.item, Measure | Reset) for step in made)
    if case.program.num_qubits + deferred > _MOST_WIRES:
        raise Inexpressible("more measurements than qubits for them")
    wanted = case.wanted
    if isinstance(wanted, Values) and wanted.precision is not None:
        raise Inexpressible("a precision")
    if isinstance(wanted, Values) and without_final_measurements(case.program) != case.program:
        raise Inexpressible("values of the state before its last measurements")
    device = RemoteDevice(runner=runner, seed=case.seed)
    bits = measured(made)

    def function(**values: float) -> Any:
        results = _written(case.program, made, values)
        if isinstance(wanted, Counts):
            return qml.sample([results[bit] for bit in bits])
        return [qml.expval(_observable(terms)) for terms in wanted.observables]

    node = qml.set_shots(qml.QNode(function, device, diff_method=None), wanted.shots)
    try:
        found = [node(**values) for values in case.sets]
    except TaskFailed as error:
        raise Refused(error.code, str(error)) from None
    if isinstance(wanted, Counts):
        return Answer(tuple(_counts(np.asarray(each).reshape(wanted.shots, len(bits))) for each in found))
    return Answer(values=np.array(found, dtype=float).reshape(len(case.sets), -1), shots=wanted.shots)


def _written(program: Program, made: list[Step], values: Mapping[str, float]) -> dict[int, Any]:
    """Queue the operations and return the last measurement of each bit."""
    results: dict[int, Any] = {}
    for wire in range(program.num_qubits):
        qml.Identity(wire)
    for step in made:
        match step.item:
            case Gate():
                _apply(step, program, values, results)
            case Measure(qubit, bit):
                results[bit] = qml.measure(qubit)
            case Reset(qubit):
                qml.measure(qubit, reset=True)
    return results


def _apply(step: Step, program: Program, values: Mapping[str, float], results: dict[int, Any]) -> None:
    item = step.item
    assert isinstance(item, Gate)
    if not step.under:
        _gate(item, program, values)
        return
    condition: Any = None
    for bit in step.under:
        if bit.bit not in results:
            raise Inexpressible("a condition on a bit that nothing wrote")
        own = _is(results, bit)
        condition = own if condition is None else condition & own
    qml.cond(condition, lambda: _gate(item, program, values))()


def _is(results: Mapping[int, Any], bit: BitIs) -> Any:
    return results[bit.bit] == bit.value


def _gate(item: Gate, program: Program, values: Mapping[str, float]) -> None:
    build = _GATES.get(item.name)
    controls = sum(modifier.name in ("ctrl", "negctrl") for modifier in item.modifiers)
    if build is None:
        qml.QubitUnitary(gate_matrix(item, program.version, values), wires=item.qubits)
        return
    angles = [angle.value(values) for angle in item.angles]

    # Operators queue themselves when they are made, and a transformed one takes its inner one off again.
    made: Any = build(*angles, wires=item.qubits[controls:])
    left = controls
    for modifier in reversed(item.modifiers):
        if modifier.name == "inv":
            made = qml.adjoint(made)
        elif modifier.name == "pow":
            made = qml.pow(made, modifier.power)
        else:
            left -= 1
            made = qml.ctrl(made, control=item.qubits[left], control_values=[modifier.name == "ctrl"])


def _observable(terms: tuple[tuple[str, float], ...]) -> Any:
    made = []
    for label, weight in terms:
        letters = [(len(label) - 1 - place, letter) for place, letter in enumerate(label) if letter != "I"]
        factors = [getattr(qml, letter)(wire) for wire, letter in letters] or [qml.Identity(0)]
        product = factors[0] if len(factors) == 1 else qml.prod(*factors)
        made.append(product if weight == 1 else weight * product)
    return made[0] if len(made) == 1 else qml.sum(*made)


def _counts(rows: Any) -> dict[tuple[int, ...], int]:
    found: dict[tuple[int, ...], int] = {}
    for row in rows.astype(int).tolist():
        found[tuple(row)] = found.get(tuple(row), 0) + 1
    return found
