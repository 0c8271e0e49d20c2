"""Observables as people write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qonverge.circuits.errors import InvalidProgram
from qonverge.documents.excerpt import excerpt

Observable = tuple[tuple[str, float], ...]
"""A sum of Pauli terms: label (qubit 0 is the last letter) and real coefficient."""


_X_PART, _Z_PART = str.maketrans("IXYZ", "0110"), str.maketrans("IXYZ", "0011")
_UNQUOTED = ', as YAML reads a bare Y: write "Y" in quotes'


def parse_observables(given: Sequence[object], num_qubits: int | None = None) -> tuple[Observable, ...]:
    """Return the observables in canonical form.

    Each is a label such as ``"ZZ"`` or a mapping from labels to coefficients. Labels are as wide as the circuit.

    Raises:
        InvalidProgram: for anything else, naming the observable by its index.
    """
    return tuple(_parse_one(index, item, num_qubits) for index, item in enumerate(given))


def _parse_one(index: int, item: object, num_qubits: int | None) -> Observable:
    if isinstance(item, str):
        terms: Mapping[object, object] = {item: 1.0}
    elif isinstance(item, Mapping) and item:
        terms = item
    else:
        raise InvalidProgram(
            f"observables[{index}] is {excerpt(item)}{_UNQUOTED if item is True else ''}",
            expected='a label such as "ZZ" or a sum such as {"XX": 0.5, "YY": 0.5}',
        )
    return tuple(
        (_label(index, label, num_qubits), _coefficient(index, label, value)) for label, value in terms.items()
    )


def _label(index: int, label: object, num_qubits: int | None) -> str:
    if not isinstance(label, str) or not label or set(label) - set("IXYZ"):
        unquoted = _UNQUOTED if label is True else ""
        raise InvalidProgram(
            f"observables[{index}] has the label {excerpt(label)}{unquoted}", expected="letters I, X, Y and Z only"
        )
    if num_qubits is not None and len(label) != num_qubits:
        raise InvalidProgram(
            f"observables[{index}] has the label {excerpt(label)} of {len(label)} letters and the circuit has "
            f"{num_qubits} qubits",
            expected="one letter for each qubit, qubit 0 last",
        )
    return label


def _coefficient(index: int, label: object, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidProgram(
            f"observables[{index}] has the coefficient {excerpt(value)} for {excerpt(label)}",
            expected="a finite real number",
        )
    return float(value)


def places_of(label: str) -> list[int]:
    """Return the qubits that a Pauli label acts on."""
    return [place for place, letter in enumerate(reversed(label)) if letter != "I"]


@dataclass(frozen=True, slots=True)
class Group:
    """Pauli labels that one measurement covers: where two of them act on a qubit they have the same letter."""

    basis: str
    """A letter for each qubit, qubit 0 last; I: no label acts on it."""
    labels: tuple[str, ...]


def grouped(observables: Iterable[Observable]) -> list[Group]:
    """Return the groups in which observables are measured; identities take no measurement and are in none.

    This is the only grouping: what is charged before a task runs and what a device is sent count the same groups. First
    fit, the labels that act on most qubits first.
    """
    labels = {label for observable in observables for label, _ in observable if set(label) != {"I"}}
    members: list[list[str]] = []
    masks: list[tuple[int, int]] = []
    for label in sorted(labels, key=lambda label: (label.count("I"), label)):
        # A bit for each qubit, as in the symplectic form of Pauli operators.
        x, z = int(label.translate(_X_PART), 2), int(label.translate(_Z_PART), 2)
        for index, (own_x, own_z) in enumerate(masks):
            both = (x | z) & (own_x | own_z)
            if not both & ((x ^ own_x) | (z ^ own_z)):
                masks[index] = (x | own_x, z | own_z)
                members[index].append(label)
                break
        else:
            masks.append((x, z))
            members.append([label])
    return [Group(_basis(own), tuple(own)) for own in members]


def _basis(labels: Sequence[str]) -> str:
    return "".join(next((letter for letter in column if letter != "I"), "I") for column in zip(*labels, strict=True))


def worst_spread(observables: Iterable[Observable], groups: Sequence[Group]) -> float:
    """Return a bound on the variance of one shot of each group, for the observable for which it is greatest.

    A group's share of an observable lies within the sum of its coefficients' sizes, which bounds its deviation.
    """
    worst, members = 0.0, [frozenset(group.labels) for group in groups]
    for observable in observables:
        sizes = (sum(abs(weight) for label, weight in observable if label in group) for group in members)
        # Unlike a power, a product that leaves the range of floats is infinite and no exception.
        worst = max(worst, sum(size * size for size in sizes))
    return worst
