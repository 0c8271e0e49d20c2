"""A fleet that takes circuits on qubits 0 to n-1: devices are ranked rightly where the forecast is told so."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from qiskit import QuantumCircuit
from scipy.stats import spearmanr

from bench.fidelity.circuits import cases
from bench.fidelity.simulate import hellinger
from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.analysis.wiring import operations
from qonverge.circuits.checker.checked_circuit import CheckedCircuit, check
from qonverge.circuits.checker.checker import Checker
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.circuits.error_response.profile_builder import profile
from qonverge.circuits.mapping.mapped import load_of
from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, Gate, Layout, Qubit
from qonverge.devices.layout import Misfit
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.exact import ExactForecasts
from qonverge.forecast.features import Work
from qonverge.forecast.fidelity import EXACT, Forecaster, interval
from qonverge.forecast.forecaster import Outlook
from qonverge.forecast.intervals import Interval
from qonverge.forecast.requests import BackendOffer, ForecastRequest

CIRCUITS = ("ghz-5", "w-state-3", "phase-estimation-4", "quantum-volume-3", "vqe-linear-4", "ising-4", "hidden-shift-4")


def device(seed: int) -> Calibration:
    """A row of nine qubits, some couplings of which are ten times as good as others: seldom the first ones."""
    random, size = np.random.default_rng(seed), 9
    errors = 0.02 * np.exp(random.normal(0, 1.2, size - 1))
    read = 0.03 * np.exp(random.normal(0, 0.8, size))
    gates = [Gate("rz", (q,), 0.0, 0.0) for q in range(size)]
    gates += [Gate(name, (q,), 3e-4, 35e-9) for name in ("sx", "x") for q in range(size)]
    gates += [
        Gate("cx", pair, float(min(0.3, errors[q])), 3e-7) for q in range(size - 1) for pair in ((q, q + 1), (q + 1, q))
    ]
    qubits = tuple(Qubit(1e-4, 8e-5, float(r), float(r) / 2, 1e-6) for r in read)
    return Calibration(f"row-{seed}", qubits, tuple(gates))


FLEET = [device(seed) for seed in range(8)]


@cache
def circuits() -> dict[str, tuple[QuantumCircuit, CircuitProfile]]:
    found = {}
    for case in cases():
        if case.name in CIRCUITS:
            plain = canonical(case.circuit)
            known = profile(plain, analyse(plain), {})
            assert known is not None
            measured = plain.copy()
            if not measured.num_clbits:
                measured.measure_all()
            found[case.name] = (measured, known)
    assert len(found) == len(CIRCUITS)
    return found


def product_of_fidelities(circuit: QuantumCircuit, calibration: Calibration) -> float:
    """Return the rival's figure: the product over gates and measurements of what each keeps."""
    kept = 1.0
    for name, qubits in operations(circuit, range(calibration.num_qubits)):
        gate = calibration.gate(name, qubits)
        error = (calibration.qubit(qubits[0]).readout_error or 0.0) if gate is None else gate.error or 0.0
        kept *= 1 - error
    return kept


def test_the_forecast_that_knows_the_layout_ranks_devices_that_keep_it() -> None:
    gained: dict[str, list[float]] = {"told": [], "exact": [], "untold": [], "product": []}
    ranks: dict[str, list[float]] = {name: [] for name in gained}
    forecaster = Forecaster()
    for circuit, known in circuits().values():
        layout = Layout.trivial(circuit.num_qubits)
        mapped = [Mapper(calibration).map(circuit, layout).circuit for calibration in FLEET]
        # An independent simulation in numpy, see bench.fidelity.
        truth = [hellinger(own, calibration) for own, calibration in zip(mapped, FLEET, strict=True)]
        loads = [load_of(own, there, dict(known.ones)) for own, there in zip(mapped, FLEET, strict=True)]
        told: dict[str, Sequence[Interval | DoesNotFit]] = {
            "told": forecaster.estimate(known, FLEET, layout),
            "untold": forecaster.estimate(known, FLEET),
            "exact": [interval(known, load, EXACT) for load in loads],
        }
        figures = {
            name: [each.mid if isinstance(each, Interval) else math.nan for each in found]
            for name, found in told.items()
        }
        figures["product"] = [product_of_fidelities(own, there) for own, there in zip(mapped, FLEET, strict=True)]
        for name, values in figures.items():
            gained[name].append(truth[int(np.argmax(values))])
            ranks[name].append(float(spearmanr(values, truth).statistic))
    mean = {name: float(np.mean(values)) for name, values in gained.items()}
    rank = {name: float(np.mean(values)) for name, values in ranks.items()}
    # Not knowing it, the choice is worse than that of a plain product; told, it is not.
    assert mean["untold"] < mean["product"] - 0.03, mean
    assert mean["told"] >= mean["product"] - 1e-9, mean
    assert mean["exact"] >= mean["product"] - 1e-9, mean
    assert rank["untold"] < 0.6, rank
    assert min(rank["told"], rank["exact"]) > 0.93, rank


