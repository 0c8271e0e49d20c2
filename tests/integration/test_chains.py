"""Chains of jobs on a real API server: waiting, inputs, failures, and an operator that is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.build import Programs
from tests.integration.conftest import HEADER, ROOT, Lab, eventually, job
from tests.integration.test_program_slots import batch_jobs, is_in, restarted
from tests.integration.test_results import SHOTS, WIDE
from tests.integration.test_tokens import Program, ask, program

ROTATED = HEADER + "input float theta; qubit[1] q; bit[1] c; ry(theta) q[0]; c = measure q;"


def says(lab: Lab, name: str, message: str) -> bool:
    return lab.status(name).get("message") == message


def test_a_chain_runs_in_its_order_over_restarts_and_hands_results_on(served: Lab) -> None:
    on_calibrate = {"name": "calibrate", "parameters": {"theta": "angle"}}
    served.apply(program("analyse", dependsOn=[{"name": "calibrate"}, {"name": "run"}]))
    served.apply(job("run", ROTATED, dependsOn=[on_calibrate]))
    eventually(partial(says, served, "run", "waiting for calibrate (not created yet)"), "that run waits")
    restarted(served)
    served.apply(program("calibrate", ttlSecondsAfterFinished=0))
    calibrate = Program(served, "calibrate")
    calibrate.placed()
    eventually(partial(says, served, "run", "waiting for calibrate (Placed)"), "that run follows")
    assert is_in(served, "analyse", "Pending", "WaitingForDependencies")
    assert batch_jobs(served) == [calibrate.object()]
    report = {"result": {"angle": 3.141592653589793}}
    assert ask(served.reports, calibrate.token(), "/v1/jobs/default/calibrate/report", report)[0] == 204
    served.stop_operator(signal.SIGKILL)
    calibrate.end()
    served.start_operator()
    served.ready()
    status = served.ended("run")
    assert (status["state"], status["result"]["counts"]) == ("Complete", {"1": 1024}), status
    (taken,) = status["dependencies"]
    assert (taken["state"], taken["values"]) == ("Complete", {"theta": 3.141592653589793})
    analyse = Program(served, "analyse")
    analyse.placed()
    container = served.get("job", analyse.object())["spec"]["template"]["spec"]["containers"][0]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["QONVERGE_INPUTS"] == "calibrate,run"
    assert variables["QONVERGE_INPUTS_URL"].endswith("/v1/jobs/default/analyse/inputs")
    # Its time is over, and it is kept for the one that still needs it.
    base = "/v1/jobs/default/analyse/inputs"
    assert ask(served.reports, analyse.token(), f"{base}/calibrate") == (200, {"value": report["result"]})
    assert ask(served.reports, analyse.token(), f"{base}/run") == (200, status["result"])
    assert ask(served.reports, analyse.token(), f"{base}/other")[0] == 404
    assert ask(served.reports, "x", f"{base}/run")[0] == 401
    analyse.end()
    assert served.ended("analyse")["state"] == "Complete"
    eventually(lambda: not served.get("hj", "calibrate"), "the deletion of calibrate")


def test_what_fails_or_is_deleted_ends_what_depends_on_it_unless_that_waits(served: Lab) -> None:
    served.apply(job("first", suspend=True))
    served.apply(job("strict", dependsOn=[{"name": "first"}]))
    served.apply(job("patient", dependsOn=[{"name": "first", "failurePolicy": "Wait"}]))
    served.apply(job("last", dependsOn=[{"name": "strict"}]))
    for name in ("strict", "patient"):
        eventually(partial(says, served, name, "waiting for first (Suspended)"), f"that {name} waits")
    served.kubectl("delete", "hj", "first")
    assert served.ended("strict")["reason"] == "DependencyFailed"
    assert served.ended("last")["message"].startswith("strict failed with DependencyFailed")
    eventually(partial(says, served, "patient", "waiting for first (not created yet)"), "that it goes on waiting")
    served.apply(job("first"))
    assert served.ended("patient")["state"] == "Complete"


def test_a_result_without_what_is_taken_from_it_fails_the_job_before_it_runs(served: Lab) -> None:
    served.apply(job("first"))
    served.apply(job("second", ROTATED, dependsOn=[{"name": "first", "parameters": {"theta": "angle"}}]))
    status = served.ended("second")
    assert (status["state"], status["reason"]) == ("Failed", "InvalidInput")
    assert "the result has no angle; it has counts, shots" in status["message"]
    assert "attempts" not in status


def test_parameters_come_from_a_result_that_a_pod_keeps(served: Lab) -> None:
    served.apply(job("wide", WIDE, shots=SHOTS))
    served.apply(job("after", ROTATED, dependsOn=[{"name": "wide", "parameters": {"theta": "shots"}}]))
    status = served.ended("after")
    assert "kept" in served.status("wide")["result"]
    assert (status["state"], status["dependencies"][0]["values"]) == ("Complete", {"theta": SHOTS}), status


def test_the_script_for_tekton_waits_for_a_job_and_has_its_result(served: Lab, tmp_path: Path) -> None:
    task, run = yaml.safe_load_all((ROOT / "examples" / "workflows" / "tekton.yaml").read_text())
    (step,), (given,) = task["spec"]["steps"], run["spec"]["params"]
    (tmp_path / "kubectl").symlink_to(Programs()["kubectl"])
    environment = {
        **served.environment(),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TIMEOUT": "3m",
        "RESULT": str(tmp_path / "result"),
    }

    def ended(manifest: str) -> int:
        script, variables = ["sh", "-c", step["script"]], {**environment, "MANIFEST": manifest}
        return subprocess.run(script, env=variables, cwd=tmp_path, capture_output=True, check=False).returncode

    assert ended(given["value"]) == 0
    assert sum(json.loads((tmp_path / "result").read_text())["counts"].values()) == 1000
    assert ended(given["value"].replace("qubit[2] q", "qubit[2] p")) == 1


def test_circles_are_refused_by_name(served: Lab) -> None:
    itself: dict[str, Any] = job("itself", dependsOn=[{"name": "itself"}])
    with pytest.raises(Exception, match="a job cannot depend on itself"):
        served.apply(itself)
    served.apply(job("one", dependsOn=[{"name": "two"}]))
    served.apply(job("two", dependsOn=[{"name": "one"}]))
    found = {name: served.ended(name) for name in ("one", "two")}
    reasons = {name: status["reason"] for name, status in found.items()}
    assert "DependencyCycle" in reasons.values()
    circle = next(status["message"] for status in found.values() if status["reason"] == "DependencyCycle")
    assert circle in (
        "these jobs wait for each other: one -> two -> one",
        "these jobs wait for each other: two -> one -> two",
    )
