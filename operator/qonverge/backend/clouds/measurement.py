"""What the tasks of a cloud measure. Without Qiskit: the server has measurements too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import islice

import numpy as np

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
    alike: dict[tuple[bool, int], list[Measurement]] = {}
    for each in measurements:
        # What a cloud estimates itself is another kind of task than what it measures.
        alike.setdefault((each.basis == ESTIMATION, each.shots), []).append(each)
    found: list[list[Measurement]] = []
    for (_, shots), own in alike.items():
        left = iter(own)
        for tasks, size in together(len(own), shots, limits):
            found += [list(islice(left, size)) for _ in range(tasks)]
    return found


def wanted(pub: Pub) -> list[list[int]]:
    """Return which observables are wanted of each parameter set."""
    if pub.pairs is None:
        return [list(range(len(pub.observables)))] * pub.sets
    found: list[set[int]] = [set() for _ in range(pub.sets)]
    for row, k in pub.pairs.tolist():
        found[row].add(k)
    return [sorted(own) for own in found]


def reduced(task: Task, measurements: Sequence[Measurement]) -> tuple[Task, list[Measurement]]:
    """Return no more of a task than some measurements need, and the measurements of that."""
    rows: dict[int, list[int]] = {}
    for each in measurements:
        rows.setdefault(each.pub, []).append(each.row)
    estimated = {each.pub for each in measurements if each.basis == ESTIMATION}
    kept = {pub: sorted(set(own)) for pub, own in rows.items()}
    pubs = tuple(_with_rows(task.pubs[pub], own, estimated=pub in estimated) for pub, own in kept.items())
    places = {pub: place for place, pub in enumerate(kept)}
    there = {(pub, row): place for pub, own in kept.items() for place, row in enumerate(own)}
    circuits = {pub.circuit: task.circuits[pub.circuit] for pub in pubs}
    return (
        replace(task, pubs=pubs, circuits=circuits),
        [replace(each, pub=places[each.pub], row=there[each.pub, each.row]) for each in measurements],
    )


def _with_rows(pub: Pub, rows: Sequence[int], *, estimated: bool) -> Pub:
    parameters = {name: values[list(rows)] for name, values in pub.parameters.items()}
    if not estimated:
        return replace(pub, parameters=parameters, observables=(), pairs=None)
    of_all = wanted(pub)
    own = [of_all[row] for row in rows]
    needed = {k: place for place, k in enumerate(sorted({k for each in own for k in each}))}
    pairs = [(row, needed[k]) for row, each in enumerate(own) for k in each]
    return replace(
        pub,
        parameters=parameters,
        observables=tuple(pub.observables[k] for k in needed),
        pairs=None if pub.pairs is None else np.array(pairs, dtype=np.int32),
    )
