"""Quotas: nothing is counted twice, nothing is lost by a restart, and no limit is exceeded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qonverge.accounting.ledger import Ledger
from qonverge.amounts import Amounts, Money
from qonverge.api import QuantumQuota

HOUR = 3600.0
NOW = 1_000_000 * HOUR + 60


def quota(name: str = "q", status: dict[str, Any] | None = None, **limits: Any) -> QuantumQuota:
    return QuantumQuota.model_validate(
        {
            "metadata": {"name": name, "namespace": "chem", "generation": 1},
            "spec": {"limits": limits, "period": "1h"},
            "status": status or {},
        }
    )


def paid(amount: str, currency: str = "USD") -> tuple[Money, ...]:
    return (Money(Decimal(amount), currency),)


def left(ledger: Ledger, now: float = NOW) -> Any:
    remaining = ledger.remaining("chem", now)
    assert remaining is not None
    return remaining


def test_a_job_is_reserved_then_counted_as_what_it_took() -> None:
    ledger = Ledger()
    ledger.see(quota(shots=1000, seconds=10.0, concurrentJobs=2, cost={"amount": "5.00"}))
    ledger.reserve("a", "chem", Amounts(400, 4.0, paid("1.5")))
    assert (left(ledger).shots, left(ledger).seconds, left(ledger).jobs) == (600, 6.0, 1)
    assert left(ledger).cost.amount == Decimal("3.50")
    ledger.settle("a", "chem", Amounts(400, 2.5, paid("1.25")), NOW)
    assert (left(ledger).shots, left(ledger).seconds, left(ledger).jobs) == (600, 7.5, 2)
    assert left(ledger).cost.amount == Decimal("3.75")
    ledger.settle("a", "chem", Amounts(400, 2.5), NOW)
    assert left(ledger).shots == 600, "seen again, not run again"


def test_a_namespace_without_a_quota_has_no_limit_and_weight_one() -> None:
    ledger = Ledger()
    ledger.see(quota(shots=5))
    assert ledger.remaining("bio", NOW) is None
    assert ledger.weight("bio") == 1
    ledger.unsee("chem", "q")
    assert ledger.remaining("chem", NOW) is None


def test_of_several_quotas_the_tightest_holds() -> None:
    ledger = Ledger()
    ledger.see(quota("a", shots=100))
    ledger.see(quota("b", shots=50, concurrentJobs=3))
    assert (left(ledger).shots, left(ledger).jobs, left(ledger).seconds) == (50, 3, None)


def test_a_new_period_begins_at_nothing_but_what_is_under_way() -> None:
    ledger = Ledger()
    ledger.see(quota(shots=100))
    ledger.settle("a", "chem", Amounts(70), NOW)
    ledger.reserve("b", "chem", Amounts(20))
    assert left(ledger).shots == 10
    assert left(ledger, NOW + HOUR).shots == 80
    assert left(ledger).renews_at == 1_000_001 * HOUR


def test_money_of_another_currency_is_not_counted() -> None:
    ledger = Ledger()
    ledger.see(quota(cost={"amount": "5", "currency": "EUR"}))
    ledger.settle("a", "chem", Amounts(costs=paid("3", "USD")), NOW)
    ledger.settle("b", "chem", Amounts(costs=paid("3", "EUR")), NOW)
    assert left(ledger).cost.amount == 2


def test_a_limit_that_changes_its_currency_counts_what_was_paid_in_the_new_one() -> None:
    ledger = Ledger()
    ledger.see(quota(shots=100, cost={"amount": "5", "currency": "USD"}))
    ledger.settle("a", "chem", Amounts(10, costs=paid("3", "USD")), NOW)
    ledger.settle("b", "chem", Amounts(20, costs=paid("1", "EUR")), NOW)
    assert left(ledger).cost == Money(Decimal(2), "USD")
    ledger.see(quota(shots=100, cost={"amount": "5", "currency": "EUR"}))
    assert (left(ledger).shots, left(ledger).cost) == (70, Money(Decimal(4), "EUR"))
    ledger.reserve("c", "chem", Amounts(costs=paid("2", "EUR")))
    assert left(ledger).cost == Money(Decimal(2), "EUR")


def test_quotas_in_two_currencies_leave_no_money_at_all() -> None:
    """Each refuses what is paid in the currency of the other."""
    ledger = Ledger()
    ledger.see(quota("a", cost={"amount": "5", "currency": "USD"}))
    ledger.see(quota("b", cost={"amount": "3", "currency": "EUR"}))
    for currency in ("USD", "EUR"):
        assert left(ledger).exceeded_by(Amounts(1, costs=paid("1", currency))) == ("cost",)
    assert left(ledger).exceeded_by(Amounts(1)) == ()


def test_the_status_says_what_was_used_and_when_nothing_is_left() -> None:
    ledger, it = Ledger(), quota(shots=100)
    ledger.see(it)
    ledger.settle("a", "chem", Amounts(100, 1.5, paid("0.10")), NOW)
    ledger.reserve("b", "chem", Amounts(0, 1.0))
    status = ledger.status(it, NOW)
    assert status.used is not None
    assert (status.used.shots, status.used.seconds, status.used.cost) == (100, 1.5, "0.1 USD")
    assert status.running_jobs == 1
    exhausted = next(c for c in status.conditions if c.type == "Exhausted")
    assert (exhausted.status, exhausted.message) == ("True", f"nothing is left of shots until {status.period_end}")


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), max_size=30),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_a_restart_counts_every_job_once(jobs: list[tuple[int, int]], cut: int, deleted: int) -> None:
    """The jobs before the cut ended under the first operator, which wrote its status then; some were deleted since."""
    ended = [
        (f"job-{n}", Amounts(shots), NOW + sum(gap for _, gap in jobs[: n + 1])) for n, (shots, _) in enumerate(jobs)
    ]
    first, it = Ledger(), quota(shots=10_000)
    first.see(it)
    before, after = ended[:cut], ended[cut:]
    for uid, use, at in before:
        first.settle(uid, "chem", use, at)
    written = first.status(it, before[-1][2] if before else NOW)
    second = Ledger()
    # What it lists, in whatever order, may come before or after the quota.
    for uid, use, at in before[deleted:]:
        second.settle(uid, "chem", use, at)
    second.see(it.model_copy(update={"status": written}))
    for uid, use, at in [*before[deleted:], *after]:
        second.settle(uid, "chem", use, at)
    assert left(second).shots == 10_000 - sum(use.shots for _, use, _ in ended)


@given(st.integers(1, 500), st.lists(st.tuples(st.integers(1, 99), st.integers(0, 3)), max_size=40))
def test_whoever_reserves_no_more_than_remains_exceeds_nothing(limit: int, jobs: list[tuple[int, int]]) -> None:
    ledger, used, waiting = Ledger(), 0, []
    ledger.see(quota(shots=limit))
    for number, (shots, ends) in enumerate(jobs):
        if shots <= left(ledger).shots:
            ledger.reserve(str(number), "chem", Amounts(shots))
            waiting.append((str(number), shots))
        for uid, taken in waiting[:ends]:
            ledger.settle(uid, "chem", Amounts(taken), NOW)
            used += taken
        waiting = waiting[ends:]
        assert left(ledger).shots == limit - used - sum(taken for _, taken in waiting) >= 0


def test_a_job_that_waits_again_frees_its_place_but_not_what_it_used() -> None:
    ledger, it = Ledger(), quota(seconds=10.0, concurrentJobs=1)
    ledger.see(it)
    ledger.reserve("a", "chem", Amounts(0, 4.0))
    ledger.release("a", "chem", Amounts(0, 3.0))
    assert (left(ledger).seconds, left(ledger).jobs) == (7.0, 1)
    assert ledger.status(it, NOW).running_jobs == 0
    ledger.reserve("a", "chem", Amounts(0, 3.0) + Amounts(0, 4.0))
    assert (left(ledger).seconds, left(ledger).jobs) == (3.0, 0)
    ledger.release("a", "chem")
    assert (left(ledger).seconds, left(ledger).jobs) == (10.0, 1)
    ledger.release("b", "chem", Amounts())
    assert left(ledger).seconds == 10.0
    assert not ledger.counted("a", "chem")
    ledger.settle("a", "chem", Amounts(0, 5.0), NOW)
    assert ledger.counted("a", "chem")


def test_use_beyond_what_is_known() -> None:
    known, now = Amounts(4, 6.0, paid("1", "EUR")), Amounts(10, 5.0, paid("2", "EUR") + paid("3", "USD"))
    assert now.beyond(known) == Amounts(6, 0.0, paid("1", "EUR") + paid("3", "USD"))
    assert not Amounts(3, 1.0).beyond(Amounts(3, 1.0))
