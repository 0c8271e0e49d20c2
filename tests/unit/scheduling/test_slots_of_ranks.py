"""Each rank of a parallel program holds a slot, and all ranks begin together."""

from __future__ import annotations

from qonverge.scheduling import Decision, Plan, Policy, Snapshot
from qonverge.scheduling.rounds import check
from tests.unit.scheduling.test_slots import decided, program
from tests.unit.scheduling.worlds import backend


def test_ranks_wait_until_a_slot_is_free_for_each() -> None:
    aer = backend("aer", workers=4, slot_seconds=(0.0, 0.0, 20.0, 50.0))
    found = decided([program("p", ranks=(3,))], aer)["p"]
    assert (found.backend, found.slot_place, found.expected_start) == (None, 1, 20.0)
    assert found.reason.startswith(
        "place 1 of 1 in the queue for 3 of the 4 program slots of lab/aer, start in about 20 s"
    )
    assert decided([program("p", ranks=(2,))], aer)["p"].backend == aer


def test_more_ranks_than_slots_take_all() -> None:
    assert decided([program("p", ranks=(4,))], backend("aer", slot_seconds=(0.0, 0.0)))["p"].backend
    found = decided([program("p", ranks=(4,))], backend("aer", slot_seconds=(0.0, 9.0)))["p"]
    assert (found.backend, found.expected_start) == (None, 9.0)
    assert "for all 2 program slots of lab/aer" in found.reason


def test_programs_that_come_later_do_not_take_what_ranks_wait_for_but_for_a_while() -> None:
    aer = backend("aer", workers=4, dispatch_depth=256, slot_seconds=(0.0, 30.0))
    ranks = program("ranks", created=0.0, ranks=(2,), program_seconds=100.0)
    long, short = (program(name, created=1.0, program_seconds=run) for name, run in (("long", 60.0), ("short", 10.0)))
    found = decided([ranks, long, short], aer)
    assert [name for name, each in found.items() if each.backend] == ["short"]
    assert found["ranks"].expected_start == 30.0


def test_ranks_on_several_backends_begin_when_all_have_slots() -> None:
    one, two = backend("one", slot_seconds=(0.0, 0.0)), backend("two", slot_seconds=(0.0, 40.0))
    found = decided([program("p", ranks=(2, 2))], one, two)["p"]
    assert (found.backend, found.expected_start) == (None, 40.0)
    assert "for all 2 program slots of lab/two, start in about 40 s" in found.reason
    assert {each.key for each in found.held_for} == {"lab/one", "lab/two"}
    # The last group may have fewer ranks.
    assert len(decided([program("p", ranks=(2, 1))], one, two)["p"].backends) == 2


def test_another_scheduler_may_not_send_ranks_without_a_slot_for_each() -> None:
    aer = backend("aer", workers=4, slot_seconds=(0.0, 5.0))
    sent = Plan((Decision("chem/p", aer, "I say so"),))
    assert "beyond what it takes" in check(Snapshot((program("p", ranks=(2,)),), (aer,), 0.0), Policy(), sent)
    assert check(Snapshot((program("p"),), (aer,), 0.0), Policy(), sent) == ""
