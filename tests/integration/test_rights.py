"""The operator under the chart's rights, with a real API server: it needs them all, and no others."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster import ControlPlane
from e2e.cluster.build import Programs
from e2e.layers import leave_out, require
from qonverge.api.backend import OFFERS_LABEL
from qonverge.controller.kube.claims import Standing
from qonverge.controller.kube.lease import LABEL
from qonverge.controller.kube.signing_key import SECRET
from qonverge.controller.placement.forecasts import CONFIG_MAP
from tests.integration.conftest import BELL, NAMESPACE, Lab, backend, eventually, job, running_plane
from tests.integration.deployment_controller import DeploymentController
from tests.integration.program_kubelet import Kubelet
from tests.integration.test_results import SHOTS, WIDE
from tests.integration.test_tokens import ask
from tests.unit.test_chart import CHART
from tests.unit.test_chart_rights import Right, bound

_FORBIDDEN = 403
_RBAC = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount")
_LEASES = "kube-system"
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": [f"system:serviceaccounts:{NAMESPACE}"]}, {"level": "None"}],
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server that writes down what the operator asks, and whose Jobs get pods."""
    require("integration")
    with running_plane(tmp_path_factory.mktemp("plane"), "job-controller", audit_policy=_AUDIT) as plane:
        yield plane


@dataclass(frozen=True)
class Release:
    """A release of the chart, of which only the roles are installed."""

    lab: Lab
    name: str
    objects: list[dict[str, Any]]

    @classmethod
    def install(cls, lab: Lab, name: str, *values: str) -> Release:
        """Install the roles of a release with these values."""
        programs = Programs()
        if programs.missing("helm"):
            leave_out("Helm is not built: `make programs`")
        command = [
            str(programs["helm"]),
            "template",
            name,
            str(CHART),
            f"--namespace={NAMESPACE}",
        ]
        sets = [f"--set=fullnameOverride={name}", *(f"--set={value}" for value in values)]
        done = subprocess.run([*command, *sets], capture_output=True, text=True, check=True)
        objects = [each for each in yaml.safe_load_all(done.stdout) if each]
        given = [each for each in objects if each["kind"] in _RBAC]
        lab.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(given))
        return cls(lab, name, objects)

    def remove(self) -> None:
        """Remove the roles."""
        given = [each for each in self.objects if each["kind"] in _RBAC]
        self.lab.kubectl("delete", "-f", "-", "--wait=false", stdin=yaml.safe_dump_all(given))

    @property
    def user(self) -> str:
        """Who the operator is for the API server."""
        return f"system:serviceaccount:{NAMESPACE}:{self.name}"

    def start(self, **settings: str) -> None:
        """Start the operator as the chart would, with its rights."""
        (deployment,) = [each for each in self.objects if each["kind"] == "Deployment"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        wanted = ("QONVERGE_LEASE_NAME", "QONVERGE_LEASE_NAMESPACE", "QONVERGE_WATCH_NAMESPACES")
        kubeconfig = self.lab.plane.kubeconfig_for(self.user, [f"system:serviceaccounts:{NAMESPACE}"])
        self.lab.start_operator(kubeconfig, **{name: given[name] for name in wanted}, **settings)

    def used(self) -> set[tuple[str, Right]]:
        """Return the rights that the operator has used, each with the namespace, or none of it is refused."""
        found: set[tuple[str, Right]] = set()
        for event in self.lab.plane.audit_events():
            if event["user"]["username"] != self.user or "objectRef" not in event:
                continue
            what = event["objectRef"]
            below = f"/{what['subresource']}" if "subresource" in what else ""
            code = event.get("responseStatus", {}).get("code", 200)
            assert code != _FORBIDDEN, f"{event['verb']} {event['requestURI']}: {event['responseStatus']}"
            # What is applied and was not there is created, which takes that right too.
            for verb in (event["verb"], *(("create",) if event["verb"] == "patch" and code == 201 else ())):
                right = what.get("apiGroup", ""), f"{what['resource']}{below}", verb
                found.add((what.get("namespace", "everywhere"), right))
        return found

    def unused(self) -> set[tuple[str, Right]]:
        """Return the rights that the chart gives and nothing used yet, each with where they hold."""
        used = self.used()
        rights = {right for _, right in used}
        return {
            (place, right)
            for place, granted in bound(self.objects, self.name, NAMESPACE).items()
            for right in granted
            if (right not in rights if place == "everywhere" else (place, right) not in used)
        }


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """A lab whose operator starts for the first time, and has not met another yet."""
    lab.kubectl("delete", "secret", SECRET, f"--namespace={NAMESPACE}", "--ignore-not-found")
    lab.kubectl("delete", "configmap", CONFIG_MAP, f"--namespace={NAMESPACE}", "--ignore-not-found")
    lab.kubectl("delete", "events", "--all", f"--namespace={_LEASES}")
    return lab


def _meets_another(lab: Lab, release: Release, **settings: str) -> None:
    """Start the operator while another one looks after all namespaces, and let that one end."""
    other = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "other",
            "namespace": _LEASES,
            "labels": {LABEL: "true"},
            "annotations": {"qonverge.io/standing": str(Standing.HELD)},
        },
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600},
    }
    lab.apply(other)
    release.start(**settings)
    eventually(lambda: lab.list("events", _LEASES), "an event that tells of the other operator")
    lab.kubectl("delete", "lease", "other", f"--namespace={_LEASES}")
    lab.ready()


