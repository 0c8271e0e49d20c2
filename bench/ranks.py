"""A parallel program beside the same program on one rank: ``python -m bench.ranks``.

Four ranks on two backends find the expectation values of a circuit at many angles, of which one rank finds all on one
backend. Each backend has one worker with one thread, as two devices would, so that two can be twice as fast. Both are
run by ``qonverge run`` and time the part between their first task and their last reduction; the sides take turns, and
the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import report

ROOT = Path(__file__).parents[1]
BAR = 1.8
"""Least speed-up of four ranks on two backends, of two CPUs."""

_PROGRAM = """
import time
import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit
from qonverge.client import EstimatorV2, communicator, rank, result, world_size

qubits, points, batch = {qubits}, {points}, {batch}
angles = ParameterVector("a", qubits)
circuit = QuantumCircuit(qubits)
for layer in range(8):
    for qubit in range(qubits):
        circuit.ry(angles[qubit], qubit)
    for qubit in range(qubits):
        circuit.cx(qubit, (qubit + 1) % qubits)
values = np.random.default_rng(3).uniform(0, np.pi, (points, qubits))
mine, estimator, ranks = values[rank()::world_size()], EstimatorV2(), communicator()
estimator.run([(circuit, "Z" * qubits, values[0])]).result()
ranks.Barrier()
begun, total = time.perf_counter(), 0.0
for start in range(0, len(mine), batch):
    total += estimator.run([(circuit, "Z" * qubits, mine[start : start + batch])]).result()[0].data.evs.sum()
total = ranks.allreduce(float(total))
result({{"seconds": time.perf_counter() - begun, "total": total}})
"""


@dataclass(frozen=True, slots=True)
class Speedup:
    """How much sooner four ranks end than one."""

    ratio: float
    """Median of the rounds."""
    worst: float
    one_rank_seconds: float
    four_ranks_seconds: float


def run(rounds: int = 3, qubits: int = 18, points: int = 64, batch: int = 4) -> Speedup:
    """Return the speed-up of four ranks on two backends.

    Raises:
        RuntimeError: a program failed, or the two found different values.
    """
    source = _PROGRAM.format(qubits=qubits, points=points, batch=batch)
    one, four = [], []
    for _ in range(rounds):
        alone, together = _result(source, 1, 1), _result(source, 4, 2)
        if abs(alone["total"] - together["total"]) > 1e-9:
            raise RuntimeError(f"one rank found {alone['total']}, four found {together['total']}")
        one.append(alone["seconds"])
        four.append(together["seconds"])
    ratios = [before / after for before, after in zip(one, four, strict=True)]
    return Speedup(statistics.median(ratios), min(ratios), statistics.median(one), statistics.median(four))


def _result(source: str, ranks: int, backends: int) -> dict[str, Any]:
    program = {"python": {"source": source}, "parallelism": ranks, "ranksPerBackend": ranks // backends}
    spec = {"simulator": {"engine": "Aer", "method": "Statevector"}, "capacity": {"concurrency": 1}}
    documents = [
        _object("HybridJob", "ranks", {"program": program}),
        *(_object("QuantumBackend", f"device-{number}", spec) for number in range(backends)),
    ]
    command = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run", "-q", "-o", "json", "-"]
    text = yaml.safe_dump_all(documents)
    # Wide circuits would have all CPUs, those of the other device too.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    status = json.loads(done.stdout)["status"] if done.stdout else {}
    if status.get("state") != "Complete":
        raise RuntimeError(status.get("message") or done.stderr)
    value: dict[str, Any] = status["result"]["value"]
    return value


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="bench.ranks", description="Four ranks on two backends beside one rank.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = run(options.rounds)
    rows = [
        report.Row(
            "4 ranks on 2 backends: speed-up over 1 rank",
            f"{found.ratio:.2f} (lowest {found.worst:.2f}; {found.one_rank_seconds:.1f} s, "
            f"{found.four_ranks_seconds:.1f} s)",
            f"at least {BAR:g}",
            found.ratio >= BAR,
        )
    ]
    print(report.table(rows))
    if options.json:
        report.write(options.json, rows, asdict(found))
    sys.exit(0 if found.ratio >= BAR else 1)


if __name__ == "__main__":
    main()
