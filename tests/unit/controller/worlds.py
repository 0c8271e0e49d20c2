"""States of the operator for tests, and pods at the boundary of its data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from qonverge.accounting.ledger import Ledger
from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.backend import OFFERS_LABEL
from qonverge.circuits.analysis.analysis import Analysis
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.jobs.submissions import Submissions
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.placement.traces import Traces
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import AwaitingPlacement, Checked, Running
from qonverge.controller.store.pods import BackendPod, Endpoint
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.execution.transitions import timestamp
from qonverge.forecast.intervals import Interval
from qonverge.scheduling import Policy
from qonverge.telemetry import OperatorMetrics
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.messages import PubResult, Task, TaskResult

NOW = 1_000_000.0
NO_TASK = cast("asyncio.Task[None]", object())
"""The task of a flight where nothing looks at it."""
BELL = CheckedCircuit(
    "d" * 64,
    b"",
    Analysis(
        num_qubits=2,
        num_clbits=2,
        depth=3,
        size=4,
        two_qubit_gates=1,
        clifford=True,
        measured_bits=2,
        registers=(("c", 2),),
        parameters=(),
        mid_circuit=False,
        control_flow=False,
        bond_bits=1,
        operations=(("cx", 1), ("h", 1), ("measure", 2)),
    ),
    (),
)


class Pods(DataPlane):
    """Pods that answer when the test says so."""

    def __init__(self) -> None:
        self.given: dict[str, Task] = {}
        self.told: dict[str, Callable[[TaskResult], None] | None] = {}
        self.answered: dict[str, Callable[[], None] | None] = {}
        self.answers: dict[str, asyncio.Future[TaskResult]] = {}
        self.cancelled: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str, bool]] = []

    async def run(
        self,
        endpoint: Endpoint,
        audience: str,
        task: Task,
        *,
        told: Callable[[TaskResult], None] | None = None,
        sent: bool = False,
        answered: Callable[[], None] | None = None,
    ) -> TaskResult:
        self.given[task.id], self.told[task.id], self.answered[task.id] = task, told, answered
        self.asked.append((endpoint.pod, task.id, sent))
        self.answers[task.id] = asyncio.get_running_loop().create_future()
        return await self.answers[task.id]

    async def cancel(self, endpoint: Endpoint, audience: str, identity: str) -> None:
        self.cancelled.append((endpoint.pod, identity))

    def end(self, identity: str, counts: dict[str, int] | None = None, error: Any = None, seconds: float = 1.0) -> None:
        shots = sum((counts or {}).values())
        pubs = () if error is not None else (PubResult(counts=(counts or {},), shots=shots, method="statevector"),)
        state = "Completed" if error is None else "Failed"
        self.answers[identity].set_result(TaskResult(identity, state, pubs, error, "Aer", 1, 0.0, seconds))


class World:
    """An operator's middle: state, rounds and submissions, without what talks to the API server."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.now = NOW
        self.set_by = 0.0
        self.state = State()
        self.cluster = Cluster()
        self.ledger = Ledger()
        self.pods = Pods()
        self.queue = WorkQueue(lambda: self.now)
        self.forecasts = Forecasts(self.state, Checker(), lambda: self.now)
        self.changes = 0
        self.holders: dict[str, set[str]] = {}
        self.metrics = OperatorMetrics()
        self.submissions = Submissions(
            state=self.state,
            data=self.pods,
            forecasts=self.forecasts,
            queue=self.queue,
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
            changed=self._changed,
            metrics=self.metrics,
        )
        self.cluster.labels = {"lab": {OFFERS_LABEL: "true"}}
        self.traces = Traces(Policy())
        self.activations = 0
        self.rounds = Rounds(
            state=self.state,
            queue=self.queue,
            cluster=self.cluster,
            ledger=self.ledger,
            forecasts=self.forecasts,
            traces=self.traces,
            policy=policy or Policy(),
            withdraw=self.submissions.withdraw,
            holders=lambda: self.holders,
            metrics=self.metrics,
            clock=lambda: self.now,
            activate=self._activate,
        )

    @property
    def monotonic(self) -> float:
        """What a clock shows that is not set when the world's is."""
        return self.now - self.set_by

    def set_clock(self, by: float) -> None:
        """Set the world's clock forward, or back by less than 0, seconds."""
        self.now += by
        self.set_by += by

    def _activate(self) -> None:
        self.activations += 1

    def _changed(self) -> None:
        self.changes += 1

    def backend(self, name: str, *, pods: int = 1, workers: int = 1, **spec: Any) -> QuantumBackend:
        metadata = {"name": name, "namespace": "lab", "uid": f"uid-{name}"}
        given = {"simulator": {}, "access": {"namespaces": {"from": "All"}}, **spec}
        backend = QuantumBackend.model_validate({"metadata": metadata, "spec": given})
        self.state.backends[f"lab/{name}"] = backend
        for number in range(pods):
            pod = f"{name}-{number}"
            self.serve(Endpoint(pod, f"lab/{pod}", backend_selector(backend), f"http://{pod}"))
            self.pod(pod).info = info(workers)
        return backend

    def serve(self, endpoint: Endpoint) -> None:
        """Let a pod serve."""
        self.state.pods.observe(endpoint.pod, endpoint.key, endpoint, backend=endpoint.backend).admit()

    def pod(self, uid: str) -> BackendPod:
        """Return a pod that there is."""
        found = self.state.pods.find(uid)
        assert found is not None
        return found

    def endpoints(self) -> list[Endpoint]:
        """Return where pods serve."""
        return [pod.endpoint for pod in self.state.pods.serving()]

    def serving(self) -> list[str]:
        """Return the pods that serve, by uid."""
        return [pod.uid for pod in self.state.pods.serving()]

    def take_away(self, uid: str) -> Endpoint:
        """End a pod, and return where it served."""
        endpoint = self.endpoint(uid)
        self.state.pods.remove(endpoint.key)
        return endpoint

    def endpoint(self, uid: str) -> Endpoint:
        """Return where a pod serves."""
        return self.pod(uid).endpoint

    @property
    def assigned(self) -> dict[str, int]:
        """The tasks under way on each pod that has some."""
        return {pod.uid: pod.assigned for pod in self.state.pods.serving() if pod.assigned}

    @property
    def silent(self) -> set[str]:
        """The pods that do not answer."""
        return {pod.uid for pod in self.state.pods.serving() if pod.silent}

    def job(self, name: str, *, status: dict[str, Any] | None = None, age: float = 10.0, **spec: Any) -> HybridJob:
        """Add a job whose program is checked and that asks for a place."""
        created = timestamp(NOW - age)
        metadata = {
            "name": name,
            "namespace": "chem",
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": created,
        }
        program = {"circuit": {"openqasm": "x"}}
        given = {"metadata": metadata, "spec": {"program": program, **spec}, "status": status or {}}
        job = HybridJob.model_validate(given)
        self.state.jobs[f"chem/{name}"] = job
        checked = BELL if job.spec.program.circuit is not None else None
        flight = Flight(f"uid-{name}", 1, program=Checked("x", checked), phase=AwaitingPlacement())
        self.state.flights[f"chem/{name}"] = flight
        return job

    def flight(self, name: str) -> Flight:
        return self.state.flights[f"chem/{name}"]

    def foresee(self, name: str, seconds: Interval) -> None:
        """Let the tasks of a job that are under way be forecast to run so long."""
        flight = self.flight(name)
        assert isinstance(flight.phase, Running)
        flight.phase = replace(flight.phase, sent=tuple(replace(sent, run_seconds=seconds) for sent in flight.sent))

    async def round(self) -> None:
        """Plan, and send what was decided to be sent."""
        await self.rounds.once()
        for key, flight in self.state.flights.items():
            job, decision = self.state.jobs[key], flight.proposal
            if decision is not None and decision.backend is not None and flight.checked and not job.spec.suspend:
                assert self.submissions.send(key, job, flight, decision)
        await settled()


def info(workers: int = 1, memory: int | None = 2**30, **fields: Any) -> BackendInfo:
    given = {"queued": 0, "running": 0, "queue_limit": 100, "draining": False, **fields}
    return BackendInfo("Aer", "Automatic", (), (), None, 10**6, memory, workers, **given)


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)
