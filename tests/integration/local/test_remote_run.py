"""``qonverge run`` with a backend that is another server: one that answers, and one that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bench.remote import edge_server, free_port
from qonverge.cli.main import cli
from qonverge.local import runner

BELL = Path(__file__).parents[3] / "examples" / "bell.yaml"


def backend(folder: Path, port: int) -> str:
    file = folder / "backend.yaml"
    spec = {"remote": {"url": f"http://127.0.0.1:{port}"}}
    kind = {"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumBackend", "metadata": {"name": "edge"}}
    file.write_text(yaml.safe_dump({**kind, "spec": spec}))
    return str(file)


def test_a_job_runs_on_a_server_of_this_machine_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    (tmp_path / "edge.yaml").write_text(yaml.safe_dump({"listen": f"127.0.0.1:{port}", "memory": "1000Mi"}))
    command = ["run", "-o", "json", backend(tmp_path, port), str(BELL)]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_ELSEWHERE_SECONDS", 0.5)
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 1
        message = json.loads(result.stdout)["status"]["message"]
        assert f"no task could begin within 0.5 s: no answer from http://127.0.0.1:{port}" in message
    edge = edge_server(tmp_path / "edge.yaml", port, "http")
    edge.start()
    try:
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
        status = json.loads(result.stdout)["status"]
        assert set(status["result"]["counts"]) <= {"00", "11"}
        assert status["provenance"]["engine"].startswith("Stim ")
    finally:
        edge.kill()
