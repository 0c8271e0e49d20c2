"""Programs as Amazon Braket's circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from braket.circuits import Circuit, FreeParameter, Observable

from qonverge.client.braket import Device
from qonverge.client.errors import TaskFailed
from qonverge.client.transport.connect import Runner
from tests.differential.answers import Answer, Inexpressible, Refused
from tests.differential.openqasm import Spelling
from tests.differential.program import Angle, Case, Counts, Gate, Measure, Program, Reset
from tests.differential.reference import gate_matrix
from tests.differential.straight import Step, measured, steps

_GATES: Mapping[str, str] = {
    "id": "i",
    **{name: name for name in ("x", "y", "z", "h", "s", "t", "rx", "ry", "rz", "cy", "cz", "swap", "cswap")},
    "sdg": "si",
    "tdg": "ti",
    "sx": "v",
    "sxdg": "vi",
    "p": "phaseshift",
    "u1": "phaseshift",
    "u": "u",
    "cx": "cnot",
    "cp": "cphaseshift",
    "cu1": "cphaseshift",
    "csx": "cv",
    "ccx": "ccnot",
    "rxx": "xx",
    "rzz": "zz",
}
# Gates whose own control has the name that a further one would have.
_OWN_CONTROL = frozenset(("cnot", "cy", "cz", "cv", "ccnot", "cswap", "cphaseshift"))


def through_braket(runner: Runner, case: Case, _: Spelling) -> Answer:
    """Run Braket's circuit on the device.

    Raises:
        Inexpressible: Braket, or this writer, has no way to write it.
    """
    made = steps(case.program)
    bits = measured(made)
    circuit = _circuit(case.program, made)
    device = Device(runner, seed=case.seed)
    try:
        if isinstance(case.wanted, Counts):
            found = _results(device, circuit, case, case.wanted.shots)
            return Answer(tuple(_counts(result.measurement_counts, made, bits) for result in found))
        if bits or case.wanted.shots is not None or case.wanted.precision is not None:
            raise Inexpressible("values of a circuit that measures, or of shots")
        labels = sorted({label for terms in case.wanted.observables for label, _ in terms})
        for label in labels:
            circuit.expectation(_observable(label), range(len(label)))
        found = _results(device, circuit, case, 0)
    except TaskFailed as error:
        raise Refused(error.code, str(error)) from None
    rows = []
    for result in found:
        own = dict(zip(labels, result.values, strict=True))
        rows.append([sum(weight * own[label] for label, weight in terms) for terms in case.wanted.observables])
    return Answer(values=np.array(rows, dtype=float))


def _results(device: Device, circuit: Circuit, case: Case, shots: int) -> Sequence[Any]:
    inputs = [dict(values) for values in case.sets] if case.program.parameters else None
    results: Sequence[Any] = device.run_batch(circuit, shots=shots, inputs=inputs).results()
    return results


def _circuit(program: Program, made: list[Step]) -> Circuit:
    circuit = Circuit()
    for qubit in range(program.num_qubits):
        circuit.i(qubit)
    touched: set[int] = set()
    for step in reversed(made):
        if step.under or isinstance(step.item, Reset):
            raise Inexpressible("a condition or a reset")
        if isinstance(step.item, Measure):
            if step.item.qubit in touched:
                raise Inexpressible("a measurement before the end")
            touched.add(step.item.qubit)
        elif isinstance(step.item, Gate):
            touched.update(step.item.qubits)
    for step in made:
        if isinstance(step.item, Gate):
            _gate(circuit, step.item, program)
    for qubit in [step.item.qubit for step in made if isinstance(step.item, Measure)]:
        circuit.measure(qubit)
    return circuit


def _gate(circuit: Circuit, item: Gate, program: Program) -> None:
    name = _GATES.get(item.name)
    controls = [modifier for modifier in item.modifiers if modifier.name in ("ctrl", "negctrl")]
    others = [modifier for modifier in item.modifiers if modifier not in controls]
    # A power and controls stand beside each other in Braket, and a power comes first.
    ordered = [*controls, *others] == list(item.modifiers) and len(others) <= 1
    if name is None or not ordered or (controls and name in _OWN_CONTROL):
        if any(angle.parameter for angle in item.angles):
            raise Inexpressible(f"{item.name} with a parameter")
        circuit.unitary(matrix=gate_matrix(item, program.version, {}), targets=item.qubits)
        return
    power = 1 if not others else -1 if others[0].name == "inv" else others[0].power
    options: dict[str, Any] = {"power": power}
    if controls:
        options["control"] = item.qubits[: len(controls)]
        options["control_state"] = [int(modifier.name == "ctrl") for modifier in controls]
    angles = [_angle(angle) for angle in item.angles]
    getattr(circuit, name)(*item.qubits[len(controls) :], *angles, **options)


def _angle(angle: Angle) -> Any:
    return angle.offset if angle.parameter is None else angle.factor * FreeParameter(angle.parameter) + angle.offset


def _observable(label: str) -> Observable:
    # Braket's first target is qubit 0, whose letter is the last.
    made = [getattr(Observable, letter)() for letter in reversed(label)]
    whole = made[0]
    for each in made[1:]:
        whole = whole @ each
    return whole


def _counts(counts: Mapping[str, int], made: list[Step], bits: list[int]) -> dict[tuple[int, ...], int]:
    order = [step.item.bit for step in made if isinstance(step.item, Measure)]
    last = {bit: place for place, bit in enumerate(order)}
    found: dict[tuple[int, ...], int] = {}
    for text, times in counts.items():
        key = tuple(int(text[last[bit]]) for bit in bits)
        found[key] = found.get(key, 0) + times
    return found
