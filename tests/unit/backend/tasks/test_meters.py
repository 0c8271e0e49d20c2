"""What a pub is charged, and how long accounts are kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from qonverge.amounts import Amounts, Limits, Money, Prices, TaskLimits
from qonverge.backend.tasks.meters import Accounts, asked
from qonverge.wire.errors import AccessEnded, BudgetExceeded, GrantPending, QuotaExceeded
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.messages import Observable, Pub, Task
from qonverge.wire.tokens import PROGRAM_TOKEN_SECONDS, Caller
from qonverge.wire.vendor import VendorTask

_ZZ: Observable = (("ZZ", 1.0),)
_XX: Observable = (("XX", 1.0),)
_SETS = {"a": np.zeros(3)}
_CALLER = Caller("chem/j", "uid-1", attempt=2)


@pytest.mark.parametrize(
    ("pub", "charged"),
    [
        (Pub("c", shots=10), Amounts(10, tasks=1)),
        (Pub("c", _SETS, 10), Amounts(30, tasks=3)),
        (Pub("c", _SETS), Amounts(3 * 1024, tasks=3)),
        (Pub("c", _SETS, statevector=True), Amounts(0, tasks=3)),
        (Pub("c", _SETS, observables=(_ZZ, _XX)), Amounts(0, tasks=3)),
        (Pub("c", _SETS, 10, observables=(_ZZ, _XX)), Amounts(60, tasks=6)),
        (Pub("c", precision=0.1, observables=(_ZZ,)), Amounts(101, tasks=1)),
        # The first set is wanted in one basis, the second in two, the third not at all.
        (
            Pub("c", _SETS, 10, observables=(_ZZ, _XX), pairs=np.array([[0, 0], [1, 0], [1, 1]], np.int32)),
            Amounts(30, tasks=3),
        ),
        # Indices that are none are refused later, with a sentence.
        (Pub("c", _SETS, 10, observables=(_ZZ,), pairs=np.array([[0, 7]], np.int32)), Amounts(10, tasks=1)),
    ],
)
def test_what_a_pub_is_charged_is_known_before_it_runs(pub: Pub, charged: Amounts) -> None:
    assert asked([pub], TaskLimits()) == charged


class Pod:
    """Accounts at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.accounts = Accounts(lambda: self.now)

    def take(self, grants: dict[str, Grant]) -> Meters:
        self.accounts.take({name: replace(grant, attempt=2) for name, grant in grants.items()}, self.tell().boot)
        return self.tell()

    def tell(self) -> Meters:
        return self.accounts.tell()

    def use(self, shots: int, caller: Caller = _CALLER, **ended: Any) -> None:
        charged = self.accounts.charge(caller, Task("t", (Pub("c", shots=shots),)), TaskLimits())
        self.accounts.ended(caller, charged, **{"ran": 0.5, "completed": True, **ended})


def test_grants_for_a_former_start_change_nothing() -> None:
    """They count what was used since then, and would let it through again."""
    pod, bound = Pod(), Limits(1000)
    former = pod.tell().boot
    pod.accounts = Accounts(lambda: pod.now)
    pod.accounts.take({"uid-1": Grant(bound, bound)}, former)
    assert not pod.tell().by_account
    with pytest.raises(GrantPending):
        pod.use(1)
    pod.take({"uid-1": Grant(bound, bound)})
    pod.use(1)


def test_what_is_wanted_is_told_for_a_while() -> None:
    pod = Pod()
    with pytest.raises(GrantPending):
        pod.use(10)
    assert pod.tell().by_account["uid-1"].wanted == Amounts(10, tasks=1)
    pod.now = 6.0
    assert pod.tell().by_account["uid-1"].wanted is None


def test_only_what_has_a_result_uses_shots() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant()})
    pod.use(10)
    pod.use(10, completed=False)
    assert pod.tell().by_account["uid-1"].used == Amounts(10, 1.0, tasks=1)


def test_tasks_that_are_under_way_together_are_one_wait() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant()})
    for _ in range(3):
        pod.use(10)
    task = Task("t", (Pub("c", shots=1),))
    charged = [pod.accounts.charge(_CALLER, task, TaskLimits()) for _ in range(5)]
    for each in charged:
        pod.accounts.ended(_CALLER, each, ran=0.1, completed=True)
    pod.use(10)
    assert pod.tell().by_account["uid-1"].waits == 5


