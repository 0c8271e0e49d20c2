"""Programs from the command line: what they print and report, and their end by a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from prometheus_client.parser import text_string_to_metric_families

from e2e.workspace import Workspace, program

# It prints and reports until it is asked to end, and then cleans up.
_STEPS = """
import time
from qonverge.client import report
step = 0
try:
    while True:
        report(progress=min(0.9, step / 1000), energy=-step / 100, step=step)
        print("step", step)
        step += 1
        time.sleep(0.1)
finally:
    print("cleaned up")
"""
_COMMAND = (sys.executable, "-c", "from qonverge.cli.main import main; main()")


def test_a_program_is_followed_and_cancelled(workspace: Workspace, tmp_path: Path) -> None:
    environment = workspace.environment(tmp_path)
    workspace.apply(program("steps", dedent(_STEPS)))
    workspace.running("steps")
    workspace.wait("--for=jsonpath={.status.metricsSummary}", "hybridjob/steps")
    with subprocess.Popen(
        [*_COMMAND, "logs", "-f", "steps"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(2)] == ["step 0\n", "step 1\n"]
        # The estimate needs two reports.
        workspace.wait("--for=jsonpath={.status.estimatedEndAt}", "hybridjob/steps")
        pod = workspace.status("steps")["pod"]
        path = f"/api/v1/namespaces/{workspace.namespace}/pods/{pod}:8079/proxy/metrics"
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(workspace.kubectl("get", f"--raw={path}"))
            for sample in family.samples
        }
        assert values["qonverge_program_reported_value", "step"] >= 0
        assert 0 <= values["qonverge_program_progress_ratio",] <= 0.9
        done = subprocess.run([*_COMMAND, "cancel", "steps"], env=environment, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
        workspace.wait("--for=delete", f"pod/{pod}")
        rest, problem = following.communicate(timeout=240)
    assert following.returncode == 0, problem
    assert rest.splitlines()[-1] == "cleaned up"
    status = workspace.status("steps")
    assert (status["state"], status["reason"]) == ("Failed", "Cancelled")
    assert status["metrics"]["step"] > 0
    assert "estimatedEndAt" not in status
    assert [curve["name"] for curve in status["metricCurves"]] == ["energy", "step"]
