"""What the points of a program's sweep left in their job's store, as one result: put together a piece at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job_status import Result
from qonverge.api.sweep import SweepPoint
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.results.stores import ResultDelayed
from qonverge.execution import transitions
from qonverge.storage.job_output import FILES, POINTS, RESULT, JobOutput, OutputFull, point_path
from qonverge.storage.objects import NoObject, StoreFailed

# A value is stored as the result of a program is: in an object of its own.
_BEFORE_VALUE, _AFTER_VALUE = b'{"value":', b"}"


class PointResults:
    """Puts results together."""

    def __init__(self, outputs: JobOutputs) -> None:
        """``outputs`` are what jobs keep."""
        self._outputs = outputs

    async def gathered(self, job: HybridJob, status: HybridJobStatus) -> HybridJobStatus:
        """Return the last status of a sweep, with its files and with one result wherever its values are.

        Raises:
            ResultDelayed: the store does not answer now.
        """
        kept = self._outputs.of(job)
        if kept is None:
            return status
        points = [] if status.result is None else status.result.points or []
        try:
            if files := await kept.sizes(FILES):
                told = self._outputs.stored_files(job, len(files), sum(files.values()))
                status = status.model_copy(update={"files": told})
            if not any(point.stored for point in points):
                return status
            stored = self._outputs.stored_result(job, *await whole(kept, points))
            await kept.delete_all(POINTS)
        except OutputFull as error:
            generation, now = job.metadata.generation, transitions.seconds(status.completed_at or "")
            message = f"{error}; its points are there one by one, and status.result.points names them"
            return transitions.move(
                status, "Failed", reason="ResultTooLarge", message=message, now=now, generation=generation
            )
        except StoreFailed as error:
            raise ResultDelayed(str(error), 0) from None
        return status.model_copy(update={"result": Result(stored=stored)})


async def whole(kept: JobOutput, points: Sequence[SweepPoint]) -> tuple[int, str]:
    """Write the result of a sweep into its job's store, and return its size in bytes and its SHA-256, in hex.

    Raises:
        OutputFull: with it the job would keep too much.
        StoreFailed: the store did not do its part.
    """
    digest = hashlib.sha256()

    async def counted() -> AsyncIterator[bytes]:
        async for piece in _document(kept, points):
            digest.update(piece)
            yield piece

    size = await kept.put(RESULT, counted())
    return size, digest.hexdigest()


async def _document(kept: JobOutput, points: Sequence[SweepPoint]) -> AsyncIterator[bytes]:
    yield b'{"points":['
    for number, point in enumerate(points):
        told = json.dumps(point.model_copy(update={"stored": None}).to_dict(), ensure_ascii=False).encode()
        yield b"," * (number > 0) + told[:-1]
        if point.stored:
            yield b',"value":'
            async for piece in _value(kept, point.index or 0):
                yield piece
        yield b"}"
    yield b"]}"


async def _value(kept: JobOutput, index: int) -> AsyncIterator[bytes]:
    """Yield what stands in a stored document between its braces."""
    try:
        content = await kept.get(point_path(index))
    except NoObject:
        yield b"null"
        return
    left, skipped = content.size - len(_AFTER_VALUE), len(_BEFORE_VALUE)
    async for given in content.pieces:
        piece = given[: max(0, left)]
        left -= len(given)
        own, skipped = piece[skipped:], max(0, skipped - len(piece))
        if own:
            yield own
