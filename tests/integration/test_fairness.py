"""One namespace with much beside one with little, against a real API server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from bench.driver import Driver, at_once, connected
from bench.fairness import large, small
from qonverge.api.backend import OFFERS_LABEL
from tests.integration.conftest import TWO_WORKERS, Lab, backend, eventually

# Enough for some seconds of work, most of which is checking.
MANY = 150
MEDIUM_BYTES = 2_500


@pytest.fixture
def crowded(lab: Lab) -> Iterator[tuple[str, str]]:
    """Two namespaces beside the one whose backend serves both."""
    names = (f"crowd-{uuid.uuid4().hex[:5]}", f"alone-{uuid.uuid4().hex[:5]}")
    for name in names:
        lab.kubectl("create", "namespace", name)
    lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}=true")
    lab.apply(backend("aer", access={"namespaces": {"from": "All"}}, **TWO_WORKERS))
    lab.start_operator()
    lab.ready()
    lab.serve("aer")
    eventually(lambda: lab.get("qb", "aer")["status"].get("capabilities"), "what aer can do")
    try:
        yield names
    finally:
        lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}-")
        for name in names:
            lab.api.delete_all("hj", name)
            lab.kubectl("delete", "namespace", name, "--wait=false")


async def beside(driver: Driver, crowd: str, alone: str, circuits: dict[str, str]) -> int:
    """Create the crowd's jobs, then one of the other namespace, and return how many of the crowd's ended before it."""
    ended = {name: driver.ended(name) for name in circuits}
    await at_once(circuits, 16, lambda name: driver.create(crowd, name, circuits[name]))
    before = sum(future.done() for future in ended.values())
    name = f"after-{len(circuits)}"
    mine = driver.ended(name)
    await driver.create(alone, name, small(-len(circuits)))
    await mine
    count = sum(future.done() for future in ended.values())
    await asyncio.gather(*ended.values())
    return count - before


async def test_a_job_waits_for_few_of_another_namespace_however_many_or_large(
    lab: Lab, crowded: tuple[str, str]
) -> None:
    crowd, alone = crowded
    many = {f"many-{number}": large(MEDIUM_BYTES, number) for number in range(MANY)}
    few = {f"large-{number}": large(120_000, number) for number in range(2)}
    async with connected(lab.plane.kubeconfig) as driver, driver.watching(crowd), driver.watching(alone):
        await beside(driver, crowd, alone, {"warm": small(0)})
        assert await beside(driver, crowd, alone, many) < MANY / 3
        assert await beside(driver, crowd, alone, few) == 0
