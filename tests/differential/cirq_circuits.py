"""Programs as Cirq's circuits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import cirq
import numpy as np
import sympy

from qonverge.client.cirq import Sampler
from qonverge.client.errors import TaskFailed
from qonverge.client.transport.connect import Runner
from tests.differential.answers import Answer, Inexpressible, Refused
from tests.differential.openqasm import Spelling
from tests.differential.program import Angle, BitIs, Case, Counts, Gate, Measure, Program, Reset
from tests.differential.reference import gate_matrix
from tests.differential.straight import Step, measured, steps

_GATES: Mapping[str, Callable[..., cirq.Gate]] = {
    "id": lambda: cirq.I,
    "x": lambda: cirq.X,
    "y": lambda: cirq.Y,
    "z": lambda: cirq.Z,
    "h": lambda: cirq.H,
    "s": lambda: cirq.S,
    "sdg": lambda: cirq.S**-1,
    "t": lambda: cirq.T,
    "tdg": lambda: cirq.T**-1,
    "sx": lambda: cirq.X**0.5,
    "rx": cirq.rx,
    "ry": cirq.ry,
    "rz": cirq.rz,
    "p": lambda angle: cirq.ZPowGate(exponent=angle / sympy.pi if _free(angle) else angle / math.pi),
    "cx": lambda: cirq.CNOT,
    "cz": lambda: cirq.CZ,
    "cy": cirq.Y.controlled,
    "ch": cirq.H.controlled,
    "crx": lambda angle: cirq.rx(angle).controlled(),
    "cry": lambda angle: cirq.ry(angle).controlled(),
    "crz": lambda angle: cirq.rz(angle).controlled(),
    "cp": lambda angle: cirq.CZPowGate(exponent=angle / sympy.pi if _free(angle) else angle / math.pi),
    "swap": lambda: cirq.SWAP,
    "ccx": lambda: cirq.TOFFOLI,
    "cswap": lambda: cirq.FREDKIN,
    "c3x": lambda: cirq.X.controlled(3),
    "rxx": lambda angle: cirq.XXPowGate(exponent=angle / math.pi, global_shift=-0.5),
    "rzz": lambda angle: cirq.ZZPowGate(exponent=angle / math.pi, global_shift=-0.5),
}
_PAULIS = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z}


def through_cirq(runner: Runner, case: Case, _: Spelling) -> Answer:
    """Run Cirq's circuit by its sampler.

    Raises:
        Inexpressible: Cirq, or this writer, has no way to write it.
    """
    made = steps(case.program)
    circuit = _circuit(case.program, made)
    sampler = Sampler(runner, seed=case.seed)
    params = [dict(values) for values in case.sets]
    try:
        if isinstance(case.wanted, Counts):
            found = sampler.run_sweep(circuit, params, case.wanted.shots)
            return Answer(tuple(_counts(result, measured(made)) for result in found))
        if measured(made):
            raise Inexpressible("values of a circuit that measures")
        if case.wanted.precision is not None:
            raise Inexpressible("a precision")
        n = case.program.num_qubits
        sums: list[Any] = [_observable(terms, n) for terms in case.wanted.observables]
        if case.wanted.shots is None:
            values = sampler.simulate_expectation_values_sweep(circuit, sums, params)
            return Answer(values=np.real(np.array(values)))
        labels = [label for terms in case.wanted.observables for label, _ in terms]
        distinct = {tuple(sorted(values.items())) for values in case.sets}
        if len(set(labels)) < len(labels) or len(distinct) < len(params):
            raise Inexpressible("Cirq's own samplers lose strings that two sums share, and sets that are equal")
        sampled = sampler.sample_expectation_values(circuit, sums, num_samples=case.wanted.shots, params=params)
        return Answer(values=np.array(sampled), shots=case.wanted.shots)
    except TaskFailed as error:
        raise Refused(error.code, str(error)) from None


def _circuit(program: Program, made: list[Step]) -> cirq.Circuit:
    qubits = cirq.LineQubit.range(program.num_qubits)
    circuit = cirq.Circuit(cirq.I(qubit) for qubit in qubits)
    written: set[int] = set()
    for step in made:
        match step.item:
            case Gate():
                operation = _gate(step.item, program)(*(qubits[index] for index in step.item.qubits))
            case Measure(qubit, bit):
                operation = cirq.measure(qubits[qubit], key=f"b{bit}")
                written.add(bit)
            case Reset(qubit):
                operation = cirq.reset(qubits[qubit])
            case _:
                continue
        for condition in step.under:
            if condition.bit not in written:
                raise Inexpressible("a condition on a bit that nothing wrote")
            operation = operation.with_classical_controls(_condition(condition))
        circuit.append(operation, strategy=cirq.InsertStrategy.NEW_THEN_INLINE)
    return circuit


def _condition(condition: BitIs) -> Any:
    key = f"b{condition.bit}"
    return key if condition.value else sympy.Eq(sympy.Symbol(key), 0)


def _gate(item: Gate, program: Program) -> cirq.Gate:
    free = any(angle.parameter for angle in item.angles)
    build = _GATES.get({"u1": "p", "phase": "p", "cphase": "cp", "cu1": "cp", "CX": "cx"}.get(item.name, item.name))
    if build is None or any(modifier.name == "pow" for modifier in item.modifiers):
        if free:
            raise Inexpressible(f"{item.name} with a symbol")
        return cirq.MatrixGate(gate_matrix(item, program.version, {}))
    gate = build(*(_angle(angle) for angle in item.angles))
    if item.name == "CX" and item.modifiers and program.version == 3:
        return cirq.MatrixGate(gate_matrix(item, program.version, {}))
    for modifier in reversed(item.modifiers):
        gate = gate**-1 if modifier.name == "inv" else gate.controlled(1, [int(modifier.name == "ctrl")])
    return gate


def _angle(angle: Angle) -> Any:
    return angle.offset if angle.parameter is None else angle.factor * sympy.Symbol(angle.parameter) + angle.offset


def _free(angle: Any) -> bool:
    return isinstance(angle, sympy.Basic)


def _observable(terms: tuple[tuple[str, float], ...], n: int) -> cirq.PauliSum:
    qubits = cirq.LineQubit.range(n)
    strings: Any = (
        cirq.PauliString(
            {qubits[n - 1 - place]: _PAULIS[letter] for place, letter in enumerate(label) if letter != "I"}
        )
        * weight
        for label, weight in terms
    )
    return cirq.PauliSum.from_pauli_strings(list(strings))


def _counts(result: cirq.Result, bits: list[int]) -> dict[tuple[int, ...], int]:
    # A key that is measured again has all its outcomes, of which the last is the bit's value.
    columns = [result.records[f"b{bit}"][:, -1, 0] for bit in bits]
    found: dict[tuple[int, ...], int] = {}
    for row in np.stack(columns, axis=1).tolist():
        found[tuple(row)] = found.get(tuple(row), 0) + 1
    return found
