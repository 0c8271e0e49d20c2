"""Calibrations from Amazon Braket's ``deviceCapabilities``: what a device's properties say of its gates and qubits.

Sources: the ``paradigm``, ``standardized`` (versions 1 to 3) and ``provider`` properties of amazon-braket-schemas. Of
IonQ's devices there are means only, which stand for each qubit and pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from qonverge.devices.calibration import MAX_QUBITS, Calibration, Gate, InvalidCalibration, Qubit

SOURCE = "Amazon Braket"
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "\N{MICRO SIGN}s": 1e-6, "\N{GREEK SMALL LETTER MU}s": 1e-6, "ns": 1e-9}
# Qiskit's gate that does what a native one does. Those with a phase for an angle are rotations about an axis between X
# and Y, as r is; those that entangle along such an axis are rxx between changes of the frame.
_SINGLE = {"prx": "r", "gpi": "r", "gpi2": "r", "r": "r", "rx": "rx", "ry": "ry", "rz": "rz"}
_DOUBLE = {
    "cz": "cz",
    "iswap": "iswap",
    "cnot": "cx",
    "cx": "cx",
    "ecr": "ecr",
    "ms": "rxx",
    "xx": "rxx",
    "zz": "rzz",
    "cphaseshift": "cp",
    "cp": "cp",
}
_DIRECTED = frozenset(("cx", "ecr"))
# Changes of the frame take no pulse and do not err.
_FRAME = frozenset(("rz",))
_BENCHMARKS = ("RANDOMIZED_BENCHMARKING", "SIMULTANEOUS_RANDOMIZED_BENCHMARKING")
_DIGITS = 5


def from_capabilities(properties: Mapping[str, Any], name: str) -> Calibration | None:
    """Return the calibration of a device; None of simulators and others that publish none.

    A qubit's number is the device's own, as programs for it have it. Those may begin at 1 or have gaps: a qubit that is
    not there has no gates, and so counts as one that does not work. A coupling without a figure is out of order (an
    error of 1) where others have one.

    Args:
        properties: the JSON of ``deviceCapabilities``.
        name: the device's own.

    Raises:
        InvalidCalibration: they are of another form.
    """
    paradigm, standard = properties.get("paradigm") or {}, properties.get("standardized") or {}
    provider = properties.get("provider") or {}
    if "nativeGateSet" not in paradigm or not (standard or provider.get("fidelity")):
        return None
    try:
        labels = _labels(paradigm, standard)
        width = 1 + max(map(int, labels), default=-1)
        if not 0 < width <= MAX_QUBITS:
            raise ValueError(f"qubits up to the number {width - 1}")
        figures, there = _Figures(standard, provider), frozenset(labels)
        native = [str(gate).lower() for gate in paradigm["nativeGateSet"]]
        gates = [*_single(native, labels, figures), *_double(native, _pairs(paradigm, labels), figures)]
        measured_at = _time(standard.get("updatedAt") or (properties.get("service") or {}).get("updatedAt"))
        return Calibration(
            name,
            tuple(figures.qubit(str(n)) if str(n) in there else Qubit() for n in range(width)),
            tuple(sorted(gates, key=lambda gate: (gate.name, gate.qubits))),
            measured_at,
            SOURCE,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidCalibration(f"these are no properties of a device of Braket: {error!r}") from None


class _Figures:
    """What was measured, by the device's own labels."""

    def __init__(self, standard: Mapping[str, Any], provider: Mapping[str, Any]) -> None:
        self._single = standard.get("oneQubitProperties") or {}
        self._double = standard.get("twoQubitProperties") or {}
        self._standard = standard
        self._means = provider.get("fidelity") or {}
        timing = provider.get("timing") or {}
        self.single_seconds = _seconds(standard.get("singleQubitGateDuration")) or _positive(timing.get("1Q"))
        self.double_seconds = _seconds(standard.get("twoQubitGateDuration")) or _positive(timing.get("2Q"))
        self._readout_seconds = _seconds(standard.get("readoutDuration")) or _positive(timing.get("readout"))
        self._t1 = _seconds(standard.get("T1")) or _positive(timing.get("T1"))
        self._t2 = _seconds(standard.get("T2")) or _positive(timing.get("T2"))

    def qubit(self, label: str) -> Qubit:
        own = self._single.get(label) or {}
        read = _fidelity(own.get("oneQubitFidelity"), ("READOUT",))
        if read is None:
            read = _fidelity(self._standard.get("readoutFidelity"), ())
        error = _error(self._mean("spam") if read is None else read)
        t1, t2 = _seconds(own.get("T1")) or self._t1, _seconds(own.get("T2")) or self._t2
        return Qubit(t1, t2, error, error, self._readout_seconds)

    def single(self, label: str) -> float | None:
        """Return the error of a gate on a qubit."""
        own = _fidelity((self._single.get(label) or {}).get("oneQubitFidelity"), _BENCHMARKS)
        if own is None:
            own = _fidelity(self._standard.get("singleQubitFidelity"), ())
        return _error(self._mean("1Q") if own is None else own)

    def double(self, pair: tuple[str, str], native: str) -> float | None:
        """Return the error of a gate on two qubits, in this order."""
        first, second = pair
        for key in (f"{first}-{second}", f"{second}-{first}"):
            given = (self._double.get(key) or {}).get("twoQubitGateFidelity") or ()
            known = [item for item in given if str(item["gateName"]).lower() in _same(native)]
            if _DOUBLE[native] in _DIRECTED:
                known = [item for item in known if _is_from(item, first)]
            if known:
                return _error(float(known[0]["fidelity"]))
        if self._double:
            # Others were measured: this one is out of order.
            return 1.0
        own = _fidelity(self._standard.get("twoQubitGateFidelity"), ())
        return _error(self._mean("2Q") if own is None else own)

    def _mean(self, key: str) -> float | None:
        given = (self._means.get(key) or {}).get("mean")
        return None if given is None else float(given)


