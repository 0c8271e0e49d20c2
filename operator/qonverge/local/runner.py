"""Jobs on embedded engines, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from qonverge import __version__
from qonverge.api import HybridJob, HybridJobStatus, QuantumBackend
from qonverge.api.job import Provenance, Result
from qonverge.api.quantity import bytes_of
from qonverge.backend.config import EngineConfig
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.documents.reports import Report
from qonverge.execution import reports, transitions
from qonverge.local.manifests import Manifests
from qonverge.local.placement import Placed, Placing
from qonverge.local.programs import ProgramHost, Tail
from qonverge.machine import available_cpus, available_memory
from qonverge.programs import circuit as circuits
from qonverge.programs.source import Program
from qonverge.programs.source import digest as program_digest
from qonverge.programs.source import text as program_text
from qonverge.wire.errors import EngineFailed, WireError

DEFAULT_BACKEND = QuantumBackend.model_validate(
    {"metadata": {"name": "local"}, "spec": {"simulator": {}, "access": {"namespaces": {"from": "All"}}}}
)


@dataclass(slots=True)
class Observer:
    """Who is told what happens."""

    on_status: Callable[[HybridJob], None]
    on_line: Callable[[HybridJob, str], None]
    on_warning: Callable[[HybridJob, str], None]


class LocalRunner:
    """Runs the jobs of some manifests; engines start when a job is placed on them."""

    def __init__(
        self,
        manifests: Manifests,
        observer: Observer,
        clock: Callable[[], float] = time.time,
        *,
        verbose: bool = False,
    ) -> None:
        """``clock`` gives Unix seconds; with ``verbose`` engines print on standard error."""
        self._verbose = verbose
        self._manifests = manifests
        self._observer = observer
        self._clock = clock
        self._backends = {
            f"{backend.metadata.namespace}/{backend.metadata.name}": backend
            for backend in manifests.backends or [DEFAULT_BACKEND]
        }
        self._configs: dict[str, EngineConfig] = {}
        self._engines: dict[str, Engine] = {}
        self._checker = Checker()
        self._placing = Placing(self._backends, self._config, self._checker)
        self._cleanup = contextlib.AsyncExitStack()

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[LocalRunner]:
        """Hold the engines until the end of the block."""
        async with self._cleanup:
            self._cleanup.push_async_callback(self._checker.close)
            yield self

    async def run(self, job: HybridJob) -> HybridJob:
        """Run a job to its end and return it with its status."""
        run = _Run(job, self._observer, self._clock)
        if job.spec.suspend:
            run.move("Suspended", "Suspended", "the job is suspended: set spec.suspend to false to run it")
            return run.job
        deadline, limit = min(transitions.deadlines(job, self._clock()), default=(0.0, ""))
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock()) if limit else None):
                await self._attempts(run)
        except TimeoutError:
            message = f"the job did not end within {limit}"
            run.fail("DeadlineExceeded", message, log=run.tail.text())
        except EngineFailed as error:
            run.fail(error.code, error.message)
        except (InvalidProgram, LookupError) as error:
            run.fail("InvalidProgram", str(error.args[0] if isinstance(error, LookupError) else error))
        return run.job

    async def _attempts(self, run: _Run) -> None:
        job = run.job
        program, checked = await self._checked(job)
        for warning in checked.warnings if checked is not None else ():
            self._observer.on_warning(job, warning)
        key = await self._place(run, checked)
        if key is None:
            return
        engine = await self._engine(key)
        for attempt in range(1, job.spec.retry_policy.max_attempts + 1):
            run.start(attempt)
            if checked is None:
                await self._program(run, engine, program_text(program))
                return
            # Engines give the result of an identity that they know again: no run may have that of another.
            identity = f"{job.metadata.namespace}-{job.metadata.name}-{attempt}-{secrets.token_hex(8)}"
            engine.submit(circuits.task(job, checked, identity))
            try:
                result = await engine.wait(identity, float("inf"))
            except asyncio.CancelledError:
                await engine.cancel(identity)
                raise
            if result.error is None:
                self._placing.observe(key, job, checked, result, self._clock())
                used = circuits.used(self._backends[key].spec.pricing, circuits.work(job, checked), result).shown()
                outcome = circuits.outcome(result)
                run.complete(result=outcome, provenance=circuits.provenance(program, result), usage=used)
                return
            if not result.error.retryable:
                run.fail(circuits.failure_reason(result.error), result.error.message)
                return
            run.lost = result.error
        assert run.lost is not None
        run.fail(run.lost.code, f"after {job.spec.retry_policy.max_attempts} attempts: {run.lost.message}")

    async def forecast(self, job: HybridJob) -> Placed:
        """Return where the job would go, and what is forecast of it on each backend; nothing runs.

        Raises:
            InvalidProgram: the job's program can't run anywhere.
            LookupError: its program is not among the files.
        """
        _, checked = await self._checked(job)
        return await self._placing.place(job, checked, self._load(), self._clock())

    async def _checked(self, job: HybridJob) -> tuple[Program, CheckedCircuit | None]:
        """Return the job's program, and the circuit in it."""
        program, circuit = self._manifests.program(job), job.spec.program.circuit
        if (problem := circuits.contradiction(job)) is not None:
            raise InvalidProgram(problem)
        if circuit is None:
            return program_text(program), None
        checked = await self._checker.check(program, circuit.parameters, circuit.observables, circuit.given_layout)
        return program, checked

    def _load(self) -> dict[str, float]:
        infos = {key: engine.info() for key, engine in self._engines.items()}
        return {key: (info.queued + info.running) / info.workers for key, info in infos.items()}

    async def _place(self, run: _Run, checked: CheckedCircuit | None) -> str | None:
        placed = await self._placing.place(run.job, checked, self._load(), self._clock())
        decision = placed.decision
        if decision.backend is None:
            # Nothing can come to join the backends that there are, so waiting would be for ever.
            reason = decision.reason + (f"; {decision.remedy}" if decision.remedy else "")
            run.fail("Unschedulable", reason, forecast=placed.forecast)
            return None
        label = decision.backend.label_for(run.job.metadata.namespace)
        run.move(
            *("Placed", "Placed", decision.reason),
            backend=label,
            placement=decision.reason,
            placed_at=run.stamp(),
            forecast=placed.forecast,
        )
        return decision.backend.key

    def _config(self, backend: QuantumBackend) -> EngineConfig:
        key = f"{backend.metadata.namespace}/{backend.metadata.name}"
        if key not in self._configs:
            simulator, capacity = backend.spec.simulator, backend.spec.capacity
            assert simulator is not None
            cpus = available_cpus()
            self._configs[key] = EngineConfig(
                provider=simulator.engine,
                method=simulator.method,
                options=simulator.options,
                concurrency=capacity.concurrency or cpus,
                cpus=cpus,
                # A laptop's owner wants to go on working.
                memory_bytes=available_memory() * 3 // 4,
                queue_limit=capacity.queue_limit,
                max_shots=capacity.max_shots,
                max_qubits=capacity.max_qubits,
                seed=simulator.seed,
                result_cache_bytes=bytes_of(backend.spec.result_cache or 0),
                device=simulator.device,
                keep_layouts=simulator.layout == "AsGiven",
                quiet=not self._verbose,
                noise=self._manifests.noise(backend),
            )
        return self._configs[key]

    async def _engine(self, key: str) -> Engine:
        if key not in self._engines:
            engine = Engine(self._config(self._backends[key]))
            self._cleanup.push_async_callback(engine.close)
            try:
                await engine.start()
            except RuntimeError as error:
                raise EngineFailed(str(error)) from None
            self._engines[key] = engine
        return self._engines[key]

    async def _program(self, run: _Run, engine: Engine, source: str) -> None:
        host = ProgramHost(engine, self._checker)
        async with host.serving():
            ended = await host.run(run.job, source, on_line=run.line, on_report=run.report)
        fields: dict[str, Any] = {
            # Shells and Kubernetes count signals from 128.
            "exit_code": ended.exit_code if ended.exit_code >= 0 else 128 - ended.exit_code,
            "log": run.tail.text(),
            "result": Result(value=ended.result) if ended.has_result else None,
            "provenance": Provenance(
                program_digest=program_digest(source),
                qonverge_version=__version__,
                engine=engine.info().engine,
                seed=run.job.spec.seed,
                calibration=engine.info().calibration_digest or None,
            ),
        }
        if ended.exit_code == 0:
            run.complete(**fields)
        else:
            run.fail("ProgramFailed", _exit_sentence(ended.exit_code), **fields)


