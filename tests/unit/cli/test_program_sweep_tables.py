"""Tables and pictures of sweeps of programs, which return whatever they like."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from arro3.io import read_parquet

from qonverge.api import HybridJob
from qonverge.cli.plot import write
from qonverge.cli.render import console_of, result
from qonverge.cli.sweep_plot import series_of
from qonverge.cli.table import columns_of, write_table


def job(sweep: dict[str, Any], values: list[Any], errors: dict[int, str] | None = None) -> HybridJob:
    program = {"sweep": {"parameters": sweep}, "python": {"source": "x"}}
    bare = HybridJob.model_validate({"metadata": {"name": "scan"}, "spec": {"program": program}})
    given = bare.spec.program.sweep
    assert given is not None
    points = [
        {"index": index, "parameters": given.point(index), "value": value, "error": (errors or {}).get(index)}
        for index, value in enumerate(values)
    ]
    status = {"state": "Complete", "result": {"points": points}}
    return bare.model_validate({**bare.to_dict(), "status": status})


MIXED = job(
    {"mode": {"strings": ["a", "b"]}, "t": {"values": [1, 2]}},
    [{"e": 1, "t": 5, "l": [1]}, {"e": 2.5, "ok": True}, None, {"e": 4}],
    {2: "ProgramFailed: it broke"},
)


def test_fields_of_what_the_program_returned_are_columns() -> None:
    assert columns_of(MIXED, MIXED.status.result) == {
        "mode": ["a", "a", "b", "b"],
        "t": [1, 2, 1, 2],
        "e": [1, 2.5, None, 4],
        "value.t": [5, None, None, None],
        "l": ["[1]", None, None, None],
        "ok": [None, True, None, None],
        "error": [None, None, "ProgramFailed: it broke", None],
    }


def test_what_is_no_object_is_the_column_value() -> None:
    plain = job({"t": {"values": [1, 2]}}, [7, "x"])
    assert columns_of(plain, plain.status.result) == {"t": [1, 2], "value": [7, "x"]}


def test_a_table_is_the_same_in_each_format(tmp_path: Path) -> None:
    columns = columns_of(MIXED, MIXED.status.result)
    for ending in ("csv", "json", "parquet"):
        write_table(columns, tmp_path / f"t.{ending}")
    assert (tmp_path / "t.csv").read_text().splitlines()[3] == "b,1,,,,,ProgramFailed: it broke"
    rows = json.loads((tmp_path / "t.json").read_text())
    assert rows[1] == {"mode": "a", "t": 2, "e": 2.5, "value.t": None, "l": None, "ok": True, "error": None}
    table = read_parquet(tmp_path / "t.parquet").read_all()
    found = {name: table[name].to_pylist() for name in table.column_names}
    assert found == columns
    assert isinstance(found["t"][0], int)


def test_a_terminal_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    for part in result(MIXED):
        console_of(sys.stdout).print(part)
    shown = capsys.readouterr().out
    assert "ProgramFailed: it broke" in shown
    assert "2.5" in shown


def test_numbers_are_drawn_over_numbers_and_texts(tmp_path: Path) -> None:
    found = series_of(MIXED, (MIXED.status.result and MIXED.status.result.points) or [])
    assert [each.name for each in found] == ["e", "value.t"]
    assert math.isnan(found[0].values[2])
    by_text = job({"mode": {"strings": ["b", "a"]}}, [1, 2])
    for number, each in enumerate((MIXED, by_text)):
        assert write([each], tmp_path / f"{number}.svg", (), "--plot")
    assert ">a<" in (tmp_path / "1.svg").read_text() or "<!-- a -->" in (tmp_path / "1.svg").read_text()


def test_there_is_nothing_to_draw_without_numbers(tmp_path: Path) -> None:
    assert not write([job({"t": {"values": [1]}}, ["x"])], tmp_path / "t.svg", (), "--plot")
