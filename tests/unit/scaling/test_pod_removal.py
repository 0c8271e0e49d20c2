"""Which pods go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qonverge.scaling import Pod, Removal, choose

PODS = st.lists(
    st.builds(
        Pod,
        name=st.uuids().map(str),
        ready=st.booleans(),
        draining=st.booleans(),
        tasks=st.integers(0, 2),
        remaining_seconds=st.floats(0, 100),
        started=st.floats(0, 100),
    ),
    max_size=12,
    unique_by=lambda pod: pod.name,
)


def test_what_does_not_serve_goes_first_then_what_is_free_then_what_is_free_soon() -> None:
    pods = [
        Pod("long", ready=True, tasks=1, remaining_seconds=90.0),
        Pod("soon", ready=True, tasks=2, remaining_seconds=5.0),
        Pod("free", ready=True),
        Pod("starts", ready=False),
    ]
    assert choose(pods, 4) == Removal((), ())
    assert choose(pods, 3) == Removal(("starts",), ("starts",))
    assert choose(pods, 1) == Removal(("starts", "free", "soon"), ("starts", "free"))


def test_a_pod_that_drains_is_taken_back_where_more_are_wanted() -> None:
    pods = [Pod("a", ready=True, draining=True, tasks=1, remaining_seconds=9.0), Pod("b", ready=True, tasks=1)]
    assert choose(pods, 1).drain == ("a",)
    assert choose(pods, 2).drain == ()


@given(PODS, st.integers(0, 14))
def test_no_pod_with_a_task_is_removed_and_as_many_are_left_as_wanted(pods: list[Pod], wanted: int) -> None:
    removal = choose(pods, wanted)
    busy = {pod.name for pod in pods if pod.tasks}
    assert not busy & set(removal.remove)
    assert set(removal.remove) <= set(removal.drain)
    assert len(pods) - len(removal.drain) == min(wanted, len(pods))
    assert set(removal.drain) - busy == set(removal.remove)
