"""Sends what was placed to pods: one task for a job, or several where its shots are split or it is hedged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from qonverge.api import HybridJob
from qonverge.controller.dataplane import DataPlane, PodLost
from qonverge.controller.forecasts import Forecasts
from qonverge.controller.queue import WorkQueue
from qonverge.controller.snapshot import given_to_pods, label_key
from qonverge.controller.state import Endpoint, Flight, Sent, State
from qonverge.forecast.outlook import Promise
from qonverge.lifecycle import circuit as circuits
from qonverge.scheduling import Backend, Decision
from qonverge.wire.errors import WireError
from qonverge.wire.messages import Task, TaskResult

logger = logging.getLogger(__name__)

Work = tuple[Sent, Task]


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
        changed: Callable[[], None],
    ) -> None:
        """``clock`` gives Unix seconds; ``changed`` is called when a pod has less to do."""
        self._state = state
        self._data = data
        self._forecasts = forecasts
        self._queue = queue
        self._clock = clock
        self._changed = changed
        self._stopping: set[asyncio.Task[None]] = set()

    def send(self, key: str, job: HybridJob, flight: Flight, decision: Decision) -> bool:
        """Send the job as its next attempt and return whether that was possible: a pod may be gone since."""
        works = self._works(job, flight, decision)
        if works is None:
            return False
        now = self._clock()
        flight.decision, flight.planned, flight.wants, flight.result = decision, None, False, None
        flight.attempts += 1
        flight.placed_at, flight.started_at = flight.placed_at or now, now
        flight.sent = [sent for sent, _ in works]
        for sent in flight.sent:
            assigned = self._state.assigned
            assigned[sent.endpoint.pod] = assigned.get(sent.endpoint.pod, 0) + 1
        hedged = any(part.kind == "Hedge" for part in decision.parts)
        flight.running = asyncio.create_task(self._run(key, job, flight, works, hedged=hedged))
        return True

    def _works(self, job: HybridJob, flight: Flight, decision: Decision) -> list[Work] | None:
        """Return the tasks with the pods that get them."""
        assert flight.checked is not None
        assert decision.backend is not None
        state, now = self._state, self._clock()
        whole = f"{flight.uid}-{flight.generation}-{flight.attempts + 1}"
        parts: list[tuple[Backend, int | None]] = [(part.backend, part.shots) for part in decision.parts]
        parts = parts or [(decision.backend, None)]
        works, taken = [], set[str]()
        for number, (placed, shots) in enumerate(parts):
            backend = state.backends.get(placed.key)
            endpoints = [] if backend is None else state.endpoints_of(label_key(backend))
            if backend is None or not endpoints:
                return None
            identity = whole if number == 0 else f"{whole}.{number}"
            held = state.held.get(identity)
            endpoint = min(
                endpoints, key=lambda e: (e.pod != held, e.pod in taken, state.assigned.get(e.pod, 0), e.pod)
            )
            taken.add(endpoint.pod)
            task = circuits.task(job, flight.checked, identity, shots=shots, part=number)
            promise = self._promise(placed.key, endpoint, now)
            run = self._forecasts.run_seconds(flight, placed.key)
            fidelity = self._forecasts.fidelity(flight, placed.key)
            sent = Sent(identity, endpoint, placed.key, now, run, promise, fidelity)
            works.append((sent, task))
        return works

    def _promise(self, key: str, endpoint: Endpoint, now: float) -> Promise | None:
        """Return what is said of the wait, where the pod has a queue and something can be learned from it."""
        info = self._state.infos.get(endpoint.pod)
        if info is None or self._state.assigned.get(endpoint.pod, 0) < info.workers:
            return None
        tasks = given_to_pods(self._state).get(endpoint.pod, [])
        return self._forecasts.promise(key, info.workers, tasks, now)

    def withdraw(self, key: str, flight: Flight) -> None:
        """Take a job's tasks back from their pods: it waits for another place, and this attempt does not count."""
        running, flight.running = flight.running, None
        flight.sent, flight.decision, flight.wants = [], None, True
        flight.withdrawn += 1
        if running is not None:
            running.cancel()
        self._queue.add(f"HybridJob {key}")

    async def _run(self, key: str, job: HybridJob, flight: Flight, works: Sequence[Work], *, hedged: bool) -> None:
        tasks = [asyncio.create_task(self._one(job, flight, sent, task)) for sent, task in works]
        try:
            result = await (_first(tasks) if hedged else _all(tasks))
            # Of what lost the race nobody waits any more.
            flight.sent = []
            if flight.running is asyncio.current_task():
                flight.result = result
        finally:
            for running in tasks:
                running.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if flight.running is asyncio.current_task():
                flight.running = None
            self._queue.add(f"HybridJob {key}")
            self._changed()

    async def _one(self, job: HybridJob, flight: Flight, sent: Sent, task: Task) -> TaskResult:
        endpoint, assigned = sent.endpoint, self._state.assigned
        try:
            result = await self._data.run(endpoint, sent.audience, task)
            backend = self._state.backends.get(sent.audience)
            flight.usage += circuits.used(backend.spec.pricing if backend is not None else None, result)
            self._forecasts.observe(job, flight, sent, result)
            return result
        except asyncio.CancelledError:
            # An operator that ends leaves the task to its successor.
            if flight.stopped or sent not in flight.sent:
                stopping = asyncio.create_task(self._cancel(sent))
                self._stopping.add(stopping)
                stopping.add_done_callback(self._stopping.discard)
            raise
        except PodLost as error:
            if endpoint.pod in self._state.endpoints:
                self._state.silent.add(endpoint.pod)
            return TaskResult(task.id, "Failed", error=error)
        except WireError as error:
            return TaskResult(task.id, "Failed", error=error)
        finally:
            flight.sent = [other for other in flight.sent if other is not sent]
            assigned[endpoint.pod] -= 1
            if not assigned[endpoint.pod]:
                del assigned[endpoint.pod]

    async def _cancel(self, sent: Sent) -> None:
        try:
            await self._data.cancel(sent.endpoint, sent.audience, sent.identity)
        except WireError as error:
            logger.info("task %s could not be cancelled: %s", sent.identity, error)


async def _all(tasks: Sequence[asyncio.Task[TaskResult]]) -> TaskResult:
    return circuits.merged(await asyncio.gather(*tasks))


async def _first(tasks: Sequence[asyncio.Task[TaskResult]]) -> TaskResult:
    """Return the first result that is good, or else the last one."""
    result: TaskResult | None = None
    for done in asyncio.as_completed(tasks):
        result = await done
        if result.error is None:
            break
    assert result is not None
    return result
