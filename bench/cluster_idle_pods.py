"""How long pods of programs are idle, on a whole cluster: ``python -m bench.cluster_idle_pods``.

What ``bench.idle_pods`` simulates with longer tasks, with the operator, a backend and real pods: the cluster is this
machine's own (``python -m e2e.cluster up``, which is done first). A pod is idle while its container runs and its
program does not compute: while it starts, and while it waits for a task, its own task's run included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import report
from bench.idle_pods import PAUSES_BAR, SLOTS_BAR
from e2e.cluster.access import ROOT, ClusterAccess
from e2e.cluster.cluster import Cluster
from e2e.workspace import Workspace, backend, program
from qonverge.api.backend import OFFERS_LABEL

COMPUTE_SECONDS = 1.0
"""Of a program before each task."""
_QUBITS = 22
_FEW_LAYERS = 20
_LIMIT_SECONDS = 1800.0
_SOURCE = """
import time
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2, report, result, step

def task(layers):
    circuit = QuantumCircuit({qubits})
    for _ in range(layers):
        for qubit in range({qubits}):
            circuit.rx(0.3, qubit)
            circuit.cx(qubit, (qubit + 1) % {qubits})
    circuit.measure_all()
    began = time.monotonic()
    SamplerV2().run([circuit], shots=10).result()
    return time.monotonic() - began

for number in range({tasks}):
    step(f"computes-{{number}}", lambda: time.sleep({compute}))
    taken = step(f"waits-{{number}}", lambda: task({layers}))
result(taken)
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A way in which programs start and wait."""

    programs: int
    tasks: int
    task_seconds: float
    """As it was meant; machines differ."""
    slots: int
    pause_after: int | None = None
    """Seconds after which a waiting program gives its pod back; None: never."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it."""

    idle: float
    """Of all pods together, seconds."""
    alive: float
    """For how long containers ran, seconds."""
    makespan: float
    """Until the last program has ended, seconds."""
    pods: int
    """Made in all."""


class Bench:
    """One namespace, in which cases are tried one after the other."""

    def __init__(self, workspace: Workspace) -> None:
        """``workspace`` is there, and empty."""
        self._workspace = workspace
        self._layers_a_second = 0.0

    def measure_speed(self) -> None:
        """Find out how long a task takes here."""
        self._serve(1)
        self._workspace.apply(program("speed", _source(tasks=2, layers=_FEW_LAYERS)))
        seconds = self._workspace.completed("speed")["result"]["value"]
        self._layers_a_second = _FEW_LAYERS / seconds

    def run(self, case: Case) -> Found:
        """Return what comes of a case."""
        self._serve(case.slots)
        source = _source(case.tasks, max(1, round(case.task_seconds * self._layers_a_second)))
        prefix = f"p{uuid.uuid4().hex[:4]}"
        # All fit on one node.
        small = {"requests": {"cpu": "10m", "memory": "64Mi"}}
        jobs = [program(f"{prefix}-{number}", source, resources=small) for number in range(case.programs)]
        for job in jobs:
            if case.pause_after is not None:
                job["spec"]["program"]["python"]["pauseAfterSeconds"] = case.pause_after
        began = time.monotonic()
        self._workspace.apply(*jobs)
        alive, makespan = self._until_all_ended(prefix, case.programs, began)
        computed = case.programs * case.tasks * COMPUTE_SECONDS
        total = sum(alive.values())
        return Found(total - computed, total, makespan, len(alive))

    def _serve(self, slots: int) -> None:
        self._workspace.apply(backend("slow", capacity={"concurrency": 1, "programs": slots}))
        self._workspace.wait("--for=condition=Ready", "quantumbackend/slow")

    def _until_all_ended(self, prefix: str, wanted: int, began: float) -> tuple[dict[str, float], float]:
        """Return for how long the container of each pod ran, by the pods' uids, and when the last job had ended."""
        alive = dict[str, float]()
        while time.monotonic() - began < _LIMIT_SECONDS:
            # Jobs first: of one that has ended, all pods have.
            jobs = [job for job in self._workspace.items("hybridjobs") if job["metadata"]["name"].startswith(prefix)]
            states = [job.get("status", {}).get("state") for job in jobs]
            for pod in self._workspace.items("pods"):
                if pod["metadata"]["name"].startswith(prefix) and (seconds := _seconds_of(pod)) is not None:
                    alive[pod["metadata"]["uid"]] = seconds
            if "Failed" in states:
                raise RuntimeError(f"a program failed: {[job['status'].get('message') for job in jobs]}")
            if states.count("Complete") == wanted:
                return alive, time.monotonic() - began
            time.sleep(1)
        raise TimeoutError(f"the programs have not ended within {_LIMIT_SECONDS:g} s")


