from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic import ValidationError

from qonverge.amounts import TaskLimits
from qonverge.api.clouds import IBM
from qonverge.backend.clouds.ibm.descriptor import IBM as IBM_DESCRIPTOR
from qonverge.backend.clouds.ibm.device import described
from qonverge.backend.clouds.ibm.options import IBMOptions
from qonverge.devices import Calibration
from qonverge.forecast.features import Work, seconds, table
from qonverge.providers.installed import find

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/b:c::"
CONFIGURATION = {
    "n_qubits": 2,
    "basis_gates": ["cz", "rz", "sx", "x", "rzz"],
    "coupling_map": [[0, 1], [1, 0]],
    "max_shots": 100_000,
    "dt": 4.0,
}
QUBIT = [
    {"name": "T1", "value": 200, "unit": "us"},
    {"name": "prob_meas0_prep1", "value": 0.02, "unit": ""},
    {"name": "prob_meas1_prep0", "value": 0.01, "unit": ""},
]
PROPERTIES = {
    "last_update_date": "2026-11-30T06:00:00+00:00",
    "qubits": [QUBIT, QUBIT],
    "gates": [
        {"gate": name, "qubits": [0, 1], "parameters": [{"name": "gate_error", "value": 0.003, "unit": ""}]}
        for name in ("cz", "rzz")
    ],
}


@pytest.mark.parametrize(
    ("load", "heavy"),
    [
        ("from qonverge.providers.installed import find; find('IBM')", ["pydantic", "urllib3", "qiskit", "numpy"]),
        ("import qonverge.backend.clouds.ibm.cloud", ["qiskit", "qiskit_ibm_runtime", "requests"]),
    ],
)
def test_nothing_heavier_is_loaded_than_is_needed(load: str, heavy: list[str]) -> None:
    code = f"import sys; {load}; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_section_of_the_api_is_what_the_pod_reads() -> None:
    given = {
        "backend": "ibm_fez",
        "instance": CRN,
        "mode": "Session",
        "maxTtl": 600,
        "maxExecutionTime": 60,
        "sampler": {"dynamical_decoupling": {"enable": True}},
        "estimator": {"resilience_level": 2, "resilience": {"zne": {"noise_factors": [1, 3]}}},
        "endpoint": "http://127.0.0.1:1",
        "iamEndpoint": "http://127.0.0.1:2",
    }
    source = IBM.model_validate({**given, "credentials": {"name": "ibm"}}).source
    assert source.provider == find("IBM").name
    assert source.credentials == "ibm"
    assert json.loads(json.dumps(source.options)) == given
    assert IBMOptions.read(source.options).model_dump(by_alias=True) == given
    least = IBM.model_validate({"backend": "ibm_fez"}).source.options
    assert IBMOptions.read(least) == IBMOptions.read({"backend": "ibm_fez"})
    with pytest.raises(ValidationError):
        IBM.model_validate({"backend": "ibm_fez", "instance": "my-instance"})


@pytest.mark.parametrize(
    ("status", "online", "reason"),
    [
        ({"state": True, "status": "active"}, True, ""),
        ({"state": True, "status": "internal", "message": "tests"}, True, "ibm_fez is internal: tests"),
        ({"state": False, "status": "maintenance"}, False, "ibm_fez is maintenance"),
        ({"state": False}, False, "ibm_fez is offline"),
    ],
)
def test_how_a_device_is(status: dict[str, object], online: bool, reason: str) -> None:
    device = described("ibm_fez", {**status, "length_queue": 7}, CONFIGURATION, PROPERTIES)
    assert (device.online, device.reason, device.queue_length) == (online, reason, 7)
    assert (device.num_qubits, device.max_shots) == (2, 100_000)
    assert isinstance(device.calibration, Calibration)
    # The angles of fractional gates have limits that parameters need not keep.
    assert {gate.name for gate in device.calibration.gates} == {"cz"}


def test_a_device_without_properties_takes_nothing() -> None:
    device = described("ibm_fez", {"state": True, "status": "active"}, CONFIGURATION, {})
    assert not device.online
    assert device.reason.startswith("IBM tells no properties of ibm_fez")


@pytest.mark.parametrize(("published", "sets"), [({"max_experiments": 300}, 300), ({}, 1000)])
def test_a_job_has_no_more_than_ibm_lets_one_have(published: dict[str, int], sets: int) -> None:
    device = described("ibm_fez", {"state": True}, {**CONFIGURATION, **published}, PROPERTIES)
    assert device.limits == TaskLimits(100_000, sets, 10_000_000, 0)


def test_a_sweep_is_expected_to_take_the_time_of_one_job() -> None:
    # IBM's own example: 4,096 shots of a pair take about 4 s of the device.
    pair = Work(2, 5, 1, 3, 1, 2, 4096)
    assert IBM_DESCRIPTOR.figures is not None
    one, many = seconds("Device", table([pair, replace(pair, sets=100)]), IBM_DESCRIPTOR.figures).sum(axis=1)
    assert 3 < one < 4.5
    # Shots take as long as they do, and what a job takes besides comes once.
    assert many == pytest.approx(100 * one, abs=99 * 2.1)
    assert many < 100 * one - 99 * 1.9
