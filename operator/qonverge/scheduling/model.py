"""What a round of the scheduler sees: jobs, backends, what runs, shares and quotas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, Self

from qonverge.amounts import Money, Quota, TaskLimits
from qonverge.api.base import LabelSelector
from qonverge.devices.layout import Misfit
from qonverge.scheduling.estimates import Estimates
from qonverge.sites.link import Link
from qonverge.telemetry.figures import Figure

Tier = Literal["Cloud", "OnPrem", "Edge"]
PartKind = Literal["Split", "Hedge", "Ranks"]
Preset = Literal["Fidelity", "Time", "Cost", "Energy", "Balanced"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job's circuit asks of a backend; a program's circuits are not known beforehand."""

    num_qubits: int
    shots: int
    clifford: bool
    statevector_bytes: int
    """Memory of the full state, bytes: 16 * 2**num_qubits."""
    compact_bytes: int | None = None
    """Memory of a matrix product state, bytes; None where it may entangle too much for one."""
    features: frozenset[str] = frozenset()
    """What an engine must be able to do, of ``providers.descriptor.FEATURES``."""
    slots: int = 1
    """Workers that it takes at once."""
    all_shots: int | None = None
    """Runs that count for quotas: the shots of every measured basis; None: ``shots``."""
    nbytes: int = 0
    """What travels to the backend and back, as far as it is foreseen."""

    @property
    def charged_shots(self) -> int:
        """Runs that count for quotas."""
        return self.shots if self.all_shots is None else self.all_shots


@dataclass(frozen=True, slots=True)
class Weights:
    """How much fidelity, time, money and energy count for a job; only their ratios matter."""

    fidelity: float = 1.0
    time: float = 1.0
    cost: float = 1.0
    energy: float = 0.0
    """Counts in rounds where the power of a backend is known."""

    @property
    def equal(self) -> bool:
        """Whether fidelity, time and money count the same and energy nothing, as where nothing is said."""
        return self.fidelity == self.time == self.cost and not self.energy

    @classmethod
    def preset(cls, name: Preset) -> Self:
        """Return the weights of a named objective.

        None of the first three is 0, so that among equal choices the faster or cheaper one wins and jobs do not pile up
        on a backend that is better by nothing that can be measured. Energy counts for those who say so.
        """
        values = {
            "Fidelity": (0.9, 0.08, 0.02),
            "Time": (0.08, 0.9, 0.02),
            "Cost": (0.08, 0.02, 0.9),
            "Energy": (0.07, 0.02, 0.01, 0.9),
        }
        return cls(*values.get(name, (1 / 3, 1 / 3, 1 / 3)))


@dataclass(frozen=True, slots=True)
class Split:
    """Leave to run a job's shots in parts, on backends whose forecast fidelity is equal."""

    min_shots: int
    """Fewest shots of a part."""


@dataclass(frozen=True, slots=True)
class Terms:
    """``spec.placement``: hard terms are kept or the job waits, soft ones count in the objective."""

    tiers: frozenset[Tier] = frozenset()
    """Hard: tiers allowed; empty: all."""
    regions: frozenset[str] = frozenset()
    """Hard: regions that its data may go to; empty: all."""
    min_fidelity: float | None = None
    """Hard: least forecast fidelity."""
    max_wait_seconds: float | None = None
    """Hard: longest forecast wait, from now to the start, on the backend that gets it."""
    max_latency_seconds: float | None = None
    """Hard: longest measured round trip to the backend."""
    max_two_qubit_error: float | None = None
    """Hard: largest median error of the backend's gates on two qubits."""
    max_readout_error: float | None = None
    """Hard: largest median error of its measurements."""
    preferred_tiers: frozenset[Tier] = frozenset()
    """Soft."""
    weights: Weights = Weights()


