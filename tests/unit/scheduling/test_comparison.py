"""A second policy beside the recorded one: what it changes round by round, and with what follows."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from qonverge.amounts import Money
from qonverge.cli.main import cli
from qonverge.scheduling import Job, Policy, Quota, Snapshot, plan
from qonverge.scheduling.comparison import Group, compare
from qonverge.scheduling.model import Split, Weights
from qonverge.scheduling.policies import PolicyError, read_policy
from qonverge.scheduling.schedulers import SchedulerError, decide, find
from qonverge.scheduling.simulation import Simulation
from qonverge.scheduling.trace import read, record
from tests.unit.scheduling.worlds import NEEDS, backend, job, row, snapshot

GOOD = backend("good")
CHEAP = backend("cheap")
COSTLY_TIME = Policy(weights=Weights(0.0, 1.0, 0.0))


def line(seen: Snapshot, policy: Policy | None = None) -> str:
    policy = policy or Policy()
    return record(seen, policy, plan(seen, policy))


def one(groups: Sequence[Group], name: str = "all") -> Group:
    (found,) = [group for group in groups if group.name == name]
    return found


def test_what_changes_is_the_difference_of_what_was_forecast_where_each_policy_sends_it() -> None:
    jobs = [job("a"), job("b", "bio", priority=3)]
    seen = snapshot(jobs, [GOOD, CHEAP], fidelity=[[0.9, 0.6]] * 2, cost=[[5.0, 1.0]] * 2, run=1.0)
    seen = replace(seen, backends=(replace(GOOD, workers=2), replace(CHEAP, workers=2)))
    found = compare([read(line(seen, Policy(weights=Weights(1, 0, 0))))], Policy(weights=Weights(0, 0, 1)))
    assert (found.rounds, found.decisions, found.differing) == (1, 2, 2)
    for groups in (found.by_round, found.simulated):
        everything = one(groups)
        assert (everything.jobs, everything.elsewhere, everything.only_before, everything.only_after) == (2, 2, 0, 0)
        fidelity, cost = everything.fidelity, everything.costs["USD"]
        assert fidelity is not None
        assert (fidelity.before, fidelity.after) == pytest.approx((0.9, 0.6))
        # Both jobs change by as much: the interval has no width.
        assert (fidelity.low, fidelity.high) == pytest.approx((-0.3, -0.3))
        assert (cost.before, cost.after) == pytest.approx((5.0, 1.0))
        assert {group.name for group in groups} == {
            *("all", "namespace bio", "namespace chem", "priority 0", "priority 3")
        }
        assert one(groups, "namespace bio").jobs == 1


def test_the_interval_of_a_mean_is_students() -> None:
    seen = snapshot(
        [job("a"), job("b"), job("c")],
        [replace(GOOD, workers=3), replace(CHEAP, workers=3)],
        fidelity=[[0.9, 0.8], [0.9, 0.7], [0.9, 0.6]],
        cost=[[2.0, 1.0]] * 3,
    )
    found = compare([read(line(seen, Policy(weights=Weights(1, 0, 0))))], Policy(weights=Weights(0, 0, 1)))
    change = one(found.by_round).fidelity
    assert change is not None
    assert change.low is not None
    # Mean -0.2, standard deviation 0.1, and 4.302653 for two degrees of freedom, from a table of the distribution.
    assert change.low == pytest.approx(-0.2 - 4.302653 * 0.1 / math.sqrt(3), rel=1e-6)


def test_two_currencies_are_never_added_and_an_unknown_price_is_not_none() -> None:
    euro = replace(CHEAP, currency="EUR")
    seen = snapshot([job("a")], [GOOD, euro], fidelity=[[0.9, 0.2]], cost=[[2.0, 3.0]])
    found = compare([read(line(seen, Policy(weights=Weights(1, 0, 0))))], Policy(weights=Weights(0, 1, 0)))
    assert one(found.by_round).elsewhere == 0
    second = replace(read(line(seen)), outcomes=(replace(read(line(seen)).outcomes[0], backend="lab/cheap"),))
    costs = one(compare([second], Policy(weights=Weights(1, 0, 0))).by_round).costs
    assert {currency: (change.before, change.after) for currency, change in costs.items()} == {
        "EUR": (3.0, 0.0),
        "USD": (0.0, 2.0),
    }
    unknown = snapshot([job("a")], [GOOD], cost=float("nan"))
    assert one(compare([read(line(unknown))], Policy()).by_round).costs == {}


def test_a_job_that_many_rounds_see_counts_once() -> None:
    seen = snapshot([job("a")], [GOOD], run=10.0)
    held = replace(GOOD, serving=False, not_serving_reason="0 of 1 pods serve")
    rounds = [line(replace(seen, backends=(held,), now=float(now))) for now in range(5)] + [
        line(replace(seen, now=5.0))
    ]
    found = compare([read(each) for each in rounds], Policy())
    assert (found.decisions, one(found.by_round).jobs, one(found.simulated).jobs) == (6, 1, 1)
    waited = one(found.simulated).wait
    assert waited is not None
    assert waited.before == 5.0, "in the simulation it waits for the backend as the trace says when it serves"


def test_what_follows_from_decisions_shows_in_the_simulation_and_not_in_single_rounds() -> None:
    """Only fidelity counts: each round by itself finds the best device free, since the other policy kept it so."""
    lines: list[str] = []
    lived = Simulation(
        (GOOD, CHEAP), lambda _job: row([0.9, 0.8], [4.0, 4.0], [0.0, 0.0]), lambda _job, _target: 4.0, Policy()
    )
    in_force = Policy(weights=Weights(0.0, 1.0, 0.0))
    lived.policy = in_force
    lived.on_round = lambda seen, made: lines.append(record(seen, in_force, made))
    lived.run([job(f"j{n}", created=2.5 * n) for n in range(20)], lambda _task: (), math.inf)
    found = compare([read(each) for each in lines], Policy(weights=Weights(1.0, 0.0, 0.0)))
    alone, follows = one(found.by_round).wait, one(found.simulated).wait
    assert alone is not None
    assert follows is not None
    # Both policies are simulated on the same ground, and the one in force does there what it did.
    assert follows.before == pytest.approx(sum(t.start - t.job.created for t in lived.done) / 20)
    # Job n waits for those before it: it comes at 2.5 n and starts at 4 n.
    assert follows.after == pytest.approx(1.5 * sum(range(20)) / 20)
    assert alone.after < follows.after / 3


def test_what_the_backends_had_at_the_beginning_is_there_in_the_simulation() -> None:
    seen = snapshot([job("a")], [replace(GOOD, free_seconds=(30.0,), load=1.0)], run=10.0, now=1000.0)
    found = one(
        compare([read(line(seen)), read(line(replace(seen, jobs=(), now=2000.0, estimates=None)))], Policy()).simulated
    )
    assert found.wait is not None
    assert found.wait.before == pytest.approx(30.0)


def test_a_split_job_ends_with_its_last_part_and_a_hedged_one_with_its_first() -> None:
    runs = {"lab/good": 10.0, "lab/cheap": 20.0}
    backends = (GOOD, CHEAP)

    def live(one: Job, run: Sequence[float], high: float = 1.0) -> Simulation:
        made = Simulation(
            backends,
            lambda _job: row([0.9, 0.9], run, [0.0, 0.0], high),
            lambda _job, target: list(runs.values())[target],
        )
        made.run([one], lambda _task: (), math.inf)
        return made

    split = live(job("split", split=Split(10)), [10.0, 10.0])
    assert sorted((task.share, task.end) for task in split.done) == [(0.5, 5.0), (0.5, 10.0)]
    hedged = live(job("hedged", hedge=True, deadline=30.0), [10.0, 20.0], high=4.0)
    assert {(task.backend, task.kind) for task in hedged.done} == {(0, "Split"), (1, "Hedge")}
    assert hedged.now == 10.0, "the second try goes with the first that ends"
    assert not hedged.tasks


def test_weights_of_the_policy_are_those_of_jobs_that_say_nothing() -> None:
    jobs = [job("a"), job("b", terms=replace(job("x").terms, weights=Weights(1, 0.1, 0.1)))]
    seen = snapshot(
        jobs, [replace(GOOD, workers=2), replace(CHEAP, workers=2)], fidelity=[[0.9, 0.6]] * 2, cost=[[5, 1]] * 2
    )
    places = [d.backend.name for d in plan(seen, Policy(weights=Weights(0, 0, 1))).decisions if d.backend]
    assert places == ["cheap", "good"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patience: 3", "patience is not a field of a policy: agingSeconds, "),
        ("patienceSeconds: 0", "patienceSeconds is 0; more than 0"),
        ("agingSeconds: -1", "agingSeconds is -1; 0 or more"),
        ("weights: {fidelity: a}", "weights.fidelity: "),
        ("scheduler: Nobody", "no scheduler is called Nobody; installed: "),
        ("[1]", "an object is expected"),
        ("a: 1\n---\nb: 2", "2 documents; one is expected"),
        ("a: [", "line 2, column 1: "),
    ],
)
def test_a_policy_that_cannot_be_used_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said.replace("[", r"\[")):
        read_policy(text.encode(), Policy())


def test_a_policy_is_read_as_it_is_written() -> None:
    text = "patienceSeconds: 600\nagingSeconds: 60\nweights: {fidelity: 2, time: 1, cost: 0}\n"
    base = Policy(aging_seconds=5.0, tranche=3.0)
    assert read_policy(text.encode(), base) == Policy(60.0, 600.0, 3.0, weights=Weights(2, 1, 0))


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with schedulers of its own, found as any installed one."""
    (tmp_path / "others.py").write_text(
        textwrap.dedent("""
        from dataclasses import replace
        from qonverge.scheduling import Decision, Plan, plan

        def first(snapshot, policy):
            target = snapshot.backends[0]
            now = snapshot.now
            return Plan(tuple(Decision(job.key, target, "the first", expected_start=now) for job in snapshot.jobs))

        def broken(snapshot, policy):
            return 1 / 0

        def fewer(snapshot, policy):
            made = plan(snapshot, policy)
            return replace(made, decisions=made.decisions[1:])
        """)
    )
    folder = tmp_path / "others-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[qonverge.schedulers]\n" + "".join(f"{n.title()} = others:{n}\n" for n in ("first", "broken", "fewer", "gone"))
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    find.cache_clear()
    yield
    find.cache_clear()


