"""Sweeps of programs: real Indexed Jobs, real programs as their pods' processes, and one result of all points.

No kubelet runs here: the tests run what the pods would, and say how that ended.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import ControlPlane
from e2e.layers import require
from qonverge.documents.grids import of_ranges
from tests.integration.conftest import Lab, backend, eventually, job, running_plane
from tests.integration.kube_client import Refused
from tests.integration.test_stored_output import Folder, fetched
from tests.integration.test_tokens import Program

INDEX = "batch.kubernetes.io/job-completion-index"
# Fails at one point, the first time or always; what it returns is small or large, and it leaves a file.
SOURCE = """
import os, pathlib, sys
from qonverge.client import parameters, result

given = parameters()
print(sys.argv[1], given)
if given["theta"] == 2 and given["mode"] == "b" and os.environ["ATTEMPT"] <= str(given["fails"]):
    sys.exit(3)
(pathlib.Path(os.environ["QONVERGE_OUTPUT"]) / "notes.txt").write_text(given["mode"])
result({"energy": given["theta"] * 2, "samples": "x" * given["size"]})
"""
RETRY = {"action": "Retry", "onExitCodes": {"operator": "In", "values": [3]}}
ALL = [{"mode": mode, "theta": theta} for mode in ("a", "b") for theta in (1, 2)]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server whose Jobs get pods."""
    require("integration")
    with running_plane(tmp_path_factory.mktemp("plane"), "job-controller") as plane:
        yield plane


def swept(name: str, *, fails: int = 0, size: int = 1, **spec: Any) -> dict[str, Any]:
    sweep = {"parameters": {"theta": {"values": [1, 2]}, "mode": {"strings": ["a", "b"]}}}
    python = {"source": SOURCE, "args": ["--theta=$(parameters.theta)"]}
    program = {"python": python, "sweep": sweep, "parallelism": 2, "parameters": {"fails": fails, "size": size}}
    made = job(name, program=program, seed=7, **spec)
    del made["spec"]["shots"]
    return made


def started(lab: Lab, store: Folder) -> None:
    """Begin with an operator, a store and a backend for several programs."""
    lab.apply(backend("aer", capacity={"concurrency": 1, "programs": 4}))
    given = store.settings()
    lab.start_operator(QONVERGE_OUTPUT_STORES=json.dumps([given]), QONVERGE_OUTPUT_STORE=given["name"])
    lab.ready()
    lab.serve("aer")