@dataclass(frozen=True, slots=True)
class Job:
    """A job that waits for a backend."""

    key: str
    """Namespace and name, ``namespace/name``."""
    namespace: str
    created: float
    """Creation time, Unix seconds."""
    needs: Needs | None = None
    """None for programs."""
    backend_name: str | None = None
    backend_namespace: str | None = None
    backend_selector: LabelSelector | None = None
    priority: int = 0
    """Value of its PriorityClass; higher goes first."""
    may_preempt: bool = True
    """Whether its PriorityClass lets it displace lower ones (``preemptionPolicy`` is not ``Never``)."""
    terms: Terms = Terms()
    deadline: float | None = None
    """Hard: Unix seconds by which it must have ended."""
    budget: Money | None = None
    """Hard: what may still be spent on it."""
    split: Split | None = None
    """None: in one piece."""
    ranks: tuple[int, ...] = (1,)
    """How many ranks of a program call each of the different backends that it takes at once; the ranks of a group hold
    one slot each."""
    hedge: bool = False
    """Whether it may be sent to a second backend as well where its deadline is in danger and the budget allows."""
    warm: frozenset[str] = frozenset()
    """Keys of the backends that have its circuit."""
    data_site: str | None = None
    """Site of its data."""
    round_trips: float = 1.0
    """How often it waits for the way to its backend and back."""
    origin: str = ""
    """From where its questions come: a key of ``Snapshot.links``; empty: they count as the operator's."""
    settled: str | None = None
    """Key of the backend that the same program ran on last, or to which the job is to go as things are: it stays there
    unless another one is clearly nearer."""
    misfits: Mapping[str, Misfit] = field(default_factory=dict)
    """Why its circuit can't be run on backends' devices, by their keys; the others take it."""
    program_seconds: float | None = None
    """Forecast time for which its program runs, and so holds a slot; None: not known, or it is a circuit."""

    @property
    def backends(self) -> int:
        """How many different backends it takes at once, one for each group of a parallel program's ranks."""
        return len(self.ranks)

    def ranks_of(self, part: int) -> int:
        """Return how many ranks of a program call the backend of one of its parts, from 0; 0 of a circuit."""
        return 0 if self.needs is not None else self.ranks[min(part, len(self.ranks) - 1)]

    @property
    def nbytes(self) -> int:
        """What travels to its backend and back, bytes; 0 of a program, which is not known."""
        return self.needs.nbytes if self.needs else 0


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as it is now."""

    name: str
    namespace: str
    admits_all_namespaces: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    method: str = "Automatic"
    """Simulation method, as in the API."""
    serving: bool = True
    """Whether at least one pod takes tasks."""
    not_serving_reason: str = ""
    load: float = 0.0
    """Tasks queued and running, per worker, in the least loaded pod."""
    room: int | None = None
    """Tasks that its queues still take; None: not known, taken as enough."""
    max_qubits: int | None = None
    max_shots: int | None = None
    memory_bytes: int | None = None
    """Memory for one circuit; None: not known yet."""
    state_copies: int = 1
    """States of full size that its engine holds at a time."""
    size_of: str = ""
    """Name of the backend, in its namespace, that it is a larger size of. Jobs that mean that one mean the smallest
    size that their circuit fits."""
    smaller_bytes: int | None = None
    """Memory for one circuit in the next smaller size; None of what is no larger size."""
    larger: bool = False
    """Whether there is a larger size."""
    awaits_larger: bool = False
    """Whether a larger size than this is to be made, and none is there yet."""
    starting: str = ""
    """What is done so that a pod serves, where none does: for a job that is held for it."""
    admitted_namespaces: frozenset[str] = frozenset()
    """Further namespaces that may use it: those that its selector matches now."""
    selects: bool = False
    """Whether it has a selector: namespaces may get other labels while a job waits."""
    offer_withheld: bool = False
    """Whether it admits other namespaces and its own lacks the right to offer backends: that may change too."""
    tier: Tier | None = None
    site: str | None = None
    region: str | None = None
    latency_seconds: float | None = None
    """Round trip that the operator measured; None: not measured."""
    bytes_per_second: float | None = None
    """Rate at which results came from there to the operator; None: not measured."""
    features: frozenset[str] | None = None
    """What its engine can do, in the words of ``Needs.features``; None: everything."""
    workers: int = 1
    """Tasks that it runs at the same time."""
    free_seconds: tuple[float, ...] = ()
    """Seconds from now until each worker has done what was given to it; shorter than ``workers``: the others have
    ``queue_seconds`` before them."""
    queue_seconds: float | None = None
    """Forecast wait of a task sent now, seconds; None: not known, then ``load`` tasks of the usual length."""
    slot_seconds: tuple[float, ...] | None = None
    """Seconds from now until each of its slots for programs is forecast to be free, 0 of one that is; None: it takes
    any number of programs."""
    dispatch_depth: int | None = None
    """Tasks per worker to keep queued behind those that run, so that no worker idles between rounds. None: as many as
    its queues take, as for a cloud whose own queue decides when a task starts."""
    ahead_seconds: float = math.inf
    """What would start there later than this is held back, so that better news can still move it."""
    calibration_stale_reason: str = ""
    """Why its calibration can't be trusted; then nothing is sent to it."""
    currency: str = "USD"
    """Currency of its forecast costs."""
    task_price: float = 0.0
    """Price of each task of its device, in that currency: each submission of a job has its own."""
    task_limits: TaskLimits = field(default_factory=TaskLimits)
    """What one task of its device may have: more becomes several."""
    recorded: bool = False
    """Whether a job's status says that a task is to be sent there before it is sent: what costs money is sent once."""
    unpriced: bool = False
    """Whether its tasks are paid for and no price is known: then nothing with a limit on cost is sent to it."""
    task_watts: float | None = None
    """Power that a task draws while it runs, watts; None: not known."""
    two_qubit_error: float | None = None
    """Median error of gates on two qubits that work; None: not known."""
    readout_error: float | None = None
    """Median error of measurements; None: not known."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """What was measured of it and is in the fields above, with its time and source; for the record."""
    stale_figures: tuple[str, ...] = ()
    """What was measured of it so long ago that it is not in them."""

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    def label_for(self, namespace: str) -> str:
        """Return the name as people of this namespace write it."""
        return self.name if namespace == self.namespace else self.key

    def admits(self, namespace: str) -> bool:
        """Return whether jobs of the namespace may use it."""
        return self.admits_all_namespaces or namespace == self.namespace or namespace in self.admitted_namespaces


@dataclass(frozen=True, slots=True)
class Share:
    """A namespace's part of the backends."""

    weight: float = 1.0
    usage: float = 0.0
    """Worker seconds used, decayed to the moment of the snapshot."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Weighted fair share between namespaces; one that is not named has weight 1 and has used nothing."""

    by_namespace: Mapping[str, Share] = field(default_factory=dict)
    half_life: float = 86_400.0
    """Seconds in which past usage loses half of its weight."""

    def of(self, namespace: str) -> Share:
        """Return the namespace's share."""
        return self.by_namespace.get(namespace, Share())

    def later(self, seconds: float) -> Shares:
        """Return the shares after this many seconds without any usage."""
        factor = 0.5 ** (seconds / self.half_life)
        decayed = {name: Share(s.weight, s.usage * factor) for name, s in self.by_namespace.items()}
        return Shares(decayed, self.half_life)

    def charged(self, namespace: str, worker_seconds: float) -> Shares:
        """Return the shares after the namespace used this much."""
        share = self.of(namespace)
        new = Share(share.weight, share.usage + worker_seconds)
        return Shares({**self.by_namespace, namespace: new}, self.half_life)


