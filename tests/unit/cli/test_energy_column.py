"""The columns of energy, where it is known of a backend or of a job."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from click.testing import CliRunner

from qonverge.api.placement import Candidate, ForecastInterval
from qonverge.cli.main import cli
from qonverge.cli.render import console_of, forecast_table
from qonverge.scheduling.texts import joules

RUN = ForecastInterval(low=1, mid=2, high=4)


def shown(*forecast: Candidate) -> list[str]:
    stream = io.StringIO()
    for part in forecast_table(None, "", forecast):
        console_of(stream).print(part)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_it_is_there_where_energy_is_known_of_a_backend() -> None:
    unknown = Candidate(backend="b", wait_seconds=RUN, run_seconds=RUN)
    known = Candidate(
        backend="a", wait_seconds=RUN, run_seconds=RUN, energy_joules=ForecastInterval(low=0.5, mid=40, high=2500)
    )
    head, first, second = shown(known, unknown)
    assert head.endswith("COST     ENERGY")
    assert first.endswith("40 J (500 mJ to 2.5 kJ)")
    assert second.endswith("unknown  unknown")
    assert shown(unknown)[0].endswith("COST")


def job(name: str, backend: str, **usage: Any) -> dict[str, Any]:
    return {
        "kind": "HybridJob",
        "metadata": {"name": name, "namespace": "chem"},
        "spec": {"program": {"circuit": {"openqasm": "x"}}},
        "status": {"backend": backend, "usage": {"shots": 1, "seconds": 2.0, **usage}},
    }


def cost(*jobs: dict[str, Any], arguments: tuple[str, ...] = ("--by", "backend")) -> str:
    done = CliRunner().invoke(cli, ["cost", "-", *arguments], input=json.dumps({"kind": "List", "items": jobs}))
    assert done.exit_code == 0, done.output
    return done.output


def test_costs_have_energy_as_far_as_it_is_known() -> None:
    """What is not known is said, and counts neither as nothing nor so that the rest is hidden."""
    jobs = (
        *(job("one", "a", energyJoules=40.0), job("two", "a", energyJoules=1960.0)),
        *(job("three", "b", energyJoules=500.0), job("four", "b")),
        *(job("five", "c"), job("cached", "d", seconds=0.0)),
    )
    head, *rows = cost(*jobs).splitlines()
    assert head.split()[-1] == "ENERGY"
    found = {row.split()[0]: row.rstrip().split("  ")[-1].strip() for row in rows}
    assert found == {
        "chem/a": "2 kJ",
        "chem/b": "at least 500 J",
        "chem/c": "unknown",
        "chem/d": "0 mJ",
        "total": "at least 2.5 kJ",
    }
    told = json.loads(cost(*jobs, arguments=("--by", "backend", "-o", "json")))
    assert {row["name"]: (row["energyJoules"], row["unmeasured"]) for row in [*told["rows"], told["total"]]} == {
        "chem/a": (2000.0, 0),
        "chem/b": (500.0, 1),
        "chem/c": (None, 1),
        "chem/d": (0.0, 0),
        "total": (2500.0, 2),
    }
    assert "ENERGY" not in cost(job("five", "c"))


@pytest.mark.parametrize(
    ("amount", "text"), [(0.0, "0 mJ"), (1.0, "1 J"), (999.0, "999 J"), (3.6e6, "3.6 MJ"), (2e12, "2e+03 GJ")]
)
def test_energy_has_a_unit_that_people_read(amount: float, text: str) -> None:
    assert joules(amount) == text
