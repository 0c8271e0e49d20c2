"""The control loop: watches fill the state and the queue, workers empty it, the Lease says whether to act."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from importlib import import_module
from typing import Any

from qonverge.accounting.ledger import Ledger
from qonverge.circuits import CheckerLost, InvalidProgram
from qonverge.circuits.checker.checker import SHORT, Checker
from qonverge.circuits.checker.lanes import fitting
from qonverge.controller.backends.reconciler import Backends
from qonverge.controller.jobs.reconciler import Jobs
from qonverge.controller.jobs.submissions import Submissions
from qonverge.controller.kube import signing_key
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.lease import Election
from qonverge.controller.objects.manifests import audience_of
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.placement.snapshot import backend_selector
from qonverge.controller.placement.traces import Traces
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.quotas.reconciler import Quotas
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.results.stores import InStatus, ResultStores
from qonverge.controller.settings import Settings
from qonverge.controller.store.cluster import REFRESH_SECONDS, Cluster
from qonverge.controller.store.state import State, key_of
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching import unreadable
from qonverge.controller.watching.watches import Watches
from qonverge.controller.web import servers
from qonverge.controller.web.result_route import result_app
from qonverge.machine import available_cpus, available_memory
from qonverge.scheduling import Policy
from qonverge.telemetry import OperatorMetrics
from qonverge.wire.errors import WireError
from qonverge.wire.tokens import Caller, Verifier

logger = logging.getLogger(__name__)

_WORKERS = 16
# Of them one namespace leaves some to the others: what it waits for may be long in coming, as logs of a lost node are.
_WORKERS_FOR_OTHERS = 4
_POLL_SECONDS = 5.0
# Programs whose use is limited wait for grants now and then.
_LIMITED_POLL_SECONDS = 1.0
_POLL_REST = 4.0
_KEY_SECONDS = 5.0
# Pods are told of programs together: what is new within this time, or longer where that takes long.
_PUSH_SECONDS = 0.2
_REPORT_AUDIENCES = 1024
# What jobs refer to and nobody knows is looked for this often at most.
_LEAST_REFRESH_SECONDS = 1.0


class Operator:
    """One replica of the operator."""

    def __init__(self, settings: Settings) -> None:
        """Use ``run``."""
        self._settings = settings
        self._state = State()
        self._queue = WorkQueue(time.time, _WORKERS - _WORKERS_FOR_OTHERS)
        # Whether this replica leads and knows what its predecessor left on the pods.
        self._acting = False
        self._poll_now = asyncio.Event()
        self._verifiers: dict[tuple[bytes, str], Verifier] = {}
        self._cluster = Cluster()
        self._policy = Policy(aging_seconds=settings.aging_seconds)
        self._traces = Traces(self._policy)
        self._metrics = OperatorMetrics(
            queue_length=lambda: len(self._queue), in_flight=lambda: len(self._state.flights)
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set or a signal asks to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        kube = self._kube = await Kube.connect()
        key = self._key = await signing_key.load(kube, self._settings.namespace)
        data, checker = DataPlane(key), self._checker()
        events = Events(kube, time.time)
        ledger = Ledger()
        self._forecasts = Forecasts(self._state, checker, time.time)
        submissions = Submissions(
            state=self._state,
            data=data,
            forecasts=self._forecasts,
            queue=self._queue,
            clock=time.time,
            changed=self._less_to_do,
        )
        self._rounds = Rounds(
            state=self._state,
            queue=self._queue,
            cluster=self._cluster,
            ledger=ledger,
            forecasts=self._forecasts,
            traces=self._traces,
            policy=self._policy,
            withdraw=submissions.withdraw,
            holders=data.holders,
            clock=time.time,
        )
        self._quotas = Quotas(state=self._state, kube=kube, ledger=ledger, queue=self._queue, clock=time.time)
        self._metering = Metering(
            state=self._state,
            cluster=self._cluster,
            data=data,
            ledger=ledger,
            queue=self._queue,
            charge=self._forecasts.charge,
            changed=self._quotas.changed,
            clock=time.time,
        )
        results = PodResults(
            state=self._state, data=data, kube=kube, events=events, settings=self._settings, clock=time.time
        )
        self._jobs = Jobs(
            state=self._state,
            cluster=self._cluster,
            kube=kube,
            queue=self._queue,
            submissions=submissions,
            rounds=self._rounds,
            forecasts=self._forecasts,
            ledger=ledger,
            quotas=self._quotas,
            metering=self._metering,
            results=ResultStores([InStatus(), results]),
            key=key,
            checker=checker,
            events=events,
            settings=self._settings,
            clock=time.time,
        )
        self._backends = Backends(
            state=self._state,
            cluster=self._cluster,
            kube=kube,
            queue=self._queue,
            data=data,
            metering=self._metering,
            results=results,
            events=events,
            settings=self._settings,
            key=key,
            clock=time.time,
        )
        self._reconcilers = {
            "HybridJob": self._jobs.reconcile,
            "QuantumBackend": self._backends.reconcile,
            "QuantumQuota": self._quotas.reconcile,
        }
        self._watches = Watches(kube, self._state, self._settings, self._observe)
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
        listening = [
            await servers.listen(
                servers.health_app(self._problem, self._metrics, self._traces), settings.health_listen
            ),
            await servers.listen(
                servers.report_app(self._jobs, self._verify_report, self._election),
                settings.report_listen,
            ),
            await servers.listen(result_app(results), settings.result_listen),
        ]
        # The solver takes a second to load, which the first jobs that are placed together would wait for.
        await asyncio.to_thread(import_module, "scipy.optimize")
        tasks = [
            asyncio.create_task(self._watches.run(), name="watches"),
            asyncio.create_task(self._queue.run_timers(), name="timers"),
            asyncio.create_task(self._lead(events, checker), name="election"),
            asyncio.create_task(self._poll(), name="poll"),
            asyncio.create_task(self._rounds.run(), name="rounds"),
            asyncio.create_task(self._keep_up(kube), name="cluster"),
            asyncio.create_task(events.run(), name="events"),
            asyncio.create_task(self._keep_key(kube, events), name="signing key"),
            asyncio.create_task(self._push(), name="accounts"),
            *(asyncio.create_task(self._work(), name=f"worker {n}") for n in range(_WORKERS)),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                # Each of these goes on for ever; one that ends is a defect, and a restart is the cure.
                task.result()
                raise RuntimeError(f"{task.get_name()} ended")
        finally:
            # Watches take a while to end; another replica need not wait for that.
            watching, *acting = tasks
            await _end(stopping, *acting)
            try:
                if self._election.leading:
                    await self._forecasts.save(kube, self._settings.namespace)
                await self._election.release()
            except KubeError as error:
                logger.warning("at the end: %s", error)
            await events.close()
            await _end(watching)
            for server in listening:
                await server.cleanup()
            await checker.close()
            await data.close()
            await kube.close()

    def _checker(self) -> Checker:
        limits = self._settings.check_limits
        short, long = self._settings.check_processes or fitting(available_cpus(), available_memory(), SHORT, limits)
        logger.info("programs are read by up to %d processes for short ones and %d for long ones", short, long)
        return Checker(limits, short_processes=short, long_processes=long)

    def _problem(self) -> str | None:
        if not self._election.answered_within(10.0):
            return "the API server does not answer"
        return self._election.problem or self._watches.problem

    async def _keep_key(self, kube: Kube, events: Events) -> None:
        """Look after the signing key, and let all that depends on it follow."""
        namespace = self._settings.namespace
        while True:
            await asyncio.sleep(_KEY_SECONDS)
            before = self._key.signer
            try:
                change = await signing_key.keep(self._key, kube, namespace, restores=self._election.leading)
                if change is not None:
                    logger.warning("%s", change.message)
                    events.warn(change.secret, "SigningKeyChanged", change.message)
            except KubeError as error:
                logger.warning("the signing key could not be looked at: %s", error)
            if self._key.signer is not before:
                for key in self._state.backends:
                    self._queue.add(f"QuantumBackend {key}")
                self._jobs.renew_all()

    async def _push(self) -> None:
        """Tell pods of programs that begin and end as soon as they do."""
        loop = asyncio.get_running_loop()
        while True:
            await self._metering.urgent.wait()
            began = loop.time()
            if self._acting and self._election.leading:
                await self._metering.push()
            else:
                # A replica that takes over tells every pod anyway.
                self._metering.urgent.clear()
            took = loop.time() - began
            await asyncio.sleep(min(_LIMITED_POLL_SECONDS, max(_PUSH_SECONDS, _POLL_REST * took)))

    def _verify_report(self, key: str, token: str | None) -> Caller:
        """Return who reports on a job: a program's token is for its backend, and good here too."""
        job, public = self._state.jobs.get(key), self._key.signer.public_key
        if job is None or job.status.backend is None:
            return Verifier(public, "no-job", time.time).verify(token)
        name = (public, audience_of(job))
        if name not in self._verifiers:
            if len(self._verifiers) > _REPORT_AUDIENCES:
                self._verifiers.clear()
            self._verifiers[name] = Verifier(*name, time.time)
        return self._verifiers[name].verify(token)

    def _observe(self, kind: str, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch or a list showed."""
        state = self._state
        match kind:
            case "QuantumQuota":
                self._quotas.observe(obj, deleted)
                if f"QuantumQuota {key_of(obj)}" in state.unread:
                    self._queue.add(f"QuantumQuota {key_of(obj)}")
                self._rounds.ask()
            case "HybridJob":
                self._quotas.observe_job(obj, deleted)
                known = key_of(obj) in state.jobs
                state.see_job(obj, deleted)
                self._quotas.observe_placed(key_of(obj))
                self._metering.observe(key_of(obj))
                self._queue.add(f"HybridJob {key_of(obj)}", urgent=known)
            case "QuantumBackend":
                state.see_backend(obj, deleted)
                seen = state.backends.get(key_of(obj))
                if seen is not None and seen.is_offered and seen.metadata.namespace not in self._cluster.labels:
                    self._cluster.wanted.set()
                self._queue.add(f"QuantumBackend {key_of(obj)}", urgent=True)
                self._metering.reconsider(key_of(obj))
                self._reconsider()
            case "Job":
                if (owner := state.see_batch_job(obj, deleted)) is not None:
                    self._queue.add(f"HybridJob {owner}", urgent=True)
            case "Service":
                if (owner := state.see_service(obj, deleted)) is not None:
                    self._queue.add(f"QuantumBackend {owner}")
            case "Deployment" | "ReplicaSet" | "Pod":
                self._observe_pods(kind, obj, deleted)

    def _observe_pods(self, kind: str, obj: dict[str, Any], deleted: bool) -> None:
        """Take what was seen of a pod, or of what tells whether it is a backend's."""
        state = self._state
        before = {pod.uid for pod in state.pods.serving()}
        match kind:
            case "Deployment":
                if (owner := state.see_deployment(obj, deleted)) is not None:
                    self._queue.add(f"QuantumBackend {owner}", urgent=True)
            case "ReplicaSet":
                state.see_replica_set(obj, deleted)
            case "Pod":
                was = state.pods.trouble(key_of(obj))
                if (owner := state.see_pod(obj, deleted)) is not None:
                    self._queue.add(f"HybridJob {owner}", urgent=True)
                if (trouble := state.pods.trouble(key_of(obj))) != was:
                    labels = {label for label, _ in filter(None, (was, trouble))}
                    for key, backend in state.backends.items():
                        if backend_selector(backend) in labels:
                            self._queue.add(f"QuantumBackend {key}")
        if {pod.uid for pod in state.pods.serving()} != before:
            self._reconsider()

    def _reconsider(self) -> None:
        """Plan the jobs that wait again: backends are others than before."""
        self._rounds.ask()

    def _less_to_do(self) -> None:
        """Plan the jobs that wait, if any do: a pod has less to do."""
        if any(flight.awaiting_placement for flight in self._state.flights.values()):
            self._rounds.ask()

    async def _keep_up(self, kube: Kube) -> None:
        """Ask the cluster now and then what jobs and backends refer to, and keep what was learned."""
        while True:
            try:
                offered = [key for key, backend in self._state.backends.items() if backend.is_offered]
                if await self._cluster.refresh(kube, offered=bool(offered)):
                    for key in offered:
                        self._queue.add(f"QuantumBackend {key}")
                    self._metering.reconsider()
                    self._reconsider()
                if self._acting and self._election.leading:
                    await self._forecasts.save(kube, self._settings.namespace)
            except KubeError as error:
                logger.warning("%s", error)
            await asyncio.sleep(_LEAST_REFRESH_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS - _LEAST_REFRESH_SECONDS):
                    await self._cluster.wanted.wait()
            self._cluster.wanted.clear()

    async def _lead(self, events: Events, checker: Checker) -> None:
        warming = set[asyncio.Task[None]]()

        def changed(leading: bool) -> None:
            logger.info("this replica %s", "leads" if leading else "stands by")
            self._acting = False
            self._poll_now.set()
            if leading:
                # Who takes over has checked nothing yet: the first circuit would wait for the child's libraries.
                task = asyncio.create_task(_warm(checker))
                warming.add(task)
                task.add_done_callback(warming.discard)

        async def refused(lease: dict[str, Any], message: str) -> None:
            events.warn(lease, "OperatorConflict", message)

        await self._watches.synced.wait()
        await self._election.campaign(changed, refused)

    async def _poll(self) -> None:
        loop, took = asyncio.get_running_loop(), 0.0
        while True:
            # A pod that is new, or does not answer, is asked again soon: jobs may wait for it.
            often = _POLL_SECONDS
            if self._metering.has_limits:
                # Where very many programs run, their meters wait rather than everything else.
                often = min(often, max(_LIMITED_POLL_SECONDS, _POLL_REST * took))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(often if all(pod.answers for pod in self._state.pods.serving()) else 0.5):
                    await self._poll_now.wait()
            self._poll_now.clear()
            leading, began = self._election.leading, loop.time()
            changed = await self._backends.poll(leading=leading)
            took = loop.time() - began
            for key in changed:
                self._queue.add(f"QuantumBackend {key}")
                self._reconsider()
            if leading and not self._acting:
                await self._take_over()
                self._acting = True
                self._look_at_all()

    async def _take_over(self) -> None:
        """Take what the leader before this one learned; without it forecasts begin anew."""
        try:
            await self._forecasts.load(self._kube, self._settings.namespace)
        except KubeError as error:
            logger.warning("what was learned before could not be read: %s", error)

    def _look_at_all(self) -> None:
        state = self._state
        for key in state.backends:
            self._queue.add(f"QuantumBackend {key}")
        for key in [*state.jobs, *state.finished]:
            self._queue.add(f"HybridJob {key}")
        for key in state.quotas:
            self._queue.add(f"QuantumQuota {key}")
        for item in state.unread:
            self._queue.add(item)

    async def _work(self) -> None:
        while True:
            item = await self._queue.get()
            kind, _, key = item.partition(" ")
            failed = False
            if self._acting and self._election.leading:
                try:
                    with self._metrics.reconcile_seconds.labels(kind).time():
                        if (strange := self._state.unread.get(item)) is not None:
                            await unreadable.report(strange, self._kube, time.time())
                        await self._reconcilers[kind](key)
                except KubeError as error:
                    # A conflict is news on its way; anything else is worth a line.
                    failed = True
                    logger.log(logging.DEBUG if error.status == 409 else logging.WARNING, "%s: %s", item, error)
                except WireError as error:
                    failed = True
                    logger.warning("%s: %s", item, error)
                except Exception:
                    # One object that trips a defect must not stop the others.
                    failed = True
                    logger.exception("%s: unforeseen error", item)
                self._metrics.reconciles.labels(kind, "failed" if failed else "done").inc()
            self._queue.done(item, failed=failed)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _warm(checker: Checker) -> None:
    with contextlib.suppress(CheckerLost, InvalidProgram):
        await checker.check("OPENQASM 3.0;", {}, [])
