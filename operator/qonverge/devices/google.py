"""Calibrations from what Google's Quantum Engine tells of a processor: its specification and its metrics.

Sources: ``DeviceSpecification`` and ``MetricsSnapshot`` of ``cirq.google.api.v2``, in the form that protocol buffers
have in JSON, and what Cirq's documentation says of each metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qonverge.devices.calibration import MAX_QUBITS, Calibration, Gate, InvalidCalibration, Qubit

SOURCE = "Google Quantum Engine"
# A Pauli error r of a gate on n qubits is an average infidelity of r 2^n / (2^n + 1).
_SINGLE = (("single_qubit_rb_pauli_error_per_gate", 2 / 3), ("single_qubit_rb_average_error_per_gate", 1.0))
_DOUBLE = tuple(
    (f"two_qubit_{together}{{}}_gate_xeb_{kind}_error_per_cycle", factor)
    # Gates run at the same time as others, so that what was measured so is nearer to what will be.
    for together in ("parallel_", "")
    for kind, factor in (("pauli", 4 / 5), ("average", 1.0))
)
_READ = {
    "read_0_as_1": ("parallel_p00_error", "single_qubit_p00_error"),
    "read_1_as_0": ("parallel_p11_error", "single_qubit_p11_error"),
}
_T1, _INCOHERENT = "single_qubit_idle_t1_micros", "single_qubit_rb_incoherent_error_per_gate"
NATIVE_PAIR_GATES: Mapping[str, str] = {"cz": "cz", "sqrt_iswap": "sqrtIswap"}
"""Gates on two qubits that circuits are made of, by the names that metrics have, with those of specifications."""
_DIGITS = 5


def from_specification(specification: Mapping[str, Any], metrics: Mapping[str, Any] | None, name: str) -> Calibration:
    """Return the calibration of a processor.

    A qubit's number is its place among those of the specification, by row and column; ``labels`` has Google's names.
    The gates are ``rx`` and ``rz``, which make each gate on one qubit by one pulse and changes of the frame, and
    ``cz``. Where a processor's best known gate is the square root of iSWAP, each ``cz`` stands for the two of them
    and the pulse between that it is made of, and ``sqrt_iswap`` is there too.

    Args:
        specification: ``DeviceSpecification`` in JSON.
        metrics: ``MetricsSnapshot`` in JSON; None: nothing was measured.
        name: the processor's own.

    Raises:
        InvalidCalibration: they are of another form, or the processor has no gate on two qubits that is known here.
    """
    try:
        return _calibration(specification, _Metrics(metrics or {}), name)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InvalidCalibration(f"this is no specification of a processor of Google: {error!r}") from None


class _Metrics:
    """What was measured, by metric and qubits."""

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {}
        for metric in snapshot.get("metrics") or ():
            value = next(iter(metric["values"][0].values()))
            self._values.setdefault(str(metric["name"]), {})[tuple(metric.get("targets") or ())] = float(value)
        stamp = snapshot.get("timestampMs")
        self.measured_at = int(stamp) / 1000 if stamp is not None and int(stamp) > 0 else None

    def has(self, metrics: Iterable[tuple[str, float]], gate: str) -> bool:
        return any(metric.format(gate) in self._values for metric, _ in metrics)

    def value(self, metric: str, *labels: str) -> float | None:
        known = self._values.get(metric) or {}
        found = known.get(labels)
        return known.get(labels[::-1]) if found is None else found

    def error(self, metrics: Iterable[tuple[str, float]], *labels: str, gate: str = "") -> float | None:
        """Return the first of some errors that was measured, as an average infidelity."""
        for metric, factor in metrics:
            value = self.value(metric.format(gate), *labels)
            if value is not None:
                return _rounded(min(1.0, max(0.0, value * factor)))
        return None


def _calibration(specification: Mapping[str, Any], metrics: _Metrics, name: str) -> Calibration:
    labels = sorted((str(label) for label in specification["validQubits"]), key=place)
    if not 0 < len(labels) <= MAX_QUBITS:
        raise ValueError(f"{len(labels)} qubits")
    index = {label: number for number, label in enumerate(labels)}
    gates = {next(iter(gate.keys() - {"gateDurationPicos"})): gate for gate in specification.get("validGates") or ()}
    seconds = {
        gate: int(given["gateDurationPicos"]) * 1e-12 for gate, given in gates.items() if "gateDurationPicos" in given
    }
    native = _native(gates, metrics, name)
    pulse, pair = seconds.get("phasedXz"), seconds.get(NATIVE_PAIR_GATES[native])
    single = {label: metrics.error(_SINGLE, label) for label in labels}
    found = [
        gate
        for label, q in index.items()
        for gate in (Gate("rx", (q,), single[label], pulse), Gate("rz", (q,), 0.0, 0.0))
    ]
    for one, other in sorted(_pairs(specification)):
        error = metrics.error(_DOUBLE, one, other, gate=native)
        if native != "cz":
            for places in ((index[one], index[other]), (index[other], index[one])):
                found.append(Gate(native, places, error, pair))
        for first, second in ((one, other), (other, one)):
            found.append(Gate("cz", (index[first], index[second]), *_cz(native, error, single[first], pair, pulse)))
    return Calibration(
        name,
        tuple(_qubit(label, metrics, pulse, seconds.get("meas")) for label in labels),
        tuple(sorted(found, key=lambda gate: (gate.name, gate.qubits))),
        metrics.measured_at,
        SOURCE,
        labels=tuple(labels),
    )


def place(label: str) -> tuple[int, int]:
    """Return row and column of a qubit by its name, such as ``4_12``."""
    row, column = label.split("_")
    return int(row), int(column)


def _native(gates: Iterable[str], metrics: _Metrics, name: str) -> str:
    known = [gate for gate, valid in NATIVE_PAIR_GATES.items() if valid in gates]
    if not known:
        raise ValueError(f"{name} has neither cz nor sqrt_iswap")
    return next((gate for gate in known if metrics.has(_DOUBLE, gate)), known[0])


def _cz(
    native: str, error: float | None, single: float | None, pair: float | None, pulse: float | None
) -> tuple[float | None, float | None]:
    """Return error and seconds of a CZ. Of its pulses those before and after are gates that are there anyway."""
    if native == "cz":
        return error, pair
    seconds = None if pair is None else 2 * pair + (pulse or 0.0)
    return None if error is None else _rounded(min(1.0, 2 * error + (single or 0.0))), seconds


def _pairs(specification: Mapping[str, Any]) -> set[tuple[str, str]]:
    found = set()
    for targets in specification.get("validTargets") or ():
        for target in targets.get("targets") or ():
            if len(target["ids"]) == 2:
                first, second = sorted(map(str, target["ids"]), key=place)
                found.add((first, second))
    return found


def _qubit(label: str, metrics: _Metrics, pulse: float | None, readout: float | None) -> Qubit:
    read = {
        field: next((_rounded(value) for name in names if (value := metrics.value(name, label)) is not None), None)
        for field, names in _READ.items()
    }
    micros, t2 = metrics.value(_T1, label), None
    t1 = micros * 1e-6 if micros is not None and micros > 0 else None
    incoherent = metrics.value(_INCOHERENT, label)
    if t1 is not None and pulse and incoherent is not None:
        # An incoherent error of t/3 (1/T1 + 1/Tphi), as Cirq's own noise model has it.
        dephasing = max(0.0, 3 * incoherent / pulse - 1 / t1)
        t2 = 1 / (1 / (2 * t1) + dephasing)
    return Qubit(
        None if t1 is None else _rounded(t1),
        None if t2 is None else _rounded(t2),
        read["read_1_as_0"],
        read["read_0_as_1"],
        readout,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
