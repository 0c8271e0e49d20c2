"""Memory that a large result takes on its way: ``python -m bench.large``.

100 parameter sets of a circuit of 8 measured qubits with a million shots each, every shot wanted: 100 MB. What is
counted is the most resident memory of each process over what it had before, with a small task behind it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bench.backend import running_server
from bench.memory import peak
from qonverge.client import SamplerV2
from qonverge.client.transport.connect import connect

SETS, SHOTS, QUBITS = 100, 1_000_000, 8
BAR = 2.0
_MIB = 1024**2
# A worker needs twelve bytes for each shot's place in the order besides its bits.
_SERVER_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB: the payload, and the most that each process had over its idle memory."""

    payload: float
    server: float
    client: float
    worker: float
    """The largest of the workers; it is their engine's, not the transport's."""

    @property
    def holds(self) -> bool:
        """Whether neither end had more than the bar allows."""
        return max(self.server, self.client) <= BAR * self.payload


def circuit() -> QuantumCircuit:
    """Return the circuit."""
    angle = Parameter("t")
    made = QuantumCircuit(QUBITS)
    made.ry(angle, range(QUBITS))
    made.measure_all()
    return made


def ask(url: str, sets: int, shots: int) -> dict[str, float]:
    """Be the client: return MiB of the payload, and the peak over the idle memory."""
    sampler, wanted = SamplerV2(connect(url), seed=1), circuit()
    sampler.run([(wanted, np.zeros((1, 1)))], shots=100).result()
    own = psutil.Process()
    _reset_peak(own.pid)
    idle = own.memory_info().rss / _MIB
    result = sampler.run([(wanted, np.linspace(0, 3, sets).reshape(sets, 1))], shots=shots).result()
    bits = result[0].data.meas
    assert bits.array.shape == (sets, shots, 1)
    return {"payload": bits.array.nbytes / _MIB, "client": (peak(own.pid) or 0.0) - idle}


def run(sets: int = SETS, shots: int = SHOTS) -> Memory:
    """Measure.

    Raises:
        RuntimeError: the server does not start, or the client fails.
    """
    with running_server("--concurrency", "2", "--memory-limit", str(_SERVER_BYTES)) as server:
        ask(server.url, 1, 100)
        workers = server.process.children()
        idle = {process.pid: process.memory_info().rss / _MIB for process in (server.process, *workers)}
        for pid in idle:
            _reset_peak(pid)
        done = subprocess.run(
            [sys.executable, "-m", "bench.large", "--client", server.url, "--sets", str(sets), "--shots", str(shots)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the client of a large result failed: {done.stderr}")
        most = {pid: (peak(pid) or 0.0) - before for pid, before in idle.items()}
        return Memory(
            **json.loads(done.stdout),
            server=most[server.process.pid],
            worker=max(most[process.pid] for process in workers),
        )


def _reset_peak(pid: int) -> None:
    """Begin the process's peak anew (proc(5), clear_refs); elsewhere than on Linux there is none."""
    path = Path(f"/proc/{pid}/clear_refs")
    if path.exists():
        path.write_text("5")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.large", description=__doc__)
    parser.add_argument("--client", metavar="URL", help="be the client of this server")
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--shots", type=int, default=SHOTS)
    options = parser.parse_args()
    if options.client:
        print(json.dumps(ask(options.client, options.sets, options.shots)))
        return
    found = run(options.sets, options.shots)
    print(
        f"{found.payload:.0f} MiB: server {found.server:.0f}, client {found.client:.0f}, worker {found.worker:.0f} MiB "
        f"over idle; bar {BAR:g} x {'holds' if found.holds else 'does NOT hold'}"
    )


if __name__ == "__main__":
    main()
