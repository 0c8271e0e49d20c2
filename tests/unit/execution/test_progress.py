"""What a program's reports say of its end, and how they stand in a status."""

from __future__ import annotations

import pytest

from qonverge.api import HybridJobStatus
from qonverge.documents.reports import Curve, Report
from qonverge.execution.progress_rate import ProgressRate
from qonverge.execution.reports import changes, summary
from qonverge.execution.transitions import complete, move, timestamp


def rate(*samples: tuple[float, float]) -> float | None:
    found = ProgressRate()
    for now, progress in samples:
        found.add(now, progress)
    return found.ends_at()


def test_the_end_follows_from_the_rate() -> None:
    assert rate((100, 0.0), (110, 0.1), (120, 0.2)) == pytest.approx(200)
    # What was done before the first report took no time that is known.
    assert rate((100, 0.6), (110, 0.7)) == pytest.approx(140)
    assert rate((100, 0.5), (150, 1.0)) == 150


def test_the_later_half_counts() -> None:
    slower = [(float(now), now * 0.01) for now in range(0, 50, 5)]
    slower += [(50.0 + now, 0.5 + now * 0.001) for now in range(0, 155, 5)]
    assert rate(*slower) == pytest.approx(200 + 350)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [(100.0, 0.5)],
        [(100.0, 0.1), (100.5, 0.9)],
        [(100.0, 0.1), (200.0, 0.1)],
        [(100.0, 0.1), (200.0, 0.1 + 1e-12)],
        # It began anew.
        [(100.0, 0.1), (200.0, 0.9), (300.0, 0.2)],
    ],
)
def test_without_a_rate_there_is_no_estimate(samples: list[tuple[float, float]]) -> None:
    assert rate(*samples) is None


def test_very_many_reports_take_bounded_memory() -> None:
    found = ProgressRate()
    for now in range(10_000):
        found.add(now, now / 20_000)
    assert found.ends_at() == pytest.approx(20_000)
    assert len(found._samples) <= 64


def test_a_summary_has_the_first_metrics_in_the_program_s_order() -> None:
    assert summary({"energy": -1.137283834976, "step": 40.0}) == "energy=-1.13728 step=40"
    assert summary({"d": 1, "c": 2, "b": 3, "a": 4}) == "d=1 c=2 b=3 …"
    assert summary({"x" * 63: 1.0}) == "x" * 60 + " …"
    assert summary({"x" * 40: 1.0, "y" * 40: 1.0}) == "x" * 40 + "=1 …"


def test_a_report_changes_what_it_names() -> None:
    before = HybridJobStatus(state="Running", metrics={"energy": -1.0, "best": -2.0}, progress="10%")
    curve = {"energy": Curve(3, 1, (0.0, -1.0, -1.5))}
    after = before.model_copy(update=changes(before, Report(0.4, {"energy": -1.5}, curves=curve), 1000.0, 1300.0))
    assert after.to_dict() | {"conditions": []} == {
        "state": "Running",
        "conditions": [],
        "progress": "40%",
        "metrics": {"energy": -1.5, "best": -2.0},
        "metricsSummary": "energy=-1.5 best=-2",
        "metricCurves": [{"name": "energy", "reports": 3, "every": 1, "values": [0.0, -1.0, -1.5]}],
        "reportedAt": timestamp(1000.0),
        "estimatedEndAt": timestamp(1300.0),
    }
    # A later one without progress says nothing of the end.
    assert "estimated_end_at" not in changes(after, Report(metrics={"energy": -1.6}), 1001.0, None)
    assert changes(after, Report(), 1001.0, None) == {}


def test_the_estimate_ends_with_the_attempt() -> None:
    running = HybridJobStatus(state="Running", estimated_end_at=timestamp(1300.0), progress="40%")
    assert complete(running, now=1200.0, generation=1, message="").estimated_end_at is None
    pending = move(running, "Pending", reason="PodLost", message="", now=1200.0, generation=1)
    assert (pending.estimated_end_at, pending.progress) == (None, "40%")


def test_reports_are_merged_in_their_order() -> None:
    first = Report(0.1, {"a": 1.0, "b": 1.0}, result=3, has_result=True, curves={"a": Curve(1, 1, (1.0,))})
    both = first.then(Report(None, {"b": 2.0}, curves={"a": Curve(2, 1, (1.0, 1.0))}, last=True))
    assert (both.progress, both.metrics, both.result, both.has_result) == (0.1, {"a": 1.0, "b": 2.0}, 3, True)
    assert (both.curves["a"].count, both.last) == (2, True)
