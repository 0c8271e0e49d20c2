"""Circuits on embedded engines."""

from __future__ import annotations

import asyncio
import secrets

from qonverge.accounting.conversion import prices_of, usage_of
from qonverge.amounts import Amounts, TaskLimits
from qonverge.execution.placement import declared
from qonverge.local.kinds.kind import LocalKind, PlacedJob
from qonverge.programs import circuit as circuits
from qonverge.wire.errors import WireError


class LocalCircuits:
    """Circuits are submitted as tasks, until one ends well or none may be tried any more."""

    async def run(self, placed: PlacedJob) -> None:
        """Run the circuit."""
        (place,) = placed.backends
        run, engine, checked = placed.run, place.engine, placed.checked
        assert checked is not None
        job, limit = run.job, run.job.spec.retry_policy.max_attempts
        lost, used = WireError(""), Amounts()
        for attempt in range(1, limit + 1):
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
            if not result.error.retryable:
                run.fail(circuits.failure_reason(result.error), result.error.message, usage=usage)
                return
            lost = result.error
        run.fail(lost.code, f"after {limit} attempts: {lost.message}", usage=usage_of(used))


KIND: LocalKind = LocalCircuits()
