"""What the objects of jobs and backends are called and labelled, and where backends are reached. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.program import MOST_RANKS
from qonverge.api.sweep import MOST_PROGRAM_POINTS
from qonverge.controller.settings import Settings

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
PORT = 8080
"""Where a backend's pod listens."""
PORT_NAME = "tasks"
METRICS_PORT = 8079
"""Where a program's pod answers scrapes."""
METRICS_PORT_NAME = "metrics"
LABEL_CHARACTERS = 63
"""Most of a label's value, and of the host names that come of names."""
_OF_BACKEND = "qb"


def child_name(prefix: str, suffix: str, spare: int = 0) -> str:
    """Return ``prefix-suffix`` within the 63 characters of a label; a longer prefix ends in its digest.

    ``spare``: characters that are kept for what follows it.
    """
    return f"{shortened(prefix, LABEL_CHARACTERS - spare - len(suffix) - 1).replace('.', '-')}-{suffix}"


def shortened(name: str, room: int) -> str:
    """Return a name within so many characters; a longer one ends in its digest."""
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
    return child_name(backend.metadata.name, _OF_BACKEND)


def backend_labels(backend: QuantumBackend) -> dict[str, str]:
    """Return the labels that select the backend's pods."""
    return {BACKEND_LABEL: backend_name(backend)}


def backend_selector(backend: QuantumBackend) -> str:
    """Return the namespace and label by which the backend's pods are found."""
    return f"{backend.metadata.namespace}/{backend_name(backend)}"


def backend_url(backend: QuantumBackend) -> str:
    """Return where pods of the cluster reach the backend."""
    return f"http://{backend_name(backend)}.{backend.metadata.namespace}.svc:{PORT}"


def service_of(audience: str) -> str:
    """Return the namespace and name of the Service of the backend of these tokens."""
    namespace, name = audience.split("/", 1)
    return f"{namespace}/{child_name(name, _OF_BACKEND)}"


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


def scraped(settings: Settings, port: int) -> dict[str, str]:
    """Return the annotations by which many Prometheus servers find what to scrape, where they are wanted."""
    if not settings.scrape_annotations:
        return {}
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics"}
