"""One assignment for all jobs of a group: starts from two relaxations, then local search on the objective itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qonverge.scheduling.objective import Problem, Sequences, Work, objective, sequence_cost
from qonverge.scheduling.relaxation import Relaxation

_MATCHED_JOBS = 150
"""Up to here jobs and positions are matched exactly, and the result polished: beyond, the relaxation is as good."""
_EVALUATIONS = 1500
"""Sequences that polishing looks at, at most: a bound on its time that is the same on every machine."""
_KICKED_JOBS = 12
_KICKS = 16
"""Few jobs have local optima far from each other: so often two are moved at random, and it starts again."""
_SHORT = 8
"""Sequences up to this length are searched at every position."""


@dataclass(frozen=True, slots=True)
class Solution:
    """An assignment, and how far from the best it can be at most."""

    sequences: Sequences
    objective: float
    lower_bound: float


def solve(problem: Problem) -> Solution:
    """Return a good assignment of all jobs; each must have a backend that it may go to."""
    jobs = len(problem.static)
    if jobs == 1:
        return _single(problem)
    relaxation = Relaxation(problem)
    choice, bound = relaxation.solve()
    starts = [relaxation.sequences(choice)]
    thorough = jobs <= _MATCHED_JOBS
    if thorough:
        starts.append(_matched(problem))
    candidates = [[_in_time(problem, backend, jobs) for backend, jobs in enumerate(start)] for start in starts]
    best = min(candidates, key=lambda sequences: objective(problem, sequences))
    if thorough:
        polisher = _Polisher(problem)
        best = polisher.polish(best)
        best = polisher.kicked(best) if jobs <= _KICKED_JOBS else best
    least = objective(problem, best)
    return Solution(_first_come(problem, best), least, min(float(bound), least))


def _first_come(problem: Problem, sequences: Sequences) -> Sequences:
    """Let jobs that are alike in everything change places, so that the one admitted first starts first."""
    places: dict[bytes, list[tuple[float, int, int]]] = {}
    alike: dict[bytes, list[int]] = {}
    for backend, jobs in enumerate(sequences):
        lanes = problem.lanes[backend].copy()
        for position, job in enumerate(jobs):
            start = lanes.put(float(problem.run[job, backend]), int(problem.slots[job]))
            numbers = (problem.slots[job], problem.weight[job], problem.due[job])
            kind = b"".join(
                [problem.static[job].tobytes(), problem.run[job].tobytes(), *(n.tobytes() for n in numbers)]
            )
            places.setdefault(kind, []).append((start, backend, position))
            alike.setdefault(kind, []).append(job)
    ordered = [list(jobs) for jobs in sequences]
    for kind, jobs in alike.items():
        for job, (_, backend, position) in zip(sorted(jobs), sorted(places[kind]), strict=True):
            ordered[backend][position] = job
    return ordered


def _single(problem: Problem) -> Solution:
    backends = problem.shape[1]
    sequences: Sequences = [[] for _ in range(backends)]
    costs = [
        sequence_cost(problem.lanes[backend], problem.works(backend, [0]), problem.lateness)
        if math.isfinite(problem.static[0, backend])
        else math.inf
        for backend in range(backends)
    ]
    best = int(np.argmin(costs))
    sequences[best].append(0)
    return Solution(sequences, costs[best], costs[best])


def _matched(problem: Problem) -> Sequences:
    """Match jobs to positions on the backends' workers, counted from the end.

    A job on the k-th position from the end delays the k - 1 jobs behind it. With equal weights this is the exact
    optimum on one worker per backend (Horn, Operations Research 21 (1973) 846); otherwise a start.
    """
    from scipy.optimize import linear_sum_assignment

    jobs, backends = problem.shape
    mean_weight = float(problem.weight.mean())
    columns, owners = [], []
    for backend, lanes in enumerate(problem.lanes):
        free = lanes.times
        depth = jobs if jobs <= _SHORT else 2 * jobs // backends + 3
        for position in range(min(jobs, depth * len(free))):
            behind, worker = divmod(position, len(free))
            end = free[worker] + problem.run[:, backend]
            cost = problem.static[:, backend] + problem.weight * end + problem.run[:, backend] * behind * mean_weight
            columns.append(cost + problem.lateness * (end > problem.due))
            owners.append(backend)
    matrix = np.stack(columns, axis=1)
    # Infinite entries make a matching infeasible where positions run out, and local search can't leave them.
    finite = matrix[np.isfinite(matrix)]
    ceiling = 1e3 * (1.0 + float(np.abs(finite).max())) * jobs
    rows, chosen = linear_sum_assignment(np.where(np.isfinite(matrix), matrix, ceiling))
    sequences: Sequences = [[] for _ in range(backends)]
    for job, column in zip(rows.tolist(), chosen.tolist(), strict=True):
        backend = owners[column]
        if not math.isfinite(problem.static[job, backend]):
            backend = int(np.argmin(problem.static[job]))
        sequences[backend].append(job)
    return [_smith(problem, backend, sequence) for backend, sequence in enumerate(sequences)]


def _smith(problem: Problem, backend: int, jobs: list[int]) -> list[int]:
    """Return the jobs in the order that is best on one worker without deadlines: short and heavy ones first."""
    return sorted(jobs, key=lambda job: (_ratio(problem, job, backend), job))


def _ratio(problem: Problem, job: int, backend: int) -> float:
    return float(problem.run[job, backend] * problem.slots[job]) / max(float(problem.weight[job]), 1e-12)


def _in_time(problem: Problem, backend: int, jobs: list[int]) -> list[int]:
    """Return the sequence, or that with deadlines first where it is better."""
    if len(jobs) < 2 or not np.isfinite(problem.due[jobs]).any():
        return jobs
    first = sorted(jobs, key=lambda job: float(problem.due[job]))
    lanes, lateness = problem.lanes[backend], problem.lateness
    return min((jobs, first), key=lambda order: sequence_cost(lanes, problem.works(backend, order), lateness))


class _Polisher:
    """Local search: a job goes elsewhere, or two change places, while the objective falls."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        jobs, backends = problem.shape
        columns = [problem.works(backend, range(jobs)) for backend in range(backends)]
        self._works: list[list[Work]] = columns
        self._ratios = [[_ratio(problem, job, backend) for job in range(jobs)] for backend in range(backends)]
        # Searches from near each other look at the same sequences again and again.
        self._costs: list[dict[tuple[int, ...], float]] = [{} for _ in range(backends)]
        self._left = 0

    def polish(self, start: Sequences) -> Sequences:
        """Return an assignment that no single move betters, or the best one after so many evaluations."""
        self._left = _EVALUATIONS
        sequences = [list(sequence) for sequence in start]
        costs = [self._cost(backend, sequence) for backend, sequence in enumerate(sequences)]
        improved = True
        while improved and self._left > 0:
            improved = False
            for job in range(self._problem.shape[0]):
                improved |= self._move(job, sequences, costs)
                improved |= self._swap(job, sequences, costs)
        return sequences

    def kicked(self, start: Sequences) -> Sequences:
        """Return the best of the local optima near this one; the same ones are looked at each time."""
        random = np.random.default_rng(0)
        best, least = start, self._total(start)
        for _ in range(_KICKS):
            sequences = [list(sequence) for sequence in best]
            for job in random.permutation(self._problem.shape[0])[:2].tolist():
                allowed = np.flatnonzero(np.isfinite(self._problem.static[job]))
                target = sequences[int(random.choice(allowed))]
                next(sequence for sequence in sequences if job in sequence).remove(job)
                target.insert(int(random.integers(len(target) + 1)), job)
            sequences = self.polish(sequences)
            value = self._total(sequences)
            if value < least:
                best, least = sequences, value
        return best

    def _total(self, sequences: Sequences) -> float:
        return sum(self._cost(backend, sequence) for backend, sequence in enumerate(sequences))

    def _cost(self, backend: int, sequence: list[int]) -> float:
        self._left -= 1
        known = self._costs[backend].get(key := tuple(sequence))
        if known is None:
            works = self._works[backend]
            known = sequence_cost(self._problem.lanes[backend], [works[job] for job in key], self._problem.lateness)
            self._costs[backend][key] = known
        return known

    def _move(self, job: int, sequences: Sequences, costs: list[float]) -> bool:
        source = next(backend for backend, sequence in enumerate(sequences) if job in sequence)
        without = [other for other in sequences[source] if other != job]
        cost_without = self._cost(source, without)
        best: tuple[float, int, list[int], float] | None = None
        for target, works in enumerate(self._works):
            if not math.isfinite(works[job][0]) or self._left <= 0:
                continue
            rest, rest_cost = (without, cost_without) if target == source else (sequences[target], costs[target])
            before = costs[source] - cost_without
            for sequence in self._insertions(job, target, rest):
                cost = self._cost(target, sequence)
                gain = before - (cost - rest_cost)
                if gain > 1e-12 + 1e-10 * abs(before) and (best is None or gain > best[0]):
                    best = gain, target, sequence, cost
        if best is None:
            return False
        _, target, sequence, cost = best
        sequences[source], costs[source] = without, cost_without
        sequences[target], costs[target] = sequence, cost
        return True

    def _insertions(self, job: int, backend: int, rest: list[int]) -> Iterator[list[int]]:
        if len(rest) <= _SHORT:
            positions = list(range(len(rest) + 1))
        else:
            ratios = self._ratios[backend]
            smith = next((n for n, other in enumerate(rest) if ratios[other] > ratios[job]), len(rest))
            positions = sorted({0, smith, len(rest)})
        for position in positions:
            yield [*rest[:position], job, *rest[position:]]

    def _swap(self, job: int, sequences: Sequences, costs: list[float]) -> bool:
        source = next(backend for backend, sequence in enumerate(sequences) if job in sequence)
        for target, others in enumerate(sequences):
            if target == source or not math.isfinite(self._works[target][job][0]):
                continue
            for other in list(others):
                if self._left <= 0:
                    return False
                if other < job or not math.isfinite(self._works[source][other][0]):
                    continue
                here = self._sorted([other if item == job else item for item in sequences[source]], source)
                there = self._sorted([job if item == other else item for item in others], target)
                new = self._cost(source, here), self._cost(target, there)
                if sum(new) < costs[source] + costs[target] - 1e-12 - 1e-10 * abs(costs[source] + costs[target]):
                    sequences[source], sequences[target] = here, there
                    costs[source], costs[target] = new
                    return True
        return False

    def _sorted(self, jobs: list[int], backend: int) -> list[int]:
        ratios = self._ratios[backend]
        return sorted(jobs, key=lambda job: (ratios[job], job))
