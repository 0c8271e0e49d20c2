"""What the operator asks of the cluster now and then: priority classes and the labels of namespaces."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.backend import OFFERS_LABEL
from qonverge.controller.kube.client import Kube, KubeError

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 15.0
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Priority:
    """A PriorityClass."""

    value: int = 0
    may_preempt: bool = True


@dataclass(slots=True)
class Cluster:
    """The answers, as of the last time that they were needed.

    What the operator may not ask is left unknown: it needs no right beyond single namespaces.
    """

    watched: tuple[str, ...] = ()
    """Namespaces whose labels are asked for one by one; empty: those of all are listed."""
    priorities: dict[str, Priority] = field(default_factory=dict)
    default: Priority = Priority()
    """Of jobs that name no class."""
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """Labels of each namespace."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where something was referred to that is not known: it may be new."""
    forbidden: dict[str, str] = field(default_factory=dict)
    """What the API server said of the kinds that this operator may not ask for."""

    def priority_of(self, job: HybridJob) -> Priority | None:
        """Return the job's priority; None where its class is not known."""
        name = job.spec.priority_class_name
        return self.default if name is None else self.priorities.get(name)

    def missing(self, job: HybridJob) -> str | None:
        """Return what the job waits for that it names and the cluster does not have, as a sentence."""
        if self.priority_of(job) is not None:
            return None
        if "PriorityClass" in self.forbidden:
            return (
                f"waiting for the PriorityClass {job.spec.priority_class_name}: the operator has no right to list "
                "PriorityClasses, so that it cannot know what it is worth; leave out priorityClassName, or let the "
                "administrator give it that right (rbac.priorityClasses of the chart)"
            )
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
        for item in await self._asked("PriorityClass", kube):
            found = Priority(int(item["value"]), item.get("preemptionPolicy") != "Never")
            priorities[item["metadata"]["name"]] = found
            if item.get("globalDefault"):
                default = found
        labels: dict[str, dict[str, str]] = {}
        if labels_count:
            for item in await self._asked("Namespace", kube):
                labels[item["metadata"]["name"]] = item["metadata"].get("labels") or {}
        before = (self.priorities, self.default, self.labels)
        self.priorities, self.default, self.labels = priorities, default, labels
        return before != (priorities, default, labels)

    async def _asked(self, kind: str, kube: Kube) -> list[dict[str, Any]]:
        """Return the objects of a kind; none where the operator may not ask for them, which is said once.

        Raises:
            KubeError: the API server does not answer.
        """
        try:
            if kind == "Namespace" and self.watched:
                one_by_one = [await kube.get(kind, None, name) for name in self.watched]
                found = [each for each in one_by_one if each is not None]
            else:
                found = [each async for each in kube.list(kind, None, metadata_only=kind == "Namespace")]
        except KubeError as error:
            if error.status != _FORBIDDEN:
                raise
            if kind not in self.forbidden:
                logger.warning("the operator goes on without knowing any %s: %s", kind, error)
            self.forbidden[kind] = str(error)
            return []
        if self.forbidden.pop(kind, None) is not None:
            logger.info("the operator may ask for every %s now", kind)
        return found

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
