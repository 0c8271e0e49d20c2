"""Every kind of object that Qonverge defines or uses, said once.

The CustomResourceDefinitions and their reference, the client's paths, watches and caches, and the chart's rights
are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from qonverge.api.backend import QuantumBackend
from qonverge.api.base import GROUP, VERSION
from qonverge.api.conditions import UNSEEN
from qonverge.api.job import HybridJob
from qonverge.api.quota import QuantumQuota

MANAGED_LABELS = {"app.kubernetes.io/managed-by": "qonverge"}
"""On all that the operator makes, so that watches show nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object that the operator uses."""

    kind: str
    group: str = ""
    version: str = "v1"
    plural: str
    namespaced: bool = True
    verbs: tuple[str, ...] = ()
    """What the operator does with all of them, besides what it does with single ones by their names."""
    everywhere: tuple[str, ...] = ("list", "watch")
    """What it does of this wherever it looks; the rest only in namespaces that have backends or programs."""
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What it does with their subresources."""

    @property
    def path(self) -> str:
        """Where the API server has the kind's group and version."""
        return f"apis/{self.group}/{self.version}" if self.group else f"api/{self.version}"

    @property
    def selector(self) -> str:
        """Labels by which watches and lists choose what concerns Qonverge."""
        return ",".join(f"{key}={value}" for key, value in MANAGED_LABELS.items())


class Column(NamedTuple):
    """A column of ``kubectl get``."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0
    """Above 0 it is shown with ``-o wide`` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Kind):
    """A kind that Qonverge defines; ``spec`` and ``status`` are those of its model."""

    group: str = GROUP
    version: str = VERSION
    verbs: tuple[str, ...] = ("list", "watch")
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"status": ("patch",)})
    model: type[BaseModel]
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    initial: Mapping[str, Any]
    """What an object's status says before the operator does."""
    selectable: tuple[str, ...] = ()
    """Fields by which lists may select."""
    scale: Mapping[str, str] | None = None
    """Paths of the scale subresource, where it has one."""
    ended: frozenset[str] = frozenset()
    """Values of ``status.state`` after which nothing happens but its deletion."""
    owns: tuple[str, ...] = ()
    """Kinds of the objects that the operator makes for it, each with an owner reference and ``MANAGED_LABELS``."""
    for_editors: bool = True
    """Whether those who may edit a namespace may change it, or only administrators."""

    @property
    def singular(self) -> str:
        """The name of one in commands."""
        return self.kind.lower()

    @property
    def selector(self) -> str:
        """All of them concern Qonverge."""
        return ""

    def part(self, name: str) -> type[BaseModel]:
        """Return the model of ``spec`` or ``status``."""
        found = self.model.model_fields[name].annotation
        assert isinstance(found, type)
        assert issubclass(found, BaseModel)
        return found


