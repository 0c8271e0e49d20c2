"""Writes the snapshots of Google's processors that the package ``qonverge`` has; ``make snapshots``."""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import cirq
from cirq_google.engine.calibration_to_noise_properties import DEFAULT_GATE_NS
from google.protobuf import json_format

from qonverge.devices import Calibration
from qonverge.devices.google import from_specification
from qonverge_dev_cloud.google import simulation
from qonverge_dev_cloud.google.catalogue import PROCESSORS


def published(processor: str) -> Calibration:
    """Return the calibration of a processor, as cirq-google's virtual engine has it."""
    snapshot = simulation.published_metrics(processor)
    found = from_specification(
        json_format.MessageToDict(simulation.specification(processor)), json_format.MessageToDict(snapshot), processor
    )
    source = f"cirq-google {version('cirq-google')} (Apache-2.0)"
    if simulation.legacy(processor):
        # The specifications of the older processors have 4 ms, and cirq-google's noise takes this.
        readout = DEFAULT_GATE_NS[cirq.MeasurementGate] * 1e-9
        found = replace(found, qubits=tuple(replace(qubit, readout_seconds=readout) for qubit in found.qubits))
    return replace(found, source=source)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a calibration for each processor."""
    parser = argparse.ArgumentParser(description="Write the calibrations of Google's processors.")
    parser.add_argument("out", type=Path, help="gets NAME.json.gz for each")
    options = parser.parse_args(arguments)
    for name in PROCESSORS:
        text = json.dumps(published(name).to_dict(), separators=(",", ":"))
        # No time in the archive: the same input gives the same file.
        (options.out / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