@dataclass(frozen=True, slots=True)
class Active:
    """A task that a backend has already, or a program that holds slots of it."""

    job: str
    namespace: str
    backend: str
    """The backend's key."""
    priority: int = 0
    started: bool = True
    """False: it waits in the backend's queue and loses nothing when it is taken back."""
    preemptible: bool = False
    """Whether its policy lets higher priorities displace it."""
    checkpointable: bool = False
    """Whether it goes on from where it was after it was stopped; otherwise it is displaced before its start only."""
    remaining_seconds: float = 0.0
    """Forecast time that it still needs on a worker, or in its slots."""
    slots: int = 1
    """Workers."""
    ranks: int = 0
    """How many slots for programs it holds; 0 of a task."""
    yields: bool = False
    """Whether it was displaced already, and is about to go."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one round knows."""

    jobs: tuple[Job, ...]
    backends: tuple[Backend, ...]
    now: float
    """Unix seconds."""
    estimates: Estimates | None = None
    """Rows as ``jobs``, columns as ``backends``; None: nothing is forecast."""
    shares: Shares = field(default_factory=Shares)
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    """By namespace; one that is not named has no limit."""
    active: tuple[Active, ...] = ()
    links: Mapping[str, Mapping[str, Link]] = field(default_factory=dict)
    """Of each place that programs run at the links to backends, by their keys, as far as they were measured."""


