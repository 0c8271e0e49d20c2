"""What is asked and what is answered."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qonverge.amounts import TaskLimits
from qonverge.devices import Layout
from qonverge.documents.excerpt import excerpt
from qonverge.wire.errors import InvalidTask, WireError
from qonverge.wire.vendor import ENDED_STATES, VendorTask, limits_from

Observable = tuple[tuple[str, float], ...]
"""A sum of Pauli terms: label (qubit 0 is the last letter) and real coefficient."""

MAX_SHOTS = 100_000_000
# Of Kubernetes' objects.
_LONGEST_NAME = 253
# Of what a vendor has: Braket's are ARNs, and Google's are paths.
_LONGEST_ID = 1024
# Longer circuits travel as arrays do, behind the head of a message, which has a limit.
_INLINE_QPY = 4096
_LETTERS = frozenset("IXYZ")
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


@dataclass(frozen=True, slots=True)
class Pub:
    """One primitive unified bloc: a circuit, parameter sets, and what is wanted of each.

    With observables the answer is expectation values, with ``statevector`` the final states, else measured bits. An
    array of 0 parameter sets or pairs has an answer of the same length.
    """

    circuit: str
    """Digest of the circuit."""
    parameters: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """For each parameter its values, one per set; all of the same length N, one set without parameters."""
    shots: int | None = None
    """Runs of each set; None with observables: exact, or as ``precision`` needs."""
    precision: float | None = None
    """Standard error wanted for every expectation value."""
    observables: tuple[Observable, ...] = ()
    """K observables."""
    pairs: NDArray[np.int32] | None = None
    """Which (set, observable) pairs are wanted, shape (M, 2); None: all N x K."""
    statevector: bool = False
    """Whether the final state of every set is wanted."""
    layout: Layout | None = None
    """Where the circuit lies on the backend's device; None: where it lies best."""

    @property
    def sets(self) -> int:
        """The number N of parameter sets."""
        return next((len(values) for values in self.parameters.values()), 1)

    @property
    def estimates(self) -> bool:
        """Whether the answer is expectation values."""
        return bool(self.observables) or self.pairs is not None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to run: no parameter sets, or no pairs."""
        return self.sets == 0 or (self.pairs is not None and len(self.pairs) == 0)

    @property
    def nbytes(self) -> int:
        """About how many bytes it takes."""
        return (
            512
            + sum(200 + values.nbytes for values in self.parameters.values())
            + sum(200 * len(terms) for terms in self.observables)
            + (0 if self.pairs is None else self.pairs.nbytes)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {
            "circuit": self.circuit,
            "parameters": dict(self.parameters),
            "shots": self.shots,
            "precision": self.precision,
            "observables": self.observables,
            "pairs": self.pairs,
            "statevector": self.statevector,
            "layout": None if self.layout is None else self.layout.to_dict(),
        }

    @classmethod
    def trusted(cls, data: dict[str, Any]) -> Self:
        """Return the pub that ``to_dict`` gave; it was checked where it came in."""
        observables = tuple(tuple((label, value) for label, value in terms) for terms in data["observables"])
        return cls(
            data["circuit"],
            data["parameters"],
            data["shots"],
            data["precision"],
            observables,
            data["pairs"],
            data["statevector"],
            None if data["layout"] is None else Layout.from_dict(data["layout"]),
        )

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return the pub, checked.

        Raises:
            InvalidTask: saying which field is wrong and how.
        """
        if not isinstance(data, dict) or not isinstance(data.get("circuit"), str):
            raise InvalidTask("a pub is an object with a circuit digest")
        parameters = {str(name): _values(name, values) for name, values in (data.get("parameters") or {}).items()}
        if len({len(values) for values in parameters.values()}) > 1:
            raise InvalidTask("all parameters of a pub need the same number of values")
        shots, precision = data.get("shots"), data.get("precision")
        if shots is not None and (not isinstance(shots, int) or isinstance(shots, bool) or not 0 < shots <= MAX_SHOTS):
            raise InvalidTask(f"shots is {excerpt(shots)}; give a whole number from 1 to {MAX_SHOTS}")
        if precision is not None and (type(precision) not in (int, float) or not 0 < precision <= 1):
            raise InvalidTask(f"precision is {excerpt(precision)}; give a number above 0, at most 1")
        pairs = data.get("pairs")
        statevector = _flag(data, "statevector")
        if statevector and (data.get("observables") or shots is not None or precision is not None):
            raise InvalidTask("a statevector comes without shots, precision and observables: ask in two pubs")
        return cls(
            data["circuit"],
            parameters,
            shots,
            precision,
            _observables(data.get("observables")),
            None if pairs is None else _pairs(pairs),
            statevector,
            None if data.get("layout") is None else Layout.from_dict(data["layout"]),
        )