def test_a_caller_without_an_account_is_not_counted() -> None:
    pod = Pod()
    pod.use(10, Caller("chem/j"))
    assert not pod.tell().by_account


def test_an_account_that_is_closed_is_refused_for_as_long_as_its_tokens_live() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant()})
    pod.use(10)
    told = pod.take({}).by_account["uid-1"]
    assert (told.used.shots, told.now, told.under_way) == (10, Limits(0, 0.0), 0)
    # What it used is told for a while, so that a lost answer loses nothing.
    pod.now = 100.0
    assert "uid-1" in pod.take({}).by_account
    pod.now = 200.0
    pod.take({})
    assert "uid-1" not in pod.take({}).by_account
    for now in (200.0, 200.0 + PROGRAM_TOKEN_SECONDS):
        pod.now = now
        pod.tell()
        with pytest.raises(AccessEnded, match="has ended, was suspended or deleted"):
            pod.use(1)
    pod.now += 1.0
    pod.tell()
    with pytest.raises(GrantPending):
        pod.use(1)


def test_an_account_that_is_named_again_is_open_again() -> None:
    """As after an operator that knew less than there was."""
    pod = Pod()
    for seconds in (0.0, 1.0, 300.0):
        pod.take({"uid-1": Grant()})
        pod.use(10)
        pod.take({})
        pod.now += seconds
        pod.take({})


def test_an_account_that_no_list_names_is_refused_after_a_while() -> None:
    """The list that names it may be under way; without any list nobody knows."""
    pod = Pod()
    with pytest.raises(GrantPending, match="not told this pod of the program"):
        pod.use(1)
    assert pod.accounts.unnamed == 1
    pod.take({})
    pod.now = 9.0
    pod.take({})
    with pytest.raises(GrantPending):
        pod.use(1)
    pod.now = 100.0
    with pytest.raises(GrantPending):
        pod.use(1)
    pod.take({"uid-2": Grant()})
    with pytest.raises(AccessEnded):
        pod.use(1)
    assert pod.accounts.unnamed == 0


def test_an_attempt_that_the_operator_ended_is_refused_whatever_its_account_is() -> None:
    pod, over, next_one = Pod(), Caller("chem/j", "uid-1", attempt=1), Caller("chem/j", "uid-1", attempt=2)
    pod.accounts.end_run(over.run)
    pod.take({"uid-1": Grant(attempt=1)})
    for now in (0.0, PROGRAM_TOKEN_SECONDS):
        pod.now = now
        with pytest.raises(AccessEnded, match="attempt 1 of chem/j is over"):
            pod.use(1, over)
    pod.take({"uid-1": Grant(attempt=2)})
    pod.use(1, next_one)


def test_of_an_account_one_attempt_is_let_in() -> None:
    pod, former, next_one = Pod(), Caller("chem/j", "uid-1", attempt=1), Caller("chem/j", "uid-1", attempt=3)
    pod.take({"uid-1": Grant()})
    pod.use(1)
    with pytest.raises(AccessEnded, match="attempt 1 of chem/j is over"):
        pod.use(1, former)
    with pytest.raises(GrantPending):
        pod.use(1, next_one)


def test_each_amount_that_is_used_up_is_named() -> None:
    pod = Pod()
    prices = Prices(task=Decimal("0.3"), second=Decimal(1))
    for bound, sentence in (
        (Limits(shots=5), "asks for 10 shots and 5 are left"),
        (Limits(seconds=0.0), "all 0 seconds are used"),
        (Limits(cost=Money(Decimal("0.2"))), "costs 0.3 USD and 0.2 USD are left of what the namespace's quotas allow"),
    ):
        pod.take({"uid-1": Grant(bound, bound, prices)})
        with pytest.raises(QuotaExceeded, match=sentence):
            pod.use(10)


