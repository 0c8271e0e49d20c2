"""Checkpointed VQEs that are killed again and again under ``qonverge run``: ``python -m bench.checkpoint_kills``.

Half of the kills take the whole command, the others its program. Each iteration writes a line into a log before its
checkpoint and after it, so that the log tells what was computed twice. The energy at the end is compared with that of
the same VQE that nobody disturbs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from bench import report

ITERATIONS = 40
_SOURCE = """
import os, pathlib, sys
import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qonverge.client import EstimatorV2, checkpoint, report, result

log = pathlib.Path(sys.argv[1])
pathlib.Path(f"{log}.pid").write_text(str(os.getpid()))
terms = [("II", -1.0524), ("IZ", 0.3979), ("ZI", -0.3979), ("ZZ", -0.0113), ("XX", 0.1809)]
hamiltonian, theta = SparsePauliOp.from_list(terms), Parameter("theta")
circuit = QuantumCircuit(2)
circuit.x(0)
circuit.ry(theta, 1)
circuit.cx(1, 0)
estimator = EstimatorV2()


def energy(at):
    return float(estimator.run([(circuit, hamiltonian, [at])]).result()[0].data.evs)


# Simultaneous perturbation: each step draws, so that the generator's state has to come back too.
rng = np.random.default_rng(int(sys.argv[2]))
state = checkpoint.load() or {"iteration": 0, "theta": 0.1 * rng.normal(), "rng": rng.bit_generator.state}
begun = state["iteration"]
with log.open("a") as file:
    file.write(f"begin {begun}\\n")
while state["iteration"] < ITERATIONS:
    rng.bit_generator.state = state["rng"]
    step = 0.1 * rng.choice([-1.0, 1.0])
    slope = (energy(state["theta"] + step) - energy(state["theta"] - step)) / (2 * step)
    iteration = state["iteration"] + 1
    state = {"iteration": iteration, "theta": state["theta"] - 0.3 * slope, "rng": rng.bit_generator.state}
    with log.open("a") as file:
        file.write(f"run {iteration}\\n")
    checkpoint.save(state)
    with log.open("a") as file:
        file.write(f"kept {iteration}\\n")
    report(progress=iteration / ITERATIONS)
result(energy(state["theta"]))
""".replace("ITERATIONS", str(ITERATIONS))


@dataclass(frozen=True)
class Outcome:
    """What became of one VQE."""

    kills: int
    energy: float | None
    repeated: int
    """Iterations that ran again although their checkpoint was kept."""
    in_flight: int
    """Iterations that ran again since they were killed before their checkpoint was kept."""


class Vqe:
    """One VQE in a folder of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.log = folder / "log"
        args = [str(self.log), str(seed)]
        job = {
            "apiVersion": "qonverge.io/v1alpha1",
            "kind": "HybridJob",
            "metadata": {"name": "vqe"},
            "spec": {"seed": seed, "program": {"python": {"source": _SOURCE, "args": args}}},
        }
        manifest = folder / "vqe.yaml"
        manifest.write_text(yaml.safe_dump(job))
        main = "from qonverge.cli.main import main; main()"
        self._command = [sys.executable, "-c", main, "run", str(manifest), "-o", "json"]
        self._environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def run(self) -> float | None:
        """Run to the end, and return the energy; None where there is none."""
        done = subprocess.run(self._command, env=self._environment, capture_output=True, check=False)
        status = json.loads(done.stdout)["status"]
        return float(status["result"]["value"]) if status["state"] == "Complete" else None

    def killed(self, at: int, *, whole: bool) -> bool:
        """Begin a run, and kill it once so many lines of the log are there; return whether it still ran."""
        with subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            while len(self.lines()) < at and running.poll() is None:
                time.sleep(0.002)
            program = int(self.log.with_name("log.pid").read_text())
            in_work = running.poll() is None
            if whole:
                running.kill()
            if in_work:
                os.kill(program, signal.SIGKILL)
        return in_work


def outcome(vqe: Vqe, kills: int, draw: random.Random) -> Outcome:
    """Kill a VQE so many times, let it end, and return what became of it."""
    done = 0
    for number in range(kills):
        # Two lines for each iteration; the rest is spread over the kills that are left.
        left = max(2, (2 * ITERATIONS - len(vqe.lines())) // (kills - number + 1))
        done += vqe.killed(len(vqe.lines()) + 1 + draw.randint(1, left), whole=number % 2 == 0)
    energy = vqe.run()
    kept, ran, repeated = set[str](), Counter[str](), 0
    for line in vqe.lines():
        what, number_ = line.split()
        if what == "run":
            ran[number_] += 1
            repeated += number_ in kept
        elif what == "kept":
            kept.add(number_)
    twice = sum(count - 1 for count in ran.values())
    return Outcome(done, energy, repeated, twice - repeated)


def _disturbed(seed: int, kills: int, draw: random.Random) -> tuple[Outcome, float | None]:
    """Return what became of a VQE that is killed, and the energy of the same that nobody disturbs."""
    with tempfile.TemporaryDirectory() as folder:
        (whole := Path(folder) / "whole").mkdir()
        (killed := Path(folder) / "killed").mkdir()
        return outcome(Vqe(killed, seed), kills, draw), Vqe(whole, seed).run()


def main() -> None:
    """Measure and print; exit status 1 where a result was lost or an iteration repeated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vqes", type=int, default=20)
    parser.add_argument("--kills", type=int, default=5, help="of each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2, help="VQEs that run beside each other")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found, wrong = list[Outcome](), 0
    draws = [random.Random(f"{arguments.seed}-{number}") for number in range(arguments.vqes)]
    with ThreadPoolExecutor(arguments.at_once) as pool:
        done = pool.map(_disturbed, range(arguments.vqes), itertools.repeat(arguments.kills), draws)
        for seed, (each, expected) in enumerate(done):
            found.append(each)
            wrong += each.energy is None or each.energy != expected
            print(f"{seed}: {each}, undisturbed {expected}", file=sys.stderr, flush=True)
    repeated, in_flight, kills = (
        sum(getattr(each, name) for each in found) for name in ("repeated", "in_flight", "kills")
    )
    what = f"{kills} kills of {len(found)} VQEs"
    rows = [
        report.Row(f"{what}: results lost or other than undisturbed", str(wrong), "0", wrong == 0),
        report.Row(f"{what}: iterations repeated beyond the last checkpoint", str(repeated), "0", repeated == 0),
        report.Row(f"{what}: iterations in flight that ran again", str(in_flight), ""),
    ]
    print(report.table(rows))
    if arguments.json:
        report.write(arguments.json, rows, [asdict(each) for each in found])
    sys.exit(1 if wrong or repeated else 0)


if __name__ == "__main__":
    main()
