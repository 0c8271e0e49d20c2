"""Braket's gates as Qiskit's.

The product of a gate's steps is its matrix, phase included, since a control makes phases visible.
Matrices: https://amazon-braket-sdk-python.readthedocs.io/en/latest/_apidoc/braket.circuits.gates.html,
https://quantum.cloud.ibm.com/docs/api/qiskit/circuit_library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from braket.circuits import Gate as BraketGate
from braket.circuits import Instruction
from braket.circuits.parameterizable import Parameterizable
from numpy.typing import NDArray
from qiskit.circuit import Gate
from qiskit.circuit.library import (
    CCXGate,
    CPhaseGate,
    CSwapGate,
    CSXGate,
    CXGate,
    CYGate,
    CZGate,
    ECRGate,
    GlobalPhaseGate,
    HGate,
    MCPhaseGate,
    PhaseGate,
    RGate,
    RXGate,
    RXXGate,
    RYGate,
    RYYGate,
    RZGate,
    RZZGate,
    SdgGate,
    SGate,
    SwapGate,
    SXdgGate,
    SXGate,
    TdgGate,
    TGate,
    UGate,
    UnitaryGate,
    XGate,
    YGate,
    ZGate,
    iSwapGate,
)
from scipy.linalg import fractional_matrix_power

from qonverge.client.braket.symbols import NeedsValues, Number

# A matrix of so many qubits is some thousand gates already.
_MOST_MATRIX_QUBITS = 8

# Gates with the same matrix and the same parameters in both.
_SAME: dict[str, type[Gate]] = {
    "H": HGate,
    "X": XGate,
    "Y": YGate,
    "Z": ZGate,
    "S": SGate,
    "Si": SdgGate,
    "T": TGate,
    "Ti": TdgGate,
    "V": SXGate,
    "Vi": SXdgGate,
    "Rx": RXGate,
    "Ry": RYGate,
    "Rz": RZGate,
    "PhaseShift": PhaseGate,
    "GPhase": GlobalPhaseGate,
    "U": UGate,
    "CNot": CXGate,
    "Swap": SwapGate,
    "ISwap": iSwapGate,
    "CV": CSXGate,
    "CY": CYGate,
    "CZ": CZGate,
    "ECR": ECRGate,
    "CPhaseShift": CPhaseGate,
    "XX": RXXGate,
    "YY": RYYGate,
    "ZZ": RZZGate,
    "CCNot": CCXGate,
    "CSwap": CSwapGate,
}
# Gates exp(i angle G): their whole powers have the angle multiplied.
_ROTATIONS = frozenset(
    (
        *("Rx", "Ry", "Rz", "PhaseShift", "GPhase", "XX", "YY", "ZZ", "XY"),
        *("CPhaseShift", "CPhaseShift00", "CPhaseShift01", "CPhaseShift10"),
    )
)
NAMES = (
    *_SAME,
    *("I", "PSwap", "XY", "CPhaseShift00", "CPhaseShift01", "CPhaseShift10"),
    *("GPi", "GPi2", "PRx", "MS", "Unitary"),
)


class Step(NamedTuple):
    """A Qiskit gate on the qubits of an instruction: places among its controls, then targets."""

    gate: Gate
    places: tuple[int, ...]


def translate(instruction: Instruction, number: Callable[[Any], Number]) -> list[Step]:
    """Return the steps of a gate with its power and its controls.

    Args:
        instruction: of a gate.
        number: makes a number or a parameter of a Braket angle.

    Raises:
        ValueError: the gate is not known, or its matrix has too many qubits.
        NeedsValues: its free parameters must have values first.
    """
    gate = instruction.operator
    if gate.name not in NAMES:
        raise ValueError(f"the gate {gate.name} cannot be sent, since it has no matrix: leave it out")
    angles = [number(each) for each in gate.parameters] if isinstance(gate, Parameterizable) else []
    steps = _to_power(gate, angles, instruction.power)
    state = instruction.control_state.as_tuple
    return list(_under(steps, state)) if state else steps


def _to_power(gate: BraketGate, angles: list[Number], power: float) -> list[Step]:
    if power == 1:
        return _steps(gate, angles)
    if gate.name in _ROTATIONS and power == int(power):
        return _steps(gate, [angle * int(power) for angle in angles])
    if power == -1:
        return [Step(step.gate.inverse(), step.places) for step in reversed(_steps(gate, angles))]
    if any(not isinstance(angle, float) for angle in angles):
        raise NeedsValues
    bound = type(gate)(*angles) if angles else gate
    matrix = np.asarray(bound.to_matrix(), dtype=np.complex128)
    whole = power == int(power)
    matrix = np.linalg.matrix_power(matrix, int(power)) if whole else fractional_matrix_power(matrix, power)
    if matrix.shape == (1, 1):
        return [_phase(float(np.angle(matrix[0, 0])))]
    return [_unitary(matrix)]


def _steps(gate: BraketGate, angles: Sequence[Number]) -> list[Step]:
    """Return the steps of a gate; bit 0 of a Braket matrix is the first qubit's, as the most significant one."""
    if (same := _SAME.get(gate.name)) is not None:
        return [Step(same(*angles), tuple(range(same(*angles).num_qubits)))]
    pair = (0, 1)
    match gate.name, *angles:
        case ("I",):
            return []
        case ("Unitary",):
            return [_unitary(np.asarray(gate.to_matrix(), dtype=np.complex128))]
        case "PSwap", angle:
            return [Step(SwapGate(), pair), Step(RZZGate(angle), pair), _phase(angle / 2)]
        case "XY", angle:
            return [Step(RXXGate(-angle / 2), pair), Step(RYYGate(-angle / 2), pair)]
        case ("CPhaseShift00" | "CPhaseShift01" | "CPhaseShift10") as name, angle:
            flips = [Step(XGate(), (place,)) for place, bit in enumerate(name[-2:]) if bit == "0"]
            return [*flips, Step(CPhaseGate(angle), pair), *flips]
        case "GPi", angle:
            return [_rotation(math.pi, angle), _phase(math.pi / 2)]
        case "GPi2", axis:
            return [_rotation(math.pi / 2, axis)]
        case "PRx", angle, axis:
            return [_rotation(angle, axis)]
        case "MS", first, second, angle:
            turned = [Step(RZGate(first), (0,)), Step(RZGate(second), (1,))]
            back = [Step(RZGate(-first), (0,)), Step(RZGate(-second), (1,))]
            return [*back, Step(RXXGate(angle), pair), *turned]
    raise AssertionError(f"{gate.name} is in NAMES and has no steps")


