"""A device elsewhere in the operator's middle: its state, prices, queue and calibration, and its tasks sent once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from qonverge.amounts import Prices, TaskLimits
from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.cloud_tasks import ABANDON_ANNOTATION, FINALIZER, Submission
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.backends import calibration
from qonverge.controller.backends.status import Seen, status_of
from qonverge.controller.jobs.cloud_tasks import CloudTasks
from qonverge.controller.jobs.submissions import boots
from qonverge.controller.kube.client import Kube
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.pods.errors import PodLost, PodNotReached
from qonverge.controller.pods.orphans import is_wanted
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.devices import pricing_of
from qonverge.controller.store.pods import BackendPods, Endpoint
from qonverge.devices import snapshots
from qonverge.execution.transitions import timestamp
from qonverge.forecast.intervals import Interval
from qonverge.queueing import Backoff
from qonverge.scheduling.model import Backend, Decision, Part
from qonverge.wire.errors import InvalidTask
from qonverge.wire.messages import PubResult, Task, TaskInfo, TaskResult
from qonverge.wire.tokens import OPERATOR_SUBJECT
from qonverge.wire.vendor import DeviceState, VendorTask
from tests.unit.controller.worlds import NOW, World, info, settled

SECTION: dict[str, Any] = {"provider": "Acme"}
PRICES = Prices(Decimal("0.3"), Decimal("0.00035"), Decimal(0), "EUR")
OFFLINE = DeviceState(online=False, reason="its next window opens at noon", available_at=1e9)
TASK = "uid-j-1-1"
RECORD = {"task": TASK, "backend": "lab/acme", "attempt": 1, "limits": {"shots": 10_000, "programs": 100}}
SENT = Submission.model_validate(RECORD)


class Elsewhere(World):
    """One backend, acme, whose provider is taken for installed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, device: DeviceState | None) -> None:
        super().__init__()
        monkeypatch.setattr("qonverge.execution.placement.provider_problem", lambda _: None)
        self.acme = self.backend("acme", simulator=None, plugin=SECTION)
        self.tell(device)

    def tell(self, device: DeviceState | None, **fields: Any) -> None:
        pod = self.pod("acme-0")
        pod.info, pod.told_at = info(4, None, device=device, **fields), self.now


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    return Elsewhere(monkeypatch, DeviceState(online=True, queue_length=100, prices=PRICES))


def backend(**status: Any) -> QuantumBackend:
    metadata = {"name": "acme", "namespace": "lab"}
    return QuantumBackend.model_validate({"metadata": metadata, "spec": {"plugin": SECTION}, "status": status})


@pytest.mark.parametrize(
    ("device", "serves", "status", "reason", "message"),
    [
        (DeviceState(True), True, "True", "Online", "the device runs tasks"),
        (
            OFFLINE,
            True,
            "False",
            "Offline",
            "its next window opens at noon; it runs tasks again at 2001-09-09T01:46:40Z",
        ),
        (DeviceState(False), True, "False", "Offline", "its vendor gives no reason"),
        (None, True, "Unknown", "NotTold", "the pod has not heard of the device yet"),
        (None, False, "Unknown", "NotTold", "no pod serves that could ask for the device"),
    ],
)
def test_the_backend_says_whether_its_device_is_there(
    device: DeviceState | None, serves: bool, status: str, reason: str, message: str
) -> None:
    told = status_of(backend(), Seen(infos=[info(device=device)] if serves else []), NOW)
    found = {each.type: each for each in told.conditions}["Available"]
    assert (found.status, found.reason, found.message) == (status, reason, message)
    assert told.engine == "Acme"


