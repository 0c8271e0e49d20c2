"""Figures of a link follow a change, and neither noise nor single outliers."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from qonverge.sites.link import Link
from qonverge.sites.window import FIRST_BYTES, Sample, Window, rate

PAUSE = 0.5


def fill(window: Window, seconds: Sequence[float | None], began: float = 0.0) -> float:
    """Let probes end one after the other, and return the time of the last."""
    at = began
    for each in seconds:
        at += PAUSE
        window.add(Sample(each), at)
    return at


def test_a_round_trip_is_the_middle_of_the_last_probes_and_follows_a_change_within_some_seconds() -> None:
    window = Window()
    at = fill(window, [0.02] * 9 + [1.5])
    assert window.link(at).round_trip_seconds == pytest.approx(0.02), "one slow answer of a busy server is passed over"
    raised = fill(window, [0.1] * 8, at)
    assert window.link(raised).round_trip_seconds == pytest.approx(0.1)
    assert raised - at <= 5
    assert window.link(fill(window, [0.02] * 8, raised)).round_trip_seconds == pytest.approx(0.02)


def test_noise_of_thirty_percent_leaves_a_fraction_of_itself() -> None:
    window, noise, at = Window(), random.Random(1), 0.0
    shown = list[float]()
    for _ in range(500):
        at = fill(window, [0.03 * noise.uniform(0.7, 1.3)], at)
        shown.append(window.link(at).round_trip_seconds or 0.0)
    assert min(shown[10:]) > 0.03 * 0.75
    assert max(shown[10:]) < 0.03 * 1.25


def test_probes_without_an_answer_are_loss_and_never_a_short_way() -> None:
    window = Window()
    at = fill(window, [0.02] * 8 + [None, None])
    assert window.link(at) == Link(0.02, 0.2, None)
    at = fill(window, [None], at)
    assert window.link(at) == Link(None, 3 / 11, None), "cut off: no round trip is known"
    at = fill(window, [0.02], at)
    assert window.link(at).round_trip_seconds == pytest.approx(0.02), "and it is back with the first answer"
    assert window.link(at + 30) == Link(), "nothing is known of a link that nobody asks any more"
    assert Window().link(0.0) == Link()


def test_what_was_sent_again_is_loss() -> None:
    window = Window()
    for number in range(20):
        window.add(Sample(0.02, sent=5, again=1 if number % 4 == 0 else 0), number * PAUSE)
    assert window.link(10.0).loss_ratio == pytest.approx(0.05)


@pytest.mark.parametrize("round_trip", [0.0005, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("mbit", [1, 10, 50])
def test_a_bandwidth_is_found_behind_the_slow_start_of_tcp(mbit: float, round_trip: float) -> None:
    """Against a walk through the transfer, window by window, that knows nothing of the model's formula."""
    size, real = 256 * 1024, mbit * 1e6 / 8
    clock, sent, window, free = round_trip, 0, FIRST_BYTES, round_trip
    while sent < size:
        part = min(window, size - sent)
        # The link passes a window on as fast as it can; the next window starts a round trip after this one began.
        began = max(clock, free)
        free = began + part / real
        clock, sent, window = clock + round_trip, sent + part, window * 2
    found = rate(size, free, round_trip)
    least = size / (free - round_trip)
    assert found == pytest.approx(real, rel=0.1) or (found < real and found == pytest.approx(10 * least))


def test_a_rate_beyond_what_a_short_transfer_can_show_is_bounded() -> None:
    assert rate(256 * 1024, 0.41, 0.1) == pytest.approx(10 * 256 * 1024 / 0.31)


def test_bandwidth_is_the_median_of_the_last_transfers_and_is_forgotten() -> None:
    window = Window()
    at = fill(window, [0.001] * 3)
    for seconds in (1.001, 9.001, 1.001):
        window.carry(10**6, seconds, at)
    assert window.link(at).bytes_per_second == pytest.approx(1e6, rel=0.05)
    assert window.link(fill(window, [0.001], at + 400)).bytes_per_second is None


def test_a_trip_counts_what_is_lost_and_sent_again() -> None:
    assert Link(0.1).trip_seconds == 0.1
    assert Link(None, 0.5).trip_seconds is None
    # A tenth lost of questions and of answers: each has to be sent 1/0.9 times, and a time-out passes before.
    assert Link(0.1, 0.1).trip_seconds == pytest.approx(0.1 + 2 / 9 * 0.3)
    assert (Link(0.1, 1.0).trip_seconds or 0.0) > 1.0


def test_what_travels_is_what_was_measured() -> None:
    link = Link(0.0123456, 0.25, None)
    assert Link.from_dict(link.to_dict()) == Link(0.01235, 0.25, None)
    for bad in ({"round_trip_seconds": 0.0}, {"round_trip_seconds": float("nan")}, {"loss_ratio": 1.5}):
        with pytest.raises(ValueError, match="link"):
            Link.from_dict(bad)
