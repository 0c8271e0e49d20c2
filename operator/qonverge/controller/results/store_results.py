"""Results of circuits in the installation's stores."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.results.stores import ResultDelayed
from qonverge.execution import results
from qonverge.execution.result_size import Room
from qonverge.storage.job_output import RESULT, OutputFull
from qonverge.storage.objects import StoreFailed
from qonverge.wire.errors import ResultTooLarge

_PIECE_BYTES = 1024**2
_NO_STORE = "the installation has no store for it"


class StoreResults:
    """Results in the store of their job; a ``ResultStore``."""

    def __init__(self, outputs: JobOutputs, clock: Callable[[], float]) -> None:
        """``clock`` gives Unix seconds."""
        self._outputs = outputs
        self._clock = clock

    def room(self, job: HybridJob, backend: str) -> Room:
        """Return what the job's store keeps for it."""
        kept = self._outputs.of(job)
        if kept is None:
            return Room(0, _NO_STORE)
        store = kept.objects.settings
        return Room(store.max_job_bytes, f"the store {store.name} keeps {store.max_job_bytes} for a job")

    async def put(self, job: HybridJob, status: HybridJobStatus, document: bytes, why: str) -> HybridJobStatus:
        """Put a result into the job's store, and return the status that names it.

        Raises:
            ResultTooLarge: the job has no store, or may not keep so much in it.
            ResultDelayed: the store does not take it now.
            KubeError: the API server did not do its part.
        """
        kept = self._outputs.of(job)
        if kept is None:
            raise ResultTooLarge(_NO_STORE)
        await self._outputs.hold(job)
        try:
            await kept.put(RESULT, _pieces(document))
        except OutputFull as error:
            raise ResultTooLarge(str(error)) from None
        except StoreFailed as error:
            raise ResultDelayed(str(error), len(document)) from None
        digest = await asyncio.to_thread(hashlib.sha256, document)
        reference = self._outputs.stored_result(job, len(document), digest.hexdigest())
        return results.stored(job, status, reference, why=why, now=self._clock())


async def _pieces(document: bytes) -> AsyncIterator[bytes]:
    view = memoryview(document)
    for begin in range(0, len(view), _PIECE_BYTES):
        yield bytes(view[begin : begin + _PIECE_BYTES])
