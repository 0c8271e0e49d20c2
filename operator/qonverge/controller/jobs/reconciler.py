"""Carries out what was decided about jobs of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from qonverge.accounting.conversion import amounts_of
from qonverge.accounting.ledger import Ledger
from qonverge.amounts import Amounts
from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.cloud_tasks import FINALIZER
from qonverge.api.job import OUTPUT_FINALIZER
from qonverge.circuits import CheckerLost, InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.jobs import actions, program_reports
from qonverge.controller.jobs.cloud_tasks import CloudTasks
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.ends import job_end
from qonverge.controller.jobs.inputs import Inputs
from qonverge.controller.jobs.kinds.kind import Tools
from qonverge.controller.jobs.kinds.registry import job_kind
from qonverge.controller.jobs.leftovers import leftovers
from qonverge.controller.jobs.program_source import ProgramMissing, program_of
from qonverge.controller.jobs.report_writes import ReportWrites
from qonverge.controller.jobs.status_events import happened, named
from qonverge.controller.jobs.submissions import Submissions, boots
from qonverge.controller.jobs.view import View
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.objects import object_names, program_objects
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.placement.snapshot import USUAL
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.quotas.reconciler import Quotas
from qonverge.controller.results.dependency_results import DependencyResults
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.results.point_results import PointResults
from qonverge.controller.results.stores import ResultDelayed, ResultStores, ResultUnkept
from qonverge.controller.settings import Settings
from qonverge.controller.store.access import withdrawn
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.dependents import Dependents, awaited
from qonverge.controller.store.devices import prices_in_force, task_watts
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.job_spans import spans_of
from qonverge.controller.store.program_slots import uses_backend
from qonverge.controller.store.resources import Finished
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler, Reconciler, Watch, always, itself, owner_of_kind
from qonverge.documents.reports import Report
from qonverge.execution import cloud_tasks
from qonverge.execution.dependencies import released
from qonverge.execution.transitions import seconds, timestamp
from qonverge.programs.kinds import kind_of
from qonverge.queueing import Turns
from qonverge.storage.settings import NoSuchStore
from qonverge.telemetry import OperatorMetrics
from qonverge.tracing.spans import SpanSink, spanning
from qonverge.wire.tokens import Caller

logger = logging.getLogger(__name__)

# Longer than this no job waits for better forecasts.
_PREPARE_SECONDS = 3.0
_MOST_WARNINGS = 10
_CONFIG_MAPS_AT_ONCE = 8
_NO_CLAIM = (
    "spec.program.{}.requirements need a volume, and the administrator gave none: programs.requirementsClaim of the "
    "chart names a PersistentVolumeClaim; or use an image that has them"
)

_Reported = tuple[HybridJob, HybridJobStatus | None]
"""A job, and its status with what is reported; None where nothing is new."""


class Jobs:
    """The reconciler of HybridJobs: a thin shell around ``decide``."""

    def __init__(
        self,
        *,
        state: State,
        cluster: Cluster,
        kube: Kube,
        statuses: StatusWriter,
        queue: WorkQueue,
        data: DataPlane,
        submissions: Submissions,
        rounds: Rounds,
        forecasts: Forecasts,
        ledger: Ledger,
        quotas: Quotas,
        metering: Metering,
        metrics: OperatorMetrics,
        results: ResultStores,
        outputs: JobOutputs,
        dependencies: DependencyResults,
        key: SigningKey,
        checker: Checker,
        events: Events,
        settings: Settings,
        clock: Callable[[], float],
        spans: SpanSink | None = None,
    ) -> None:
        """``clock`` gives Unix seconds; ``metrics`` count jobs that end, and what a namespace used of a backend."""
        self._spans = spans
        self._state = state
        self._metrics = metrics
        self._cluster = cluster
        self._policy = settings.program_policy
        self._kube = kube
        self._statuses = statuses
        self._queue = queue
        self._rounds = rounds
        self._forecasts = forecasts
        self._ledger = ledger
        self._quotas = quotas
        self._metering = metering
        self._results = results
        self._outputs = outputs
        self._dependents = Dependents()
        self._inputs = Inputs(dependencies)
        self._checker = checker
        self._cloud_tasks = CloudTasks(
            state=state,
            kube=kube,
            statuses=statuses,
            data=data,
            checker=checker,
            queue=queue,
            events=events,
            clock=clock,
        )
        self._events = events
        self._clock = clock
        self._reports = ReportWrites(self._reported, self._write_report, clock)
        self._reads = Turns(_CONFIG_MAPS_AT_ONCE)
        self._tools = Tools(
            state=state,
            kube=kube,
            queue=queue,
            data=data,
            submissions=submissions,
            metering=metering,
            learn_loop=forecasts.learn_loop,
            key=key,
            events=events,
            settings=settings,
            clock=clock,
            points=PointResults(outputs),
            write=self._write,
            stop=self._stop,
            replan=self._replan,
        )

    def declared(self) -> Reconciler:
        """Return what this looks after, and what it watches for it."""
        owner = owner_of_kind("HybridJob")
        return Reconciler(
            "HybridJob",
            self.reconcile,
            (
                Watch("HybridJob", itself, urgent=lambda change: isinstance(change.before, HybridJob)),
                Watch("HybridJob", self._dependents.concerned),
                Watch("Job", owner, urgent=always),
                Watch("Pod", owner, urgent=always),
            ),
            (Handler("HybridJob", self._dependents.observe),),
        )

    async def reconcile(self, key: str) -> None:
        """Look at one job and do what is to be done."""
        state, now = self._state, self._clock()
        job = state.jobs.get(key)
        if job is None or job.metadata.deletion_timestamp:
            self._stop(key)
            if job is not None and {FINALIZER, OUTPUT_FINALIZER} & {*job.metadata.finalizers}:
                # Its program would run on for as long as its deletion waits.
                await job_kind(job).remove(job, self._tools)
                if FINALIZER in job.metadata.finalizers:
                    await self._cloud_tasks.settle(job)
                else:
                    # Last: what its tasks find out goes there.
                    await self._let_go(key, job)
            if (finished := state.finished.get(key)) is not None:
                await self._look_after(key, finished)
            return
        attempts = job.status.attempts or 0
        # Before the first attempt there is none, and what stands there is not recorded.
        batch_key, next_key = (
            f"{job.metadata.namespace}/{object_names.program_name(job, number)}" for number in (attempts, attempts + 1)
        )
        flight = state.flights.get(key)
        view = View(
            job,
            flight,
            now,
            state.batch_jobs.get(batch_key),
            tuple(sorted(state.program_pods.get(batch_key, {}).values(), key=lambda pod: int(pod["rank"]))),
            state.batch_jobs.get(next_key),
            self._lost(job),
            self._withdrawn(job) if uses_backend(job) else None,
            self._unkeepable(job, flight),
            {} if flight is None or flight.proposal is None else boots(state, flight.proposal),
            None if released(job) else awaited(job, state),
        )
        try:
            for action in decide(view):
                if isinstance(action, actions.TakeInputs):
                    for following in await self._inputs.take(view):
                        await self._perform(key, job, following)
                else:
                    await self._perform(key, job, action)
        except ResultUnkept as error:
            # As if the task had ended so: where another attempt may help there is one.
            state.flights[key].discard_result(error.cause)
            self._queue.add(f"HybridJob {key}")
        except ResultDelayed as error:
            await self._wait_for_store(key, view, error)

    def _unkeepable(self, job: HybridJob, flight: Flight | None) -> str | None:
        """Return why the result of a job that is about to be sent would have no place; None where it has one."""
        if flight is None or flight.checked is None or flight.proposal is None or flight.proposal.backend is None:
            return None
        return self._results.refusal(job, flight.checked, flight.proposal.backend.key)

    async def _wait_for_store(self, key: str, view: View, delayed: ResultDelayed) -> None:
        """Say that the job has its result, and put it into its store later: it is not computed again."""
        message = f"the result of {delayed.size} bytes waits for its store, and is put there again and again: {delayed}"
        self._queue.add_at(f"HybridJob {key}", view.now + self._outputs.pause(view.job))
        status, flight = view.job.status, self._state.flights[key]
        told = (status.reason, status.observed_generation)
        if told != ("StoreUnreachable", view.job.metadata.generation):
            fields = {} if status.started_at else {"started_at": timestamp(flight.started_at or view.now)}
            job = self._state.jobs.get(key, view.job)
            await self._write(key, job, view.move("Running", "StoreUnreachable", message, **fields))
            self._events.warn(named(job), "StoreUnreachable", message)

    def _withdrawn(self, job: HybridJob) -> tuple[str, str] | None:
        """Return the reason and a sentence where a backend serves the job's program no more."""
        found = (withdrawn(job, key, self._state, self._cluster) for key in object_names.audiences_of(job))
        return next((why for why in found if why is not None), None)

    def _lost(self, job: HybridJob) -> tuple[str, ...]:
        """Return the backends that have tasks of the job and were deleted."""
        keys = dict.fromkeys(each.backend for each in cloud_tasks.under_way(job))
        return tuple(key for key in keys if not self._state.has_backend(key))

    async def _look_after(self, key: str, finished: Finished) -> None:
        """Delete a job that has ended when it is time, and let its status follow its specification until then.

        What still runs of it is ended.
        """
        namespace, name = key.split("/", 1)
        for left in leftovers(self._state, key, finished):
            await self._kube.delete("Job", namespace, left)
        # Those that depend on it have its result from it: the end of the last of them has this looked at again.
        needed = finished.state == "Complete" and bool(self._dependents.of(key))
        if finished.delete_at is not None and not needed:
            if self._clock() >= finished.delete_at:
                await self._kube.delete("HybridJob", namespace, name, finished.uid)
                return
            self._queue.add_at(f"HybridJob {key}", finished.delete_at)
        if finished.holding is not None:
            await self._cloud_tasks.settle(finished.holding)
        elif finished.leaving is not None:
            await self._let_go(key, finished.leaving)
        if finished.observed is not None:
            await self._statuses.patch("HybridJob", namespace, name, finished.observed, finished.version)

    async def _let_go(self, key: str, job: HybridJob) -> None:
        """Delete what a job keeps in a store that is about to be deleted itself."""
        if (again := await self._outputs.let_go(job)) is not None:
            self._queue.add_at(f"HybridJob {key}", again)

    async def _perform(self, key: str, job: HybridJob, action: actions.Action) -> None:
        match action:
            case actions.SetStatus(status):
                begun = self._clock()
                fitting = await self._results.fitting(job, self._traced(job, status))
                await self._write(key, self._as_held(key, job), fitting, begun)
                if (told := self._state.flights.get(key)) is not None:
                    told.record_write(self._clock())
            case actions.CheckProgram():
                # An attempt that a former operator started is this one's too: its task may still run.
                goes_on = job.status.state == "Running" or bool(cloud_tasks.under_way(job))
                attempts = (job.status.attempts or 0) - (1 if goes_on else 0)
                used = self._metering.used(job)
                spans = spans_of(job, self._spans)
                flight = Flight(job.metadata.uid, job.metadata.generation, attempts=attempts, usage=used, spans=spans)
                self._state.flights[key] = flight
                flight.check(asyncio.create_task(self._check(key, job, flight)))
            case actions.RequestPlacement():
                self._state.flights[key].await_placement()
                self._rounds.ask()
            case actions.Continue():
                flight = self._state.flights[key]
                flight.adopt_generation(job.metadata.generation)
                if flight.awaiting_placement:
                    self._replan(key, flight)
            case actions.Stop(program):
                self._stop(key)
                if program:
                    await job_kind(job).remove(job, self._tools)
            case actions.Hold() | actions.Settle():
                # As it is by now: its status may have been written just before.
                await self._cloud_tasks.perform(action, self._state.jobs.get(key, job))
            case actions.Warn(reason, message):
                self._events.warn(named(job), reason, message)
            case actions.Requeue(when):
                self._queue.add_at(f"HybridJob {key}", when)
            case _:
                await job_kind(job).perform(action, key, job, self._tools)

    def _as_held(self, key: str, job: HybridJob) -> HybridJob:
        """Return the job as it is now, where only its finalizers may have changed since it was read."""
        now = self._state.jobs.get(key, job)
        return now if (now.metadata.uid, now.status) == (job.metadata.uid, job.status) else job

    def _traced(self, job: HybridJob, status: HybridJobStatus) -> HybridJobStatus:
        """Return the status with the id of the job's trace, where one is recorded."""
        spans = spans_of(job, self._spans)
        return status if spans is None else status.model_copy(update={"trace_id": spans.trace_id})

    async def _write(self, key: str, job: HybridJob, status: HybridJobStatus, begun: float | None = None) -> None:
        metadata, status = job.metadata, self._traced(job, status)
        begun = begun or self._clock()
        if status.completed_at is not None:
            # Before the write: a quota's status that is written meanwhile must not leave the job out.
            use = amounts_of(status.usage)
            self._ledger.settle(metadata.uid, metadata.namespace, use, seconds(status.completed_at))
            self._quotas.changed(metadata.namespace)
        if await self._statuses.write(job, status) is None:
            return
        if (spans := spans_of(job, self._spans)) is not None:
            spans.written(job.status, status, begun)
        if status.completed_at is not None and job.status.completed_at is None:
            self._metrics.ended(job_end(job, status))
            self._outputs.ended(job, completed=status.state == "Complete")
        if key in self._state.finished:
            self._queue.add(f"HybridJob {key}")
        if (told := happened(job.status, status)) is not None:
            tell = self._events.warn if status.state == "Failed" else self._events.note
            tell(named(job), *told)

    async def _check(self, key: str, job: HybridJob, flight: Flight) -> None:
        """Read the program and check it."""
        kind, namespace = kind_of(job), job.metadata.namespace
        scope = None if flight.spans is None else flight.spans.scope
        try:
            if (problem := kind.contradiction(job)) is not None:
                raise InvalidProgram(problem)
            if not self._permitted(job, flight):
                return
            self._outputs.store_of(job)
            with spanning(scope, "check"):
                program = await program_of(job, partial(self._config_map, namespace))
                checked = await kind.check(job, program, self._checker)
            if checked is not None:
                for warning in checked.warnings[:_MOST_WARNINGS]:
                    self._events.warn(named(job), "MisleadingProgram", warning)
                # A forecast without the mapped circuit is good enough where it can't be mapped now.
                with contextlib.suppress(TimeoutError, CheckerLost), spanning(scope, "forecast"):
                    async with asyncio.timeout(_PREPARE_SECONDS):
                        await self._forecasts.prepare(job, checked, lambda: self._rounds.sight.backends(self._clock()))
            flight.accept(program, checked)
        except InvalidProgram as error:
            flight.reject("InvalidProgram", str(error))
        except NoSuchStore as error:
            flight.reject("NoSuchStore", str(error))
        except ProgramMissing as error:
            flight.wait_for_source(f"waiting for {error}")
        except (KubeError, CheckerLost) as error:
            flight.wait_for_source(str(error))
        finally:
            self._queue.add(f"HybridJob {key}")

    def _permitted(self, job: HybridJob, flight: Flight) -> bool:
        """Return whether the job's program may use what it asks for; if not, its flight says why."""
        namespace, needed = job.metadata.namespace, kind_of(job).pod(job)
        if needed is not None and needed.requirements and not self._tools.settings.requirements_claim:
            flight.reject("RequirementsNotInstalled", _NO_CLAIM.format(kind_of(job).name))
            return False
        labels = self._cluster.labels.get(namespace)
        if labels is None and self._policy.reads_labels:
            self._cluster.wanted.set()
            flight.wait_for_source(f"waiting for the labels of namespace {namespace}, by which programs may use things")
            return False
        if violations := self._policy.violations(job, labels or {}):
            flight.reject("PolicyViolation", "; ".join(violations))
            return False
        return True

    async def _config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        # Thousands at once would take all connections, which status writes of others wait for.
        async with self._reads.turn(namespace, 1.0):
            return await self._kube.get("ConfigMap", namespace, name)

    def renew_all(self) -> None:
        """Give all programs new tokens: the key that signs them is another."""
        for key, flight in self._state.flights.items():
            if (job := self._state.jobs.get(key)) is not None and uses_backend(job):
                flight.renew(0.0)
                self._queue.add(f"HybridJob {key}")

    def _replan(self, key: str, flight: Flight) -> None:
        """Ask for another place: what was planned is gone."""
        flight.discard_proposal()
        self._rounds.ask()

    def _stop(self, key: str) -> None:
        flight, job = self._state.flights.pop(key, None), self._state.jobs.get(key)
        if job is None or job.spec.suspend or (flight is not None and flight.uid != job.metadata.uid):
            self._metering.stop(key, Amounts() if flight is None else flight.usage)
        if flight is not None:
            self._forecasts.forget(flight.uid)
            self._give_up(key.split("/", 1)[0], job, flight)
            flight.stop()

    def _give_up(self, namespace: str, job: HybridJob | None, flight: Flight) -> None:
        """Count what a job used that goes on without this flight, and take back what was set aside for it."""
        now = self._clock()
        if not self._ledger.counted(flight.uid, namespace):
            # What its status tells of is counted at its end; of a job that is deleted there will be none.
            known = Amounts() if job is None else amounts_of(job.status.usage)
            if rest := flight.usage.beyond(known):
                self._ledger.settle(f"{flight.uid}-{flight.generation}-{flight.attempts}-used", namespace, rest, now)
        for sent in flight.sent:
            time = Amounts(0, min(sent.elapsed(now), (sent.run_seconds or USUAL).high))
            backend = self._state.backends.get(sent.backend_key)
            watts, _ = task_watts(self._state.powers, backend, now)
            used = prices_in_force(self._state.pods, backend).bill(time).at_power(watts)
            self._ledger.settle(sent.identity, namespace, used, now)
            self._metrics.spend(namespace, sent.backend_key, used)
        if flight.sent:
            self._quotas.changed(namespace)
        self._ledger.release(flight.uid, namespace)

    async def report(self, key: str, caller: Caller, report: Report) -> float:
        """Write what a program reports of itself, and return in how many seconds another report is welcome.

        Raises:
            LookupError: there is no such job that runs.
            PermissionError: the caller is not the job's present attempt.
            InvalidReport: the job would have too many metrics.
            ResultTooLarge: the status has no room for the result.
            NoSuchStore: something is said to be in the job's store, and it has none; a LookupError.
            KubeError: it could not be written; the program sends it again.
        """
        return await self._reports.take(key, caller, report)

    def _reported(self, key: str, caller: Caller, report: Report, ends_at: float | None = None) -> _Reported:
        if (job := self._state.jobs.get(key)) is None:
            raise LookupError(f"there is no unfinished job {key}")
        now = self._clock()
        status = program_reports.status_with(job, caller, report, self._outputs, now, ends_at)
        if report.pause is not None:
            status = program_reports.paused(job, status or job.status, report.pause, now)
        return job, status

    async def _write_report(self, key: str, caller: Caller, report: Report, ends_at: float | None) -> None:
        job, status = self._reported(key, caller, report, ends_at)
        if report.pause is not None:
            # First: who reads that it paused starts it again with this.
            await self._kube.apply(program_objects.program_steps(job, report.pause.state))
        if status is not None:
            await self._write(key, job, status)
