"""The examples for Argo Workflows, Tekton and Airflow: they parse, hold good jobs, and wait for what jobs report."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.base import API_VERSION, GROUP, VERSION
from qonverge.execution import transitions

WORKFLOWS = Path(__file__).parents[2] / "examples" / "workflows"
DAG = (WORKFLOWS / "airflow_dag.py").read_text()
# As the vendors document them; of Argo's templates and Tekton's tasks those that the examples may use.
ARGO_RESOURCE = {"action", "manifest", "successCondition", "failureCondition", "setOwnerReference", "flags"}
TEKTON_STEP = {"name", "image", "env", "script", "command", "args", "workingDir", "computeResources", "securityContext"}


def good_job(manifest: str) -> HybridJob:
    """Return a manifest's job, with a number in the place of each template."""
    given = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "1.5", manifest))
    assert given["apiVersion"] == API_VERSION
    name = given["metadata"].pop("generateName", None)
    given["metadata"] = {"name": f"{name}x"} if name else given["metadata"]
    return HybridJob.model_validate(given)


def ends() -> dict[str, dict[str, Any]]:
    """Return the statuses of jobs that ended, and of one that runs."""
    running = transitions.move(HybridJobStatus(), "Running", reason="R", message="m", now=1.0, generation=1)
    return {
        "Running": running.to_dict(),
        "Complete": transitions.complete(running, now=2.0, generation=1, message="m").to_dict(),
        "Failed": transitions.fail(running, reason="ProgramFailed", now=2.0, generation=1, message="m").to_dict(),
    }


def test_argo_waits_for_the_state_that_a_job_ends_in() -> None:
    workflow = yaml.safe_load((WORKFLOWS / "argo.yaml").read_text())
    assert (workflow["apiVersion"], workflow["kind"]) == ("argoproj.io/v1alpha1", "Workflow")
    templates = {each["name"]: each for each in workflow["spec"]["templates"]}
    assert workflow["spec"]["entrypoint"] in templates
    tasks = templates["chain"]["dag"]["tasks"]
    assert {each["template"] for each in tasks} <= templates.keys()
    jobs = 0
    for template in templates.values():
        if (resource := template.get("resource")) is None:
            continue
        assert resource.keys() <= ARGO_RESOURCE
        good_job(resource["manifest"])
        jobs += 1
        for condition, state in (("successCondition", "Complete"), ("failureCondition", "Failed")):
            path, wanted = re.fullmatch(r"status\.(\w+) == (\w+)", resource[condition]).groups()  # type: ignore[union-attr]
            assert [name for name, status in ends().items() if status[path] == wanted] == [state]
    assert jobs == 2


def test_tekton_waits_for_a_field_that_every_job_has_at_its_end() -> None:
    task, run = yaml.safe_load_all((WORKFLOWS / "tekton.yaml").read_text())
    assert [each["apiVersion"] for each in (task, run)] == ["tekton.dev/v1"] * 2
    (step,) = task["spec"]["steps"]
    assert step.keys() <= TEKTON_STEP
    field = re.search(r"--for=jsonpath='\{\.status\.(\w+)\}'", step["script"])
    assert field is not None
    assert [name for name, status in ends().items() if field[1] in status] == ["Complete", "Failed"]
    params = {each["name"] for each in task["spec"]["params"]}
    used = {name for each in step["env"] for name in re.findall(r"\$\(params\.(\w+)\)", each["value"])}
    assert used == params
    # What others write never becomes part of a script.
    assert "$(params" not in step["script"]
    assert run["spec"]["taskRef"]["name"] == task["metadata"]["name"]
    given = {each["name"]: each["value"] for each in run["spec"]["params"]}
    assert given.keys() <= params
    good_job(given["manifest"])


@pytest.mark.parametrize("name", ["CALIBRATE", "RUN"])
def test_airflow_creates_good_jobs(name: str) -> None:
    tree = ast.parse(DAG)
    compile(tree, "airflow_dag.py", "exec")
    found = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    good_job(str(found[name]))


def test_airflow_asks_for_what_a_job_reports() -> None:
    assert f'"{GROUP}", "{VERSION}", "hybridjobs"' in DAG
    states = set(re.findall(r'status\.get\("state"\) == "(\w+)"', DAG))
    assert states == {"Complete", "Failed"} == ends().keys() - {"Running"}
    fields = set(re.findall(r"status(?:\.get\(|\[)[\"'](\w+)", DAG))
    assert fields <= {field.alias for field in HybridJobStatus.model_fields.values()}
