"""What a task asks of an engine, in numbers, and what an engine that nobody has timed yet would take for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Self

import numpy as np

from qonverge.circuits.analysis.analysis import Analysis
from qonverge.forecast.intervals import Floats
from qonverge.providers.figures import Figures

# Beyond it a float holds no full state's size; such a circuit runs on no engine that needs one.
_MOST_STATE_BITS = 200
_MOST_BOND_BITS = 40
# Of a device: the reset between shots, and a layer of gates.
_RESET_SECONDS = 2.5e-4
_LAYER_SECONDS = 2e-7


@dataclass(frozen=True, slots=True)
class Work:
    """One pub: a circuit, and how often and for what it is run."""

    num_qubits: int
    size: int
    """Operations in all."""
    two_qubit_gates: int
    depth: int
    bond_bits: int
    """See ``Analysis.bond_bits``."""
    measured_bits: int
    shots: int
    """Of each set and basis; 0 where exact values are wanted."""
    sets: int = 1
    """Parameter sets."""
    terms: int = 0
    """Pauli terms of all observables together; 0 where counts are wanted."""
    bases: int = 1
    """Bases in which the observables' groups are measured, one run each."""
    repeated: bool = False
    """Whether each shot is a run of its own, since the circuit measures on its way or its noise is drawn."""

    @property
    def all_shots(self) -> int:
        """Runs in all."""
        return self.shots * self.sets * self.bases

    @classmethod
    def of(
        cls, analysis: Analysis, shots: int, *, sets: int = 1, terms: int = 0, bases: int = 1, drawn_noise: bool = False
    ) -> Self:
        """Return the work of an analysed circuit; ``shots`` is 0 for exact values."""
        return cls(
            analysis.num_qubits,
            analysis.size,
            analysis.two_qubit_gates,
            analysis.depth,
            analysis.bond_bits,
            # The bases' measurements are added to a circuit that has none of its own.
            analysis.num_qubits if terms else analysis.measured_bits,
            shots,
            sets,
            terms,
            bases,
            shots > 0 and (analysis.mid_circuit or analysis.control_flow or drawn_noise),
        )


_FIELDS = tuple(field.name for field in fields(Work))

TIME_PARTS = ("fixed", "prepare", "start", "dispatch", "narrow state", "wide state", "outcomes", "values")
"""Parts of a task's run time; what each grows with is in ``seconds``."""
MEMORY_PARTS = ("state", "circuits", "outcomes")
"""Parts of a task's memory; what each grows with is in ``peak_bytes``."""


@dataclass(frozen=True, slots=True)
class WorkTable:
    """Works side by side, each array of shape (J,): the fields of ``Work``, bounded, and what follows from them."""

    qubits: Floats
    size: Floats
    two_qubit: Floats
    depth: Floats
    bond: Floats
    measured: Floats
    shots: Floats
    sets: Floats
    terms: Floats
    starts: Floats
    """Circuits that the engine is given."""
    runs: Floats
    """How often a circuit's gates are applied."""

    def __len__(self) -> int:
        return len(self.qubits)


def table(works: Iterable[Work]) -> WorkTable:
    """Return the works side by side."""
    rows = np.array([astuple(work) for work in works], dtype=np.float64).reshape(-1, len(_FIELDS))
    column = dict(zip(_FIELDS, rows.T, strict=True))
    starts, shots = column["sets"] * column["bases"], column["shots"]
    return WorkTable(
        qubits=np.minimum(column["num_qubits"], _MOST_STATE_BITS),
        size=column["size"],
        two_qubit=column["two_qubit_gates"],
        depth=column["depth"],
        bond=np.minimum(column["bond_bits"], _MOST_BOND_BITS),
        measured=np.minimum(column["measured_bits"], _MOST_STATE_BITS),
        shots=shots,
        sets=column["sets"],
        terms=column["terms"],
        starts=starts,
        runs=starts * np.where(column["repeated"] > 0, np.maximum(shots, 1), 1),
    )


