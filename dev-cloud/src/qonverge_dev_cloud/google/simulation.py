"""Runs programs on cirq's simulators, with the noise that cirq-google makes of a processor's calibration."""

from __future__ import annotations

import math
import random
from functools import lru_cache
from typing import Any

import cirq
import cirq_google
import numpy as np
from cirq_google.api import v2
from cirq_google.devices import google_noise_properties
from cirq_google.engine import calibration_to_noise_properties, virtual_engine_factory
from google.protobuf import any_pb2

from qonverge_dev_cloud.scenario import Drift
from qonverge_dev_cloud.simulation import WIDEST_EXACT, WIDEST_NOISY

_MOST_SHOTS = 5_000_000


class BadProgram(ValueError):
    """A program or its run context that the processor does not take; the text says why."""


@lru_cache(maxsize=8)
def specification(processor: str) -> Any:
    """Return the published ``DeviceSpecification``."""
    return virtual_engine_factory.create_device_spec_from_processor_id(processor)


@lru_cache(maxsize=8)
def _device(processor: str) -> Any:
    return cirq_google.GridDevice.from_proto(specification(processor))


def legacy(processor: str) -> bool:
    """Whether cirq-google takes default times of gates for a processor, and not those of its specification."""
    return processor in virtual_engine_factory.ZPHASE_DATA


def published_metrics(processor: str) -> Any:
    """Return the published ``MetricsSnapshot``, with the time at which it was measured."""
    calibration = virtual_engine_factory.load_median_device_calibration(processor)
    snapshot = calibration.to_proto()
    snapshot.timestamp_ms = calibration.timestamp
    return snapshot


@lru_cache(maxsize=32)
def metrics(processor: str, drift: Drift | None, seed: int, epoch: int, measured: float) -> Any:
    """Return the ``MetricsSnapshot`` in force: the published one, and later ones as the scenario has them differ.

    Args:
        processor: which.
        drift: of the scenario.
        seed: of the scenario.
        epoch: which calibration since the start, from 0.
        measured: when, Unix seconds.
    """
    snapshot = published_metrics(processor)
    snapshot.timestamp_ms = round(1000 * measured)
    for metric in snapshot.metrics if drift is not None and epoch else ():
        # Angles by which a gate is off are not rates.
        if "error" in metric.name and "entangler" not in metric.name:
            drawn = random.Random(f"{seed}/{processor}/{metric.name}/{list(metric.targets)}/{epoch}")  # noqa: S311
            factor = math.exp(drawn.gauss(0, drift.spread)) if drift is not None else 1.0
            for value in metric.values:
                value.double_val = min(0.5, value.double_val * factor)
    return snapshot


@lru_cache(maxsize=8)
def _noise(processor: str, snapshot: bytes) -> Any:
    found = v2.metrics_pb2.MetricsSnapshot.FromString(snapshot)
    old = legacy(processor)
    properties = calibration_to_noise_properties.noise_properties_from_calibration(
        calibration=cirq_google.Calibration(found),
        gate_times_ns="legacy" if old else virtual_engine_factory.extract_gate_times_ns_from_device(_device(processor)),
        zphase_data=virtual_engine_factory.load_sample_device_zphase(processor) if old else None,
    )
    return google_noise_properties.NoiseModelFromGoogleNoiseProperties(properties)


def run(processor: str, code: Any, context: Any, snapshot: Any | None, seed: int) -> Any:
    """Run a program.

    Args:
        processor: on which.
        code: the program, packed as ``Any``.
        context: its run context, packed as ``Any``.
        snapshot: ``MetricsSnapshot`` whose noise it has; None: nothing errs.
        seed: of all draws.

    Returns:
        ``Result``, packed as ``Any``.

    Raises:
        BadProgram: the processor does not take it.
    """
    circuit, sweeps = _read(code), _unpacked(context, v2.run_context_pb2.RunContext())
    try:
        _device(processor).validate_circuit(circuit)
    except ValueError as error:
        raise BadProgram(str(error)) from None
    widest, width = WIDEST_EXACT if snapshot is None else WIDEST_NOISY, len(circuit.all_qubits())
    if width > widest:
        errors = "" if snapshot is None else " with errors"
        raise BadProgram(f"{width} qubits: dev-cloud simulates up to {widest}{errors}")
    measurements = v2.find_measurements(circuit)
    if not measurements:
        raise BadProgram("Code must measure at least one qubit.")
    generator = np.random.RandomState(seed % 2**32)
    if snapshot is None:
        simulator: Any = cirq.Simulator(seed=generator)
    else:
        noise = _noise(processor, snapshot.SerializeToString(deterministic=True))
        simulator = cirq.DensityMatrixSimulator(noise=noise, seed=generator)
    asked = [(v2.sweep_from_proto(each.sweep), each.repetitions) for each in sweeps.parameter_sweeps]
    if not asked or any(repetitions < 1 for _, repetitions in asked):
        raise BadProgram("the run context has no repetitions")
    if sum(len(sweep) * repetitions for sweep, repetitions in asked) > _MOST_SHOTS:
        raise BadProgram(f"more than {_MOST_SHOTS} repetitions in all")
    try:
        found = [simulator.run_sweep(circuit, sweep, repetitions) for sweep, repetitions in asked]
    except (ValueError, TypeError) as error:
        # As of a parameter that has no value.
        raise BadProgram(str(error)) from None
    packed = any_pb2.Any()
    packed.Pack(v2.results_to_proto(found, measurements))
    return packed


def repetitions(context: Any) -> int:
    """Return the repetitions of all sweeps together; 0 of what cannot be read, which fails when it runs."""
    try:
        sweeps = _unpacked(context, v2.run_context_pb2.RunContext())
        return sum(len(v2.sweep_from_proto(each.sweep)) * each.repetitions for each in sweeps.parameter_sweeps)
    except ValueError:
        return 0


def _read(code: Any) -> Any:
    program = _unpacked(code, v2.program_pb2.Program())
    if program.keyed_circuits:
        raise BadProgram("dev-cloud runs one circuit in a program, and this has several")
    try:
        return cirq_google.CIRCUIT_SERIALIZER.deserialize(program)
    except (ValueError, TypeError, NotImplementedError, IndexError, KeyError) as error:
        raise BadProgram(f"the program cannot be read: {error}") from None


def _unpacked(packed: Any, message: Any) -> Any:
    if not packed.Unpack(message):
        raise BadProgram(f"{packed.type_url or 'nothing'} where a {message.DESCRIPTOR.full_name} should be")
    return message
