"""What was learned survives a restart, and nothing else comes in with it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.forecasts import replay, slowed
from bench.runtimes import Timed, read
from qonverge.forecast.features import Work
from qonverge.forecast.intervals import Interval
from qonverge.forecast.learning import State
from qonverge.forecast.learning_models import MemoryModel, RunTimeModel
from qonverge.forecast.queue import QueueModel
from qonverge.forecast.store import FACTORS, MAX_BYTES, Key, dump, load

KEY = Key("seconds", "quantum/aer", "Statevector")
WORK = Work(12, 200, 60, 40, 6, 12, 1000)


@pytest.fixture(scope="module")
def tasks() -> list[Timed]:
    return read(Path(__file__).parent / "runtimes.csv")


@pytest.fixture(scope="module")
def learned(tasks: list[Timed]) -> State:
    _, models = replay(tasks, slowed(len(tasks), 1.0))
    return models["Statevector"].state


def test_a_model_that_was_stored_forecasts_as_before(learned: State) -> None:
    loaded = load(dump({KEY: learned}))
    assert not loaded.complaints
    again = loaded.states[KEY]
    assert (again.seen, again.since, again.updated) == (learned.seen, learned.since, learned.updated)
    before = RunTimeModel("Statevector", learned).predict_task(WORK)
    after = RunTimeModel("Statevector", again).predict_task(WORK)
    for side in ("low", "mid", "high"):
        assert getattr(after, side) == pytest.approx(getattr(before, side), rel=2e-3)


def test_a_restart_halfway_changes_no_forecast_that_counts(tasks: list[Timed]) -> None:
    model = restarted = RunTimeModel.cold("Statevector")
    for place, task in enumerate(task for task in tasks if task.method == "Statevector"):
        if place % 50 == 25:
            restarted = RunTimeModel("Statevector", load(dump({KEY: restarted.state})).states[KEY])
        one, other = model.predict_task(task.work), restarted.predict_task(task.work)
        assert other.mid == pytest.approx(one.mid, rel=0.01)
        model = model.observe((task.work,), task.seconds, 0.0)
        restarted = restarted.observe((task.work,), task.seconds, 0.0)


def test_every_kind_of_model_is_stored() -> None:
    expected = Interval(5.0, 10.0, 20.0)
    wait = QueueModel.cold(shared=True).observe(expected, expected, 1.7e9, 12.0)
    memory = MemoryModel.cold("Statevector").observe((WORK,), 1e9, 1.7e9)
    states = {Key("wait", "a/b"): wait.state, Key("bytes", "a/b", "Statevector"): memory.state}
    loaded = load(dump(states))
    assert set(loaded.states) == set(states)
    assert loaded.states[Key("wait", "a/b")].updated == 1.7e9 + 12.0
    assert loaded.states[Key("bytes", "a/b", "Statevector")].factors == pytest.approx(memory.state.factors, rel=1e-5)


def test_a_hundred_backends_with_all_their_methods_fit(learned: State) -> None:
    states = {
        Key("seconds", f"namespace-{index}/backend-{index}", method): learned
        for index in range(100)
        for method in ("Statevector", "DensityMatrix", "MatrixProductState", "Stabilizer", "Device")
    }
    text = dump(states)
    assert len(text) <= MAX_BYTES
    assert len(load(text).states) == 500


def test_the_oldest_are_left_out_first(learned: State) -> None:
    states = {Key("seconds", f"n/{index}", "Device"): replace(learned, updated=float(index)) for index in range(50)}
    text = dump(states, limit=8_000)
    assert len(text) <= 8_000
    kept = sorted(int(key.backend[2:]) for key in load(text).states)
    assert 5 < len(kept) < 50
    assert kept == list(range(50 - len(kept), 50))
    assert not load(dump(states, limit=40)).states


def entry(state: State) -> bytes:
    (text,) = json.loads(dump({KEY: state}))["states"].values()
    return base64.b64decode(text)


def document(data: object, name: str = json.dumps(list(KEY)), version: object = 1) -> str:
    return json.dumps({"version": version, "states": {name: data}})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not of version 1"),
        (document("", version=2), "not of version 1"),
        ('{"version": 1}', "has no states"),
        ("x" * (MAX_BYTES + 1), "at most 900000 are read"),
        (document(7), "it is no text"),
        (document("!"), "not in base64"),
        (document("AAAA"), "3 bytes, fewer than any state"),
        (document("A" * 400), "do not go together"),
        (document("", name="7"), "not a list of kind"),
        (document("", name='["price", "a", "b"]'), "no kind 'price'"),
        (document("", name="[" * 500), "not a list of kind"),
        (document("", name="x" * 10_000), "not a list of kind"),
    ],
)
def test_what_is_damaged_or_hostile_starts_cold_and_is_named(text: str, complaint: str) -> None:
    loaded = load(text)
    assert not loaded.states
    (sentence,) = loaded.complaints
    assert complaint in sentence
    assert len(sentence) < 300


def test_one_damaged_state_harms_no_other(learned: State) -> None:
    whole = json.loads(dump({KEY: learned}))
    whole["states"]['["seconds", "a/b", "Device"]'] = "AAAA"
    loaded = load(json.dumps(whole))
    assert set(loaded.states) == {KEY}
    assert len(loaded.complaints) == 1


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("factors", np.full(8, np.nan), "factors are beyond"),
        ("factors", np.full(8, 1e9), "factors are beyond"),
        ("covariance", -np.eye(8), "covariance is none"),
        ("covariance", np.full((8, 8), np.inf), "covariances are beyond"),
        ("noise", 0.0, "noise or levels"),
        ("noise", float("nan"), "noise and sums"),
        ("updated", float("inf"), "times are beyond"),
    ],
)
def test_numbers_that_no_forecast_can_come_from_are_refused(
    learned: State, field: str, value: object, complaint: str
) -> None:
    (sentence,) = load(dump({KEY: replace(learned, **{field: value})})).complaints  # type: ignore[arg-type]
    assert complaint in sentence


@settings(deadline=None)
@given(st.data())
def test_flipped_bytes_never_fail_and_never_forecast_nonsense(data: st.DataObject) -> None:
    state = State.fresh(RunTimeModel.prior)
    raw = bytearray(entry(state))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=8)):
        raw[place] = data.draw(st.integers(0, 255))
    loaded = load(document(base64.b64encode(bytes(raw)).decode()))
    for read_state in loaded.states.values():
        forecast = RunTimeModel("Statevector", read_state).predict_task(WORK)
        assert 0 <= forecast.low <= forecast.mid <= forecast.high
        RunTimeModel("Statevector", read_state).observe((WORK,), 1.0, 0.0)


@settings(deadline=None)
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_without_failing(text: str) -> None:
    assert not load(text).states


def test_the_factors_are_those_of_the_models() -> None:
    assert FACTORS == {"seconds": 8, "bytes": 4, "wait": 3, "fidelity": 2}
