"""Circuits on embedded engines."""

from __future__ import annotations

import asyncio
import itertools
import secrets

from qonverge.accounting.conversion import prices_of, usage_of
from qonverge.amounts import Amounts, TaskLimits
from qonverge.execution import retries, transitions
from qonverge.execution.placement import declared
from qonverge.execution.retries import AttemptEnd
from qonverge.local.kinds.kind import LocalKind, PlacedJob
from qonverge.programs import circuit as circuits


class LocalCircuits:
    """Circuits are submitted as tasks, until one ends well or none may be tried any more."""

    async def run(self, placed: PlacedJob) -> None:
        """Run the circuit."""
        (place,) = placed.backends
        run, engine, checked = placed.run, place.engine, placed.checked
        assert checked is not None
        job, used = run.job, Amounts()
        for attempt in itertools.count(1):
            run.start(attempt)
            # Engines give the result of an identity that they know again: no run may have that of another.
            identity = f"{job.metadata.namespace}-{job.metadata.name}-{attempt}-{secrets.token_hex(8)}"
            engine.submit(circuits.task(job, checked, identity))
            try:
                result = await engine.wait(identity, float("inf"))
            except asyncio.CancelledError:
                await engine.cancel(identity)
                raise
            prices, work = prices_of(place.backend.spec.pricing), circuits.work(job, checked)
            watts = declared(place.backend).task_watts
            used += circuits.used(prices, work, result, TaskLimits()).at_power(watts)
            usage = usage_of(used)
            if result.error is None:
                placed.placing.observe(place.key, job, checked, result, run.now)
                outcome = circuits.outcome(job, result)
                run.complete(result=outcome, provenance=circuits.provenance(placed.program, result), usage=usage)
                return
            error, status = result.error, run.job.status
            end = AttemptEnd(
                attempt=attempt,
                reason=error.code,
                message=error.message,
                started_at=status.started_at,
                ended_at=transitions.timestamp(run.now),
                backend=status.backend,
            )
            verdict = retries.judge(run.job, end, retries.default_of_circuit(error))
            if not verdict.again:
                run.fail(circuits.failure_reason(error), verdict.message, usage=usage, **verdict.fields)
                return
            await run.again(attempt, circuits.failure_reason(error), verdict)


KIND: LocalKind = LocalCircuits()
