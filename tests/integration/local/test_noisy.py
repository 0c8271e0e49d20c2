"""``qonverge run`` with backends that imitate devices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from qonverge.devices import Rates, snapshots

ROOT = Path(__file__).parents[3]
PROGRAM = """
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2, report
circuit = QuantumCircuit(1)
circuit.x(0)
circuit.measure_all()
counts = SamplerV2().run([circuit], shots=2000).result()[0].data.meas.get_counts()
report(zeros=counts["0"] / 2000)
"""


def run(*documents: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run", "-o", "json", "-"]
    text = yaml.safe_dump_all(documents)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)


def status(*documents: dict[str, Any]) -> dict[str, Any]:
    done = run(*documents)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["status"]
    return found


def backend(**simulator: Any) -> dict[str, Any]:
    spec = {"simulator": simulator, "capacity": {"concurrency": 1}}
    metadata = {"name": "noisy"}
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumBackend", "metadata": metadata, "spec": spec}


def job(program: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"program": program, "seed": 1, **more}
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": "job"}, "spec": spec}


def config_map(text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "figures"}, "data": {"lima.json": text}}


def excited(qubits: int = 1) -> dict[str, Any]:
    text = f'OPENQASM 3.0; include "stdgates.inc"; qubit[{qubits}] q; x q; '
    return {"circuit": {"openqasm": text, "observables": ["Z" * qubits]}}


REFERENCE = {"configMapKeyRef": {"name": "figures", "key": "lima.json"}}


def test_a_circuit_runs_on_a_calibration_from_a_config_map() -> None:
    lima = snapshots.load("lima")
    found = status(job(excited()), backend(noise=REFERENCE), config_map(json.dumps(lima.to_dict())))
    assert found["state"] == "Complete", found
    (value,) = found["result"]["expectationValues"]
    assert -1 < value < -0.99
    assert found["provenance"]["calibration"] == lima.digest


def test_a_program_runs_on_a_noisy_backend() -> None:
    found = status(job({"python": {"source": PROGRAM}}), backend(noise={"rates": {"readout": 0.2}}))
    assert found["state"] == "Complete", found
    assert found["metrics"]["zeros"] == pytest.approx(0.2, abs=0.05)
    assert found["provenance"]["calibration"] == Rates(readout=0.2).digest


def test_a_circuit_that_is_wider_than_the_device_is_not_placed() -> None:
    found = status(job(excited(6)), backend(noise={"device": "lima"}))
    assert found["reason"] == "Unschedulable"
    assert "noisy takes 5 qubits and the circuit has 6" in found["message"]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "spec.simulator.noise: there is no ConfigMap figures among the files given"),
        ([config_map("{}")], "spec.simulator.noise: the key lima.json of the ConfigMap figures: format is None"),
    ],
)
def test_a_calibration_that_is_not_there_is_said_before_anything_runs(
    documents: list[dict[str, Any]], message: str
) -> None:
    done = run(job(excited()), backend(noise=REFERENCE), *documents)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gpu_that_is_not_there_fails_the_job_with_the_reason() -> None:
    from qiskit_aer import AerSimulator

    if "GPU" in AerSimulator().available_devices():
        pytest.skip("there is one")
    found = status(job(excited()), backend(device="GPU"))
    assert found["reason"] == "EngineFailed"
    assert found["message"].startswith("device is GPU and Aer here has only CPU")