def test_a_budget_that_is_used_up_is_named_as_a_budget() -> None:
    pod, bound = Pod(), Limits(cost=Money(Decimal("0.2"), "EUR"))
    pod.take({"uid-1": Grant(bound, bound, Prices(task=Decimal("0.3"), currency="EUR"), cost_is_budget=True)})
    with pytest.raises(BudgetExceeded, match=r"costs 0.3 EUR and 0.2 EUR are left of the job's budget"):
        pod.use(10)

    by_time = Grant(Limits(), Limits(cost=Money(Decimal(0), "EUR")), Prices(second=Decimal("0.1"), currency="EUR"))
    pod.take({"uid-1": replace(by_time, cost_is_budget=True)})
    with pytest.raises(BudgetExceeded, match=r"costs 0.1 EUR a second and 0 EUR are left of the job's budget"):
        pod.use(10)


def test_shots_that_the_job_itself_is_bounded_to_are_no_quota() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant(Limits(shots=5), Limits(shots=5), shots_are_the_jobs=True)})
    with pytest.raises(BudgetExceeded, match=r"asks for 10 shots and 5 are left of the job's maxShots"):
        pod.use(10)
    pod.use(5)


def billed(*bills: str | None, currency: str = "USD") -> list[VendorTask]:
    told = [None if bill is None else Money(Decimal(bill), currency) for bill in bills]
    return [VendorTask(str(number), "Completed", billed=bill) for number, bill in enumerate(told)]


@pytest.mark.parametrize(
    ("bills", "completed", "cost"),
    [
        ([], True, "10.5"),
        ([], False, "0.5"),
        (billed("3", "4"), True, "7"),
        (billed("12", "4"), True, "16"),
        # A vendor bills what failed there, or does not.
        (billed("3"), False, "3"),
        (billed("0"), True, "0"),
        # Until all bills are known, no less than by the prices counts.
        (billed("3", None), True, "10.5"),
        (billed("30", None), True, "30"),
        (billed("3", currency="EUR"), True, "10.5"),
    ],
)
def test_what_a_vendor_billed_takes_the_place_of_the_prices(
    bills: list[VendorTask], completed: bool, cost: str
) -> None:
    pod, prices = Pod(), Prices(shot=Decimal(1), second=Decimal(1))
    pod.take({"uid-1": Grant(prices=prices)})
    pod.use(10, completed=completed, vendor_tasks=bills)
    used = pod.tell().by_account["uid-1"].used
    assert used.costs == Amounts(costs=(Money(Decimal(cost)),)).costs
    assert (used.shots, used.seconds) == (10 if completed else 0, 0.5)


def test_a_task_that_answered_a_part_is_paid_for_beside_the_one_for_the_rest() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant(prices=Prices(task=Decimal(3), shot=Decimal(1)))})
    states = ("Completed", "Failed", "Completed")
    pod.use(10, vendor_tasks=[VendorTask(str(number), state) for number, state in enumerate(states)])
    used = pod.tell().by_account["uid-1"].used
    assert (used.costs, used.shots) == ((Money(Decimal(16)),), 10)


def test_without_prices_a_bill_counts_in_its_currency() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant()})
    pod.use(10, vendor_tasks=billed("3", currency="EUR"))
    assert pod.tell().by_account["uid-1"].used.costs == (Money(Decimal(3), "EUR"),)


def test_prices_that_change_hold_from_then_on() -> None:
    """What was used before is not counted anew, and no currency is mixed with another."""
    pod, one = Pod(), Decimal(1)
    pod.take({"uid-1": Grant(prices=Prices(shot=one))})
    pod.use(10)
    pod.take({"uid-1": Grant(prices=Prices(shot=one, currency="EUR"))})
    pod.use(3)
    assert pod.tell().by_account["uid-1"].used.costs == (Money(Decimal(3), "EUR"), Money(Decimal(10), "USD"))


def test_what_is_under_way_while_its_account_is_closed_costs_its_time() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant(prices=Prices(second=Decimal(2)))})
    charged = pod.accounts.charge(_CALLER, Task("t", (Pub("c", shots=1),)), TaskLimits())
    pod.take({})
    pod.accounts.ended(_CALLER, charged, ran=1.5, completed=True)
    assert pod.tell().by_account["uid-1"].used.cost_in("USD") == 3


def test_many_short_tasks_cost_what_they_cost_together() -> None:
    pod = Pod()
    pod.take({"uid-1": Grant(prices=Prices(second=Decimal("0.00001")))})
    for _ in range(1000):
        pod.use(1, ran=0.002)
    assert pod.tell().by_account["uid-1"].used.cost_in("USD") == Decimal("0.00002")
