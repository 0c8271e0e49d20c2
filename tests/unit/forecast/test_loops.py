"""What is learned of programs' loops."""

from __future__ import annotations

import json

import pytest

from qonverge.forecast.loops import MOST, Loop, Loops


def test_what_a_program_did_last_counts_half() -> None:
    loops = Loops()
    assert loops.find("a") is None
    loops.learn("a", 100, "lab/x")
    loops.learn("a", 300, "lab/y")
    assert loops.find("a") == Loop(200.0, "lab/y")


def test_those_that_ran_longest_ago_are_forgotten_and_the_rest_outlives_the_operator() -> None:
    loops = Loops()
    loops.learn("old", 1, "lab/x")
    for number in range(MOST - 1):
        loops.learn(f"p{number}", number, "lab/x")
    loops.learn("old", 3, "lab/x")
    loops.learn("new", 5, "lab/x")
    assert loops.find("p0") is None
    again = Loops()
    again.load(loops.dump())
    assert (again.find("old"), again.find("new")) == (Loop(2.0, "lab/x"), Loop(5.0, "lab/x"))
    assert len(json.loads(again.dump())) == MOST


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": ["x", "y"]}', '{"a": [-1, "y"]}', '{"a": [NaN, "y"]}'])
def test_what_is_damaged_is_not_taken(text: str) -> None:
    loops = Loops()
    loops.learn("a", 7, "lab/x")
    with pytest.raises(ValueError, match="learned of programs is damaged"):
        loops.load(text)
    assert loops.find("a") == Loop(7.0, "lab/x")
