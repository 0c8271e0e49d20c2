"""A backend's abilities in Braket's terms."""

from __future__ import annotations

import sys
from typing import Any

from braket.device_schema.simulators import GateModelSimulatorDeviceCapabilities, GateModelSimulatorDeviceParameters

from qonverge.client.braket.gates import NAMES
from qonverge.client.qiskit.backend import target_of
from qonverge.wire.backend_info import BackendInfo

_OBSERVABLES = ("x", "y", "z", "h", "i", "hermitian")
_MODIFIERS = (
    {"name": "ctrl"},
    {"name": "negctrl"},
    {"name": "pow", "exponent_types": ["int", "float"]},
    {"name": "inv"},
)
_OF_STATES = ("StateVector", "DensityMatrix", "Amplitude")
_FORBIDDEN = (
    *(
        f"braket_noise_{name}"
        for name in (
            *("amplitude_damping", "bit_flip", "depolarizing", "generalized_amplitude_damping", "kraus"),
            *("pauli_channel", "phase_damping", "phase_flip", "two_qubit_dephasing", "two_qubit_depolarizing"),
        )
    ),
)


def capabilities(info: BackendInfo) -> GateModelSimulatorDeviceCapabilities:
    """Return what the backend takes; where nothing bounds the number of qubits, the largest number stands for it."""
    qubits = target_of(info).num_qubits
    results = _result_types(info)
    given = [_pragma(each["name"]) for each in results]
    lacking = [name for name in map(_pragma, (*_OF_STATES, "AdjointGradient")) if name not in given]
    program = "braket.ir.openqasm.program"
    return GateModelSimulatorDeviceCapabilities.parse_obj(
        {
            "service": {
                "executionWindows": [
                    {"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"}
                ],
                "shotsRange": [min(each["minShots"] for each in results), info.max_shots],
                "deviceDocumentation": {"summary": f"{info.engine}, {info.method}"},
            },
            "action": {
                program: {
                    "actionType": program,
                    "version": ["1"],
                    "supportedOperations": [name.lower() for name in NAMES],
                    "supportedModifiers": list(_MODIFIERS),
                    "supportedPragmas": ["braket_unitary_matrix", *given],
                    "forbiddenPragmas": [*lacking, *_FORBIDDEN],
                    "supportedResultTypes": results,
                    "supportPhysicalQubits": False,
                    "supportsPartialVerbatimBox": False,
                    "requiresContiguousQubitIndices": False,
                    "requiresAllQubitsMeasurement": False,
                    "supportsUnassignedMeasurements": True,
                    "disabledQubitRewiringSupported": False,
                }
            },
            "paradigm": {"qubitCount": sys.maxsize if qubits is None else qubits},
            "deviceParameters": GateModelSimulatorDeviceParameters.schema(),
        }
    )


def _result_types(info: BackendInfo) -> list[dict[str, Any]]:
    """Return the result types and how many shots each may have; 0 are exact values."""
    device, most = info.device, info.max_shots
    exact, states = (True, True) if device is None else (device.exact, device.states)
    measured = {"observables": list(_OBSERVABLES), "maxShots": most}
    return [
        {"name": "Sample", "minShots": 1, **measured},
        {"name": "Expectation", "minShots": 0 if exact else 1, **measured},
        {"name": "Variance", "minShots": 0 if exact else 1, **measured},
        # Exact ones are made of the final state.
        {"name": "Probability", "minShots": 0 if states else 1, "maxShots": most},
        *({"name": name, "minShots": 0, "maxShots": 0} for name in _OF_STATES if states),
    ]


def _pragma(result_type: str) -> str:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in result_type)
    return f"braket_result_type{words}"
