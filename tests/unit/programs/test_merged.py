"""Tasks that run parts of a job's shots, and their results as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.api import HybridJob
from qonverge.programs.circuit import merged, task
from qonverge.wire.errors import EngineFailed
from qonverge.wire.messages import PubResult, TaskResult
from tests.unit.controller.worlds import BELL


def result(pub: PubResult, seconds: float = 1.0) -> TaskResult:
    return TaskResult("t", "Completed", (pub,), None, "Aer", 1, seconds / 2, seconds)


counts = st.dictionaries(st.sampled_from(["00", "01", "10", "11"]), st.integers(1, 1000), min_size=1)


@given(st.lists(counts, min_size=1, max_size=5))
def test_every_shot_is_in_the_merged_counts_once(parts: list[dict[str, int]]) -> None:
    whole = merged([result(PubResult(counts=(part,), shots=sum(part.values()))) for part in parts])
    (pub,) = whole.results
    (found,) = pub.counts
    assert pub.shots == sum(found.values()) == sum(sum(part.values()) for part in parts)
    for outcome in found:
        assert found[outcome] == sum(part.get(outcome, 0) for part in parts)
    assert whole.run_seconds == len(parts)
    assert whole.queue_seconds == 0.5


def test_values_are_weighted_by_their_shots_and_errors_shrink_as_those_of_means() -> None:
    def part(value: float, error: float, shots: int) -> TaskResult:
        return result(
            PubResult(expectation_values=np.array([[value]]), standard_errors=np.array([[error]]), shots=shots)
        )

    (pub,) = merged([part(0.2, 0.04, 300), part(0.6, 0.08, 100)]).results
    assert pub.expectation_values is not None
    assert pub.standard_errors is not None
    assert pub.expectation_values.tolist() == [[pytest.approx(0.3)]]
    assert pub.standard_errors.tolist() == [[pytest.approx(np.hypot(0.75 * 0.04, 0.25 * 0.08))]]
    # Equal parts of one distribution: the error of the whole, which is smaller by the root of their number.
    (pub,) = merged([part(0.5, 0.1, 100)] * 4).results
    assert pub.standard_errors is not None
    assert pub.standard_errors[0, 0] == pytest.approx(0.05)
    assert pub.shots == 400


def test_a_part_that_failed_is_the_failure_of_the_whole() -> None:
    failed = TaskResult("t", "Failed", (), EngineFailed("no"))
    assert merged([result(PubResult(counts=({"0": 1},), shots=1)), failed]) is failed


def test_parts_draw_their_own_shots_and_the_whole_keeps_its_seed() -> None:
    given = {"metadata": {"name": "j"}, "spec": {"program": {"circuit": {"openqasm": "x"}}, "seed": 2**32 - 1}}
    job = HybridJob.model_validate(given)
    tasks = [task(job, BELL, f"t{part}", shots=10, part=part) for part in range(100)]
    seeds = [each.seed for each in tasks]
    assert seeds[0] == task(job, BELL, "t").seed == 2**32 - 1
    assert len(set(seeds)) == 100
    assert all(seed is not None and 0 <= seed < 2**32 for seed in seeds)
    assert {each.pubs[0].shots for each in tasks} == {10}
    unseeded = HybridJob.model_validate({**given, "spec": {"program": given["spec"]["program"]}})  # type: ignore[index]
    assert task(unseeded, BELL, "t", part=3).seed is None
