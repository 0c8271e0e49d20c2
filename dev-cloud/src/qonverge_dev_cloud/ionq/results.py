"""What comes of a job."""

from __future__ import annotations

import uuid
from collections import Counter

import numpy as np

from qonverge_dev_cloud import simulation
from qonverge_dev_cloud.calibration import Calibration
from qonverge_dev_cloud.ionq.backends import NAMESPACE
from qonverge_dev_cloud.ionq.circuits import qasm
from qonverge_dev_cloud.ionq.jobs import Job


def probabilities(job: Job, calibration: Calibration | None, seed: int) -> dict[str, float]:
    """Return how probable each outcome is: exactly, from a simulator without errors, else how often it came.

    Args:
        job: what is run.
        calibration: the errors; None for none.
        seed: of the scenario.

    Returns:
        Keys are decimal numbers whose bit k is qubit k.
    """
    source, width = qasm(job.request.input), job.request.input.width
    if job.backend.kind == "SIMULATOR" and calibration is None:
        unmeasured = source[: source.index("b[0] = measure")]
        program = simulation.Qasm(unmeasured + "#pragma braket result probability")
        values = simulation.run(job.backend, program, 0, calibration=None, seed=0)["resultTypes"][0]["value"]
        # There the first qubit is the most significant bit.
        found = {_reversed(place, width): value for place, value in enumerate(values) if value > 1e-12}
    else:
        own = job.id if job.request.noise.seed is None else job.request.noise.seed
        drawn = uuid.uuid5(NAMESPACE, f"{seed}/{own}").int
        outcome = simulation.run(job.backend, simulation.Qasm(source), job.shots, calibration=calibration, seed=drawn)
        keys = np.asarray(outcome["measurements"]) @ (1 << np.arange(width))
        found = {int(key): times / job.shots for key, times in Counter(keys.tolist()).items()}
    return {str(key): found[key] for key in sorted(found)}


def _reversed(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)
