"""What the operator knows: the objects as the watches last showed them, and the work in flight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qonverge.api import HybridJob, QuantumBackend, QuantumQuota
from qonverge.api.conditions import seconds
from qonverge.api.noise import Noise
from qonverge.api.registry import RESOURCES, Resource, owners_of
from qonverge.controller.objects import pod_troubles
from qonverge.controller.objects.object_names import (
    BACKEND_LABEL,
    INDEXES_ANNOTATION,
    JOB_LABEL,
    PORT_NAME,
    PROGRAM_BACKENDS_ANNOTATION,
    QUEUE_LABEL,
    backend_selector,
)
from qonverge.controller.objects.pod_order import Shown
from qonverge.controller.objects.ranks import rank_of
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.pods import BackendPod, BackendPods, Endpoint
from qonverge.controller.store.resources import Change, Finished, Known, ObjectKey, Unread, key_of, read
from qonverge.controller.store.site_links import SiteLinks
from qonverge.devices.noise import Noise as DeviceNoise
from qonverge.forecast.task_power import TaskPowers
from qonverge.scaling import Decision


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What is known of a backend's noise."""

    spec: Noise | None
    """Where it comes from; None of a device elsewhere, whose pod tells it."""
    noise: DeviceNoise | None
    """The figures, as they were last read; None where they never were."""
    problem: tuple[str, str] | None
    """(reason, message) when they cannot be read."""
    looked: float
    """When, Unix seconds."""
    told: str = ""
    """Under which digest the pod of a device elsewhere told it."""


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """A ReplicaSet of a backend."""

    uid: str
    deployment: str
    """The uid of the Deployment that controls it."""
    replicas: int = 1
    """Pods that it should have."""
    observed: bool = True
    """Whether its controller has acted on that."""


