"""What follows from what was seen, whoever reacts first."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from qonverge.api.conditions import seconds
from qonverge.api.registry import KUBERNETES, RESOURCES
from qonverge.controller.kube.client import Kube
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.quotas.reconciler import Quotas
from qonverge.controller.store.resources import Change
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler, Reconciler, Watch, always, itself, owner_of_kind
from qonverge.controller.watching.dispatcher import Dispatcher
from tests.unit.controller.worlds import NOW, World

ENDED: dict[str, Any] = {"completedAt": "2026-01-01T00:00:00Z", "usage": {"shots": 100, "seconds": 4.0}}
RUNNING = {"state": "Running", "backend": "lab/a"}


async def nothing(_: str) -> None:
    return


def seen(name: str, version: int, owner: tuple[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    owners = [] if owner is None else [{"kind": owner[0], "name": owner[1], "uid": f"uid-{owner[1]}"}]
    metadata = {"name": name, "namespace": "chem", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "generation": 1, "ownerReferences": owners}, **fields}


def job(version: int, python: bool = False, **status: Any) -> dict[str, Any]:
    program = {"python": {"source": "x"}} if python else {"circuit": {"openqasm": "x"}}
    return seen("j", version, spec={"program": program, "shots": 100}, status=status)


class Desk:
    """Quotas and meters, registered in some order."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.world = world = World()
        # Within the period in which jobs end here.
        world.now = seconds(ENDED["completedAt"]) + 1
        self.dispatcher = dispatcher = Dispatcher(world.state, world.queue)
        clock = lambda: world.now  # noqa: E731
        statuses = StatusWriter(Kube.__new__(Kube), dispatcher.written)
        quotas = Quotas(state=world.state, statuses=statuses, ledger=world.ledger, queue=world.queue, clock=clock)
        metering = Metering(
            state=world.state,
            cluster=world.cluster,
            data=world.pods,
            ledger=world.ledger,
            queue=world.queue,
            charge=world.forecasts.charge,
            changed=quotas.changed,
            spent=world.metrics.spend,
            clock=clock,
        )
        declared = quotas.declared()
        handlers = (*declared.handlers, *metering.handlers(), *world.rounds.handlers())
        dispatcher.register(Reconciler(declared.kind, declared.reconcile, declared.watches))
        groups = [[each for each in handlers if each.kind == kind] for kind in {each.kind for each in handlers}]
        for group in groups:
            dispatcher.handle(group[number] for number in order if number < len(group))
        limits = {"shots": 1000, "seconds": 1000.0, "concurrentJobs": 5}
        dispatcher.observe("QuantumQuota", seen("q", 1, spec={"limits": limits}), deleted=False)

    def left(self) -> Any:
        return self.world.ledger.remaining("chem", self.world.now)


@pytest.mark.parametrize("python", [False, True], ids=["circuit", "program"])
@pytest.mark.parametrize(
    ("shown", "shots", "jobs"),
    [
        ([{}], 1000, 5),
        ([RUNNING], None, 4),
        ([RUNNING, {"state": "Pending"}], 1000, 5),
        ([RUNNING, {"state": "Complete", **ENDED}], 900, 5),
        ([{"state": "Failed", **ENDED}], 900, 5),
        # The same again, as a list shows it, is not counted again.
        ([{"state": "Failed", **ENDED}] * 3, 900, 5),
        ([RUNNING, None], 1000, 5),
    ],
)
def test_what_a_quota_has_left_does_not_depend_on_who_reacts_first(
    shown: list[Any], shots: int | None, jobs: int, python: bool
) -> None:
    outcomes = []
    for order in itertools.permutations(range(3)):
        desk = Desk(order)
        for version, status in enumerate(shown, 2):
            desk.dispatcher.observe("HybridJob", job(version, python, **(status or {})), deleted=status is None)
        outcomes.append(desk.left())
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0].jobs == jobs
    if shots is not None:
        assert outcomes[0].shots == shots


def queued(queue: WorkQueue) -> list[str]:
    """Return the keys that wait, in the order in which workers would get them."""
    found = []
    while (taken := queue._ready.take()) is not None:
        found.append(taken[1])
    return found


def test_a_child_is_about_its_owner_even_when_only_its_name_is_told() -> None:
    state, queue = State(), WorkQueue(lambda: NOW)
    dispatcher = Dispatcher(state, queue)
    owned = Watch("Service", owner_of_kind("QuantumBackend"), urgent=always)
    dispatcher.register(Reconciler("QuantumBackend", nothing, (owned,)))
    dispatcher.observe("Service", seen("s", 4, ("QuantumBackend", "b")), deleted=False)
    assert queued(queue) == ["QuantumBackend chem/b"]
    dispatcher.observe("Service", seen("other", 4, ("Elsewhere", "b")), deleted=False)
    # Older than what is known.
    dispatcher.observe("Service", seen("s", 3, ("QuantumBackend", "b")), deleted=False)
    assert queued(queue) == []
    dispatcher.observe("Service", {"metadata": {"name": "s", "namespace": "chem", "resourceVersion": "4"}}, True)
    assert queued(queue) == ["QuantumBackend chem/b"]
    assert state.owners["Service"] == {}


@pytest.mark.parametrize("kind", RESOURCES)
def test_every_object_is_reconciled_when_a_replica_takes_over_also_one_that_it_cannot_read(kind: str) -> None:
    state, queue = State(), WorkQueue(lambda: NOW)
    dispatcher = Dispatcher(state, queue)
    dispatcher.register(Reconciler(kind, nothing, (Watch(kind, itself),)))
    spec = {"QuantumBackend": {"simulator": {}}, "HybridJob": {"program": {"circuit": {"openqasm": "x"}}}}
    dispatcher.observe(kind, seen("good", 1, spec=spec.get(kind, {})), deleted=False)
    dispatcher.observe(kind, seen("strange", 2, spec={"later": 1}), deleted=False)
    both = {f"{kind} chem/good", f"{kind} chem/strange"}
    assert set(queued(queue)) == both
    dispatcher.look_at_all()
    assert set(queued(queue)) == both


def test_handlers_see_what_was_before_and_only_some_see_what_was_written_here() -> None:
    dispatcher, heard = Dispatcher(State(), WorkQueue(lambda: NOW)), list[tuple[str, Change]]()
    dispatcher.handle(
        Handler("HybridJob", lambda change, name=name: heard.append((name, change)), own_writes=own)  # type: ignore[misc]
        for name, own in (("watch", False), ("both", True))
    )
    dispatcher.observe("HybridJob", job(1, state="Pending"), deleted=False)
    dispatcher.written("HybridJob", job(2, state="Running"))
    states = [
        (name, None if change.before is None else change.before.status.state, change.after.status.state)
        for name, change in heard
    ]
    assert states == [("watch", None, "Pending"), ("both", None, "Pending"), ("both", "Pending", "Running")]


def test_what_nobody_watches_or_registered_is_refused() -> None:
    dispatcher = Dispatcher(State(), WorkQueue(lambda: NOW))
    with pytest.raises(ValueError, match="Secret is not watched: give it the verbs list and watch in the registry"):
        dispatcher.handle([Handler("Secret", lambda _: None)])
    with pytest.raises(ValueError, match="Deployment is not registered as a resource"):
        dispatcher.register(Reconciler("Deployment", nothing, ()))
    dispatcher.register(Reconciler("HybridJob", nothing, ()))
    with pytest.raises(ValueError, match="has a reconciler already"):
        dispatcher.register(Reconciler("HybridJob", nothing, ()))


def test_kinds_have_one_entry_each() -> None:
    assert not RESOURCES.keys() & KUBERNETES.keys()
