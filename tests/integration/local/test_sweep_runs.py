"""Sweeps without a cluster: `qonverge run` with a table."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from qonverge.cli.main import cli

TEXT = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] theta;\nqubit q;\nry(theta) q;\n'
FIRST = {"parameters": {"theta": {"values": [0, 0.5, 3]}}}


def run(folder: Path, *arguments: str, jobs: int = 1, **circuit: object) -> Result:
    program = {"sweep": FIRST, "circuit": {"openqasm": TEXT, **circuit}}
    objects = [
        {
            "apiVersion": "qonverge.io/v1alpha1",
            "kind": "HybridJob",
            "metadata": {"name": f"scan-{number}"},
            "spec": {"program": program},
        }
        for number in range(jobs)
    ]
    (folder / "jobs.yaml").write_text(yaml.safe_dump_all(objects))
    return CliRunner().invoke(cli, ["run", str(folder / "jobs.yaml"), *arguments])


def test_every_point_is_run_and_the_table_goes_to_the_standard_output(tmp_path: Path) -> None:
    done = run(tmp_path, "--table", "-", observables=["Z"])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [float(row["theta"]) for row in rows] == [0, 0.5, 3]
    assert [float(row["<Z>"]) for row in rows] == pytest.approx([1, math.cos(0.5), math.cos(3)])


def test_what_no_table_can_have_is_said_before_anything_runs(tmp_path: Path) -> None:
    two = run(tmp_path, "--table", str(tmp_path / "t.csv"), jobs=2, observables=["Z"])
    assert (two.exit_code, two.stdout) == (2, "")
    assert "one job makes one table, and there are 2" in two.stderr
    other = run(tmp_path, "--table", str(tmp_path / "t.txt"), observables=["Z"])
    assert (other.exit_code, other.stdout) == (2, "")
    assert "must end in one of .csv, .json, .parquet" in other.stderr
