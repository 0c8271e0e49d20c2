"""Desired objects, pure: a resource in, manifests out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.backend import ResourceRequirements
from qonverge.api.pod_program import Near, ProgramTemplate
from qonverge.api.program import MOST_RANKS
from qonverge.api.registry import MANAGED_LABELS
from qonverge.api.source import CA_FILE, CaBundle
from qonverge.api.sweep import MOST_PROGRAM_POINTS
from qonverge.backend.settings import ServerSettings
from qonverge.controller.objects import program_pod, span_export
from qonverge.controller.objects.node_placement import backend_affinity, program_affinity
from qonverge.controller.objects.pod_order import CONTAINER
from qonverge.controller.pod_resources import BACKEND, PROXY
from qonverge.controller.settings import Settings
from qonverge.execution.points import room_for_point
from qonverge.execution.result_room import room_for_result
from qonverge.programs.parameters import escaped, in_environment
from qonverge.storage.settings import NoSuchStore, chosen
from qonverge.tracing.setup import TRACEPARENT

BACKEND_LABEL = "qonverge.io/backend"
JOB_LABEL = "qonverge.io/job"
JOB_NAME_LABEL = "qonverge.io/job-name"
"""The job's name, for people: unlike the former it is the same of another job of that name."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Of a batch Job: the LocalQueue through which Kueue admits it."""
PROGRAM_BACKENDS_ANNOTATION = "qonverge.io/program-backends"
"""Of a program's batch Job: the keys of the backends that it calls, in the order of its ranks, with spaces between."""
INDEXES_ANNOTATION = "qonverge.io/indexes"
"""Of the batch Job of a program that is swept: the points that its pods run, in the order of its own indexes."""
STEPS_KEY = "steps.json"
PORT = 8080
PORT_NAME = "tasks"
_NAME_LIMIT = 63
# Of its grace period a server keeps so much, or half of a short one, to close its connections and end its workers.
_CLOSING_SECONDS = 5.0
_HUNG_SECONDS = 30
_LONGEST_START_SECONDS = 120
_KEY = "key"
_TERMINATION_LOG = "/dev/termination-log"
_OUTPUT_FOLDER = "/output"

_GPU = "nvidia.com/gpu"
METRICS_PORT = 8079
METRICS_PORT_NAME = "metrics"
_NOISE_FOLDER = "/run/qonverge/noise"
_NOISE_FILE = "calibration.json"
_CREDENTIALS_FOLDER = "/run/qonverge/credentials"
_GROUP_READS = 0o440

_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_USER = 65532
# Without a group of its own a process has group 0, which may read more than it should in some images.
_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def child_name(prefix: str, suffix: str, spare: int = 0) -> str:
    """Return ``prefix-suffix`` within the 63 characters of a label; a longer prefix ends in its digest.

    ``spare``: characters that are kept for what follows it.
    """
    return f"{_shortened(prefix, _NAME_LIMIT - spare - len(suffix) - 1).replace('.', '-')}-{suffix}"


