"""How often pods are asked."""

from __future__ import annotations

import pytest

from qonverge.controller.background import pause


@pytest.mark.parametrize(
    ("took", "pods", "soon", "limited", "seconds"),
    [
        pytest.param(0.1, 10, False, False, 3.9, id="polls begin 4 s apart"),
        pytest.param(2.0, 500, False, False, 2.0, id="long ones too"),
        pytest.param(9.0, 500, False, False, 0.5, id="there is always a rest"),
        pytest.param(3.1, 10, True, False, 0.5, id="what does not answer is asked soon"),
        pytest.param(0.4, 500, True, False, 2.5, id="of many pods all are asked less often"),
        pytest.param(3.1, 500, True, False, 0.9, id="and never later than without"),
        pytest.param(0.1, 10, False, True, 1.0, id="limits are looked at often"),
        pytest.param(0.6, 10, False, True, 2.4, id="unless that takes long"),
        pytest.param(2.0, 10, False, True, 2.0, id="but never later than without"),
        pytest.param(0.4, 500, True, True, 1.6, id="the sooner of both"),
    ],
)
def test_a_pause(took: float, pods: int, *, soon: bool, limited: bool, seconds: float) -> None:
    assert pause(took, pods, soon=soon, limited=limited) == pytest.approx(seconds)
