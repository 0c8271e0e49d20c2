"""A job as placement sees it, and what placement says as the status shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qonverge.accounting.conversion import money_of
from qonverge.amounts import Amounts, Limits
from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.placement import Candidate, ForecastInterval, Placement, seconds_of
from qonverge.api.source import Source
from qonverge.devices.layout import Misfit
from qonverge.devices.noise import Noise
from qonverge.execution.transitions import seconds, timestamp
from qonverge.forecast.intervals import Interval, JobForecasts
from qonverge.forecast.loops import Loop
from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import Figures
from qonverge.providers.installed import find, usual_figures
from qonverge.scheduling.model import Backend, Decision, Job, Needs, Split, Terms, Weights
from qonverge.scheduling.network import Links, link_of
from qonverge.scheduling.network import seconds_of as network_seconds
from qonverge.scheduling.terms import meant
from qonverge.wire.vendor import DeviceState


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a source can do, as placement sees it."""

    descriptor: Descriptor
    method: str
    """The one that it uses; Automatic where the circuit decides, Device of a device elsewhere that has none."""
    features: frozenset[str]
    """In the words of ``Needs.features``: circuits that it would refuse are not sent to it."""

    @property
    def costs_money(self) -> bool:
        """Whether its tasks are paid for, whether or not a price is known."""
        return self.descriptor.costs_money

    @property
    def figures(self) -> Figures:
        """What is assumed of its tasks before they were timed."""
        return self.descriptor.figures or usual_figures()

    def memory(self, circuit_bytes: int | None) -> int | None:
        """Return the memory for states where a circuit has this much."""
        return None if circuit_bytes is None else self.descriptor.state_bytes(circuit_bytes)


def abilities(source: Source) -> Abilities:
    """Return what the source can do; where its provider is not installed, as if it could do everything."""
    try:
        descriptor = find(source.provider)
    except LookupError:
        descriptor = Descriptor(source.provider, "", (source.method,))
    method = descriptor.method(source.method, noisy=source.noisy)
    if source.elsewhere and method == "Automatic":
        # Nothing of how states are represented bounds what a device takes.
        method = "Device"
    return Abilities(descriptor, method, descriptor.features(method, noisy=source.noisy, options=source.options))


def provider_problem(backend: QuantumBackend) -> str | None:
    """Return why no pod can serve the backend: its provider is not installed, or refuses the specification."""
    source = backend.spec.source
    try:
        descriptor = find(source.provider)
    except LookupError as error:
        return f"{error.args[0]}: install the package that has it in the images of the operator and of the backends"
    return descriptor.problem(
        method=source.method,
        device=source.computes_on,
        noisy=source.noisy,
        pauli=source.pauli,
        elsewhere=source.elsewhere,
        options=source.options,
        options_path=source.options_path,
    )


def device_errors(source: Source, noise: Noise | None, *, ideal: bool = False) -> tuple[float | None, float | None]:
    """Return the median errors of two-qubit gates and of measurements of a device; None: not known.

    Args:
        source: of the backend.
        noise: what it imitates, or the device elsewhere has, as far as it is known; a simulator that imitates none has
            no errors.
        ideal: whether the device elsewhere is known to make no errors.
    """
    if ideal or (not source.elsewhere and not source.noisy):
        return 0.0, 0.0
    return (None, None) if noise is None else (noise.median_error(2), noise.median_readout_error)


def why_offline(device: DeviceState | None) -> str:
    """Return why a device elsewhere runs nothing now, and until when; empty where it does, or that is not known."""
    if device is None or device.online:
        return ""
    again = "" if device.available_at is None else f"; it runs tasks again at {timestamp(device.available_at)}"
    return f"{device.reason or 'its vendor gives no reason'}{again}"


def declared(backend: QuantumBackend) -> Backend:
    """Return a backend as placement sees it, as far as its specification tells."""
    spec, metadata = backend.spec, backend.metadata
    able, location, problem = abilities(spec.source), spec.location, provider_problem(backend)
    return Backend(
        name=metadata.name,
        namespace=metadata.namespace,
        admits_all_namespaces=spec.access.namespaces.from_ == "All",
        labels=metadata.labels,
        selects=spec.access.namespaces.selector is not None,
        method=able.method,
        features=able.features,
        state_copies=able.descriptor.copies(able.method),
        serving=(spec.replicas > 0 or spec.activatable) and problem is None,
        not_serving_reason=problem or "spec.replicas is 0",
        max_shots=spec.capacity.max_shots,
        tier=location.tier,
        site=location.site,
        region=location.region,
        currency=spec.pricing.currency if spec.pricing else "USD",
        task_watts=spec.energy.task_watts if spec.energy else None,
        recorded=spec.source.elsewhere or able.costs_money,
    )


