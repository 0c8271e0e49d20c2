"""Programs that run in a pod of their own and call a backend from there: how that is done, whatever the pod runs."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qonverge.accounting.conversion import usage_of
from qonverge.amounts import Amounts
from qonverge.api import HybridJob, HybridJobStatus, QuantumBackend
from qonverge.controller.jobs.actions import Action
from qonverge.controller.jobs.kinds import pod_conclusions, pod_decisions
from qonverge.controller.jobs.kinds.kind import Tools
from qonverge.controller.jobs.kinds.pod_actions import (
    Finish,
    Launch,
    LookForTasks,
    ReadEvents,
    ReadLog,
    Renew,
    Restart,
    TryAgain,
)
from qonverge.controller.jobs.view import View
from qonverge.controller.kube.client import KubeError
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.objects import object_names, program_objects, ranks
from qonverge.controller.objects.pod_troubles import of_events
from qonverge.controller.objects.points import of_points
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.settings import Settings
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.program_slots import slots_of, uses_backend
from qonverge.execution import retries
from qonverge.execution.points import left
from qonverge.execution.transitions import seconds
from qonverge.wire.errors import WireError

logger = logging.getLogger(__name__)

_CONFLICT = 409
_LOG_LINES = 20
_LOG_BYTES = 4000
# Of an attempt that failed.
_FAILED_LOG_LINES = 100


class PodProgram(ABC):
    """Jobs whose program is a ``batch/v1`` Job. A kind says which objects that takes."""

    # What runs cannot change, whatever else does.
    follows_changes = True
    completes_when_cancelled = False

    @abstractmethod
    def objects(
        self,
        job: HybridJob,
        backend: QuantumBackend,
        settings: Settings,
        *,
        attempt: int,
        tokens: Sequence[str],
        traceparent: str = "",
    ) -> list[dict[str, Any]]:
        """Return the objects of an attempt, in the order in which to apply them: the batch Job is the last.

        Args:
            job: the job.
            backend: the backend that it calls, or that its first ranks call.
            settings: images and resources of programs.
            attempt: which one, from 1.
            tokens: for the backend, and for reports; of a parallel program one for each backend of its ranks.
            traceparent: the span that it belongs to; empty where none is recorded.
        """

    def text(self, job: HybridJob) -> str | None:
        """Return the program's text, which pods have from the attempt's Secret; None where the job has none."""
        return None

    def attend(self, view: View, flight: Flight) -> list[Action] | None:
        """Look after the pod of an attempt, as far as there is one."""
        return pod_decisions.attend(view, flight) if uses_backend(view.job) else None

    def advance(self, view: View, flight: Flight) -> list[Action]:
        """Start the next attempt."""
        return pod_decisions.launch(view, flight)

    def expire(self, view: View, status: HybridJobStatus) -> list[Action]:
        """Keep what the program printed, write the end, and end the pod."""
        return pod_conclusions.expire(view, status)

    async def perform(self, action: Action, key: str, job: HybridJob, tools: Tools) -> None:
        """Make, renew and end attempts, and read how they are."""
        match action:
            case Launch():
                await self._launch(key, job, action, tools)
            case Renew():
                await self._renew(key, job, tools)
            case TryAgain(status, attempt, pod, remove):
                log = await self._log(key, job, pod, tools, failed=True)
                await tools.write(key, job, retries.with_log(status, log))
                if remove:
                    await tools.kube.delete("Job", job.metadata.namespace, object_names.program_name(job, attempt))
            case Finish(status, pod, remove):
                await self._finish(key, job, status, pod, tools)
                if remove:
                    await self.remove(job, tools)
            case ReadLog(pod):
                tools.state.flights[key].keep_log(await self._log(key, job, pod, tools, failed=True) or "")
            case ReadEvents(of):
                await self._read_events(key, job, of, tools)
            case LookForTasks(tasks):
                await _look_for_tasks(key, job, tasks, tools)
            case Restart(attempt, pauses):
                await self._restart(key, job, attempt, pauses, tools)
            case _:
                raise TypeError(f"{action} is nothing that a program in a pod needs")

    async def remove(self, job: HybridJob, tools: Tools) -> None:
        """Delete the objects of the last attempt, and of one that is not recorded."""
        attempts = job.status.attempts or 0
        for attempt in range(max(1, attempts), attempts + 2):
            await _delete(job, attempt, tools)

    async def _launch(self, key: str, job: HybridJob, launch: Launch, tools: Tools) -> None:
        assert launch.decision.backend is not None
        state = tools.state
        flight, found = state.flights[key], [state.backends.get(each.key) for each in launch.decision.backends]
        backends = [each for each in found if each is not None]
        if len(backends) < len(found):
            tools.replan(key, flight)
            return
        # What is worth keeping of them is in the status.
        for former in range(max(1, job.status.attempts or 0), launch.attempt):
            await _delete(job, former, tools)
        tools.metering.open(key, job, backends, launch.attempt)
        now = tools.clock()
        for obj in self._objects(job, backends, launch.attempt, now, tools):
            try:
                await _make(obj, tools)
            except KubeError as error:
                flight.refuse(Refusal.of(error, obj, flight.refusal, now))
                tools.queue.add(f"HybridJob {key}")
                return
        await tools.write(key, job, launch.status)
        flight.launch(launch.decision, renew_at=now + tools.settings.program_token_seconds / 2)

    def _objects(
        self, job: HybridJob, backends: Sequence[QuantumBackend], attempt: int, now: float, tools: Tools
    ) -> list[dict[str, Any]]:
        """Return the objects of an attempt, with tokens of its own."""
        tokens = [_token(job, object_names.audience(backend), attempt, now, tools) for backend in backends]
        flight = tools.state.flights.get(f"{job.metadata.namespace}/{job.metadata.name}")
        spans = None if flight is None else flight.spans
        trace = "" if spans is None else spans.attempt(attempt).traceparent
        made = self.objects(job, backends[0], tools.settings, attempt=attempt, tokens=tokens, traceparent=trace)
        *others, batch = made
        if job.spec.program.num_indexes is not None:
            return [*others, of_points(job, batch, left(job), slots_of(tools.state, backends[0]))]
        if not job.spec.program.has_ranks:
            return made
        return [*others, *ranks.of_ranks(job, batch, backends, tools.settings, attempt)]

    async def _renew(self, key: str, job: HybridJob, tools: Tools) -> None:
        attempt, now = job.status.attempts or 1, tools.clock()
        tokens = [_token(job, audience, attempt, now, tools) for audience in object_names.audiences_of(job)]
        await tools.kube.apply(program_objects.program_secret(job, attempt, tokens, tools.settings, self.text(job)))
        renew_at = now + tools.settings.program_token_seconds / 2
        tools.state.flights[key].renew(renew_at)
        tools.queue.add_at(f"HybridJob {key}", renew_at)

    async def _restart(self, key: str, job: HybridJob, attempt: int, pauses: int, tools: Tools) -> None:
        """Make the next pod of an attempt that paused, in the place of the one that it gave back."""
        backend, now = tools.state.backends.get(object_names.audience_of(job)), tools.clock()
        if backend is None:
            # Its loss ends the attempt.
            return
        await tools.kube.delete("Job", job.metadata.namespace, object_names.program_name(job, attempt, pauses - 1))
        for obj in self._objects(job, [backend], attempt, now, tools):
            await _make(obj, tools)
        tools.state.flights[key].seek_tasks(0.0)
        tools.state.flights[key].renew(now + tools.settings.program_token_seconds / 2)

    async def _finish(self, key: str, job: HybridJob, status: HybridJobStatus, pod: str | None, tools: Tools) -> None:
        failed = status.state == "Failed"
        log = await self._log(key, job, pod, tools, failed=failed)
        counted = await tools.metering.close(key) if _is_own(job, tools.state.flights.get(key)) else Amounts()
        # What ran before the job was held is in its status.
        usage = status.usage if status.usage is not None and not counted else usage_of(counted)
        waits = tools.metering.waits(job)
        # Another attempt would have done some of it again.
        if status.state == "Complete" and status.attempts == 1 and waits is not None:
            held = max(0.0, tools.clock() - seconds(status.placed_at or status.completed_at or ""))
            tools.learn_loop(job, waits, object_names.audience_of(job), held)
        status = status.model_copy(update={"log": (log or "").rstrip("\n") or None, "usage": usage})
        if job.spec.program.num_indexes is not None:
            status = await tools.points.gathered(job, status)
        await tools.write(key, job, status)
        tools.stop(key)

    async def _log(self, key: str, job: HybridJob, pod: str | None, tools: Tools, *, failed: bool) -> str | None:
        """Return the last lines that a pod printed, or that it had printed when it was about to go."""
        flight = tools.state.flights.get(key)
        known = flight.last_log if flight is not None and _is_own(job, flight) else None
        if pod is None:
            return known
        lines, most = (_FAILED_LOG_LINES, retries.LOG_BYTES) if failed else (_LOG_LINES, _LOG_BYTES)
        try:
            text = await tools.kube.log(job.metadata.namespace, pod, lines=lines, limit_bytes=most)
            return retries.tail(text, most)
        except KubeError as error:
            return known or f"(the log could not be read: {error})"

    async def _read_events(self, key: str, job: HybridJob, of: Mapping[str, Any], tools: Tools) -> None:
        """Learn what keeps a pod from starting, and make again what it mounts and somebody deleted."""
        flight, namespace = tools.state.flights[key], job.metadata.namespace
        flight.read_events(tools.clock())
        fields = f"involvedObject.uid={of['uid']}"
        try:
            events = [event async for event in tools.kube.list("Event", namespace, fields=fields)]
            flight.record_trouble(of_events(events))
            found = [tools.state.backends.get(key) for key in object_names.audiences_of(job)]
            backends = [each for each in found if each is not None]
            if len(backends) == len(found) and flight.trouble is not None and flight.trouble.reason == "FailedMount":
                *mounted, _ = self._objects(job, backends, job.status.attempts or 1, tools.clock(), tools)
                for obj in mounted:
                    await _make(obj, tools)
        except KubeError as error:
            # The job goes on without, and its deadline still ends it.
            logger.warning("HybridJob %s: why its pod does not start is not known: %s", key, error)
        tools.queue.add(f"HybridJob {key}")


async def _look_for_tasks(key: str, job: HybridJob, tasks: Sequence[str], tools: Tools) -> None:
    """See whether any of a program's tasks is still under way; a pod that does not answer, or is away, may have one."""
    audience, now = object_names.audience_of(job), tools.clock()
    wanted, pods = set(tasks), tools.state.reachable_of(audience)
    found = set[str]() if pods else wanted
    try:
        for pod in pods:
            found |= {task.id for task in await tools.data.tasks(pod.endpoint, audience)} & wanted
    except WireError as error:
        logger.info("HybridJob %s: whether its tasks have ended is not known: %s", key, error)
        found = wanted
    if (flight := tools.state.flights.get(key)) is not None:
        flight.seek_tasks(now, ended=not found)
        if not found:
            tools.queue.add(f"HybridJob {key}")


