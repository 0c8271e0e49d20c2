"""Layouts: what fits a device, and the sentences about what does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.devices import Calibration, Gate, Layout, Qubit
from qonverge.devices.layout import misfit


def device(couplings: dict[tuple[int, int], float], size: int, broken: tuple[int, ...] = ()) -> Calibration:
    gates = [Gate("cx", pair, error) for pair, error in couplings.items()]
    gates += [Gate("sx", (q,), 1.0 if q in broken else 1e-4) for q in range(size)]
    return Calibration("street", (Qubit(),) * size, tuple(gates))


# 0 - 1 - 2   3 - 4 (dead) 5, 6 is broken
STREET = device({(0, 1): 0.01, (2, 1): 0.02, (3, 4): 0.01, (4, 5): 1.0, (5, 6): 0.01}, 7, broken=(6,))


@pytest.mark.parametrize(
    ("qubits", "routing", "pairs", "reason", "lasting"),
    [
        ((0, 1, 2), False, [(0, 1), (1, 2)], None, False),
        ((2, 1), False, [(0, 1)], None, False),
        ((0, 1, 2), True, [(0, 2)], None, False),
        ((0, 3), True, [], None, False),
        ((0, 1, 2), False, [(0, 2)], "qubits 0 and 2 are not coupled on street", True),
        ((5, 4), False, [(0, 1)], "the coupling of qubits 4 and 5 of street is out of order", False),
        ((5, 4), True, [(0, 1)], "no couplings that work connect qubits 4 and 5 of street", False),
        ((0, 6), True, [], "qubit 6 of street is out of order", False),
        ((0, 9), True, [], "street has no qubit 9: it has 7", True),
    ],
)
def test_what_does_not_fit_is_said(
    qubits: tuple[int, ...], routing: bool, pairs: list[tuple[int, int]], reason: str | None, lasting: bool
) -> None:
    found = misfit(Layout(qubits, routing), range(len(qubits)), pairs, STREET)
    assert (found and found.reason, bool(found and found.lasting)) == (reason, lasting)


def test_a_qubit_that_nothing_acts_on_may_lie_anywhere() -> None:
    assert misfit(Layout((0, 6)), [0], [], STREET) is None


def test_parts_are_those_that_work() -> None:
    assert STREET.parts == ((0, 1, 2), (3, 4), (5,))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] != pair[1]), max_size=9))
def test_parts_are_the_classes_of_being_connected(pairs: list[tuple[int, int]]) -> None:
    found = device(dict.fromkeys(pairs, 0.01), 7).parts
    # By repeated squaring of the relation, which is slow and plain.
    near = [[a == b or (a, b) in pairs or (b, a) in pairs for b in range(7)] for a in range(7)]
    for _ in range(3):
        near = [[any(near[a][k] and near[k][b] for k in range(7)) for b in range(7)] for a in range(7)]
    assert set(found) == {tuple(b for b in range(7) if near[a][b]) for a in range(7)}
    assert [len(part) for part in found] == sorted((len(part) for part in found), reverse=True)


@given(st.lists(st.integers(0, 9999), unique=True, max_size=9), st.booleans())
def test_a_layout_travels(qubits: list[int], routing: bool) -> None:
    layout = Layout(tuple(qubits), routing)
    assert Layout.from_dict(layout.to_dict()) == layout


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([3, 5], "a layout is an object"),
        ({"qubits": [0], "moves": True}, "a layout is an object"),
        ({"qubits": "35"}, "a list of numbers"),
        ({"qubits": [0], "routing": "Never"}, "true or false in routing"),
        ({"qubits": [0, -1]}, "the layout has -1 for qubit 1"),
        ({"qubits": [True]}, "the layout has True for qubit 0"),
        ({"qubits": [10_000]}, "the layout has 10000 for qubit 0"),
        ({"qubits": [4, 2, 4]}, "puts qubits 0 and 2 of the circuit both on qubit 4"),
    ],
)
def test_a_layout_that_is_none_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout.from_dict(data)
