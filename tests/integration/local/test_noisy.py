"""``qonverge run`` with backends that imitate devices."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from qonverge.devices import Rates, snapshots

ROOT = Path(__file__).parents[3]
FAKES = Path(str(resources.files("qiskit_ibm_runtime"))) / "fake_provider" / "backends"
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


def test_a_published_file_is_a_calibration_as_it_is() -> None:
    """Compressed, as files must be that are larger than a ConfigMap."""
    published = FAKES / "perth" / "props_perth.json"
    packed = base64.b64encode(gzip.compress(published.read_bytes())).decode()
    figures = {**config_map(""), "data": {}, "binaryData": {"lima.json": packed}}
    found = status(job(excited()), backend(noise=REFERENCE), figures)
    assert found["state"] == "Complete", found
    assert found["provenance"]["calibration"] == replace(snapshots.load("perth"), dt=None).digest


def counted(layout: dict[str, Any] | None, simulator: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a job that excites two qubits, on a device whose qubit 1 is read wrongly."""
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; x q[0]; cx q[0], q[1]; c = measure q;'
    circuit = {"openqasm": text, **({} if layout is None else {"layout": layout})}
    device = {
        "format": "qonverge.io/calibration/v1",
        "name": "four",
        "qubits": [{"read1As0": 0.4 if q == 1 else 0.0, "read0As1": 0.0} for q in range(4)],
        "gates": [
            *({"name": name, "qubits": [q], "error": 0} for name in ("x", "sx", "rz") for q in range(4)),
            *({"name": "cx", "qubits": [a, b], "error": 0} for q in range(3) for a, b in ((q, q + 1), (q + 1, q))),
        ],
    }
    return status(
        job({"circuit": circuit}, shots=4000), backend(noise=REFERENCE, **simulator), config_map(json.dumps(device))
    )


@pytest.mark.parametrize(
    ("layout", "simulator", "places", "ones"),
    [
        (None, {}, None, 1.0),
        ({"qubits": [2, 3]}, {}, [2, 3], 1.0),
        ({"qubits": [2, 1]}, {}, [2, 1], 0.6),
        ({"qubits": [1, 0], "routing": "Never"}, {}, [1, 0], 0.6),
        (None, {"layout": "AsGiven"}, [0, 1], 0.6),
        ({"qubits": [3, 2]}, {"layout": "AsGiven"}, [3, 2], 1.0),
    ],
)
def test_a_circuit_runs_where_it_is_laid_out(
    layout: dict[str, Any] | None, simulator: dict[str, Any], places: list[int] | None, ones: float
) -> None:
    found = counted(layout, simulator)
    assert found["state"] == "Complete", found
    assert found["result"]["counts"].get("11", 0) / 4000 == pytest.approx(ones, abs=0.04)
    assert found["provenance"]["layout"] == places or places is None
    (told,) = found["forecast"]
    assert told["fidelity"]["mid"] == pytest.approx(ones, abs=0.05)


def test_a_layout_that_no_device_has_is_refused_with_what_is_missing() -> None:
    found = counted({"qubits": [3, 1], "routing": "Never"}, {})
    assert found["reason"] == "Unschedulable"
    assert found["message"].startswith("noisy can't run the circuit: qubits 1 and 3 are not coupled on four")
    found = counted({"qubits": [3, 1, 2]}, {})
    assert (found["reason"], found["message"]) == (
        "InvalidProgram",
        "the layout has 3 qubits and the circuit 2; expected one qubit of the device for each qubit of the circuit",
    )


def test_a_device_that_errs_too_much_is_not_taken() -> None:
    limited = job(excited(), placement={"maxErrors": {"twoQubit": 0.001}})
    found = status(limited, backend(noise={"device": "lima"}))
    error = snapshots.load("lima").median_error(2)
    assert found["reason"] == "Unschedulable"
    assert found["message"].startswith(f"noisy's median two-qubit error {error:.2g}")
    assert status(limited, backend())["state"] == "Complete"


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "spec.simulator.noise: there is no ConfigMap figures in namespace default among"),
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