@dataclass(slots=True)
class State:
    """Caches by key ``namespace/name``."""

    versions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Newest resource version that was seen of each object, by kind and key."""
    objects: dict[str, dict[str, Any]] = field(default_factory=lambda: {kind: {} for kind in RESOURCES})
    """Objects that have not ended of each kind that Qonverge defines, by kind and key."""
    finished: dict[str, Finished] = field(default_factory=dict)
    keeping: dict[str, Finished] = field(default_factory=dict)
    """Those of them, few of many, whose result a pod keeps: each poll asks for them, for each pod."""
    unread: dict[str, Unread] = field(default_factory=dict)
    """Objects that this version cannot read, by kind and key."""
    owners: dict[str, dict[str, ObjectKey]] = field(default_factory=dict)
    """What Qonverge defines and owns other objects, by the kind and key of these."""
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Status, uid, generation and wanted pods of backends' Deployments, by key."""
    replica_sets: dict[str, ReplicaSet] = field(default_factory=dict)
    """ReplicaSets of backends by key."""
    pods: BackendPods = field(default_factory=BackendPods)
    links: SiteLinks = field(default_factory=SiteLinks)
    """Between sites."""
    calibrations: dict[str, Calibrated] = field(default_factory=dict)
    """What is known of backends' noise, by the backend's key."""
    batch_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Status of programs' batch Jobs by key, with the name of their HybridJob."""
    program_pods: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Pods of programs by their own keys, by the key of their batch Job."""
    flights: dict[str, Flight] = field(default_factory=dict)
    replicas: dict[str, int] = field(default_factory=dict)
    """Pods that backends which scale automatically should have, by the backend's key; of others there is no entry."""
    scaled: dict[str, Decision] = field(default_factory=dict)
    """Why, as it was when their number or what bounds it last changed."""
    start_seconds: dict[str, float] = field(default_factory=dict)
    """How long pods of backends take from being made until they serve, where that was seen."""
    powers: TaskPowers = field(default_factory=TaskPowers)
    """What tasks of backends draw, as it was measured."""

    @property
    def jobs(self) -> dict[str, HybridJob]:
        """Jobs that have not ended."""
        return self.objects["HybridJob"]

    @property
    def backends(self) -> dict[str, QuantumBackend]:
        """All backends."""
        return self.objects["QuantumBackend"]

    @property
    def quotas(self) -> dict[str, QuantumQuota]:
        """All quotas."""
        return self.objects["QuantumQuota"]

    def has_backend(self, key: str) -> bool:
        """Return whether there is such a backend, also one that this version cannot read."""
        return key in self.backends or f"QuantumBackend {key}" in self.unread

    def pods_of(self, key: str) -> list[BackendPod]:
        """Return the pods of a backend that may be given new work; none of one that is not known."""
        backend = self.backends.get(key)
        return [] if backend is None else self.pods.accepting(backend_selector(backend))

    def reachable_of(self, key: str) -> list[BackendPod]:
        """Return the pods of a backend that may be asked for what they have, also those that drain."""
        backend = self.backends.get(key)
        return [] if backend is None else self.pods.reachable(backend_selector(backend))

    def replicas_of(self, backend: QuantumBackend) -> int:
        """Return how many pods a backend should have.

        Of one that scales automatically it is what was last decided, and before that what its Deployment has, as after
        a restart. A new one begins with a pod: that shows what the backend can do, and that pods of it start. A larger
        size of another begins without.
        """
        spec, metadata = backend.spec, backend.metadata
        if not spec.automatic or spec.scaling is None:
            return spec.replicas
        decided = self.replicas.get(f"{metadata.namespace}/{metadata.name}")
        if decided is not None:
            return decided
        deployment = self.deployments.get(backend_selector(backend))
        if deployment is not None:
            return int(deployment["replicas"])
        return max(0 if backend.size_of else 1, spec.scaling.min_replicas or 0)

    def known(self, kind: str, key: str) -> Known | None:
        """Return what is known of an object of a kind that Qonverge defines."""
        found = self.objects[kind].get(key) or self.unread.get(f"{kind} {key}")
        return self.finished.get(key) if found is None and RESOURCES[kind].ended else found

    def observe(self, kind: str, obj: dict[str, Any], deleted: bool) -> Change | None:
        """Take what a watch, a list or a write showed of an object.

        Args:
            kind: its kind.
            obj: the object; of one that is gone, its metadata at least.
            deleted: whether it is gone.

        Returns:
            What changed by it; None where it is older than what is known.
        """
        key, metadata = key_of(obj), obj["metadata"]
        if not self._newer(kind, key, metadata, deleted):
            return None
        if kind in RESOURCES:
            before = self.known(kind, key)
            self._take(RESOURCES[kind], key, obj, deleted)
            return Change(kind, key, obj, before, self.known(kind, key))
        owner, serving = self._owner_of(kind, key, metadata, deleted), self.pods.uids()
        trouble = self.pods.trouble(key) if kind == "Pod" else None
        match kind:
            case "Deployment":
                self._take_deployment(key, obj, deleted)
            case "ReplicaSet":
                self._take_replica_set(key, obj, deleted)
            case "Job":
                self._take_batch_job(key, obj, deleted)
            case "Pod":
                owner = self._take_pod(key, obj, deleted)
        after = self.pods.trouble(key) if kind == "Pod" else None
        return Change(kind, key, obj, trouble, after, owner, serving=serving != self.pods.uids())

    def _take(self, resource: Resource, key: str, obj: dict[str, Any], deleted: bool) -> None:
        self.objects[resource.kind].pop(key, None)
        self.unread.pop(f"{resource.kind} {key}", None)
        if resource.ended:
            self.finished.pop(key, None)
            self.keeping.pop(key, None)
        if deleted:
            return
        match read(resource, obj):
            case Finished() as finished:
                self.finished[key] = finished
                if finished.kept is not None:
                    self.keeping[key] = finished
            case Unread() as unread:
                self.unread[f"{resource.kind} {key}"] = unread
            case found:
                self.objects[resource.kind][key] = found

    def _owner_of(self, kind: str, key: str, metadata: dict[str, Any], deleted: bool) -> ObjectKey | None:
        """Return the object that owns another; of one that is gone only its name may be told."""
        known = self.owners.setdefault(kind, {})
        if deleted:
            return known.pop(key, None)
        owner = next((each for each in _owners(metadata) if each.kind in owners_of(kind)), None)
        if owner is not None:
            known[key] = owner
        return owner

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

    def _take_deployment(self, key: str, obj: dict[str, Any], deleted: bool) -> None:
        metadata = obj["metadata"]
        if deleted:
            self.deployments.pop(key, None)
        elif _owner(metadata, "QuantumBackend") is not None:
            self.deployments[key] = {
                "uid": metadata["uid"],
                "generation": metadata.get("generation"),
                "replicas": obj.get("spec", {}).get("replicas", 1),
                "status": obj.get("status", {}),
            }
            self._admit()

    def _take_replica_set(self, key: str, obj: dict[str, Any], deleted: bool) -> None:
        metadata = obj["metadata"]
        self.replica_sets.pop(key, None)
        if not deleted:
            status, spec = obj.get("status") or {}, obj.get("spec") or {}
            self.replica_sets[key] = ReplicaSet(
                metadata["uid"],
                _controller(metadata, "Deployment"),
                replicas=spec.get("replicas", 1),
                observed=status.get("observedGeneration", 0) >= metadata.get("generation", 0),
            )
            self._admit()

    def _admit(self) -> None:
        """Let the pods serve that backends' own Deployments control."""
        deployments = {each.uid: each.deployment for each in self.replica_sets.values()}

        def is_own(endpoint: Endpoint) -> bool:
            own = self.deployments.get(endpoint.backend)
            return own is not None and own["uid"] == deployments.get(endpoint.replica_set)

        self.pods.admit(is_own)

    def _take_pod(self, key: str, obj: dict[str, Any], deleted: bool) -> ObjectKey | None:
        """Take a pod, and return its HybridJob, if it has one."""
        metadata = obj["metadata"]
        batch = next((batch for batch, pods in self.program_pods.items() if key in pods), None)
        labels, namespace = metadata.get("labels") or {}, metadata["namespace"]
        if deleted or BACKEND_LABEL not in labels:
            self.pods.remove(key)
        if deleted:
            # How it ended is needed until its batch Job is gone too.
            if batch is not None and batch not in self.batch_jobs:
                others = self.program_pods[batch]
                del others[key]
                if not others:
                    del self.program_pods[batch]
        elif BACKEND_LABEL in labels:
            backend = f"{namespace}/{labels[BACKEND_LABEL]}"
            endpoint = _endpoint(obj, backend)
            trouble = pod_troubles.of_pod(pod_troubles.with_nodes_asked(obj)) if endpoint is None else None
            self.pods.observe(
                metadata["uid"],
                key,
                endpoint,
                None if trouble is None else (backend, trouble),
                backend=backend,
                created=seconds(stamp) if (stamp := metadata.get("creationTimestamp")) else 0.0,
                ready_at=_ready_since(obj),
                shown=Shown.of(obj, _controller(metadata, "ReplicaSet")),
            )
            self._admit()
        elif JOB_LABEL in labels and (name := labels.get("batch.kubernetes.io/job-name")):
            batch = f"{namespace}/{name}"
            limits = obj["spec"]["containers"][0].get("resources", {}).get("limits", {})
            self.program_pods.setdefault(batch, {})[key] = {
                "name": metadata["name"],
                "uid": metadata["uid"],
                "rank": rank_of(metadata),
                "endsBy": metadata.get("deletionTimestamp"),
                "memoryLimit": limits.get("memory"),
                "node": obj["spec"].get("nodeName"),
                **pod_troubles.with_nodes_asked(obj),
            }
        owner = self.batch_jobs.get(batch or "", {}).get("owner")
        return None if owner is None else ObjectKey("HybridJob", str(owner))

    def _take_batch_job(self, key: str, obj: dict[str, Any], deleted: bool) -> None:
        metadata = obj["metadata"]
        if deleted:
            self.batch_jobs.pop(key, None)
            self.program_pods.pop(key, None)
        elif (owner := _owner(metadata, "HybridJob")) is not None:
            self.batch_jobs[key] = {
                **obj.get("status", {}),
                "uid": metadata["uid"],
                "owner": owner,
                "created": metadata.get("creationTimestamp"),
                "suspended": bool(obj["spec"].get("suspend")),
                "queue": (metadata.get("labels") or {}).get(QUEUE_LABEL, ""),
                "backends": (metadata.get("annotations") or {}).get(PROGRAM_BACKENDS_ANNOTATION, "").split(),
                "indexes": (metadata.get("annotations") or {}).get(INDEXES_ANNOTATION, ""),
            }