def seconds(method: str, work: WorkTable, figures: Figures) -> Floats:
    """Return the run time's parts of each task as they are assumed before tasks were timed, shape (J, 8).

    A model learns a factor for each part from the backend that it is about. A method that is not known here is taken as
    a device, whose time goes with the shots and the depth.

    Args:
        method: as in the API, or ``Device``.
        work: J tasks.
        figures: of the engine.
    """
    narrow, wide = _STATES.get(method, _device)(work, figures)
    drawn = (work.terms == 0) & (work.measured <= figures.drawn_bits)
    outcomes = np.minimum(work.shots, 2.0**work.measured)
    # Numbers that an exact value of a term reads: all amplitudes, or a chain's tensors.
    read = 2.0**work.qubits if method in ("Statevector", "DensityMatrix") else work.qubits * 4.0**work.bond
    # With shots each basis's outcomes are summed for each term, else the state is.
    summed = np.where(work.shots > 0, figures.term_outcome_seconds * outcomes, figures.term_number_seconds * read)
    parts = (
        np.full(len(work), figures.task_seconds),
        figures.prepare_seconds * work.size,
        work.starts * (figures.circuit_seconds + figures.circuit_operation_seconds * work.size),
        work.runs * (figures.run_seconds + figures.run_operation_seconds * work.size),
        narrow,
        wide,
        work.starts * np.where(drawn, figures.drawn_outcome_seconds * outcomes, figures.shot_seconds * work.shots),
        work.sets * work.terms * (figures.term_seconds + summed),
    )
    return np.stack(parts, axis=1)


def _statevector(work: WorkTable, figures: Figures) -> tuple[Floats, Floats]:
    return _full_state(work, 2.0**work.qubits, figures)


def _density_matrix(work: WorkTable, figures: Figures) -> tuple[Floats, Floats]:
    return _full_state(work, 4.0**work.qubits, figures)


def _full_state(work: WorkTable, amplitudes: Floats, figures: Figures) -> tuple[Floats, Floats]:
    each = work.runs * work.size * amplitudes * figures.amplitude_seconds
    wide = work.qubits >= figures.threaded_qubits
    return np.where(wide, 0.0, each), np.where(wide, each, 0.0)


def _product_state(work: WorkTable, figures: Figures) -> tuple[Floats, Floats]:
    """Gates on matrices of the bond dimension; the bound is seldom reached, so a flatter part stands beside it."""
    bond = 2.0**work.bond
    sampled = work.starts * work.shots * work.qubits * bond * figures.bond_shot_seconds
    gates = work.runs * work.two_qubit * bond**3 * figures.bond_cubed_seconds
    return work.runs * work.size * bond * figures.bond_seconds, gates + sampled


def _stabilizer(work: WorkTable, figures: Figures) -> tuple[Floats, Floats]:
    """Gates on a tableau, then each shot's measurements, whose cost grows with the tableau's rows."""
    measured = work.starts * work.shots * np.where(work.measured > 0, work.measured, 1)
    return (
        work.runs * work.size * work.qubits * figures.tableau_seconds,
        measured * work.qubits * figures.tableau_seconds,
    )


def _device(work: WorkTable, _: Figures) -> tuple[Floats, Floats]:
    """Shots with the reset between them, and their gates one after the other."""
    shots = work.starts * np.maximum(work.shots, 1)
    return shots * _RESET_SECONDS, shots * work.depth * _LAYER_SECONDS


_STATES: Mapping[str, Callable[[WorkTable, Figures], tuple[Floats, Floats]]] = {
    "Statevector": _statevector,
    "DensityMatrix": _density_matrix,
    "MatrixProductState": _product_state,
    "Stabilizer": _stabilizer,
}


def peak_bytes(method: str, work: WorkTable, figures: Figures) -> Floats:
    """Return the parts of each task's memory beyond what its worker had before, bytes, shape (J, 3).

    The first part is what the engine's own checks take for the state (``Analysis.statevector_bytes`` and
    ``compact_bytes``); a device's tasks take none here.

    Args:
        method: as in the API, or ``Device``.
        work: J tasks.
        figures: of the engine.
    """
    full = 2.0**work.qubits
    state = {
        "Statevector": 16 * full,
        "DensityMatrix": 16 * full**2,
        "MatrixProductState": 96 * work.qubits * 4.0**work.bond,
        "Stabilizer": work.qubits**2 / 2,
    }.get(method, np.zeros(len(work)))
    outcomes = figures.outcome_bytes * work.starts * np.minimum(np.maximum(work.shots, 1), 2.0**work.measured)
    return np.stack((state, figures.operation_bytes * work.starts * work.size, outcomes), axis=1)
