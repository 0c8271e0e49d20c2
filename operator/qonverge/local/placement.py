"""Where a job goes without a cluster, and what is forecast of it there: as in the operator, of one job at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from qonverge.amounts import Amounts, TaskLimits
from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.placement import Candidate
from qonverge.backend.config import EngineConfig
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.execution.placement import abilities, declared, device_errors, shown, waiting
from qonverge.forecast.exact import ExactForecasts
from qonverge.forecast.forecaster import Outlook
from qonverge.forecast.intervals import Interval
from qonverge.forecast.requests import BackendOffer, Outcome
from qonverge.local.virtual import VirtualDevice
from qonverge.programs import circuit as circuits
from qonverge.programs.kinds import kind_of
from qonverge.scheduling import Backend, Decision, Estimates, Snapshot, plan
from qonverge.wire.messages import TaskResult

# Devices to which a circuit is mapped for real.
_MAPPED = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """What was decided about a job, and what is forecast of it."""

    decision: Decision
    forecast: list[Candidate]


class Placing:
    """Places jobs on the backends of some manifests."""

    def __init__(
        self,
        backends: Mapping[str, QuantumBackend],
        config: Callable[[QuantumBackend], EngineConfig],
        checker: Checker,
        *,
        limits: TaskLimits | None = None,
        virtual: Mapping[str, VirtualDevice] | None = None,
    ) -> None:
        """Know the backends.

        Args:
            backends: by namespace and name.
            config: tells how a backend's engine would be set up.
            checker: maps circuits to devices.
            limits: of one task of their devices; None: a simulator has none.
            virtual: by key, those of the backends that stand for devices to which there is no access.
        """
        self._backends = backends
        self._limits, self._virtual = limits or TaskLimits(), virtual or {}
        self._config = config
        self._outlook = Outlook(ExactForecasts(checker))

    async def place(
        self, job: HybridJob, checked: CheckedCircuit | None, load: Mapping[str, float], now: float
    ) -> Placed:
        """Return where the job goes.

        Args:
            job: the job.
            checked: its circuit; None for programs.
            load: tasks that backends have already, per worker, by the backend's key.
            now: Unix seconds.

        Raises:
            CheckerLost: the process that maps circuits does not start.
        """
        seen = tuple(self._seen(key, load.get(key, 0.0)) for key in self._backends)
        offers = tuple(self._offer(key) for key in self._backends)
        asked = kind_of(job).forecast_request(job, checked)
        if asked is not None:
            await self._outlook.map_to_best(asked, offers, _MAPPED)
        row = self._outlook.row(asked, offers)
        needs = kind_of(job).needs(job, checked)
        estimates = Estimates.stack([row], len(seen))
        # In one process nothing is gained by several submissions.
        misfits = self._outlook.misfits(asked, offers)
        wanted = replace(waiting(job, now, needs, Amounts(), misfits=misfits), split=None, hedge=False)
        decision = plan(Snapshot((wanted,), seen, now, estimates)).decisions[0]
        memories = [None if asked is None else self._outlook.memory_bytes(asked, offer) for offer in offers]
        if decision.backend is not None and (stands := self._virtual.get(decision.backend.key)) is not None:
            reason = f"{decision.reason}; {decision.backend.name} is a virtual device, with the figures of "
            decision = replace(decision, reason=f"{reason}{stands.calibration}")
        return Placed(decision, shown(wanted, decision, row, seen, [Interval(0.0, 0.0, 0.0)] * len(seen), memories))

    def observe(self, key: str, job: HybridJob, checked: CheckedCircuit, result: TaskResult, now: float) -> None:
        """Learn from a task that ended well."""
        asked, method = kind_of(job).forecast_request(job, checked), circuits.method_of(result)
        assert asked is not None
        config, source = self._config(self._backends[key]), self._backends[key].spec.source
        noise = config.noise
        self._outlook.observe(
            Outcome(
                key,
                asked,
                method,
                result.run_seconds,
                result.queue_seconds,
                None,
                None,
                now - result.run_seconds,
                circuits.counts_of(result),
                noise if noise is not None and noise.digest == result.calibration else None,
                peak_bytes=result.peak_bytes,
                keeps_layouts=config.keep_layouts,
                figures=abilities(source).figures,
            )
        )

    def _seen(self, key: str, load: float) -> Backend:
        backend = self._backends[key]
        config, source = self._config(backend), backend.spec.source
        memory = abilities(source).memory(config.circuit_bytes)
        two_qubit, readout = device_errors(source, config.noise)
        own, stands = declared(backend), self._virtual.get(key)
        return replace(
            own,
            features=own.features if stands is None else stands.features,
            load=load,
            max_qubits=config.widest,
            memory_bytes=memory,
            latency_seconds=0.0,
            two_qubit_error=two_qubit,
            readout_error=readout,
            unpriced=_unpriced(backend),
        )

    def _offer(self, key: str) -> BackendOffer:
        backend = self._backends[key]
        config, able = self._config(backend), abilities(backend.spec.source)
        return BackendOffer(
            key,
            able.method,
            able.memory(config.circuit_bytes),
            config.noise,
            backend.spec.pricing,
            keeps_layouts=config.keep_layouts,
            noise_unknown=backend.spec.source.elsewhere and config.noise is None,
            cost_unknown=_unpriced(backend),
            task_limits=self._limits,
            figures=able.figures,
        )


def _unpriced(backend: QuantumBackend) -> bool:
    return backend.spec.pricing is None and abilities(backend.spec.source).costs_money
