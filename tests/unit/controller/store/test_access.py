"""Whether a backend still serves a program: what is not known is no reason to end one."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api.backend import OFFERS_LABEL
from qonverge.controller.store.access import withdrawn
from qonverge.controller.store.resources import Unread
from tests.unit.controller.worlds import World

_OFFERING = {OFFERS_LABEL: "true"}
_SELECTED = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}}}
_ALL = {"namespaces": {"from": "All"}}


@pytest.mark.parametrize(
    ("access", "labels", "reason"),
    [
        (_ALL, {"lab": _OFFERING}, None),
        (_ALL, {"lab": {}}, "AccessWithdrawn"),
        # Labels were not asked for yet.
        (_ALL, {}, None),
        (_SELECTED, {"lab": _OFFERING}, None),
        (_SELECTED, {"lab": _OFFERING, "chem": {"team": "blue"}}, None),
        (_SELECTED, {"lab": _OFFERING, "chem": {"team": "red"}}, "AccessWithdrawn"),
        (_SELECTED, {"lab": {}, "chem": {"team": "blue"}}, "AccessWithdrawn"),
        ({"namespaces": {"from": "Same"}}, {}, "AccessWithdrawn"),
    ],
)
def test_who_is_admitted(access: dict[str, Any], labels: dict[str, dict[str, str]], reason: str | None) -> None:
    world = World()
    world.cluster.labels = labels
    world.backend("a", access=access)
    job = world.job("j", program={"python": {"source": "x"}})
    found = withdrawn(job, "lab/a", world.state, world.cluster)
    assert (None if found is None else found[0]) == reason
    if found is not None:
        assert found[1] == "the backend lab/a does not admit jobs of namespace chem any more"


def test_its_own_namespace_is_always_admitted() -> None:
    world = World()
    world.cluster.labels = {}
    backend = world.backend("a", access={"namespaces": {"from": "Same"}})
    assert not world.cluster.withdrawn(backend, "lab")


def test_a_backend_that_is_gone_or_going() -> None:
    world = World()
    backend, job = world.backend("a"), world.job("j")
    world.state.backends["lab/a"] = backend.model_copy(
        update={"metadata": backend.metadata.model_copy(update={"deletion_timestamp": "2030-01-01T00:00:00Z"})}
    )
    going = withdrawn(job, "lab/a", world.state, world.cluster)
    assert going == ("BackendLost", "the backend lab/a is being deleted")
    del world.state.backends["lab/a"]
    assert withdrawn(job, "lab/a", world.state, world.cluster) == ("BackendLost", "the backend lab/a was deleted")
    # One that this version cannot read is there.
    world.state.unread["QuantumBackend lab/a"] = Unread("QuantumBackend", {}, {}, "spec.new: what is this?")
    assert withdrawn(job, "lab/a", world.state, world.cluster) is None