class _Run:
    """One job on its way, and who watches it."""

    def __init__(self, job: HybridJob, observer: Observer, clock: Callable[[], float]) -> None:
        self.job = job.model_copy(update={"status": HybridJobStatus()})
        self.lost: WireError | None = None
        self.tail = Tail()
        self._observer = observer
        self._clock = clock

    def stamp(self) -> str:
        return transitions.timestamp(self._clock())

    def move(self, state: Any, reason: str, message: str, **fields: Any) -> None:
        self._set(
            transitions.move(
                self.job.status, state, reason=reason, message=message, now=self._clock(), generation=0, **fields
            )
        )

    def start(self, attempt: int) -> None:
        self.move("Running", "Running", f"attempt {attempt}", attempts=attempt, started_at=self.stamp())

    def complete(self, **fields: Any) -> None:
        message = f"completed on {self.job.status.backend}"
        self._set(transitions.complete(self.job.status, now=self._clock(), generation=0, message=message, **fields))

    def fail(self, reason: str, message: str, **fields: Any) -> None:
        status = self.job.status
        self._set(transitions.fail(status, reason=reason, message=message, now=self._clock(), generation=0, **fields))

    def line(self, line: str) -> None:
        """Take a line that the program printed."""
        self.tail.add(line)
        self._observer.on_line(self.job, line)

    def report(self, report: Report) -> None:
        """Take a program's report of its progress and metrics."""
        if changed := reports.changes(self.job.status, report):
            self._set(self.job.status.model_copy(update=changed))

    def _set(self, status: HybridJobStatus) -> None:
        self.job = self.job.model_copy(update={"status": status})
        self._observer.on_status(self.job)


def _exit_sentence(code: int) -> str:
    if code < 0:
        known = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"the program was ended by signal {-code}{known.get(-code, '')}"
    return f"the program ended with exit code {code}; its last lines are in status.log"
