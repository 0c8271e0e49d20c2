"""Programs whose ranks call several backends: one account and one budget, on the pods of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob, QuantumBackend
from qonverge.wire.errors import AccessEnded, BudgetExceeded, GrantPending, QuotaExceeded
from tests.unit.controller.quotas.test_metering import _PYTHON, Desk, task


async def spread(desk: Desk, **spec: Any) -> tuple[HybridJob, QuantumBackend]:
    """Start a program on the backends a and b."""
    pricing = desk.backend.spec.pricing
    priced: dict[str, Any] = {} if pricing is None else {"pricing": pricing.model_dump(by_alias=True)}
    other = desk.world.backend("b", **priced)
    status = {"state": "Running", "backend": "lab/a", "backends": ["lab/a", "lab/b"], "attempts": 1}
    job = desk.world.job("j", status=status, program=_PYTHON, **spec)
    desk.metering.open("chem/j", job, [desk.backend, other], 1)
    await desk.metering.push()
    return job, other


async def poll(desk: Desk, other: QuantumBackend) -> None:
    await desk.metering.meet(desk.world.endpoint("a-0"), desk.backend)
    await desk.metering.meet(desk.world.endpoint("b-0"), other)


async def test_what_ranks_use_of_all_backends_counts_together() -> None:
    desk = Desk(pods=1, limits={"shots": 1000, "seconds": 1000.0})
    job, other = await spread(desk)
    desk.use(job, "a-0", task(100))
    desk.use(job, "b-0", task(20))
    await poll(desk, other)
    assert desk.metering.used(job).shots == 120
    assert (await desk.metering.close("chem/j")).shots == 120
    desk.metering.stop("chem/j", desk.metering.used(job))
    await desk.metering.push()
    for pod in ("a-0", "b-0"):
        with pytest.raises(AccessEnded):
            desk.use(job, pod, task(1))


async def test_a_quota_holds_for_all_backends_together() -> None:
    desk = Desk(pods=1, limits={"shots": 1000})
    job, other = await spread(desk)
    done = 0
    for turn in range(200):
        try:
            desk.use(job, ("a-0", "b-0")[turn % 2], task(100))
            done += 100
        except GrantPending:
            await poll(desk, other)
        except QuotaExceeded:
            break
    assert done == 1000
    assert desk.metering.used(job).shots == 1000


async def test_a_budget_holds_for_all_backends_together() -> None:
    desk = Desk(pods=1, pricing={"perShot": "0.01", "currency": "EUR"})
    job, other = await spread(desk, budget={"amount": "5", "currency": "EUR"})
    done = 0
    for turn in range(200):
        try:
            desk.use(job, ("a-0", "b-0")[turn % 2], task(100))
            done += 100
        except GrantPending:
            await poll(desk, other)
        except BudgetExceeded:
            break
    assert done == 500


async def test_an_attempt_that_loses_one_backend_is_closed_on_all() -> None:
    desk = Desk(pods=1)
    job, other = await spread(desk)
    desk.use(job, "b-0", task(1))
    desk.world.state.backends.pop("lab/a")
    desk.metering.reconsider("lab/a")
    await desk.metering.push()
    await desk.metering.meet(desk.world.endpoint("b-0"), other)
    with pytest.raises(AccessEnded):
        desk.use(job, "b-0", task(1))
