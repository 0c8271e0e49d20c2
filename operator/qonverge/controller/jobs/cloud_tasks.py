"""Ends jobs' tasks on devices elsewhere that nobody wants any more, and lets go of their jobs when they have ended."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import ABANDON_ANNOTATION, FINALIZER, Submission
from qonverge.circuits import CheckerLost, InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.jobs.actions import Hold, Settle
from qonverge.controller.jobs.program_source import ProgramMissing, program_of
from qonverge.controller.jobs.status_events import named
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.pods.errors import PodLost
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.documents.excerpt import some
from qonverge.execution import cloud_tasks, transitions
from qonverge.programs import circuit as circuits
from qonverge.programs.kinds import kind_of
from qonverge.wire.errors import WireError
from qonverge.wire.messages import Task
from qonverge.wire.vendor import VendorTask

GIVE_UP_SECONDS = 3600.0
"""After this a job is let go although its tasks could not be ended: its deletion never waits for ever."""
_AGAIN_SECONDS = 5.0
_MOST_SHOWN = 20


class CloudTasks:
    """Settles what jobs' statuses record."""

    def __init__(
        self,
        *,
        state: State,
        kube: Kube,
        statuses: StatusWriter,
        data: DataPlane,
        checker: Checker,
        queue: WorkQueue,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._kube = kube
        self._statuses = statuses
        self._data = data
        self._checker = checker
        self._queue = queue
        self._events = events
        self._clock = clock
        # Since when each job's tasks are to be ended, and what there were events of, by the job's uid.
        self._since: dict[str, float] = {}
        self._said: defaultdict[str, set[str]] = defaultdict(set)

    async def perform(self, action: Hold | Settle, job: HybridJob) -> None:
        """Make the job's deletion wait for its tasks, or end those that nobody wants any more.

        Raises:
            KubeError: the API server did not do its part; the job is looked at again.
        """
        match action:
            case Hold():
                await self._statuses.set_finalizer(job, FINALIZER, held=True)
            case Settle():
                await self.settle(job)

    async def settle(self, job: HybridJob) -> None:
        """Cancel the tasks that nobody wants any more, and let go of the job once none is left.

        Raises:
            KubeError: the API server did not do its part; the job is looked at again.
        """
        uid, now = job.metadata.uid, self._clock()
        left, problems, lost = cloud_tasks.left_over(job), dict[str, str](), dict[str, str]()
        for each in left:
            if not self._state.has_backend(each.backend):
                # Nothing can be asked ever again.
                lost[each.task] = f"the backend {each.backend} is gone, and with it the way to its tasks"
            elif (problem := await self._end(job, each)) is not None:
                problems[each.task] = problem
        if problems and self._gives_up(job, now):
            lost, problems = lost | problems, {}
        if lost:
            told = _told(job, lost)
            self._events.warn(
                named(job), "CloudTasksAbandoned", f"not waited for any longer, they may cost money: {told}"
            )
        ended = [each for each in left if each.task not in problems]
        rest = [each for each in job.status.submissions or () if each not in ended]
        if problems:
            await self._tell(job, _told(job, problems))
            self._queue.add_at(f"HybridJob {job.metadata.namespace}/{job.metadata.name}", now + _AGAIN_SECONDS)
        if job.finished or job.metadata.deletion_timestamp:
            if not rest:
                await self._statuses.set_finalizer(job, FINALIZER, held=False)
                self._forget(uid)
        elif ended:
            status = job.status.model_copy(update={"submissions": rest or None})
            await self._statuses.write(job, status)
            # The next look lets go of it.
            self._queue.add(f"HybridJob {job.metadata.namespace}/{job.metadata.name}")
        elif not rest:
            await self._statuses.set_finalizer(job, FINALIZER, held=False)
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        self._since.pop(uid, None)
        self._said.pop(uid, None)

    def _gives_up(self, job: HybridJob, now: float) -> bool:
        if job.metadata.annotations.get(ABANDON_ANNOTATION) == "true":
            return True
        deleted = job.metadata.deletion_timestamp
        since = transitions.seconds(deleted) if deleted else self._since.setdefault(job.metadata.uid, now)
        return now >= since + GIVE_UP_SECONDS

    async def _tell(self, job: HybridJob, message: str) -> None:
        """Say what keeps the job, each thing once."""
        said, status = self._said[job.metadata.uid], job.status
        if message in said:
            return
        said.add(message)
        self._events.warn(named(job), "CloudTasksRemain", message)
        if job.metadata.deletion_timestamp and not job.finished:
            now, generation = self._clock(), job.metadata.generation
            told = transitions.move(
                status, status.state, reason="CloudTasksRemain", message=message, now=now, generation=generation
            )
            await self._statuses.write(job, told)

    async def _end(self, job: HybridJob, submission: Submission) -> str | None:
        """End a task and return why it may still run; None where it has ended."""
        pod = next(iter(self._state.reachable_of(submission.backend)), None)
        if pod is None:
            return f"no pod of the backend {submission.backend} answers"
        where = pod.endpoint
        try:
            if kind_of(job).calls_backends:
                return _asked(submission, await self._data.end_run(where, submission.backend, submission.task))
            result = await self._data.settle(where, submission.backend, submission.task)
            if result is None:
                # A pod that was started since knows nothing: it has to find what was begun before it can end it.
                await self._data.start(where, submission.backend, await self._task(job, submission))
                return f"the pod of {submission.backend} looks for what an earlier one began"
        except (WireError, InvalidProgram, CheckerLost, KubeError) as error:
            if isinstance(error, PodLost):
                # Until a poll hears of it again no worker waits for it, neither for this job nor for another.
                pod.lose(time.monotonic())
            return f"{submission.backend}: {error}"
        if result.done and not result.stopping and cloud_tasks.is_settled(result.vendor_tasks):
            return None
        open_ = [task for task in result.vendor_tasks if not cloud_tasks.is_settled([task])]
        return _asked(submission, open_) or f"{submission.backend} was asked to cancel them"

    async def _task(self, job: HybridJob, submission: Submission) -> Task:
        """Return the task as it was sent, or may have been.

        Raises:
            CheckerLost: the process that reads circuits does not start.
            InvalidProgram: the program is gone or another one.
            KubeError: its ConfigMap could not be read.
        """
        try:
            program = await program_of(job, partial(self._kube.get, "ConfigMap", job.metadata.namespace))
        except ProgramMissing:
            raise InvalidProgram("the program that it was made of is gone: its tasks cannot be looked for") from None
        checked = await kind_of(job).check(job, program, self._checker)
        assert checked is not None
        parts = [each for each in job.status.submissions or () if each.attempt == submission.attempt]
        part = 0 if submission.hedge else parts.index(submission)
        task = circuits.task(job, checked, submission.task, shots=submission.shots, part=part)
        known, limits = cloud_tasks.ids_of(job.status.cloud_tasks or ()), cloud_tasks.limits_of(submission)
        return replace(task, again=True, known=known, limits=limits)


def _asked(submission: Submission, tasks: Sequence[VendorTask]) -> str | None:
    """Return what was asked for of tasks that have not ended; None where there is none."""
    if not tasks:
        return None
    shown = some([task.id for task in tasks if task.id], _MOST_SHOWN)
    said = next((f": {task.message}" for task in tasks if task.message), "")
    return f"{submission.backend} was asked to cancel {shown or 'them'}{said}"


def _told(job: HybridJob, problems: dict[str, str]) -> str:
    """Return what may still run, and the way out."""
    known = [task.id for task in job.status.cloud_tasks or () if task.state in ("Queued", "Running")]
    vendor = f"; the vendor's tasks are {', '.join(known)}" if known else ""
    whys = "; ".join(dict.fromkeys(problems.values()))
    metadata = job.metadata
    way_out = f"kubectl annotate hybridjob {metadata.name} -n {metadata.namespace} {ABANDON_ANNOTATION}=true"
    what = "what its program sent to" if kind_of(job).calls_backends else f"{cloud_tasks.counted(len(problems))} on"
    return f"{what} devices elsewhere may still run: {whys}{vendor}; to wait no longer: {way_out}"
