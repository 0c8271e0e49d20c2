"""Where the result of a circuit goes on its way into the job: stores are asked in turn, and one keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.execution import result_room, result_size, results
from qonverge.execution.result_size import Room
from qonverge.wire.errors import ResultTooLarge, WireError

# Each takes the memory of several copies while it is written and packed.
_MOST_AT_ONCE = 4


class ResultUnkept(Exception):
    """A result could not be kept anywhere."""

    def __init__(self, cause: WireError) -> None:
        """``cause`` says why, and whether another attempt can help."""
        super().__init__(str(cause))
        self.cause = cause


class ResultDelayed(Exception):
    """A place is to keep a result and does not answer now: the result stays where it is until it does."""

    def __init__(self, why: str, size: int) -> None:
        """``size`` is that of the result, bytes."""
        super().__init__(why)
        self.size = size


class ResultStore(Protocol):
    """Keeps results of jobs.

    The status is the first, then the installation's store, then the pods of the job's backend. Another one is one more
    class and its place in the order, which ``controller/operator.py`` gives.
    """

    def room(self, job: HybridJob, backend: str) -> Room:
        """Return how large a result of a job may be to be kept here, as JSON.

        Args:
            job: the job.
            backend: namespace and name of the backend that is to run it.
        """

    async def put(self, job: HybridJob, status: HybridJobStatus, document: bytes, why: str) -> HybridJobStatus:
        """Keep a result, and return the status that holds it or says where it is.

        Args:
            job: the job.
            status: how the job ended, with the whole result.
            document: the result as JSON.
            why: sentences of the stores before, which did not keep it; for the status's message.

        Raises:
            WireError: this store does not keep it; the message says why, in a clause that follows others, and
                ``retryable`` whether another attempt of the job may find it otherwise.
            ResultDelayed: this store is to keep it, and cannot now.
            KubeError: the API server did not do its part.
        """


class InStatus:
    """Results within their job's status."""

    def room(self, job: HybridJob, backend: str) -> Room:
        """Return what there is beside the program."""
        room = result_room.room_for_result(job)
        return Room(room, f"the job's status has room for {room}")

    async def put(self, job: HybridJob, status: HybridJobStatus, document: bytes, why: str) -> HybridJobStatus:
        """Return the status as it is, if the job has room for the result."""
        size = len(document)
        if status.result is not None and results.is_long(status.result):
            excess = await asyncio.to_thread(result_room.excess, job, status, size)
        else:
            excess = result_room.excess(job, status, size)
        if excess is not None:
            raise ResultTooLarge(excess)
        return status


class ResultStores:
    """All stores, in the order in which they are asked."""

    def __init__(self, stores: Sequence[ResultStore]) -> None:
        """There is at least one."""
        self._stores = stores
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    def refusal(self, job: HybridJob, checked: CheckedCircuit, backend: str) -> str | None:
        """Return why a circuit is not to run on a backend, by namespace and name: no store has room for its result."""
        size = result_size.largest(job, checked)
        if size.bytes <= result_room.MAX_RESULT // 2:
            # As nearly always; what there is room for beside a very large circuit takes longer to find out.
            return None
        return result_size.refusal(size, [store.room(job, backend) for store in self._stores])

    async def fitting(self, job: HybridJob, status: HybridJobStatus) -> HybridJobStatus:
        """Return the status with a result that it has room for, or with the place where the result is.

        Raises:
            ResultUnkept: no store keeps it.
            ResultDelayed: the one that is to keep it cannot now.
            KubeError: the API server did not do its part.
        """
        # What stands in the job already, such as a program's report, has its place.
        if status.result is None or status.result == job.status.result:
            return status
        if not results.is_long(status.result):
            return await self._put(job, status, results.document(status.result))
        async with self._turns:
            return await self._put(job, status, await asyncio.to_thread(results.document, status.result))

    async def _put(self, job: HybridJob, status: HybridJobStatus, document: bytes) -> HybridJobStatus:
        refusals: list[WireError] = []
        for store in self._stores:
            try:
                return await store.put(job, status, document, _joined(refusals))
            except WireError as refusal:
                refusals.append(refusal)
        kind = next((type(refusal) for refusal in refusals if refusal.retryable), ResultTooLarge)
        raise ResultUnkept(kind(f"{_joined(refusals)}: ask for fewer shots or measure fewer qubits"))


def _joined(refusals: Sequence[WireError]) -> str:
    return "; ".join(refusal.message for refusal in refusals)
