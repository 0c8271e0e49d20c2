"""A job on a backend that is another server: operator, API server, proxy and edge server are processes of their own."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from bench.remote import Process, edge_server, free_port
from tests.integration.conftest import Lab, eventually, job


@pytest.fixture
def edge(tmp_path: Path) -> Any:
    """An edge server on loopback, which needs neither certificate nor token."""
    port = free_port()
    file = tmp_path / "edge.json"
    config = {"listen": f"127.0.0.1:{port}", "spool": {"folder": "spool"}, "memory": "1000Mi"}
    device = {"simulator": {"engine": "Aer", "noise": {"device": "lima"}}, "capacity": {"concurrency": 1}}
    file.write_text(json.dumps(config | device))
    process = edge_server(file, port, "http")
    process.start()
    yield process
    process.kill(signal.SIGTERM)


def test_a_job_runs_at_another_site_and_says_so(lab: Lab, edge: Process) -> None:
    lab.apply(
        {
            "apiVersion": "qonverge.io/v1alpha1",
            "kind": "QuantumBackend",
            "metadata": {"name": "edge", "namespace": "default"},
            "spec": {"remote": {"url": f"http://127.0.0.1:{edge.port}"}, "location": {"tier": "Edge"}},
        },
        job("bell", placement={"tiers": ["Edge"]}),
    )
    lab.start_operator()
    lab.ready()
    lab.serve("edge")
    status = lab.ended("bell")
    assert status["state"] == "Complete", status
    assert status["provenance"]["engine"].startswith("Aer ")
    there = edge.ask("GET", "/v1/backend")
    assert status["provenance"]["calibration"] == there["calibration_digest"]
    (known,) = status["cloudTasks"]
    assert edge.ask("GET", f"/v1/tasks/{known['id']}")["seed"] == status["provenance"]["seed"]
    capabilities = eventually(lambda: lab.get("qb", "edge")["status"].get("capabilities"), "what edge can do")
    assert capabilities["maxQubits"] == 5
