"""``qonverge run`` with parallel programs: ranks are processes, which find each other by MPI."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLE = yaml.safe_load((ROOT / "examples/parallel-qnn.yaml").read_text())


def status(*documents: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run", "-o", "json", "-"]
    text = yaml.safe_dump_all(documents)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=600, cwd=ROOT)
    assert done.stdout, done.stderr
    assert not done.stderr.startswith("Traceback")
    assert "\nTraceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["status"]
    return found


def job(source: str, ranks: int | None, **spec: Any) -> dict[str, Any]:
    program: dict[str, Any] = {"python": {"source": source}}
    if ranks is not None:
        program["parallelism"] = ranks
    if (per_backend := spec.pop("ranksPerBackend", None)) is not None:
        program["ranksPerBackend"] = per_backend
    body = {"program": program, **spec}
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": "job"}, "spec": body}


def backend(name: str) -> dict[str, Any]:
    spec = {"simulator": {"engine": "Aer"}, "capacity": {"concurrency": 1}}
    metadata = {"name": name}
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumBackend", "metadata": metadata, "spec": spec}


@cache
def trained(ranks: int, **spec: int) -> dict[str, Any]:
    """Return the result of the example with so many ranks."""
    source = EXAMPLE["spec"]["program"]["python"]["source"]
    found = status(job(source, ranks, seed=EXAMPLE["spec"]["seed"], **spec))
    assert found["state"] == "Complete", found
    value: dict[str, Any] = found["result"]["value"]
    return value


def test_gradients_are_those_of_one_rank() -> None:
    one, two, four = (trained(ranks) for ranks in (1, 2, 4))
    for several in (two, four):
        for part in ("losses", "first gradient", "weights"):
            assert several[part] == pytest.approx(one[part], rel=0, abs=1e-10)
    assert one["losses"][-1] < one["losses"][0] - 0.05
    assert max(map(abs, one["first gradient"])) > 0.1


def test_with_shots_gradients_are_those_of_one_rank_within_their_noise() -> None:
    """The slope of a sample is half the difference of two means of 4000 shots, which deviates by at most 0.0112.

    The gradient is the mean over 24 samples of that times twice the error, at most 4: it deviates by at most 0.0091,
    and by less than that again for the error's own noise.
    """
    exact = trained(1)["first gradient"]
    two, four = (trained(ranks, shots=4000)["first gradient"] for ranks in (2, 4))
    for found in (two, four):
        assert found == pytest.approx(exact, rel=0, abs=5 * 0.012)
        assert max(abs(a - b) for a, b in zip(found, exact, strict=True)) > 1e-6
    assert two != four


UNCHANGED = """
import numpy as np
from mpi4py import MPI
from qonverge.client import result
world = MPI.COMM_WORLD
shards = np.arange(8.0).reshape(world.size, -1) if world.rank == 0 else None
shard = np.empty(8 // world.size)
world.Scatter(shards, shard, root=0)
sums = world.gather(float(shard.sum()), root=0)
total = world.allreduce(float(shard.sum()), op=MPI.SUM)
world.Barrier()
result({"sums": sums, "total": total, "size": world.size})
"""


def test_a_program_of_mpi4py_runs_unchanged() -> None:
    found = status(job(UNCHANGED, 4))
    assert found["state"] == "Complete", found
    assert found["result"]["value"] == {"sums": [1.0, 5.0, 9.0, 13.0], "total": 28.0, "size": 4}


FAILING = """
import sys
from qonverge.client import communicator, rank
world = communicator()
print("hello from", rank())
if rank() == 2:
    sys.exit(3)
world.barrier()
"""


def test_a_rank_that_fails_ends_the_job_and_is_named() -> None:
    """The others wait for it in a barrier."""
    found = status(job(FAILING, 4))
    assert (found["state"], found["reason"], found["exitCode"]) == ("Failed", "ProgramFailed", 3), found
    assert found["message"] == "rank 2 of 4 ended with exit code 3; its last lines are in status.log"
    assert found["log"] == "hello from 2"


LEAVING = """
import json, sys
from qonverge.client import communicator, rank
from qonverge.client.program.rendezvous import left_behind
world = communicator()
files = world.gather([str(file) for file in left_behind()], root=1)
if rank() == 1:
    print(json.dumps(files))
    sys.exit(4)
world.barrier()
"""


def test_nothing_of_ranks_stays_that_were_ended() -> None:
    """Neither of the one that failed nor of those that were killed then."""
    files = json.loads(status(job(LEAVING, 3))["log"])
    assert len(files) == 3
    assert [file for of_rank in files for file in of_rank if Path(file).exists()] == []


def test_an_exception_of_a_rank_ends_the_job() -> None:
    found = status(job(FAILING.replace("sys.exit(3)", 'raise ValueError("no such angle")'), 3))
    assert (found["reason"], found["exitCode"]) == ("ProgramFailed", 1)
    assert found["log"].endswith("ValueError: no such angle")


WHERE = """
import os
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2, communicator, rank, result
circuit = QuantumCircuit(2)
circuit.h([0, 1])
circuit.measure_all()
counts = SamplerV2().run([circuit], shots=1000).result()[0].data.meas.get_counts()
told = communicator().gather([os.environ["QONVERGE_BACKEND_URL"], sorted(counts.items())], root=0)
names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "JOB_COMPLETION_INDEX")
environments = communicator().gather([os.environ[name] for name in names], root=0)
if rank() == 0:
    urls = [url for url, _ in told]
    counts = [counts for _, counts in told]
    result({"backends": [urls.index(url) for url in urls], "counts": counts, "environments": environments})
"""


def test_groups_of_ranks_call_backends_of_their_own() -> None:
    found = status(job(WHERE, 4, ranksPerBackend=2, seed=5), backend("one"), backend("two"), backend("three"))
    assert found["state"] == "Complete", found
    value, backends = found["result"]["value"], found["backends"]
    assert len(set(backends)) == 2
    assert found["backend"] == backends[0]
    assert found["placement"].endswith(f"; its ranks are spread over {', '.join(backends)}")
    # Each by the first rank with the same.
    assert value["backends"] == [0, 0, 2, 2]
    assert value["environments"] == [[str(rank), "4", "127.0.0.1", str(rank)] for rank in range(4)]
    # All have the job's seed, and shots of their own.
    assert len({json.dumps(counts) for counts in value["counts"]}) == 4
    assert found["usage"]["shots"] == 4000


def test_a_job_whose_ranks_need_more_backends_than_there_are_says_so() -> None:
    found = status(job(WHERE, 4, ranksPerBackend=1), backend("one"), backend("two"))
    assert (found["state"], found["reason"]) == ("Failed", "Unschedulable")
    why = "its ranks call 4 different backends and 2 of 2 can take it"
    assert found["message"] == f"{why}; put more ranks on each with program.ranksPerBackend"


def test_the_same_seed_gives_each_rank_the_same_shots() -> None:
    first, again = (status(job(WHERE, 2, seed=5))["result"]["value"]["counts"] for _ in range(2))
    assert first == again
    assert first[0] != first[1]


def test_without_parallelism_a_program_is_alone() -> None:
    source = """
import os
from qonverge.client import rank, result, world_size
result([rank(), world_size(), "WORLD_SIZE" in os.environ])
"""
    assert status(job(source, None))["result"]["value"] == [0, 1, False]
