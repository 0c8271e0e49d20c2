"""From ``spec.cancel`` of a program's job to its pod being gone, on a whole cluster: ``python -m bench.cancel``.

The cluster is this machine's own (``python -m e2e.cluster up``, which is done first). Programs differ in what they do
when they are asked to end: one sleeps, one computes, one waits for its backend, one reports in every turn of a loop. A
figure is from the request that changes the specification to the event that shows the pod deleted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bench import report
from e2e.cluster.access import ROOT, ClusterAccess
from e2e.cluster.cluster import Cluster
from e2e.workspace import Workspace, program
from qonverge.api.backend import OFFERS_LABEL

if TYPE_CHECKING:
    from qonverge.cli.cluster import Cluster as Api

BAR_SECONDS = 3.0
_LIMIT_SECONDS = 120.0
# Each has run for a while when it is cancelled.
_PROGRAMS = {
    "sleeps": "import time\ntime.sleep(3600)",
    "computes": """
        import numpy as np
        matrix = np.random.default_rng(1).normal(size=(200, 200))
        while True:
            matrix = matrix @ matrix
            matrix /= np.abs(matrix).max()
        """,
    "waits": """
        from qiskit import QuantumCircuit
        from qonverge.client import SamplerV2
        circuit = QuantumCircuit(24)
        for layer in range(80):
            for qubit in range(24):
                circuit.rx(0.3, qubit)
                circuit.cx(qubit, (qubit + 1) % 24)
        circuit.measure_all()
        SamplerV2().run([circuit]).result()
        """,
    "reports": """
        import time
        from qonverge.client import report
        for step in range(360_000):
            report(progress=step / 360_000, step=step)
            time.sleep(0.01)
        """,
}


@dataclass(slots=True)
class Figures:
    """Seconds from the request, of each turn."""

    said: list[float] = field(default_factory=list)
    """Until the job was Failed."""
    gone: list[float] = field(default_factory=list)
    """Until its pod was deleted."""


async def _events(api: Api, path: str, **given: str) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    async for chunk in api.stream(f"{path}?{urlencode({'watch': 'true', **given})}", _LIMIT_SECONDS):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


async def _pod_gone(api: Api, namespace: str, pod: str) -> float:
    async for event in _events(api, f"/api/v1/namespaces/{namespace}/pods", fieldSelector=f"metadata.name={pod}"):
        if event["type"] == "DELETED":
            return time.perf_counter()
    raise RuntimeError(f"the watch of the pod {pod} ended before it was gone")


async def _job_failed(api: Api, namespace: str, name: str) -> float:
    path = f"/apis/qonverge.io/v1alpha1/namespaces/{namespace}/hybridjobs"
    async for event in _events(api, path, fieldSelector=f"metadata.name={name}"):
        if event["object"].get("status", {}).get("reason") == "Cancelled":
            return time.perf_counter()
    raise RuntimeError(f"the watch of {name} ended before it was cancelled")


async def _turn(workspace: Workspace, name: str, source: str, figures: Figures) -> None:
    """Run a program, cancel it, and add how long that took."""
    from qonverge.cli.cluster import connected

    workspace.apply(program(name, dedent(source)))
    workspace.running(name)
    # What its start left is done, and it is where it stays.
    await asyncio.sleep(3)
    pod = workspace.status(name)["pod"]
    async with connected() as api:
        gone = asyncio.create_task(_pod_gone(api, workspace.namespace, pod))
        failed = asyncio.create_task(_job_failed(api, workspace.namespace, name))
        # Both watches have begun.
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        await api.change_job(name, workspace.namespace, {"cancel": True})
        async with asyncio.timeout(_LIMIT_SECONDS):
            figures.said.append(await failed - began)
            figures.gone.append(await gone - began)


def run(rounds: int) -> dict[str, Figures]:
    """Measure each program so many times, one after the other."""
    subprocess.run([sys.executable, "-m", "e2e.cluster", "up"], check=True, cwd=ROOT)
    own = Cluster()
    os.environ["KUBECONFIG"] = str(own.kubeconfig)
    workspace = Workspace(
        ClusterAccess(own.kubeconfig, own.images.project(ROOT), own=own), f"bench-{uuid.uuid4().hex[:5]}"
    )
    workspace.create(**{OFFERS_LABEL: "true"})
    try:
        workspace.example("backend-aer.yaml")
        workspace.wait("--for=condition=Ready", "quantumbackend/aer")
        found = {name: Figures() for name in _PROGRAMS}
        for turn in range(rounds):
            for name, source in _PROGRAMS.items():
                asyncio.run(_turn(workspace, f"{name}-{turn}", source, found[name]))
        return found
    finally:
        workspace.delete()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.cancel", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = run(options.rounds)
    print(f"{'program':10} {'said s':>8} {'gone s':>8} {'worst s':>8}")
    for name, figures in found.items():
        said, gone = statistics.median(figures.said), statistics.median(figures.gone)
        print(f"{name:10} {said:8.3f} {gone:8.3f} {max(figures.gone):8.3f}")
    worst = max(max(figures.gone) for figures in found.values())
    figure = f"at most {worst:.2f} s"
    rows = [report.Row("cancel to pods gone", figure, f"under {BAR_SECONDS:g} s", worst < BAR_SECONDS)]
    print(report.table(rows))
    if options.json:
        report.write(options.json, rows, {name: asdict(figures) for name, figures in found.items()})
    sys.exit(0 if worst < BAR_SECONDS else 1)


if __name__ == "__main__":
    main()
