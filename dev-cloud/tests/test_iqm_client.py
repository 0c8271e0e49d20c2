"""Unchanged programs of IQM's own client, in the environment that ``make iqm-client`` installs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qonverge_dev_cloud.cloud import DevCloud

Start = Callable[..., DevCloud]
PYTHON = Path(__file__).parents[2] / ".venv-iqm" / "bin" / "python"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="make iqm-client installs it")

# As IQM's user guide of Qiskit has it: where the service is comes from the environment.
QISKIT = """
import json

from iqm.qiskit_iqm import IQMProvider
from qiskit import QuantumCircuit, transpile

backend = IQMProvider().get_backend(use_metrics=True)
circuit = QuantumCircuit(3, 3)
circuit.h(0)
circuit.cx(0, 1)
circuit.x(2)
circuit.measure([0, 1, 2], [1, 2, 0])
job = backend.run(transpile(circuit, backend, optimization_level=3, seed_transpiler=1), shots=500)
again = backend.retrieve_job(job.job_id())
error = backend.target["cz"][backend.target.build_coupling_map().get_edges()[0]].error
print(json.dumps([job.result().get_counts(), again.result().get_counts(), again.status().name, error]))
"""
CLIENT = """
import json

from iqm.iqm_client import IQMClient
from iqm.pulse import Circuit, CircuitOperation

client = IQMClient.from_url()
operations = (
    CircuitOperation("prx", ("alice",), {"angle": 3.141592653589793, "phase": 0.3}),
    CircuitOperation("measure", ("bob", "alice"), {"key": "both"}),
)
circuits, names = [Circuit("first", operations), Circuit("second", operations[1:])], {"alice": "QB3", "bob": "QB4"}
job = client.submit_circuits(circuits, qubit_mapping=names, shots=10)
status = job.wait_for_completion()
counts = [own.counts for own in job.result_counts()]
timeline = [own.status for own in job.job_data.timeline]
calibrated = str(job.job_data.compilation.calibration_set_id)
held = client.submit_circuits(circuits, qubit_mapping=names)
client.cancel_job(held.job_id)
known = str(client.get_dynamic_quantum_architecture().calibration_set_id)
health = client.get_health()["healthy"]
print(json.dumps([status, counts, timeline, calibrated == known, held.update(), health, len(job.result()[0]["both"])]))
"""


def said(program: str) -> Any:
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", program], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_qiskit(start: Start) -> None:
    cloud = start(iqm={"computers": {"garnet": {"noise": False}}})
    counts, again, status, error = said(QISKIT)
    assert set(counts) == {"001", "111"}
    assert (again, status) == (counts, "DONE")
    assert 0 < error < 0.05
    (task,) = cloud.tasks()
    assert (task["status"], task["shots"]) == ("completed", 500)


def test_iqm_client(start: Start) -> None:
    start(iqm={"computers": {"garnet": {"noise": False, "run": {"seconds": 0.2}}}})
    status, counts, timeline, is_known, cancelled, health, shots = said(CLIENT)
    assert (status, counts) == ("completed", [{"01": 10}, {"00": 10}])
    assert timeline == ["created", "execution_started", "completed"]
    assert (is_known, cancelled, health, shots) == (True, "cancelled", True, 10)