def _shortened(name: str, room: int) -> str:
    if len(name) <= room:
        return name
    return f"{name[: room - 9].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def owner_references(resource: HybridJob | QuantumBackend) -> list[dict[str, Any]]:
    """Return the owner references of an object that belongs to the resource."""
    return [
        {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "name": resource.metadata.name,
            "uid": resource.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def backend_name(backend: QuantumBackend) -> str:
    """Return the name of the backend's Deployment and Service."""
    return child_name(backend.metadata.name, "qb")


def backend_labels(backend: QuantumBackend) -> dict[str, str]:
    """Return the labels that select the backend's pods."""
    return {BACKEND_LABEL: backend_name(backend)}


def backend_selector(backend: QuantumBackend) -> str:
    """Return the namespace and label by which the backend's pods are found."""
    return f"{backend.metadata.namespace}/{backend_name(backend)}"


def backend_url(backend: QuantumBackend) -> str:
    """Return where pods of the cluster reach the backend."""
    return f"http://{backend_name(backend)}.{backend.metadata.namespace}.svc:{PORT}"


def audience(backend: QuantumBackend) -> str:
    """Return the audience of tokens for the backend."""
    return f"{backend.metadata.namespace}/{backend.metadata.name}"


def audience_of(job: HybridJob) -> str:
    """Return the audience of tokens for the backend that the job's status names: the backend's key."""
    return key_of_backend(job.metadata.namespace, job.status.backend or "")


def audiences_of(job: HybridJob) -> tuple[str, ...]:
    """Return the same for each of the backends that the ranks of its program call, in their order."""
    labels = job.status.backends or [job.status.backend or ""]
    return tuple(key_of_backend(job.metadata.namespace, label) for label in labels)


def key_of_backend(namespace: str, label: str) -> str:
    """Return the key of a backend from its name as jobs of a namespace write it."""
    return label if "/" in label else f"{namespace}/{label}"


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
        "securityContext": _CONTAINER_SECURITY,
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
        "securityContext": _POD_SECURITY,
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
    annotations = {**_scraped(settings, PORT), **template.annotations}
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


def _scraped(settings: Settings, port: int) -> dict[str, str]:
    """Return the annotations by which many Prometheus servers find what to scrape, where they are wanted."""
    if not settings.scrape_annotations:
        return {}
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics"}


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


def attempt_name(job: HybridJob, attempt: int) -> str:
    """Return the name of what an attempt at a program mounts; another job of the same name has others."""
    return child_name(job.metadata.name, attempt_suffix(job, attempt))


def attempt_suffix(job: HybridJob, attempt: int) -> str:
    """Return how the names of an attempt's objects end."""
    return _suffix(job.metadata.uid, attempt)


def _suffix(uid: str, attempt: int) -> str:
    return f"{uid[:5]}-{attempt}"


def program_name(job: HybridJob, attempt: int, pauses: int | None = None) -> str:
    """Return the name of the batch Job of one attempt at a program; after each pause it has another.

    ``pauses`` is how often the attempt paused, by default as the job's status tells.
    """
    if pauses is None:
        pauses = (job.status.pauses or 0) if attempt == job.status.attempts else 0
    program = job.spec.program
    indexed = program.has_ranks or program.num_indexes is not None
    return batch_name(job.metadata.name, job.metadata.uid, attempt, pauses, indexed=indexed)


def batch_name(job: str, uid: str, attempt: int, pauses: int, *, indexed: bool) -> str:
    """Return the same from the name and the uid of the job, and whether it has pods with numbers."""
    suffix = _suffix(uid, attempt)
    # They have host names that end in their number, which begins at 0.
    spare = len(f"-{max(MOST_RANKS, MOST_PROGRAM_POINTS) - 1}") if indexed else 0
    return child_name(job, f"{suffix}-{pauses}" if pauses else suffix, spare)


def steps_name(job: HybridJob) -> str:
    """Return the name of the ConfigMap with what a program that gave its pod back left for the next."""
    return child_name(job.metadata.name, f"{job.metadata.uid[:5]}-steps")


def _program_metadata(job: HybridJob, attempt: int) -> dict[str, Any]:
    own = {JOB_LABEL: child_name(job.metadata.name, job.metadata.uid[:5])}
    labels = {**own, JOB_NAME_LABEL: _shortened(job.metadata.name, _NAME_LIMIT), **MANAGED_LABELS}
    return {
        "name": attempt_name(job, attempt),
        "namespace": job.metadata.namespace,
        "labels": labels,
        "ownerReferences": owner_references(job),
    }


def program_secret(job: HybridJob, attempt: int, tokens: Sequence[str], settings: Settings) -> dict[str, Any]:
    """Return the Secret with the tokens of an attempt at a program, which its pods have as files that are kept up.

    There is one for each backend that it calls: the first is ``token``, the others ``token-1`` and so on.
    """
    named = {f"token-{number}" if number else "token": token for number, token in enumerate(tokens)}
    metadata, data = _program_metadata(job, attempt), {**named, **span_export.secret_data(settings)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def program_config_map(job: HybridJob, attempt: int, data: dict[str, str]) -> dict[str, Any]:
    """Return the ConfigMap of an attempt at a program, with files that its pod mounts."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _program_metadata(job, attempt), "data": data}


def has_store(job: HybridJob, settings: Settings) -> bool:
    """Return whether there is a store for a job's output."""
    try:
        wanted, namespace = job.spec.output.store, job.metadata.namespace
        return chosen(settings.output_stores, settings.output_store, wanted, namespace) is not None
    except NoSuchStore:
        return False


def program_steps(job: HybridJob, state: str) -> dict[str, Any]:
    """Return the ConfigMap with what a program that gives its pod back leaves for the next, as JSON."""
    metadata = {**_program_metadata(job, job.status.attempts or 1), "name": steps_name(job)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {STEPS_KEY: state}}


@dataclass(frozen=True, slots=True)
class ProgramContainer:
    """What a kind of program says of the container that runs it."""

    image: str
    command: Sequence[str]
    resources: ResourceRequirements
    """As the job gives them; the rest is filled with defaults."""
    volumes: Mapping[str, dict[str, Any]]
    """Volumes that it reads, by where they are mounted."""
    near: Near | None = None
    """On which nodes its pod runs; None: any."""
    args: Sequence[str] = ()
    """Arguments of the command, or of the image's own where that is empty."""
    template: ProgramTemplate = field(default_factory=ProgramTemplate)
    """What else its pod gets."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of its own, which no job changes."""
    inits: Sequence[Mapping[str, Any]] = ()
    """Containers that run before it."""
    working_folder: str | None = None
    """Where it starts; None: as its image says."""
    metrics: bool = False
    """Whether it exposes the client library's metrics, where the installation wants them."""


def program_job(
    job: HybridJob,
    container: ProgramContainer,
    backend: QuantumBackend,
    settings: Settings,
    *,
    attempt: int,
    traceparent: str = "",
) -> dict[str, Any]:
    """Return the batch Job of an attempt at a program: it has a token for the backend, and knows where to report.

    ``traceparent`` is the span that it belongs to, where one is recorded.
    """
    stores = has_store(job, settings)
    spec, metadata = job.spec, _program_metadata(job, attempt)
    metrics = container.metrics and settings.program_metrics
    url = f"{settings.report_url}/v1/jobs/{job.metadata.namespace}/{job.metadata.name}"
    queue = spec.queue_name
    given = {
        "BACKEND_URL": backend_url(backend),
        "TOKEN_FILE": "/run/qonverge/token",
        "REPORT_URL": f"{url}/report",
        "JOB": f"{job.metadata.namespace}/{job.metadata.name}",
        "SEED": spec.seed,
        "SHOTS": spec.shots,
        "PRECISION": spec.precision,
        "RESULT_ROOM": room_for_result(job) if spec.program.num_indexes is None else room_for_point(job),
        "PARAMETERS": None if (parameters := in_environment(job)) is None else escaped(parameters),
        "STORE_URL": f"{url}/output" if stores else None,
        "INPUTS": ",".join(each.name for each in spec.depends_on) or None,
        "INPUTS_URL": f"{url}/inputs" if spec.depends_on else None,
        "OUTPUT": _OUTPUT_FOLDER,
        "TERMINATION_LOG": _TERMINATION_LOG,
        "METRICS_LISTEN": f"0.0.0.0:{METRICS_PORT}" if metrics else None,
    }
    environment = [{"name": f"QONVERGE_{key}", "value": str(v)} for key, v in given.items() if v is not None]
    environment += [{"name": name, "value": value} for name, value in container.variables.items()]
    exposed = [{"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT}] if metrics else []
    if traceparent:
        environment.append({"name": TRACEPARENT, "value": traceparent})
        environment += span_export.variables(settings, metadata["name"])
    mounts = [{"name": v["name"], "mountPath": path, "readOnly": True} for path, v in container.volumes.items()]
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _POD_SECURITY,
        "containers": [
            {
                "name": "program",
                "image": container.image,
                "imagePullPolicy": settings.pull_policy,
                # Without a command the image's own entry point starts.
                **({"command": list(container.command)} if container.command else {}),
                **({"args": list(container.args)} if container.args else {}),
                **({"workingDir": container.working_folder} if container.working_folder else {}),
                "env": environment,
                "ports": exposed,
                "terminationMessagePath": _TERMINATION_LOG,
                "resources": settings.program_resources.fill(container.resources),
                "securityContext": _CONTAINER_SECURITY,
                "volumeMounts": [
                    *mounts,
                    {"name": "qonverge-token", "mountPath": "/run/qonverge", "readOnly": True},
                    {"name": "qonverge-tmp", "mountPath": "/tmp"},  # noqa: S108 - one of two writable places of the pod
                    {"name": "qonverge-output", "mountPath": _OUTPUT_FOLDER},
                ],
            }
        ],
        "volumes": [
            *container.volumes.values(),
            {"name": "qonverge-token", "secret": {"secretName": metadata["name"]}},
            # What it holds counts as the container's own ephemeral storage.
            {"name": "qonverge-tmp", "emptyDir": {}},
            {"name": "qonverge-output", "emptyDir": {}},
        ],
    }
    if container.inits:
        hardened = {"imagePullPolicy": settings.pull_policy, "securityContext": _CONTAINER_SECURITY}
        pod["initContainers"] = [{**each, **hardened} for each in container.inits]
    if (affinity := program_affinity(container.near, backend)) is not None:
        pod["affinity"] = affinity
    if (most := spec.retry_policy.attempt_deadline_seconds) is not None:
        pod["activeDeadlineSeconds"] = most
    if (seconds := spec.retry_policy.unreachable_seconds) is not None:
        pod["tolerations"] = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
            for key in ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
        ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **metadata,
            "name": program_name(job, attempt),
            "labels": {**metadata["labels"], **({} if queue is None else {QUEUE_LABEL: queue})},
            "annotations": {PROGRAM_BACKENDS_ANNOTATION: audience(backend)},
        },
        "spec": {
            # Kueue lets it start, where it has one.
            **({} if queue is None else {"suspend": True}),
            # Attempts are counted here, not by the Job controller, which cannot tell a lost node from a bug.
            "backoffLimit": 0,
            "template": program_pod.merged(
                {
                    "metadata": {
                        "labels": metadata["labels"],
                        "annotations": _scraped(settings, METRICS_PORT) if exposed else {},
                    },
                    "spec": pod,
                },
                container.template,
            ),
        },
    }
