"""Tables and pictures of sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from arro3.io import read_parquet

from qonverge.api import HybridJob
from qonverge.cli.plot import write
from qonverge.cli.sweep_plot import series_of, varying_parameters
from qonverge.cli.table import NoTable, check_table_path, columns_of, write_table
from qonverge.local.manifests import ManifestError


def job(parameters: dict[str, list[float]], points: list[dict[str, Any]], *observables: str, **more: Any) -> HybridJob:
    sweep = {"parameters": {name: {"values": values} for name, values in parameters.items()}, **more}
    program = {"sweep": sweep, "circuit": {"openqasm": "x", "observables": list(observables)}}
    status = {"state": "Complete", "result": {"points": points, "shots": 4}}
    return HybridJob.model_validate({"metadata": {"name": "scan"}, "spec": {"program": program}, "status": status})


COUNTED = job(
    {"t": [0, 1]},
    [{"parameters": {"t": 0}, "counts": {"0": 4}}, {"parameters": {"t": 1}, "counts": {"0": 1, "1": 3}}],
)
VALUES = [
    {"parameters": {"a": a, "b": b}, "expectationValues": [a + b, a - b], "standardErrors": [0.1, 0.2]}
    for a in (1.0, 2.0)
    for b in (3.0, 4.0, 5.0)
]


def test_outcomes_that_were_not_measured_at_a_point_are_0_there() -> None:
    assert columns_of(COUNTED, COUNTED.status.result) == {"t": [0, 1], "0": [4, 1], "1": [0, 3]}


def test_the_same_table_in_three_formats(tmp_path: Path) -> None:
    measured = job({"a": [1, 2], "b": [3, 4, 5]}, VALUES, "ZZ", "ZZ")
    columns = columns_of(measured, measured.status.result)
    assert list(columns) == ["a", "b", "<ZZ>", "<ZZ> error", "<ZZ> 2", "<ZZ> 2 error"]
    for ending in ("csv", "json", "parquet"):
        write_table(columns, tmp_path / f"t.{ending}")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[:2] == ["a,b,<ZZ>,<ZZ> error,<ZZ> 2,<ZZ> 2 error", "1.0,3.0,4.0,0.1,-2.0,0.2"]
    rows = json.loads((tmp_path / "t.json").read_text())
    assert rows[5] == {"a": 2, "b": 5, "<ZZ>": 7, "<ZZ> error": 0.1, "<ZZ> 2": -3, "<ZZ> 2 error": 0.2}
    table = read_parquet(str(tmp_path / "t.parquet")).read_all()
    assert {name: table[name].to_pylist() for name in table.column_names} == columns
    # Nothing else is left in the folder.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.json", "t.parquet"]


def test_what_makes_no_table_is_said() -> None:
    with pytest.raises(ManifestError, match=r"must end in one of \.csv, \.json, \.parquet, or be - for CSV"):
        check_table_path(Path("t.xls"))
    with pytest.raises(NoTable, match="scan has no points of a sweep: it is Complete"):
        columns_of(COUNTED, None)
    many = [{"parameters": {"t": 0}, "counts": {format(number, "014b"): 1 for number in range(5000)}}]
    with pytest.raises(NoTable, match="5000 different outcomes"):
        columns_of(COUNTED, job({"t": [0]}, many).status.result)


def test_sweeps_are_drawn(tmp_path: Path) -> None:
    plane = job({"a": [1, 2], "b": [3, 4, 5]}, VALUES, "ZZ", "XX")
    for number, each in enumerate((COUNTED, plane, job({"a": [1], "b": [3, 4, 5]}, VALUES[:3], "ZZ", "XX"))):
        assert write([each], tmp_path / f"{number}.svg", (), "-o")
    # Two heat maps, with the axes and the bars of their colours named.
    text = (tmp_path / "1.svg").read_text()
    assert all(f"<!-- {label} -->" in text for label in ("a", "b", "scan: &lt;ZZ&gt;", "&lt;XX&gt;"))
    assert "<!-- P(0) -->" in (tmp_path / "0.svg").read_text()


def test_series_are_values_or_frequencies_and_only_what_varies_is_an_axis() -> None:
    points = COUNTED.status.result.points if COUNTED.status.result else None
    assert points is not None
    assert [(each.name, each.values) for each in series_of(COUNTED, points)] == [
        ("P(0)", [1, 0.25]),
        ("P(1)", [0, 0.75]),
    ]
    sweep = job({"a": [1], "b": [3, 4, 5]}, VALUES[:3], "ZZ").spec.program.sweep
    assert sweep is not None
    assert varying_parameters(sweep) == ["b"]