def waiting(lab: Lab, batch: str, count: int) -> list[dict[str, Any]]:
    """Wait until so many pods of a batch Job have not ended, and return them by index."""

    def there() -> list[dict[str, Any]] | None:
        pods = [
            pod
            for pod in lab.list("pod", "default")
            if (pod["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-name") == batch
            and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        ]
        return sorted(pods, key=_index) if len(pods) == count else None

    found: list[dict[str, Any]] = eventually(there, f"{count} pods of {batch}")
    return found


def _index(pod: dict[str, Any]) -> int:
    return int(pod["metadata"]["annotations"][INDEX])


def say(lab: Lab, pod: dict[str, Any], exit_code: int | None = None, **more: Any) -> None:
    """Do what a kubelet does: say how a pod is."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    state: dict[str, Any] = {"running": {"startedAt": now}}
    if exit_code is not None:
        state = {"terminated": {"exitCode": exit_code, "reason": "Error", "startedAt": now, "finishedAt": now}}
    container = {"name": "program", "state": state, "ready": False, "restartCount": 0, "image": "i", "imageID": "i"}
    phase = "Running" if exit_code is None else "Failed" if exit_code else "Succeeded"
    status = {"phase": phase, "startTime": now, "containerStatuses": [container], **more}
    lab.patch("pod", pod["metadata"]["name"], {"status": status}, "status")


def run(lab: Lab, pod: dict[str, Any], folder: Path, attempt: int = 1) -> str:
    """Run a pod's program to its end as a process, say how it ended, and return what it printed."""
    say(lab, pod)
    (container,) = pod["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    here = folder / pod["metadata"]["name"]
    (here / "output").mkdir(parents=True)
    (here / "token").write_text(Program(lab, pod["metadata"]["labels"]["qonverge.io/job-name"]).token(attempt))
    (here / "program.py").write_text(SOURCE)
    for variable in ("QONVERGE_REPORT_URL", "QONVERGE_STORE_URL"):
        given[variable] = f"http://127.0.0.1:{lab.reports}" + given[variable].partition(".svc:8080")[2]
    own = {"QONVERGE_OUTPUT": str(here / "output"), "QONVERGE_TOKEN_FILE": str(here / "token")}
    own |= {"ATTEMPT": str(attempt), "JOB_COMPLETION_INDEX": str(_index(pod))}
    del given["QONVERGE_METRICS_LISTEN"], given["QONVERGE_TERMINATION_LOG"]
    command = [sys.executable, "-m", "qonverge.client.program.run", str(here / "program.py"), *container["args"]]
    done = subprocess.run(command, env={**os.environ, **given, **own}, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    say(lab, pod, done.returncode)
    return done.stdout


def run_all(lab: Lab, batch: str, folder: Path, attempt: int = 1) -> list[str]:
    """Run all pods of an attempt at 4 points, two at a time, and return what they printed."""
    return [run(lab, pod, folder, attempt) for _ in range(2) for pod in waiting(lab, batch, 2)]


def test_a_point_that_is_evicted_or_fails_is_run_again_and_no_other(lab: Lab, tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    started(lab, store)
    lab.apply(swept("grid", fails=1, retryPolicy={"rules": [RETRY], "backoffSeconds": 0}))
    running = Program(lab, "grid")
    running.placed()
    first = running.object(1)
    spec = lab.get("job", first)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 2)
    evicted, other = waiting(lab, first, 2)
    say(lab, evicted)
    eventually(lambda: running.status()["state"] == "Running", "the start of a point")
    assert "--theta=2 {'fails': 1, 'size': 1, 'mode': 'a', 'theta': 2}" in run(lab, other, tmp_path)
    eventually(lambda: running.status()["progress"] == "25%", "that one point has ended")
    assert running.status()["indexes"] == {
        "total": 4,
        "succeeded": 1,
        "failed": 0,
        "completedIndexes": "1",
        "failedIndexes": "",
    }
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "lastTransitionTime": now,
    }
    say(lab, evicted, 143, conditions=[target])
    eventually(lambda: [_index(pod) for pod in waiting(lab, first, 2)] == [0, 2], "another pod for the evicted one")
    for pod in waiting(lab, first, 2):
        run(lab, pod, tmp_path)
    (last,) = waiting(lab, first, 1)
    run(lab, last, tmp_path)
    running.placed(attempt=2)
    status = running.status()
    assert (status["failures"], status["indexes"]["completedIndexes"]) == (1, "0-2")
    message = status["failedAttempts"][0]["message"]
    assert message == "point 3 (mode=b, theta=2): the program ended with exit code 3"
    (again,) = waiting(lab, running.object(2), 1)
    assert "'mode': 'b', 'theta': 2" in run(lab, again, tmp_path, attempt=2)
    ended = lab.ended("grid")
    assert (ended["state"], ended["message"]) == ("Complete", "4 points completed on aer")
    assert [(point["index"], point["parameters"]) for point in ended["result"]["points"]] == list(enumerate(ALL))
    assert [point["value"]["energy"] for point in ended["result"]["points"]] == [2, 4, 2, 4]
    assert store.keys() == [f"grid/files/{index}/notes.txt" for index in range(4)]
    assert ended["files"]["count"] == 4
    done = fetched(lab, "grid", "--table", "-")
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert [(row["mode"], row["theta"], row["energy"]) for row in rows] == [
        ("a", "1", "2"),
        ("a", "2", "4"),
        ("b", "1", "2"),
        ("b", "2", "4"),
    ]


def test_where_a_point_fails_the_job_tells_which_and_has_the_results_of_others(lab: Lab, tmp_path: Path) -> None:
    started(lab, Folder(tmp_path / "store"))
    lab.apply(swept("partly", fails=9))
    running = Program(lab, "partly")
    running.placed()
    run_all(lab, running.object(1), tmp_path)
    ended = lab.ended("partly")
    assert (ended["state"], ended["reason"], ended["exitCode"]) == ("Failed", "PointsFailed", 3)
    assert ended["message"].startswith("1 of 4 points failed: point 3 (mode=b, theta=2): the program ended with exit")
    assert [of_ranges(ended["indexes"][name]) for name in ("completedIndexes", "failedIndexes")] == [[0, 1, 2], [3]]
    points = ended["result"]["points"]
    assert [point["value"]["energy"] for point in points[:3]] == [2, 4, 2]
    assert points[3]["error"] == "ProgramFailed: the program ended with exit code 3"
    table = fetched(lab, "partly", "--table", "-")
    assert table.stdout.decode().splitlines()[-1] == "b,2,,,ProgramFailed: the program ended with exit code 3"


def test_results_that_the_status_has_no_room_for_are_one_in_the_store(lab: Lab, tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    started(lab, store)
    lab.apply(swept("large", size=400_000))
    running = Program(lab, "large")
    running.placed()
    run_all(lab, running.object(1), tmp_path)
    ended = lab.ended("large")
    assert ended["state"] == "Complete", ended
    kept = [f"large/files/{index}/notes.txt" for index in range(4)]
    eventually(lambda: store.keys() == [*kept, "large/result.json"], "that points are kept no more one by one")
    done = fetched(lab, "large", "-o", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stderr
    points = json.loads((tmp_path / "result.json").read_bytes())["points"]
    assert [point["parameters"] for point in points] == ALL
    assert [point["value"]["energy"] for point in points] == [2, 4, 2, 4]
    assert {len(point["value"]["samples"]) for point in points} == {400_000}


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ({"container": {"image": "x"}}, "a container has its values in program.parameters"),
        ({"ranksPerBackend": 1}, "leave ranksPerBackend out"),
        ({"framework": "Dask"}, "leave one of them out"),
        ({"python": {"source": "x", "pauseAfterSeconds": 5}}, "leave it out with sweep"),
        ({"circuit": {"openqasm": "x"}}, "strings are for programs"),
    ],
)
def test_what_makes_no_sense_is_refused_by_the_api_server(lab: Lab, program: dict[str, Any], sentence: str) -> None:
    made = swept("senseless")
    given = made["spec"]["program"]
    if not program.keys() <= {"python", "ranksPerBackend", "framework"}:
        del given["python"], given["parallelism"]
    given |= program
    with pytest.raises(Refused) as refused:
        lab.apply(made)
    assert sentence in str(refused.value)