def test_the_status_has_the_queue_and_the_prices_in_force() -> None:
    device = replace(OFFLINE, queue_length=17, wait_seconds=90.25, prices=PRICES)
    pods = BackendPods()
    assert pricing_of(pods, backend()) is None
    known = backend(pricing={"source": "Vendor", "currency": "EUR", "perTask": "1", "perShot": "0", "perSecond": "0"})
    # As the vendor last said, while no pod tells.
    pricing = pricing_of(pods, known)
    assert pricing is not None
    assert (pricing.currency, pricing.per_task) == ("EUR", "1")
    told = status_of(backend(), Seen(infos=[info(device=device)], pricing=pricing), NOW)
    assert told.device is not None
    assert (told.device.queue_length, told.device.available_at) == (17, "2001-09-09T01:46:40Z")
    assert told.device.wait_seconds == 90
    assert told.pricing is not None
    assert (told.pricing.source, told.pricing.per_task, told.pricing.currency) == ("Vendor", "1", "EUR")
    own = backend().spec.model_copy(update={"pricing": pricing})
    told = status_of(backend().model_copy(update={"spec": own}), Seen(pricing=pricing), NOW)
    assert told.pricing is not None
    assert told.pricing.source == "Spec"


async def test_a_calibration_is_fetched_when_the_pod_names_another_one() -> None:
    lima = snapshots.load("lima")
    assert not calibration.is_stale(backend(), None, NOW, None)
    assert not calibration.is_stale(backend(), None, NOW, "")
    assert calibration.is_stale(backend(), None, NOW, lima.digest)
    known = await calibration.told(lima.digest, lima.to_dict(), None, NOW)
    assert known.noise == lima
    assert not calibration.is_stale(backend(), known, NOW, lima.digest)
    assert calibration.is_stale(backend(), known, NOW, "another")
    # What cannot be read is said, not fetched for ever, and what was known holds.
    bad = await calibration.told("another", {"format": "none"}, known, NOW)
    assert bad.noise == lima
    assert calibration.verdict(bad, [info()], NOW).reason == "Invalid"
    assert not calibration.is_stale(backend(), bad, NOW, "another")


async def test_an_offline_device_gets_no_new_job(world: Elsewhere) -> None:
    world.tell(replace(OFFLINE, prices=PRICES))
    world.job("j")
    await world.rounds.once()
    decision = world.flight("j").proposal
    assert decision is not None
    assert decision.backend is None
    assert (
        "lab/acme is not ready: its device runs nothing now: its next window opens at noon; it runs tasks again at "
        "2001-09-09T01:46:40Z" in decision.reason
    )


async def test_a_wait_that_the_vendor_tells_is_the_forecast_whatever_the_queue(world: Elsewhere) -> None:
    world.tell(DeviceState(online=True, queue_length=2, wait_seconds=9000.0, prices=PRICES))
    world.job("j", shots=1000)
    await world.rounds.once()
    (told,) = world.flight("j").forecast
    assert told.wait_seconds is not None
    assert 8000 < told.wait_seconds.mid < 11_000


async def test_its_queue_and_its_prices_are_in_the_forecast(world: Elsewhere) -> None:
    world.job("j", shots=1000)
    await world.rounds.once()
    (told,) = world.flight("j").forecast
    assert told.cost is not None
    # A task and a thousand shots.
    assert (told.cost.mid, told.currency) == (0.65, "EUR")
    assert told.wait_seconds is not None
    # A hundred tasks of five seconds or so.
    assert 200 < told.wait_seconds.mid < 1500
    # Nothing of how a simulator would hold its state bounds it, and its calibration is not known.
    (seen,) = world.rounds.sight.backends(NOW)
    assert (seen.method, seen.memory_bytes, seen.two_qubit_error, seen.recorded) == ("Device", None, None, True)
    assert told.fidelity is None


_PARTS = TaskLimits(shots=10_000)
_SETS = replace(_PARTS, programs=100, total_shots=200_000)