BACKEND = Resource(
    kind="QuantumBackend",
    plural="quantumbackends",
    short_names=("qb",),
    model=QuantumBackend,
    # Made and deleted are larger sizes of others only.
    verbs=("list", "watch", "create", "patch", "delete"),
    owns=("Deployment", "Service", "Secret", "QuantumBackend"),
    columns=(
        Column("Engine", ".status.engine", "Simulation engine, or provider of the device."),
        Column("State", '.status.conditions[?(@.type=="Ready")].reason', "Whether it serves, in a word."),
        Column(
            "Available", '.status.conditions[?(@.type=="Available")].status', "Whether the device elsewhere runs tasks."
        ),
        Column("Ready", ".status.ready", "Pods that serve, of those that should be."),
        Column("Queue", ".status.queueLength", "Tasks that wait.", "integer"),
        Column("Running", ".status.running", "Tasks that run.", "integer"),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', "The same in a sentence.", priority=1),
        Column("Qubits", ".status.capabilities.maxQubits", "Most qubits of a circuit.", "integer", 1),
    ),
    initial={"conditions": UNSEEN},
    scale={
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
)
JOB = Resource(
    kind="HybridJob",
    plural="hybridjobs",
    short_names=("hj",),
    model=HybridJob,
    # Patched are finalizers only.
    verbs=("get", "list", "watch", "patch", "delete"),
    owns=("Job", "Secret", "ConfigMap", "Service", "NetworkPolicy"),
    columns=(
        Column("State", ".status.state", "Where the job is in its life."),
        Column("Backend", ".status.backend", "Backend that runs it."),
        Column("Progress", ".status.progress", "Share done."),
        Column("Metrics", ".status.metricsSummary", "What its program last reported."),
        Column("Reason", ".status.reason", "Why it is in this state."),
        Column("Duration", ".status.duration", "How long its last attempt took."),
        Column("Shots", ".status.usage.shots", "Runs of circuits so far.", "integer"),
        Column("Cost", ".status.usage.cost", "What it cost so far."),
        Column("ETA", ".status.estimatedEndAt", "When it may end, an estimate.", priority=1),
        Column("Attempts", ".status.attempts", "How often it was started.", "integer", 1),
        Column("Message", ".status.message", "Why it is in this state, in a sentence.", "string", 1),
    ),
    initial={"state": "Pending", "conditions": UNSEEN},
    selectable=(".status.state", ".status.backend"),
    ended=frozenset({"Complete", "Failed"}),
)
QUOTA = Resource(
    kind="QuantumQuota",
    plural="quantumquotas",
    short_names=("qq",),
    model=QuantumQuota,
    columns=(
        Column("Shots", ".status.used.shots", "Runs that were used in this period.", "integer"),
        Column("Of", ".spec.limits.shots", "Runs that may be used.", "integer"),
        Column("Seconds", ".status.used.seconds", "Run time that was used in this period.", "number"),
        Column("Cost", ".status.used.cost", "Money that was used in this period."),
        Column("Jobs", ".status.runningJobs", "Jobs that are placed or running.", "integer"),
        Column("Until", ".status.periodEnd", "When the period ends.", "string", 1),
        Column("Weight", ".spec.weight", "Share beside other namespaces.", "integer", 1),
    ),
    initial={"conditions": UNSEEN},
    for_editors=False,
)

RESOURCES: Mapping[str, Resource] = {each.kind: each for each in (BACKEND, JOB, QUOTA)}
"""What Qonverge defines, by kind."""

_WATCHED = ("list", "watch")
KUBERNETES: Mapping[str, Kind] = {
    each.kind: each
    for each in (
        Kind(kind="Deployment", group="apps", plural="deployments", verbs=(*_WATCHED, "create", "patch")),
        Kind(kind="ReplicaSet", group="apps", plural="replicasets", verbs=_WATCHED),
        Kind(kind="Job", group="batch", plural="jobs", verbs=(*_WATCHED, "create", "patch", "delete")),
        Kind(kind="Service", plural="services", verbs=(*_WATCHED, "create", "patch", "delete")),
        # Who may list some may read all.
        Kind(kind="Secret", plural="secrets", verbs=("create", "patch", "delete")),
        Kind(kind="ConfigMap", plural="configmaps", verbs=("get", "create", "patch")),
        Kind(
            kind="NetworkPolicy",
            group="networking.k8s.io",
            plural="networkpolicies",
            verbs=("create", "patch", "delete"),
        ),
        # Patched are annotations of backends' pods only.
        Kind(kind="Pod", plural="pods", verbs=(*_WATCHED, "patch"), subresources={"log": ("get",)}),
        Kind(kind="Event", plural="events", verbs=("list", "create"), everywhere=("create",)),
        Kind(kind="Namespace", plural="namespaces", namespaced=False, verbs=("list",)),
        Kind(
            kind="PriorityClass",
            group="scheduling.k8s.io",
            plural="priorityclasses",
            namespaced=False,
            verbs=("list",),
        ),
        # Those of Qonverge, and not by the operator but before it starts.
        Kind(
            kind="CustomResourceDefinition",
            group="apiextensions.k8s.io",
            plural="customresourcedefinitions",
            namespaced=False,
        ),
        # Those of one namespace only.
        Kind(kind="Lease", group="coordination.k8s.io", plural="leases"),
    )
}
"""What Qonverge uses of Kubernetes, by kind."""

KINDS: Mapping[str, Kind] = {**RESOURCES, **KUBERNETES}


def owners_of(kind: str) -> frozenset[str]:
    """Return the kinds that Qonverge defines whose objects own objects of a kind."""
    return frozenset(each.kind for each in RESOURCES.values() if kind in each.owns)