def _program(name: str, **spec: Any) -> dict[str, Any]:
    made = job(name, program={"python": {"source": "pass"}}, **spec)
    del made["spec"]["shots"]
    return made


def _batch(lab: Lab, name: str) -> str:
    """Wait for the first attempt at a program, and return the name of its batch Job."""
    eventually(lambda: lab.status(name).get("state") == "Placed", f"a place for {name}")
    return f"{name}-{lab.get('hj', name)['metadata']['uid'][:5]}-1"


def _works(lab: Lab, kubelet: Kubelet, release: Release) -> None:
    """Have the operator do all that it does with objects."""
    text = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "text"}, "data": {"bell.qasm": BELL}}
    quota = {"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumQuota", "metadata": {"name": "all"}}
    lab.apply(text, {**quota, "spec": {"limits": {"shots": 10**9}}})
    # Larger sizes of a backend are made, and deleted where it has them no more.
    vertical = {"maxMemory": "1200Mi"}
    limits = {"template": {"resources": {"limits": {"memory": "400Mi"}}}}
    sized = backend("sized", scaling={"minReplicas": 0, "maxReplicas": 1, "vertical": vertical}, replicas=0, **limits)
    lab.apply(sized)
    eventually(lambda: lab.get("qb", "sized-1200mi"), "a larger size")
    vertical["maxMemory"] = "800Mi"
    lab.apply(sized)
    eventually(lambda: not lab.get("qb", "sized-1200mi"), "its end")

    on: dict[str, Any] = {"backend": {"name": "aer"}}
    reference = {"circuit": {"configMapKeyRef": {"name": "text", "key": "bell.qasm"}}}
    lab.apply(job("first", program=reference, **on))
    assert lab.ended("first")["state"] == "Complete"
    lab.apply(job("next", dependsOn=[{"name": "first"}], ttlSecondsAfterFinished=1, **on))
    lab.apply(job("wide", WIDE, **{**on, "shots": SHOTS, "output": {}}))
    eventually(lambda: not lab.get("hj", "next"), "the deletion of a job whose time is over")
    assert lab.ended("wide")["reason"] == "ResultStored"

    lab.apply(_program("fails", **on))
    batch, events = _batch(lab, "fails"), ("", "events", "list")
    eventually(lambda: events in {right for _, right in release.used()}, "a look at why its pod does not start")
    kubelet.end(kubelet.start(batch), 7, log="that is no molecule\n")
    assert lab.ended("fails")["log"] == "that is no molecule"
    ranks = {"python": {"source": "pass"}, "parallelism": 2, "ranksPerBackend": 2}
    lab.apply({**_program("ranks"), "spec": {"program": ranks, **on}})
    batch = _batch(lab, "ranks")
    eventually(lambda: lab.get("job", batch), "its batch Job")
    lab.patch("hj", "ranks", {"spec": {"suspend": True}})
    eventually(lambda: not lab.get("networkpolicy", batch), "the end of a suspended program's objects")
    # What a program leaves that gives its pod back is kept in a ConfigMap.
    python = {"source": "pass", "pauseAfterSeconds": 1}
    lab.apply({**_program("pauses"), "spec": {"program": {"python": python}, **on}})
    token = lab.get("secret", _batch(lab, "pauses"))["data"]["token"]
    report = {"pause": {"tasks": ["some"], "state": {"values": {}, "tasks": {}}}}
    told = ask(lab.reports, base64.b64decode(token).decode(), "/v1/jobs/default/pauses/report", report)
    assert told[0] == 204, told
    # One of two pods is marked, and goes.
    lab.patch("qb", "aer", {"spec": {"scaling": {"minReplicas": 1}}})
    # Its key is restored, and told of.
    lab.kubectl("delete", "secret", SECRET, f"--namespace={NAMESPACE}")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("everywhere", ()),
        ("tenants", ("rbac.tenants={default}",)),
        ("namespaced", ("watchNamespaces={default}",)),
    ],
)
def test_the_operator_uses_every_right_that_the_chart_gives_and_no_other(
    fresh: Lab, tmp_path: Path, name: str, values: tuple[str, ...]
) -> None:
    lab, release = fresh, Release.install(fresh, name, *values)
    lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}=true", "--overwrite")
    scaling = {"minReplicas": 2, "maxReplicas": 2, "stableWindow": "10s", "scaleDownAfter": "1s"}
    shared = {"access": {"namespaces": {"from": "All"}}, "simulator": {"engine": "Stim", "seed": 5}}
    lab.apply(backend("aer", scaling=scaling, **shared))
    store = {"name": "shared", "folder": str(tmp_path / "store")}
    try:
        with DeploymentController(lab, "aer"), Kubelet(lab, "worker-1") as kubelet:
            _meets_another(lab, release, QONVERGE_OUTPUT_STORES=json.dumps([store]), QONVERGE_OUTPUT_STORE="shared")
            _works(lab, kubelet, release)
            left: set[tuple[str, Right]] = set()

            def all_used() -> bool:
                nonlocal left
                left = release.unused()
                return not left

            try:
                eventually(all_used, "a use of every right")
            except AssertionError:
                raise AssertionError(f"rights that the chart gives and nothing uses: {sorted(left)}") from None
    finally:
        lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}-")
        lab.stop_operator()
        release.remove()


