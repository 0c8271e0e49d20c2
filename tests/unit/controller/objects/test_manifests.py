"""What pods may take and who they are, where nobody says it and where somebody does."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.backend import ResourceRequirements
from qonverge.api.quantity import amount_of
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.objects import backend_objects
from qonverge.controller.pod_resources import PROGRAM, Defaults
from qonverge.controller.settings import Settings
from qonverge.providers.remote import RemoteOptions


@pytest.mark.parametrize(
    ("given", "requests", "limits"),
    [
        ({}, {"cpu": "100m", "memory": "256Mi"}, {"memory": "2Gi"}),
        # As everywhere in Kubernetes, what is limited only is reserved as a whole.
        ({"limits": {"memory": "128Mi"}}, {"cpu": "100m"}, {"memory": "128Mi"}),
        ({"limits": {"cpu": 2}}, {"memory": "256Mi"}, {"cpu": 2, "memory": "2Gi"}),
        ({"requests": {"memory": "1Gi"}}, {"cpu": "100m", "memory": "1Gi"}, {"memory": "2Gi"}),
        # More than the default limit: a limit below the request would be refused.
        ({"requests": {"memory": "5e9"}}, {"cpu": "100m", "memory": "5e9"}, {"memory": "5e9"}),
        (
            {"requests": {"memory": "3Gi"}, "limits": {"memory": "4Gi", "nvidia.com/gpu": 1}},
            {"cpu": "100m", "memory": "3Gi"},
            {"memory": "4Gi", "nvidia.com/gpu": 1},
        ),
    ],
)
def test_what_is_said_holds_and_the_rest_has_defaults(
    given: dict[str, Any], requests: dict[str, Any], limits: dict[str, Any]
) -> None:
    found = PROGRAM.fill(ResourceRequirements.model_validate(given))
    storage = {"ephemeral-storage": "64Mi"}, {"ephemeral-storage": "1Gi"}
    assert found == {"requests": {**requests, **storage[0]}, "limits": {**limits, **storage[1]}}
    for resource in found["requests"].keys() & found["limits"].keys():
        assert amount_of(found["requests"][resource]) <= amount_of(found["limits"][resource])


def test_settings_have_other_defaults_or_none_and_refuse_what_is_no_quantity() -> None:
    given = '{"requests": {"cpu": "1"}, "limits": {}}'
    settings = Settings.from_environment({"QONVERGE_PROGRAM_RESOURCES": given})
    assert settings.program_resources == Defaults({"cpu": "1"}, {})
    for text in ('{"limits": {"memory": "2GB"}}', "2Gi", "{"):
        with pytest.raises(ValueError, match=r"QONVERGE_PROGRAM_RESOURCES is .*: "):
            Settings.from_environment({"QONVERGE_PROGRAM_RESOURCES": text})
    with pytest.raises(ValueError, match="QONVERGE_LEASE_SECONDS is 'soon': "):
        Settings.from_environment({"QONVERGE_LEASE_SECONDS": "soon"})


def pods(**spec: Any) -> list[dict[str, Any]]:
    backend = QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": {"simulator": {}}})
    program = {"spec": {"program": {"python": {"source": "pass"}}, **spec}, "metadata": {"name": "job", "uid": "uid"}}
    job = HybridJob.model_validate(program)
    objects = PythonJobs().objects(job, backend, Settings(), attempt=1, tokens=["t"])
    made = [backend_objects.deployment(backend, Settings(), b"key"), *objects]
    return [o["spec"]["template"]["spec"] for o in made if "template" in o.get("spec", {})]


def test_a_program_leaves_a_node_that_is_unreachable_when_its_job_says() -> None:
    _, usual = pods()
    assert "tolerations" not in usual
    _, given = pods(retryPolicy={"unreachableSeconds": 0})
    assert {each["key"]: each["tolerationSeconds"] for each in given["tolerations"]} == {
        "node.kubernetes.io/unreachable": 0,
        "node.kubernetes.io/not-ready": 0,
    }
    assert {(each["operator"], each["effect"]) for each in given["tolerations"]} == {("Exists", "NoExecute")}


def test_no_pod_runs_as_root_or_in_group_0_or_takes_a_node_for_itself() -> None:
    assert len(pods()) == 2
    for pod in pods():
        security = pod["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (65532, 65532, 65532)
        (container,) = pod["containers"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert "ephemeral-storage" in container["resources"]["limits"]
    # A server's circuits are bounded by what memory there is; a program's are not.
    assert ["memory" in pod["containers"][0]["resources"]["limits"] for pod in pods()] == [False, True]


def _program(settings: Settings) -> dict[str, Any]:
    backend = QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": {"simulator": {}}})
    program = {"spec": {"program": {"python": {"source": "pass"}}}, "metadata": {"name": "job", "uid": "uid"}}
    *_, batch = PythonJobs().objects(HybridJob.model_validate(program), backend, settings, attempt=1, tokens=["t"])
    found: dict[str, Any] = batch["spec"]["template"]
    return found


def test_a_programs_pod_is_told_of_a_store_where_there_is_one() -> None:
    stores = '[{"name": "shared", "folder": "/shared", "namespaces": ["default"]}]'
    without = Settings.from_environment({"QONVERGE_OUTPUT_STORES": stores})
    default = Settings.from_environment({"QONVERGE_OUTPUT_STORES": stores, "QONVERGE_OUTPUT_STORE": "shared"})
    for settings, told in ((Settings(), False), (without, False), (default, True)):
        (container,) = _program(settings)["spec"]["containers"]
        given = {each["name"]: each.get("value") for each in container["env"]}
        base = given["QONVERGE_REPORT_URL"].removesuffix("/report")
        assert given.get("QONVERGE_STORE_URL") == (f"{base}/output" if told else None)
        assert given["QONVERGE_OUTPUT"] in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_a_programs_pod_exposes_metrics_where_that_is_wanted() -> None:
    template = _program(Settings(scrape_annotations=True))
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert port == {"name": "metrics", "containerPort": 8079}
    assert given["QONVERGE_METRICS_LISTEN"] == "0.0.0.0:8079"
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "8079"
    template = _program(Settings(scrape_annotations=True, program_metrics=False))
    (container,) = template["spec"]["containers"]
    assert not container["ports"]
    assert "QONVERGE_METRICS_LISTEN" not in {each["name"] for each in container["env"]}
    assert not template["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("quantity", "amount"), [("1500m", "1.5"), ("3u", "0.000003"), ("2n", "2e-9"), ("0.5Gi", str(2**29)), (7, "7")]
)
def test_quantities_are_numbers(quantity: str | int, amount: str) -> None:
    assert float(amount_of(quantity)) == pytest.approx(float(amount))


def elsewhere(**spec: Any) -> dict[str, Any]:
    section = {"provider": "Acme", "options": {"machine": 3}, "credentials": {"name": "acme-key"}}
    backend = QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": {"plugin": section, **spec}})
    return backend_objects.deployment(backend, Settings(), b"key")


@pytest.mark.parametrize(("given", "drains"), [({}, 595), ({"terminationGracePeriodSeconds": 4}, 2)], ids=str)
def test_a_pod_that_is_asked_to_end_has_its_grace_period_for_what_it_runs(given: dict[str, Any], drains: float) -> None:
    backend = QuantumBackend.model_validate(
        {"metadata": {"name": "b", "namespace": "n"}, "spec": {"simulator": {}, "template": given}}
    )
    pod = backend_objects.deployment(backend, Settings(), b"a key")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] == given.get("terminationGracePeriodSeconds", 600)
    assert {each["name"]: each.get("value") for each in container["env"]}["QONVERGE_GRACE"] == str(float(drains))
    # One that hangs does not drain.
    assert container["livenessProbe"]["terminationGracePeriodSeconds"] == min(30, pod["terminationGracePeriodSeconds"])


def test_a_device_elsewhere_has_one_pod_at_a_time() -> None:
    spec = elsewhere()["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert elsewhere(replicas=0)["spec"]["replicas"] == 0
    simulator = QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": {"simulator": {}}})
    assert "strategy" not in backend_objects.deployment(simulator, Settings(), b"key")["spec"]


def test_credentials_are_a_folder_in_the_pod_and_nothing_of_them_is_in_the_environment() -> None:
    pod = elsewhere()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    # All keys, as files that change with the Secret; the process is in the pod's group.
    assert volumes["credentials"]["secret"] == {"secretName": "acme-key", "defaultMode": 0o440}
    assert mounts["credentials"] == {
        "name": "credentials",
        "mountPath": "/run/qonverge/credentials",
        "readOnly": True,
    }
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["QONVERGE_CREDENTIALS"] == "/run/qonverge/credentials"
    assert environment["QONVERGE_ENGINE"] == "Acme"
    assert environment["QONVERGE_OPTIONS"] == '{"machine": 3}'
    assert "acme-key" not in str(container)


def test_a_proxy_takes_little_and_may_have_an_identity_of_its_own() -> None:
    pod = elsewhere(template={"serviceAccountName": "braket"})["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "braket"
    # A webhook mounts the cloud's own token; that of the cluster is of no use to it.
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
    assert "serviceAccountName" not in elsewhere()["spec"]["template"]["spec"]


@pytest.mark.parametrize("kind", ["configMapKeyRef", "secretKeyRef"])
def test_a_remote_server_is_known_by_its_certificates_and_token(kind: str) -> None:
    reference = {"name": "edge-ca", "key": "root"}
    section = {"url": "https://edge:8443", "serverName": "box", "caBundle": {kind: reference}}
    spec = {"remote": {**section, "credentials": {"name": "edge-token"}}}
    backend = QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": spec})
    pod = backend_objects.deployment(backend, Settings(), b"key")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["QONVERGE_ENGINE"] == "Remote"
    options = RemoteOptions.model_validate_json(environment["QONVERGE_OPTIONS"])
    assert (options.url, options.server_name) == ("https://edge:8443", "box")
    assert options.ca_file is not None
    (mount,) = [mount for mount in container["volumeMounts"] if options.ca_file.startswith(mount["mountPath"] + "/")]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    source = volume["configMap"] if kind == "configMapKeyRef" else volume["secret"]
    assert "edge-ca" in source.values()
    assert source["items"] == [{"key": "root", "path": options.ca_file.removeprefix(mount["mountPath"] + "/")}]


def test_pods_learn_where_spans_go_and_the_headers_are_in_a_secret_only() -> None:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318", "OTEL_EXPORTER_OTLP_HEADERS": "key=hidden"}
    settings, plain = Settings.from_environment(given), Settings()
    backend = QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": {"simulator": {}}})
    made = backend_objects.deployment(backend, settings, b"key")
    reference = {"secretKeyRef": {"name": "aer-qb", "key": "otlp-headers"}}
    assert made["spec"]["template"]["spec"]["containers"][0]["env"][-2:] == [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel:4318"},
        {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": reference},
    ]
    assert "hidden" not in str(made) + str(settings)
    secret = backend_objects.backend_secret(backend, "k", settings)
    assert secret["stringData"] == {"key": "k", "otlp-headers": "key=hidden"}
    assert backend_objects.backend_secret(backend, "k", plain)["stringData"] == {"key": "k"}
    assert "OTEL" not in str(backend_objects.deployment(backend, plain, b"key"))
