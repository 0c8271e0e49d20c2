"""Where a circuit lies on a device, and whether it can lie there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from qonverge.devices.calibration import MAX_QUBITS, Calibration
from qonverge.devices.connected import connected

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout that is given: nothing looks for a better one."""

    qubits: tuple[int, ...]
    """For each qubit of the circuit the device's qubit on which it begins."""
    routing: bool = True
    """Whether SWAPs may move qubits where a gate needs two that are not coupled; else such a gate is refused."""

    @classmethod
    def trivial(cls, num_qubits: int, *, routing: bool = True) -> Self:
        """Return the layout that puts qubit i of the circuit on qubit i of the device."""
        return cls(tuple(range(num_qubits)), routing)

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return {"qubits": list(self.qubits), "routing": self.routing}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return the layout that ``to_dict`` gave, or that a caller wrote.

        Raises:
            ValueError: saying what is wrong with it.
        """
        if not isinstance(data, Mapping) or not set(data) <= {"qubits", "routing"}:
            raise ValueError('a layout is an object such as {"qubits": [3, 5], "routing": true}')
        qubits, routing = data.get("qubits"), data.get("routing", True)
        if not isinstance(qubits, list | tuple) or not isinstance(routing, bool):
            raise ValueError("a layout has a list of numbers in qubits, and true or false in routing")
        if (problem := unusable(qubits)) is not None:
            raise ValueError(problem)
        return cls(tuple(qubits), routing)


def unusable(qubits: Sequence[Any]) -> str | None:
    """Return what is wrong with a layout's qubits on any device; None for nothing."""
    for place, qubit in enumerate(qubits):
        if type(qubit) is not int or not 0 <= qubit < MAX_QUBITS:
            return f"the layout has {qubit!r} for qubit {place}: give numbers of the device's qubits, from 0"
    seen: dict[int, int] = {}
    for place, qubit in enumerate(qubits):
        if (first := seen.setdefault(qubit, place)) != place:
            return f"the layout puts qubits {first} and {place} of the circuit both on qubit {qubit}"
    return None


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a circuit cannot be run on a device."""

    reason: str
    lasting: bool
    """Whether no calibration changes it: it is about what the device has, not about what works today."""


def misfit(layout: Layout, used: Iterable[int], pairs: Iterable[Pair], device: Calibration) -> Misfit | None:
    """Return why a circuit cannot lie there; None where it can.

    Args:
        layout: the layout.
        used: the circuit's qubits that operations act on.
        pairs: pairs of its qubits that a gate needs.
        device: where it is to lie.
    """
    places = layout.qubits
    for place in places:
        if place >= device.num_qubits:
            return Misfit(f"{device.name} has no qubit {place}: it has {device.num_qubits}", lasting=True)
    part_of = {qubit: number for number, part in enumerate(device.parts) for qubit in part}
    for qubit in used:
        if places[qubit] not in part_of:
            return Misfit(f"qubit {places[qubit]} of {device.name} is out of order", lasting=False)
    for first, second in pairs:
        a, b = sorted((places[first], places[second]))
        if layout.routing:
            if part_of[a] != part_of[b]:
                return Misfit(f"no couplings that work connect qubits {a} and {b} of {device.name}", lasting=False)
        elif not {(a, b), (b, a)} & device.coupled:
            if {(a, b), (b, a)} & device.built:
                return Misfit(f"the coupling of qubits {a} and {b} of {device.name} is out of order", lasting=False)
            return Misfit(f"qubits {a} and {b} are not coupled on {device.name}", lasting=True)
    return None


def too_large(count: int, pairs: Iterable[Pair], device: Calibration) -> str | None:
    """Return why a circuit that may lie anywhere cannot lie on a device; None where nothing speaks against it.

    Args:
        count: qubits that it uses.
        pairs: pairs of them that a gate needs.
        device: the device.
    """
    parts = device.parts
    largest = len(parts[0]) if parts else 0
    # A circuit of several parts may take several of the device.
    needed = count if count <= largest else _widest_part(pairs)
    if needed > largest:
        return f"{device.name} has {largest} qubits that work and are connected; the circuit needs {needed}"
    working = len(device.working)
    return None if count <= working else f"{device.name} has {working} qubits that work; the circuit needs {count}"


def _widest_part(pairs: Iterable[Pair]) -> int:
    """Return how many qubits the widest part of a circuit has."""
    coupled = list(pairs)
    return max(map(len, connected({qubit for pair in coupled for qubit in pair}, coupled)), default=1)
