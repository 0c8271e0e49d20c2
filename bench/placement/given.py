"""Somebody's trace: its programs on somebody's devices, with what it says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from qiskit import QuantumCircuit

from bench.placement.fleet import Fleet, assemble, with_series
from bench.placement.pairs import InvalidInput, Pairs, Program, completed
from bench.placement.trace import Trace
from qonverge.devices import Calibration


def fleet_of(
    trace: Trace,
    circuits: Mapping[str, QuantumCircuit],
    devices: Sequence[Calibration],
    known: Pairs,
    save: Callable[[Pairs], None] | None = None,
) -> Fleet:
    """Return the devices with the trace's programs.

    Calibrations that the trace names for later are no devices of their own.

    Raises:
        InvalidInput: the trace names what is not there, or has a program that no device can run.
    """
    by_name = {device.name: device for device in devices}
    later = {each.snapshot for series in trace.calibrations.values() for each in series}
    _all_known("snapshot", later, by_name)
    base = [device for device in devices if device.name not in later]
    names = [device.name for device in base]
    _all_known("device", {*trace.calibrations, *(d for row in trace.fidelities.values() for d in row)}, names)
    programs = _programs(trace, circuits)
    _all_known("circuit", set(trace.fidelities), circuits)
    truth = {
        name: trace.fidelities[circuit]
        for name, circuit in {a.program: a.circuit for a in trace.arrivals}.items()
        if circuit in trace.fidelities
    }
    # All of them once: each stretch of time has most in common with the others.
    simulated = completed(known, programs, devices, save)
    times = sorted({each.seconds for series in trace.calibrations.values() for each in series})

    def at(seconds: float) -> Fleet:
        current = [_current(trace, device, by_name, seconds) for device in base]
        return assemble(programs, current, simulated, fidelities=truth)

    made = with_series(at(0.0), [(seconds, at(seconds)) for seconds in times])
    for row, name in enumerate(made.circuits):
        if not made.fits[row].any():
            raise InvalidInput(
                f"{name} runs on none of {', '.join(names)}: it does not fit, has no forecast, or is too wide to be "
                "simulated; the trace may give its fidelities"
            )
    return made.usable()


def _programs(trace: Trace, circuits: Mapping[str, QuantumCircuit]) -> dict[str, Program]:
    _all_known("circuit", {arrival.circuit for arrival in trace.arrivals}, circuits)
    programs = {}
    for arrival in trace.arrivals:
        circuit = circuits[arrival.circuit]
        if arrival.layout is not None and len(arrival.layout) != circuit.num_qubits:
            raise InvalidInput(
                f"the job at {arrival.seconds:g} s lays {arrival.circuit} on {len(arrival.layout)} qubits; the circuit "
                f"has {circuit.num_qubits}"
            )
        programs[arrival.program] = Program(circuit, arrival.layout)
    return programs


def _current(trace: Trace, device: Calibration, known: Mapping[str, Calibration], at: float) -> Calibration:
    past = [each for each in trace.calibrations.get(device.name, ()) if each.seconds <= at]
    if not past:
        return device
    return replace(known[max(past, key=lambda each: each.seconds).snapshot], name=device.name)


def _all_known(kind: str, named: set[str], known: Sequence[str] | Mapping[str, object]) -> None:
    if unknown := sorted(named - set(known)):
        raise InvalidInput(f"the trace has the {kind} {unknown[0]}, which is not there; known: {', '.join(known)}")
