"""``qonverge run`` with programs that have a Dask scheduler: workers are processes, beside the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.local.test_ranks import backend, job, status

ROOT = Path(__file__).parents[3]


def dask(source: str, ranks: int = 2, **spec: Any) -> dict[str, Any]:
    made = job(source, ranks, **spec)
    made["spec"]["program"]["framework"] = "Dask"
    return made


def test_the_example_finds_the_lowest_energy() -> None:
    found = status(yaml.safe_load((ROOT / "examples/parallel-dask.yaml").read_text()))
    assert found["state"] == "Complete", found
    assert found["result"]["value"]["energy"] == pytest.approx(-1.857, abs=0.002)
    assert found["progress"] == "100%"


WHERE = """
import os, threading
from dask.distributed import Client
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2, rank, report, result, world_size

def sample(number):
    report(progress=0.5, of_a_task=1)
    result("of a task")
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.measure_all()
    counts = SamplerV2().run([circuit], shots=1000).result()[0].data.meas.get_counts()
    return os.environ["QONVERGE_BACKEND_URL"], os.getpid(), rank(), world_size(), sorted(counts.items())

with Client() as client:
    workers = list(client.nthreads())
    told = [client.submit(sample, n, workers=[each], pure=False) for n, each in enumerate(workers)]
    urls, processes, ranks, sizes, counts = zip(*client.gather(told))
report(of_the_program=1)
result({
    "backends": len(set(urls)), "processes": len({*processes, os.getpid()}), "ranks": ranks, "sizes": sizes,
    "alike": counts.count(counts[0]), "here": [rank(), world_size()],
})
"""


def test_tasks_run_on_the_workers_of_all_ranks_and_are_the_same_on_each() -> None:
    """Each worker calls the backend of its rank; which one runs a task changes nothing of its shots."""
    found = status(dask(WHERE, 2, ranksPerBackend=1, seed=5), backend("one"), backend("two"))
    assert found["state"] == "Complete", found
    value = found["result"]["value"]
    assert value == {
        "backends": 2,
        "processes": 3,
        "ranks": [0, 0],
        "sizes": [1, 1],
        "alike": 2,
        "here": [0, 2],
    }
    # Those of tasks are dropped, whichever worker runs them.
    assert found["metrics"] == {"of_the_program": 1}
    assert found["usage"]["shots"] == 2000


CRASHES = """
import os, signal, sys
from pathlib import Path
from dask.distributed import Client
from qonverge.client import result

def crash(folder):
    marker = Path(folder) / "crashed"
    if {again} or not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done again"

with Client() as client:
    result(client.submit(crash, os.environ["QONVERGE_OUTPUT"]).result())
"""


def test_the_tasks_of_a_worker_that_is_killed_run_again() -> None:
    found = status(dask(CRASHES.replace("{again}", "False")))
    assert found["state"] == "Complete", found
    assert found["result"]["value"] == "done again"


ENDS = """
import os, signal, time
from dask.distributed import Client
from qonverge.client import result

with Client() as client:
    (other,) = (address for address, each in client.scheduler_info()["workers"].items() if str(each["name"]) == "1")
    process = client.submit(os.getpid, workers=[other], pure=False)
    killed = client.submit(os.kill, process, signal.SIGKILL, workers=[other])
    while other in client.nthreads():
        time.sleep(0.01)
    {scheduler}
    result("ended")
"""
KILLED = """
    import subprocess
    subprocess.run(["pkill", "--session", str(os.getsid(0)), "--full", "distributed.cli.dask_scheduler"], check=True)
"""


@pytest.mark.parametrize("scheduler", ["", KILLED.strip()])
def test_a_program_ends_while_a_worker_is_being_started_again(scheduler: str) -> None:
    """With its scheduler, and where that was killed."""
    found = status(dask(ENDS.replace("{scheduler}", scheduler)))
    assert found["state"] == "Complete", found
    assert found["result"]["value"] == "ended"


def test_a_task_that_kills_every_worker_is_the_reason_why_the_program_fails() -> None:
    found = status(dask(CRASHES.replace("{again}", "True"), 1))
    assert (found["state"], found["reason"], found["exitCode"]) == ("Failed", "ProgramFailed", 1), found
    assert "KilledWorker" in found["log"]
    assert "all those workers died while running it" in found["log"]


def test_the_scheduler_takes_nobody_without_the_certificate() -> None:
    source = """
import os, subprocess, sys
from qonverge.client import result
stranger = {name: value for name, value in os.environ.items() if "TLS" not in name}
code = (
    "from distributed import Client; from distributed.security import Security; import sys\\n"
    "temporary = Security.temporary()\\n"
    "Client(sys.argv[1], security=temporary, timeout=5)"
)
known = "from distributed import Client; import sys; Client(sys.argv[1], timeout=60).close()"
address = os.environ["DASK_SCHEDULER_ADDRESS"]
ended = [subprocess.run([sys.executable, "-c", text, address], env=env, capture_output=True, text=True)
         for text, env in ((code, stranger), (known, os.environ))]
result({"codes": [each.returncode for each in ended], "why": ended[0].stderr[-3000:]})
"""
    found = status(dask(source, 1))
    assert found["state"] == "Complete", found
    assert found["result"]["value"]["codes"] == [1, 0], found["result"]["value"]["why"]
    assert "certificate" in found["result"]["value"]["why"].lower()
