"""``qonverge run`` with jobs that depend on others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
ROTATED = HEADER + "input float theta;\nqubit[1] q;\nbit[1] c;\nry(theta) q[0];\nc = measure q;"


def ran(*files: Path) -> tuple[int, str, dict[str, dict[str, Any]]]:
    """Return the exit status, what was said, and the statuses in the order in which the jobs ran."""
    command = [
        sys.executable,
        "-c",
        "from qonverge.cli.main import main; main()",
        "run",
        "-o",
        "json",
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert "Traceback" not in done.stderr
    items = json.loads(done.stdout)["items"] if done.stdout else []
    return done.returncode, done.stderr, {each["metadata"]["name"]: each["status"] for each in items}


def job(name: str, program: dict[str, Any], *depends_on: dict[str, Any], **spec: Any) -> dict[str, Any]:
    body = {"program": program, "dependsOn": list(depends_on), **spec}
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": name}, "spec": body}


def source(text: str) -> dict[str, Any]:
    return {"python": {"source": text}}


def file(folder: Path, name: str, *jobs: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump_all(jobs))
    return path


def test_results_go_from_job_to_job_whatever_file_they_are_in(tmp_path: Path) -> None:
    last = {"python": {"source": LAST, "args": ["$(parameters.ones)"]}, "parameters": {"own": 1}}
    needs: list[dict[str, Any]] = [{"name": "first"}, {"name": "middle", "parameters": {"ones": "counts.1"}}]
    one = file(tmp_path, "one.yaml", job("last", last, *needs))
    takes = {"name": "first", "parameters": {"theta": "angles[1]"}}
    circuit = {"circuit": {"openqasm": ROTATED}}
    first = source("from qonverge.client import result\nresult({'angles': [0, 3.141592653589793]})")
    two = file(tmp_path, "two.yaml", job("middle", circuit, takes, shots=7), job("first", first))
    status, said, found = ran(one, two)
    assert (status, list(found)) == (0, ["first", "middle", "last"]), said
    assert found["middle"]["result"]["counts"] == {"1": 7}
    assert found["last"]["result"]["value"] == {
        "names": ["first", "middle"],
        "angles": [0, 3.141592653589793],
        "counts": {"1": 7},
        "parameters": {"own": 1, "ones": 7},
        "argument": "7",
        "missing": "'the job depends on no job other: there are first, middle'",
    }


LAST = """
import sys
from qonverge.client import inputs, parameters, result

found = inputs()
try:
    found["other"]
except KeyError as error:
    missing = str(error)
result({
    "names": list(found), "angles": found["first"]["angles"], "counts": found["middle"]["counts"],
    "parameters": parameters(), "argument": sys.argv[1], "missing": missing,
})
"""


def test_what_fails_takes_those_along_that_depend_on_it_and_no_others(tmp_path: Path) -> None:
    failing = job("first", source("raise SystemExit(3)"))
    second, third = (source("print('never')") for _ in range(2))
    chain = [failing, job("second", second, {"name": "first"}), job("third", third, {"name": "second"})]
    status, _, found = ran(file(tmp_path, "chain.yaml", *chain, job("apart", source("print('runs')"))))
    assert status == 1
    assert {name: each["reason"] for name, each in found.items()} == {
        "first": "ProgramFailed",
        "second": "DependencyFailed",
        "third": "DependencyFailed",
        "apart": "Completed",
    }
    assert found["second"]["message"] == "first is Failed with ProgramFailed, and this job depends on it"


def test_chains_that_cannot_run_are_refused_before_anything_does(tmp_path: Path) -> None:
    program = source("print('never')")
    circle = file(tmp_path, "circle.yaml", job("a", program, {"name": "b"}), job("b", program, {"name": "a"}))
    status, said, found = ran(circle)
    assert (status, found) == (2, {})
    assert "spec.dependsOn: these jobs wait for each other: a -> b -> a" in said
    alone = file(tmp_path, "alone.yaml", job("a", program, {"name": "elsewhere"}))
    status, said, _ = ran(alone)
    assert status == 2
    assert (
        f"{alone}: spec.dependsOn: there is no HybridJob elsewhere in namespace default among the files given" in said
    )
