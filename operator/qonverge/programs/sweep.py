"""Sweeps: of circuits, one task for all points, and what its result means for each; of programs, their bounds. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qonverge.api import HybridJob
from qonverge.api.program import Circuit
from qonverge.api.sweep import MOST_PROGRAM_POINTS, MOST_SWEEP_POINTS, Sweep, SweepPoint
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.errors import InvalidProgram
from qonverge.wire.messages import PubResult


def num_points(sweep: Sweep | None) -> int:
    """Return how many parameter sets a circuit is run with."""
    return 1 if sweep is None else sweep.num_points


def problem(sweep: Sweep) -> str | None:
    """Return why the sweep of a circuit cannot be run, as far as that is seen without its circuit."""
    return _problem(sweep, MOST_SWEEP_POINTS, "they are run and come back as one task")


def problem_of_program(sweep: Sweep) -> str | None:
    """Return why the sweep of a program cannot be run."""
    return _problem(sweep, MOST_PROGRAM_POINTS, "each of them has a pod")


def in_environment(job: HybridJob) -> dict[str, str]:
    """Return the variable from which each process of a program that is swept learns its parameters."""
    sweep = job.spec.program.sweep
    return {} if sweep is None else {"QONVERGE_SWEEP": json.dumps(sweep.as_given(), separators=(",", ":"))}


def _problem(sweep: Sweep, most: int, why: str) -> str | None:
    if (points := sweep.num_points) > most:
        lengths = " x ".join(str(sweep.parameters[name].count) for name in sweep.names)
        return (
            f"spec.program.sweep has {points} points ({lengths}), and at most {most} are possible, since "
            f"{why}: divide it between several jobs"
        )
    for name in sweep.names:
        if (
            bad := next((each for each in sweep.parameters[name].numbers if not math.isfinite(each)), None)
        ) is not None:
            return f"spec.program.sweep.parameters.{name} has the value {bad}: give finite numbers"
    return None


def first_point(circuit: Circuit, sweep: Sweep | None) -> Mapping[str, float]:
    """Return the values of all parameters at the first point, by which a circuit is checked and forecast."""
    if sweep is None:
        return circuit.parameters
    return {**circuit.parameters, **{name: sweep.parameters[name].numbers[0] for name in sweep.names}}


def check_free(sweep: Sweep | None, checked: CheckedCircuit) -> None:
    """Find out whether the swept parameters are free in the circuit.

    Raises:
        InvalidProgram: one has to be known when the circuit is read, so that each value makes another circuit.
    """
    if fixed := sorted(set(() if sweep is None else sweep.names) & set(checked.fixed)):
        raise InvalidProgram(
            f"the sweep varies {', '.join(fixed)}, and other values make another circuit, as in the bound of a loop, a "
            "condition or an index",
            expected="parameters that are angles of gates, or a job for each value",
        )


def bindings(circuit: Circuit, sweep: Sweep | None) -> dict[str, NDArray[np.float64]]:
    """Return the values of each parameter, shape (N,), one for each of N points."""
    count = num_points(sweep)
    found = {name: np.full(count, value, np.float64) for name, value in circuit.parameters.items()}
    if sweep is not None:
        columns = np.array(sweep.points, np.float64).T
        found |= {name: np.ascontiguousarray(column) for name, column in zip(sweep.names, columns, strict=True)}
    return found


def points_of(sweep: Sweep, result: PubResult) -> list[SweepPoint]:
    """Return what was found at each point.

    Args:
        sweep: of N points.
        result: with counts for each of them, or expectation values of shape (N, K).
    """
    given = [dict(zip(sweep.names, point, strict=True)) for point in sweep.points]
    if result.expectation_values is not None and result.standard_errors is not None:
        values = result.expectation_values.reshape(len(given), -1).tolist()
        errors = result.standard_errors.reshape(len(given), -1).tolist()
        return [
            SweepPoint(parameters=each, expectation_values=own, standard_errors=error)
            for each, own, error in zip(given, values, errors, strict=True)
        ]
    return [
        SweepPoint(parameters=each, counts=dict(sorted(counts.items())))
        for each, counts in zip(given, result.counts, strict=True)
    ]
