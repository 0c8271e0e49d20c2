"""What IQM says of a quantum computer, as the executor of cloud tasks knows it. Pure.

Sources: the API of IQM Server, version 1, and the names of observations in iqm-station-control-client 14 (``qon.py``),
such as ``metrics.irb.cz.tgss.QB1__QB2.fidelity:par=d2`` and ``characterization.model.QB1.t1_time``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qonverge.backend.clouds.protocol import Device
from qonverge.devices.calibration import MAX_QUBITS, Calibration, Gate, Qubit

_NAME = re.compile(r"QB([1-9][0-9]{0,4})")
# How gates are benchmarked, the better first.
_METHODS = {"prx": ("rb", "irb"), "cz": ("irb", "rb")}
_DIGITS = 5


def qubit_name(index: int) -> str:
    """Return IQM's name of a qubit: the first is QB1."""
    return f"QB{index + 1}"


def qubit_index(name: str) -> int:
    """Return the number of a qubit; of those that are not calibrated the numbers stay free.

    Raises:
        ValueError: it is named in another way.
    """
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) > MAX_QUBITS:
        raise ValueError(f"a qubit is called {name!r}, not QB1 or the like")
    return int(found[1]) - 1


@dataclass(frozen=True, slots=True)
class Facts:
    """The documents about one quantum computer, as its API gives them."""

    name: str
    health: Mapping[str, Any]
    limits: Mapping[str, Any]
    queue: Mapping[str, Any]
    gates: Mapping[str, Any]
    """The dynamic quantum architecture of the calibration set in force."""
    metrics: Mapping[str, Any] | None
    """Its quality metrics; None where it has none yet."""
    settings: Mapping[str, Any]
    """The calibration set itself, for the durations of gates."""


def described(facts: Facts, now: float, *, in_timeslots: bool = False) -> Device:
    """Return the device.

    Args:
        facts: what IQM says.
        now: Unix seconds.
        in_timeslots: whether jobs run in booked times: the queue of all others says nothing then.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: a document is of another form.
    """
    calibration = _calibration(facts)
    shots = [facts.limits.get(key) for key in ("max_shots_per_circuit", "max_executions_per_job")]
    online, reason, opens = facts.health["healthy"] is True, "", None
    if not online:
        reason = f"IQM says that {facts.name} is not healthy"
    elif facts.gates.get("computational_resonators"):
        online, reason = (
            False,
            (f"{facts.name} moves states through a resonator (IQM Star), for which this provider writes no programs"),
        )
    elif not in_timeslots and (opens := _opening(facts.queue.get("available") or (), now)) is not None:
        reason = f"{facts.name} runs jobs of the queue from {_said(opens)} on"
    return Device(
        online=online,
        reason=reason,
        available_at=opens,
        num_qubits=calibration.num_qubits,
        max_shots=min((int(most) for most in shots if most is not None), default=None),
        calibration=calibration,
        queue_length=None if in_timeslots else facts.queue.get("queue_length"),
    )


def _opening(windows: Iterable[Mapping[str, Any]], now: float) -> float | None:
    """Return when jobs run again; None where they do now, or that is not told."""
    times = sorted((_time(own["start"]), _time(own["end"])) for own in windows)
    if any(start <= now < end for start, end in times):
        return None
    return min((start for start, _ in times if start > now), default=None)


def _calibration(facts: Facts) -> Calibration:
    values = _values((facts.metrics or {}).get("observations") or ())
    settings = _values(facts.settings.get("observations") or ())
    qubits = sorted(qubit_index(name) for name in facts.gates["qubits"])
    if not qubits:
        raise ValueError("no qubit is calibrated")
    gates: list[Gate] = []
    read = {name for locus in _loci(facts, "measure") for name in locus}
    for locus in _loci(facts, "prx"):
        if not read.issuperset(locus):
            # Nothing is placed on a qubit that cannot be measured now.
            continue
        (place,) = map(qubit_index, locus)
        error, seconds = _figures(facts, "prx", locus, values, settings)
        # A rotation about any axis in the plane is one about X between changes of the frame, which take no pulse.
        gates += [Gate("rx", (place,), error, seconds), Gate("rz", (place,), 0.0, 0.0)]
    for locus in _loci(facts, "cz"):
        if all(_NAME.fullmatch(name) for name in locus):
            first, second = map(qubit_index, locus)
            error, seconds = _figures(facts, "cz", locus, values, settings)
            gates += [Gate("cz", pair, error, seconds) for pair in ((first, second), (second, first))]
    measured = facts.metrics or facts.settings
    return Calibration(
        facts.name,
        tuple(_qubit(facts, index, values, settings) for index in range(qubits[-1] + 1)),
        tuple(sorted(set(gates), key=lambda gate: (gate.name, gate.qubits))),
        _time(measured["created_timestamp"]) if measured.get("created_timestamp") else None,
        f"IQM, calibration set {facts.gates['calibration_set_id']}",
    )


def _qubit(facts: Facts, index: int, values: Mapping[str, float], settings: Mapping[str, float]) -> Qubit:
    name = qubit_name(index)
    if name not in facts.gates["qubits"]:
        return Qubit()
    how = _implementation(facts, "measure", (name,))
    read = f"metrics.ssro.measure.{how}.{name}"
    mean = None if (fidelity := values.get(f"{read}.fidelity")) is None else _error(1 - fidelity)
    return Qubit(
        _positive(values.get(f"characterization.model.{name}.t1_time")),
        _positive(values.get(f"characterization.model.{name}.t2_time")),
        _error(values.get(f"{read}.error_1_to_0", mean)),
        _error(values.get(f"{read}.error_0_to_1", mean)),
        _positive(settings.get(f"gates.measure.{how}.{name}.duration")),
    )


def _figures(
    facts: Facts, gate: str, locus: Sequence[str], values: Mapping[str, float], settings: Mapping[str, float]
) -> tuple[float | None, float | None]:
    """Return the error and the duration of a gate; None for what is not told."""
    tail = f"{gate}.{_implementation(facts, gate, locus)}.{'__'.join(locus)}"
    fidelities = (values.get(f"metrics.{method}.{tail}.fidelity") for method in _METHODS[gate])
    fidelity = next((own for own in fidelities if own is not None), None)
    return None if fidelity is None else _error(1 - fidelity), _positive(settings.get(f"gates.{tail}.duration"))


def _loci(facts: Facts, gate: str) -> list[tuple[str, ...]]:
    """Return where a gate is calibrated in any implementation."""
    ways = (facts.gates["gates"].get(gate) or {}).get("implementations") or {}
    return sorted({tuple(locus) for way in ways.values() for locus in way["loci"]})


def _implementation(facts: Facts, gate: str, locus: Sequence[str]) -> str:
    """Return the implementation that runs where a program names none."""
    told = facts.gates["gates"].get(gate) or {}
    overrides = told.get("override_default_implementation") or {}
    return str(overrides.get(",".join(locus)) or told.get("default_implementation") or "")


def _values(observations: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return what was observed, by name without suffixes; what is no number or not valid is left out."""
    found: dict[str, float] = {}
    for own in observations:
        value = own.get("value")
        if not own.get("invalid") and isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(str(own["dut_field"]).partition(":")[0], float(value))
    return found


def _error(value: float | None) -> float | None:
    return None if value is None else float(f"{min(1.0, max(0.0, value)):.{_DIGITS}g}")


def _positive(value: float | None) -> float | None:
    return None if value is None or not value > 0 else float(f"{value:.{_DIGITS}g}")


def _time(given: str) -> float:
    found = datetime.fromisoformat(given)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _said(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
