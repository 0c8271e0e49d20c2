"""The chart's values: where each goes, and that each is described where people look."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from qonverge.api import QuantumBackend, chart_values
from qonverge.api.schema import custom_resource_definitions
from tests.unit.test_chart import CHART, ROOT, helm, one, render, template

__all__ = ["helm"]

DIGEST = f"sha256:{'4f' * 32}"


def pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, "Deployment")["spec"]["template"]
    return found


def hooks(objects: list[dict[str, Any]], of: str) -> list[dict[str, Any]]:
    return [o for o in objects if of in (o["metadata"].get("annotations") or {}).get("helm.sh/hook", "")]


def test_the_committed_schema_and_page_are_those_of_the_values() -> None:
    schema, page = chart_values.render(CHART)
    assert (CHART / "values.schema.json").read_text() == schema, "run `make generate`"
    assert (ROOT / "docs" / "chart.md").read_text() == page, "run `make generate`"


def test_every_value_is_in_the_schema_and_said_in_words() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [path for path, _, words in chart_values.rows(schema, values) if not words] == []

    def same(described: dict[str, Any], given: dict[str, Any], path: str) -> None:
        # Helm gives every chart the value global.
        assert described["properties"].keys() - {"global"} == given.keys(), path
        assert described["additionalProperties"] is False, path
        for name, each in described["properties"].items():
            if "properties" in each:
                same(each, given[name], f"{path}.{name}")

    same(schema, values, "")


def test_comments_of_examples_are_no_descriptions() -> None:
    text = "# What it is.\n# - name: a\n#   b: c\na: 1\nb:\n  # Of b,\n  # and more.\n  c: 2\n  d: 3\n"
    assert chart_values.comments(text) == {"a": "What it is.", "b.c": "Of b, and more."}


def test_by_default_two_replicas_are_spread_as_far_as_there_are_nodes(helm: Path) -> None:
    objects = render(helm)
    spec = one(objects, "Deployment")["spec"]
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spec["replicas"], spread["whenUnsatisfiable"]) == (2, "ScheduleAnyway")
    assert spread["labelSelector"] == spec["selector"]
    given = {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}}}
    own = render(helm, "--set-json", f"topologySpreadConstraints={json.dumps([given])}")
    (spread,) = pod(own)["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["labelSelector"]["matchLabels"]["a"]) == ("zone", "b")
    none = pod(render(helm, "--set-json", "topologySpreadConstraints=[]"))
    assert "topologySpreadConstraints" not in none["spec"]


def test_what_is_given_for_the_pods_reaches_them_and_takes_nothing_from_them(helm: Path, tmp_path: Path) -> None:
    given = {
        "podLabels": {"team": "quantum", "app.kubernetes.io/name": "other"},
        "podAnnotations": {"note": "x", "prometheus.io/port": "9"},
        "priorityClassName": "high",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "quantum", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "telemetry": {"scrapeAnnotations": True},
        "fullnameOverride": "quantum-operator",
    }
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(given))
    objects = render(helm, "-f", str(values))
    deployment = one(objects, "Deployment", "quantum-operator")["spec"]
    made = deployment["template"]
    assert made["metadata"]["labels"]["team"] == "quantum"
    assert deployment["selector"]["matchLabels"].items() <= made["metadata"]["labels"].items()
    annotations = made["metadata"]["annotations"]
    assert (annotations["note"], annotations["prometheus.io/port"]) == ("x", "9")
    assert annotations["prometheus.io/scrape"] == "true"
    for name in ("priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert made["spec"][name] == given[name]
    assert "annotations" not in pod(render(helm))["metadata"]


def test_digests_count_in_place_of_the_tag(helm: Path) -> None:
    objects = render(helm, "--set", f"image.tag=1.2,image.digests.operator={DIGEST},image.digests.program={DIGEST}")
    (container,) = pod(objects)["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["image"] == f"localhost/qonverge-operator@{DIGEST}"
    assert environment["QONVERGE_PROGRAM_IMAGE"] == f"localhost/qonverge-program@{DIGEST}"
    assert environment["QONVERGE_BACKEND_IMAGE"] == "localhost/qonverge-backend:1.2"
    assert template(helm, "--set", "image.digests.backend=latest").returncode != 0


def test_a_job_brings_the_definitions_to_the_version_before_anything_else(helm: Path) -> None:
    objects = render(helm)
    made = hooks(objects, "pre-upgrade")
    assert [o["kind"] for o in made] == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"]
    account, role, _, task = made
    assert all("pre-install" in o["metadata"]["annotations"]["helm.sh/hook"] for o in made)
    assert int(task["metadata"]["annotations"]["helm.sh/hook-weight"]) > int(
        role["metadata"]["annotations"]["helm.sh/hook-weight"]
    )
    (rule,) = role["rules"]
    definitions = {each["metadata"]["name"] for each in custom_resource_definitions().values()}
    assert set(rule["resourceNames"]) == definitions
    spec = task["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    _confined_as_the_operator(objects, spec)
    # Services and budgets are about the operator's pods only.
    selector = one(objects, "Service")["spec"]["selector"]
    assert not selector.items() <= task["spec"]["template"]["metadata"]["labels"].items()
    for closed in ("crds.upgrade=false", "rbac.create=false"):
        assert hooks(render(helm, "--set", closed), "pre-upgrade") == []


def _confined_as_the_operator(objects: list[dict[str, Any]], spec: dict[str, Any]) -> None:
    operator = pod(objects)["spec"]
    assert spec["securityContext"] == operator["securityContext"]
    assert spec["containers"][0]["securityContext"] == operator["containers"][0]["securityContext"]
    assert spec["containers"][0]["image"] == operator["containers"][0]["image"]


def test_one_value_brings_a_backend_and_its_test(helm: Path) -> None:
    assert not [o for o in render(helm) if o["kind"] == "QuantumBackend"]
    assert hooks(render(helm), "test") == []
    objects = render(helm, "--set", "defaultBackend.enabled=true")
    given = one(objects, "QuantumBackend", "aer")
    assert given["metadata"]["namespace"] == "quantum"
    backend = QuantumBackend.model_validate({**given, "metadata": {**given["metadata"], "uid": "u"}})
    assert backend.is_offered
    _, role, _, tested = hooks(objects, "test")
    spec = tested["spec"]
    assert spec["containers"][0]["command"] == [
        "python",
        "-m",
        "qonverge.controller.bell",
        "quantum",
        "aer",
        "qonverge-test",
    ]
    _confined_as_the_operator(objects, spec)
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "quantum")
    stim = ("enabled=true", "namespace=a", "spec.simulator.engine=Stim")
    sets = ("watchNamespaces={a}", *(f"defaultBackend.{value}" for value in stim))
    elsewhere = one(render(helm, "--set", ",".join(sets)), "QuantumBackend", "aer")
    assert (elsewhere["metadata"]["namespace"], elsewhere["spec"]["simulator"]["engine"]) == ("a", "Stim")


def test_a_backend_that_nobody_looks_after_is_refused(helm: Path) -> None:
    done = template(helm, "--set", "defaultBackend.enabled=true,watchNamespaces={a,b}")
    assert done.returncode != 0
    assert "in the namespace quantum, which watchNamespaces does not name" in done.stderr


@pytest.mark.parametrize(
    "value", ["podAnnotations.a=1", "rbac.tenants={A}", "crds.install=true", "defaultBackend.name=A"]
)
def test_what_is_no_value_is_refused(helm: Path, value: str) -> None:
    done = template(helm, "--set", value)
    assert done.returncode != 0
    assert value.split(".", maxsplit=1)[0] in done.stderr


def test_the_commands_of_the_documentation_are_taken(helm: Path) -> None:
    commands = [
        shlex.split(command.replace("\\\n", " "))
        for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for command in re.findall(r"^helm (?:install|upgrade) (?:.*\\\n)*.*$", page.read_text(), re.MULTILINE)
    ]
    assert len(commands) >= 5
    for _, _, name, chart, *options in commands:
        taken = [each for each in options if each not in ("--create-namespace", "--reuse-values")]
        command = [str(helm), "template", name, chart, *taken]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
