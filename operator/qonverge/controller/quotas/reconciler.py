"""QuantumQuotas: what is written into their status, and what watches tell of used up work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qonverge.accounting.conversion import amounts_of
from qonverge.accounting.ledger import Ledger
from qonverge.api.job import Usage
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.store.state import State, key_of
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.execution.transitions import seconds
from qonverge.programs.kinds import kind_of

# Statuses follow the ledger this much later, so that many jobs are one write.
_LATER_SECONDS = 1.0


class Quotas:
    """The reconciler of QuantumQuotas."""

    def __init__(
        self, *, state: State, kube: Kube, ledger: Ledger, queue: WorkQueue, clock: Callable[[], float]
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._kube = kube
        self._ledger = ledger
        self._queue = queue
        self._clock = clock

    def observe(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch, a list or a write showed of a quota."""
        key = key_of(obj)
        before = self._state.quotas.get(key)
        self._state.see_quota(obj, deleted)
        after = self._state.quotas.get(key)
        if after is None:
            self._ledger.unsee(*key.split("/", 1))
        elif after is not before:
            self._ledger.see(after)
            if before is None or before.spec != after.spec:
                self._queue.add(f"QuantumQuota {key}")

    def observe_job(self, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch, a list or a write is about to show of a job: one that has ended is counted."""
        metadata, status = obj["metadata"], obj.get("status") or {}
        namespace = metadata["namespace"]
        if deleted:
            key = key_of(obj)
            if (finished := self._state.finished.get(key)) is not None:
                self._ledger.forget(finished.uid, namespace)
            elif (job := self._state.jobs.get(key)) is not None:
                self._ledger.release(job.metadata.uid, namespace)
        elif status.get("state") in ("Complete", "Failed") and status.get("completedAt"):
            self._ledger.settle(
                metadata["uid"],
                namespace,
                amounts_of(Usage.model_validate(status.get("usage") or {})),
                seconds(status["completedAt"]),
            )
            self.changed(namespace)

    def observe_placed(self, key: str) -> None:
        """Set aside what a job may use that another operator placed, until this one works on it."""
        job = self._state.jobs.get(key)
        if job is None or key in self._state.flights:
            return
        namespace, uid = job.metadata.namespace, job.metadata.uid
        if job.status.state in ("Placed", "Running"):
            self._ledger.reserve(uid, namespace, kind_of(job).promised(job))
            self.changed(namespace)
        else:
            self._ledger.release(uid, namespace)

    def changed(self, namespace: str) -> None:
        """Write the statuses of the namespace's quotas soon."""
        for key in self._state.quotas:
            if key.startswith(f"{namespace}/"):
                self._queue.add_at(f"QuantumQuota {key}", self._clock() + _LATER_SECONDS)

    async def reconcile(self, key: str) -> None:
        """Write the quota's status where it changed, and again when its period ends."""
        quota, now = self._state.quotas.get(key), self._clock()
        if quota is None:
            return
        status, before = self._ledger.status(quota, now), quota.status
        if status.period_end is not None:
            self._queue.add_at(f"QuantumQuota {key}", seconds(status.period_end))
        same = status.model_copy(update={"counted": before.counted, "counted_until": before.counted_until})
        if same == before:
            return
        metadata = quota.metadata
        try:
            obj = await self._kube.patch_status(
                "QuantumQuota", metadata.namespace, metadata.name, status.to_dict(), metadata.resource_version
            )
        except KubeError as error:
            if error.status == 404:
                return
            raise
        self.observe(obj, deleted=False)
