"""The column of energy, where it is known of a backend."""

from __future__ import annotations

import io

import pytest

from qonverge.api.placement import Candidate, ForecastInterval
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


@pytest.mark.parametrize(
    ("amount", "text"), [(0.0, "0 mJ"), (1.0, "1 J"), (999.0, "999 J"), (3.6e6, "3.6 MJ"), (2e12, "2e+03 GJ")]
)
def test_energy_has_a_unit_that_people_read(amount: float, text: str) -> None:
    assert joules(amount) == text
