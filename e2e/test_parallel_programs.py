"""Parallel programs in real pods: ranks of MPI that find each other by their Service, and Dask with its workers."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from e2e.workspace import Workspace, program

_SAMPLE = """
import socket
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2

def sample(number):
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    counts = SamplerV2().run([circuit], shots=100).result()[0].data.meas.get_counts()
    return socket.gethostname(), counts["1"]
"""
_MPI = """
from qonverge.client import communicator, rank, result
world = communicator()
total = world.allreduce(sample(rank())[1])
hosts = world.gather(socket.gethostname(), root=0)
if rank() == 0:
    result({"total": total, "hosts": len(set(hosts))})
"""
_DASK = """
from dask.distributed import Client
from qonverge.client import result
with Client() as client:
    workers = list(client.nthreads())
    told = client.gather([client.submit(sample, n, workers=[each]) for n, each in enumerate(workers)])
    result({"total": sum(ones for _, ones in told), "hosts": len({host for host, _ in told})})
"""


def parallel(name: str, source: str, **fields: Any) -> dict[str, Any]:
    """Return a program of two ranks."""
    made = program(name, dedent(_SAMPLE + source))
    made["spec"]["program"] |= {"parallelism": 2, **fields}
    return made


def test_ranks_and_workers_of_pods_find_each_other(workspace: Workspace) -> None:
    workspace.apply(parallel("mpi", _MPI), parallel("dask", _DASK, framework="Dask"))
    for name in ("mpi", "dask"):
        status = workspace.completed(name)
        assert status["result"]["value"] == {"total": 200, "hosts": 2}, status
        assert status["usage"]["shots"] == 200
    # Workers end well with their program.
    pods = workspace.items("pods", "--selector=batch.kubernetes.io/job-name")
    assert {pod["status"]["phase"] for pod in pods} == {"Succeeded"}
    assert len(pods) == 4
