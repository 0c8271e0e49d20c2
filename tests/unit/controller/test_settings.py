"""What the operator's environment says of checks."""

from __future__ import annotations

import pytest

from qonverge.circuits.checker.lanes import DEFAULT, Limits
from qonverge.controller.settings import Settings


def test_limits_of_checks_are_the_documented_ones_unless_the_environment_says_others() -> None:
    assert Settings.from_environment({}).check_limits == DEFAULT == Limits(60.0, 1024**3, 1200.0)
    assert Settings.from_environment({}).check_processes is None
    given = {
        "QONVERGE_CHECK_CPU_SECONDS": "5.5",
        "QONVERGE_CHECK_MEMORY_MIB": "300",
        "QONVERGE_CHECK_WALL_SECONDS": "90",
        "QONVERGE_CHECK_PROCESSES": "3,1",
    }
    settings = Settings.from_environment(given)
    assert settings.check_limits == Limits(5.5, 300 * 1024**2, 90.0)
    assert settings.check_processes == (3, 1)


@pytest.mark.parametrize("processes", ["0,1", "2", "1,2,3"])
def test_numbers_of_processes_that_are_none_are_refused(processes: str) -> None:
    with pytest.raises(ValueError, match=r"QONVERGE_CHECK_PROCESSES is .* such as 2,1"):
        Settings.from_environment({"QONVERGE_CHECK_PROCESSES": processes})
