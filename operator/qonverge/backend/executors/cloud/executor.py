"""The executor of a cloud's tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib import import_module

from qonverge.backend.clouds.protocol import RUN_TAG, Cloud, CloudConfig, Device, ProgramSetCloud
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.calls import Calls
from qonverge.backend.executors.cloud.device import DeviceWatch
from qonverge.backend.executors.cloud.leftovers import Leftovers
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.executors.cloud.polling import Finder, Poller
from qonverge.backend.executors.cloud.records import Run, Sent
from qonverge.backend.executors.cloud.sending import Sender
from qonverge.backend.executors.cloud.translator import Translators
from qonverge.backend.executors.protocol import Description, Execution, Outcome, Request, failing
from qonverge.backend.executors.redaction import Redactor
from qonverge.backend.executors.round_trip import RoundTrip
from qonverge.devices.noise import Noise
from qonverge.providers.installed import find
from qonverge.telemetry import BackendMetrics
from qonverge.tracing.spans import spanning
from qonverge.wire.vendor import ENDED_STATES, VendorTask

logger = logging.getLogger(__name__)


class CloudExecutor:
    """Lets a cloud run tasks.

    It keeps nothing on disk: after a restart callers send their tasks again, and what the cloud has of them is found by
    its keys.
    """

    def __init__(self, config: EngineConfig, metrics: BackendMetrics, patience: Patience | None = None) -> None:
        """Start nothing yet."""
        self._given = self._config = config
        self._metrics, self._patience = metrics, patience or Patience()
        self._translator = Translators(config)
        self._runs: dict[Execution, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._started = asyncio.Event()
        self._description = Description()

    @property
    def config(self) -> EngineConfig:
        """What tasks run with, the device's calibration as it is now included."""
        return self._config

    @property
    def description(self) -> Description:
        """What is known of the device."""
        if not self._started.is_set():
            return self._description
        return replace(self._description, device=self._device.state)

    @property
    def capacity(self) -> int:
        """Tasks of the cloud that may be under way at once."""
        return self._config.concurrency

    @property
    def ready(self) -> bool:
        """Whether the cloud has told of its device since this process began."""
        return self._started.is_set() and self._device.known.is_set()

    @property
    def durable(self) -> bool:
        """What the cloud has goes on there."""
        return True

    def recover(self) -> Iterable[Request]:
        """Nothing is kept here: callers send their tasks again."""
        return ()

    async def start(self) -> None:
        """Begin; returns when the device was asked for once. Where it has not answered, tasks wait until it has."""
        trip = RoundTrip()
        cloud = await asyncio.to_thread(load_cloud, self._given, trip.add)
        await self._translator.start()
        self._calls = Calls(cloud, self._metrics, self._patience, Redactor(self._given.credentials), self._tell_all)
        self._device = DeviceWatch(self._calls, self._patience, trip, self._device_changed)
        poller, finder = Poller(self._calls, self._patience, self._changed), Finder(self._calls)
        # What an earlier process sent was on its way before this one began.
        certain = asyncio.get_running_loop().time() + cloud.settle_seconds
        self._sender = Sender(
            self._calls, poller, finder, self._translator, self._patience, certain, self._tell, self._device.soon
        )
        self._leftovers = Leftovers(self._calls, certain)
        for loop in (self._device.serve(), poller.serve(), finder.serve()):
            self._keep(asyncio.create_task(loop))
        self._started.set()
        await self._device.asked.wait()

    def submit(self, execution: Execution) -> None:
        """Take a task."""
        run = self._runs[execution] = Run.of(execution)
        self._keep(asyncio.create_task(self._execute(run)))

    async def cancel(self, execution: Execution) -> None:
        """Let what the cloud has of a task end; it counts as running until that has ended, or does not want to."""
        run = self._runs.get(execution)
        if run is None:
            execution.release()
        else:
            run.stop.set()

    def forget(self, request: Request, *, answered: bool) -> None:
        """Nothing is kept here of a task that has ended."""

    def delivered(self, request: Request) -> None:
        """Nothing is kept here of a task that has ended."""

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        """Cancel what the cloud has of an attempt at a program, whoever sent it; see ``Executor.end_run``."""
        if not self._started.is_set():
            return (VendorTask("", "Queued", message="the pod begins"),)
        own = [each for each in self._runs.values() if each.tags.get(RUN_TAG) == run]
        known = {sent.id for each in own for sent in each.sent}
        left = await self._leftovers.end(run, known)
        for each in own:
            if each.execution in self._runs:
                open_ = [task for task in self._vendor_tasks(each) if task.state not in ENDED_STATES]
                left = (*left, *(open_ or [VendorTask("", "Queued", message="it is looked for")]))
        return left

    async def recalibrate(self, noise: Noise) -> None:
        """Refuse: a device is as it is.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a device elsewhere has a calibration of its own: leave noise out")

    async def close(self) -> None:
        """End what is here; the cloud's tasks go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._started.is_set():
            await self._leftovers.close()
            self._calls.close()
        await self._translator.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a part of the cloud's executor failed", exc_info=error)

    async def _execute(self, run: Run) -> None:
        """See a task through to its end, and to that of all that the cloud has of it."""
        following: list[asyncio.Task[None]] = []
        with failing(run.execution):
            await self._begin(run, following)
            await asyncio.gather(*following)
            if not run.execution.ended:
                await self._conclude(run)
        run.stop.set()
        await asyncio.gather(*following, return_exceptions=True)
        self._tell(run)
        del self._runs[run.execution]
        run.execution.release()

    async def _begin(self, run: Run, following: list[asyncio.Task[None]]) -> None:
        """Plan a task, and begin with each of the cloud's tasks that it becomes when there is room.

        One that is cancelled before is planned all the same: an earlier process may have sent it.
        """
        await self._started.wait()
        self._tell(run)
        await self._device.known.wait()
        device = self._device.device
        assert device is not None
        # By other limits it would become other tasks of the cloud, also where an earlier process has sent some.
        limits = run.task.limits or device.limits
        first = await self._slot(run)
        try:
            with spanning(run.scope, "plan"):
                found = await self._translator.plan(run.tenant, run.task, limits.shots)
        except BaseException:
            self._give_back(first)
            raise
        run.calibration = "" if self._config.noise is None else self._config.noise.digest
        # What takes no sets of programs has one program for all that a task of it measures.
        run.plan(found, limits, alone=isinstance(self._calls.cloud, ProgramSetCloud))
        planned = tuple(run.sent)
        for each in planned:
            held = first if each is planned[0] else await self._slot(run)
            task = asyncio.create_task(self._follow(each, held))
            self._keep(task)
            following.append(task)
        if not planned:
            self._give_back(first)

    async def _slot(self, run: Run) -> bool:
        """Wait until one more of the cloud's tasks may be under way, or none is to be sent; return which."""
        taking = asyncio.ensure_future(self._slots.acquire())
        stopping = asyncio.ensure_future(run.stop.wait())
        try:
            await asyncio.wait((taking, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not taking.done():
                taking.cancel()
        return taking.done() and not taking.cancelled()

    def _give_back(self, held: bool) -> None:
        if held:
            self._slots.release()

    async def _follow(self, sent: Sent, held: bool) -> None:
        """See one task of the cloud through; where it fails, so does ours, and the others end."""
        run, rest = sent.run, list[Sent]()
        try:
            with failing(run.execution):
                rest = await self._sender.follow(sent)
        finally:
            self._give_back(held)
        if run.execution.ended:
            run.stop.set()

        async def follow(each: Sent) -> None:
            await self._follow(each, await self._slot(run))

        await asyncio.gather(*map(follow, rest))

    async def _conclude(self, run: Run) -> None:
        """Make the answers the task's results."""
        parts = run.answered
        place = {each: index for index, each in enumerate(run.measurements)}
        results = await self._translator.assemble(
            run.tenant,
            run.task,
            run.measurements,
            [part.reading or {} for part in parts],
            [part.answer for part in parts],
            run.execution.request.seed,
            [[place[each] for each in part.measurements] for part in parts],
        )
        run.execution.begin()
        facts = run.facts(self._translator.description.version)
        run.execution.complete(Outcome(results, run.calibration, vendor_tasks=self._vendor_tasks(run), run=facts))

    def _vendor_tasks(self, run: Run) -> tuple[VendorTask, ...]:
        waits = self._calls.trouble
        return run.vendor_tasks(self._calls.cloud.link, "" if waits is None else str(waits))

    def _tell(self, run: Run) -> None:
        run.execution.note(self._vendor_tasks(run))

    def _tell_all(self) -> None:
        """Tell those that wait why, or that they do not any more."""
        for run in self._runs.values():
            if any(not each.id for each in run.sent) or not run.sent:
                self._tell(run)

    def _changed(self, heard: Sequence[Sent]) -> None:
        """Report what the poller heard."""
        for run in dict.fromkeys(each.run for each in heard):
            self._tell(run)
        for each in heard:
            if each.task is not None and each.task.state in ("Running", "Completed"):
                each.run.execution.begin()
            if each.ended and each.task is not None and each.task.billed is not None:
                billed = each.task.billed
                self._metrics.cloud_billed.labels(currency=billed.currency).inc(float(billed.amount))

    def _device_changed(self) -> None:
        device = self._device.device
        if device is not None:
            self._take(device)
        if not self._runs:
            # Nobody waits who would find out that tasks are taken again.
            self._calls.reopened()

    def _take(self, device: Device) -> None:
        """Let tasks from now on be for the device as it is."""
        config = fitted(self._given, device)
        if config != self._config:
            self._config = config
            self._translator.configure(config)
        found = self._translator.description
        if device.calibration is not None:
            gates = found.basis_gates or device.calibration.basis_gates
            found = replace(found, calibration=device.calibration.to_dict(), basis_gates=gates)
        self._description = found


def fitted(config: EngineConfig, device: Device) -> EngineConfig:
    """Return the configuration with what a device allows."""
    limits = [limit for limit in (config.max_qubits, device.num_qubits) if limit is not None]
    return replace(config, noise=device.calibration, max_qubits=min(limits, default=None))


def load_cloud(config: EngineConfig, answered: Callable[[float], None]) -> Cloud:
    """Return the cloud that the configuration names; see ``CloudConfig.answered``.

    Raises:
        RuntimeError: it cannot be set up.
    """
    module, _, name = find(config.provider).cloud.partition(":")
    try:
        given = CloudConfig(config.options or {}, config.credentials, answered)
        cloud: Cloud = getattr(import_module(module), name)(given)
    except ModuleNotFoundError as error:
        raise RuntimeError(f"the provider {config.provider} needs the package {error.name}: install it") from None
    except (LookupError, ValueError) as error:
        raise RuntimeError(f"the provider {config.provider} cannot be set up: {error.args[0]}") from None
    return cloud
