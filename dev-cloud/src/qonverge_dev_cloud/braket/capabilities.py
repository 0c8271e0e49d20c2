"""The documents in which Braket describes a device, in the schemas of amazon-braket-schemas."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from braket.device_schema.ionq import IonqDeviceCapabilities, IonqDeviceParameters
from braket.device_schema.iqm import IqmDeviceCapabilities, IqmDeviceParameters
from braket.device_schema.rigetti import RigettiDeviceParameters
from braket.device_schema.rigetti.rigetti_device_capabilities_v2 import RigettiDeviceCapabilities
from braket.device_schema.simulators import GateModelSimulatorDeviceCapabilities, GateModelSimulatorDeviceParameters

from qonverge_dev_cloud.braket.catalogue import Device
from qonverge_dev_cloud.braket.prices import Tariff
from qonverge_dev_cloud.calibration import Calibration

# fmt: off
_GATES = [
    "ccnot", "cnot", "cphaseshift", "cphaseshift00", "cphaseshift01", "cphaseshift10", "cswap", "cv", "cy", "cz",
    "ecr", "gphase", "h", "i", "iswap", "phaseshift", "pswap", "rx", "ry", "rz", "s", "si", "swap", "t", "ti",
    "v", "vi", "x", "xx", "xy", "y", "yy", "z", "zz",
]
_NOISE = [
    "amplitude_damping", "bit_flip", "depolarizing", "generalized_amplitude_damping", "kraus", "pauli_channel",
    "phase_damping", "phase_flip", "two_qubit_dephasing", "two_qubit_depolarizing",
]
# fmt: on
_PRODUCT = ["x", "y", "z", "h", "i"]
_OF_VECTORS, _OF_MATRICES = ("StateVector", "DensityMatrix", "Amplitude"), ("DensityMatrix",)
_PARAMETERS: dict[str, Any] = {
    "IQM": IqmDeviceParameters,
    "IonQ": IonqDeviceParameters,
    "Rigetti": RigettiDeviceParameters,
    "Amazon Braket": GateModelSimulatorDeviceParameters,
}


def capabilities(device: Device, tariff: Tariff, calibration: Calibration | None, updated: float) -> Any:
    """Return the document, as the schemas' model.

    Args:
        device: which.
        tariff: what it costs.
        calibration: that in force, of a QPU.
        updated: when the document last changed, seconds since 1970.
    """
    plain: dict[str, Any] = {
        "service": _service(device, tariff, updated),
        "deviceParameters": _PARAMETERS[device.provider].schema(),
    }
    if calibration is None:
        plain["action"] = _actions(device)
        plain["paradigm"] = {"qubitCount": device.width}
        return GateModelSimulatorDeviceCapabilities.parse_obj(plain)
    plain["action"] = _actions(device)
    plain["paradigm"] = {
        "qubitCount": len(device.qubits),
        "nativeGateSet": list(device.native),
        "connectivity": {
            "fullyConnected": device.fully_connected,
            "connectivityGraph": {} if device.fully_connected else _graph(device),
        },
    }
    if device.provider == "IonQ":
        plain["provider"], plain["standardized"] = _ionq(device, calibration)
        return IonqDeviceCapabilities.parse_obj(plain)
    plain["standardized"] = _standardized(device, calibration)
    if device.provider == "IQM":
        return IqmDeviceCapabilities.parse_obj(plain)
    return RigettiDeviceCapabilities.parse_obj(plain)


def _service(device: Device, tariff: Tariff, updated: float) -> dict[str, Any]:
    price, unit = (tariff.per_minute, "minute") if device.kind == "SIMULATOR" else (tariff.per_shot, "shot")
    return {
        "executionWindows": [{"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"}],
        "shotsRange": [device.min_shots, device.max_shots],
        "deviceCost": {"price": price, "unit": unit},
        "deviceDocumentation": {"summary": f"{device.name} of dev-cloud"},
        "deviceLocation": device.regions[0],
        "updatedAt": datetime.fromtimestamp(updated, UTC).isoformat(),
        "getTaskPollIntervalMillis": 200,
    }


def result_types(device: Device) -> list[dict[str, Any]]:
    """Return the result types that programs may ask for, each with the shots that it takes."""
    sampled = _sampled(device.min_shots, device.max_shots, likely=1 if device.mixed else device.min_shots)
    exact = () if device.kind == "QPU" else _OF_MATRICES if device.mixed else _OF_VECTORS
    return [*sampled, *({"name": name, "minShots": 0, "maxShots": 0} for name in exact)]


def _actions(device: Device) -> dict[str, Any]:
    results = result_types(device)
    verbatim, noise = device.kind == "QPU", _NOISE if device.mixed else []
    sets: dict[str, Any] = {
        "actionType": "braket.ir.openqasm.program_set",
        "version": ["1"],
        "maximumExecutables": device.most_executables,
        "maximumTotalShots": device.most_set_shots,
    }
    return {
        **({sets["actionType"]: sets} if device.most_executables else {}),
        "braket.ir.openqasm.program": {
            "actionType": "braket.ir.openqasm.program",
            "version": ["1"],
            "supportedOperations": [*_GATES, *(gate for gate in device.native if gate not in _GATES), *noise],
            "supportedModifiers": [
                {"name": "ctrl"},
                {"name": "negctrl"},
                {"name": "pow", "exponent_types": ["int", "float"]},
                {"name": "inv"},
            ],
            "supportedPragmas": [
                *(["verbatim"] if verbatim else ["braket_unitary_matrix"]),
                *(f"braket_result_type_{own['name'].lower()}" for own in results),
                *(f"braket_noise_{name}" for name in noise),
            ],
            "supportedResultTypes": results,
            "supportPhysicalQubits": verbatim,
            "requiresAllQubitsMeasurement": False,
            "requiresContiguousQubitIndices": False,
            "supportsPartialVerbatimBox": verbatim,
        },
    }


def _sampled(least: int, most: int, *, likely: int) -> list[dict[str, Any]]:
    """Return those that shots give; ``likely`` is the fewest for probabilities."""
    observed = ("Expectation", "Variance", "Sample")
    return [
        *(
            {
                "name": name,
                "observables": [*_PRODUCT, "hermitian"],
                "minShots": max(least, 1 if name == "Sample" else 0),
                "maxShots": most,
            }
            for name in observed
        ),
        {"name": "Probability", "minShots": likely, "maxShots": most},
    ]


def _graph(device: Device) -> dict[str, list[str]]:
    graph: dict[str, list[str]] = {str(qubit): [] for qubit in device.qubits}
    for one, other in device.edges:
        graph[str(one)].append(str(other))
        graph[str(other)].append(str(one))
    return graph


def _standardized(device: Device, calibration: Calibration) -> dict[str, Any]:
    t1, t2 = device.coherence
    return {
        "braketSchemaHeader": {
            "name": "braket.device_schema.standardized_gate_model_qpu_device_properties",
            "version": "1",
        },
        "oneQubitProperties": {
            str(qubit): {
                "T1": {"value": t1, "standardError": None, "unit": "S"},
                "T2": {"value": t2, "standardError": None, "unit": "S"},
                "oneQubitFidelity": [
                    {"fidelityType": {"name": "RANDOMIZED_BENCHMARKING"}, "fidelity": calibration.single[qubit]},
                    {"fidelityType": {"name": "READOUT"}, "fidelity": calibration.readout[qubit]},
                ],
            }
            for qubit in device.qubits
        },
        "twoQubitProperties": {
            f"{one}-{other}": {
                "twoQubitGateFidelity": [
                    {
                        "gateName": device.two_qubit_gate.upper(),
                        "fidelity": calibration.pairs[one, other],
                        "fidelityType": {"name": "INTERLEAVED_RANDOMIZED_BENCHMARKING"},
                    }
                ]
            }
            for one, other in device.edges
        },
    }


def _ionq(device: Device, calibration: Calibration) -> tuple[dict[str, Any], dict[str, Any]]:
    single, readout = fmean(calibration.single.values()), fmean(calibration.readout.values())
    pair = fmean(calibration.pairs.values())
    (t1, t2), (one, two, measure) = device.coherence, device.durations
    provider = {
        "fidelity": {"1Q": {"mean": single}, "2Q": {"mean": pair}, "spam": {"mean": readout}},
        "timing": {"T1": t1, "T2": t2, "1Q": one, "2Q": two, "readout": measure, "reset": 50e-6},
    }

    def duration(value: float) -> dict[str, Any]:
        return {"value": value, "unit": "s"}

    benchmarked = {"name": "RANDOMIZED_BENCHMARKING"}
    standardized = {
        "braketSchemaHeader": {
            "name": "braket.device_schema.standardized_gate_model_qpu_device_properties",
            "version": "3",
        },
        "oneQubitProperties": {
            str(qubit): {
                "oneQubitFidelity": [
                    {"fidelityType": benchmarked, "fidelity": calibration.single[qubit], "unit": "fraction"}
                ]
            }
            for qubit in device.qubits
        },
        "T1": duration(t1),
        "T2": duration(t2),
        "readoutFidelity": [{"fidelity": readout, "unit": "fraction"}],
        "readoutDuration": duration(measure),
        "singleQubitGateDuration": duration(one),
        "singleQubitFidelity": [{"fidelityType": benchmarked, "fidelity": single, "unit": "fraction"}],
        "twoQubitGateFidelity": [{"fidelityType": benchmarked, "fidelity": pair, "unit": "fraction"}],
        "twoQubitGateDuration": duration(two),
        "activeResetDuration": duration(50e-6),
    }
    return provider, standardized