@pytest.mark.usefixtures("plugins")
def test_a_scheduler_of_another_package_decides_and_is_kept_to_what_must_hold() -> None:
    two = [replace(GOOD, workers=2, max_qubits=9), CHEAP]
    policy = read_policy(b"{scheduler: First}", Policy())
    seen = snapshot([job("a"), job("b")], two, fidelity=[[0.1, 0.9]] * 2, run=1.0)
    assert [decision.backend for decision in decide(seen, policy).decisions] == [two[0], two[0]]
    assert one(compare([read(line(seen))], policy).simulated).jobs == 2
    refused = {
        "which breaks a hard term": snapshot([job("a", needs=replace(NEEDS, num_qubits=20))], two),
        "beyond what it takes": snapshot([job(name) for name in "abc"], two),
        "beyond the quota of its namespace": replace(
            snapshot([job("a"), job("b")], two), quotas={"chem": Quota(cost=Money(Decimal(10)), jobs=1)}
        ),
    }
    for said, each in refused.items():
        with pytest.raises(SchedulerError, match=f"the scheduler First sent chem/. .*{said}"):
            decide(each, policy)
    for name, said in (("Broken", "failed: ZeroDivisionError"), ("Fewer", "did not decide for every job")):
        with pytest.raises(SchedulerError, match=said):
            decide(seen, replace(policy, scheduler=name))
    with pytest.raises(PolicyError, match="the scheduler Gone can't be loaded from others:gone"):
        read_policy(b"scheduler: Gone", Policy())


