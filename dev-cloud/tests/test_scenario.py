"""Scenario files, and which calls a fault is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from qonverge_dev_cloud.faults import Fault, FaultPlan
from qonverge_dev_cloud.limits import Limit, LimitPlan
from qonverge_dev_cloud.scenario import Scenario, ScenarioError, load

WHOLE = """
seed: 7
virtualClock: true
braket:
  devices:
    Garnet:
      queue: {seconds: 60, ahead: 3}
      run: {seconds: 2, perShot: 0.001}
      price: {perShot: 0.5}
      drift: {seconds: 3600, spread: 0.2}
      maintenance: [{start: 100, end: 200}]
      failing: {every: 3, reason: The fridge warmed up.}
    SV1: {retired: true}
faults:
  - {operation: CreateQuantumTask, kind: lostReply, when: after, calls: [1, 3]}
  - {cloud: braket, kind: status, status: 429, probability: 0.1}
"""


def test_a_whole_scenario(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(WHOLE)
    scenario = load(file)
    garnet = scenario.braket.devices["Garnet"]
    assert (garnet.queue.ahead, garnet.run.per_shot, garnet.maintenance[0].end) == (3, 0.001, 200)
    assert scenario.virtual_clock and scenario.braket.devices["SV1"].retired
    assert scenario.faults[0].calls == (1, 3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: [", "line 1: not YAML"),
        ("seed: 1\nbrakets: {}", "line 2: brakets: unknown field"),
        (
            "braket:\n  devices:\n    Garnet:\n      queue:\n        seconds: -1",
            "line 5: braket.devices.Garnet.queue.seconds: Input should be greater than or equal to 0",
        ),
        (
            "braket:\n  devices:\n    Granet: {}",
            "line 2: braket.devices: no device is called 'Granet': use Ankaa-3, DM1, Forte-1, Garnet, SV1",
        ),
        (
            "braket: {devices: {Garnet: {queue: {ahead: 2}}}}",
            "line 1: braket.devices.Garnet.queue: ahead needs seconds in which the tasks of others end",
        ),
        (
            "braket: {devices: {Garnet: {maintenance: [{start: 5, end: 9}, {start: 8, end: 10}]}}}",
            "line 1: braket.devices.Garnet.maintenance: the window from 8 begins before that from 5 ends",
        ),
        (
            "faults:\n- {kind: slow, seconds: 1}\n- {kind: slow, status: 500}",
            "line 3: faults.1: status has a meaning only with kind: status, not slow",
        ),
        (
            "faults:\n- {kind: lostReply, calls: [1], every: 2}",
            "line 2: faults.0: set at most one of calls, every, probability",
        ),
        (
            "faults:\n- {kind: lostReply, calls: [0]}",
            "line 2: faults.0.calls.0: Input should be greater than or equal to 1",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as error:
        load(file)
    assert str(error.value).startswith(f"{file}: {sentence}")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        load(tmp_path / "none.yaml")


def test_faults_count_the_calls_of_their_operation() -> None:
    plan = FaultPlan(
        [
            Fault(kind="lostReply", operation="A", calls=(2,)),
            Fault(kind="slow", operation="*", every=3, seconds=1),
            Fault(kind="status", cloud="other"),
        ],
        seed=1,
    )
    found = [[own.kind for own in plan.of("braket", name)] for name in "ABAABA"]
    assert found == [[], [], ["lostReply", "slow"], [], [], ["slow"]]


def test_a_limit_lets_a_burst_through_and_then_so_many_a_second() -> None:
    both = LimitPlan(
        [
            Limit(cloud="a", operation="Get", per_second=2, burst=3),
            Limit(cloud="a", operation="*", per_second=1, burst=4),
        ]
    )
    assert [both.admits("a", "Get", 0.0) for _ in range(4)] == [True, True, True, False]
    assert [both.admits("a", "Put", 0.0) for _ in range(2)] == [True, False]
    assert both.admits("b", "Get", 0.0)
    # There is one more for Get after half a second, but for both together only after a whole one.
    assert [both.admits("a", "Get", now) for now in (0.5, 1.0, 1.0)] == [False, True, False]
    # However long it was silent, no more than the burst is taken.
    assert [both.admits("a", "Get", 60.0) for _ in range(4)] == [True, True, True, False]


def test_drawn_faults_are_the_same_for_a_seed_and_come_as_often_as_said() -> None:
    def drawn(seed: int) -> list[bool]:
        plan = FaultPlan([Fault(kind="lostReply", probability=0.25)], seed)
        return [bool(plan.of("braket", "A")) for _ in range(2000)]

    assert drawn(1) == drawn(1) != drawn(2)
    # Five standard deviations of 2,000 draws.
    assert abs(sum(drawn(1)) - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5


def test_a_reservation_is_of_a_qpu() -> None:
    window = {"start": 0, "end": 1}
    for device in ("SV1", "Nothing"):
        with pytest.raises(ValueError, match=f"mine is of '{device}': use one of Ankaa-3, Forte-1, Garnet"):
            Scenario.model_validate({"braket": {"reservations": {"mine": {"device": device, **window}}}})
