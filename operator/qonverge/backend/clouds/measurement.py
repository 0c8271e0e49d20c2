"""What one task of a cloud measures. Without Qiskit: the server has measurements too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import islice

from qonverge.amounts import TaskLimits
from qonverge.circuits.analysis.measurement_plan import together
from qonverge.wire.messages import Pub, Task

ESTIMATION = "estimation"
"""In the place of a basis: the cloud computes expectation values itself."""
OWN = "qonverge.own"
"""In the metadata of a circuit that is measured in a basis: how many operations are its own. Those after them turn the
basis and measure."""
STATE = "state"
"""In the place of a basis: the cloud gives the final state."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one task of a cloud measures."""

    pub: int
    """The pub's place in the task."""
    row: int
    """Which of its parameter sets."""
    basis: str
    """A letter for each qubit, qubit 0 last; empty: what the circuit itself measures; else ``ESTIMATION`` or
    ``STATE``."""
    first: int
    """Its first shot, where a device takes fewer shots at a time than are wanted."""
    shots: int
    """0 of an estimation: as the precision needs, or exact values; and of a state."""
    again: int = 0
    """How many before it measure the same: observables that are wanted of other sets have shots of their own."""

    @property
    def name(self) -> str:
        """What tells it from the task's others. It says all that is measured, and so never means two things."""
        return "/".join(str(part) for part in astuple(self))


def in_tasks(measurements: Sequence[Measurement], limits: TaskLimits) -> list[list[Measurement]]:
    """Return the measurements of each task of a cloud.

    Those with as many shots share tasks, in their order, as far as one task may have several programs. It follows from
    the measurements and the limits alone: what a task has decides its key.
    """
    alike: dict[int, list[Measurement]] = {}
    for each in measurements:
        # What a cloud estimates itself goes alone, as exact values do.
        alike.setdefault(0 if each.basis == ESTIMATION else each.shots, []).append(each)
    found: list[list[Measurement]] = []
    for shots, own in alike.items():
        left = iter(own)
        for tasks, size in together(len(own), shots, limits):
            found += [list(islice(left, size)) for _ in range(tasks)]
    return found


def wanted(pub: Pub, row: int) -> list[int]:
    """Return which observables are wanted of a parameter set."""
    if pub.pairs is None:
        return list(range(len(pub.observables)))
    return sorted({k for index, k in pub.pairs.tolist() if index == row})


def reduced(task: Task, measurement: Measurement) -> tuple[Task, Measurement]:
    """Return no more of a task than a measurement needs, and the measurement of that."""
    pub = task.pubs[measurement.pub]
    row = slice(measurement.row, measurement.row + 1)
    parameters = {name: values[row] for name, values in pub.parameters.items()}
    own = wanted(pub, measurement.row) if measurement.basis == ESTIMATION else ()
    one = replace(pub, parameters=parameters, observables=tuple(pub.observables[k] for k in own), pairs=None)
    return (
        replace(task, pubs=(one,), circuits={pub.circuit: task.circuits[pub.circuit]}),
        replace(measurement, pub=0, row=0),
    )
