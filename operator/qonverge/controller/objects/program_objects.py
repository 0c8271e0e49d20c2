"""The desired objects of an attempt at a program, pure: a resource in, manifests out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.backend import ResourceRequirements
from qonverge.api.pod_program import Near, ProgramTemplate
from qonverge.api.registry import MANAGED_LABELS
from qonverge.controller.objects import program_pod, span_export
from qonverge.controller.objects.node_placement import program_affinity
from qonverge.controller.objects.object_names import (
    JOB_LABEL,
    JOB_NAME_LABEL,
    LABEL_CHARACTERS,
    METRICS_PORT,
    METRICS_PORT_NAME,
    PROGRAM_BACKENDS_ANNOTATION,
    QUEUE_LABEL,
    attempt_name,
    audience,
    backend_url,
    child_name,
    owner_references,
    program_name,
    scraped,
    shortened,
    steps_name,
)
from qonverge.controller.objects.pod_security import CONTAINER_SECURITY, POD_SECURITY, TERMINATION_LOG
from qonverge.controller.settings import Settings
from qonverge.execution.points import room_for_point
from qonverge.execution.result_room import room_for_result
from qonverge.programs.parameters import escaped, in_environment
from qonverge.storage.settings import NoSuchStore, chosen
from qonverge.tracing.setup import TRACEPARENT

STEPS_KEY = "steps.json"
PROGRAM_FILE = "program.py"
"""Of a program whose text the job has: its key in the Secret, and its file in the pod."""
_OUTPUT_FOLDER = "/output"


def _program_metadata(job: HybridJob, attempt: int) -> dict[str, Any]:
    own = {JOB_LABEL: child_name(job.metadata.name, job.metadata.uid[:5])}
    labels = {**own, JOB_NAME_LABEL: shortened(job.metadata.name, LABEL_CHARACTERS), **MANAGED_LABELS}
    return {
        "name": attempt_name(job, attempt),
        "namespace": job.metadata.namespace,
        "labels": labels,
        "ownerReferences": owner_references(job),
    }


def program_secret(
    job: HybridJob, attempt: int, tokens: Sequence[str], settings: Settings, text: str | None = None
) -> dict[str, Any]:
    """Return the Secret of an attempt at a program: what its pods have as files, which are kept up.

    It has a token for each backend that the program calls, the first as ``token``, the others as ``token-1`` and so on,
    and the program's text where the job has it: another object would cost the cluster more than what is in it.
    """
    named = {f"token-{number}" if number else "token": token for number, token in enumerate(tokens)}
    metadata, data = _program_metadata(job, attempt), {**named, **span_export.secret_data(settings)}
    if text is not None:
        data[PROGRAM_FILE] = text
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


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
        "TERMINATION_LOG": TERMINATION_LOG,
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
        "securityContext": POD_SECURITY,
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
                "terminationMessagePath": TERMINATION_LOG,
                "resources": settings.program_resources.fill(container.resources),
                "securityContext": CONTAINER_SECURITY,
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
        hardened = {"imagePullPolicy": settings.pull_policy, "securityContext": CONTAINER_SECURITY}
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
                        "annotations": scraped(settings, METRICS_PORT) if exposed else {},
                    },
                    "spec": pod,
                },
                container.template,
            ),
        },
    }
