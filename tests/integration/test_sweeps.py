"""A sweep with a real API server: one task for all points, and their table as the command fetches it."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
from pathlib import Path

import pytest
from arro3.io import read_parquet

from tests.integration.conftest import Lab, job

PROGRAM = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] theta;
input float[64] phi;
qubit[1] q;
ry(theta) q[0];
rz(phi) q[0];
"""
SWEEP = {"theta": {"linspace": {"start": 0, "stop": 3, "points": 4}}, "phi": {"values": [0, 1]}}


def table(lab: Lab, name: str, path: str) -> str:
    main = "from qonverge.cli.main import main; main()"
    command = [sys.executable, "-c", main, "result", name, "-n", "default", "--table", path]
    return subprocess.run(command, capture_output=True, check=True, text=True, env=lab.environment()).stdout


def test_a_sweep_is_one_task_and_its_points_are_one_table(served: Lab, tmp_path: Path) -> None:
    exact = job("exact")
    exact["spec"] = {
        "program": {"sweep": {"parameters": SWEEP}, "circuit": {"openqasm": PROGRAM, "observables": ["Z", {"X": 2}]}}
    }
    counted = job("counted")
    text = PROGRAM + "bit[1] c;\nc = measure q;\n"
    counted["spec"] = {"shots": 50, "program": {"sweep": {"parameters": SWEEP}, "circuit": {"openqasm": text}}}
    many = {"linspace": {"start": 0, "stop": 1, "points": 101}}
    refused = job("refused")
    refused["spec"] = {
        "program": {"sweep": {"parameters": {"theta": many, "phi": many}}, "circuit": {"openqasm": PROGRAM}}
    }
    served.apply(exact, counted, refused)

    points = served.ended("exact")["result"]["points"]
    assert [(point["parameters"]["phi"], point["parameters"]["theta"]) for point in points] == [
        (phi, theta) for phi in (0, 1) for theta in (0, 1, 2, 3)
    ]
    for point in points:
        phi, theta = point["parameters"]["phi"], point["parameters"]["theta"]
        assert point["expectationValues"] == pytest.approx([math.cos(theta), 2 * math.sin(theta) * math.cos(phi)])

    status = served.ended("counted")
    assert status["state"] == "Complete"
    # One attempt, and the shots of all points.
    assert (status["attempts"], status["usage"]["shots"]) == (1, 400)
    assert [sum(point["counts"].values()) for point in status["result"]["points"]] == [50] * 8
    rows = list(csv.DictReader(io.StringIO(table(served, "counted", "-"))))
    assert [int(row["0"]) + int(row["1"]) for row in rows] == [50] * 8
    assert rows[0] == {"phi": "0", "theta": "0", "0": "50", "1": "0"}

    path = tmp_path / "exact.parquet"
    table(served, "exact", str(path))
    found = read_parquet(str(path)).read_all()
    assert found.column_names == ["phi", "theta", "<Z>", "<Z> error", "<2 X>", "<2 X> error"]
    assert found["<Z>"].to_pylist() == [point["expectationValues"][0] for point in points]

    failed = served.ended("refused")
    assert (failed["reason"], failed["state"]) == ("InvalidProgram", "Failed")
    assert "10201 points (101 x 101), and at most 10000 are possible" in failed["message"]
