"""Sweeps of programs without a cluster: a process for each point, some at the same time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from qonverge.cli.main import cli

# Each process says that it is there, and waits for as many others as it is told.
TOGETHER = """
import os, pathlib, time
from qonverge.client import parameters, result

given, here = parameters(), pathlib.Path(os.environ["SHARED"])
(here / os.environ["QONVERGE_INDEX"]).touch()
while len(list(here.iterdir())) < given["together"]:
    time.sleep(0.02)
seen = len(list(here.iterdir()))
result({"seen": seen, "seed": int(os.environ["QONVERGE_SEED"])})
"""
# Fails where it is told, until it has failed so often.
FAILING = """
import os, pathlib, sys
from qonverge.client import checkpoint, parameters, result

tries = (checkpoint.load() or 0) + 1
checkpoint.save(tries)
(pathlib.Path(os.environ["QONVERGE_OUTPUT"]) / "tries.txt").write_text(str(tries))
if parameters()["t"] == 1 and tries <= parameters()["failures"]:
    print("breaks")
    sys.exit(3)
result(tries)
"""
RETRY = {"rules": [{"action": "Retry", "onExitCodes": {"operator": "In", "values": [3]}}], "backoffSeconds": 0}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("SHARED", str(tmp_path / "shared"))


def run(folder: Path, source: str, *arguments: str, parameters: dict[str, Any], **spec: Any) -> Result:
    sweep = {"parameters": {"t": {"values": [0, 1, 2]}}}
    program = {"sweep": sweep, "parameters": parameters, "python": {"source": source}, **spec.pop("program", {})}
    metadata = {"name": "grid"}
    job = {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": metadata}
    (folder / "job.yaml").write_text(yaml.safe_dump({**job, "spec": {"program": program, "seed": 3, **spec}}))
    return CliRunner().invoke(cli, ["run", str(folder / "job.yaml"), *arguments])


def status_of(done: Result) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(done.stdout)["status"]
    return status


def test_as_many_run_at_the_same_time_as_the_job_says(tmp_path: Path) -> None:
    done = run(tmp_path, TOGETHER, "-o", "json", parameters={"together": 3}, program={"parallelism": 3})
    status = status_of(done)
    assert (done.exit_code, status["state"]) == (0, "Complete"), done.output
    assert [point["value"]["seen"] for point in status["result"]["points"]] == [3, 3, 3]
    assert (status["progress"], status["indexes"]["completedIndexes"]) == ("100%", "0-2")


def test_without_a_word_they_run_one_after_the_other(tmp_path: Path) -> None:
    status = status_of(run(tmp_path, TOGETHER, "-o", "json", parameters={"together": 1}))
    assert [point["value"]["seen"] for point in status["result"]["points"]] == [1, 2, 3]


def test_only_what_failed_is_run_again_and_each_point_has_its_checkpoints_and_files(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    arguments = ("-o", "json", "--files", str(kept))
    done = run(tmp_path, FAILING, *arguments, parameters={"failures": 1}, retryPolicy=RETRY)
    status = status_of(done)
    assert (done.exit_code, status["state"]) == (0, "Complete"), done.output
    assert [point["value"] for point in status["result"]["points"]] == [1, 2, 1]
    assert (status["attempts"], status["failures"]) == (2, 1)
    assert status["failedAttempts"][0]["log"] == "breaks"
    assert [(kept / str(index) / "tries.txt").read_text() for index in range(3)] == ["1", "2", "1"]


def test_a_point_that_fails_leaves_the_table_of_the_others(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    done = run(tmp_path, FAILING, "--table", str(table), "--quiet", parameters={"failures": 9})
    assert done.exit_code == 1
    assert "1 of 3 points failed: point 1 (t=1): the program ended with exit code 3" in done.stderr
    assert table.read_text().splitlines() == [
        "t,value,error",
        "0,1,",
        "1,,ProgramFailed: the program ended with exit code 3",
        "2,1,",
    ]


@pytest.mark.parametrize(
    ("program", "parameters", "sentence"),
    [
        ({}, {"t": 1}, "t is in parameters and in sweep.parameters"),
        ({"sweep": {"parameters": {"t": {"linspace": {"start": 0, "stop": 1, "points": 1001}}}}}, {}, "at most 1000"),
        ({"parameterSchema": {"properties": {"t": {"maximum": 1}}}}, {}, "2 is greater than the maximum of 1"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_it_runs(
    tmp_path: Path, program: dict[str, Any], parameters: dict[str, Any], sentence: str
) -> None:
    done = run(tmp_path, "raise SystemExit(9)", "--quiet", parameters=parameters, program=program)
    assert done.exit_code == 1
    assert sentence in done.stderr
