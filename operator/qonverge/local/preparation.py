"""What a program needs before it starts without a cluster: an attempt that cannot have it has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from qonverge.client.program.fetch import NotFetched
from qonverge.client.program.install import NotInstalled
from qonverge.execution import retries, transitions
from qonverge.execution.retries import AttemptEnd
from qonverge.local.run import Run

T = TypeVar("T")


async def prepared(run: Run, prepare: Callable[[], T]) -> T | None:
    """Return what a program needs, tried again as the job's policy says; None where it failed of that.

    Args:
        run: of the job.
        prepare: gets it, in a thread; raises NotFetched or NotInstalled.
    """
    while True:
        attempt = (run.job.status.attempts or 0) + 1
        try:
            return await asyncio.to_thread(prepare)
        except (NotFetched, NotInstalled) as error:
            reason, again = "RequirementsNotInstalled", False
            if isinstance(error, NotFetched):
                reason, again = "ProgramNotFetched", error.again
            end = AttemptEnd(
                attempt=attempt,
                reason=reason,
                message=str(error),
                ended_at=transitions.timestamp(run.now),
                backend=run.job.status.backend,
            )
            # As in a cluster: where another try would find all as it is, a rule has to ask for it.
            verdict = retries.judge(run.job, end, None if again else "Fail")
            if not verdict.again:
                run.fail(end.reason, verdict.message, attempts=attempt, **verdict.fields)
                return None
            await run.again(attempt, end.reason, verdict)
