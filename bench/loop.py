"""The quantum loop through a backend server beside the same loop on Aer in this process: ``python -m bench.loop``.

Both sides run the same program with Qiskit's primitives: Qonverge's on the server, Aer's own
(``qiskit_aer.primitives``) in process. The sides take turns within one run, and each row is the median of the rounds'
ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_aer.primitives import SamplerV2 as AerSampler

from bench.backend import layered_circuit, running_server
from qonverge.client import EstimatorV2, SamplerV2
from qonverge.client.transport.connect import connect

# H2 at 0.735 angstrom, STO-3G, parity mapping with two qubits reduced (Qiskit Nature's documentation).
_H2 = SparsePauliOp.from_list(
    [
        ("II", -1.052373245772859),
        ("IZ", 0.39793742484318045),
        ("ZI", -0.39793742484318045),
        ("ZZ", -0.01128010425623538),
        ("XX", 0.18093119978423156),
    ]
)
_BARS = {"vqe": 1.5, "qaoa": 1.1, "sweep_estimator": 1.15, "sweep_sampler": 1.15, "four_programs": 0.6, "wide": 1.1}
_TITLES = {
    "vqe": "H2 VQE, 2 qubits, Estimator, 200 iterations",
    "qaoa": "10-qubit QAOA, 100 iterations, 4,096 shots",
    "sweep_estimator": "1,000 parameter sets of a 5-qubit circuit in one PUB, Estimator",
    "sweep_sampler": "1,000 parameter sets of a 5-qubit circuit in one PUB, Sampler, 1,024 shots",
    "four_programs": "4 programs at once on 2 workers / one after another",
    "wide": "20 qubits, one circuit at a time",
}

Loop = Callable[[Any, Any], None]
"""Runs a program with (Estimator, Sampler)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison."""

    name: str
    title: str
    bar: float
    ratio: float
    worst: float
    remote_seconds: float
    in_process_seconds: float


def vqe(estimator: Any, _: Any, iterations: int = 200) -> None:
    """Evaluate the energy of H2 for so many parameter sets, one after the other, as an optimiser does."""
    ansatz = efficient_su2(2, reps=1)
    random = np.random.default_rng(7)
    for _ in range(iterations):
        estimator.run([(ansatz, _H2, random.uniform(-np.pi, np.pi, ansatz.num_parameters))]).result()


def qaoa(_: Any, sampler: Any, iterations: int = 100, shots: int = 4096) -> None:
    """Sample a ring's QAOA circuit of two layers for so many parameter sets."""
    circuit = _qaoa_circuit(10, 2)
    random = np.random.default_rng(7)
    for _ in range(iterations):
        values = random.uniform(-np.pi, np.pi, circuit.num_parameters)
        result = sampler.run([(circuit, values)], shots=shots).result()
        result[0].data.meas.get_counts()


def sweep_estimator(estimator: Any, _: Any) -> None:
    """Evaluate one observable for 1,000 parameter sets at once."""
    circuit, values = _sweep()
    estimator.run([(circuit, SparsePauliOp.from_list([("ZZIII", 1.0), ("XIIIX", 0.5)]), values)]).result()


def sweep_sampler(_: Any, sampler: Any) -> None:
    """Sample 1,000 parameter sets at once."""
    circuit, values = _sweep()
    circuit.measure_all()
    sampler.run([(circuit, values)], shots=1024).result()


def _sweep() -> tuple[QuantumCircuit, np.ndarray[Any, Any]]:
    circuit = efficient_su2(5, reps=2)
    return circuit, np.random.default_rng(7).uniform(-np.pi, np.pi, (1000, circuit.num_parameters))


def _qaoa_circuit(qubits: int, layers: int) -> QuantumCircuit:
    gammas, betas = ParameterVector("gamma", layers), ParameterVector("beta", layers)
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.rzz(gammas[layer], qubit, (qubit + 1) % qubits)
        circuit.rx(betas[layer], range(qubits))
    circuit.measure_all()
    return circuit


def _compare(name: str, remote: Callable[[], object], local: Callable[[], object], rounds: int) -> Row:
    remote()
    local()  # both are warm now
    pairs = [(_seconds(remote), _seconds(local)) for _ in range(rounds)]
    ratios = [ours / theirs for ours, theirs in pairs]
    return Row(
        name,
        _TITLES[name],
        _BARS[name],
        statistics.median(ratios),
        max(ratios),
        statistics.median(ours for ours, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
    )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _at_once(programs: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=program) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _four_programs(url: str, theirs: tuple[Any, Any], rounds: int) -> Row:
    """Half of the programs call an estimator, half a sampler; each has primitives and connections of its own."""
    loops: list[Loop] = [vqe, qaoa] * 2
    programs: list[Callable[[], object]] = [
        partial(loop, EstimatorV2(connect(url)), SamplerV2(connect(url))) for loop in loops
    ]

    def in_process() -> None:
        for loop in loops:
            loop(*theirs)

    return _compare("four_programs", partial(_at_once, programs), in_process, rounds)


def _wide(url: str, rounds: int) -> Row:
    sampler, simulator = SamplerV2(connect(url), seed=1), AerSimulator(seed_simulator=1)
    circuit = layered_circuit(20, 3)
    return _compare(
        "wide",
        lambda: sampler.run([circuit], shots=1024).result(),
        lambda: simulator.run(circuit, shots=1024, memory=True).result(),
        rounds * 2,
    )


def run(rounds: int = 5, only: str | None = None) -> list[Row]:
    """Measure every row, or the named one."""
    loops: dict[str, Loop] = {
        "vqe": vqe,
        "qaoa": qaoa,
        "sweep_estimator": sweep_estimator,
        "sweep_sampler": sweep_sampler,
    }
    rows = []
    with running_server("--concurrency", "2") as server:
        runner = connect(server.url)
        ours = EstimatorV2(runner, seed=1), SamplerV2(runner, seed=1)
        theirs = AerEstimator(), AerSampler(seed=1)
        for name, loop in loops.items():
            if only in (None, name):
                rows.append(_compare(name, partial(loop, *ours), partial(loop, *theirs), rounds))
        if only in (None, "four_programs"):
            rows.append(_four_programs(server.url, theirs, rounds))
        if only in (None, "wide"):
            rows.append(_wide(server.url, rounds))
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    lines = [f"{'':74} {'bar':>6} {'ratio':>6} {'worst':>6} {'remote s':>9} {'local s':>9}"]
    lines += [
        f"{row.title:74} {row.bar:6.2f} {row.ratio:6.2f} {row.worst:6.2f} {row.remote_seconds:9.3f} "
        f"{row.in_process_seconds:9.3f}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write the JSON where wanted."""
    parser = argparse.ArgumentParser(prog="bench.loop", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(_BARS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = run(options.rounds, options.only)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
