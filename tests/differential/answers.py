"""What a path answers, and whether that can be true."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from tests.differential.program import Bits, Case, Counts, Values
from tests.differential.reference import Exact

FALSE_ALARM = 1e-10
"""Probability at most of one comparison that fails though all is right."""
_EXACT = 1e-8


@dataclass(frozen=True)
class Answer:
    """What came back for each parameter set."""

    counts: tuple[Mapping[Bits, int], ...] = ()
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    """Expectation values, shape (sets, observables)."""
    errors: NDArray[np.float64] | None = None
    """Their standard errors, likewise; None from an SDK that has none."""
    shots: int | None = None
    """Runs of each measured group, where values are sampled."""


@dataclass(frozen=True)
class Refused(Exception):
    """A path refused a case, in its own words."""

    code: str
    message: str

    def __str__(self) -> str:
        """Return both, as a person reads them."""
        return f"{self.code}: {self.message}"


class Inexpressible(Exception):
    """A language or SDK has no way to write a case."""


def wrong(case: Case, answer: Answer, truth: Sequence[Exact], bits: Sequence[int] | None = None) -> list[str]:
    """Return what cannot be true of an answer, a sentence each.

    Args:
        case: what was asked.
        answer: what came back.
        truth: what is true, for each parameter set.
        bits: which of the program's bits the answer's outcomes hold; None for all.
    """
    if isinstance(case.wanted, Counts):
        if len(answer.counts) != len(truth):
            return [f"{len(answer.counts)} sets of counts for {len(truth)} parameter sets"]
        return [
            f"set {index}: {problem}"
            for index, (counts, exact) in enumerate(zip(answer.counts, truth, strict=True))
            for problem in _wrong_counts(counts, _on(exact.probabilities, bits), case.wanted.shots)
        ]
    return _wrong_values(case.wanted, answer, truth)


def deviations(case: Case, answer: Answer, truth: Sequence[Exact]) -> list[float]:
    """Return how many of its own standard errors each sampled value is from the true one."""
    if isinstance(case.wanted, Counts) or answer.errors is None:
        return []
    true = np.array([[exact.value(observable) for observable in case.wanted.observables] for exact in truth])
    sampled = answer.errors > 0
    return [float(each) for each in np.abs(answer.values - true)[sampled] / answer.errors[sampled]]


def _on(probabilities: Mapping[Bits, float], bits: Sequence[int] | None) -> Mapping[Bits, float]:
    if bits is None:
        return probabilities
    found: dict[Bits, float] = {}
    for outcome, p in probabilities.items():
        key = tuple(outcome[bit] for bit in bits)
        found[key] = found.get(key, 0.0) + p
    return found


def _wrong_counts(counts: Mapping[Bits, int], true: Mapping[Bits, float], shots: int) -> list[str]:
    if sum(counts.values()) != shots:
        return [f"{sum(counts.values())} outcomes of {shots} shots"]
    if impossible := sorted(set(counts) - set(true)):
        return [f"{_text(key)} came {counts[key]} times and is impossible" for key in impossible]
    found = []
    for key, p in true.items():
        # Each outcome alone is binomial, so that no approximation is made; the bound is shared among them.
        if _tail(counts.get(key, 0), shots, p) < FALSE_ALARM / len(true):
            found.append(f"{_text(key)} came {counts.get(key, 0)} times of {shots} and has the probability {p:.6f}")
    return found


def _tail(times: int, shots: int, p: float) -> float:
    p = min(1.0, p)
    return 2 * float(min(binom.cdf(times, shots, p), binom.sf(times - 1, shots, p)))


def _wrong_values(wanted: Values, answer: Answer, truth: Sequence[Exact]) -> list[str]:
    shape = len(truth), len(wanted.observables)
    if answer.values.shape != shape:
        return [f"values of the shape {answer.values.shape} in place of {shape}"]
    found = []
    for row, exact in enumerate(truth):
        for column, observable in enumerate(wanted.observables):
            value, true = float(answer.values[row, column]), exact.value(observable)
            error = None if answer.errors is None else float(answer.errors[row, column])
            if (problem := _wrong_value(wanted, observable, value, error, true, answer.shots)) is not None:
                found.append(f"set {row}, {dict(observable)}: {problem}")
    return found


def _wrong_value(
    wanted: Values,
    observable: Sequence[tuple[str, float]],
    value: float,
    error: float | None,
    true: float,
    shots: int | None,
) -> str | None:
    spread = sum(abs(weight) for label, weight in observable if set(label) != {"I"})
    sampled = wanted.shots is not None or wanted.precision is not None
    if not sampled or not spread:
        if abs(value - true) > _EXACT * (1 + spread):
            return f"{value:.9f} where {true:.9f} is exact"
        return f"an exact value has the standard error {error}" if error else None
    if error is not None and not (0 < error < math.inf):
        return f"a sampled value has the standard error {error}"
    if wanted.precision is not None and error is not None and error > wanted.precision * (1 + 1e-9):
        return f"a standard error of {error} where {wanted.precision} was asked for"
    runs = wanted.shots or shots or 0
    if not runs:
        return "nobody says of how many runs the value is"
    # Hoeffding's inequality: the mean of runs that lie within -spread and spread.
    most = spread * math.sqrt(2 * math.log(2 / FALSE_ALARM) / runs)
    if abs(value - true) > most + 1e-9:
        return f"{value:.6f} of {runs} runs, where {true:.6f} is true and {most:.6f} is the most that chance allows"
    terms = [(label, weight) for label, weight in observable if set(label) != {"I"}]
    if len(terms) == 1:
        constant = sum(weight for label, weight in observable if set(label) == {"I"})
        mean, expected = ((number - constant) / terms[0][1] for number in (value, true))
        ones = (1 + mean) / 2 * runs
        if abs(ones - round(ones)) > 1e-6 * runs or _tail(round(ones), runs, (1 + expected) / 2) < FALSE_ALARM:
            return f"{value:.6f} of {runs} runs cannot be, where {true:.6f} is true"
    return None


def _text(bits: Bits) -> str:
    return "".join(map(str, reversed(bits)))