@pytest.mark.parametrize(
    ("limits", "budget", "cost", "placed"),
    [
        (_PARTS, "9.10", "9.65", False),
        (_PARTS, "9.70", "9.65", True),
        # The two parts of 10,000 shots share a task.
        (_SETS, "9.30", "9.35", False),
        (_SETS, "9.40", "9.35", True),
    ],
)
async def test_each_part_of_the_shots_that_a_device_takes_at_once_has_its_fee(
    world: Elsewhere, limits: TaskLimits, budget: str, cost: str, placed: bool
) -> None:
    """25,000 shots cost 8.75 and three fees of 0.30, or two; with one fee it would be 9.05."""
    world.tell(DeviceState(online=True, prices=PRICES, limits=limits))
    world.job("j", shots=25_000, budget={"amount": budget, "currency": "EUR"})
    await world.rounds.once()
    decision = world.flight("j").proposal
    assert decision is not None
    assert (decision.backend is not None) is placed
    assert placed or f"acme would cost up to {cost} EUR and the budget has {budget} EUR" in decision.reason
    if placed:
        assert world.submissions.send("chem/j", world.state.jobs["chem/j"], world.flight("j"), decision, [SENT])
        await settled()
        ended = TaskResult(TASK, "Completed", (PubResult(counts=({"00": 25_000},), shots=25_000),))
        world.pods.answers[TASK].set_result(ended)
        await settled()
        assert world.flight("j").usage.cost_in("EUR") == Decimal(cost)


async def test_a_task_that_answered_a_part_and_the_one_for_the_rest_both_have_their_fee(world: Elsewhere) -> None:
    world.tell(DeviceState(online=True, prices=PRICES, limits=replace(_PARTS, programs=100)))
    world.job("j", shots=20_000)
    await world.rounds.once()
    decision = world.flight("j").proposal
    assert decision is not None
    assert world.submissions.send("chem/j", world.state.jobs["chem/j"], world.flight("j"), decision, [SENT])
    await settled()
    states = ("Completed", "Failed", "Completed")
    there = tuple(VendorTask(str(number), state) for number, state in enumerate(states))
    counts = (PubResult(counts=({"00": 20_000},), shots=20_000),)
    world.pods.answers[TASK].set_result(TaskResult(TASK, "Completed", counts, vendor_tasks=there))
    await settled()
    # 20,000 shots and two fees: what failed costs nothing.
    assert world.flight("j").usage.cost_in("EUR") == 20_000 * PRICES.shot + 2 * PRICES.task


async def test_each_part_of_a_job_that_is_split_is_reserved_with_its_fees(world: Elsewhere) -> None:
    """12,500 shots are two tasks on each device, and 25,000 would be three on one."""
    world.tell(DeviceState(online=True, prices=PRICES, limits=_PARTS))
    job = world.job("j", shots=25_000)
    (acme,) = seen = world.rounds.sight.backends(NOW)
    offers = world.forecasts.offers(seen)
    row = world.forecasts.row(job, world.flight("j"), offers)
    halves = tuple(Part(acme, 12_500, "Split") for _ in range(2))
    for parts, cost in (((), "9.65"), (halves, "9.95"), ((Part(acme, 25_000, "Hedge"),) * 2, "19.3")):
        most = world.forecasts.most(job, world.flight("j"), Decision("chem/j", acme, "", parts=parts), row, offers)
        assert most.cost_in("EUR") == Decimal(cost)


@pytest.mark.parametrize(
    ("budget", "parts"),
    # 25,000 shots cost 8.75. On one device they are three tasks of 0.30, and two on each of two devices.
    [("9.94", []), ("9.95", [12_501, 12_499])],
)
async def test_a_job_is_split_over_devices_where_the_budget_has_the_fees_of_all_its_parts(
    world: Elsewhere, budget: str, parts: list[int]
) -> None:
    device = DeviceState(online=True, prices=PRICES, limits=_PARTS, ideal=True)
    world.backend("bell", simulator=None, plugin=SECTION)
    for name in ("acme-0", "bell-0"):
        world.pod(name).info = info(4, None, device=device)
    world.job("j", shots=25_000, budget={"amount": budget, "currency": "EUR"}, placement={"split": {"minShots": 100}})
    await world.rounds.once()
    decision = world.flight("j").proposal
    assert decision is not None
    assert decision.backend is not None
    assert [part.shots for part in decision.parts] == parts
    assert decision.reason.endswith(", up to 9.95 EUR together") is bool(parts)


