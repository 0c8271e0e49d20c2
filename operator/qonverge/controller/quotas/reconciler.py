"""QuantumQuotas: what is written into their status, and what watches tell of used up work."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qonverge.accounting.conversion import amounts_of
from qonverge.accounting.ledger import Ledger
from qonverge.api import HybridJob, QuantumQuota
from qonverge.api.usage import Usage
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.store.resources import Change, Finished
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler, Reconciler, Watch
from qonverge.execution.transitions import seconds
from qonverge.programs.kinds import kind_of

# Statuses follow the ledger this much later, so that many jobs are one write.
_LATER_SECONDS = 1.0


class Quotas:
    """The reconciler of QuantumQuotas."""

    def __init__(
        self, *, state: State, statuses: StatusWriter, ledger: Ledger, queue: WorkQueue, clock: Callable[[], float]
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._statuses = statuses
        self._ledger = ledger
        self._queue = queue
        self._clock = clock

    def declared(self) -> Reconciler:
        """Return what this looks after, and what it watches for it."""
        handlers = (
            Handler("QuantumQuota", self._observe, own_writes=True),
            Handler("HybridJob", self._observe_job),
        )
        return Reconciler("QuantumQuota", self.reconcile, (Watch("QuantumQuota", _specified),), handlers)

    def _observe(self, change: Change) -> None:
        """Take what was seen of a quota."""
        if isinstance(change.after, QuantumQuota):
            self._ledger.see(change.after)
        else:
            self._ledger.unsee(*change.key.split("/", 1))

    def _observe_job(self, change: Change) -> None:
        """Take what was seen of a job: one that has ended is counted."""
        namespace = change.key.split("/", 1)[0]
        match change.before, change.after:
            case Finished(uid=uid), None:
                self._ledger.forget(uid, namespace)
            case HybridJob() as job, None:
                self._ledger.release(job.metadata.uid, namespace)
            case _, Finished(uid=uid) if ended := change.obj["status"].get("completedAt"):
                use = amounts_of(Usage.model_validate(change.obj["status"].get("usage") or {}))
                self._ledger.settle(uid, namespace, use, seconds(ended))
                self.changed(namespace)
            case _, HybridJob():
                self.observe_placed(change.key)

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
        await self._statuses.write(quota, status)


def _specified(change: Change) -> Iterable[str]:
    """Return the quota that is new or another than before: what follows from jobs comes later, together."""
    before, after = change.before, change.after
    if not isinstance(after, QuantumQuota) or (isinstance(before, QuantumQuota) and before.spec == after.spec):
        return ()
    return (change.key,)