_POSITIVE = frozenset({"patience_seconds", "tranche", "usual_seconds"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What the cluster's administrator decides about rounds."""

    aging_seconds: float = 3600.0
    """Aging bound: a job that has waited longer goes before every job that came later, whatever their priority."""
    patience_seconds: float = 1200.0
    """Time that counts as much as losing all fidelity, where a job weighs both the same."""
    tranche: float = 1.0
    """Jobs that may overtake each other, per worker of the backends, where several namespaces wait: more is better for
    the objective, less is fairer from moment to moment."""
    preferred_tier: float = 0.1
    """Soft terms count as this much relative loss of fidelity each: a tier that is not preferred,"""
    data_locality: float = 0.05
    """a site other than the data's,"""
    warm_circuit: float = 0.02
    """a backend that does not have the circuit yet."""
    nearer: float = 0.2
    """A program leaves the backend that it ran on last for a way that is shorter by more than this part of it."""
    lateness: float = 4.0
    """What a missed deadline counts, in whole losses of fidelity."""
    split_tolerance: float = 0.01
    """Backends are equal when their forecast fidelities differ by at most this much."""
    preempt_after_seconds: float = 5.0
    """Work is displaced only for a job that would wait longer than this."""
    usual_seconds: float = 1.0
    """Run time that is assumed where none is forecast."""
    weights: Weights | None = None
    """Weights of jobs whose own are equal, as they are where a job says nothing; None: they stay equal."""
    scheduler: str = "Joint"
    """What decides, see ``schedulers``."""

    def __post_init__(self) -> None:
        """Refuse what no round could be made with."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, float) and not (value > 0 if item.name in _POSITIVE else value >= 0):
                raise ValueError(
                    f"{item.name} is {value:g}; {'more than 0' if item.name in _POSITIVE else '0 or more'}"
                )


@dataclass(frozen=True, slots=True)
class Candidate:
    """The forecast of a job on one backend, as the round saw it."""

    backend: str
    """The backend's key."""
    fidelity: float | None
    wait_seconds: float
    """From now to the start, behind what the round put before it."""
    run_seconds: float | None
    cost: float | None
    """In the backend's currency."""
    network_seconds: float
    """For which it waits for the ways there and back."""
    score: float
    """The job's part of the objective there; lower is better."""
    energy_joules: float | None = None
    """None where it is not known."""


@dataclass(frozen=True, slots=True)
class Part:
    """A submission of a job that has several."""

    backend: Backend
    shots: int
    kind: PartKind
    """Split: the parts' counts are merged. Hedge: all shots again; the first that ends is the result. Ranks: a group of
    a parallel program's ranks, which has no shots of its own."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a job goes, or why it stays."""

    job: str
    """The job's key."""
    backend: Backend | None
    """Where it is sent now; None: it stays."""
    reason: str
    """One sentence with the numbers."""
    impossible: bool = False
    """True when no backend that exists could ever run it, however long it waits."""
    over_budget: bool = False
    """True of an impossible job for which a larger budget may help."""
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Why not, by backend, as people of the job's namespace write it."""
    planned: Backend | None = None
    """Where it would go as things are: it is held back, since something better may turn up before it could start."""
    expected_start: float | None = None
    """Unix seconds; of a job that is sent or planned."""
    parts: tuple[Part, ...] = ()
    """All submissions of a job that is split or hedged, or the backends of a parallel program's ranks in their order;
    the one to ``backend`` first; empty: one with all shots."""
    candidates: tuple[Candidate, ...] = ()
    """The chosen backend and the runner-up."""
    remedy: str = ""
    """What would make an impossible job possible."""
    slot_place: int = 0
    """Its place among the programs that wait for slots of that of its backends where they are free last, from 1; 0: it
    waits for none."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends that it is sent to, each once, in the order of its parts; empty: it stays."""
        if self.backend is None:
            return ()
        return self._each(self.backend)

    @property
    def held_for(self) -> tuple[Backend, ...]:
        """The backends that it is planned on while it is held back, likewise; empty: it is not."""
        return () if self.planned is None else self._each(self.planned)

    def _each(self, first: Backend) -> tuple[Backend, ...]:
        return tuple({part.backend.key: part.backend for part in self.parts}.values()) or (first,)


@dataclass(frozen=True, slots=True)
class Preemption:
    """Work to displace before the next round."""

    job: str
    """Key of the job that yields."""
    backend: str
    """Key of the backend that it leaves."""
    beneficiary: str
    """Key of the job that it yields to; its own: it is taken back from a backend whose calibration went stale."""
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with every job of a snapshot."""

    decisions: tuple[Decision, ...]
    """In the order of the snapshot's jobs."""
    preemptions: tuple[Preemption, ...] = ()
    objective: float = 0.0
    """Of all jobs that have a backend, now or planned; the sum over the groups that were optimised."""
    lower_bound: float = 0.0
    """No assignment of these groups, in this order and whatever the shares, can have a lower objective."""
