"""What the operator's environment says."""

from __future__ import annotations

import math

import pytest

from qonverge.circuits.checker.lanes import DEFAULT, Limits
from qonverge.controller.settings import Settings
from qonverge.scheduling import Policy


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


def test_a_shadow_policy_is_as_the_one_in_force_where_it_says_nothing() -> None:
    given = {"QONVERGE_AGING_SECONDS": "60", "QONVERGE_SCHEDULING_POLICY": '{"tranche": 2}'}
    settings = Settings.from_environment(given | {"QONVERGE_SHADOW_POLICY": '{"patienceSeconds": 300}'})
    assert settings.policy == Policy(aging_seconds=60.0, tranche=2.0)
    assert settings.shadow == Policy(aging_seconds=60.0, tranche=2.0, patience_seconds=300.0)
    assert Settings.from_environment(given | {"QONVERGE_SHADOW_POLICY": "{}"}).shadow is None
    with pytest.raises(ValueError, match=r"QONVERGE_SHADOW_POLICY is .*: patience is not a field of a policy"):
        Settings.from_environment({"QONVERGE_SHADOW_POLICY": '{"patience": 300}'})
    with pytest.raises(ValueError, match="QONVERGE_SHADOW_POLICY is"):
        Settings.from_environment({"QONVERGE_SHADOW_POLICY": "{"})


@pytest.mark.parametrize("processes", ["0,1", "2", "1,2,3"])
def test_numbers_of_processes_that_are_none_are_refused(processes: str) -> None:
    with pytest.raises(ValueError, match=r"QONVERGE_CHECK_PROCESSES is .* such as 2,1"):
        Settings.from_environment({"QONVERGE_CHECK_PROCESSES": processes})


def test_what_is_not_set_keeps_its_default() -> None:
    settings = Settings.from_environment({"QONVERGE_NAMESPACE": "quantum", "QONVERGE_LEASE_NAME": ""})
    assert (settings.lease_name, settings.watch_namespaces, settings.pull_policy) == (
        "qonverge.quantum.operator",
        (),
        "IfNotPresent",
    )
    others = {Settings.from_environment({}).identity for _ in range(3)}
    assert len(others) == 3, "replicas without a name are not taken for each other"


def test_variables_have_the_documented_names() -> None:
    given = {
        "QONVERGE_POD_NAME": "operator-1",
        "QONVERGE_IMAGE_PULL_POLICY": "Never",
        "QONVERGE_WATCH_NAMESPACES": " a,,b ",
        "QONVERGE_AGING_SECONDS": "inf",
        "QONVERGE_PROGRAM_TOKEN_SECONDS": "6000",
        "QONVERGE_LOG_LEVEL": "DEBUG",
        "QONVERGE_NO_SETTING": "x",
    }
    settings = Settings.from_environment(given)
    assert (settings.identity, settings.pull_policy, settings.watch_namespaces) == ("operator-1", "Never", ("a", "b"))
    assert (settings.aging_seconds, settings.program_token_seconds) == (math.inf, 600.0)
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("LEASE_SECONDS", "0", "greater than or equal to 1"),
        ("LEASE_SECONDS", "2.5", "valid integer"),
        ("AGING_SECONDS", "nan", "greater than or equal to 0"),
        ("RESULT_SECONDS", "-1", "greater than 0"),
        ("PROGRAM_TOKEN_SECONDS", "0", "greater than 0"),
        ("CHECK_CPU_SECONDS", "a minute", "valid number"),
        ("CHECK_MEMORY_MIB", "-5", "greater than or equal to 1"),
        ("IMAGE_PULL_POLICY", "Sometimes", "give Always, IfNotPresent or Never"),
        ("REPORT_LISTEN", "8080", "127.0.0.1:8080"),
        ("HEALTH_LISTEN", "h:http", "127.0.0.1:8080"),
        ("LOG_LEVEL", "LOUD", "give one of CRITICAL"),
        ("PROGRAM_RESOURCES", "{", ""),
        ("PROGRAM_RESOURCES", '{"requests": {"cpu": "much"}}', "500m or 2Gi"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_value_and_what_is_allowed(
    variable: str, text: str, allowed: str
) -> None:
    with pytest.raises(ValueError, match=rf"^QONVERGE_{variable} is ") as refused:
        Settings.from_environment({f"QONVERGE_{variable}": text})
    assert repr(text) in str(refused.value)
    assert allowed in str(refused.value)
