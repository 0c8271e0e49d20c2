"""Times and peak memory of real tasks on the engine: ``python -m bench.runtimes FILE``.

Circuits of varied kind and size run one after the other in a worker of this process, Aer behind it, as a backend pod's
worker would run them. What is written is the telemetry that forecasts learn from, a line for each task in the order in
which they ran; ``bench.forecasts`` replays it.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2

from bench.backend import Travelling, layered_circuit
from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.choice import choose
from qonverge.backend.executors.worker import Worker
from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.observables import grouped
from qonverge.forecast.features import Work
from qonverge.wire.messages import Observable, Pub, Task

_CONFIG = EngineConfig(cpus=2, memory_bytes=6 * 1024**3)
# Amplitudes touched by a task, about: more would take minutes here.
_MOST_UPDATES = 2e9
FIELDS = ("method", *(field.name for field in dataclasses.fields(Work)), "seconds", "peak_bytes")


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """A task to time."""

    circuit: QuantumCircuit
    shots: int
    sets: int = 1
    observables: tuple[Observable, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Timed:
    """A task that ran."""

    method: str
    work: Work
    seconds: float
    peak_bytes: int
    """Memory that the process took at most during the task, beyond what it had before."""


def _layered(random: np.random.Generator) -> Sample:
    return Sample(layered_circuit(int(random.integers(2, 22)), int(random.integers(2**31))), _shots(random))


def _fourier(random: np.random.Generator) -> Sample:
    qubits = int(random.integers(2, 20))
    circuit = QuantumCircuit(qubits)
    circuit.x(range(0, qubits, 2))
    for target in range(qubits):
        circuit.h(target)
        for control in range(target + 1, qubits):
            circuit.cp(np.pi / 2 ** (control - target), control, target)
    circuit.measure_all()
    return Sample(circuit, _shots(random))


def _chain(random: np.random.Generator) -> Sample:
    """A chain that entangles little: wide ones run as matrix product states."""
    qubits, layers = int(random.integers(4, 60)), int(random.integers(1, 5))
    circuit = QuantumCircuit(qubits)
    for _ in range(layers):
        for qubit in range(qubits):
            circuit.ry(float(random.uniform(0, np.pi)), qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return Sample(circuit, _shots(random))


def _clifford(random: np.random.Generator) -> Sample:
    qubits, layers = int(random.integers(12, 200)), int(random.integers(1, 20))
    circuit = QuantumCircuit(qubits)
    for _ in range(layers):
        circuit.h(range(qubits))
        order = random.permutation(qubits).tolist()
        for control, target in zip(order[::2], order[1::2], strict=False):
            circuit.cx(control, target)
    circuit.measure_all()
    return Sample(circuit, _shots(random))


def _variational(random: np.random.Generator) -> Sample:
    """Exact or sampled energies of an Ising chain, for one or many parameter sets."""
    qubits = int(random.integers(2, 14))
    terms = [("".join("Z" if k in (i, i + 1) else "I" for k in range(qubits)), 1.0) for i in range(qubits - 1)]
    terms += [("".join("X" if k == i else "I" for k in range(qubits)), 0.5) for i in range(qubits)]
    circuit = efficient_su2(qubits, reps=int(random.integers(1, 4))).decompose()
    shots = 0 if random.random() < 0.6 else _shots(random)
    return Sample(circuit, shots, int(2 ** random.uniform(0, 7)), (tuple(terms),))


def _sweep(random: np.random.Generator) -> Sample:
    qubits, angle = int(random.integers(2, 14)), Parameter("angle")
    circuit = QuantumCircuit(qubits)
    for _ in range(int(random.integers(1, 5))):
        circuit.rx(angle, range(qubits))
        for qubit in range(qubits - 1):
            circuit.rzz(angle, qubit, qubit + 1)
    circuit.measure_all()
    return Sample(circuit, _shots(random), int(2 ** random.uniform(0, 7)))


def _dynamic(random: np.random.Generator) -> Sample:
    """A circuit that goes on after a measurement, so that each shot is a run of its own."""
    qubits = int(random.integers(2, 11))
    circuit = QuantumCircuit(qubits, qubits)
    for _ in range(int(random.integers(2, 6))):
        for qubit in range(qubits):
            circuit.ry(float(random.uniform(0, np.pi)), qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
        circuit.measure(0, 0)
    circuit.measure(range(qubits), range(qubits))
    return Sample(circuit, int(10 ** random.uniform(2, 3.5)))


def _broad(random: np.random.Generator) -> Sample:
    """A few gates on a state that takes memory."""
    qubits = int(random.integers(21, 25))
    circuit = QuantumCircuit(qubits)
    circuit.ry(0.3, range(qubits))
    for _ in range(10):
        first, second = random.choice(qubits, 2, replace=False).tolist()
        circuit.cx(first, second)
    circuit.measure_all()
    return Sample(circuit, _shots(random))


_FAMILIES: tuple[Callable[[np.random.Generator], Sample], ...] = (
    *(_layered, _fourier, _chain, _clifford, _variational, _sweep, _dynamic),
)
# They take seconds each, so there are few.
_BROAD_SHARE = 0.05


def _shots(random: np.random.Generator) -> int:
    return int(10 ** random.uniform(2, 4))


def samples(count: int, seed: int) -> Iterator[Sample]:
    """Yield so many different tasks of all families in random order, none that would take minutes."""
    random = np.random.default_rng(seed)
    made = 0
    while made < count:
        family = _broad if random.random() < _BROAD_SHARE else _FAMILIES[int(random.integers(len(_FAMILIES)))]
        sample = family(random)
        analysis = analyse(sample.circuit)
        narrow = 2.0 ** min(analysis.num_qubits, 11 if analysis.clifford else 3 * analysis.bond_bits + 6)
        runs = sample.sets * (sample.shots if analysis.mid_circuit else 1)
        if runs * analysis.size * (100 + narrow) <= _MOST_UPDATES:
            made += 1
            yield sample


def timed(worker: Worker, sample: Sample, identity: str, seed: int) -> Timed:
    """Run a task as a worker does that has not seen its circuit, and return what it took."""
    travelling = Travelling.of(sample.circuit)
    random = np.random.default_rng(seed)
    parameters = {parameter.name: random.uniform(0, np.pi, sample.sets) for parameter in sample.circuit.parameters}
    pub = Pub(travelling.digest, parameters, sample.shots or None, None, sample.observables)
    task = Task(identity, (pub,), {travelling.digest: travelling.qpy})
    analysis = analyse(sample.circuit)
    work = Work.of(
        analysis,
        sample.shots,
        sets=pub.sets,
        terms=sum(len(terms) for terms in sample.observables),
        bases=len(grouped(sample.observables)) if sample.shots and sample.observables else 1,
    )
    before = _reset_peak()
    start = time.perf_counter()
    worker.run(task, seed, _CONFIG.cpus)
    seconds = time.perf_counter() - start
    method = choose(_CONFIG.method, analysis, _CONFIG.circuit_bytes).method
    return Timed(method, work, seconds, max(0, _status("VmHWM") - before))


def _reset_peak() -> int:
    """Make the most memory that this process had what it has now (Linux, see proc(5)), and return it in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def record(path: Path, count: int, seed: int) -> None:
    """Run so many tasks and write a line for each."""
    worker = Worker(_CONFIG)
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(FIELDS)
        for index, sample in enumerate(samples(count, seed)):
            got = timed(worker, sample, f"sample-{index}", seed + index)
            figures = (int(figure) for figure in dataclasses.astuple(got.work))
            rows.writerow((got.method, *figures, f"{got.seconds:.4g}", got.peak_bytes))
            file.flush()


def read(path: Path) -> list[Timed]:
    """Return the tasks of a record, in the order in which they ran."""
    with path.open(newline="") as file:
        return [
            Timed(
                row["method"],
                Work(**{field.name: int(row[field.name]) for field in dataclasses.fields(Work)}),  # type: ignore[arg-type]
                float(row["seconds"]),
                int(row["peak_bytes"]),
            )
            for row in csv.DictReader(file)
        ]


def main(arguments: list[str] | None = None) -> None:
    """Record."""
    parser = argparse.ArgumentParser(prog="bench.runtimes", description="Record what tasks take on the engine.")
    parser.add_argument("file", type=Path, help="CSV that is written, a line for each task")
    parser.add_argument("--count", type=int, default=800, help="tasks")
    parser.add_argument("--seed", type=int, default=31, help="of the circuits")
    options = parser.parse_args(arguments)
    record(options.file, options.count, options.seed)


if __name__ == "__main__":
    main()
