"""What comes of a job."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import numpy as np

from qonverge_dev_cloud import simulation
from qonverge_dev_cloud.calibration import Calibration
from qonverge_dev_cloud.iqm.catalogue import NAMESPACE
from qonverge_dev_cloud.iqm.circuits import Circuit, qasm
from qonverge_dev_cloud.iqm.jobs import Job


def measurements(job: Job, calibration: Calibration | None, seed: int) -> list[dict[str, list[list[int]]]]:
    """Return the bits of each shot of each circuit, by the key of the measurement.

    Args:
        job: what is run.
        calibration: the errors; None for none.
        seed: of the scenario.
    """
    found = []
    for number, circuit in enumerate(job.circuits):
        drawn = uuid.uuid5(NAMESPACE, f"{seed}/{job.id}/{number}").int
        columns = _columns(job, circuit, calibration, drawn)
        places = job.computer.places
        found.append(
            {
                key: np.stack([columns[places[qubit]] for qubit in locus], axis=1).tolist()
                for key, locus in circuit.measured.items()
            }
        )
    return found


def counts(job: Job) -> list[dict[str, Any]]:
    """Return how often each outcome came, for each circuit; keys of measurements stand in their order."""
    found = []
    for own in job.measurements:
        rows = zip(*own.values(), strict=True)
        texts = Counter("".join(str(bit) for bits in row for bit in bits) for row in rows)
        found.append({"measurement_keys": list(own), "counts": {key: texts[key] for key in sorted(texts)}})
    return found


def _columns(job: Job, circuit: Circuit, calibration: Calibration | None, seed: int) -> dict[int, Any]:
    """Return the bits of all shots of each qubit that is measured."""
    program, idle = qasm(circuit, job.computer)
    columns: dict[int, Any] = {}
    if program is not None:
        out = simulation.run(job.computer.chip, program, job.shots, calibration=calibration, seed=seed)
        bits = np.asarray(out["measurements"], dtype=np.uint8)
        columns = {qubit: bits[:, column] for column, qubit in enumerate(out["measuredQubits"])}
    generator = np.random.default_rng([seed % 2**63, 1])
    for qubit in idle:
        # It stays in 0, and is misread now and then.
        misread = 0.0 if calibration is None else 1 - calibration.readout[qubit]
        columns[qubit] = (generator.random(job.shots) < misread).astype(np.uint8)
    return columns
