"""Jobs on embedded engines, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping

from qonverge.api import HybridJob, QuantumBackend
from qonverge.backend.config import EngineConfig
from qonverge.backend.options import EngineOptions
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.execution import transitions
from qonverge.execution.dependencies import InvalidInput, sketched
from qonverge.execution.placement import why_offline
from qonverge.local.dependencies import DependencyFailed, supplied
from qonverge.local.kinds.kind import LocalKind, PlacedBackend, PlacedJob
from qonverge.local.manifests import Manifests
from qonverge.local.outputs import LocalOutputs, state_folder
from qonverge.local.placement import Placed, Placing
from qonverge.local.run import Observer, Run
from qonverge.local.virtual import virtual_device, without_access
from qonverge.machine import available_cpus, available_memory
from qonverge.programs.kinds import kind_of, parts
from qonverge.programs.source import Program
from qonverge.storage.objects import StoreFailed
from qonverge.wire.errors import EngineFailed

_KINDS: Mapping[str, LocalKind] = parts("qonverge.local.kinds")

DEFAULT_BACKEND = QuantumBackend.model_validate(
    {"metadata": {"name": "local"}, "spec": {"simulator": {}, "access": {"namespaces": {"from": "All"}}}}
)

_ELSEWHERE_SECONDS = 20.0


class LocalRunner:
    """Runs the jobs of some manifests; engines start when a job is placed on them."""

    def __init__(
        self,
        manifests: Manifests,
        observer: Observer,
        clock: Callable[[], float] = time.time,
        *,
        verbose: bool = False,
        environment: Mapping[str, str] = os.environ,
        outputs: LocalOutputs | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            manifests: with the jobs and their backends.
            observer: is told what happens.
            clock: gives Unix seconds.
            verbose: whether engines print on standard error.
            environment: variables, of which some give access to devices elsewhere.
            outputs: where programs keep files and checkpoints; None: in this user's folder for state.
        """
        self._outputs = outputs or LocalOutputs(state_folder(environment))
        self._verbose = verbose
        self._manifests = manifests
        self._observer = observer
        self._clock = clock
        self._backends = {
            f"{backend.metadata.namespace}/{backend.metadata.name}": backend
            for backend in manifests.backends or [DEFAULT_BACKEND]
        }
        found = {key: virtual_device(backend, environment) for key, backend in self._backends.items()}
        self._virtual = {key: each for key, each in found.items() if each is not None}
        self._backends |= {key: each.backend for key, each in self._virtual.items()}
        self._configs: dict[str, EngineConfig] = {}
        self._engines: dict[str, Engine] = {}
        self._checker = Checker()
        self._placing = Placing(self._backends, self._config, self._checker, virtual=self._virtual)
        self._ended: dict[str, HybridJob] = {}
        self._cleanup = contextlib.AsyncExitStack()

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[LocalRunner]:
        """Hold the engines until the end of the block."""
        async with self._cleanup:
            self._cleanup.push_async_callback(self._checker.close)
            yield self

    async def run(self, job: HybridJob) -> HybridJob:
        """Run a job to its end and return it with its status; those that it depends on must have run before."""
        run = Run(job, self._observer, self._clock)
        await self._run(job, run)
        # What it got from others stands in its status.
        ended = run.job.model_copy(update={"spec": job.spec})
        self._ended[f"{job.metadata.namespace}/{job.metadata.name}"] = ended
        return ended

    async def _run(self, job: HybridJob, run: Run) -> None:
        if job.spec.cancel:
            run.fail("Cancelled", "the job was cancelled: spec.cancel is true")
            return
        if job.spec.suspend:
            run.move("Suspended", "Suspended", "the job is suspended: set spec.suspend to false to run it")
            return
        deadline, limit = min(transitions.deadlines(job, self._clock()), default=(0.0, ""))
        try:
            run.supply(supplied(run.job, self._ended))
            async with asyncio.timeout(max(0.0, deadline - self._clock()) if limit else None):
                await self._attempts(run)
        except TimeoutError:
            message = f"the job did not end within {limit}"
            run.fail("DeadlineExceeded", message, log=run.tail.text())
        except DependencyFailed as error:
            run.fail("DependencyFailed", str(error))
        except InvalidInput as error:
            run.fail("InvalidInput", str(error))
        except EngineFailed as error:
            run.fail(error.code, error.message)
        except StoreFailed as error:
            run.fail("StoreFailed", str(error))
        except (InvalidProgram, LookupError) as error:
            run.fail("InvalidProgram", str(error.args[0] if isinstance(error, LookupError) else error))

    async def _attempts(self, run: Run) -> None:
        job = run.job
        program, checked = await self._checked(job)
        for warning in checked.warnings if checked is not None else ():
            self._observer.on_warning(job, warning)
        keys = await self._place(run, checked)
        if not keys:
            return
        for key in keys:
            if (virtual := self._virtual.get(key)) is not None:
                run.virtual = virtual.calibration
                name = self._backends[key].metadata.name
                why = f"{name} is a virtual device, since {virtual.why}: nothing is sent to its vendor"
                self._observer.on_warning(job, why)
        placed = [PlacedBackend(key, self._backends[key], await self._engine(key)) for key in keys]
        kind = _KINDS[job.spec.program.chosen]
        tools = (self._checker, self._placing, self._outputs)
        await kind.run(PlacedJob(run, program, checked, tuple(placed), *tools, run.inputs))

    async def forecast(self, job: HybridJob) -> Placed:
        """Return where the job would go, and what is forecast of it on each backend; nothing runs.

        Raises:
            InvalidProgram: the job's program can't run anywhere.
            LookupError: its program is not among the files.
        """
        job = sketched(job)
        _, checked = await self._checked(job)
        return await self._placing.place(job, checked, self._load(), self._clock())

    async def _checked(self, job: HybridJob) -> tuple[Program, CheckedCircuit | None]:
        """Return the job's program, and the circuit in it."""
        kind, program = kind_of(job), self._manifests.program(job)
        if (problem := kind.contradiction(job)) is not None:
            raise InvalidProgram(problem)
        return program, await kind.check(job, program, self._checker)

    def _load(self) -> dict[str, float]:
        infos = {key: engine.info() for key, engine in self._engines.items()}
        return {key: (info.queued + info.running) / info.workers for key, info in infos.items()}

    async def _place(self, run: Run, checked: CheckedCircuit | None) -> list[str]:
        """Return the backends that the job goes to, by key; none where it has failed."""
        placed = await self._placing.place(run.job, checked, self._load(), self._clock())
        decision = placed.decision
        if decision.backend is None:
            # Nothing can come to join the backends that there are, so waiting would be for ever.
            reason = decision.reason + (f"; {decision.remedy}" if decision.remedy else "")
            run.fail("BudgetExceeded" if decision.over_budget else "Unschedulable", reason, forecast=placed.forecast)
            return []
        labels = [each.label_for(run.job.metadata.namespace) for each in decision.backends]
        run.move(
            *("Placed", "Placed", decision.reason),
            backend=labels[0],
            backends=labels if len(labels) > 1 else None,
            placement=decision.reason,
            placed_at=transitions.timestamp(run.now),
            forecast=placed.forecast,
        )
        return [each.key for each in decision.backends]

    def _config(self, backend: QuantumBackend) -> EngineConfig:
        key = f"{backend.metadata.namespace}/{backend.metadata.name}"
        if key not in self._configs:
            self._configs[key] = EngineOptions.of(backend.spec).config(
                cpus=available_cpus(),
                # A laptop's owner wants to go on working.
                memory_bytes=available_memory() * 3 // 4,
                noise=self._manifests.noise(backend),
                quiet=not self._verbose,
            )
        return self._configs[key]

    async def _engine(self, key: str) -> Engine:
        if key not in self._engines:
            engine = Engine(self._config(self._backends[key]))
            self._cleanup.push_async_callback(engine.close)
            source = self._backends[key].spec.source
            elsewhere, without = source.elsewhere, without_access(source)
            try:
                # In a cluster a device elsewhere is waited for without end; here somebody looks on.
                async with asyncio.timeout(_ELSEWHERE_SECONDS if elsewhere else None):
                    await engine.start()
            except RuntimeError as error:
                raise EngineFailed(f"{error}{without}") from None
            except TimeoutError:
                device = engine.info().device
                reason = f": {device.reason}" if device is not None else ""
                raise EngineFailed(f"no task could begin within {_ELSEWHERE_SECONDS:g} s{reason}") from None
            if without and (why := why_offline(engine.info().device)):
                raise EngineFailed(f"its device runs nothing now: {why}{without}")
            self._engines[key] = engine
        return self._engines[key]
