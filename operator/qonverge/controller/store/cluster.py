"""What the operator asks of the cluster now and then: priority classes and the labels of namespaces."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.backend import OFFERS_LABEL
from qonverge.controller.kube.client import Kube

REFRESH_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Priority:
    """A PriorityClass."""

    value: int = 0
    may_preempt: bool = True


@dataclass(slots=True)
class Cluster:
    """The answers, as of the last time that they were needed."""

    priorities: dict[str, Priority] = field(default_factory=dict)
    default: Priority = Priority()
    """Of jobs that name no class."""
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """Labels of each namespace."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where something was referred to that is not known: it may be new."""

    def priority_of(self, job: HybridJob) -> Priority | None:
        """Return the job's priority; None where its class is not known."""
        name = job.spec.priority_class_name
        return self.default if name is None else self.priorities.get(name)

    def missing(self, job: HybridJob) -> str | None:
        """Return what the job waits for that it names and the cluster does not have, as a sentence."""
        if self.priority_of(job) is not None:
            return None
        there = ", ".join(sorted(name for name in self.priorities if not name.startswith("system-")))
        return (
            f"waiting for the PriorityClass {job.spec.priority_class_name}: "
            f"{f'there are {there}' if there else 'there is none for jobs'}"
        )

    async def refresh(self, kube: Kube, *, labels_count: bool) -> bool:
        """Ask again and return whether anything changed.

        Args:
            kube: the API server.
            labels_count: whether labels of namespaces decide anything; if not, they are not asked for.

        Raises:
            KubeError: the API server does not answer.
        """
        priorities, default = {}, Priority()
        async for item in kube.list("PriorityClass", None):
            found = Priority(int(item["value"]), item.get("preemptionPolicy") != "Never")
            priorities[item["metadata"]["name"]] = found
            if item.get("globalDefault"):
                default = found
        labels: dict[str, dict[str, str]] = {}
        if labels_count:
            async for item in kube.list("Namespace", None, metadata_only=True):
                labels[item["metadata"]["name"]] = item["metadata"].get("labels") or {}
        before = (self.priorities, self.default, self.labels)
        self.priorities, self.default, self.labels = priorities, default, labels
        return before != (priorities, default, labels)

    def may_offer(self, namespace: str) -> bool:
        """Return whether backends of the namespace may serve jobs of others.

        Whoever can edit a namespace can run pods there that pose as its backends, and would get the circuits of
        others. So it is no right of theirs: only who may change the Namespace itself can set the label.
        """
        return self.labels.get(namespace, {}).get(OFFERS_LABEL) == "true"

    def withdrawn(self, backend: QuantumBackend, namespace: str) -> bool:
        """Return whether the backend surely does not admit jobs of the namespace; unknown labels say nothing."""
        own = backend.metadata.namespace
        if namespace == own:
            return False
        if not backend.is_offered:
            return True
        selects = backend.spec.access.namespaces.selector is not None
        if own not in self.labels or (selects and namespace not in self.labels):
            return False
        return not self.may_offer(own) or (selects and namespace not in self.admitted(backend))

    def admitted(self, backend: QuantumBackend) -> frozenset[str]:
        """Return the further namespaces that may use the backend, by its selector."""
        selector = backend.spec.access.namespaces.selector
        if selector is None or not self.may_offer(backend.metadata.namespace):
            return frozenset()
        return frozenset(name for name, labels in self.labels.items() if selector.matches(labels))
