"""The control loop: watches fill the state and the queue, workers empty it, the Lease says whether to act."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from importlib import import_module
from typing import Any

from aiohttp.web import AppRunner

from qonverge.accounting.ledger import Ledger
from qonverge.circuits.checker.checker import SHORT, Checker
from qonverge.circuits.checker.lanes import fitting
from qonverge.controller.backends.reconciler import Backends
from qonverge.controller.background import Background
from qonverge.controller.jobs.reconciler import Jobs
from qonverge.controller.jobs.submissions import Submissions
from qonverge.controller.kube import signing_key
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.lease import Election
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.placement.shadow import Shadow
from qonverge.controller.placement.traces import Traces
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.quotas.reconciler import Quotas
from qonverge.controller.results.dependency_results import DependencyResults
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.results.store_results import StoreResults
from qonverge.controller.results.stores import InStatus, ResultStores
from qonverge.controller.scaling.autoscaling import Autoscaling
from qonverge.controller.scaling.removal import Removal
from qonverge.controller.settings import Settings
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.pods import BackendPods, Endpoint
from qonverge.controller.store.resources import Change
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler
from qonverge.controller.watching.dispatcher import Dispatcher
from qonverge.controller.watching.watches import Watches
from qonverge.controller.watching.workers import WORKERS, WORKERS_FOR_OTHERS, Workers
from qonverge.controller.web import servers
from qonverge.controller.web.callers import Callers
from qonverge.controller.web.input_routes import InputRoutes
from qonverge.controller.web.output_routes import OutputRoutes
from qonverge.controller.web.readings import OperatorReadings
from qonverge.controller.web.report_verifier import ReportVerifier
from qonverge.controller.web.result_route import result_app
from qonverge.forecast.task_power import TaskPowers
from qonverge.machine import available_cpus, available_memory
from qonverge.telemetry import OperatorMetrics
from qonverge.tracing.setup import recorded, span_sink

logger = logging.getLogger(__name__)


class Operator:
    """One replica of the operator."""

    def __init__(self, settings: Settings) -> None:
        """Use ``run``."""
        self._settings = settings
        self._state = State(pods=BackendPods(settings.stale_seconds), powers=TaskPowers(settings.stale_seconds))
        self._queue = WorkQueue(time.time, WORKERS - WORKERS_FOR_OTHERS)
        self._cluster = Cluster(settings.watch_namespaces)
        self._policy = settings.policy
        self._traces = Traces(self._policy)
        self._metrics = OperatorMetrics()
        self._spans = span_sink("qonverge-operator", {"k8s.namespace.name": settings.namespace})

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set or a signal asks to stop."""
        with recorded(self._spans):
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        kube = await Kube.connect()
        key = await signing_key.load(kube, self._settings.namespace)
        data, checker = DataPlane(key, self._carried), self._checker()
        events, ledger = Events(kube, time.time), Ledger()
        dispatcher = Dispatcher(self._state, self._queue)
        statuses = StatusWriter(kube, dispatcher.written)
        forecasts = Forecasts(self._state, checker, time.time)

        def less_to_do() -> None:
            # A pod has room: jobs that wait, if any do, are placed again.
            if any(flight.awaiting_placement for flight in self._state.flights.values()):
                rounds.ask()

        submissions = Submissions(
            state=self._state,
            data=data,
            forecasts=forecasts,
            queue=self._queue,
            clock=time.time,
            monotonic=time.monotonic,
            changed=less_to_do,
            metrics=self._metrics,
        )
        results = PodResults(
            state=self._state,
            data=data,
            kube=kube,
            statuses=statuses,
            events=events,
            settings=self._settings,
            clock=time.time,
        )
        outputs = JobOutputs(
            state=self._state,
            kube=kube,
            statuses=statuses,
            events=events,
            settings=self._settings,
            clock=time.time,
        )
        dependencies = DependencyResults(kube, results, outputs)
        autoscaling = Autoscaling(
            state=self._state,
            queue=self._queue,
            remover=Removal(state=self._state, data=data, kube=kube, results=results, clock=time.time),
            clock=time.time,
        )
        rounds = Rounds(
            state=self._state,
            queue=self._queue,
            cluster=self._cluster,
            ledger=ledger,
            forecasts=forecasts,
            traces=self._traces,
            policy=self._policy,
            withdraw=submissions.withdraw,
            holders=data.holders,
            metrics=self._metrics,
            clock=time.time,
            activate=autoscaling.wanted.set,
            shadow=None if self._settings.shadow is None else Shadow(self._settings.shadow, self._metrics),
        )
        quotas = Quotas(state=self._state, statuses=statuses, ledger=ledger, queue=self._queue, clock=time.time)
        metering = Metering(
            state=self._state,
            cluster=self._cluster,
            data=data,
            ledger=ledger,
            queue=self._queue,
            charge=forecasts.charge,
            changed=quotas.changed,
            spent=self._metrics.spend,
            clock=time.time,
        )
        jobs = Jobs(
            state=self._state,
            cluster=self._cluster,
            kube=kube,
            statuses=statuses,
            queue=self._queue,
            data=data,
            submissions=submissions,
            rounds=rounds,
            forecasts=forecasts,
            ledger=ledger,
            quotas=quotas,
            metering=metering,
            metrics=self._metrics,
            results=ResultStores([InStatus(), StoreResults(outputs, time.time), results]),
            outputs=outputs,
            dependencies=dependencies,
            key=key,
            checker=checker,
            events=events,
            settings=self._settings,
            clock=time.time,
            spans=self._spans,
        )
        backends = Backends(
            state=self._state,
            cluster=self._cluster,
            kube=kube,
            statuses=statuses,
            queue=self._queue,
            data=data,
            metering=metering,
            results=results,
            events=events,
            settings=self._settings,
            key=key,
            clock=time.time,
        )
        dispatcher.register(backends.declared(), quotas.declared(), jobs.declared())
        dispatcher.handle((*metering.handlers(), *rounds.handlers(), Handler("QuantumBackend", self._forget_series)))
        self._watches = Watches(kube, self._state, self._settings, dispatcher.observe)
        settings = self._settings
        self._election = Election(
            kube,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity,
            watches=settings.watch_namespaces,
            address=settings.report_address,
            seconds=settings.lease_seconds,
            clock=time.monotonic,
        )
        listening = await self._listen(jobs, ReportVerifier(self._state, key), results, outputs, dependencies)
        # The solver takes a second to load, which the first jobs that are placed together would wait for.
        await asyncio.to_thread(import_module, "scipy.optimize")
        background = Background(
            state=self._state,
            cluster=self._cluster,
            queue=self._queue,
            kube=kube,
            election=self._election,
            synced=self._watches.synced,
            look_at_all=dispatcher.look_at_all,
            jobs=jobs,
            backends=backends,
            submissions=submissions,
            rounds=rounds,
            forecasts=forecasts,
            metering=metering,
            autoscaling=autoscaling,
            key=key,
            checker=checker,
            events=events,
            metrics=self._metrics,
            settings=settings,
        )
        self._metrics.read_at_scrape(
            OperatorReadings(
                state=self._state,
                ledger=ledger,
                forecasts=forecasts,
                rounds=rounds,
                waiting=lambda: len(self._queue),
                leading=lambda: self._election.leading,
                acting=lambda: background.acting,
                clock=time.time,
            )
        )
        workers = Workers(
            state=self._state,
            queue=self._queue,
            statuses=statuses,
            reconcilers=dispatcher.reconcilers,
            acting=lambda: background.acting,
            metrics=self._metrics,
        )
        tasks = [
            asyncio.create_task(self._watches.run(), name="watches"),
            asyncio.create_task(self._queue.run_timers(), name="timers"),
            asyncio.create_task(rounds.run(), name="rounds"),
            asyncio.create_task(events.run(), name="events"),
            *background.start(),
            *workers.start(),
        ]
        try:
            await _run_until(stop, tasks)
        finally:
            # Watches take a while to end; another replica need not wait for that.
            watching, *acting = tasks
            await _end(*acting)
            try:
                if self._election.leading:
                    await forecasts.save(kube, self._settings.namespace)
                await self._election.release()
            except KubeError as error:
                logger.warning("at the end: %s", error)
            await events.close()
            await _end(watching)
            for server in listening:
                await server.cleanup()
            await asyncio.gather(checker.close(), autoscaling.close())
            await data.close()
            await kube.close()

    async def _listen(
        self,
        jobs: Jobs,
        verifier: ReportVerifier,
        results: PodResults,
        outputs: JobOutputs,
        dependencies: DependencyResults,
    ) -> list[AppRunner]:
        """Serve on all ports."""
        settings, verify = self._settings, verifier.verify
        callers = Callers(self._state, verify)
        routes = (OutputRoutes(callers, outputs), InputRoutes(callers, dependencies))
        apps = (
            (servers.health_app(self._problem, self._metrics, self._traces), settings.health_listen),
            (servers.report_app(jobs, verify, self._election, routes), settings.report_listen),
            (result_app(results, outputs), settings.result_listen),
        )
        return [await servers.listen(app, address) for app, address in apps]

    def _checker(self) -> Checker:
        limits = self._settings.check_limits
        short, long = self._settings.check_processes or fitting(available_cpus(), available_memory(), SHORT, limits)
        logger.info("programs are read by up to %d processes for short ones and %d for long ones", short, long)
        return Checker(limits, short_processes=short, long_processes=long)

    def _carried(self, endpoint: Endpoint, nbytes: int, seconds: float) -> None:
        if (pod := self._state.pods.find(endpoint.pod)) is not None:
            pod.carry(nbytes, seconds, time.time())

    def _forget_series(self, change: Change) -> None:
        if change.after is None:
            self._metrics.forget(change.key)

    def _problem(self) -> str | None:
        if not self._election.answered_within(10.0):
            return "the API server does not answer"
        return self._election.problem or self._watches.problem or self._queue.problem


async def _run_until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not stopping:
                # Each of these goes on for ever; one that ends is a defect, and a restart is the cure.
                task.result()
                raise RuntimeError(f"{task.get_name()} ended")
    finally:
        await _end(stopping)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
