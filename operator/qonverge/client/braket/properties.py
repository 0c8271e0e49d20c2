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
_PRAGMAS = (
    "braket_unitary_matrix",
    *(
        f"braket_result_type_{name}"
        for name in ("state_vector", "density_matrix", "sample", "expectation", "variance", "probability", "amplitude")
    ),
)
_FORBIDDEN = (
    "braket_result_type_adjoint_gradient",
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
    program = "braket.ir.openqasm.program"
    return GateModelSimulatorDeviceCapabilities.parse_obj(
        {
            "service": {
                "executionWindows": [
                    {"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"}
                ],
                "shotsRange": [0, info.max_shots],
                "deviceDocumentation": {"summary": f"{info.engine}, {info.method}"},
            },
            "action": {
                program: {
                    "actionType": program,
                    "version": ["1"],
                    "supportedOperations": [name.lower() for name in NAMES],
                    "supportedModifiers": list(_MODIFIERS),
                    "supportedPragmas": list(_PRAGMAS),
                    "forbiddenPragmas": list(_FORBIDDEN),
                    "supportedResultTypes": _result_types(info.max_shots),
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


def _result_types(most: int) -> list[dict[str, Any]]:
    measured = {"observables": list(_OBSERVABLES), "maxShots": most}
    return [
        {"name": "Sample", "minShots": 1, **measured},
        {"name": "Expectation", "minShots": 0, **measured},
        {"name": "Variance", "minShots": 0, **measured},
        {"name": "Probability", "minShots": 0, "maxShots": most},
        *({"name": name, "minShots": 0, "maxShots": 0} for name in ("StateVector", "DensityMatrix", "Amplitude")),
    ]
