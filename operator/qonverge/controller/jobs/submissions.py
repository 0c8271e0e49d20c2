"""Sends what was placed to pods: one task for a job, or several where its shots are split or it is hedged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from qonverge.amounts import Amounts, Prices
from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import Submission
from qonverge.controller.jobs.patience import Patience
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.snapshot import USUAL, given_to_pods
from qonverge.controller.pods.errors import BackendLost, PodLost, PodNotReached, PodUnreachable
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.devices import device_of, prices_in_force, task_watts
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import Sent
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.execution import cloud_tasks
from qonverge.forecast.intervals import Interval
from qonverge.forecast.requests import WaitForecast
from qonverge.programs import circuit as circuits
from qonverge.queueing import Backoff
from qonverge.scheduling import Decision
from qonverge.telemetry import OperatorMetrics
from qonverge.wire.errors import Draining, WireError, WorkerLost
from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.vendor import limits_of

logger = logging.getLogger(__name__)

_BACKOFF = Backoff(0.5, 15.0)


@dataclass(slots=True)
class _Work:
    """A task and the pod that has it, which may be another by and by."""

    pod: BackendPod
    sent: Sent
    task: Task

    def move(self, flight: Flight, sent: Sent, pod: BackendPod) -> None:
        """Record that another pod gets it."""
        self.pod.release()
        pod.assign()
        self.pod, self.sent = pod, flight.relocate(sent, pod.endpoint)


class Submissions:
    """Tasks under way."""

    def __init__(
        self,
        *,
        state: State,
        data: DataPlane,
        forecasts: Forecasts,
        queue: WorkQueue,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        changed: Callable[[], None],
        metrics: OperatorMetrics,
    ) -> None:
        """Know no task.

        Args:
            state: what is known.
            data: asks the pods.
            forecasts: tell what is expected of tasks, and learn from them.
            queue: takes the jobs that are to be looked at.
            clock: Unix seconds.
            monotonic: seconds of a clock that is never set.
            changed: is called when a pod has less to do.
            metrics: count what a namespace used of a backend, and how forecasts compare with what came.
        """
        self._state = state
        self._data = data
        self._forecasts = forecasts
        self._queue = queue
        self._clock = clock
        self._monotonic = monotonic
        self._changed = changed
        self._metrics = metrics
        self._stopping: set[asyncio.Task[None]] = set()
        self._patience = Patience(state, data, monotonic)

    def send(
        self,
        key: str,
        job: HybridJob,
        flight: Flight,
        decision: Decision,
        record: Sequence[Submission] = (),
        *,
        again: bool = False,
        boots: Mapping[str, str] = MappingProxyType({}),
    ) -> bool:
        """Send the job as its next attempt and return whether that was possible: a pod may be gone since.

        ``record`` is that of the tasks where there is one in the job's status; such tasks cost money, and are sent
        again and again to the backend that was recorded until it tells how they ended; ``again`` says whether they may
        have been sent before, and ``boots`` which servers were there before they were recorded.
        """
        works = self._works(job, flight, decision, record, again=again, boots=boots)
        if works is None:
            return False

        def start() -> asyncio.Task[None]:
            tasks = []
            for work in works:
                work.pod.assign()
                way = self._once(key, job, flight, work) if record else self._one(job, flight, work)
                one = asyncio.create_task(way)
                one.add_done_callback(partial(self._gone, flight, work))
                tasks.append(one)
            run = self._run(job, flight, tasks, works, hedged=cloud_tasks.is_hedged(decision))
            running = asyncio.create_task(run)
            running.add_done_callback(partial(self._ended, key, flight, tasks))
            return running

        flight.send(decision, tuple(work.sent for work in works), self._clock(), start)
        return True

    def _works(
        self,
        job: HybridJob,
        flight: Flight,
        decision: Decision,
        record: Sequence[Submission],
        *,
        again: bool,
        boots: Mapping[str, str],
    ) -> list[_Work] | None:
        """Return the tasks with the pods that get them."""
        assert flight.checked is not None
        assert decision.backend is not None
        state, now = self._state, self._clock()
        hedged, total = cloud_tasks.is_hedged(decision), sum(part.shots for part in decision.parts)
        names = [each.task for each in record] or cloud_tasks.identities(decision, flight.next_identity)
        works, taken = [], set[str]()
        for number, (identity, (placed, shots)) in enumerate(zip(names, cloud_tasks.parts_of(decision), strict=True)):
            holder = state.pods.holder(identity)
            # What is to go does what it has.
            pods = [pod for pod in state.reachable_of(placed.key) if pod is holder] or state.pods_of(placed.key)
            if not pods:
                return None
            pod = min(pods, key=lambda each: (each.uid in taken, each.assigned, each.uid))
            taken.add(pod.uid)
            # All shots again have the same seed again.
            task = circuits.task(job, flight.checked, identity, shots=shots, part=0 if hedged else number)
            run, promise = self._forecasts.run_seconds(flight, placed.key), self._promise(placed.key, pod, now)
            if run is not None and shots is not None:
                run = Interval(*(shots / total * value for value in (run.low, run.mid, run.high)))
            fidelity = self._forecasts.fidelity(flight, placed.key)
            sent = Sent(identity, pod.endpoint, placed.key, now, run, promise, whole=shots is None, fidelity=fidelity)
            known = cloud_tasks.ids_of(job.status.cloud_tasks or ()) if again else {}
            limits = cloud_tasks.limits_of(record[number]) if record else None
            trace = "" if flight.spans is None else flight.spans.task(identity).traceparent
            sending = replace(
                task, again=again, known=known, boot=boots.get(pod.uid, ""), limits=limits, traceparent=trace
            )
            works.append(_Work(pod, sent, sending))
        return works

    def _promise(self, key: str, pod: BackendPod, now: float) -> WaitForecast | None:
        """Return what is said of the wait, where the pod has a queue and something can be learned from it."""
        # What the pods have is looked up last, since that takes a time that grows with all jobs.
        if pod.info is None:
            return None
        backend = self._state.backends.get(key)
        if pod.assigned < pod.info.workers and not (backend is not None and backend.spec.source.elsewhere):
            return None
        if not self._forecasts.learns_wait(key, now):
            return None
        tasks = given_to_pods(self._state, now).get(pod.uid, [])
        return self._forecasts.promise(key, pod.info.workers, tasks, now)

    def keep_time(self) -> None:
        """Let the time run for tasks on pods that do not answer; after each poll."""
        self._patience.keep_time()

    def withdraw(self, key: str, flight: Flight) -> None:
        """Take a job's tasks back from their pods: it waits for another place, and this attempt does not count."""
        flight.withdraw()
        self._queue.add(f"HybridJob {key}", urgent=True)

    async def _run(
        self,
        job: HybridJob,
        flight: Flight,
        tasks: Sequence[asyncio.Task[TaskResult]],
        works: Sequence[_Work],
        *,
        hedged: bool,
    ) -> None:
        result = await (_first(tasks) if hedged else _all(tasks))
        if flight.running is not asyncio.current_task():
            return
        if len(works) == 1 and _is_handed_back(result):
            flight.hand_back()
        else:
            # Nobody waits any more for what lost the race, or for the other parts of what failed: it took its time.
            now = self._clock()
            for sent in flight.sent:
                self._count(job, flight, sent, self._prices(sent).bill(Amounts(seconds=sent.elapsed(now))))
            flight.end(result, counts=not _is_fault_of_pod(result, works))

    def _ended(
        self, key: str, flight: Flight, tasks: Sequence[asyncio.Task[TaskResult]], running: asyncio.Task[None]
    ) -> None:
        """Clear up behind ``_run``, which may have been cancelled before its first step."""
        for task in tasks:
            task.cancel()
        error = None if running.cancelled() else running.exception()
        if error is not None:
            logger.error("%s: unforeseen error", key, exc_info=error)
        if flight.running is running:
            if error is None:
                flight.interrupt()
            else:
                lost = WorkerLost(f"the result could not be taken: {error}")
                flight.end(TaskResult(key, "Failed", error=lost))
        self._queue.add(f"HybridJob {key}", urgent=True)
        self._changed()

    def _gone(self, flight: Flight, work: _Work, task: asyncio.Task[TaskResult]) -> None:
        """Record that the pod has the task no more, whether it was sent or cancelled before."""
        sent = work.sent
        if flight.spans is not None:
            # What an operator that ends leaves to its successor has not ended.
            goes_on = task.cancelled() and any(each.identity == sent.identity for each in flight.sent)
            if not goes_on and (task.cancelled() or task.exception() is None):
                flight.spans.sent(sent, None if task.cancelled() else task.result())
        flight.release(sent)
        work.pod.release()

    def _learn(self, job: HybridJob, flight: Flight, sent: Sent, result: TaskResult) -> None:
        """Count what a task used, and learn from it."""
        assert flight.checked is not None
        backend = self._state.backends.get(sent.backend_key)
        device = None if backend is None else device_of(self._state.pods, backend)
        limits = limits_of(device)
        used = circuits.used(self._prices(sent), circuits.work(job, flight.checked), result, limits)
        self._count(job, flight, sent, used)
        self._forecasts.observe(job, flight, sent, result)
        if result.error is not None or result.cached:
            return
        if (run := sent.run_seconds) is not None:
            self._metrics.compare(sent.backend_key, "run", (run.low, run.mid, run.high), result.run_seconds)
        if sent.promised is not None:
            wait = sent.promised.corrected
            self._metrics.compare(sent.backend_key, "wait", (wait.low, wait.mid, wait.high), result.queue_seconds)

    def _count(self, job: HybridJob, flight: Flight, sent: Sent, used: Amounts) -> None:
        watts, _ = task_watts(self._state.powers, self._state.backends.get(sent.backend_key), self._clock())
        used = used.at_power(watts)
        flight.charge(used)
        self._metrics.spend(job.metadata.namespace, sent.backend_key, used)

    def _prices(self, sent: Sent) -> Prices:
        return prices_in_force(self._state.pods, self._state.backends.get(sent.backend_key))

    async def _one(self, job: HybridJob, flight: Flight, work: _Work) -> TaskResult:
        """Send a task and return how it ended; one that its pod did not begin goes to another of the backend."""
        while True:
            result = await self._send(job, flight, work)
            if not _is_handed_back(result):
                return result
            logger.info("task %s goes to another pod: %s", work.task.id, result.error)
            # It may be known there since before this operator led.
            self._state.pods.let_go(work.task.id)
            if isinstance(result.error, Draining):
                work.pod.refuse()
            pods = [pod for pod in self._state.pods_of(work.sent.backend_key) if _has_room(pod)]
            if not pods:
                return result
            # What was said of its wait was said of the former pod.
            again = replace(work.sent, at=self._clock(), promised=None)
            work.move(flight, again, min(pods, key=lambda pod: (pod.assigned, pod.uid)))

    async def _send(self, job: HybridJob, flight: Flight, work: _Work) -> TaskResult:
        sent, task = work.sent, work.task
        try:
            result = await self._patience.result(work.pod, sent, task, job.spec.retry_policy)
            self._learn(job, flight, sent, result)
            return result
        except asyncio.CancelledError:
            # An operator that ends leaves the task to its successor.
            if sent not in flight.sent:
                stopping = asyncio.create_task(self._cancel(sent))
                self._stopping.add(stopping)
                stopping.add_done_callback(self._stopping.discard)
            raise
        except PodLost as error:
            work.pod.lose(self._monotonic())
            if isinstance(error, PodUnreachable):
                # It may run there all the same, until the pod is heard of and it is cancelled.
                time = min(sent.elapsed(self._clock()), (sent.run_seconds or USUAL).high)
                self._count(job, flight, sent, self._prices(sent).bill(Amounts(seconds=time)))
            return TaskResult(task.id, "Failed", error=error)
        except WireError as error:
            return TaskResult(task.id, "Failed", error=error)

    async def _once(self, key: str, job: HybridJob, flight: Flight, work: _Work) -> TaskResult:
        """Send a task that costs money until its backend tells how it ended: by its id it is begun once."""
        task, failures, known = work.task, 0, dict(work.task.known)

        def told(result: TaskResult) -> None:
            known.update(cloud_tasks.ids_of(result.vendor_tasks))
            if flight.note(task.id, result.vendor_tasks):
                self._queue.add(f"HybridJob {key}")

        while True:
            sent = work.sent
            try:
                whole = replace(task, known=dict(known))
                result = await self._data.run(sent.endpoint, sent.backend_key, whole, told=told)
            except WireError as error:
                if not error.retryable:
                    return TaskResult(task.id, "Failed", error=error)
                if isinstance(error, PodLost):
                    work.pod.lose(self._monotonic())
                    if not isinstance(error, PodNotReached):
                        task = replace(task, again=True)
                logger.info("task %s is sent again: %s", task.id, error)
            else:
                told(result)
                self._learn(job, flight, sent, result)
                return result
            failures += 1
            await asyncio.sleep(_BACKOFF.wait(failures))
            if not self._state.has_backend(sent.backend_key):
                lost = f"the backend {sent.backend_key} was deleted while it had the task"
                gone = BackendLost(f"{lost}: what its vendor runs may run on and cost money")
                return TaskResult(task.id, "Failed", error=gone)
            if pods := self._state.pods_of(sent.backend_key):
                work.move(flight, sent, min(pods, key=lambda each: each.uid))

    async def _cancel(self, sent: Sent) -> None:
        try:
            await self._data.cancel(sent.endpoint, sent.backend_key, sent.identity)
        except WireError as error:
            logger.info("task %s could not be cancelled: %s", sent.identity, error)