def asked(text: str, layout: Layout | None = None) -> ForecastRequest:
    checked: CheckedCircuit = check(text, {}, [], layout)
    return ForecastRequest(checked, {}, Work.of(checked.analysis, 1000))


HEAD = 'OPENQASM 3.0; include "stdgates.inc"; '
PAIR = f"{HEAD} qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"
PHYSICAL = f"{HEAD} bit[2] c; h $3; cx $3, $4; c[0] = measure $3; c[1] = measure $4;"


def told(outlook: Outlook, wanted: ForecastRequest, **offer: object) -> Interval:
    return outlook.fidelity(wanted, BackendOffer("lab/row", noise=FLEET[0], **offer))  # type: ignore[arg-type]


def test_jobs_and_backends_say_where_circuits_lie() -> None:
    outlook = Outlook(ExactForecasts(Checker()))
    best = told(outlook, asked(PAIR))
    pairs = [told(outlook, asked(PAIR, Layout((q, q + 1)))) for q in range(8)]
    assert best.mid == max(pair.mid for pair in pairs)
    assert min(pair.mid for pair in pairs) < best.mid - 0.04
    assert told(outlook, asked(PHYSICAL)) == pairs[3]
    assert told(outlook, asked(PAIR), keeps_layouts=True) == pairs[0]
    assert told(outlook, asked(PAIR, Layout((5, 6))), keeps_layouts=True) == pairs[5]
    # A circuit as wide as the device that keeps to its gates and couplings stays where it is, in engines too.
    text = f"{HEAD} bit[2] c; sx $3; cx $3, $4; c[0] = measure $3; c[1] = measure $4;"
    wide = re.sub(r"\$(\d)", r"q[\1]", text.replace("bit[2] c", "qubit[9] q; bit[2] c"))
    assert told(outlook, asked(wide)).mid == told(outlook, asked(text)).mid
    # What is no gate needs no place on the device: loops that are left, and assignments of bits.
    looped = " while (c[0]) { c[0] = measure q[3]; if (c[1]) { break; } c[1] = true; }"
    assert (
        told(outlook, asked(wide + looped)).mid == told(outlook, asked(text + re.sub(r"q\[(\d)\]", r"$\1", looped))).mid
    )
    # Unless it needs what is out of order: then it is placed elsewhere, as by engines.
    dead = tuple(replace(gate, error=1.0) if gate.qubits == (3,) else gate for gate in FLEET[0].gates)
    offer = BackendOffer("lab/row", noise=replace(FLEET[0], gates=dead))
    assert outlook.misfits(asked(wide), [offer]) == {}
    assert outlook.fidelity(asked(wide), offer).mid > 0.9
    assert outlook.misfits(asked(text), [offer])["lab/row"].reason == "qubit 3 of row-0 is out of order"


def test_what_does_not_fit_is_told_with_what_it_is_about() -> None:
    outlook = Outlook(ExactForecasts(Checker()))
    dead = tuple(replace(gate, error=1.0) if set(gate.qubits) == {3, 4} else gate for gate in FLEET[0].gates)
    broken = replace(FLEET[0], name="broken", gates=dead)
    offers = [
        BackendOffer("lab/row", noise=FLEET[0]),
        BackendOffer("lab/broken", noise=broken, recalibrated=True),
        BackendOffer("lab/ideal"),
    ]
    assert outlook.misfits(asked(PAIR), offers) == {}
    assert outlook.misfits(asked(PHYSICAL), offers) == {
        "lab/broken": Misfit("the coupling of qubits 3 and 4 of broken is out of order", lasting=False)
    }
    chain = f"{HEAD} qubit[7] q; bit[7] c; " + "".join(f"cx q[{k}], q[{k + 1}]; " for k in range(6)) + "c = measure q;"
    assert outlook.misfits(asked(chain), offers) == {
        "lab/broken": Misfit("broken has 5 qubits that work and are connected; the circuit needs 7", lasting=False)
    }
    # Of a snapshot, which never changes, no waiting helps.
    fixed = [BackendOffer("lab/broken", noise=broken)]
    assert outlook.misfits(asked(chain), fixed)["lab/broken"].lasting
    apart = asked(PHYSICAL.replace("$4", "$5"))
    assert {key: found.lasting for key, found in outlook.misfits(apart, offers).items()} == {
        "lab/row": True,
        "lab/broken": True,
    }
    assert outlook.misfits(None, offers) == {}