def _owners(metadata: dict[str, Any]) -> list[ObjectKey]:
    owners, namespace = metadata.get("ownerReferences") or [], metadata["namespace"]
    return [ObjectKey(owner["kind"], f"{namespace}/{owner['name']}") for owner in owners]


def _owner(metadata: dict[str, Any], kind: str) -> str | None:
    return next((owner.key for owner in _owners(metadata) if owner.kind == kind), None)


def _controller(metadata: dict[str, Any], kind: str) -> str:
    """Return the uid of the object of this kind that controls another; empty where none does."""
    owners = metadata.get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner["kind"] == kind and owner.get("controller")), "")


def _ready_since(obj: dict[str, Any]) -> float | None:
    """Return since when a pod is ready, Unix seconds; None where it is not, or that is not told."""
    for condition in obj.get("status", {}).get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] == "True" and condition.get("lastTransitionTime"):
            return seconds(condition["lastTransitionTime"])
    return None


def _endpoint(obj: dict[str, Any], backend: str) -> Endpoint | None:
    """Return where the pod serves, or None while it does not."""
    status, shown = obj.get("status", {}), Shown.of(obj, "")
    # The server of one that somebody deleted says that it is not ready, and has its tasks still.
    serves = shown.ready or (shown.terminating and shown.process)
    if not serves or not status.get("podIP"):
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