def _values(name: object, values: Any) -> NDArray[np.float64]:
    if isinstance(values, np.ndarray) and values.dtype == np.float64 and values.ndim == 1:
        array = values
    else:
        try:
            array = np.atleast_1d(np.asarray(values, dtype=np.float64)).ravel()
        except (TypeError, ValueError):
            raise InvalidTask(f"the values of parameter {name} are not numbers") from None
    # A loop's tasks have one value for each of many parameters, where numpy's way takes ten times as long.
    if not (math.isfinite(array[0]) if array.size == 1 else np.isfinite(array).all()):
        raise InvalidTask(f"the parameter {name} has values that are NaN or infinite")
    return array


def _flag(data: dict[str, Any], name: str) -> bool:
    given = data.get(name)
    if given is not None and not isinstance(given, bool):
        raise InvalidTask(f"{name} is {excerpt(given)}; give true or false")
    return bool(given)


def _pairs(given: Any) -> NDArray[np.int32]:
    wide = np.asarray(given)
    # Neither may fractions be cut off, nor numbers that an int32 cannot hold wrap around to valid ones.
    if wide.size and (wide.dtype.kind not in "iu" or wide.ndim != 2 or wide.max() > 2**31 - 1):
        raise InvalidTask("pairs is a list of [set, observable] indices")
    return wide.astype(np.int32).reshape(-1, 2)


def _observable(terms: Any) -> Observable:
    try:
        observable = tuple((str(label), float(coefficient)) for label, coefficient in terms)
    except (TypeError, ValueError):
        raise InvalidTask("an observable is a list of [label, coefficient] pairs") from None
    if any(not math.isfinite(coefficient) for _, coefficient in observable):
        raise InvalidTask("an observable has a coefficient that is NaN or infinite")
    for label, _ in observable:
        if not label or set(label) - _LETTERS:
            raise InvalidTask(f"an observable has the label {excerpt(label)}; give letters I, X, Y and Z, one a qubit")
    return observable


def _observables(given: Any) -> tuple[Observable, ...]:
    observables = tuple(_observable(item) for item in given or ())
    widths = sorted({len(label) for observable in observables for label, _ in observable})
    if len(widths) > 1:
        raise InvalidTask(
            f"the observables of a pub are about {widths[0]} qubits and about {widths[1]}: give one width"
        )
    return observables