async def _make(obj: dict[str, Any], tools: Tools) -> None:
    """Make an object of an attempt, or make it again as it was.

    Raises:
        KubeError: the API server did not take it.
    """
    suspended = obj["kind"] == "Job" and obj["spec"].get("suspend")
    if not (suspended or obj.get("immutable")):
        await tools.kube.apply(obj)
        return
    try:
        await tools.kube.create(obj)
    except KubeError as error:
        # Who admitted it since must not see it suspended again, nor may what cannot change be another.
        if error.status != _CONFLICT:
            raise


def _is_own(job: HybridJob, flight: Flight | None) -> bool:
    """Return whether what is known of a running program is of this job, and not of a former one of its name."""
    return flight is None or flight.uid == job.metadata.uid


async def _delete(job: HybridJob, attempt: int, tools: Tools) -> None:
    """Delete the objects of an attempt, as far as there are any."""
    namespace, name = job.metadata.namespace, object_names.attempt_name(job, attempt)
    await tools.kube.delete("Job", namespace, object_names.program_name(job, attempt))
    await tools.kube.delete("Secret", namespace, name)
    if job.spec.program.has_ranks:
        for kind in ranks.KINDS:
            await tools.kube.delete(kind, namespace, ranks.name_of(job, attempt))


def _token(job: HybridJob, audience: str, attempt: int, now: float, tools: Tools) -> str:
    return tools.key.signer.sign(
        audience=audience,
        subject=f"{job.metadata.namespace}/{job.metadata.name}",
        now=now,
        ttl=tools.settings.program_token_seconds,
        account=account_of(job),
        attempt=attempt,
    )
