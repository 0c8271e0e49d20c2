"""Expectation values from measured bits, whatever engine measured them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis.measurement_plan import blocks, shots_for
from qonverge.circuits.analysis.observables import grouped
from qonverge.wire.errors import InvalidTask
from qonverge.wire.messages import Pub, PubResult

# As many as Agresti and Coull add to a proportion (The American Statistician 52, 119, 1998).
_PRIOR_SHOTS = 4


class Output:
    """Collects values of (set, observable) pairs, and says which to compute together."""

    def __init__(self, pub: Pub) -> None:
        self._sets, self._pairs = pub.sets, pub.pairs
        self._values = np.zeros((pub.sets, len(pub.observables)))
        self._errors = np.zeros_like(self._values)
        if self._pairs is not None and (
            self._pairs.size == 0
            or self._pairs.min() < 0
            or (self._pairs >= np.array([pub.sets, len(pub.observables)])).any()
        ):
            raise InvalidTask("pairs must be indices of a parameter set and an observable")

    def blocks(self) -> Iterable[tuple[list[int], list[int]]]:
        """Yield (observables, sets): observables wanted for the same sets share their runs."""
        if self._pairs is None:
            yield list(range(self._values.shape[1])), list(range(self._sets))
            return
        yield from blocks(self._pairs.tolist())

    def put(self, observable: int, sets: list[int], values: NDArray[np.float64], errors: NDArray[np.float64]) -> None:
        """Take an observable's values and standard errors, one for each of the sets."""
        self._values[sets, observable] = values
        self._errors[sets, observable] = errors

    def result(self, shots: int | None, method: str) -> PubResult:
        """Return what was put, in the order that the pub asks for."""
        values, errors = self._values, self._errors
        if self._pairs is not None:
            index = (self._pairs[:, 0], self._pairs[:, 1])
            values, errors = values[index], errors[index]
        return PubResult(expectation_values=values, standard_errors=errors, shots=shots, method=method)


@dataclass(frozen=True, slots=True)
class Sample:
    """Bits that were measured in some basis, a qubit's each."""

    signs: Callable[[str], NDArray[np.float64]]
    """Gives a label's eigenvalue, +1 or -1, for each outcome."""
    times: NDArray[np.float64]
    """How often each outcome came."""

    @classmethod
    def of(cls, outcomes: Sequence[int], times: Sequence[int]) -> Sample:
        """Return the sample of outcomes whose bit k is that of qubit k, each with how often it came."""
        return cls(lambda label: signs_of(label, outcomes), np.array(times, dtype=np.float64))

    def estimate(self, terms: Iterable[tuple[str, float]]) -> tuple[float, float]:
        """Return the mean of a sum of Pauli terms, and the square of its standard error.

        The variance of the sample is moderated by that of completely mixed qubits, of which terms are independent and
        have the variance 1 each: it counts as much as ``_PRIOR_SHOTS`` shots (the posterior of a variance with a
        scaled inverse chi-square prior: Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3, 2004). So few shots that happen to
        agree do not pass for an exact value: n equal ones of a Pauli operator have an error of about 2/n, which is the
        deviation of its value after a uniform prior. The error is unbiased for mixed qubits, tends to the sample's
        own, and is never above the worst that the terms allow, for any shots.
        """
        merged: dict[str, float] = {}
        for label, weight in terms:
            merged[label] = merged.get(label, 0.0) + weight
        shots = float(self.times.sum())
        # One after the other: all labels' signs together may be more than the shots themselves.
        each = sum(self.signs(label) * weight for label, weight in merged.items())
        mean = float(np.dot(each, self.times)) / shots
        squares = float(np.dot((each - mean) ** 2, self.times))
        mixed = sum(weight * weight for weight in merged.values())
        variance = (squares + _PRIOR_SHOTS * mixed) / (shots - 1 + _PRIOR_SHOTS)
        return mean, variance / shots


Measure = Callable[[str, list[int], int, int], list[Sample]]
"""Measures (basis, sets, shots, group): all qubits in the basis, a letter for each, so often, for each of the parameter
sets. Groups of one pub are to draw their shots independently."""


def by_sampling(pub: Pub, most_shots: int, measure: Measure) -> tuple[Output, int | None]:
    """Return the values and their errors, and the shots of each group.

    Raises:
        InvalidTask: the precision needs more than ``most_shots``.
    """
    out, shots = Output(pub), pub.shots
    for observables, sets in out.blocks():
        wanted = [pub.observables[k] for k in observables]
        groups = grouped(wanted)
        shots = pub.shots or shots_for(pub.precision or 0.0, wanted, groups)
        if shots is None:
            raise InvalidTask(f"a precision of {pub.precision} cannot be reached for observables of this size")
        if shots > most_shots:
            raise InvalidTask(
                f"a precision of {pub.precision} needs {shots} shots of each group of observables and this backend "
                f"takes {most_shots}: ask for less precision"
            )
        values = np.zeros((len(observables), len(sets)))
        variances = np.zeros_like(values)
        for row, observable in enumerate(wanted):
            values[row] += sum(weight for label, weight in observable if set(label) == {"I"})
        for index, group in enumerate(groups):
            members = frozenset(group.labels)
            for column, sample in enumerate(measure(group.basis, sets, shots, index)):
                for row, observable in enumerate(wanted):
                    terms = [(label, weight) for label, weight in observable if label in members]
                    if terms:
                        mean, variance = sample.estimate(terms)
                        values[row, column] += mean
                        variances[row, column] += variance
        for row, k in enumerate(observables):
            out.put(k, sets, values[row], np.sqrt(variances[row]))
    return out, pub.shots or shots


def subset(pub: Pub, sets: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """Return the parameters' values in these sets only."""
    return {name: values[list(sets)] for name, values in pub.parameters.items()}


def signs_of(label: str, outcomes: Sequence[int]) -> NDArray[np.float64]:
    """Return the label's eigenvalue, +1 or -1, for each outcome."""
    mask = int("".join("0" if letter == "I" else "1" for letter in label), 2)
    return np.array([1 - 2 * ((outcome & mask).bit_count() & 1) for outcome in outcomes], dtype=np.float64)
