"""Device documents as Braket publishes them, each checked by the models of amazon-braket-schemas."""

from __future__ import annotations

from typing import Any

from braket.device_schema.aqt import AqtDeviceCapabilities
from braket.device_schema.ionq import IonqDeviceCapabilities
from braket.device_schema.iqm import IqmDeviceCapabilities
from braket.device_schema.simulators import GateModelSimulatorDeviceCapabilities

from qonverge.backend.clouds.braket.gates import NAMES, gates_of

_SCHEMA = "braket.device_schema"
_BENCHMARK = {"name": "RANDOMIZED_BENCHMARKING"}


def service(unit: str, price: float, **more: Any) -> dict[str, Any]:
    """Return service properties."""
    return {
        "braketSchemaHeader": {"name": f"{_SCHEMA}.device_service_properties", "version": "1"},
        "executionWindows": [{"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"}],
        "shotsRange": [1, 20000],
        "deviceCost": {"price": price, "unit": unit},
        "updatedAt": "2026-06-16T19:28:02",
        **more,
    }


def action(family: str) -> dict[str, Any]:
    """Return the actions of a device that takes what its family is known to."""
    name = "braket.ir.openqasm.program"
    operations = [NAMES[gate] for gate in sorted(gates_of(family))]
    return {name: {"actionType": name, "version": ["1"], "supportedOperations": operations, "supportedResultTypes": []}}


def paradigm(count: int, native: list[str], graph: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Return gate model properties; without a graph all qubits are coupled."""
    return {
        "braketSchemaHeader": {"name": f"{_SCHEMA}.gate_model_qpu_paradigm_properties", "version": "1"},
        "connectivity": {"fullyConnected": graph is None, "connectivityGraph": graph or {}},
        "qubitCount": count,
        "nativeGateSet": native,
    }


def _one(single: float, readout: float) -> dict[str, Any]:
    return {
        "T1": {"value": 40, "unit": "us"},
        "T2": {"value": 9e-6, "unit": "S"},
        "oneQubitFidelity": [
            {"fidelityType": {"name": "SIMULTANEOUS_RANDOMIZED_BENCHMARKING"}, "fidelity": 0.5},
            {"fidelityType": _BENCHMARK, "fidelity": single},
            {"fidelityType": {"name": "READOUT"}, "fidelity": readout},
        ],
    }


def iqm() -> dict[str, Any]:
    """Return a device of three qubits in a row, which are called 1 to 3; the second coupling was not measured."""
    document = {
        "braketSchemaHeader": {"name": f"{_SCHEMA}.iqm.iqm_device_capabilities", "version": "1"},
        "service": service("shot", 0.00145),
        "action": action("iqm"),
        "deviceParameters": {},
        "paradigm": paradigm(3, ["prx", "cz"], {"1": ["2"], "2": ["3"]}),
        "standardized": {
            "braketSchemaHeader": {
                "name": f"{_SCHEMA}.standardized_gate_model_qpu_device_properties",
                "version": "1",
            },
            "oneQubitProperties": {"1": _one(0.999, 0.98), "2": _one(0.998, 0.97), "3": _one(0.997, 0.96)},
            "twoQubitProperties": {
                "1-2": {
                    "twoQubitGateFidelity": [
                        {"gateName": "CZ", "fidelity": 0.99, "fidelityType": {"name": "INTERLEAVED"}}
                    ]
                }
            },
        },
    }
    IqmDeviceCapabilities.parse_obj(document)
    return document


def ionq() -> dict[str, Any]:
    """Return a device that publishes means."""
    document = {
        "braketSchemaHeader": {"name": f"{_SCHEMA}.ionq.ionq_device_capabilities", "version": "1"},
        "service": service("shot", 0.08),
        "action": action("ionq"),
        "deviceParameters": {},
        "paradigm": paradigm(4, ["GPI", "GPI2", "MS"]),
        "provider": {
            "braketSchemaHeader": {"name": f"{_SCHEMA}.ionq.ionq_provider_properties", "version": "1"},
            "fidelity": {"1Q": {"mean": 0.9998}, "2Q": {"mean": 0.993}, "spam": {"mean": 0.996}},
            "timing": {"T1": 100.0, "T2": 1.0, "1Q": 1.3e-4, "2Q": 9.7e-4, "readout": 1.5e-4, "reset": 2e-5},
        },
    }
    IonqDeviceCapabilities.parse_obj(document)
    return document


def aqt() -> dict[str, Any]:
    """Return a device with standardized properties of the third version."""

    def fidelity(value: float) -> list[dict[str, Any]]:
        return [{"fidelityType": _BENCHMARK, "fidelity": value, "unit": "fraction"}]

    def seconds(value: float) -> dict[str, Any]:
        return {"value": value, "standardError": None, "unit": "s"}

    document = {
        "braketSchemaHeader": {"name": f"{_SCHEMA}.aqt.aqt_device_capabilities", "version": "1"},
        "service": service("shot", 0.0235),
        "action": action("aqt"),
        "deviceParameters": {},
        "paradigm": paradigm(2, ["prx", "xx", "rz"]),
        "provider": {
            "braketSchemaHeader": {"name": f"{_SCHEMA}.aqt.aqt_provider_properties", "version": "1"},
            "properties": {
                "single_qubit_gate_fidelity": {"0": {"value": 99.9, "uncertainty": 0.01}},
                "mean_two_qubit_gate_fidelity": {"value": 98.0, "uncertainty": 0.1},
                "spam_fidelity_lower_bound": 99.7,
                "t2_coherence_time_s": {"value": 0.5, "uncertainty": 0.1},
                "t1_s": {"value": 1.1, "uncertainty": 0.1},
                "readout_time_micros": 1000,
                "single_qubit_gate_duration_micros": 15,
                "two_qubit_gate_duration_micros": 200,
                "updated_at": "2026-02-22T12:29:03Z",
            },
        },
        "standardized": {
            "braketSchemaHeader": {
                "name": f"{_SCHEMA}.standardized_gate_model_qpu_device_properties",
                "version": "3",
            },
            "oneQubitProperties": {
                "0": {"oneQubitFidelity": fidelity(0.999)},
                "1": {"oneQubitFidelity": fidelity(0.998)},
            },
            "T1": seconds(1.1),
            "T2": seconds(0.5),
            "readoutFidelity": [{"fidelity": 0.997, "unit": "fraction"}],
            "readoutDuration": seconds(1e-3),
            "singleQubitGateDuration": seconds(1.5e-5),
            "twoQubitGateFidelity": fidelity(0.98),
            "twoQubitGateDuration": seconds(2e-4),
            "updatedAt": "2026-02-22T12:29:03Z",
        },
    }
    AqtDeviceCapabilities.parse_obj(document)
    return document


def sv1() -> dict[str, Any]:
    """Return an on-demand simulator."""
    document = {
        "braketSchemaHeader": {
            "name": f"{_SCHEMA}.simulators.gate_model_simulator_device_capabilities",
            "version": "1",
        },
        "service": service("minute", 0.075, shotsRange=[0, 100000]),
        "action": action("amazon"),
        "deviceParameters": {},
        "paradigm": {
            "braketSchemaHeader": {
                "name": f"{_SCHEMA}.simulators.gate_model_simulator_paradigm_properties",
                "version": "1",
            },
            "qubitCount": 34,
        },
    }
    GateModelSimulatorDeviceCapabilities.parse_obj(document)
    return document