def test_without_the_right_to_list_priority_classes_only_jobs_that_name_one_wait(fresh: Lab) -> None:
    """The operator has no right beyond single namespaces."""
    lab = fresh
    closed = ("watchNamespaces={default}", "rbac.priorityClasses=false", "rbac.aggregate=false", "crds.upgrade=false")
    release = Release.install(lab, "closed", *closed)
    assert {each["kind"] for each in release.objects} & {"ClusterRole", "ClusterRoleBinding"} == set()
    lab.apply(backend("aer"))
    try:
        release.start()
        lab.ready()
        lab.serve("aer")
        lab.apply(job("plain"), job("urgent", priorityClassName="urgent"))
        assert lab.ended("plain")["state"] == "Complete"
        message = eventually(lambda: lab.status("urgent").get("message"), "a reason to wait")
        assert "waiting for the PriorityClass urgent: the operator has no right to list PriorityClasses" in message
        assert "rbac.priorityClasses of the chart" in message
        lab.stop_operator()
        said = "".join(path.read_text() for path in lab.folder.glob("operator-*.log"))
        assert said.count("the operator goes on without knowing any PriorityClass") == 1
        assert "Traceback" not in said
    finally:
        lab.stop_operator()
        release.remove()


def test_what_it_may_not_make_in_a_namespace_is_said_there_until_it_may(fresh: Lab) -> None:
    lab, release = fresh, Release.install(fresh, "shy", f"rbac.tenants={{{NAMESPACE}}}")
    lab.apply(backend("aer"))
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "shy-tenant", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "shy-tenant"},
        "subjects": [{"kind": "ServiceAccount", "name": "shy", "namespace": NAMESPACE}],
    }
    try:
        release.start()
        lab.ready()

        def refused() -> str:
            conditions = lab.get("qb", "aer").get("status", {}).get("conditions") or []
            return next((each["message"] for each in conditions if "forbidden" in each["message"]), "")

        message = eventually(refused, "what it may not do")
        assert 'cannot patch resource "secrets" in API group "" in the namespace "default"' in message
        lab.apply(binding)
        lab.serve("aer")
        lab.apply(job("bell"))
        assert lab.ended("bell")["state"] == "Complete"
    finally:
        lab.stop_operator()
        lab.api.delete("rolebinding", "shy-tenant", "default")
        release.remove()