async def test_a_device_that_makes_no_errors_is_compared_by_that(world: Elsewhere) -> None:
    world.tell(DeviceState(online=True, prices=PRICES, ideal=True))
    world.job("j", shots=1000, placement={"minFidelity": 0.9})
    await world.rounds.once()
    (told,) = world.flight("j").forecast
    assert told.fidelity is not None
    assert (told.fidelity.low, told.fidelity.high) == (1.0, 1.0)
    (seen,) = world.rounds.sight.backends(NOW)
    assert (seen.two_qubit_error, seen.readout_error) == (0.0, 0.0)


def recorded(world: Elsewhere, **fields: Any) -> None:
    status = {"state": "Placed", "attempts": 1, "backend": "lab/acme", "placement": "the best", "submissions": [RECORD]}
    world.job("j", status={**status, **fields})


async def test_who_follows_sends_the_recorded_task_there_whatever_placement_would_say(world: Elsewhere) -> None:
    world.backend("aer")
    world.tell(OFFLINE)
    recorded(world)
    await world.rounds.once()
    decision = world.flight("j").proposal
    assert decision is not None
    assert decision.backend is not None
    assert (decision.backend.name, decision.reason) == ("acme", "the best")
    # Without a pod it waits.
    world.flight("j").discard_proposal()
    world.pod("acme-0").lose(1.0)
    await world.rounds.once()
    decision = world.flight("j").proposal
    assert decision is not None
    assert decision.backend is None
    assert decision.reason.startswith("its tasks are on lab/acme, and no pod there answers")


async def test_the_servers_that_a_task_may_be_recorded_for(world: Elsewhere) -> None:
    device = DeviceState(online=True, prices=PRICES)
    world.tell(device, boot="b1")
    acme = Backend("acme", "lab", admits_all_namespaces=False, recorded=True)
    assert boots(world.state, Decision("chem/j", acme, "")) == {world.pod("acme-0").uid: "b1"}
    assert boots(world.state, Decision("chem/j", replace(acme, recorded=False), "")) == {}
    # Nothing is to be sent.
    assert boots(world.state, Decision("chem/j", None, "all are too expensive")) == {}
    world.pod("acme-0").info = None
    assert boots(world.state, Decision("chem/j", acme, "")) == {}