def _rotation(angle: Number, axis: Number) -> Step:
    """Return the rotation about an axis of the XY plane."""
    return Step(RGate(angle, axis), (0,))


def _phase(angle: Number) -> Step:
    return Step(GlobalPhaseGate(angle), ())


def _unitary(matrix: NDArray[np.complex128]) -> Step:
    """Return the step of a big-endian matrix."""
    qubits = len(matrix).bit_length() - 1
    if qubits > _MOST_MATRIX_QUBITS:
        raise ValueError(
            f"a matrix of {qubits} qubits is too large to be sent, of {_MOST_MATRIX_QUBITS} the largest: build the "
            "operation of gates"
        )
    return Step(UnitaryGate(matrix, check_input=False), tuple(reversed(range(qubits))))


def _under(steps: Sequence[Step], state: Sequence[int]) -> Iterator[Step]:
    """Control the steps by the first qubits being in this state."""
    controls = tuple(range(len(state)))
    flips = [Step(XGate(), (place,)) for place, bit in enumerate(state) if not bit]
    yield from flips
    for gate, places in steps:
        on = (*controls, *(len(state) + place for place in places))
        if isinstance(gate, GlobalPhaseGate | PhaseGate | CPhaseGate):
            yield Step(_phase_of(len(on), gate.params[0]), on)
        elif isinstance(gate, UnitaryGate) and len(on) <= _MOST_MATRIX_QUBITS:
            yield Step(UnitaryGate(_controlled(gate.to_matrix(), len(state)), check_input=False), _little(on, controls))
        else:
            yield Step(gate.control(len(state), annotated=False), on)
    yield from flips


def _phase_of(qubits: int, angle: Number) -> Gate:
    """Return what gives the state with all bits 1 this phase."""
    if qubits == 1:
        return PhaseGate(angle)
    return CPhaseGate(angle) if qubits == 2 else MCPhaseGate(angle, qubits - 1)


def _controlled(matrix: NDArray[np.complex128], controls: int) -> NDArray[np.complex128]:
    """Return the matrix under controls that are the most significant bits."""
    whole = np.eye(len(matrix) << controls, dtype=np.complex128)
    whole[-len(matrix) :, -len(matrix) :] = matrix
    return whole


def _little(on: tuple[int, ...], controls: tuple[int, ...]) -> tuple[int, ...]:
    """Return the places with the targets, which are the least significant bits, first."""
    return (*on[len(controls) :], *controls)