def boots(state: State, decision: Decision) -> dict[str, str]:
    """Return the present starts of the servers that get what is recorded first, by their pods' uids."""
    if decision.backend is None or not cloud_tasks.is_recorded(decision):
        return {}
    backends = {placed.key for placed, _ in cloud_tasks.parts_of(decision)}
    pods = [pod for key in backends for pod in state.pods_of(key)]
    return {pod.uid: pod.info.boot for pod in pods if pod.info is not None}


def _is_handed_back(result: TaskResult) -> bool:
    """Return whether a pod did not begin a task, since it shuts down or has ended already."""
    return isinstance(result.error, Draining | PodNotReached) and not result.run_seconds


def _is_fault_of_pod(result: TaskResult, works: Sequence[_Work]) -> bool:
    """Return whether a task was lost since somebody ended its pod, and it took longer than the pod was given."""
    if isinstance(result.error, PodLost):
        return any(work.pod.terminating for work in works if work.task.id == result.id)
    return isinstance(result.error, Draining)


def _has_room(pod: BackendPod) -> bool:
    return pod.info is None or pod.assigned < pod.info.queue_limit


async def _all(tasks: Sequence[asyncio.Task[TaskResult]]) -> TaskResult:
    """Return the merged results, or the first that is bad: the others are of no use then."""
    for done in asyncio.as_completed(tasks):
        result = await done
        if result.error is not None:
            return result
    return circuits.merged([task.result() for task in tasks])


async def _first(tasks: Sequence[asyncio.Task[TaskResult]]) -> TaskResult:
    """Return the first result that is good, or else the last one."""
    result: TaskResult | None = None
    for done in asyncio.as_completed(tasks):
        result = await done
        if result.error is None:
            break
    assert result is not None
    return result
