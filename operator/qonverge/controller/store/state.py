"""What the operator knows: the objects as the watches last showed them, and the work in flight."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from qonverge.amounts import Amounts
from qonverge.api import Condition, HybridJob, QuantumBackend, QuantumQuota
from qonverge.api.conditions import still_holding
from qonverge.api.job import KeptResult
from qonverge.api.noise import Noise
from qonverge.api.placement import Candidate
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.objects import pod_troubles
from qonverge.controller.objects.manifests import BACKEND_LABEL, JOB_LABEL, PORT_NAME
from qonverge.controller.store.pods import BackendPods, Endpoint
from qonverge.devices.noise import Noise as DeviceNoise
from qonverge.execution.transitions import seconds
from qonverge.forecast.forecaster import WaitForecast
from qonverge.forecast.intervals import Interval
from qonverge.programs.source import Program
from qonverge.scheduling.model import Decision
from qonverge.wire.messages import TaskResult

_Resource = TypeVar("_Resource", HybridJob, QuantumBackend, QuantumQuota)


@dataclass(frozen=True, slots=True)
class Finished:
    """What is known of a job that has ended: what deleting it in time needs, and where its result is."""

    uid: str
    delete_at: float | None
    kept: KeptResult | None = None
    """Where its result is, if it is kept and not lost."""
    observed: dict[str, Any] | None = None
    """What its status has to say of a change of its specification since, which has no other effect."""
    version: str = ""
    """Its resource version."""


@dataclass(frozen=True, slots=True)
class Unread:
    """An object that the API server took and this version cannot read."""

    kind: str
    metadata: dict[str, Any]
    status: dict[str, Any]
    problem: str
    """What is wrong with it, as a sentence."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A task on a pod."""

    identity: str
    endpoint: Endpoint
    audience: str
    """Of tokens for the pod's backend."""
    at: float
    """When it was sent, Unix seconds."""
    run_seconds: Interval | None = None
    """How long it was forecast to run."""
    promised: WaitForecast | None = None
    """What was said of its wait, where waits are to be learned from it."""
    whole: bool = True
    """Whether it runs all shots of the job."""
    fidelity: Interval | None = None
    """What was said of its fidelity."""


@dataclass(slots=True)
class Flight:
    """A job's work in memory. It is lost with the process and made again from the job."""

    uid: str
    generation: int
    checking: asyncio.Task[None] | None = None
    checked: CheckedCircuit | None = None
    source: Program | None = None
    problem: tuple[str, str] | None = None
    """(reason, message) of a program that can never run."""
    waiting: str | None = None
    """Why the program is not there yet."""
    wants: bool = False
    """Whether it waits for a round of placement."""
    planned: Decision | None = None
    """What the last round said of it, until it is carried out."""
    behind: bool = False
    """Whether no round has looked at it, since more jobs that came first wait than a round looks at."""
    tried_at: float = 0.0
    """When a round last found no place for it, Unix seconds; 0 where none has."""
    forecast: tuple[Candidate, ...] = ()
    """What was forecast of it then, as the status shows it."""
    told_at: float = 0.0
    """When its status was last written, Unix seconds."""
    decision: Decision | None = None
    """What is carried out."""
    placed_at: float | None = None
    started_at: float | None = None
    attempts: int = 0
    usage: Amounts = field(default_factory=Amounts)
    """What the job used so far: what its status said when this began, and its tasks since."""
    gone: Amounts = field(default_factory=Amounts)
    """What its program used of pods that will not tell of it again."""
    renew_at: float = 0.0
    """When its program's token is to be renewed, Unix seconds; of programs that a former operator started at once."""
    withdrawn: int = 0
    """Attempts that did not count: their place was given to a job of higher priority."""
    sent: list[Sent] = field(default_factory=list)
    """Its tasks that are under way: several where its shots are split, or it is hedged."""
    running: asyncio.Task[None] | None = None
    stopped: bool = False
    """Whether the job is not to go on, so that its task is cancelled on the pod too."""
    result: TaskResult | None = None
    refusal: Refusal | None = None
    """What the API server refused of its program's objects."""
    trouble: pod_troubles.Trouble | None = None
    """What the events of its program's objects last said, while its pod does not start and says nothing itself."""
    events_read_at: float | None = None
    """When they were last read, Unix seconds."""

    @property
    def next_identity(self) -> str:
        """The id of the task that the job's next attempt is, where it is one."""
        return f"{self.uid}-{self.generation}-{self.attempts + 1}"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What is known of a backend's noise."""

    spec: Noise
    """Where it comes from."""
    noise: DeviceNoise | None
    """The figures, as they were last read; None where they never were."""
    problem: tuple[str, str] | None
    """(reason, message) when they cannot be read."""
    looked: float
    """When, Unix seconds."""