@dataclass(frozen=True, slots=True)
class Task:
    """Work for a backend. The same id is the same task: it is run once, however often it is sent."""

    id: str
    pubs: tuple[Pub, ...]
    circuits: Mapping[str, bytes] = field(default_factory=dict)
    """QPY of the circuits that the server may lack, by digest."""
    seed: int | None = None
    memory: bool = False
    """Whether the bits of every shot are wanted, in order, rather than counts."""
    namespace: str = ""
    """For whom the operator sends it; what other senders say is not believed."""
    again: bool = False
    """Whether it may have been sent before: of a cloud that cannot say what it has, it is not asked for twice."""
    job: str = ""
    """Name of the job for which the operator sends it; believed as the namespace is."""
    known: Mapping[str, str] = field(default_factory=dict)
    """The vendor's ids of what it became elsewhere before, by the keys of ``VendorTask.key``: what an earlier process
    of the server began is gone on with, also where the vendor has no list of tasks. Believed of the operator, and of
    others where ``seals`` has the word of a server of the same backend."""
    boot: str = ""
    """The operator's: what ``BackendInfo.boot`` was before anybody could send it, so that no server before that one had
    it. Empty: that is not known."""
    since: float = 0.0
    """Unix seconds before which it was not sent: so far back a vendor's list is read; 0: not known."""
    limits: TaskLimits | None = None
    """What one task of the device may have, as it was when this one was first sent: a vendor's tasks are made by that,
    and so are the same ones after the device changed it. None: as it is now."""
    traceparent: str = ""
    """The span that it belongs to, as the W3C recommendation Trace Context has it; empty or unreadable: none."""
    seals: Mapping[str, str] = field(default_factory=dict)
    """``VendorTask.seal`` of what is ``known``, by its key."""

    @property
    def nbytes(self) -> int:
        """About how many bytes the pubs take; circuits are kept apart, since tasks share them."""
        return 512 + 256 * len(self.known) + sum(pub.nbytes for pub in self.pubs)

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {
            "id": self.id,
            "pubs": [pub.to_dict() for pub in self.pubs],
            "circuits": {
                digest: qpy if len(qpy) <= _INLINE_QPY else np.frombuffer(qpy, np.uint8)
                for digest, qpy in self.circuits.items()
            },
            "seed": self.seed,
            "memory": self.memory,
            "namespace": self.namespace,
            "again": self.again,
            "job": self.job,
            "known": dict(self.known),
            "boot": self.boot,
            "since": self.since,
            "limits": None if self.limits is None else list(astuple(self.limits)),
            "traceparent": self.traceparent,
            "seals": dict(self.seals),
        }

    @classmethod
    def trusted(cls, data: dict[str, Any]) -> Self:
        """Return the task that ``to_dict`` gave; it was checked where it came in."""
        pubs = tuple(Pub.trusted(pub) for pub in data["pubs"])
        circuits = {digest: bytes(qpy) for digest, qpy in data["circuits"].items()}
        return cls(
            data["id"],
            pubs,
            circuits,
            data["seed"],
            data["memory"],
            data["namespace"],
            again=data.get("again", False),
            job=data.get("job", ""),
            known=data.get("known", {}),
            boot=data.get("boot", ""),
            since=data.get("since", 0.0),
            limits=_limits(data),
            traceparent=data.get("traceparent", ""),
            seals=data.get("seals", {}),
        )

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return the task, checked.

        Raises:
            InvalidTask: saying which field is wrong and how.
        """
        if not isinstance(data, dict):
            raise InvalidTask("a task is an object with id and pubs")
        identity, pubs, circuits = data.get("id"), data.get("pubs"), data.get("circuits") or {}
        if not isinstance(identity, str) or not _IDENTITY.fullmatch(identity):
            raise InvalidTask(
                "the task's id must be a text of 1 to 253 letters, digits, dots, dashes, underscores, "
                "and start with a letter or digit"
            )
        if not isinstance(pubs, list) or not pubs:
            raise InvalidTask("the task has no pubs: give at least one circuit")
        if not isinstance(circuits, dict):
            raise InvalidTask("circuits must map digests to QPY bytes")
        seed = data.get("seed")
        if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
            raise InvalidTask(f"seed is {excerpt(seed)}; give a whole number from 0 to 2^32 - 1")
        try:
            checked = tuple(Pub.from_dict(pub) for pub in pubs)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise InvalidTask(f"a pub is malformed: {error}") from None
        qpy = {digest: _qpy(given) for digest, given in circuits.items()}
        namespace, job, boot = (_name(data, name) for name in ("namespace", "job", "boot"))
        memory, again = _flag(data, "memory"), _flag(data, "again")
        known, since, seals = _texts(data, "known"), _since(data), _texts(data, "seals")
        limits, trace = _limits(data), _traceparent(data)
        return cls(
            identity, checked, qpy, seed, memory, namespace, again, job, known, boot, since, limits, trace, seals
        )


def _name(data: dict[str, Any], field: str) -> str:
    given = data.get(field) or ""
    if not isinstance(given, str) or len(given) > _LONGEST_NAME:
        raise InvalidTask(f"{field} is {excerpt(given)}; leave it out: only the operator names one")
    return given


def _traceparent(data: dict[str, Any]) -> str:
    given = data.get("traceparent") or ""
    if not isinstance(given, str) or len(given) > _LONGEST_NAME:
        raise InvalidTask(f"traceparent is {excerpt(given)}; give a text such as 00-TRACE-SPAN-01, or leave it out")
    return given


def _texts(data: dict[str, Any], field: str) -> dict[str, str]:
    given = data.get(field) or {}
    if not isinstance(given, dict) or not all(
        isinstance(text, str) and len(text) <= _LONGEST_ID for pair in given.items() for text in pair
    ):
        raise InvalidTask(f"{field} is {excerpt(given)}; give texts by keys as vendor_tasks has them, or leave it out")
    return given


def _since(data: dict[str, Any]) -> float:
    given = data.get("since") or 0.0
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        raise InvalidTask(f"since is {excerpt(given)}; give Unix seconds, or leave it out")
    return float(given)


def _limits(data: dict[str, Any]) -> TaskLimits | None:
    given = data.get("limits")
    if given is None:
        return None
    try:
        return limits_from(given)
    except ValueError as error:
        raise InvalidTask(str(error)) from None


def _qpy(given: Any) -> bytes:
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == 1:
        # A copy, so that a circuit that is kept does not keep the whole message.
        return given.tobytes()
    if not isinstance(given, bytes):
        raise InvalidTask("circuits must map digests to QPY bytes")
    return given


@dataclass(frozen=True, slots=True)
class PubResult:
    """The answer to one pub."""

    counts: tuple[Mapping[str, int], ...] = ()
    """For each parameter set how often each outcome was measured; registers are separated by spaces, last first."""
    registers: Mapping[str, tuple[int, NDArray[np.uint8]]] = field(default_factory=dict)
    """With ``memory``: for each register its bits and an array of shape (N, shots, bytes), big-endian as in
    Qiskit's BitArray."""
    expectation_values: NDArray[np.float64] | None = None
    """Shape (M,) in the order of ``pairs``, or (N, K)."""
    standard_errors: NDArray[np.float64] | None = None
    """Same shape; 0 where the value is exact."""
    statevectors: NDArray[np.complex128] | None = None
    """Amplitudes of the final states, shape (N, 2^qubits); qubit 0 is the least significant bit of an index."""
    shots: int | None = None
    """Runs of each parameter set (of each measured group, for observables)."""
    method: str = ""
    """Simulation method that the engine used."""
    reason: str = ""
    """Why that method."""
    engine: str = ""
    """Engine and version where the backend chooses among several; else the task's result has it."""
    layout: tuple[int, ...] = ()
    """For each qubit of the circuit the device's qubit on which it began; empty where there is no device."""

    @property
    def nbytes(self) -> int:
        """About how many bytes the answer takes."""
        arrays = (self.expectation_values, self.standard_errors, self.statevectors)
        return (
            sum(array.nbytes for _, array in self.registers.values())
            + sum(100 * len(counts) for counts in self.counts)
            + sum(array.nbytes for array in arrays if array is not None)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {
            "counts": self.counts,
            "registers": {name: (bits, array) for name, (bits, array) in self.registers.items()},
            "expectation_values": self.expectation_values,
            "standard_errors": self.standard_errors,
            "statevectors": self.statevectors,
            "shots": self.shots,
            "method": self.method,
            "reason": self.reason,
            "engine": self.engine,
            "layout": self.layout,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the result that ``to_dict`` gave."""
        return cls(
            tuple(data["counts"]),
            {name: (bits, array) for name, (bits, array) in data["registers"].items()},
            data["expectation_values"],
            data["standard_errors"],
            data.get("statevectors"),
            data["shots"],
            data["method"],
            data.get("reason", ""),
            data.get("engine", ""),
            tuple(data.get("layout", ())),
        )


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task that has not ended, as a list of tasks shows it."""

    id: str
    subject: str
    """Who sent it."""
    state: str
    """Queued or Running."""

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {"id": self.id, "subject": self.subject, "state": self.state}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the value that ``to_dict`` gave."""
        return cls(data["id"], data["subject"], data["state"])


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a task stands, and its results when it is done."""

    id: str
    state: str
    """Queued, Running, Completed, Failed or Cancelled."""
    results: tuple[PubResult, ...] = ()
    error: WireError | None = None
    engine: str = ""
    """Engine and version."""
    seed: int | None = None
    """Seed that was used, drawn by the server where none was given."""
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    calibration: str = ""
    """Digest of the calibration that was imitated; empty without one."""
    cached: bool = False
    """Whether it is the result of an earlier task that asked for the same."""
    peak_bytes: int | None = None
    """Most memory that it took in a worker beyond what that had before; None where it was not measured."""
    vendor_tasks: tuple[VendorTask, ...] = ()
    """What it became at a cloud or another site, as far as that is known by now."""
    stopping: bool = False
    """Whether it was cancelled, and what it became elsewhere may run still."""

    @property
    def done(self) -> bool:
        """Whether the task has ended."""
        return self.state in ENDED_STATES

    @property
    def nbytes(self) -> int:
        """About how many bytes the result takes."""
        return 512 + sum(result.nbytes for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {
            "id": self.id,
            "state": self.state,
            "results": [result.to_dict() for result in self.results],
            "error": None if self.error is None else self.error.to_dict(),
            "engine": self.engine,
            "seed": self.seed,
            "queue_seconds": self.queue_seconds,
            "run_seconds": self.run_seconds,
            "calibration": self.calibration,
            "cached": self.cached,
            "peak_bytes": self.peak_bytes,
            "vendor_tasks": [task.to_dict() for task in self.vendor_tasks],
            "stopping": self.stopping,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the result that ``to_dict`` gave."""
        return cls(
            data["id"],
            data["state"],
            tuple(PubResult.from_dict(result) for result in data["results"]),
            None if data["error"] is None else WireError.from_dict(data["error"]),
            data["engine"],
            data["seed"],
            data["queue_seconds"],
            data["run_seconds"],
            data.get("calibration", ""),
            bool(data.get("cached")),
            data.get("peak_bytes"),
            tuple(VendorTask.from_dict(task) for task in data.get("vendor_tasks", ())),
            bool(data.get("stopping")),
        )
