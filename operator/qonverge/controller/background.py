"""What a replica does beside reconciles: it leads or stands by, asks pods and the cluster, and keeps the key."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from qonverge.circuits import CheckerLost, InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.backends.reconciler import Backends
from qonverge.controller.jobs.reconciler import Jobs
from qonverge.controller.jobs.submissions import Submissions
from qonverge.controller.kube import signing_key
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.lease import Election
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.pods.power_meters import PowerMeters
from qonverge.controller.pods.prometheus import Prometheus, PrometheusError
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.scaling.autoscaling import Autoscaling
from qonverge.controller.settings import Settings
from qonverge.controller.store.cluster import REFRESH_SECONDS, Cluster
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.telemetry import OperatorMetrics

logger = logging.getLogger(__name__)

# Polls begin so far apart at most, whatever they take: how soon it is known that a pod is cut off depends on it. What a
# pod tells has changed a decision within 5 s, with the time of a poll, a round, and a scrape in between.
_POLL_SECONDS = 4.0
_SOON_SECONDS = 0.5
# At most so many pods a second are asked where one does not answer, which may last.
_SOON_PODS_PER_SECOND = 200.0
# Programs whose use is limited wait for grants now and then.
_LIMITED_POLL_SECONDS = 1.0
_POLL_REST = 4.0
_KEY_SECONDS = 5.0
# Pods are told of programs together: what is new within this time, or longer where that takes long.
_PUSH_SECONDS = 0.2
# Backends are scaled this often, and sooner where a job waits for one without pods.
_SCALE_SECONDS = 1.0
_LEAST_SCALE_SECONDS = 0.1
# What jobs refer to and nobody knows is looked for this often at most.
_LEAST_REFRESH_SECONDS = 1.0


class Background:
    """The loops of a replica, and whether it acts."""

    def __init__(
        self,
        *,
        state: State,
        cluster: Cluster,
        queue: WorkQueue,
        kube: Kube,
        election: Election,
        synced: asyncio.Event,
        look_at_all: Callable[[], None],
        jobs: Jobs,
        backends: Backends,
        submissions: Submissions,
        rounds: Rounds,
        forecasts: Forecasts,
        metering: Metering,
        autoscaling: Autoscaling,
        key: SigningKey,
        checker: Checker,
        events: Events,
        metrics: OperatorMetrics,
        settings: Settings,
    ) -> None:
        """Stand by.

        Args:
            state: what is known.
            cluster: labels and priorities, read now and then.
            queue: takes what is to be reconciled.
            kube: the API server.
            election: tells who leads.
            synced: set once the watches have listed all that there is.
            look_at_all: has every object reconciled, when this replica takes over.
            jobs: gives programs new tokens when the key is another.
            backends: asks pods how they do.
            submissions: wait for pods that do not answer for as long as jobs allow.
            rounds: place jobs again when something changed.
            forecasts: what they learned is loaded and saved.
            metering: tells pods of programs.
            autoscaling: decides how many pods backends have.
            key: signs tokens.
            checker: is warmed up by a replica that takes over.
            events: takes what people should see.
            metrics: say whether a Prometheus server answers.
            settings: the operator's.
        """
        self._state = state
        self._cluster = cluster
        self._queue = queue
        self._kube = kube
        self._election = election
        self._synced = synced
        self._look_at_all = look_at_all
        self._jobs = jobs
        self._backends = backends
        self._submissions = submissions
        self._rounds = rounds
        self._forecasts = forecasts
        self._metering = metering
        self._autoscaling = autoscaling
        self._key = key
        self._checker = checker
        self._events = events
        self._metrics = metrics
        self._settings = settings
        # Whether this replica knows what its predecessor left on the pods.
        self._taken_over = False
        self._poll_now = asyncio.Event()

    @property
    def acting(self) -> bool:
        """Whether this replica leads and knows what its predecessor left on the pods."""
        return self._taken_over and self._election.leading

    def start(self) -> list[asyncio.Task[None]]:
        """Start the loops; each goes on until it is cancelled."""
        return [
            asyncio.create_task(self._lead(), name="election"),
            asyncio.create_task(self._poll(), name="poll"),
            asyncio.create_task(self._keep_up(), name="cluster"),
            asyncio.create_task(self._keep_key(), name="signing key"),
            asyncio.create_task(self._push(), name="accounts"),
            asyncio.create_task(self._scale(), name="scaling"),
            *([asyncio.create_task(self._scrape(), name="figures")] if self._settings.prometheus_url else []),
        ]

    async def _lead(self) -> None:
        warming = set[asyncio.Task[None]]()

        def changed(leading: bool) -> None:
            logger.info("this replica %s", "leads" if leading else "stands by")
            self._taken_over = False
            self._poll_now.set()
            if leading:
                # Who takes over has checked nothing yet: the first circuit would wait for the child's libraries.
                task = asyncio.create_task(_warm(self._checker))
                warming.add(task)
                task.add_done_callback(warming.discard)

        async def refused(lease: dict[str, Any], message: str) -> None:
            self._events.warn(lease, "OperatorConflict", message)

        await self._synced.wait()
        await self._election.campaign(changed, refused)

    async def _poll(self) -> None:
        loop, took = asyncio.get_running_loop(), 0.0
        while True:
            pods = self._state.pods.serving()
            soon = not all(pod.answers for pod in pods)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause(took, len(pods), soon=soon, limited=self._metering.has_limits)):
                    await self._poll_now.wait()
            self._poll_now.clear()
            leading, began = self._election.leading, loop.time()
            changed = await self._backends.poll(leading=leading, whole=leading and not self._taken_over)
            self._submissions.keep_time()
            took = loop.time() - began
            for key in changed:
                self._queue.add(f"QuantumBackend {key}")
                self._rounds.ask()
            if leading and not self._taken_over:
                await self._take_over()
                self._taken_over = True
                self._look_at_all()

    async def _scrape(self) -> None:
        """Take figures from a Prometheus server; while it is away they grow old, and pods' words count."""
        problem: str | None = None
        meters = PowerMeters(self._state)
        async with Prometheus.of(self._settings) as prometheus:
            while True:
                try:
                    if self._state.pods.scrape(await prometheus.figures()):
                        self._rounds.ask()
                    if (watts := await prometheus.watts()) is not None:
                        meters.take(watts, time.time())
                    if problem is not None:
                        logger.info("Prometheus answers again")
                    problem = None
                except PrometheusError as error:
                    if str(error) != problem:
                        logger.warning("Prometheus: %s; what it does not tell is taken from pods", error)
                    problem = str(error)
                self._metrics.answered("Prometheus", up=problem is None)
                await asyncio.sleep(self._settings.prometheus_seconds)

    async def _take_over(self) -> None:
        """Take what the leader before this one learned; without it forecasts begin anew."""
        try:
            await self._forecasts.load(self._kube, self._settings.namespace)
        except KubeError as error:
            logger.warning("what was learned before could not be read: %s", error)

    async def _keep_up(self) -> None:
        """Ask the cluster now and then what jobs and backends refer to, and keep what was learned."""
        while True:
            try:
                offered = [key for key, backend in self._state.backends.items() if backend.is_offered]
                labels_count = bool(offered) or self._settings.program_policy.reads_labels
                if await self._cluster.refresh(self._kube, labels_count=labels_count):
                    for key in offered:
                        self._queue.add(f"QuantumBackend {key}")
                    self._metering.reconsider()
                    self._rounds.ask()
                if self.acting:
                    await self._forecasts.save(self._kube, self._settings.namespace)
            except KubeError as error:
                logger.warning("%s", error)
            await asyncio.sleep(_LEAST_REFRESH_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS - _LEAST_REFRESH_SECONDS):
                    await self._cluster.wanted.wait()
            self._cluster.wanted.clear()

    async def _keep_key(self) -> None:
        """Look after the signing key, and let all that depends on it follow."""
        namespace = self._settings.namespace
        while True:
            await asyncio.sleep(_KEY_SECONDS)
            before = self._key.signer
            try:
                change = await signing_key.keep(self._key, self._kube, namespace, restores=self._election.leading)
                if change is not None:
                    logger.warning("%s", change.message)
                    self._events.warn(change.secret, "SigningKeyChanged", change.message)
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
            if self.acting:
                await self._metering.push()
            else:
                # A replica that takes over tells every pod anyway.
                self._metering.urgent.clear()
            took = loop.time() - began
            await asyncio.sleep(min(_LIMITED_POLL_SECONDS, max(_PUSH_SECONDS, _POLL_REST * took)))

    async def _scale(self) -> None:
        """Let the number of backends' pods follow what there is to do."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SCALE_SECONDS):
                    await self._autoscaling.wanted.wait()
            self._autoscaling.wanted.clear()
            if self.acting:
                await self._autoscaling.step()
            else:
                self._autoscaling.stand_by()
            await asyncio.sleep(_LEAST_SCALE_SECONDS)


def pause(took: float, pods: int, *, soon: bool, limited: bool) -> float:
    """Return how long a poll waits after the one before it, seconds.

    Args:
        took: how long that one took, seconds.
        pods: how many were asked.
        soon: whether one is new, or does not answer: jobs may wait for it.
        limited: whether programs run whose use is limited.
    """
    found = _POLL_SECONDS - took
    if limited:
        # Where very many programs run, their meters wait rather than everything else.
        found = min(found, max(_LIMITED_POLL_SECONDS, _POLL_REST * took))
    if soon:
        found = min(found, pods / _SOON_PODS_PER_SECOND)
    return max(_SOON_SECONDS, found)


async def _warm(checker: Checker) -> None:
    with contextlib.suppress(CheckerLost, InvalidProgram):
        await checker.check("OPENQASM 3.0;", {}, [])
