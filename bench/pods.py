"""From apply to Complete of a circuit on a cloud's device, with everything in pods: ``python -m bench.pods``.

The cluster is this machine's own (``python -m e2e.cluster up``, which is done first), the cloud is dev-cloud in a pod:
Garnet of Amazon Braket, which has no queue and takes no time. A figure is from the request that creates a HybridJob to
the event that shows it complete.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass

from bench.driver import connected
from e2e.cluster.access import ROOT, ClusterAccess
from e2e.cluster.cluster import Cluster
from e2e.dev_cloud import CloudPod
from e2e.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds."""

    jobs: int
    median: float
    worst: float
    each: list[float]
    """In the order of the jobs."""


async def _measure(workspace: Workspace, jobs: int, spare: int) -> Figures:
    spans = []
    async with connected(workspace.cluster.kubeconfig) as driver, driver.watching(workspace.namespace):
        for number in range(spare + jobs):
            name = f"bell-{number}"
            ended, began = driver.ended(name), time.perf_counter()
            await driver.create(workspace.namespace, name)
            spans.append(await asyncio.wait_for(ended, 120) - began)
    found = spans[spare:]
    return Figures(jobs, statistics.median(found), max(found), [round(each, 3) for each in found])


def run(jobs: int = 20, spare: int = 3) -> Figures:
    """Measure so many jobs one after the other, after some that do not count, which load what is loaded late."""
    subprocess.run([sys.executable, "-m", "e2e.cluster", "up"], check=True, cwd=ROOT)
    own = Cluster()
    access = ClusterAccess(own.kubeconfig, own.images.project(ROOT), own=own)
    workspace = Workspace(access, f"bench-{uuid.uuid4().hex[:5]}")
    workspace.create()
    try:
        cloud = CloudPod(workspace)
        cloud.backend("garnet")
        found = asyncio.run(_measure(workspace, jobs, spare))
        if (ran := len(cloud.tasks())) != spare + jobs:
            raise RuntimeError(f"the cloud ran {ran} tasks for {spare + jobs} jobs")
        return found
    finally:
        workspace.delete()


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="bench.pods", description="Time circuits on a cloud's device, all in pods.")
    parser.add_argument("--jobs", type=int, default=20)
    print(json.dumps(asdict(run(parser.parse_args().jobs)), indent=2))


if __name__ == "__main__":
    main()
