"""Circuits with a layout, as a verbatim box: on the device's own qubits, gate by gate, past its maker's compiler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.circuit.library import RGate, RXGate, RZGate

from qonverge.backend.clouds.braket.gates import NATIVE
from qonverge.backend.clouds.measurement import OWN
from qonverge.devices import Calibration, Layout
from qonverge.devices.layout import misfit
from qonverge.devices.noise import Noise
from qonverge.wire.errors import InvalidCircuit

QUBITS = "verbatim"
"""In the metadata of a circuit that was prepared: for each of its qubits the device's own."""
_QUARTER = math.pi / 2
_CLOSE = 1e-9
_SHOWN = {"iqm": "prx, cz", "ionq": "gpi, gpi2, zz", "rigetti": "rx, rz, iswap"}


def prepare(circuit: QuantumCircuit, layout: Layout, device: str, family: str, known: Noise | None) -> QuantumCircuit:
    """Return a circuit that runs as it is, but for what turns the bases of observables.

    Args:
        circuit: flat.
        layout: where it lies.
        device: its name, for messages.
        family: who made it.
        known: its calibration; None: Braket checks the couplings.

    Raises:
        InvalidCircuit: a gate is not native, or the device lacks a qubit or a coupling.
    """
    native = NATIVE.get(family)
    if native is None:
        raise InvalidCircuit(
            f"the circuit has a layout, and {device} runs none on its own qubits: leave the layout out"
        )
    made = circuit.copy_empty_like()
    made.metadata = {QUBITS: list(layout.qubits)}
    own = (circuit.metadata or {}).get(OWN, len(circuit.data))
    flipped: set[Any] = set()
    for index, item in enumerate(circuit.data):
        name = item.name
        if name == "measure" or (index < own and (name in native or name == "barrier")):
            _check_angles(family, name, item.params, device)
            made.append(item)
        elif index >= own:
            # An h turns X to Z, and after an sdg it turns Y.
            if name == "h":
                for gate in _turn(family, y=item.qubits[0] in flipped):
                    made.append(gate, item.qubits)
            flipped.update(item.qubits)
        elif item.qubits:
            raise InvalidCircuit(
                f"the circuit has a layout and runs on {device} as it is, which has no native gate {name}: use "
                f"{_SHOWN[family]}, or leave the layout out"
            )
    used = {made.find_bit(qubit).index for item in made.data if item.name != "barrier" for qubit in item.qubits}
    pairs = {
        (made.find_bit(item.qubits[0]).index, made.find_bit(item.qubits[1]).index)
        for item in made.data
        if len(item.qubits) == 2 and item.name != "barrier"
    }
    if isinstance(known, Calibration) and (
        found := misfit(Layout(layout.qubits, routing=False), sorted(used), pairs, known)
    ):
        raise InvalidCircuit(f"{found.reason}: choose others in the layout, or leave it out")
    return made


def _check_angles(family: str, name: str, params: Sequence[Any], device: str) -> None:
    if family != "ionq" or name != "r":
        return
    angle = params[0]
    if isinstance(angle, ParameterExpression) or not (_is(angle, math.pi) or _is(angle, _QUARTER)):
        raise InvalidCircuit(
            f"the circuit has a layout and runs on {device} as it is, which turns by pi (gpi) or pi/2 (gpi2) and not "
            f"by {angle}: use several, or leave the layout out"
        )


def _is(angle: Any, wanted: float) -> bool:
    return abs(float(angle) - wanted) < _CLOSE


def _turn(family: str, *, y: bool) -> list[Any]:
    """Return the native gates that turn an axis to that of Z, up to a turn about Z after them."""
    if family == "rigetti":
        return [RXGate(_QUARTER)] if y else [RZGate(_QUARTER), RXGate(_QUARTER)]
    return [RGate(_QUARTER, 0.0 if y else -_QUARTER)]


def statement(family: str, name: str, angles: Sequence[str], params: Sequence[Any]) -> str:
    """Return a native gate by Braket's name, with its angles.

    Args:
        family: who made the device.
        name: Qiskit's.
        angles: as the program has them.
        params: their values.
    """
    if name == "r" and family == "ionq":
        return f"{'gpi' if _is(params[0], math.pi) else 'gpi2'}({angles[1]})"
    named = {"r": "prx", "rzz": "zz"}.get(name, name)
    return f"{named}({', '.join(angles)})" if angles else named
