"""Tasks on real pods whose number changes all the time: ``python -m bench.scale_events [--events 1000]``.

A cluster runs (``python -m e2e.cluster up``, or the one that KUBECONFIG and QONVERGE_IMAGE name). Half of the backends
scale by themselves, with short times; of the others the number is set at random, as by ``kubectl scale``. Jobs come in
bursts and run for 0.2 to 5 s on an idle machine. An event is a pod that starts or ends since the number changed. No
task may be lost to one: each job completes in its first attempt, and the servers ran one task for each job. What
servers ran is what their spans tell, which they send before they end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.report import machine
from e2e.cluster.access import ClusterAccess
from e2e.cluster.cluster import Cluster
from e2e.cluster.images import ImageReference
from e2e.cluster.release import CHART, RELEASE
from e2e.workspace import ROOT, Workspace, backend, circuit
from tests.integration.kube_client import KubeClient
from tests.span_collector import Collector, Received, collecting

RESULTS = Path(__file__).parent / "results" / "scale-events.json"
_QUBITS = 12
# Each shot is run by itself, so that the time is that of the shots: about so many in a second of an idle CPU.
_SHOTS_PER_SECOND = 34_000
_TEXT = (
    f'OPENQASM 3.0; include "stdgates.inc"; qubit[{_QUBITS}] q; bit[1] c; '
    + "".join(f"rx(0.3) q[{qubit}];" for qubit in range(_QUBITS))
    + "reset q[0]; c[0] = measure q[0];"
)
_LENGTHS = (0.2, 5.0)
_LARGEST_BURST = 6
_MOST_PODS = 3
# Jobs that have not ended, beyond which no burst comes.
_MOST_OPEN = 40
_LOOK_SECONDS = 0.3
_SETTLE_SECONDS = 900.0
_ENDED = ("Complete", "Failed")
_SCALING = {
    "minReplicas": 0,
    "maxReplicas": _MOST_PODS,
    "targetQueueTime": "1s",
    "stableWindow": "10s",
    "scaleDownAfter": "1s",
    "scaleToZeroAfter": "1s",
}
# Below 1 GiB there is no spare worker, so that a pod starts with less.
_TEMPLATE = {"resources": {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"memory": "900Mi"}}}


@dataclass(slots=True)
class Report:
    """What became of the tasks. Times in seconds."""

    backends: int
    automatic: int
    """Of them, those that scale by themselves."""
    events: Mapping[str, int]
    """Pods that started, and that ended."""
    jobs: int
    completed: int
    killed: int
    """Jobs that needed another attempt or did not complete, and runs on servers beyond one for each job."""
    ended_after_deletion: int
    """Tasks that ran to their end on a pod that was deleted before."""
    handed_back: int
    """Tasks that a server gave back before it began them."""
    run_seconds: Sequence[float]
    """Quartiles of what tasks ran."""
    seconds: float
    faults: list[str] = field(default_factory=list)


class Drill:
    """A namespace with backends whose pods come and go, and jobs for them."""

    def __init__(self, workspace: Workspace, collector: Collector, backends: int, seed: int) -> None:
        """Start nothing yet."""
        self._workspace = workspace
        self._api = KubeClient(workspace.cluster.kubeconfig)
        self._collector = collector
        self._random = random.Random(seed)
        self._automatic = [f"auto-{number}" for number in range(backends - backends // 2)]
        self._by_hand = [f"hand-{number}" for number in range(backends // 2)]
        self._set = dict.fromkeys(self._by_hand, 1)
        self._jobs: list[str] = []
        self._started: set[str] = set()
        # When pods were deleted, Unix seconds, by uid and by name.
        self._deleted: dict[str, float] = {}
        self._deleted_names: dict[str, float] = {}

    def run(self, events: int) -> Report:
        """Let pods come and go until there were so many events, and return what became of all jobs."""
        self._apply_backends()
        first, began = self._look(), time.monotonic()
        next_burst = next_change = next_word = began
        while (count := len(self._started - first) + len(self._deleted)) < events:
            now = time.monotonic()
            if now >= next_burst:
                self._burst()
                next_burst = now + self._random.uniform(0.5, 3)
            if now >= next_change:
                self._change()
                next_change = now + self._random.uniform(0.5, 3)
            if now >= next_word:
                print(f"{count} of {events} events, {len(self._jobs)} jobs", file=sys.stderr, flush=True)
                next_word = now + 30
            time.sleep(_LOOK_SECONDS)
            self._look()
        counted = {"started": len(self._started - first), "ended": len(self._deleted)}
        for name in self._by_hand:
            self._scale(name, 1)
        self._settle()
        return self._judge(counted, time.monotonic() - began)

    def _apply_backends(self) -> None:
        given: dict[str, Any] = {"capacity": {"concurrency": 1}, "template": _TEMPLATE}
        self._workspace.apply(
            *(backend(name, scaling=_SCALING, **given) for name in self._automatic),
            *(backend(name, scaling={"mode": "External"}, **given) for name in self._by_hand),
        )
        for name in (*self._automatic, *self._by_hand):
            self._workspace.wait("--for=condition=Ready", f"quantumbackend/{name}")

    def _look(self) -> set[str]:
        """Take what pods there are, and return all that were ever seen, by uid."""
        there = self._api.list("pod", self._workspace.namespace)
        for pod in there:
            metadata = pod["metadata"]
            self._started.add(metadata["uid"])
            if (stamp := metadata.get("deletionTimestamp")) is not None:
                # It says when the grace period ends.
                asked = datetime.fromisoformat(stamp).timestamp() - metadata["deletionGracePeriodSeconds"]
                self._deleted.setdefault(metadata["uid"], asked)
                self._deleted_names.setdefault(metadata["name"], asked)
        for uid in self._started - {pod["metadata"]["uid"] for pod in there}:
            self._deleted.setdefault(uid, time.time())
        return set(self._started)

    def _burst(self) -> None:
        if len(self._open()) >= _MOST_OPEN:
            return
        name = self._random.choice([*self._automatic, *self._by_hand])
        for _ in range(self._random.randint(1, _LARGEST_BURST)):
            shots = int(_SHOTS_PER_SECOND * self._random.uniform(*_LENGTHS))
            job = circuit(f"job-{len(self._jobs)}", _TEXT, shots=shots, backend={"name": name})
            self._api.apply(job, self._workspace.namespace)
            self._jobs.append(job["metadata"]["name"])

    def _change(self) -> None:
        name = self._random.choice(self._by_hand)
        self._scale(name, self._random.choice([each for each in range(_MOST_PODS + 1) if each != self._set[name]]))

    def _scale(self, name: str, replicas: int) -> None:
        self._set[name] = replicas
        self._api.patch("quantumbackend", name, self._workspace.namespace, {"spec": {"replicas": replicas}}, "scale")

    def _statuses(self) -> dict[str, dict[str, Any]]:
        jobs = self._api.list("hybridjob", self._workspace.namespace)
        return {job["metadata"]["name"]: job.get("status", {}) for job in jobs}

    def _open(self) -> list[str]:
        return [name for name, status in self._statuses().items() if status.get("state") not in _ENDED]

    def _settle(self) -> None:
        """Wait until all jobs have ended and servers have told of what they ran."""
        end = time.monotonic() + _SETTLE_SECONDS
        while (self._open() or len(_runs(self._collector)) < len(self._jobs)) and time.monotonic() < end:
            time.sleep(1)
            self._look()

    def _judge(self, events: Mapping[str, int], seconds: float) -> Report:
        statuses, faults, killed = self._statuses(), list[str](), 0
        runs = Counter(span.trace for span in _runs(self._collector))
        for name in self._jobs:
            status = statuses.get(name, {})
            told = (status.get("state"), status.get("attempts"), runs.pop(status.get("traceId", ""), 0))
            if told != ("Complete", 1, 1):
                killed += 1
                faults.append(f"{name}: state {told[0]}, attempts {told[1]}, {told[2]} runs: {status.get('message')}")
        faults += [f"{count} runs of the trace {trace}, which is no job's" for trace, count in runs.items()]
        return Report(
            backends=len(self._automatic) + len(self._by_hand),
            automatic=len(self._automatic),
            events=events,
            jobs=len(self._jobs),
            completed=sum(statuses.get(name, {}).get("state") == "Complete" for name in self._jobs),
            killed=killed + sum(runs.values()),
            ended_after_deletion=self._ended_after_deletion(),
            handed_back=len(_handed_back(self._collector)),
            run_seconds=[round(each, 2) for each in statistics.quantiles(map(_seconds, _runs(self._collector)), n=4)],
            seconds=round(seconds, 1),
            faults=faults,
        )

    def _ended_after_deletion(self) -> int:
        """Return how many tasks ended on a pod that somebody had asked to end, as far as whole seconds tell."""
        pods = {
            span.trace: str(span.attributes.get("k8s.pod.name"))
            for span in self._collector.spans
            if (span.service, span.name) == ("qonverge-operator", "task")
        }
        return sum(
            span.end / 1e9 > self._deleted_names.get(pods.get(span.trace, ""), float("inf")) + 1
            for span in _runs(self._collector)
        )


def _runs(collector: Collector) -> list[Received]:
    return [span for span in collector.spans if (span.service, span.name) == ("qonverge-backend", "run")]


def _handed_back(collector: Collector) -> list[Received]:
    """Return the tasks that failed on a server and of which it ran nothing."""
    ran = {span.parent for span in _runs(collector)}
    tasks = [span for span in collector.spans if (span.service, span.name) == ("qonverge-backend", "task")]
    return [span for span in tasks if span.failed and span.id not in ran]


def _seconds(span: Received) -> float:
    return (span.end - span.start) / 1e9


def _cluster() -> ClusterAccess:
    kubeconfig, image = os.environ.get("KUBECONFIG"), os.environ.get("QONVERGE_IMAGE")
    if kubeconfig and image:
        return ClusterAccess(Path(kubeconfig), ImageReference.parse(image))
    own = Cluster()
    if not own.status().running:
        sys.exit("no cluster runs here: start one by `python -m e2e.cluster up`, or name one in KUBECONFIG")
    return ClusterAccess(own.kubeconfig, own.images.project(ROOT), own=own)


@contextlib.contextmanager
def _traced(cluster: ClusterAccess, address: str) -> Iterator[Collector]:
    """Have all spans sent to a collector here until the end of the block."""

    def send_to(url: str) -> None:
        where = f"--set-string=telemetry.tracing.endpoint={url}"
        cluster.helm("upgrade", RELEASE, str(ROOT / CHART), "--reuse-values", where, "--wait", "--timeout=300s")

    with collecting(address) as collector:
        send_to(collector.url)
        try:
            yield collector
        finally:
            send_to("")


def main(arguments: list[str] | None = None) -> None:
    """Let pods come and go, print what became of the tasks and write it."""
    parser = argparse.ArgumentParser(prog="bench.scale_events", description="Count tasks that scaling kills.")
    parser.add_argument("--events", type=int, default=1000, help="pods that start or end since their number changed")
    parser.add_argument("--backends", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--address", help="of this machine, at which pods reach it; default: that of the first node")
    parser.add_argument("--file", type=Path, default=RESULTS, help="where the result is written")
    options = parser.parse_args(arguments)
    facts, cluster = machine(), _cluster()
    node = cluster.get("nodes")["items"][0]
    own = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    workspace = Workspace(cluster, f"scale-events-{uuid.uuid4().hex[:5]}")
    with _traced(cluster, options.address or own) as collector:
        workspace.create()
        try:
            report = Drill(workspace, collector, options.backends, options.seed).run(options.events)
        finally:
            workspace.delete()
    told = {"machine": facts, "seed": options.seed, **asdict(report)}
    options.file.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))
    sys.exit(1 if report.killed else 0)


if __name__ == "__main__":
    main()