def _source(tasks: int, layers: int) -> str:
    return _SOURCE.format(qubits=_QUBITS, tasks=tasks, compute=COMPUTE_SECONDS, layers=layers)


def _seconds_of(pod: Mapping[str, Any]) -> float | None:
    """Return for how long a program's container ran; None while it does."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    ended = next((each["state"].get("terminated") for each in statuses if each["name"] == "program"), None)
    if ended is None:
        return None
    begins, ends = (datetime.fromisoformat(ended[name]) for name in ("startedAt", "finishedAt"))
    return (ends - begins).total_seconds()


def main() -> None:
    """Measure and print the table; exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="bench.cluster_idle_pods", description="How long pods of programs are idle.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    subprocess.run([sys.executable, "-m", "e2e.cluster", "up"], check=True, cwd=ROOT, stdout=sys.stderr)
    own = Cluster()
    os.environ["KUBECONFIG"] = str(own.kubeconfig)
    access = ClusterAccess(own.kubeconfig, own.images.project(ROOT), own=own)
    workspace = Workspace(access, f"bench-{uuid.uuid4().hex[:5]}")
    workspace.create(**{OFFERS_LABEL: "true"})
    cases = [
        Case(programs=20, tasks=2, task_seconds=5, slots=20),
        Case(programs=20, tasks=2, task_seconds=5, slots=1),
        Case(programs=6, tasks=1, task_seconds=30, slots=6),
        Case(programs=6, tasks=1, task_seconds=30, slots=6, pause_after=5),
    ]
    try:
        bench = Bench(workspace)
        bench.measure_speed()
        found = []
        for case in cases:
            found.append(bench.run(case))
            print(case, found[-1], file=sys.stderr, flush=True)
    finally:
        workspace.delete()
    slotted, pauses = found[1].idle / found[0].idle, found[3].idle / found[2].idle
    rows = [
        report.Row(
            "20 programs: idle, one slot / all at once",
            f"{slotted:.3f}",
            f"at most {SLOTS_BAR:g}",
            slotted <= SLOTS_BAR,
        ),
        report.Row(
            "6 programs: idle, malleable / not", f"{pauses:.2f}", f"at most {PAUSES_BAR:g}", pauses <= PAUSES_BAR
        ),
    ]
    for case, of in zip(cases, found, strict=True):
        name = f"{case.slots} slots, {case.programs} programs of {case.tasks} tasks of {case.task_seconds:g} s"
        name += "" if case.pause_after is None else f", pauses after {case.pause_after} s"
        figure = f"idle {of.idle:.0f} s, {of.pods} pods, {of.makespan:.0f} s in all"
        rows.append(report.Row(name, figure, ""))
    print(report.table(rows))
    if options.json:
        report.write(
            options.json, rows, [{**asdict(case), **asdict(of)} for case, of in zip(cases, found, strict=True)]
        )
    sys.exit(0 if slotted <= SLOTS_BAR and pauses <= PAUSES_BAR else 1)


if __name__ == "__main__":
    main()
