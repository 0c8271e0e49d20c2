"""The study: forecasts beside outcomes, for circuits and devices of two halves."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.transpiler.exceptions import TranspilerError
from scipy.stats import spearmanr

from bench.fidelity.circuits import Case, cases
from bench.fidelity.simulate import TooWide, hellinger
from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.analysis.gate_sequence import steps_of
from qonverge.circuits.error_response.builder import respond
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.circuits.error_response.profile_builder import profile
from qonverge.circuits.mapping.mapped import load_of, map_to
from qonverge.devices import Calibration, snapshots
from qonverge.forecast.fidelity import EXACT, FAST, Forecaster, Spread, interval
from qonverge.forecast.intervals import Interval

TUNING, HELD_OUT, FRESH = "tuning", "held out", "fresh"
FORECASTS = ("fast", "exact", "fast, nearest Clifford", "exact, nearest Clifford")
# Its figures are those of another snapshot, so they would be in both halves.
_TWINS = frozenset(("fractional",))
_BINS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


@dataclass(frozen=True, slots=True)
class Row:
    """A circuit on a device."""

    family: str
    circuit: str
    device: str
    half: str
    outcome: float
    """The simulated Hellinger fidelity."""
    forecasts: Mapping[str, Interval]
    """By what of ``FORECASTS`` they are."""


def half(name: str) -> str:
    """Return the half in which a family of circuits, or a device, is: the lowest bit of its name's first hash byte."""
    return TUNING if hashlib.sha256(name.encode()).digest()[0] % 2 else HELD_OUT


def run(wanted: Callable[[Case, Calibration], bool], report: Callable[[str], None]) -> Iterator[Row]:
    """Yield all rows with circuit and device of the same half, of those wanted; fresh circuits on held-out devices."""
    devices = [snapshots.load(name) for name in snapshots.names() if name not in _TWINS]
    devices = [device for device in devices if device.couplings]
    forecaster = Forecaster()
    for case in cases():
        circuit = canonical(case.circuit)
        analysis = analyse(circuit)
        known = profile(circuit, analysis, {})
        assert known is not None
        bits = [qubit for qubit, _ in known.measured]
        framed = respond(steps_of(circuit, 10**6), bits, known.num_qubits, exact=False, most_work=0)
        nearest = dataclasses.replace(known, response=framed)
        done = 0
        for device in devices:
            part = HELD_OUT if case.fresh else half(case.family)
            if half(device.name) != part or circuit.num_qubits > len(device.qubits):
                continue
            if not wanted(case, device):
                continue
            try:
                mapped = map_to(circuit, device)
                outcome = hellinger(mapped, device)
            except (TooWide, TranspilerError) as problem:
                report(f"{case.name} on {device.name}: {str(problem)[:80] or 'too many qubits'}")
                continue
            quick = forecaster.load(known, device)
            real = load_of(mapped, device, dict(known.ones))
            both: list[tuple[CircuitProfile, Any]] = [(known, ""), (nearest, ", nearest Clifford")]
            forecasts = {f"fast{name}": interval(of, quick, FAST) for of, name in both}
            forecasts |= {f"exact{name}": interval(of, real, EXACT) for of, name in both}
            yield Row(case.family, case.name, device.name, FRESH if case.fresh else part, outcome, forecasts)
            done += 1
        report(f"{case.name}: {done} devices")


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures of each half and forecast."""
    return {
        of: {name: figures([row for row in rows if row.half == of], name) for name in FORECASTS}
        for of in (TUNING, HELD_OUT, FRESH)
    }


def spreads(rows: Sequence[Row]) -> dict[str, Spread]:
    """Return the spreads that the tuning half asks for: quantiles of its scores, as in split conformal prediction."""
    found = {}
    for name in FORECASTS:
        scores = [Spread.score(row.forecasts[name].mid, row.outcome) for row in rows if row.half == TUNING]
        less, more = np.quantile(scores, (0.1, 0.9)).round(3).tolist()
        found[name] = Spread(less, more)
    return found


def figures(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Return how well the forecasts of this name do on some rows."""
    mids = np.array([row.forecasts[name].mid for row in rows])
    outcomes = np.array([row.outcome for row in rows])
    inside = np.array([row.forecasts[name].low <= row.outcome <= row.forecasts[name].high for row in rows])
    width = np.array([row.forecasts[name].high - row.forecasts[name].low for row in rows])
    places = np.digitize(mids, _BINS[1:-1])
    return {
        "pairs": len(rows),
        "circuits": len({row.circuit for row in rows}),
        "devices": len({row.device for row in rows}),
        "rank_correlation": _rank(mids, outcomes),
        "mean_absolute_error": float(np.abs(mids - outcomes).mean()),
        "bias": float((mids - outcomes).mean()),
        "coverage": float(inside.mean()),
        "mean_width": float(width.mean()),
        "by_circuit_median": _median_rank(rows, mids, outcomes, lambda row: row.circuit),
        "by_device_median": _median_rank(rows, mids, outcomes, lambda row: row.device),
        "by_family": {
            family: {
                "rank_correlation": _rank(mids[here], outcomes[here]),
                "bias": float((mids - outcomes)[here].mean()),
                "coverage": float(inside[here].mean()),
            }
            for family in dict.fromkeys(row.family for row in rows)
            for here in [np.array([row.family == family for row in rows])]
        },
        "calibration": [
            {
                "from": _BINS[place],
                "to": _BINS[place + 1],
                "pairs": int(here.sum()),
                "forecast": float(mids[here].mean()),
                "outcome": float(outcomes[here].mean()),
                "coverage": float(inside[here].mean()),
            }
            for place in range(len(_BINS) - 1)
            for here in [places == place]
            if here.any()
        ],
    }


def _rank(mids: Any, outcomes: Any) -> float:
    return float(spearmanr(mids, outcomes).statistic)


def _median_rank(rows: Sequence[Row], mids: Any, outcomes: Any, key: Callable[[Row], str]) -> float:
    keys = np.array([key(row) for row in rows])
    ranks = [_rank(mids[keys == one], outcomes[keys == one]) for one in np.unique(keys) if (keys == one).sum() > 4]
    return float(np.median(ranks)) if ranks else float("nan")
