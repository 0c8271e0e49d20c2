"""Carries out what was decided about jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from qonverge.accounting.ledger import Ledger, Use
from qonverge.api import HybridJob, HybridJobStatus, QuantumBackend
from qonverge.api.job import Result, Usage
from qonverge.circuits import CheckerLost, InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.jobs.actions import (
    Abandon,
    CheckProgram,
    Continue,
    Finish,
    Launch,
    ReadEvents,
    Renew,
    RequestPlacement,
    Requeue,
    SetStatus,
    Stop,
    Submit,
    View,
    Warn,
)
from qonverge.controller.jobs.decisions import SEEN_SECONDS, decide, end_of, is_running
from qonverge.controller.jobs.status_events import happened
from qonverge.controller.jobs.submissions import Submissions
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.objects import manifests
from qonverge.controller.objects.pod_troubles import of_events
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.placement.snapshot import USUAL
from qonverge.controller.quotas.metering import Metering, account_of
from qonverge.controller.quotas.reconciler import Quotas
from qonverge.controller.results.kept_results import Results, ResultUnkept
from qonverge.controller.settings import Settings
from qonverge.controller.store.access import withdrawn
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.state import Finished, Flight, State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.documents.reports import Report
from qonverge.execution import reports
from qonverge.execution.results import document, room_for_result
from qonverge.execution.stored_size import MOST_STORED, stored_with
from qonverge.execution.transitions import seconds
from qonverge.programs import circuit as circuits
from qonverge.programs import source as program_source
from qonverge.queueing import Turns
from qonverge.scheduling import Decision
from qonverge.wire.errors import ResultTooLarge
from qonverge.wire.tokens import Caller

logger = logging.getLogger(__name__)

_LOG_LINES = 20
_LOG_BYTES = 4000
# Longer than this no job waits for better forecasts.
_PREPARE_SECONDS = 3.0
_MOST_WARNINGS = 10
_CONFIG_MAPS_AT_ONCE = 8


class Jobs:
    """The reconciler of HybridJobs: a thin shell around ``decide``."""

    def __init__(
        self,
        *,
        state: State,
        cluster: Cluster,
        kube: Kube,
        queue: WorkQueue,
        submissions: Submissions,
        rounds: Rounds,
        forecasts: Forecasts,
        ledger: Ledger,
        quotas: Quotas,
        metering: Metering,
        results: Results,
        key: SigningKey,
        checker: Checker,
        events: Events,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._cluster = cluster
        self._kube = kube
        self._queue = queue
        self._submissions = submissions
        self._rounds = rounds
        self._forecasts = forecasts
        self._ledger = ledger
        self._quotas = quotas
        self._metering = metering
        self._results = results
        self._key = key
        self._checker = checker
        self._events = events
        self._settings = settings
        self._clock = clock
        self._reads = Turns(_CONFIG_MAPS_AT_ONCE)

    async def reconcile(self, key: str) -> None:
        """Look at one job and do what is to be done."""
        state, now = self._state, self._clock()
        job = state.jobs.get(key)
        if job is None or job.metadata.deletion_timestamp:
            self._stop(key)
            if (finished := state.finished.get(key)) is not None:
                await self._look_after(key, finished)
            return
        batch_key = f"{job.metadata.namespace}/{manifests.program_name(job, job.status.attempts or 1)}"
        view = View(
            job,
            state.flights.get(key),
            now,
            state.batch_jobs.get(batch_key),
            state.program_pods.get(batch_key),
            withdrawn(job, manifests.audience_of(job), state, self._cluster) if is_running(job) else None,
        )
        try:
            for action in decide(view):
                await self._perform(key, job, action)
        except ResultUnkept as error:
            # As if the task had ended so: where another attempt may help there is one.
            flight = state.flights[key]
            assert flight.result is not None
            flight.result = replace(flight.result, state="Failed", results=(), error=error.cause)
            self._queue.add(f"HybridJob {key}")

    async def _look_after(self, key: str, finished: Finished) -> None:
        """Delete a job that has ended when it is time, and let its status follow its specification until then."""
        namespace, name = key.split("/", 1)
        if finished.delete_at is not None:
            if self._clock() >= finished.delete_at:
                await self._kube.delete("HybridJob", namespace, name, finished.uid)
                return
            self._queue.add_at(f"HybridJob {key}", finished.delete_at)
        if finished.observed is not None:
            try:
                obj = await self._kube.patch_status("HybridJob", namespace, name, finished.observed, finished.version)
            except KubeError as error:
                if error.status == 404:
                    return
                raise
            self._state.see_job(obj, deleted=False)

    async def _perform(self, key: str, job: HybridJob, action: object) -> None:
        match action:
            case SetStatus(status):
                await self._write(key, job, await self._results.fitting(job, status))
                if (told := self._state.flights.get(key)) is not None:
                    told.told_at = self._clock()
            case CheckProgram():
                # An attempt that a former operator started is this one's too: its task may still run.
                attempts = (job.status.attempts or 0) - (1 if job.status.state == "Running" else 0)
                is_program = job.spec.program.python is not None
                used = self._metering.used(job) if is_program else Use.of(job.status.usage or Usage())
                flight = Flight(job.metadata.uid, job.metadata.generation, attempts=attempts, usage=used)
                self._state.flights[key] = flight
                flight.checking = asyncio.create_task(self._check(key, job, flight))
            case RequestPlacement():
                self._state.flights[key].wants = True
                self._rounds.ask()
            case Submit(decision):
                self._submit(key, job, decision)
            case Launch() | Continue() | Renew() | Abandon():
                await self._attend(key, job, action)
            case Finish(status, pod):
                await self._collect(key, job, status, pod)
            case Stop(with_program):
                self._stop(key)
                if with_program and job.spec.program.python is not None:
                    await self._remove_program(job)
            case ReadEvents(of):
                await self._read_events(key, job, of)
            case Warn(reason, message):
                self._events.warn(_named(job), reason, message)
            case Requeue(when):
                self._queue.add_at(f"HybridJob {key}", when)

    async def _attend(self, key: str, job: HybridJob, action: Launch | Continue | Renew | Abandon) -> None:
        """Do what concerns an attempt at a program."""
        match action:
            case Launch():
                await self._launch(key, job, action)
            case Continue():
                flight = self._state.flights[key]
                flight.generation = job.metadata.generation
                if flight.wants or flight.planned is not None:
                    self._replan(key, flight)
            case Renew():
                await self._renew(key, job)
            case Abandon(attempt, reason, message):
                await self._kube.delete("Job", job.metadata.namespace, manifests.program_name(job, attempt))
                self._events.warn(_named(job), reason, message)

    async def _write(self, key: str, job: HybridJob, status: HybridJobStatus) -> None:
        metadata = job.metadata
        body = status.to_dict()
        # Absent fields would keep their old value in a merge.
        body = {"pod": None, **body}
        if body["state"] in ("Complete", "Failed"):
            # Before the write: a quota's status that is written meanwhile must not leave the job out.
            use = Use.of(status.usage or Usage())
            self._ledger.settle(metadata.uid, metadata.namespace, use, seconds(body["completedAt"]))
            self._quotas.changed(metadata.namespace)
        try:
            obj = await self._kube.patch_status(
                "HybridJob", metadata.namespace, metadata.name, body, metadata.resource_version
            )
        except KubeError as error:
            if error.status == 404:
                return
            raise
        # Known at once: the watch may show it only after the next look at the job.
        self._state.see_job(obj, deleted=False)
        self._metering.observe(key)
        if key in self._state.finished:
            self._queue.add(f"HybridJob {key}")
        if (told := happened(job.status, status)) is not None:
            tell = self._events.warn if status.state == "Failed" else self._events.note
            tell(_named(job), *told)

    async def _check(self, key: str, job: HybridJob, flight: Flight) -> None:
        """Read the program, and check it where it is a circuit."""
        circuit = job.spec.program.circuit
        try:
            if (problem := circuits.contradiction(job)) is not None:
                raise InvalidProgram(problem)
            source, reference = program_source.inline(job), program_source.reference(job)
            if reference is not None:
                # Thousands at once would take all connections, which status writes of others wait for.
                async with self._reads.turn(job.metadata.namespace, 1.0):
                    found = await self._kube.get("ConfigMap", job.metadata.namespace, reference.name)
                if found is None:
                    flight.waiting = f"waiting for the ConfigMap {reference.name}"
                    return
                source = program_source.value(found, reference.key)
                if source is None:
                    has = program_source.keys(found)
                    flight.waiting = (
                        f"waiting for the key {reference.key} of the ConfigMap {reference.name}; it has {has}"
                    )
                    return
            assert source is not None
            if circuit is None:
                program_source.text(source)
            else:
                flight.checked = await self._checker.check(
                    source,
                    circuit.parameters,
                    circuit.observables,
                    circuit.given_layout,
                    namespace=job.metadata.namespace,
                )
                for warning in flight.checked.warnings[:_MOST_WARNINGS]:
                    self._events.warn(_named(job), "MisleadingProgram", warning)
                # A forecast without the mapped circuit is good enough where it can't be mapped now.
                with contextlib.suppress(TimeoutError, CheckerLost):
                    async with asyncio.timeout(_PREPARE_SECONDS):
                        await self._forecasts.prepare(job, flight, lambda: self._rounds.backends(self._clock()))
            flight.source = source
        except InvalidProgram as error:
            flight.problem = ("InvalidProgram", str(error))
        except (KubeError, CheckerLost) as error:
            flight.waiting = str(error)
        finally:
            self._queue.add(f"HybridJob {key}")

    def _submit(self, key: str, job: HybridJob, decision: Decision) -> None:
        flight = self._state.flights[key]
        if self._submissions.send(key, job, flight, decision):
            self._queue.add_at(f"HybridJob {key}", self._clock() + SEEN_SECONDS)
        else:
            self._replan(key, flight)

    async def _launch(self, key: str, job: HybridJob, launch: Launch) -> None:
        assert launch.decision.backend is not None
        backend, flight = self._state.backends.get(launch.decision.backend.key), self._state.flights[key]
        if backend is None:
            self._replan(key, flight)
            return
        former = f"{job.metadata.namespace}/{manifests.program_name(job, launch.attempt - 1)}"
        if (batch := self._state.batch_jobs.get(former)) is not None and end_of(batch) is None:
            await self._kube.delete("Job", *former.split("/", 1))
        self._metering.open(key, job, backend, launch.attempt)
        now = self._clock()
        for obj in self._program_objects(job, backend, launch.attempt, now):
            try:
                await self._kube.apply(obj)
            except KubeError as error:
                flight.refusal = Refusal.of(error, obj, flight.refusal, now)
                self._queue.add(f"HybridJob {key}")
                return
        await self._write(key, job, launch.status)
        flight.planned, flight.wants, flight.decision = None, False, launch.decision
        flight.renew_at = now + self._settings.program_token_seconds / 2
        flight.refusal = flight.trouble = flight.events_read_at = None

    def _program_objects(
        self, job: HybridJob, backend: QuantumBackend, attempt: int, now: float
    ) -> list[dict[str, Any]]:
        """Return the objects of an attempt at a program, with a token of its own."""
        token = self._token(job, manifests.audience(backend), attempt, now)
        python = job.spec.program.python
        assert python is not None
        return manifests.program_objects(
            job, backend, self._settings, attempt=attempt, source=python.source, token=token
        )

    async def _read_events(self, key: str, job: HybridJob, of: Mapping[str, Any]) -> None:
        """Learn what keeps a program's pod from starting, and make again what it mounts and somebody deleted."""
        flight, namespace = self._state.flights[key], job.metadata.namespace
        flight.events_read_at = self._clock()
        fields = f"involvedObject.uid={of['uid']}"
        try:
            flight.trouble = of_events([event async for event in self._kube.list("Event", namespace, fields=fields)])
            backend = self._state.backends.get(manifests.audience_of(job))
            if backend is not None and flight.trouble is not None and flight.trouble.reason == "FailedMount":
                *mounted, _ = self._program_objects(job, backend, job.status.attempts or 1, self._clock())
                for obj in mounted:
                    await self._kube.apply(obj)
        except KubeError as error:
            # The job goes on without, and its deadline still ends it.
            logger.warning("HybridJob %s: why its pod does not start is not known: %s", key, error)
        self._queue.add(f"HybridJob {key}")

    async def _renew(self, key: str, job: HybridJob) -> None:
        attempt, now = job.status.attempts or 1, self._clock()
        token = self._token(job, manifests.audience_of(job), attempt, now)
        await self._kube.apply(manifests.program_secret(job, attempt, token))
        renew_at = self._state.flights[key].renew_at = now + self._settings.program_token_seconds / 2
        self._queue.add_at(f"HybridJob {key}", renew_at)

    def _token(self, job: HybridJob, audience: str, attempt: int, now: float) -> str:
        return self._key.signer.sign(
            audience=audience,
            subject=f"{job.metadata.namespace}/{job.metadata.name}",
            now=now,
            ttl=self._settings.program_token_seconds,
            account=account_of(job),
            attempt=attempt,
        )

    def renew_all(self) -> None:
        """Give all programs new tokens: the key that signs them is another."""
        for key, flight in self._state.flights.items():
            if (job := self._state.jobs.get(key)) is not None and is_running(job):
                flight.renew_at = 0.0
                self._queue.add(f"HybridJob {key}")

    def _replan(self, key: str, flight: Flight) -> None:
        """Ask for another place: what was planned is gone."""
        flight.planned, flight.wants = None, True
        self._rounds.ask()

    async def _collect(self, key: str, job: HybridJob, status: HybridJobStatus, pod: str | None) -> None:
        log = None
        if pod is not None:
            try:
                log = await self._kube.log(job.metadata.namespace, pod, lines=_LOG_LINES, limit_bytes=_LOG_BYTES)
            except KubeError as error:
                log = f"(the log could not be read: {error})"
        usage = (await self._metering.close(key)).shown()
        await self._write(key, job, status.model_copy(update={"log": (log or "").rstrip("\n") or None, "usage": usage}))
        self._stop(key)

    async def _remove_program(self, job: HybridJob) -> None:
        for attempt in range(1, (job.status.attempts or 1) + 1):
            await self._kube.delete("Job", job.metadata.namespace, manifests.program_name(job, attempt))

    def _stop(self, key: str) -> None:
        flight, job = self._state.flights.pop(key, None), self._state.jobs.get(key)
        if job is None or job.spec.suspend or (flight is not None and flight.uid != job.metadata.uid):
            self._metering.stop(key, Use() if flight is None else flight.usage)
        if flight is not None:
            flight.stopped = True
            self._forecasts.forget(flight.uid)
            self._give_up(key.split("/", 1)[0], job, flight)
            for task in (flight.checking, flight.running):
                if task is not None and not task.done():
                    task.cancel()

    def _give_up(self, namespace: str, job: HybridJob | None, flight: Flight) -> None:
        """Count what a job used that goes on without this flight, and take back what was set aside for it."""
        now = self._clock()
        if not self._ledger.counted(flight.uid, namespace):
            # What its status tells of is counted at its end; of a job that is deleted there will be none.
            known = Use() if job is None else Use.of(job.status.usage or Usage())
            if rest := flight.usage.beyond(known):
                self._ledger.settle(f"{flight.uid}-{flight.generation}-{flight.attempts}-used", namespace, rest, now)
        for sent in flight.sent:
            self._ledger.settle(
                sent.identity, namespace, Use(0, min(now - sent.at, (sent.run_seconds or USUAL).high)), now
            )
        if flight.sent:
            self._quotas.changed(namespace)
        self._ledger.release(flight.uid, namespace)

    async def report(self, key: str, caller: Caller, report: Report) -> None:
        """Write what a program reports of itself.

        Raises:
            LookupError: there is no such job that runs.
            PermissionError: the caller is not the job's present attempt.
            InvalidReport: the job would have too many metrics.
            ResultTooLarge: the status has no room for the result.
            KubeError: it could not be written; the program sends it again.
        """
        job = self._state.jobs.get(key)
        if job is None:
            raise LookupError(f"there is no unfinished job {key}")
        if (refusal := _refusal(job, caller)) is not None:
            raise PermissionError(refusal)
        changed = reports.changes(job.status, report)
        if report.has_result:
            changed["result"] = result = Result(value=report.result)
            if (size := len(document(result))) > (room := room_for_result(job)):
                raise ResultTooLarge(f"the result takes {size} bytes as JSON and the job's status has room for {room}")
        if not changed:
            return
        status = job.status.model_copy(update=changed)
        if report.has_result and (stored := stored_with(job, status)) > MOST_STORED:
            raise ResultTooLarge(
                f"with this result the job takes {stored} bytes where it is stored, and {MOST_STORED} are possible: "
                "each key of an object is stored twice; give lists in place of objects with many keys"
            )
        await self._write(key, job, status)


def _named(job: HybridJob) -> dict[str, Any]:
    """Return a job as events refer to it."""
    metadata = {"name": job.metadata.name, "namespace": job.metadata.namespace, "uid": job.metadata.uid}
    return {"apiVersion": job.api_version, "kind": job.kind, "metadata": metadata}


def _refusal(job: HybridJob, caller: Caller) -> str | None:
    """Return why a report is none of the job's present attempt; None for one that is.

    A program may outlive its job: one that ignores the signal to end, or whose node is cut off, still has its token.
    """
    if caller.account != account_of(job):
        return "the token is of another job of this name, or of a former specification of it"
    current = job.status.attempts or 0
    # A new attempt may report before the status that tells of it is known here.
    if caller.attempt < current or (caller.attempt == current and job.status.state not in ("Placed", "Running")):
        return f"the token is of attempt {caller.attempt}: attempt {current} of the job is {job.status.state}"
    return None
