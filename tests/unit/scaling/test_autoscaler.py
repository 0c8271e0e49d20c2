"""How many replicas there should be, decision by decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qonverge.scaling import Autoscaler, Decision, Demand, Policy

ONE = Demand(replicas=1, ready=1, workers_per_pod=1, start_seconds=5.0)
WIDE = Policy(min_replicas=0, max_replicas=100, max_scale_up_rate=1000.0)


def first(policy: Policy = WIDE, **given: Any) -> Decision:
    """Return the decision of an autoscaler that begins at zero."""
    return Autoscaler(policy, 0.0).scale(replace(ONE, **given), 1.0)


def test_short_tasks_start_nothing_that_a_worker_does_in_time() -> None:
    # 100 tasks of 0.1 s are 10 s of work, and the aim is half of 30 s.
    assert first(waiting=[0.1] * 100).replicas == 1


def test_every_long_task_gets_a_worker_and_no_more() -> None:
    assert first(waiting=[1000.0] * 10, running=[500.0]).replicas == 11


def test_work_between_counts_against_the_time_that_new_pods_have() -> None:
    # The worker that is there does 15 s of 100 s; what starts after 5 s does 10 s each.
    decision = first(waiting=[2.0] * 50)
    assert decision.replicas == 1 + 9
    assert (decision.driver, decision.bound) == ("Backlog", "DesiredWithinRange")
    assert decision.message == "10 replicas: 50 tasks wait with 100 s of work, and 9.5 workers start all in 15 s"


def test_what_runs_keeps_its_worker_from_what_waits() -> None:
    # The worker is taken for all of 15 s, so that 40 s of work are left for pods that do 10 s each.
    assert first(waiting=[2.0] * 20, running=[1000.0]).replicas == 1 + 4


def test_pods_that_start_longer_than_the_aim_still_count() -> None:
    # What starts after 60 s has half of the aim then: 7.5 s.
    assert first(waiting=[2.0] * 100, start_seconds=60.0).replicas == 1 + 18


def test_workers_of_a_pod_share_the_work() -> None:
    assert first(waiting=[1000.0] * 10, workers_per_pod=4).replicas == 3


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.001])
def test_a_task_that_waits_activates_a_backend_without_pods(seconds: float) -> None:
    assert first(waiting=[seconds], replicas=0, ready=0).replicas == 1


def test_nothing_to_do_needs_nothing() -> None:
    assert first(replicas=0, ready=0) == Decision(
        0, 0, "Idle", "DesiredWithinRange", "0 replicas: nothing runs, waits or is expected"
    )


def test_the_last_replica_goes_after_its_time() -> None:
    scaler, policy = Autoscaler(WIDE, 0.0), WIDE
    scaler.scale(replace(ONE, running=[1.0]), 1.0)
    ends = [scaler.scale(ONE, 2.0 + second).replicas for second in range(int(policy.scale_to_zero_after) + 1)]
    assert set(ends[:-1]) == {1}
    assert ends[-1] == 0


def test_a_task_begins_the_time_of_the_last_replica_again() -> None:
    scaler = Autoscaler(WIDE, 0.0)
    for second in range(1, 900):
        decision = scaler.scale(replace(ONE, running=[1.0] if second in (1, 290, 580) else []), float(second))
        assert decision.replicas == 1 or second >= 580 + WIDE.scale_to_zero_after
    assert decision.replicas == 0


def test_the_last_replica_stays_where_one_is_asked_for() -> None:
    scaler = Autoscaler(replace(WIDE, min_replicas=1), 0.0)
    decisions = [scaler.scale(ONE, float(second)) for second in range(1, 1000)]
    assert {decision.replicas for decision in decisions} == {1}
    assert decisions[-1].bound == "TooFewReplicas"


def test_replicas_that_were_needed_just_now_stay() -> None:
    scaler = Autoscaler(WIDE, 0.0)
    eight = replace(ONE, replicas=8, ready=8)
    scaler.scale(replace(eight, running=[50.0] * 8), 1.0)
    while_idle = [scaler.scale(eight, 1.0 + second) for second in range(1, 100)]
    kept = [decision.replicas for decision in while_idle]
    assert kept[28] == 8
    # A decision leaves at least half of those that are ready.
    assert kept[30] == 8 or kept[30] >= 4
    assert kept[-1] == 4, "of eight ready ones half stay, whatever is wanted"
    assert while_idle[10].driver == "Stabilized"


def test_load_is_averaged_so_that_a_gap_takes_nothing() -> None:
    scaler = Autoscaler(replace(WIDE, scale_down_after=1.0), 0.0)
    four = replace(ONE, replicas=4, ready=4)
    for second in range(1, 60):
        scaler.scale(replace(four, running=[5.0] * 4), float(second))
    assert scaler.scale(four, 62.0).replicas == 4


def test_what_comes_counts_where_workers_cannot_keep_up() -> None:
    scaler = Autoscaler(replace(WIDE, panic_threshold=1e9), 0.0)
    for second in range(1, 62):
        decision = scaler.scale(replace(ONE, arrived=[0.5] * 10, running=[0.5]), float(second))
    assert decision.message == "5 replicas: what came in the last 60 s keeps 5.0 workers busy"


def test_a_surge_of_short_tasks_is_seen_before_it_waits_long() -> None:
    scaler, without = Autoscaler(WIDE, 0.0), Autoscaler(replace(WIDE, panic_threshold=1e9), 0.0)
    for second in range(1, 70):
        surge = replace(ONE, arrived=[0.5] * 40, running=[0.5], waiting=[0.5] * 20) if second > 60 else ONE
        decision, calm = scaler.scale(surge, float(second)), without.scale(surge, float(second))
    assert decision.driver == "Burst"
    assert decision.replicas == 20, "40 tasks/s of half a second"
    assert calm.replicas < 5, "the stable window has seen it for 9 of 60 s"


def test_a_long_task_is_no_surge() -> None:
    assert first(arrived=[1e6], running=[1e6]).replicas == 1


@pytest.mark.parametrize(
    ("policy", "given", "replicas", "bound", "says"),
    [
        (replace(WIDE, max_replicas=4), {}, 4, "TooManyReplicas", "20 are wanted, maxReplicas is 4"),
        (replace(WIDE, affordable_replicas=3), {}, 3, "BudgetLimit", "the hourly budget pays for 3"),
        (replace(WIDE, max_scale_up_rate=2.0), {}, 2, "ScaleUpLimit", "at most 2 times the 1 ready ones"),
        (WIDE, {"replicas": 9, "unschedulable": 2}, 8, "NodesFull", "nodes hold 7 and one more waits for room"),
        (replace(WIDE, affordable_replicas=0), {}, 0, "BudgetLimit", "pays for 0"),
    ],
)
def test_what_bounds_is_said(policy: Policy, given: dict[str, Any], replicas: int, bound: str, says: str) -> None:
    decision = first(policy, **{"waiting": [1000.0] * 20, **given})
    assert (decision.replicas, decision.bound, decision.wanted) == (replicas, bound, 20)
    assert decision.limited
    assert says in decision.message


def test_the_rate_up_never_takes_pods_that_start() -> None:
    assert first(replace(WIDE, max_scale_up_rate=2.0), waiting=[1000.0] * 20, replicas=12).replicas == 12


def test_a_restart_takes_nothing_until_the_window_is_full() -> None:
    scaler = Autoscaler(WIDE, 0.0, replicas=6)
    six = replace(ONE, replicas=6, ready=6)
    decisions = [scaler.scale(replace(six, running=[1.0]), float(second)) for second in range(1, 70)]
    assert {decision.replicas for decision in decisions[:59]} == {6}
    assert decisions[0].message == "6 replicas: 6 stay until 60 s of load were seen"
    assert decisions[-1].replicas == 3


def test_what_recurs_each_hour_is_there_before_it_comes() -> None:
    scaler = Autoscaler(replace(WIDE, min_replicas=1), 0.0)
    for second in range(10, 6 * 3600 - 10, 10):
        sweep = second % 3600 == 0
        scaler.scale(replace(ONE, arrived=[60.0] * 20 if sweep else []), float(second))
    # Ten seconds before the hour, and pods take as long to start.
    decision = scaler.scale(replace(ONE, start_seconds=10.0), 6 * 3600.0 - 10)
    assert decision.driver == "Forecast"
    assert decision.wanted == 20
    assert "in this minute of the hour 20.0 workers were busy" in decision.message


def test_another_policy_holds_at_once() -> None:
    scaler = Autoscaler(WIDE, 0.0)
    many = replace(ONE, waiting=[1000.0] * 20)
    assert scaler.scale(many, 1.0).replicas == 20
    scaler.follow(replace(WIDE, max_replicas=7, stable_window=30.0, panic_window=3.0, scale_down_after=10.0))
    assert scaler.scale(many, 2.0).replicas == 7


def test_a_clock_that_goes_back_is_refused() -> None:
    with pytest.raises(ValueError, match="went back by 1 s"):
        Autoscaler(WIDE, 2.0).scale(ONE, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"min_replicas": 11}, {"target_queue_seconds": 0.0}, {"max_scale_up_rate": 1.0}, {"panic_threshold": 0.5}],
)
def test_a_policy_that_cannot_be_followed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"minReplicas|longer|above 1"):
        Policy(**wrong)