async def test_a_task_whose_pod_is_lost_is_sent_again_under_its_id(
    world: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qonverge.controller.jobs.submissions._BACKOFF", Backoff(0.0, 0.0))
    recorded(world)
    await world.rounds.once()
    job, flight = world.state.jobs["chem/j"], world.flight("j")
    assert flight.proposal is not None
    boots = {world.pod("acme-0").uid: "b1", "another": "b2"}
    assert world.submissions.send("chem/j", job, flight, flight.proposal, [SENT], boots=boots)
    await settled()
    for error, again in ((PodNotReached("it starts"), False), (PodLost("the pod went away"), True)):
        given = world.pods.given.pop(TASK)
        # Another server of the pod sees that it is not the one which was there first.
        assert (given.again, given.boot) == (False, "b1")
        world.pods.answers.pop(TASK).set_exception(error)
        for _ in range(10):
            await asyncio.sleep(0)
        assert list(world.pods.answers) == [TASK]
        assert world.pods.given[TASK].again is again
    assert (flight.attempts, [sent.identity for sent in flight.sent]) == (1, [TASK])
    assert is_wanted(world.state, TaskInfo(TASK, OPERATOR_SUBJECT, "Running"), world.endpoint("acme-0"))
    done = TaskResult(TASK, "Completed", vendor_tasks=(VendorTask("arn:1", "Completed"),))
    world.pods.answers[TASK].set_result(done)
    await settled()
    assert flight.result == done
    assert [task.id for task in flight.all_vendor_tasks] == ["arn:1"]
    assert not world.assigned


async def test_the_vendor_s_ids_that_are_known_go_along_when_a_task_is_sent_again(
    world: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qonverge.controller.jobs.submissions._BACKOFF", Backoff(0.0, 0.0))
    # The first is of the status, as an operator before this one wrote it.
    recorded(world, cloudTasks=[{"id": "one", "state": "Running", "key": "k1"}, {"id": "odd", "state": "Running"}])
    await world.rounds.once()
    job, flight = world.state.jobs["chem/j"], world.flight("j")
    assert flight.proposal is not None
    assert world.submissions.send("chem/j", job, flight, flight.proposal, [SENT], again=True)
    await settled()
    given = world.pods.given.pop(TASK)
    assert given.known == {"k1": "one"}
    # As they were recorded, whatever the device takes by now.
    assert given.limits == TaskLimits(10_000, 100)
    told = world.pods.told[TASK]
    assert told is not None
    told(TaskResult(TASK, "Running", vendor_tasks=(VendorTask("two", "Queued", key="k2"),)))
    world.pods.answers.pop(TASK).set_exception(PodLost("the pod went away"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.pods.given[TASK].known == {"k1": "one", "k2": "two"}
    world.pods.answers[TASK].set_result(TaskResult(TASK, "Completed"))
    await settled()


async def test_a_task_ends_without_a_result_where_it_is_refused_or_its_backend_deleted(
    world: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qonverge.controller.jobs.submissions._BACKOFF", Backoff(0.0, 0.0))
    for error, code in ((InvalidTask("no such gate"), "InvalidTask"), (PodLost("gone"), "BackendLost")):
        recorded(world)
        await world.rounds.once()
        job, flight = world.state.jobs["chem/j"], world.flight("j")
        assert flight.proposal is not None
        assert world.submissions.send("chem/j", job, flight, flight.proposal, [SENT])
        await settled()
        if code == "BackendLost":
            del world.state.backends["lab/acme"]
        world.pods.answers[TASK].set_exception(error)
        for _ in range(10):
            await asyncio.sleep(0)
        assert flight.result is not None
        assert flight.result.error is not None
        assert flight.result.error.code == code


async def test_what_is_recorded_is_displaced_by_nobody(world: Elsewhere) -> None:
    recorded(world)
    await world.rounds.once()
    job, flight = world.state.jobs["chem/j"], world.flight("j")
    assert flight.proposal is not None
    assert world.submissions.send("chem/j", job, flight, flight.proposal, [SENT])
    await settled()
    world.foresee("j", Interval(1, 1, 1))
    (active,) = world.rounds.sight.active(NOW)
    assert not active.preemptible
    assert FINALIZER == "qonverge.io/cloud-tasks"
    flight.stop()
    await settled()


class Statuses:
    """What a job's object gets, at the boundary to the API server."""

    def __init__(self) -> None:
        self.held: list[bool] = []
        self.written: list[Any] = []

    async def set_finalizer(self, obj: Any, finalizer: str, *, held: bool) -> None:
        assert finalizer == FINALIZER
        self.held.append(held)

    async def write(self, obj: Any, status: Any) -> None:
        self.written.append(status)


class Asked(DataPlane):
    """A pod that says what it is told to."""

    def __init__(self, *answers: TaskResult | PodLost | None) -> None:
        self.answers, self.started = list(answers), list[str]()

    async def settle(self, endpoint: Endpoint, audience: str, identity: str) -> TaskResult | None:
        answer = self.answers.pop(0)
        if isinstance(answer, PodLost):
            raise answer
        return answer

    async def start(self, endpoint: Endpoint, audience: str, task: Task) -> None:
        self.started.append(task.id)


def settler(world: Elsewhere, data: DataPlane, events: Events) -> tuple[CloudTasks, Statuses]:
    statuses = Statuses()
    made = CloudTasks(
        state=world.state,
        kube=cast("Kube", None),
        statuses=cast("StatusWriter", statuses),
        data=data,
        checker=cast("Checker", None),
        queue=world.queue,
        events=events,
        clock=lambda: world.now,
    )
    return made, statuses


def deleted(world: Elsewhere, *, ago: float = 1.0, **annotations: str) -> HybridJob:
    recorded(world)
    job = world.state.jobs["chem/j"]
    gone = {"deletion_timestamp": timestamp(NOW - ago), "annotations": annotations, "finalizers": [FINALIZER]}
    return job.model_copy(update={"metadata": job.metadata.model_copy(update=gone)})


CANCELLED = TaskResult(TASK, "Cancelled", vendor_tasks=(VendorTask("arn:1", "Cancelled"),))
OPEN = replace(CANCELLED, vendor_tasks=(VendorTask("arn:1", "Running", message="not now"),))


@pytest.mark.parametrize(
    ("answer", "released"),
    [(CANCELLED, True), (replace(CANCELLED, stopping=True), False), (OPEN, False), (PodLost("no answer"), False)],
)
async def test_a_job_is_let_go_when_the_pod_says_that_all_has_ended(
    world: Elsewhere, answer: TaskResult | PodLost, released: bool
) -> None:
    events: list[Any] = []
    made, statuses = settler(world, Asked(answer), cast("Events", Told(events)))
    await made.settle(deleted(world))
    assert statuses.held == ([False] if released else [])
    assert [reason for reason, _ in events] == ([] if released else ["CloudTasksRemain"])
    assert [status.reason for status in statuses.written] == ([] if released else ["CloudTasksRemain"])


async def test_a_pod_that_is_silent_keeps_a_worker_for_one_call(world: Elsewhere) -> None:
    pod = Asked(PodLost("no answer"), CANCELLED, CANCELLED)
    made, statuses = settler(world, pod, cast("Events", Told([])))
    job = deleted(world)
    parts = [Submission.model_validate({**RECORD, "task": f"{TASK}.{number}"}) for number in (1, 2)]
    job = job.model_copy(update={"status": job.status.model_copy(update={"submissions": parts})})
    for _ in range(2):
        await made.settle(job)
        # Neither the other part nor the next reconcile asks it.
        assert (len(pod.answers), statuses.held) == (2, [])
    assert "no pod of the backend lab/acme answers" in statuses.written[-1].message
    world.pod("acme-0").answer(info(), 0.1, NOW)
    await made.settle(job)
    assert (pod.answers, statuses.held) == ([], [False])


class Told:
    def __init__(self, events: list[Any]) -> None:
        self._events = events

    def warn(self, obj: Any, reason: str, message: str) -> None:
        self._events.append((reason, message))


@pytest.mark.parametrize("way", ["time", "annotation", "backend"])
async def test_what_cannot_be_ended_keeps_no_job_for_ever(world: Elsewhere, way: str) -> None:
    events: list[Any] = []
    made, statuses = settler(world, Asked(OPEN), cast("Events", Told(events)))
    if way == "backend":
        del world.state.backends["lab/acme"]
    annotations = {ABANDON_ANNOTATION: "true"} if way == "annotation" else {}
    await made.settle(deleted(world, ago=3601 if way == "time" else 1, **annotations))
    assert statuses.held == [False]
    ((reason, message),) = events
    assert reason == "CloudTasksAbandoned"
    assert "1 task on devices elsewhere may still run" in message


async def test_a_wait_that_was_learned_does_not_keep_jobs_from_an_idle_site_for_ever() -> None:
    """Only a job that is sent there shows that the wait is over."""
    world = World()
    world.backend("edge", simulator=None, remote={"url": "https://edge.example"})
    pod, waits = world.pod("edge-0"), []
    for name, waited in (("first", 40.0), ("second", 0.0), ("third", 0.0)):
        pod.answer(info(1, device=DeviceState(online=True, queue_length=0, ideal=True)), 0.01, world.now)
        waits.append(world.forecasts.device_wait(world.state.backends["lab/edge"], world.now))
        world.job(name)
        await world.round()
        (sent,) = world.flight(name).sent
        world.now += 60
        results = (PubResult(counts=({"00": 1000},), shots=1000, method="statevector"),)
        done = TaskResult(
            sent.identity, "Completed", results, engine="Aer", seed=1, queue_seconds=waited, run_seconds=1.0
        )
        world.pods.answers[sent.identity].set_result(done)
        await settled()
    first, second, third = waits
    assert (first or 0.0) < 1 < (third or 0.0) < (second or 0.0)