def _same(native: str) -> set[str]:
    return {name for name, qiskit in _DOUBLE.items() if qiskit == _DOUBLE[native]}


def _is_from(item: Mapping[str, Any], control: str) -> bool:
    direction = item.get("direction")
    return not direction or str(direction.get("control")) == control


def _labels(paradigm: Mapping[str, Any], standard: Mapping[str, Any]) -> list[str]:
    """Return the device's own numbers of its qubits, in their order."""
    graph = (paradigm.get("connectivity") or {}).get("connectivityGraph") or {}
    known = {str(label) for label in (*graph, *itertools.chain.from_iterable(graph.values()))}
    known |= {str(label) for label in standard.get("oneQubitProperties") or ()}
    known = known or {str(index) for index in range(int(paradigm["qubitCount"]))}
    return sorted(known, key=int)


def _pairs(paradigm: Mapping[str, Any], labels: Sequence[str]) -> set[tuple[str, str]]:
    """Return all ordered pairs of coupled qubits."""
    connectivity = paradigm.get("connectivity") or {}
    if connectivity.get("fullyConnected"):
        return set(itertools.permutations(labels, 2))
    graph = connectivity.get("connectivityGraph") or {}
    each = {(str(first), str(second)) for first, others in graph.items() for second in others}
    return each | {(second, first) for first, second in each}


def _single(native: Iterable[str], labels: Sequence[str], figures: _Figures) -> list[Gate]:
    names = dict.fromkeys(_SINGLE[gate] for gate in native if gate in _SINGLE)
    return [
        Gate(name, (int(label),), 0.0, 0.0)
        if name in _FRAME
        else Gate(name, (int(label),), figures.single(label), figures.single_seconds)
        for name in names
        for label in labels
    ]


def _double(native: Iterable[str], pairs: Iterable[tuple[str, str]], figures: _Figures) -> list[Gate]:
    names = {_DOUBLE[gate]: gate for gate in native if gate in _DOUBLE}
    return [
        Gate(name, (int(pair[0]), int(pair[1])), figures.double(pair, gate), figures.double_seconds)
        for pair in pairs
        for name, gate in names.items()
    ]


def _fidelity(given: Iterable[Mapping[str, Any]] | None, kinds: Sequence[str]) -> float | None:
    """Return the first fidelity of the kinds, those named first before others; any kind where none is named."""
    known = {str((item.get("fidelityType") or {}).get("name")): float(item["fidelity"]) for item in given or ()}
    if not kinds:
        return next(iter(known.values()), None)
    return next((known[kind] for kind in kinds if kind in known), None)


def _error(fidelity: float | None) -> float | None:
    return None if fidelity is None else float(f"{min(1.0, max(0.0, 1 - fidelity)):.{_DIGITS}g}")


def _seconds(given: Mapping[str, Any] | None) -> float | None:
    if not given or given.get("value") is None:
        return None
    return _positive(float(given["value"]) * _UNITS[str(given.get("unit") or "s").lower()])


def _positive(value: Any) -> float | None:
    """Return a time that was measured; nothing or less is none."""
    return float(f"{float(value):.{_DIGITS}g}") if value is not None and float(value) > 0 else None


def _time(given: Any) -> float | None:
    if given is None:
        return None
    found = datetime.fromisoformat(str(given))
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
