"""What the shell around decisions counts of jobs that end, are deleted or begin anew."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qonverge.amounts import Amounts
from qonverge.api import HybridJob, QuantumQuota
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.jobs.reconciler import Jobs
from qonverge.controller.kube.client import Kube
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.objects import object_names
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.quotas.reconciler import Quotas
from qonverge.controller.results.dependency_results import DependencyResults
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.results.store_results import StoreResults
from qonverge.controller.results.stores import InStatus, ResultStores
from qonverge.controller.settings import Settings
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import Checking
from qonverge.controller.watching.dispatcher import Dispatcher
from qonverge.documents.reports import Report
from qonverge.execution.transitions import timestamp
from qonverge.programs.policy import ProgramPolicy
from qonverge.scheduling import Decision
from qonverge.tracing.spans import SpanSink
from qonverge.wire.errors import WorkerLost
from qonverge.wire.tokens import Caller, Signer, generate_private_key
from tests.span_collector import Kept
from tests.unit.controller.worlds import BELL, World, settled


class Server(Kube):
    """Takes statuses, and shows jobs as they are then."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.written: list[dict[str, Any]] = []
        self.created: list[dict[str, Any]] = []
        self.applied: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    async def patch_status(
        self, kind: str, namespace: str, name: str, status: dict[str, Any], resource_version: str | None = None
    ) -> dict[str, Any]:
        self.written.append(status)
        job = {
            "apiVersion": "qonverge.io/v1alpha1",
            "kind": kind,
            **self.world.state.jobs[f"{namespace}/{name}"].to_dict(),
        }
        version = str(len(self.written))
        return {**job, "metadata": {**job["metadata"], "resourceVersion": version}, "status": status}

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.created.append(obj)
        return obj

    async def apply(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.applied.append(obj)
        return obj

    async def list(
        self, kind: str, namespace: str | None, labels: str = "", *, fields: str = "", metadata_only: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        assert (kind, namespace) == ("Event", "chem")
        for event in self.events:
            if fields == f"involvedObject.uid={event['involvedObject']['uid']}":
                yield event


class Desk:
    """A world with its reconciler of jobs, and a quota that counts seconds."""

    def __init__(self, spans: SpanSink | None = None, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.world = world = World()
        self.server = Server(world)
        metadata = {"name": "q", "namespace": "chem", "generation": 1}
        self.quota = QuantumQuota.model_validate({"metadata": metadata, "spec": {"limits": {"seconds": 1000.0}}})
        world.ledger.see(self.quota)
        clock = lambda: world.now  # noqa: E731
        dispatcher = Dispatcher(world.state, world.queue)
        statuses = StatusWriter(self.server, dispatcher.written)
        quotas = Quotas(state=world.state, statuses=statuses, ledger=world.ledger, queue=world.queue, clock=clock)
        self.events = Events(self.server, clock)
        self.results = PodResults(
            state=world.state,
            data=world.pods,
            kube=self.server,
            statuses=statuses,
            events=self.events,
            settings=settings,
            clock=clock,
        )
        self.outputs = JobOutputs(
            state=world.state,
            kube=self.server,
            statuses=statuses,
            events=self.events,
            settings=settings,
            clock=clock,
        )
        metering = Metering(
            state=world.state,
            cluster=world.cluster,
            data=world.pods,
            ledger=world.ledger,
            queue=world.queue,
            charge=world.forecasts.charge,
            changed=quotas.changed,
            spent=world.metrics.spend,
            clock=clock,
        )
        dispatcher.handle(metering.handlers())
        self.jobs = Jobs(
            state=world.state,
            cluster=world.cluster,
            kube=self.server,
            statuses=statuses,
            queue=world.queue,
            data=world.pods,
            submissions=world.submissions,
            rounds=world.rounds,
            forecasts=world.forecasts,
            ledger=world.ledger,
            quotas=quotas,
            results=ResultStores([InStatus(), StoreResults(self.outputs, clock), self.results]),
            outputs=self.outputs,
            dependencies=DependencyResults(self.server, self.results, self.outputs),
            metering=metering,
            metrics=world.metrics,
            key=SigningKey(Signer(generate_private_key())),
            checker=Checker(),
            events=self.events,
            settings=settings,
            clock=clock,
            spans=spans,
        )

    @property
    def left(self) -> float:
        remaining = self.world.ledger.remaining("chem", self.world.now)
        assert remaining is not None
        assert remaining.seconds is not None
        return remaining.seconds

    async def told(self) -> list[dict[str, Any]]:
        """Return the events that were written so far."""
        await self.events.flush()
        return self.server.created

    def begun_anew(self, job: HybridJob) -> None:
        """Let a job of another generation take the flight's place, as after a change of its specification."""
        metadata = job.metadata.model_copy(update={"generation": 2})
        self.world.state.jobs["chem/j"] = job.model_copy(update={"metadata": metadata})

    async def placed(self, **spec: Any) -> HybridJob:
        self.world.backend("a")
        job = self.world.job("j", **spec)
        await self.world.rounds.once()
        await self.jobs.reconcile("chem/j")
        await settled()
        return job


@pytest.mark.parametrize("attempts", [1, 3])
async def test_all_attempts_are_counted_once(attempts: int) -> None:
    desk = Desk()
    await desk.placed()
    for attempt in range(1, attempts):
        # Long enough for a person to see it run: its status tells of what was used before.
        desk.world.now += 5
        await desk.jobs.reconcile("chem/j")
        desk.world.pods.end(f"uid-j-1-{attempt}", error=WorkerLost("gone"), seconds=4.0)
        await settled()
        await desk.jobs.reconcile("chem/j")
        # The first of them begins at once, the others later and later.
        desk.world.now += 60
        await desk.jobs.reconcile("chem/j")
        await desk.world.rounds.once()
        await desk.jobs.reconcile("chem/j")
        await settled()
    desk.world.pods.end(f"uid-j-1-{attempts}", {"00": 1024}, seconds=1.0)
    await settled()
    await desk.jobs.reconcile("chem/j")
    status = desk.server.written[-1]
    used = 4.0 * (attempts - 1) + 1.0
    assert (status["state"], status["attempts"], status["usage"]["seconds"]) == ("Complete", attempts, used)
    assert desk.left == 1000.0 - used
    assert desk.world.state.flights == {}


async def test_a_job_that_is_deleted_while_it_runs_has_used_its_time() -> None:
    desk = Desk()
    await desk.placed()
    desk.world.flight("j").charge(Amounts(0, 2.0))
    reserved = 1000.0 - desk.left
    desk.world.now += 0.001
    desk.world.state.jobs.clear()
    await desk.jobs.reconcile("chem/j")
    await settled()
    assert reserved > 0
    assert desk.left == pytest.approx(1000.0 - 2.0 - 0.001)
    assert desk.world.pods.cancelled == [("a-0", "uid-j-1-1")]
    assert desk.world.assigned == {}


async def test_what_a_job_used_before_its_specification_changed_is_counted_once() -> None:
    desk = Desk()
    job = await desk.placed(status={"usage": {"seconds": 3.0}})
    # As it begins with what its status tells.
    desk.world.flight("j").charge(Amounts(0, 3.0))
    desk.world.pods.end("uid-j-1-1", error=WorkerLost("gone"), seconds=5.0)
    await settled()
    desk.begun_anew(job)
    await desk.jobs.reconcile("chem/j")
    assert desk.left == 1000.0 - 5.0, "what its status tells of counts at its end"
    desk.world.state.flights.clear()
    await desk.jobs.reconcile("chem/j")
    flight = desk.world.flight("j")
    assert flight.usage == Amounts(0, 3.0)
    assert isinstance(flight.program, Checking)
    assert flight.program.task is not None
    flight.program.task.cancel()
    flight.accept("x", BELL)
    flight.await_placement()
    await desk.world.rounds.once()
    await desk.jobs.reconcile("chem/j")
    await settled()
    desk.world.pods.end("uid-j-2-1", {"00": 1024}, seconds=1.0)
    await settled()
    await desk.jobs.reconcile("chem/j")
    assert desk.server.written[-1]["usage"]["seconds"] == 4.0
    assert desk.left == 1000.0 - 5.0 - 4.0


async def test_a_pod_that_is_gone_since_the_round_frees_what_was_set_aside() -> None:
    desk = Desk()
    desk.world.backend("a")
    desk.world.job("j")
    await desk.world.rounds.once()
    assert desk.left < 1000.0
    desk.world.pod("a-0").lose(1.0)
    await desk.jobs.reconcile("chem/j")
    await desk.world.rounds.once()
    assert desk.left == 1000.0
    planned = desk.world.flight("j").proposal
    assert planned is not None
    assert planned.reason == "lab/a is not ready: lab/a-0 does not answer"


async def test_waiting_is_written_once_and_then_now_and_then() -> None:
    desk = Desk()
    desk.world.job("j")
    for second in range(70):
        desk.world.flight("j").propose(Decision("chem/j", None, f"best wait: a, {second} s"), (), tried_at=0.0)
        await desk.jobs.reconcile("chem/j")
        desk.world.now += 1.0
    assert [status["message"] for status in desk.server.written] == [f"best wait: a, {n} s" for n in (0, 30, 60)]


async def test_what_misleads_in_a_circuit_is_an_event() -> None:
    desk = Desk()
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; rx(1/2*pi) q; c = measure q;'
    desk.world.job("j", program={"circuit": {"openqasm": text}})
    del desk.world.state.flights["chem/j"]
    await desk.jobs.reconcile("chem/j")
    async with asyncio.timeout(60):
        while not await desk.told():
            await asyncio.sleep(0.05)
    (event,) = desk.server.created
    assert (event["kind"], event["type"], event["reason"]) == ("Event", "Warning", "MisleadingProgram")
    assert event["involvedObject"]["name"] == "j"
    assert event["message"].startswith("line 1, column 58: 1/2 is 0 here")


@pytest.mark.parametrize(
    ("state", "attempts", "account", "attempt", "taken"),
    [
        ("Running", 1, "uid-j-0", 1, True),
        ("Placed", 1, "uid-j-0", 1, True),
        # The status that tells of a new attempt may be known here after its first report.
        ("Pending", 1, "uid-j-0", 2, True),
        ("Running", 2, "uid-j-0", 1, False),
        ("Pending", 1, "uid-j-0", 1, False),
        ("Suspended", 1, "uid-j-0", 1, False),
        ("Running", 1, "uid-former-0", 1, False),
        ("Running", 1, "uid-j-7", 1, False),
        ("Running", 1, "", 0, False),
    ],
)
async def test_only_the_present_attempt_reports(
    state: str, attempts: int, account: str, attempt: int, taken: bool
) -> None:
    """A program that ignores the signal to end goes on with its token, after its job was made anew or tried again."""
    desk = Desk()
    status = {"state": state, "backend": "lab/a", "attempts": attempts}
    desk.world.job("j", status=status, program={"python": {"source": "x"}})
    caller = Caller("chem/j", account, attempt=attempt)
    if taken:
        await desk.jobs.report("chem/j", caller, Report(result=1, has_result=True))
        assert desk.server.written[-1]["result"] == {"value": 1}
    else:
        with pytest.raises(PermissionError, match="the token is of"):
            await desk.jobs.report("chem/j", caller, Report(result=1, has_result=True))
        assert not desk.server.written


async def test_what_a_program_mounts_is_made_again_where_its_pod_lacks_it() -> None:
    desk = Desk()
    desk.world.backend("a", pods=0)
    placed = {"state": "Placed", "reason": "Placed", "backend": "lab/a", "attempts": 1, "observedGeneration": 1}
    placed["placedAt"] = timestamp(desk.world.now)
    job = desk.world.job("j", status=placed, program={"python": {"source": "x"}})
    name = object_names.program_name(job, 1)
    desk.world.state.batch_jobs[f"chem/{name}"] = {"uid": "batch-uid", "owner": "chem/j"}
    desk.world.state.program_pods[f"chem/{name}"] = {
        "chem/j-pod": {"name": "j-pod", "uid": "pod-uid", "rank": 0, "phase": "Pending"}
    }
    desk.server.events = [
        {
            "metadata": {"resourceVersion": "1"},
            "involvedObject": {"uid": "pod-uid"},
            "type": "Warning",
            "reason": "FailedMount",
            "message": f'MountVolume.SetUp failed for volume "token": secret "{name}" not found',
        }
    ]
    desk.world.flight("j").renew(math.inf)
    desk.world.now += 3
    await desk.jobs.reconcile("chem/j")
    assert [(obj["kind"], obj["metadata"]["name"]) for obj in desk.server.applied] == [("Secret", name)]
    assert not desk.server.written
    await desk.jobs.reconcile("chem/j")
    (written,) = desk.server.written
    assert written["message"].startswith("the pod j-pod has not started: FailedMount: MountVolume.SetUp failed")
    (event,) = await desk.told()
    assert (event["type"], event["reason"]) == ("Warning", "FailedMount")


async def test_what_a_program_may_not_use_is_said_once_its_namespaces_labels_are_known() -> None:
    rules = [{"selector": {"matchLabels": {"trusted": "true"}}}, {"images": ["ghcr.io/lab/*"]}]
    desk = Desk(settings=Settings(program_policy=ProgramPolicy.parse(rules)))
    desk.world.job("j", program={"container": {"image": "evil"}})

    async def checked() -> Flight:
        desk.world.state.flights.clear()
        await desk.jobs.reconcile("chem/j")
        await settled()
        return desk.world.flight("j")

    unknown = await checked()
    assert unknown.waiting == "waiting for the labels of namespace chem, by which programs may use things"
    assert desk.world.cluster.wanted.is_set()
    desk.world.cluster.labels["chem"] = {"trusted": "true"}
    assert (await checked()).problem is None
    desk.world.cluster.labels["chem"] = {}
    await checked()
    await desk.jobs.reconcile("chem/j")
    status = desk.server.written[-1]
    (failed,) = [each for each in status["conditions"] if each["type"] == "Failed"]
    assert (status["state"], failed["status"], failed["reason"]) == ("Failed", "True", "PolicyViolation")
    assert failed["message"].startswith(
        "spec.program.container.image is evil: of images programs in namespace chem may"
    )


async def test_requirements_are_refused_where_the_administrator_gave_no_volume_for_them() -> None:
    desk = Desk()
    desk.world.job("j", program={"python": {"source": "x", "requirements": ["pyscf"]}})
    desk.world.state.flights.clear()
    await desk.jobs.reconcile("chem/j")
    await settled()
    await desk.jobs.reconcile("chem/j")
    status = desk.server.written[-1]
    assert (status["state"], status["reason"]) == ("Failed", "RequirementsNotInstalled")
    assert status["message"].startswith(
        "spec.program.python.requirements need a volume, and the administrator gave none"
    )


async def test_namespaces_take_turns_at_reading_config_maps() -> None:
    desk = Desk()
    read: list[str] = []

    async def get(kind: str, namespace: str | None, name: str) -> None:
        read.append(namespace or "")
        await asyncio.sleep(0)

    desk.server.get = get  # type: ignore[method-assign]
    program = {"circuit": {"configMapKeyRef": {"name": "circuits", "key": "a"}}}
    for number in range(60):
        desk.world.job(f"j{number}", program=program)
    mine = desk.world.job("mine", program=program)
    metadata = mine.metadata.model_copy(update={"namespace": "bio"})
    desk.world.state.jobs["bio/mine"] = mine.model_copy(update={"metadata": metadata})
    del desk.world.state.jobs["chem/mine"]
    desk.world.state.flights.clear()
    for key in [key for key in desk.world.state.jobs if key != "bio/mine"] + ["bio/mine"]:
        await desk.jobs.reconcile(key)
    async with asyncio.timeout(10):
        while len(read) < 61:
            await asyncio.sleep(0)
    assert read.index("bio") <= 16
    flight = desk.world.state.flights["bio/mine"]
    await settled()
    assert flight.waiting == "waiting for the ConfigMap circuits"


async def ended(desk: Desk) -> dict[str, Any]:
    """Run a job to its end, and return the last status written."""
    await desk.placed()
    desk.world.pods.end("uid-j-1-1", {"00": 1024})
    await settled()
    await desk.jobs.reconcile("chem/j")
    return desk.server.written[-1]


async def test_the_trace_comes_with_a_write_that_happens_anyway_and_only_where_spans_are_recorded() -> None:
    plain, traced = Desk(), Desk(sink := Kept())
    assert (await ended(plain)).get("traceId") is None
    status = await ended(traced)
    assert len(traced.server.written) == len(plain.server.written)
    (root,) = [span for span in sink.spans if span.name == "HybridJob"]
    (result,) = [span for span in sink.spans if span.name == "result"]
    assert status["traceId"] == root.context.trace_id
    assert (root.parent, result.parent, root.attributes["qonverge.job.state"]) == (None, root.context, "Complete")