def test_the_command_prints_both_tables_and_refuses_with_the_file_at_fault(tmp_path: Path) -> None:
    two = [replace(GOOD, workers=2), replace(CHEAP, workers=2)]
    seen = snapshot([job("a"), job("b", "bio")], two, fidelity=[[0.9, 0.6]] * 2, cost=[[5.0, 1.0]] * 2)
    trace, policy = tmp_path / "rounds.jsonl", tmp_path / "policy.yaml"
    trace.write_text(line(seen, Policy(weights=Weights(1, 0, 0))) + "\n")
    policy.write_text("weights: {fidelity: 0, time: 0, cost: 1}\n")
    runner = CliRunner()
    told = runner.invoke(cli, ["replay", str(trace), "--compare", "--policy", str(policy)])
    assert told.exit_code == 0, told.output
    assert "1 round, 2 decisions, 2 differ" in told.output
    assert "namespace bio" in told.output
    assert "0.9 -> 0.6" in told.output
    given = json.loads(runner.invoke(cli, ["replay", str(trace), "--compare", "-o", "json"]).output)
    assert given["differing"] == 0
    policy.write_text("patience: 1\n")
    refused = runner.invoke(cli, ["replay", str(trace), "--compare", "--policy", str(policy)])
    assert (refused.exit_code, refused.stderr.startswith(f"error: {policy}: patience is not a field")) == (2, True)
    alone = runner.invoke(cli, ["replay", str(trace), "--policy", str(policy)])
    assert (alone.exit_code, alone.stderr) == (2, "error: --policy goes with --compare\n")