def waiting(
    job: HybridJob,
    created: float,
    wanted: Needs | None,
    used: Amounts,
    *,
    priority: int = 0,
    may_preempt: bool = True,
    warm: frozenset[str] = frozenset(),
    misfits: Mapping[str, Misfit] | None = None,
    loop: Loop | None = None,
    origin: str = "",
    planned: str | None = None,
) -> Job:
    """Return the job as placement sees it.

    Args:
        job: the resource.
        created: when it was created, or last resumed, Unix seconds.
        wanted: what its circuit asks of a backend; None for programs.
        used: what its attempts used so far.
        priority: value of its PriorityClass.
        may_preempt: whether that class lets it displace others.
        warm: backends that have its circuit, by key.
        misfits: why its circuit can't be run on backends, by key.
        loop: what is known of its program's tasks.
        origin: from where its program's questions come, see ``scheduling.model.Job``.
        planned: key of the backend to which it is to go, as the last round found.
    """
    spec, reference = job.spec, job.spec.backend
    placement = spec.placement or Placement()
    return Job(
        key=f"{job.metadata.namespace}/{job.metadata.name}",
        namespace=job.metadata.namespace,
        created=created,
        needs=wanted,
        backend_name=reference.name if reference else None,
        backend_namespace=reference.namespace if reference else None,
        backend_selector=reference.selector if reference else None,
        priority=priority,
        may_preempt=may_preempt,
        terms=_terms(placement),
        deadline=None if spec.deadline is None else seconds(spec.deadline),
        budget=(Limits(cost=money_of(job.spec.budget)) - used).cost,
        split=None if placement.split is None else Split(placement.split.min_shots),
        ranks=spec.program.ranks_of_groups,
        hedge=placement.hedge,
        warm=warm,
        data_site=placement.data_site,
        misfits=misfits or {},
        # To hand it over is one.
        round_trips=1.0 if loop is None else 1.0 + loop.waits,
        origin=origin,
        settled=planned or (None if loop is None else loop.backend),
        program_seconds=None if loop is None else loop.seconds,
    )


def _terms(placement: Placement) -> Terms:
    weights = placement.weights
    return Terms(
        tiers=frozenset(placement.tiers),
        regions=frozenset(placement.regions),
        min_fidelity=placement.min_fidelity,
        max_wait_seconds=None if placement.max_wait is None else seconds_of(placement.max_wait),
        max_latency_seconds=None if placement.max_latency is None else seconds_of(placement.max_latency),
        max_two_qubit_error=None if placement.max_errors is None else placement.max_errors.two_qubit,
        max_readout_error=None if placement.max_errors is None else placement.max_errors.readout,
        preferred_tiers=frozenset(placement.preferred_tiers),
        weights=Weights.preset(placement.objective)
        if weights is None
        else Weights(weights.fidelity, weights.time, weights.cost, weights.energy),
    )


def shown(
    job: Job,
    decision: Decision,
    forecasts: JobForecasts,
    backends: Sequence[Backend],
    waits: Sequence[Interval],
    memories: Sequence[Interval | None] | None = None,
    links: Links | None = None,
) -> list[Candidate]:
    """Return what is forecast for a job, as its status shows it: first the backends that may run it, the best first.

    Args:
        job: as placement sees it.
        decision: about it.
        forecasts: of the job on ``backends``.
        backends: all that there are.
        waits: for each backend the time until a job sent now starts there, seconds.
        memories: what it takes on each, bytes, where that is wanted.
        links: from where programs run, see ``scheduling.model.Snapshot``.
    """
    rank = {candidate.backend: place for place, candidate in enumerate(decision.candidates)}
    fitting, rejected = [], []
    for column, (backend, wait, may) in enumerate(zip(backends, waits, meant(job, backends), strict=True)):
        if not may:
            continue
        label = backend.label_for(job.namespace)
        reason = decision.rejected.get(label)
        cost, memory = _interval(forecasts.cost[column]), None if memories is None else memories[column]
        candidate = Candidate(
            backend=label,
            fidelity=_interval(forecasts.fidelity[column]),
            wait_seconds=ForecastInterval(low=wait.low, mid=wait.mid, high=wait.high) if reason is None else None,
            run_seconds=_interval(forecasts.run_seconds[column]),
            memory_bytes=None if memory is None else _interval(memory),
            network_seconds=_network(job, backend, links or {}),
            cost=cost,
            currency=None if cost is None else backend.currency,
            energy_joules=_energy(forecasts.run_seconds[column], backend.task_watts),
            rejected=reason,
        )
        if reason is not None:
            rejected.append(candidate)
        else:
            fitting.append((rank.get(backend.key, len(rank)), wait.mid, label, candidate))
    return [candidate for *_, candidate in sorted(fitting, key=lambda each: each[:3])] + rejected


def _network(job: Job, backend: Backend, links: Links) -> float | None:
    """Return how long a program whose tasks are known is on the way; None where that, or the way, is not known."""
    seconds = network_seconds(job, link_of(job, backend, links)) if job.round_trips > 1 else None
    return None if seconds is None else float(f"{seconds:.3g}")


def _energy(run: Interval, watts: float | None) -> ForecastInterval | None:
    return None if watts is None else _interval(Interval(watts * run.low, watts * run.mid, watts * run.high))


def _interval(known: Interval) -> ForecastInterval | None:
    """Return an interval as a status shows it; None where it is not known."""
    if math.isnan(known.mid):
        return None
    low, mid, high = (float(f"{value:.4g}") for value in (known.low, known.mid, known.high))
    return ForecastInterval(low=low, mid=mid, high=high)
