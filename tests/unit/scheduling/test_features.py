"""Backfill, splitting, hedging, preemption, quotas, holding back: one behaviour each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from qonverge.amounts import Money, TaskLimits
from qonverge.scheduling import Active, Policy, Quota, Share, Shares, plan
from qonverge.scheduling.model import Plan, Split, Terms, Weights
from tests.unit.scheduling.worlds import NEEDS, backend, job, snapshot


def sent(made: Plan) -> dict[str, str]:
    return {d.job.split("/")[1]: d.backend.name for d in made.decisions if d.backend is not None}


def test_what_can_not_start_soon_is_held_with_its_start() -> None:
    made = plan(
        snapshot([job("a"), job("b", created=1.0), job("c", created=2.0)], [backend("heron", dispatch_depth=1)])
    )
    assert sent(made) == {"a": "heron", "b": "heron"}
    held = made.decisions[2]
    assert (held.planned and held.planned.name, held.expected_start) == ("heron", 20.0)
    assert (
        held.reason == "held for lab/heron, the only candidate, until it can start: fidelity 0.9, wait 20 s, run 10 s"
    )


def test_the_chosen_and_the_runner_up_keep_their_numbers() -> None:
    made = plan(snapshot([job("a")], [backend("aer"), backend("qpu")], fidelity=[[0.95, 0.9]], cost=[[0.0, 1.5]]))
    (decision,) = made.decisions
    assert decision.reason == (
        "lab/aer is the best of 2 that fit: fidelity 0.95, run 10 s; "
        "next is lab/qpu: fidelity 0.9, run 10 s, cost 1.50 USD"
    )
    chosen, second = decision.candidates
    assert (chosen.backend, chosen.fidelity, second.backend, second.cost) == ("lab/aer", 0.95, "lab/qpu", 1.5)
    assert chosen.score < second.score


def test_one_assignment_beats_one_after_the_other() -> None:
    """The old job could have either backend, the young one gains from the fast one: both are served best together."""
    made = plan(
        snapshot(
            [job("either"), job("picky", created=1.0)], [backend("fast"), backend("slow")], run=[[10, 11], [10, 90]]
        )
    )
    assert sent(made) == {"either": "slow", "picky": "fast"}


@pytest.mark.parametrize(
    ("preset", "chosen"), [("Fidelity", "good"), ("Time", "quick"), ("Cost", "cheap"), ("Balanced", "good")]
)
def test_objectives(preset: str, chosen: str) -> None:
    terms = Terms(weights=Weights.preset(preset))  # type: ignore[arg-type]
    backends = [backend("good"), backend("quick"), backend("cheap")]
    made = plan(snapshot([job("a", terms=terms)], backends, [[0.95, 0.8, 0.55]], [[200, 20, 200]], [[2.0, 3.0, 0.1]]))
    assert sent(made) == {"a": chosen if preset != "Balanced" else sent(made)["a"]}


def test_soft_terms_decide_between_equals() -> None:
    cloud, edge = backend("a", tier="Cloud", site="x"), backend("b", tier="Edge", site="y")
    assert sent(plan(snapshot([job("j")], [cloud, edge]))) == {"j": "a"}
    preferring = job("j", terms=Terms(preferred_tiers=frozenset({"Edge"})))
    for one in (preferring, job("j", data_site="y"), job("j", warm=frozenset({"lab/b"}))):
        assert sent(plan(snapshot([one], [cloud, edge]))) == {"j": "b"}


def test_small_work_runs_in_front_of_a_reservation_only_where_it_ends_in_time() -> None:
    """The wide job waits for the second worker until 30 s; meanwhile the first one takes what ends by then."""
    heron = backend("heron", workers=2, free_seconds=(0.0, 30.0), load=0.5)
    wide = job("wide", needs=replace(NEEDS, slots=2), priority=1)
    made = plan(snapshot([wide, job("long"), job("short")], [heron], run=[[10], [31], [29]]))
    assert sent(made) == {"short": "heron"}
    assert [decision.expected_start for decision in made.decisions] == [30.0, 40.0, 0.0]


def test_shots_are_split_over_equal_backends_by_speed() -> None:
    wide = job("a", needs=replace(NEEDS, shots=9000), split=Split(1000))
    backends = [backend("one"), backend("two"), backend("other")]
    made = plan(snapshot([wide], backends, [[0.9, 0.905, 0.8]], [[100, 200, 50]], now=0.0))
    (decision,) = made.decisions
    assert {(part.backend.name, part.shots, part.kind) for part in decision.parts} == {
        ("one", 6000, "Split"),
        ("two", 3000, "Split"),
    }
    assert "split: 6000 shots on lab/one, 3000 shots on lab/two" in decision.reason
    assert (
        not plan(snapshot([replace(wide, split=None)], backends, [[0.9, 0.905, 0.8]], [[100, 200, 50]]))
        .decisions[0]
        .parts
    )
    few = replace(wide, split=Split(5000))
    assert not plan(snapshot([few], backends, [[0.9, 0.905, 0.8]], [[100, 200, 50]])).decisions[0].parts


def test_more_shots_than_a_backend_takes_at_once_are_split_on_it() -> None:
    wide = job("a", needs=replace(NEEDS, shots=2500))
    one = backend("one", max_shots=1000, dispatch_depth=None)
    assert plan(snapshot([wide], [one])).decisions[0].reason == "lab/one takes 1000 shots and the job asks for 2500"
    (decision,) = plan(snapshot([replace(wide, split=Split(500))], [one])).decisions
    assert [part.shots for part in decision.parts] == [834, 833, 833]
    assert plan(snapshot([replace(wide, split=Split(900))], [one])).decisions[0].impossible


@pytest.mark.parametrize(
    ("limit", "most", "parts"),
    [
        # 8 and a fee of 1 in one piece, two fees in two, three in three.
        ("budget", "8.99", None),
        ("budget", "9.99", {}),
        ("budget", "10", {"one": 4500, "two": 4500}),
        ("budget", "11", {"one": 3000, "two": 3000, "three": 3000}),
        ("quota", "9.99", {}),
        ("quota", "10", {"one": 4500, "two": 4500}),
    ],
)
def test_the_fees_of_all_parts_together_are_within_what_may_be_spent(
    limit: str, most: str, parts: dict[str, int] | None
) -> None:
    money = Money(Decimal(most))
    wide = job("a", needs=replace(NEEDS, shots=9000), split=Split(1000), budget=money if limit == "budget" else None)
    backends = [backend(name, task_price=1.0) for name in ("one", "two", "three")]
    quotas = {"chem": Quota(cost=money)} if limit == "quota" else {}
    (decision,) = plan(snapshot([wide], backends, run=100, cost=9.0, quotas=quotas)).decisions
    assert (decision.backend is None) == (parts is None)
    assert {part.backend.name: part.shots for part in decision.parts} == (parts or {})
    if parts:
        assert decision.reason.endswith(f", up to {8 + len(parts):.2f} USD together")


def test_a_part_with_a_fee_too_many_is_left_out_for_one_without() -> None:
    wide = job("a", needs=replace(NEEDS, shots=9000), split=Split(1000), budget=Money(Decimal(9)))
    backends = [backend("one", task_price=1.0), backend("two", task_price=1.0), backend("three")]
    (decision,) = plan(snapshot([wide], backends, run=100, cost=[[9, 9, 8]])).decisions
    # It starts where it is cheapest.
    assert {part.backend.name: part.shots for part in decision.parts} == {"three": 4500, "one": 4500}


def test_the_parts_that_a_backend_s_limit_of_shots_makes_have_their_fees() -> None:
    """In one task of two programs both bases would fit, in three parts they are three tasks."""
    needs = replace(NEEDS, shots=2500, all_shots=5000)
    one = backend("one", max_shots=1000, dispatch_depth=None, task_price=1.0, task_limits=TaskLimits(programs=100))
    for budget, parts in (("10.99", []), ("11", [834, 833, 833])):
        wide = job("a", needs=needs, split=Split(500), budget=Money(Decimal(budget)))
        (decision,) = plan(snapshot([wide], [one], cost=9.0)).decisions
        assert [part.shots for part in decision.parts] == parts
        assert parts or decision.reason == "lab/one would cost up to 11.00 USD and the budget has 10.99 USD"


def test_a_deadline_in_danger_is_hedged_within_the_budget() -> None:
    urgent = job("a", deadline=15.0, hedge=True, budget=Money(Decimal(3)))
    backends = [backend("a"), backend("b")]
    (decision,) = plan(snapshot([urgent], backends, run=[[10, 12]], cost=[[1, 1]], high=2.0)).decisions
    assert [(part.backend.name, part.kind) for part in decision.parts] == [("a", "Split"), ("b", "Hedge")]
    assert "also sent to lab/b, since the deadline is in danger" in decision.reason
    for other in (replace(urgent, hedge=False), replace(urgent, budget=Money(Decimal("1.5")))):
        assert not plan(snapshot([other], backends, run=[[10, 12]], cost=[[1, 1]], high=2.0)).decisions[0].parts
    # A forecast that keeps the deadline even at its upper bound needs no second try.
    assert not plan(snapshot([urgent], backends, run=[[10, 12]], cost=[[1, 1]], high=1.2)).decisions[0].parts


def test_a_hedge_is_no_second_job_and_its_cost_counts_in_its_own_currency() -> None:
    urgent = job("a", deadline=15.0, hedge=True)
    backends = [backend("a"), backend("b", currency="EUR")]

    def sent_to(quota: Quota, cost: Sequence[float]) -> int:
        view = snapshot([urgent], backends, run=[[10, 12]], cost=[cost], high=2.0, quotas={"chem": quota})
        return len(plan(view).decisions[0].parts)

    assert sent_to(Quota(jobs=1), [1, 1]) == 2
    assert sent_to(Quota(jobs=1, cost=Money(Decimal(1))), [1, 0]) == 2
    # No limit in dollars lets euros through.
    assert sent_to(Quota(jobs=1, cost=Money(Decimal(9))), [1, 1]) == 0


def test_a_program_whose_cost_is_not_known_is_sent_where_a_quota_has_money() -> None:
    """What it uses is metered."""
    unknown, metered = float("nan"), job("a", needs=None)
    for left, places in ((6, {"a": "x"}), (0, {})):
        quotas = {"chem": Quota(cost=Money(Decimal(left)))}
        made = plan(snapshot([metered], [backend("x")], unknown, unknown, unknown, quotas=quotas))
        assert sent(made) == places


def test_costs_in_two_currencies_are_not_compared() -> None:
    cheap = job("a", terms=Terms(weights=Weights(0.0, 0.0, 1.0)))
    backends = [backend("a", currency="EUR"), backend("b"), backend("c")]
    made = plan(snapshot([cheap], backends, cost=[[7, 8, 9]]))
    assert sent(made) == {"a": "b"}, "each is beside the highest one in its currency"


def test_lower_work_yields_where_its_policy_allows() -> None:
    busy = backend("heron", free_seconds=(100.0,), load=1.0)
    low = Active(
        "bio/low", "bio", "lab/heron", priority=1, preemptible=True, checkpointable=True, remaining_seconds=100.0
    )
    high = job("high", priority=5)
    made = plan(snapshot([high], [busy], active=(low,)))
    (preemption,) = made.preemptions
    assert (preemption.job, preemption.backend, preemption.beneficiary) == ("bio/low", "lab/heron", "chem/high")
    assert preemption.reason == (
        "chem/high of priority 5 starts on lab/heron in 0 s instead of 100 s; bio/low of priority 1 was running and "
        "begins again later"
    )
    assert made.decisions[0].reason.endswith("makes room by displacing bio/low on lab/heron")
    refused = [
        replace(low, preemptible=False),
        replace(low, checkpointable=False),
        replace(low, priority=5),
    ]
    assert all(not plan(snapshot([high], [busy], active=(other,))).preemptions for other in refused)
    assert not plan(snapshot([replace(high, may_preempt=False)], [busy], active=(low,))).preemptions
    queued = replace(low, started=False, checkpointable=False)
    assert plan(snapshot([high], [busy], active=(queued,))).preemptions
    assert not plan(snapshot([high], [busy], active=(low,)), Policy(preempt_after_seconds=200.0)).preemptions


def test_what_waits_on_a_backend_whose_calibration_went_stale_is_taken_back() -> None:
    stale = backend("heron", calibration_stale_reason="it is 26 h old")
    queued = Active("bio/q", "bio", "lab/heron", started=False)
    made = plan(snapshot([], [stale, backend("aer")], active=(queued, replace(queued, job="bio/r", started=True))))
    (preemption,) = made.preemptions
    assert (preemption.job, preemption.beneficiary) == ("bio/q", "bio/q")
    assert preemption.reason == (
        "bio/q had not started on lab/heron, whose calibration is not to be trusted: it is 26 h old"
    )
    assert not plan(snapshot([], [backend("heron")], active=(queued,))).preemptions


def test_a_plan_never_exceeds_what_is_left_of_a_quota() -> None:
    jobs = [job(str(n), created=float(n)) for n in range(4)] + [job("other", "bio", created=9.0)]
    backends = [backend("aer", workers=8)]
    for quota in (Quota(jobs=2), Quota(shots=2500), Quota(seconds=25.0), Quota(cost=Money(Decimal("5.0")))):
        made = plan(snapshot(jobs, backends, cost=2.0, quotas={"chem": replace(quota, renews_at=600.0)}))
        assert set(sent(made)) == {"0", "1", "other"}, quota
        assert made.decisions[2].reason == (
            "the quota of namespace chem is used up by what goes before it and renews in 10 min; "
            "best wait: lab/aer, 0 s"
        )
    exceeds = "lab/aer would exceed what is left of the quota of namespace chem: "
    for quota, why in (
        (Quota(shots=500), "it has 500 shots and the job takes 1000"),
        (Quota(seconds=9.0), "it has 9 s and the job takes up to 10 s"),
        (Quota(jobs=0, shots=0), "as many jobs as it allows are under way"),
        (Quota(cost=Money(Decimal("1.5"))), "it has 1.50 USD and the job takes up to 2.00 USD"),
    ):
        made = plan(snapshot(jobs, backends, cost=2.0, quotas={"chem": quota}))
        assert made.decisions[0].reason == exceeds + why
    assert not made.decisions[0].impossible


def test_a_quota_counts_what_the_chosen_backend_takes() -> None:
    """Two jobs would fit on the fast backend one after the other; at the same time one needs 18 s on the slow one."""
    jobs = [job("a"), job("b", created=1.0)]
    backends = [backend("fast"), backend("slow")]
    for left, expected in ((25.0, {"a": "fast"}), (30.0, {"a": "fast", "b": "slow"})):
        seen = snapshot(jobs, backends, run=[[10, 18], [10, 18]], quotas={"chem": Quota(seconds=left)})
        assert sent(plan(seen)) == expected


def test_a_quota_must_have_left_what_a_job_takes_at_most() -> None:
    for left, expected in ((29.0, {}), (30.0, {"a": "aer"}), (59.0, {"a": "aer"}), (60.0, {"a": "aer", "b": "aer"})):
        seen = snapshot([job("a"), job("b", created=1.0)], [backend("aer", workers=2)], high=3.0)
        assert sent(plan(replace(seen, quotas={"chem": Quota(seconds=left)}))) == expected


def test_a_higher_class_goes_first_and_an_old_job_before_it() -> None:
    jobs = [job("low", created=-50.0), job("high", created=0.0, priority=9)]
    assert sent(plan(snapshot(jobs, [backend("aer")]))) == {"high": "aer"}
    assert sent(plan(snapshot(jobs, [backend("aer")]), Policy(aging_seconds=40.0))) == {"low": "aer"}


def test_an_endangered_deadline_goes_first_within_its_class() -> None:
    jobs = [job(str(n), created=float(n)) for n in range(5)] + [job("due", created=9.0, deadline=25.0)]
    assert sent(plan(snapshot(jobs, [backend("aer")], now=10.0))) == {"due": "aer"}


def test_a_job_that_would_be_late_or_wait_too_long_is_not_put_there() -> None:
    first = job("first", priority=1)
    late = job("late", terms=Terms(max_wait_seconds=5.0))
    made = plan(snapshot([first, late], [backend("aer")]))
    assert made.decisions[1].planned is None
    assert made.decisions[1].reason == (
        "behind what goes before it, no backend would start within 5 s; best wait: lab/aer, 0 s"
    )
    made = plan(snapshot([first, job("due", deadline=15.0)], [backend("aer")]))
    assert made.decisions[1].reason == (
        "behind what goes before it, no backend would end within 15 s; best wait: lab/aer, 0 s"
    )


def test_namespaces_that_used_less_go_first() -> None:
    shares = Shares({"chem": Share(1.0, 50.0), "bio": Share(1.0, 0.0)})
    jobs = [job(str(n), created=float(n)) for n in range(9)] + [job(f"b{n}", "bio", created=20.0 + n) for n in range(9)]
    made = plan(snapshot(jobs, [backend("aer")], shares=shares), Policy(tranche=3.0))
    assert set(sent(made)) == {"b0"}
    assert shares.later(86_400.0).of("chem").usage == 25.0


def test_whose_turn_it_is_does_not_take_the_best_backend_from_those_behind_it() -> None:
    """By itself the long job would wait for it; the others, whose namespace has used more, need it far more."""
    others = [job(f"s{n}", "bio", created=1.0 + n) for n in range(5)]
    backends = [backend("best", free_seconds=(1.0,), load=1.0), backend("other")]
    run = [[60.0, 60.0]] + [[2.0, 2.0]] * 5
    fidelity = [[0.95, 0.949]] + [[0.95, 0.6]] * 5
    shares = Shares({"bio": Share(1.0, 500.0)})
    assert sent(plan(snapshot([job("long")], backends, fidelity[:1], run[:1], shares=shares))) == {}
    made = plan(snapshot([job("long"), *others], backends, fidelity, run, shares=shares))
    assert sent(made) == {"long": "other"}
    assert {d.planned.name for d in made.decisions[1:] if d.planned} == {"best"}
