"""How large the result of a circuit may be, which is known before it runs, and whether there is room for it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from qonverge.api import HybridJob
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.programs.sweep import num_points

# Of JSON: a value with its comma, twice, since it has a standard error.
_VALUE_BYTES = 2 * 25
# Quotes, colon and comma of an outcome.
_OUTCOME_BYTES = 4
# Names of fields, the number of shots.
_HEAD_BYTES = 100
# Of a point of a sweep: names of fields; the value of a parameter with colon and comma.
_POINT_BYTES = 80
_PARAMETER_BYTES = 27


@dataclass(frozen=True, slots=True)
class ResultSize:
    """The most that a result may take as JSON."""

    entries: int
    """Outcomes, or expectation values."""
    each: int
    """Bytes of one of them."""
    what: str
    """What they are, for a message."""
    by_shots: bool
    """Whether fewer shots make it smaller."""
    points: int = 1
    """Points of a sweep."""
    point_bytes: int = 0
    """Bytes of one of them beside its entries."""

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.entries * self.each + self.points * self.point_bytes + _HEAD_BYTES

    def entries_in(self, room: int) -> int:
        """Return how many entries certainly have room in so many bytes; of a sweep, entries of each point."""
        return max(0, (room - _HEAD_BYTES - self.points * self.point_bytes) // (self.each * self.points))


@dataclass(frozen=True, slots=True)
class Room:
    """What one place has room for."""

    bytes: int | None
    """None: it is not known, or there is no limit."""
    what: str
    """In a clause that names the place and its limit."""


def largest(job: HybridJob, checked: CheckedCircuit) -> ResultSize:
    """Return the most that the result of a job's circuit may take: each shot may have an outcome of its own."""
    sweep = job.spec.program.sweep
    points, each, of = num_points(sweep), 0, ""
    if sweep is not None:
        each = _POINT_BYTES + sum(len(json.dumps(name)) + _PARAMETER_BYTES for name in sweep.names)
        of = f" at each of {points} points"
    if checked.observables:
        number = len(checked.observables)
        what = f"{number} expectation values with their errors{of}"
        return ResultSize(points * number, _VALUE_BYTES, what, by_shots=False, points=points, point_bytes=each)
    shots, analysis = job.spec.shots or DEFAULT_SHOTS, checked.analysis
    outcomes = min(shots, 1 << min(analysis.measured_bits, 62))
    digits = len(str(-(-shots // outcomes)))
    what = f"{outcomes} outcomes of {analysis.num_clbits} bits with their counts{of}"
    # A space between registers.
    width = analysis.num_clbits + max(0, len(analysis.registers) - 1)
    size, by_shots = width + _OUTCOME_BYTES + digits, outcomes == shots
    return ResultSize(points * outcomes, size, what, by_shots=by_shots, points=points, point_bytes=each)


def refusal(size: ResultSize, rooms: Sequence[Room]) -> str | None:
    """Return why a job is not to run, since no place certainly has room for its result; None where one may have.

    Args:
        size: of the result, at most.
        rooms: of all places where it could go.
    """
    known = [room.bytes for room in rooms if room.bytes is not None]
    if len(known) < len(rooms) or size.bytes <= max(known, default=0):
        return None
    there = "; ".join(room.what for room in rooms)
    fewer = f"ask for at most {size.entries_in(max(known))} shots, measure fewer qubits" if size.by_shots else ""
    fewer = fewer or ("sweep fewer points" if size.points > 1 else "ask for fewer of them at a time")
    return (
        f"the result may take {size.bytes} bytes, {size.what}, and there is no place for so much: {there}. Before it "
        f"runs: {fewer}, or let the administrator give the installation a store for it (output.stores of the chart)"
    )
