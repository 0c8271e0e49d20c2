"""What a job asks of its program's pod, under what Qonverge sets itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.kinds.container import ContainerJobs
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.objects.node_placement import both
from qonverge.controller.settings import Settings
from qonverge.programs.kinds import kind_of

TEMPLATE = {
    "labels": {"team": "chem"},
    "annotations": {"sidecar.istio.io/inject": "false", "prometheus.io/port": "1"},
    "env": [
        {"name": "LEVEL", "value": "$(QONVERGE_JOB)"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "settings"}}],
    "volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "molecules", "readOnly": True}},
        {"name": "scratch", "emptyDir": {}},
    ],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "scratch", "mountPath": "/scratch"}],
    "imagePullSecrets": [{"name": "registry"}],
    "imagePullPolicy": "Always",
    "serviceAccountName": "runner",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}
CONTAINER = {"image": "ghcr.io/lab/vqe:2", "template": TEMPLATE}


def job_of(program: dict[str, Any], **spec: Any) -> HybridJob:
    return HybridJob.model_validate({"metadata": {"name": "j", "uid": "uid"}, "spec": {"program": program, **spec}})


def objects(program: dict[str, Any], settings: Settings | None = None, **spec: Any) -> list[dict[str, Any]]:
    job = job_of(program, **spec)
    backend = QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": {"simulator": {}}})
    jobs = ContainerJobs() if "container" in program else PythonJobs()
    return jobs.objects(job, backend, settings or Settings(), attempt=1, tokens=["t"])


def pod_of(program: dict[str, Any], **spec: Any) -> dict[str, Any]:
    pod: dict[str, Any] = objects(program, **spec)[-1]["spec"]["template"]
    return pod


@pytest.mark.parametrize(
    "program", [{"container": CONTAINER}, {"python": {"source": "pass", "template": TEMPLATE}}], ids=["c", "py"]
)
def test_a_pod_has_what_its_job_asks_for(program: dict[str, Any]) -> None:
    template = pod_of(program, retryPolicy={"unreachableSeconds": 5})
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert container["env"][-2:] == TEMPLATE["env"]
    assert container["envFrom"] == TEMPLATE["envFrom"]
    assert container["imagePullPolicy"] == "Always"
    assert [volume for volume in pod["volumes"] if not volume["name"].startswith("qonverge-")] == TEMPLATE["volumes"]
    assert container["volumeMounts"][-2:] == TEMPLATE["volumeMounts"]
    assert [pod[name] for name in ("imagePullSecrets", "serviceAccountName", "nodeSelector")] == [
        [{"name": "registry"}],
        "runner",
        {"disk": "ssd"},
    ]
    assert [each["key"] for each in pod["tolerations"]][-1] == "gpu"
    assert len(pod["tolerations"]) == 3
    assert template["metadata"]["labels"]["team"] == "chem"


def test_qonverges_own_settings_win() -> None:
    *_, batch = objects({"python": {"source": "pass", "template": TEMPLATE}}, Settings(scrape_annotations=True))
    template = batch["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert template["metadata"]["annotations"] == {
        "sidecar.istio.io/inject": "false",
        "prometheus.io/port": "8079",
        "prometheus.io/scrape": "true",
        "prometheus.io/path": "/metrics",
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/run/qonverge", "/program", "/tmp"}
    assert batch["metadata"]["labels"].items() <= template["metadata"]["labels"].items()


def test_a_container_starts_as_its_image_says_unless_its_job_does() -> None:
    secret, batch = objects({"container": {"image": "vqe:2"}})
    (container,) = batch["spec"]["template"]["spec"]["containers"]
    assert secret["stringData"] == {"token": "t"}
    assert container["image"] == "vqe:2"
    assert not container.keys() & {"command", "args"}
    # Nothing of ours serves metrics there.
    assert container["ports"] == []
    assert not [each for each in container["env"] if each["name"] == "QONVERGE_METRICS_LISTEN"]
    (container,) = pod_of({"container": {"image": "a", "command": ["/solve"], "args": ["-n", "4"]}})["spec"][
        "containers"
    ]
    assert (container["command"], container["args"]) == (["/solve"], ["-n", "4"])


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ({"env": [{"name": "QONVERGE_TOKEN", "value": "x"}]}, "names that begin with QONVERGE_ are Qonverge's own"),
        ({"env": [{"name": "A"}]}, "env: set exactly one of value, valueFrom"),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "A is given twice"),
        ({"volumes": [{"name": "qonverge-token", "emptyDir": {}}]}, "names that begin with qonverge- are Qonverge's"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "Extra inputs are not permitted"),
        (
            {"volumeMounts": [{"name": "x", "mountPath": "/run/qonverge/token"}]},
            "are Qonverge's own: mount it elsewhere",
        ),
        ({"volumeMounts": [{"name": "x", "mountPath": "/tmp/"}]}, "are Qonverge's own: mount it elsewhere"),
        ({"labels": {"qonverge.io/backend": "aer-qb"}}, "labels that begin with qonverge.io/ are Qonverge's own"),
    ],
)
def test_what_is_qonverges_own_cannot_be_asked_for(template: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        job_of({"container": {"image": "a", "template": template}})


def test_a_volume_that_is_not_there_is_named_with_those_that_are() -> None:
    template = {"volumes": [{"name": "a", "emptyDir": {}}], "volumeMounts": [{"name": "b", "mountPath": "/b"}]}
    job = job_of({"container": {"image": "a", "template": template}})
    field = "spec.program.container.template.volumeMounts[0].name"
    assert kind_of(job).contradiction(job) == f"{field}: there is no volume b; volumes has a"
    fine = job_of({"container": CONTAINER})
    assert kind_of(fine).contradiction(fine) is None


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def node(term: str) -> dict[str, Any]:
    return {"key": term, "operator": "Exists"}


def required(*terms: list[str]) -> dict[str, Any]:
    return {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [node(name) for name in term]} for term in terms]}}


@pytest.mark.parametrize(
    ("own", "given", "both_hold"),
    [
        ({}, required(["a"], ["b"]), required(["a"], ["b"])),
        (required(["own"]), {}, required(["own"])),
        # One of theirs and ours, whichever theirs is.
        (required(["own"]), required(["a"], ["b"]), required(["own", "a"], ["own", "b"])),
        ({PREFERRED: [1]}, {PREFERRED: [2], **required(["a"])}, {PREFERRED: [1, 2], **required(["a"])}),
    ],
)
def test_affinities_of_a_job_and_its_place_hold_both(
    own: dict[str, Any], given: dict[str, Any], both_hold: dict[str, Any]
) -> None:
    found = both({"nodeAffinity": own}, {"nodeAffinity": given, "podAffinity": {"x": 1}})
    assert found == {"nodeAffinity": both_hold, "podAffinity": {"x": 1}}


def test_a_jobs_affinity_joins_that_of_its_site() -> None:
    affinity = {"nodeAffinity": required(["gpu"]), "podAntiAffinity": {REQUIRED: [{"topologyKey": "host"}]}}
    near = {"site": "lab", "nodes": "Required"}
    pod = pod_of({"container": {"image": "a", "near": near, "template": {"affinity": affinity}}})["spec"]
    (term,) = pod["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert [each["key"] for each in term["matchExpressions"]] == ["qonverge.io/site", "gpu"]
    assert pod["affinity"]["podAntiAffinity"] == affinity["podAntiAffinity"]