@dataclass(slots=True)
class State:
    """Caches by key ``namespace/name``."""

    versions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Newest resource version that was seen of each object, by kind and key."""
    jobs: dict[str, HybridJob] = field(default_factory=dict)
    """Jobs that have not ended."""
    finished: dict[str, Finished] = field(default_factory=dict)
    keeping: dict[str, Finished] = field(default_factory=dict)
    """Those of them, few of many, whose result a pod keeps: each poll asks for them, for each pod."""
    unread: dict[str, Unread] = field(default_factory=dict)
    """Objects that this version cannot read, by kind and key."""
    backends: dict[str, QuantumBackend] = field(default_factory=dict)
    quotas: dict[str, QuantumQuota] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Status, uid, generation and owning QuantumBackend of backends' Deployments, by key."""
    services: dict[str, str] = field(default_factory=dict)
    """Keys of the QuantumBackends that own the Services, by the Services' keys."""
    replica_sets: dict[str, tuple[str, str]] = field(default_factory=dict)
    """ReplicaSets of backends by key: uid, and that of the Deployment which controls it."""
    pods: BackendPods = field(default_factory=BackendPods)
    calibrations: dict[str, Calibrated] = field(default_factory=dict)
    """What is known of backends' noise, by the backend's key."""
    batch_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Status of programs' batch Jobs by key, with the name of their HybridJob."""
    program_pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Pods of programs by the key of their batch Job."""
    flights: dict[str, Flight] = field(default_factory=dict)

    def see_job(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch, a list or a write showed of a HybridJob; what is older than known is passed over."""
        key, metadata = key_of(obj), obj["metadata"]
        if not self._newer("HybridJob", key, metadata, deleted):
            return
        self.jobs.pop(key, None)
        self.finished.pop(key, None)
        self.keeping.pop(key, None)
        self.unread.pop(f"HybridJob {key}", None)
        if deleted:
            return
        status = obj.get("status", {})
        if status.get("state") in ("Complete", "Failed"):
            ttl, ended = obj["spec"].get("ttlSecondsAfterFinished"), status.get("completedAt")
            delete_at = None if ttl is None or ended is None else seconds(ended) + ttl
            finished = self.finished[key] = Finished(
                metadata["uid"], delete_at, _kept(status), _observed(obj), metadata["resourceVersion"]
            )
            if finished.kept is not None:
                self.keeping[key] = finished
            return
        if (job := self._read(HybridJob, obj)) is not None:
            self.jobs[key] = job

    def _read(self, model: type[_Resource], obj: dict[str, Any]) -> _Resource | None:
        """Return the object as this version reads it; one that it cannot read is kept apart."""
        try:
            return model.model_validate(_slim(obj))
        except ValidationError as error:
            metadata, status = obj["metadata"], obj.get("status") or {}
            self.unread[f"{model.__name__} {key_of(obj)}"] = Unread(model.__name__, metadata, status, _sentence(error))
            return None

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
        self.unread.pop(f"QuantumBackend {key}", None)
        if not deleted and (backend := self._read(QuantumBackend, obj)) is not None:
            self.backends[key] = backend

    def see_quota(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch, a list or a write showed of a QuantumQuota."""
        key = key_of(obj)
        if not self._newer("QuantumQuota", key, obj["metadata"], deleted):
            return
        self.quotas.pop(key, None)
        self.unread.pop(f"QuantumQuota {key}", None)
        if not deleted and (quota := self._read(QuantumQuota, obj)) is not None:
            self.quotas[key] = quota

    def see_deployment(self, obj: dict[str, Any], deleted: bool) -> str | None:
        """Take what a watch or a list showed of a Deployment, and return the key of its QuantumBackend."""
        key, metadata = key_of(obj), obj["metadata"]
        known = self.deployments.get(key)
        if not self._newer("Deployment", key, metadata, deleted):
            return None
        if deleted:
            self.deployments.pop(key, None)
            return None if known is None else known["owner"]
        owner = _owner(metadata, "QuantumBackend")
        if owner is not None:
            self.deployments[key] = {
                "uid": metadata["uid"],
                "generation": metadata.get("generation"),
                "status": obj.get("status", {}),
                "owner": owner,
            }
            self._admit()
        return owner

    def see_service(self, obj: dict[str, Any], deleted: bool) -> str | None:
        """Take what a watch, a list or a write showed of a Service of ours; return the key of its QuantumBackend."""
        key, metadata = key_of(obj), obj["metadata"]
        known = self.services.get(key)
        if not self._newer("Service", key, metadata, deleted):
            return None
        if deleted:
            self.services.pop(key, None)
            return known
        owner = _owner(metadata, "QuantumBackend")
        if owner is not None:
            self.services[key] = owner
        return owner

    def see_replica_set(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch or a list showed of a ReplicaSet of ours."""
        key, metadata = key_of(obj), obj["metadata"]
        if not self._newer("ReplicaSet", key, metadata, deleted):
            return
        self.replica_sets.pop(key, None)
        if not deleted:
            self.replica_sets[key] = metadata["uid"], _controller(metadata, "Deployment")
            self._admit()

    def _admit(self) -> None:
        """Let the pods serve that backends' own Deployments control."""
        deployments = dict(self.replica_sets.values())

        def is_own(endpoint: Endpoint) -> bool:
            own = self.deployments.get(endpoint.backend)
            return own is not None and own["uid"] == deployments.get(endpoint.replica_set)

        self.pods.admit(is_own)

    def see_pod(self, obj: dict[str, Any], deleted: bool) -> str | None:
        """Take what a watch or a list showed of a pod of ours, and return the key of its HybridJob, if it has one."""
        key, metadata = key_of(obj), obj["metadata"]
        if not self._newer("Pod", key, metadata, deleted):
            return None
        batch = next((batch for batch, pod in self.program_pods.items() if _is_pod(batch, pod, key)), None)
        labels, namespace = metadata.get("labels") or {}, metadata["namespace"]
        if deleted or BACKEND_LABEL not in labels:
            self.pods.remove(key)
        if deleted:
            self.program_pods.pop(batch or "", None)
        elif BACKEND_LABEL in labels:
            backend = f"{namespace}/{labels[BACKEND_LABEL]}"
            endpoint = _endpoint(obj, backend)
            trouble = pod_troubles.of_pod(obj.get("status", {})) if endpoint is None else None
            self.pods.observe(metadata["uid"], key, endpoint, None if trouble is None else (backend, trouble))
            self._admit()
        elif JOB_LABEL in labels and (name := labels.get("batch.kubernetes.io/job-name")):
            batch = f"{namespace}/{name}"
            going = "deletionTimestamp" in metadata
            limits = obj["spec"]["containers"][0].get("resources", {}).get("limits", {})
            self.program_pods[batch] = {
                "name": metadata["name"],
                "uid": metadata["uid"],
                "deleted": going,
                "memoryLimit": limits.get("memory"),
                **obj.get("status", {}),
            }
        owner = self.batch_jobs.get(batch or "", {}).get("owner")
        return None if owner is None else str(owner)

    def see_batch_job(self, obj: dict[str, Any], deleted: bool) -> str | None:
        """Take what a watch or a list showed of a program's batch Job, and return the key of its HybridJob."""
        key, metadata = key_of(obj), obj["metadata"]
        known = self.batch_jobs.get(key)
        if not self._newer("Job", key, metadata, deleted):
            return None
        if deleted:
            self.batch_jobs.pop(key, None)
            return None if known is None else known["owner"]
        owner = _owner(metadata, "HybridJob")
        if owner is not None:
            self.batch_jobs[key] = {**obj.get("status", {}), "uid": metadata["uid"], "owner": owner}
        return owner


def key_of(obj: dict[str, Any]) -> str:
    """Return ``namespace/name``."""
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _owner(metadata: dict[str, Any], kind: str) -> str | None:
    owners = metadata.get("ownerReferences") or []
    return next((f"{metadata['namespace']}/{owner['name']}" for owner in owners if owner["kind"] == kind), None)


def _controller(metadata: dict[str, Any], kind: str) -> str:
    """Return the uid of the object of this kind that controls another; empty where none does."""
    owners = metadata.get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner["kind"] == kind and owner.get("controller")), "")


def _is_pod(batch: str, pod: dict[str, Any], key: str) -> bool:
    return f"{batch.split('/', 1)[0]}/{pod['name']}" == key


def _slim(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object without the bulk that nobody reads."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in ("managedFields", "annotations")}
    return {**obj, "metadata": metadata}


def _kept(status: dict[str, Any]) -> KeptResult | None:
    kept = (status.get("result") or {}).get("kept")
    return None if not kept or "lost" in kept else KeptResult.model_validate(kept)


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
                url = f"http://{host}:{port['containerPort']}"
                metadata = obj["metadata"]
                return Endpoint(metadata["uid"], key_of(obj), backend, url, _controller(metadata, "ReplicaSet"))
    return None


def _observed(obj: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the status of a job that has ended lacks of the present generation; None where it lacks nothing."""
    generation, status = obj["metadata"].get("generation"), obj["status"]
    if generation in (None, status.get("observedGeneration")):
        return None
    conditions = [Condition.model_validate(each) for each in status.get("conditions") or []]
    return {
        "observedGeneration": generation,
        "conditions": [each.to_dict() for each in still_holding(conditions, generation)],
    }


def _sentence(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}; this operator may be older than the CustomResourceDefinitions"
