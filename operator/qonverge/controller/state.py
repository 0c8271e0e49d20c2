"""What the operator knows: the objects as the watches last showed them, and the work in flight."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from qonverge.api import HybridJob, QuantumBackend
from qonverge.circuits.checked import CheckedCircuit
from qonverge.controller.builders import BACKEND_LABEL, JOB_LABEL, PORT_NAME
from qonverge.lifecycle.transitions import seconds
from qonverge.scheduling.model import Decision
from qonverge.wire.messages import BackendInfo, TaskResult


@dataclass(frozen=True, slots=True)
class Finished:
    """What is kept of a job that has ended: just what deleting it in time needs."""

    uid: str
    delete_at: float | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A backend pod that serves."""

    pod: str
    """The pod's uid: a pod of the same name is another one."""
    backend: str
    """Namespace and the value of the backend label."""
    url: str


@dataclass(slots=True)
class Flight:
    """A job's work in memory. It is lost with the process and made again from the job."""

    uid: str
    generation: int
    checking: asyncio.Task[None] | None = None
    checked: CheckedCircuit | None = None
    source: str | None = None
    problem: tuple[str, str] | None = None
    """(reason, message) of a program that can never run."""
    waiting: str | None = None
    """Why the program's text is not there yet."""
    decision: Decision | None = None
    placed_at: float | None = None
    started_at: float | None = None
    attempts: int = 0
    endpoint: Endpoint | None = None
    running: asyncio.Task[None] | None = None
    result: TaskResult | None = None


@dataclass(slots=True)
class State:
    """Caches by key ``namespace/name``."""

    versions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Newest resource version that was seen of each object, by kind and key."""
    jobs: dict[str, HybridJob] = field(default_factory=dict)
    """Jobs that have not ended."""
    finished: dict[str, Finished] = field(default_factory=dict)
    invalid: dict[str, str] = field(default_factory=dict)
    """Objects that this version cannot read, with the reason."""
    backends: dict[str, QuantumBackend] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Status and generation of backends' Deployments, by the backend label's key."""
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    """Serving backend pods by uid."""
    infos: dict[str, BackendInfo] = field(default_factory=dict)
    """What each serving pod last said of itself, by uid."""
    assigned: dict[str, int] = field(default_factory=dict)
    """Tasks that this operator has under way on each pod, by uid."""
    batch_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Status of programs' batch Jobs by key, with the name of their HybridJob."""
    program_pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Pods of programs by the key of their batch Job."""
    flights: dict[str, Flight] = field(default_factory=dict)

    def endpoints_of(self, label: str) -> list[Endpoint]:
        """Return the serving pods of a backend, by its namespace and label."""
        return [endpoint for endpoint in self.endpoints.values() if endpoint.backend == label]

    def see_job(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch, a list or a write showed of a HybridJob; what is older than known is passed over."""
        key, metadata = key_of(obj), obj["metadata"]
        if not self._newer("HybridJob", key, metadata, deleted):
            return
        self.jobs.pop(key, None)
        self.finished.pop(key, None)
        self.invalid.pop(key, None)
        if deleted:
            return
        status = obj.get("status", {})
        if status.get("state") in ("Complete", "Failed"):
            ttl, ended = obj["spec"].get("ttlSecondsAfterFinished"), status.get("completedAt")
            delete_at = None if ttl is None or ended is None else seconds(ended) + ttl
            self.finished[key] = Finished(metadata["uid"], delete_at)
            return
        try:
            self.jobs[key] = HybridJob.model_validate(_slim(obj))
        except ValidationError as error:
            self.invalid[key] = _sentence(error)

    def _newer(self, kind: str, key: str, metadata: dict[str, Any], deleted: bool) -> bool:
        versions = self.versions.setdefault(kind, {})
        version = int(metadata["resourceVersion"])
        if version < versions.get(key, 0):
            return False
        if deleted:
            versions.pop(key, None)
        else:
            versions[key] = version
        return True

    def see_backend(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch showed of a QuantumBackend."""
        key = key_of(obj)
        if not self._newer("QuantumBackend", key, obj["metadata"], deleted):
            return
        self.backends.pop(key, None)
        self.invalid.pop(key, None)
        if deleted:
            return
        try:
            self.backends[key] = QuantumBackend.model_validate(_slim(obj))
        except ValidationError as error:
            self.invalid[key] = _sentence(error)

    def see_pod(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch showed of a pod of ours."""
        metadata = obj["metadata"]
        labels = metadata.get("labels") or {}
        uid, namespace = metadata["uid"], metadata["namespace"]
        if BACKEND_LABEL in labels:
            endpoint = None if deleted else _endpoint(obj, f"{namespace}/{labels[BACKEND_LABEL]}")
            if endpoint is None:
                self.endpoints.pop(uid, None)
                self.infos.pop(uid, None)
            else:
                self.endpoints[uid] = endpoint
        elif JOB_LABEL in labels and (owner := labels.get("batch.kubernetes.io/job-name")):
            if deleted:
                self.program_pods.pop(f"{namespace}/{owner}", None)
            else:
                self.program_pods[f"{namespace}/{owner}"] = {"name": metadata["name"], **obj.get("status", {})}

    def see_batch_job(self, obj: dict[str, Any], deleted: bool) -> str | None:
        """Take what a watch showed of a program's batch Job, and return the key of its HybridJob."""
        metadata = obj["metadata"]
        owner = next((o["name"] for o in metadata.get("ownerReferences") or [] if o["kind"] == "HybridJob"), None)
        if owner is None:
            return None
        if deleted:
            self.batch_jobs.pop(key_of(obj), None)
        else:
            self.batch_jobs[key_of(obj)] = {"owner": owner, **obj.get("status", {})}
        return f"{metadata['namespace']}/{owner}"


def key_of(obj: dict[str, Any]) -> str:
    """Return ``namespace/name``."""
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _slim(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object without the bulk that nobody reads."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in ("managedFields", "annotations")}
    return {**obj, "metadata": metadata}


def _endpoint(obj: dict[str, Any], backend: str) -> Endpoint | None:
    """Return where the pod serves, or None while it does not."""
    status = obj.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
    if not ready or not status.get("podIP") or obj["metadata"].get("deletionTimestamp"):
        return None
    for container in obj["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == PORT_NAME:
                address = status["podIP"]
                host = f"[{address}]" if ":" in address else address
                return Endpoint(obj["metadata"]["uid"], backend, f"http://{host}:{port['containerPort']}")
    return None


def _sentence(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}; this operator may be older than the CustomResourceDefinitions"
