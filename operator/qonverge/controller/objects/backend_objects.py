"""The desired objects of a backend, pure: a resource in, manifests out."""

from __future__ import annotations

from typing import Any

from qonverge.api import QuantumBackend
from qonverge.api.registry import MANAGED_LABELS
from qonverge.api.source import CA_FILE, CaBundle
from qonverge.backend.settings import ServerSettings
from qonverge.controller.objects import span_export
from qonverge.controller.objects.node_placement import backend_affinity
from qonverge.controller.objects.object_names import (
    PORT,
    PORT_NAME,
    audience,
    backend_labels,
    backend_name,
    owner_references,
    scraped,
)
from qonverge.controller.objects.pod_order import CONTAINER
from qonverge.controller.objects.pod_security import CONTAINER_SECURITY, POD_SECURITY
from qonverge.controller.pod_resources import BACKEND, PROXY
from qonverge.controller.settings import Settings

# Of its grace period a server keeps so much, or half of a short one, to close its connections and end its workers.
_CLOSING_SECONDS = 5.0
_HUNG_SECONDS = 30
_LONGEST_START_SECONDS = 120
_KEY = "key"
_GPU = "nvidia.com/gpu"
_NOISE_FOLDER = "/run/qonverge/noise"
_NOISE_FILE = "calibration.json"
_CREDENTIALS_FOLDER = "/run/qonverge/credentials"
_GROUP_READS = 0o440


def backend_secret(backend: QuantumBackend, key: str, settings: Settings) -> dict[str, Any]:
    """Return the Secret with the key by which the backend's pods prove that they are, and what their spans need."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": backend_name(backend),
            "namespace": backend.metadata.namespace,
            "labels": {**backend_labels(backend), **MANAGED_LABELS},
            "ownerReferences": owner_references(backend),
        },
        "stringData": {_KEY: key, **span_export.secret_data(settings)},
    }


def deployment(
    backend: QuantumBackend, settings: Settings, public_key: bytes, replicas: int | None = None
) -> dict[str, Any]:
    """Return the Deployment that serves a backend, with so many pods; None: as many as its specification says."""
    spec, template = backend.spec, backend.spec.template
    source, grace = spec.source, template.termination_grace_period_seconds
    told = ServerSettings.of(
        spec,
        f"{_NOISE_FOLDER}/{_NOISE_FILE}",
        _CREDENTIALS_FOLDER,
        listen=f"0.0.0.0:{PORT}",
        audience=audience(backend),
        public_key=public_key.decode(),
        grace=max(grace - _CLOSING_SECONDS, grace / 2),
    )
    environment: list[dict[str, Any]] = [{"name": name, "value": text} for name, text in told.to_environment().items()]
    instance, own_key = ServerSettings.variable("instance"), ServerSettings.variable("key")
    environment.append({"name": instance, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}})
    key = {"name": backend_name(backend), "key": _KEY}
    environment.append({"name": own_key, "valueFrom": {"secretKeyRef": key}})
    environment += span_export.variables(settings, backend_name(backend))
    labels = {**template.labels, **backend_labels(backend), **MANAGED_LABELS}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": settings.backend_image,
        "imagePullPolicy": settings.pull_policy,
        "env": environment,
        "ports": [{"name": PORT_NAME, "containerPort": PORT}],
        "resources": _resources(backend),
        "securityContext": CONTAINER_SECURITY,
        # Why a server did not start is its last line, which the backend's status repeats.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": PORT_NAME},
            # On a busy node a server takes its time to start, and is busier yet where it has to start again.
            "initialDelaySeconds": _LONGEST_START_SECONDS,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
            # One that does not answer drains nothing.
            "terminationGracePeriodSeconds": min(grace, _HUNG_SECONDS),
        },
        # Jobs may wait for the pod, so it is asked often; one that does not answer is not ready after some seconds.
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": PORT_NAME},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the only writable place of the pod
    }
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
    }
    if source.noise is not None and (reference := source.noise.config_map_key_ref) is not None:
        # A whole folder: a file that is mounted by itself keeps its first content.
        container["volumeMounts"].append({"name": "noise", "mountPath": _NOISE_FOLDER, "readOnly": True})
        items = [{"key": reference.key, "path": _NOISE_FILE}]
        pod["volumes"].append({"name": "noise", "configMap": {"name": reference.name, "items": items}})
    if source.credentials:
        # A whole folder here too, so that new credentials come without a restart.
        container["volumeMounts"].append({"name": "credentials", "mountPath": _CREDENTIALS_FOLDER, "readOnly": True})
        secret = {"secretName": source.credentials, "defaultMode": _GROUP_READS}
        pod["volumes"].append({"name": "credentials", "secret": secret})
    if source.authorities is not None:
        folder, _, name = CA_FILE.rpartition("/")
        container["volumeMounts"].append({"name": "authorities", "mountPath": folder, "readOnly": True})
        pod["volumes"].append({"name": "authorities", **_key_as_file(source.authorities, name)})
    annotations = {**scraped(settings, PORT), **template.annotations}
    if template.service_account_name:
        pod["serviceAccountName"] = template.service_account_name
    if template.node_selector:
        pod["nodeSelector"] = template.node_selector
    if (affinity := backend_affinity(backend)) is not None:
        pod["affinity"] = affinity
    if template.tolerations:
        pod["tolerations"] = [t.model_dump(by_alias=True, exclude_none=True) for t in template.tolerations]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": backend_name(backend),
            "namespace": backend.metadata.namespace,
            "labels": {**backend_labels(backend), **MANAGED_LABELS},
            "ownerReferences": owner_references(backend),
        },
        "spec": {
            "replicas": spec.replicas if replicas is None else replicas,
            # Two proxies of a device at once could both find that it has no such task, and both send it.
            **({"strategy": {"type": "Recreate"}} if source.elsewhere else {}),
            "selector": {"matchLabels": backend_labels(backend)},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    }


def _key_as_file(given: CaBundle, name: str) -> dict[str, Any]:
    """Return the volume of a key of a ConfigMap or Secret, as a file of this name."""
    if (reference := given.config_map_key_ref) is not None:
        return {"configMap": {"name": reference.name, "items": [{"key": reference.key, "path": name}]}}
    secret = given.secret_key_ref
    assert secret is not None
    items = [{"key": secret.key, "path": name}]
    return {"secret": {"secretName": secret.name, "items": items, "defaultMode": _GROUP_READS}}


def _resources(backend: QuantumBackend) -> dict[str, Any]:
    """Return the template's resources and the defaults, with a GPU where one is needed and the template has none."""
    source = backend.spec.source
    resources = (PROXY if source.elsewhere else BACKEND).fill(backend.spec.template.resources)
    limits = resources.get("limits", {})
    if source.computes_on == "GPU" and not any(map(_is_gpu, limits)):
        resources["limits"] = {**limits, _GPU: 1}
    return resources


def _is_gpu(resource: str) -> bool:
    # A part of one has another name, such as nvidia.com/mig-1g.5gb.
    return resource.startswith("nvidia.com/")


def service(backend: QuantumBackend) -> dict[str, Any]:
    """Return the Service that names the backend's pods: headless, since clients choose the one with least to do."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": backend_name(backend),
            "namespace": backend.metadata.namespace,
            "labels": {**backend_labels(backend), **MANAGED_LABELS},
            "ownerReferences": owner_references(backend),
        },
        "spec": {
            "clusterIP": "None",
            "selector": backend_labels(backend),
            "ports": [{"name": PORT_NAME, "port": PORT, "targetPort": PORT_NAME, "protocol": "TCP"}],
        },
    }
