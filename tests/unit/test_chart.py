"""The Helm chart: what it renders, with the Helm that the test cluster built."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.build import Programs
from e2e.layers import leave_out
from qonverge.controller.pod_resources import PROGRAM
from qonverge.controller.settings import LEASE_SECONDS, Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "qonverge"


@pytest.fixture(scope="module")
def helm() -> Path:
    programs = Programs()
    if programs.missing("helm"):
        leave_out("Helm is not built: `make programs`")
    return programs["helm"]


def template(helm: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(helm), "template", "qonverge", str(CHART), "--namespace", "quantum", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def render(helm: Path, *options: str) -> list[dict[str, Any]]:
    done = template(helm, *options)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def one(objects: list[dict[str, Any]], kind: str, name: str = "qonverge") -> dict[str, Any]:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def test_everybody_may_read_at_the_port_for_results_and_nothing_else(helm: Path) -> None:
    objects = render(helm)
    assert one(objects, "Role", "qonverge-results")["rules"] == [
        {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": ["qonverge:results"], "verbs": ["get"]}
    ]
    (subject,) = one(objects, "RoleBinding", "qonverge-results")["subjects"]
    assert subject["name"] == "system:authenticated"
    closed = render(helm, "--set", "resultReaders=null")
    assert not [o for o in closed if o["kind"] == "RoleBinding" and o["metadata"]["name"] == "qonverge-results"]
    (port,) = [port for port in one(objects, "Service")["spec"]["ports"] if port["name"] == "results"]
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    (own,) = [each for each in container["ports"] if each["name"] == port["targetPort"]]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["QONVERGE_RESULT_LISTEN"] == f"0.0.0.0:{own['containerPort']}"
    assert environment["QONVERGE_RESULT_PATH"] == "/api/v1/namespaces/quantum/services/qonverge:results/proxy"
    assert float(environment["QONVERGE_RESULT_SECONDS"]) == 86400


def test_the_pod_is_restricted_and_labelled(helm: Path) -> None:
    objects = render(helm)
    assert all(o["metadata"]["labels"]["app.kubernetes.io/instance"] == "qonverge" for o in objects)
    spec = one(objects, "Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert one(objects, "Service")["spec"]["selector"].items() <= labels.items()
    pod = spec["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_values_reach_the_operator(helm: Path) -> None:
    options = ("--set", "image.registry=registry.example/team,image.tag=1.2,watchNamespaces={a,b}")
    (container,) = one(render(helm, *options), "Deployment")["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["image"] == "registry.example/team/qonverge-operator:1.2"
    assert environment["QONVERGE_BACKEND_IMAGE"] == "registry.example/team/qonverge-backend:1.2"
    assert environment["QONVERGE_WATCH_NAMESPACES"] == "a,b"
    assert environment["QONVERGE_LEASE_NAME"] == "qonverge.quantum.qonverge"
    settings = Settings.from_environment({name: value for name, value in environment.items() if value})
    assert settings.program_resources == PROGRAM
    assert (settings.lease_namespace, settings.lease_seconds) == (Settings().lease_namespace, LEASE_SECONDS)
    assert environment["QONVERGE_REPORT_URL"] == "http://qonverge.quantum.svc:8080"


def test_what_programs_may_use_reaches_the_operator(helm: Path, tmp_path: Path) -> None:
    """The rules that the documentation shows."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (shown,) = re.findall(r"```text\n(programs:\n.*?)```", page, re.DOTALL)
    values = tmp_path / "values.yaml"
    values.write_text(shown)
    options = ("-f", str(values), "--set", "programs.requirementsClaim=requirements")
    (container,) = one(render(helm, *options), "Deployment")["spec"]["template"]["spec"]["containers"]
    settings = Settings.from_environment(
        {each["name"]: each["value"] for each in container["env"] if each.get("value")}
    )
    first, second = settings.program_policy.rules
    assert (first.selector is not None, first.resources) == (True, {"nvidia.com/gpu": 4})
    assert (second.images, second.persistent_volume_claims) == (["ghcr.io/lab/*"], [])
    assert settings.requirements_claim == "requirements"
    done = template(helm, "--set", "programs.policy[0].image={a}")
    assert done.returncode != 0
    assert "image" in done.stderr


@pytest.mark.parametrize(
    ("values", "budgets"), [("replicas=1", 0), ("replicas=2", 1), ("podDisruptionBudget.enabled=false", 0)]
)
def test_only_several_replicas_have_a_disruption_budget(helm: Path, values: str, budgets: int) -> None:
    kinds = [o["kind"] for o in render(helm, "--set", values)]
    assert kinds.count("PodDisruptionBudget") == budgets


def test_unknown_values_are_refused(helm: Path) -> None:
    done = template(helm, "--set", "replicaz=2")
    assert done.returncode != 0
    assert "replicaz" in done.stderr
