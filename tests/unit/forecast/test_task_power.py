"""What a task draws, learned from meters of pods that draw some power without tasks too."""

from __future__ import annotations

import random

import pytest

from qonverge.forecast.task_power import LEAST_SECONDS, WINDOW_SECONDS, Draw, TaskPowers

IDLE, TASK = 3.0, 12.0


def watch(powers: TaskPowers, now: float, seconds: float, share: float, *, task: float = TASK, pods: int = 1) -> float:
    """Watch pods of which so large a share of the time has a task, and return when that ends."""
    draw = random.Random(7)
    for _ in range(round(seconds / 5)):
        now += 5.0
        ran = 5.0 * pods * share * draw.uniform(0.5, 1.5)
        powers.observe("lab/a", Draw(IDLE * 5.0 * pods + task * ran, 5.0 * pods, ran), now)
    return now


def learned(powers: TaskPowers, now: float) -> float | None:
    found = powers.find("lab/a", now)
    return None if found is None else found.value


@pytest.mark.parametrize("share", [0.02, 0.3, 4.0])
@pytest.mark.parametrize("pods", [1, 3])
def test_it_is_what_a_task_adds_however_busy_the_backend_is(share: float, pods: int) -> None:
    powers = TaskPowers()
    now = watch(powers, watch(powers, 0.0, 300.0, 0.0, pods=pods), 7200.0, share, pods=pods)
    assert learned(powers, now) == pytest.approx(TASK)


def test_without_a_quiet_minute_what_the_pod_draws_is_shared_among_its_tasks() -> None:
    powers = TaskPowers()
    now = 0.0
    for _ in range(100):
        now += 5.0
        powers.observe("lab/a", Draw(5 * (IDLE + 2 * TASK), 5.0, 10.0), now)
    assert learned(powers, now) == pytest.approx(TASK + IDLE / 2)


def test_nothing_is_said_before_enough_was_seen() -> None:
    powers = TaskPowers()
    now = watch(powers, 0.0, 3600.0, 0.0)
    assert powers.find("lab/a", now) is None
    now = watch(powers, now, WINDOW_SECONDS, 0.5 * LEAST_SECONDS / WINDOW_SECONDS)
    assert powers.find("lab/a", now) is None
    now = watch(powers, now, 3 * WINDOW_SECONDS, 0.9)
    assert learned(powers, now) == pytest.approx(TASK)
    assert powers.find("lab/b", now) is None


def test_a_quiet_week_changes_nothing_and_the_figure_says_when_it_was_measured() -> None:
    powers = TaskPowers()
    ended = watch(powers, watch(powers, 0.0, 120.0, 0.0), 600.0, 1.0)
    now = watch(powers, ended, 7 * 86_400.0, 0.0)
    found = powers.find("lab/a", now)
    assert found is not None
    assert found.value == pytest.approx(TASK)
    assert ended - WINDOW_SECONDS <= found.at <= ended + WINDOW_SECONDS


def test_what_changes_is_followed() -> None:
    powers = TaskPowers()
    now = watch(powers, watch(powers, 0.0, 120.0, 0.0), 20_000.0, 1.0)
    now = watch(powers, now, 4 * 3600.0, 1.0, task=2 * TASK)
    assert learned(powers, now) == pytest.approx((2 - 0.5**4) * TASK, rel=0.02)


def test_what_was_learned_outlives_the_process_and_small_changes_are_not_written() -> None:
    powers, again = TaskPowers(), TaskPowers()
    now = watch(powers, watch(powers, 0.0, 120.0, 0.0), 40_000.0, 1.0)
    kept = powers.dump()
    again.load(kept)
    assert learned(again, now) == pytest.approx(TASK, rel=0.01)
    later = watch(again, now, 2 * WINDOW_SECONDS, 0.5)
    assert learned(again, later) == pytest.approx(TASK, rel=0.01), "beyond what the pods draw without tasks"
    assert again.dump() == kept


@pytest.mark.parametrize("text", ["[", "[1]", '{"a": [1, 2]}', '{"a": [-1, 2, null, 3]}', '{"a": [NaN, 2, null, 3]}'])
def test_what_is_damaged_is_refused_and_nothing_of_it_taken(text: str) -> None:
    powers = TaskPowers()
    watch(powers, 0.0, 600.0, 1.0)
    before = powers.dump()
    with pytest.raises(ValueError, match="what was learned of power is damaged"):
        powers.load(text)
    assert powers.dump() == before != "{}"


def test_what_is_told_of_tasks_goes_before_while_it_is_new_enough() -> None:
    powers = TaskPowers(stale_seconds=60.0)
    now = watch(powers, watch(powers, 0.0, 120.0, 0.0), 600.0, 1.0)
    powers.tell({"lab/a": 25_000.0, "lab/none": 0.0}, now)
    assert learned(powers, now + 60) == 25_000.0
    assert learned(powers, now + 61) == pytest.approx(TASK)
    assert powers.find("lab/none", now) is None, "no device runs a task for nothing"
    powers.tell({}, now + 1)
    assert learned(powers, now + 1) == pytest.approx(TASK)
