"""What an administrator lets programs of a namespace use."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.controller.settings import Settings
from qonverge.programs.policy import ProgramPolicy

STRICT = {
    "namespaces": ["chem"],
    "images": ["ghcr.io/lab/*"],
    "serviceAccounts": [],
    "secrets": ["program-*"],
    "persistentVolumeClaims": ["data"],
    "tolerations": ["nvidia.com/*"],
    "resources": {"nvidia.com/*": 2, "memory": "4Gi"},
}
HERE = "programs in namespace chem may"


def job(program: dict[str, Any], namespace: str = "chem") -> HybridJob:
    return HybridJob.model_validate({"metadata": {"name": "j", "namespace": namespace}, "spec": {"program": program}})


def container(image: str = "ghcr.io/lab/vqe:1", resources: dict[str, Any] | None = None, **template: Any) -> HybridJob:
    return job({"container": {"image": image, "resources": resources or {}, "template": template}})


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (container("docker.io/evil:1"), f"image is docker.io/evil:1: of images {HERE} use only ghcr.io/lab/*"),
        (
            container(serviceAccountName="admin"),
            f"template.serviceAccountName is admin: of service accounts {HERE} use none",
        ),
        (
            container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "root", "key": "k"}}}]),
            f"template.env[0].valueFrom.secretKeyRef.name is root: of secrets {HERE} use only program-*",
        ),
        (
            container(envFrom=[{"secretRef": {"name": "root"}}]),
            "template.envFrom[0].secretRef.name is root: of secrets",
        ),
        (container(imagePullSecrets=[{"name": "root"}]), "template.imagePullSecrets[0].name is root: of secrets"),
        (
            container(volumes=[{"name": "v", "secret": {"secretName": "root"}}]),
            "template.volumes[0].secret.secretName is root: of secrets",
        ),
        (
            container(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "other"}}]),
            "template.volumes[0].persistentVolumeClaim.claimName is other: of persistent volume claims",
        ),
        (container(tolerations=[{"operator": "Exists"}]), "template.tolerations[0].key is *: of taints"),
        (
            container(resources={"limits": {"nvidia.com/gpu": 3}}),
            f"resources.limits[nvidia.com/gpu] is 3: {HERE} ask for 2 at most",
        ),
        (
            container(resources={"requests": {"memory": "5e9"}}),
            f"resources.requests[memory] is 5e9: {HERE} ask for 4Gi at most",
        ),
    ],
)
def test_what_is_not_allowed_is_named_by_its_field(asked: HybridJob, field: str) -> None:
    (found,) = ProgramPolicy.parse([STRICT]).violations(asked, {})
    assert found.startswith(f"spec.program.container.{field}")


def test_all_violations_are_named_at_once() -> None:
    asked = container("other", {"limits": {"memory": "1Ti"}}, serviceAccountName="admin")
    assert len(ProgramPolicy.parse([STRICT]).violations(asked, {})) == 3


@pytest.mark.parametrize(
    "asked",
    [
        container(
            resources={"limits": {"nvidia.com/gpu": 2, "cpu": 64}},
            tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
            env=[
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "program-a", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "any", "key": "k"}}},
            ],
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "w", "emptyDir": {}}],
        ),
        job({"python": {"source": "pass"}}),
        job({"circuit": {"openqasm": "x"}}),
        job({"container": {"image": "evil"}}, "physics"),
    ],
    ids=["within", "own-image", "circuit", "another-namespace"],
)
def test_the_rest_may_be_used(asked: HybridJob) -> None:
    assert ProgramPolicy.parse([STRICT]).violations(asked, {}) == []


@pytest.mark.parametrize(
    ("longest", "duration", "says"),
    [
        ("2h", "2h", None),
        ("2h", "2h1s", "spec.program.session.duration is 7201 s: sessions in namespace chem may take 2h at most"),
        ("0s", "1m", "spec.program.session.duration is 60 s: sessions in namespace chem are not allowed"),
        (None, "24h", None),
    ],
)
def test_sessions_are_bounded_in_time(longest: str | None, duration: str, says: str | None) -> None:
    policy = ProgramPolicy.parse([{"longestSession": longest}])
    found = policy.violations(job({"session": {"duration": duration}}), {})
    assert found == ([] if says is None else [says])
    assert policy.violations(job({"python": {"source": "pass"}}), {}) == []


def test_a_python_programs_image_is_bounded_too() -> None:
    (found,) = ProgramPolicy.parse([STRICT]).violations(job({"python": {"source": "pass", "image": "evil"}}), {})
    assert found.startswith("spec.program.python.image is evil")


def test_the_first_rule_about_a_namespace_counts() -> None:
    trusted = {"selector": {"matchLabels": {"trusted": "true"}}}
    policy = ProgramPolicy.parse([trusted, {"images": []}])
    asked = container("any")
    assert policy.reads_labels
    assert policy.violations(asked, {"trusted": "true"}) == []
    assert len(policy.violations(asked, {})) == 1
    assert ProgramPolicy().violations(asked, {}) == []
    assert not ProgramPolicy.parse([STRICT]).reads_labels


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"image": ["a"]}]', "0.image: Extra inputs are not permitted"),
        ('[{"resources": {"memory": "2GB"}}]', "0.resources.memory: give a whole number, or a text such as 500m"),
        ('{"images": []}', "the policy: Input should be a valid list"),
        ("[", "QONVERGE_PROGRAM_POLICY is '\\['"),
    ],
)
def test_a_policy_that_cannot_be_read_is_refused_at_the_start(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings.from_environment({"QONVERGE_PROGRAM_POLICY": text})
    given = Settings.from_environment({"QONVERGE_PROGRAM_POLICY": '[{"images": ["a*"]}]'})
    assert [rule.images for rule in given.program_policy.rules] == [["a*"]]
