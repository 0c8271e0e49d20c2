"""What programs use is counted on pods that come, go, begin anew and lose messages, and never goes beyond a quota."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qonverge.accounting.conversion import usage_of
from qonverge.amounts import Amounts, Money, TaskLimits
from qonverge.api import HybridJob, QuantumBackend, QuantumQuota
from qonverge.backend.tasks.meters import Accounts
from qonverge.controller.pods.errors import PodLost
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.resources import Change
from qonverge.wire.errors import AccessEnded, BudgetExceeded, GrantPending, QuotaExceeded, WireError
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.messages import Pub, Task
from qonverge.wire.tokens import Caller
from tests.unit.controller.worlds import Pods, World

_PYTHON = {"python": {"source": "x"}}


def task(shots: int, sets: int = 1) -> Task:
    return Task("t", (Pub("c", {"a": np.zeros(sets)}, shots),))


class Metered(Pods):
    """Pods whose servers keep real accounts."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.accounts: dict[str, Accounts] = {}
        self.silent = ""
        """What of the next message is lost: the question, or the answer."""

    def of(self, pod: str) -> Accounts:
        return self.accounts.setdefault(pod, Accounts(lambda: self._world.now))

    async def meters(
        self, endpoint: Endpoint, audience: str, grants: Mapping[str, Grant] | None, boot: str = ""
    ) -> Meters:
        lost, self.silent = self.silent, ""
        if lost == "question":
            raise PodLost("the question was lost")
        # As they travel.
        given = None if grants is None else {name: Grant.from_dict(one.to_dict()) for name, one in grants.items()}
        accounts = self.of(endpoint.pod)
        accounts.take(given, boot)
        answer = accounts.tell()
        if lost == "answer":
            raise PodLost("the answer was lost")
        return Meters.from_dict(answer.to_dict())


class Desk:
    """An operator's metering of a backend with some pods."""

    def __init__(self, *, pods: int = 2, limits: dict[str, Any] | None = None, **spec: Any) -> None:
        self.world = World()
        self.pods = Metered(self.world)
        self.backend: QuantumBackend = self.world.backend("a", pods=pods, **spec)
        if limits is not None:
            metadata = {"name": "q", "namespace": "chem", "generation": 1}
            self.world.ledger.see(QuantumQuota.model_validate({"metadata": metadata, "spec": {"limits": limits}}))
        self.charged: list[tuple[str, float]] = []
        self.changed: list[str] = []
        self.again()

    def again(self) -> None:
        """Let another operator take over, which has what the one before it wrote."""
        state = self.world.state
        for key, job in state.jobs.items():
            usage = {"usage": usage_of(state.flights[key].unreachable_usage)}
            state.jobs[key] = job.model_copy(update={"status": job.status.model_copy(update=usage)})
        self.metering = Metering(
            state=self.world.state,
            cluster=self.world.cluster,
            data=self.pods,
            ledger=self.world.ledger,
            queue=self.world.queue,
            charge=lambda namespace, seconds: self.charged.append((namespace, seconds)),
            changed=self.changed.append,
            spent=self.world.metrics.spend,
            clock=lambda: self.world.now,
        )

    async def program(self, name: str = "j", **spec: Any) -> HybridJob:
        status = {"state": "Running", "backend": "lab/a", "attempts": 1}
        job = self.world.job(name, status=status, program=_PYTHON, **spec)
        self.metering.open(f"chem/{name}", job, [self.backend], 1)
        await self.metering.push()
        return job

    async def poll(self) -> None:
        for endpoint in self.world.endpoints():
            with contextlib.suppress(WireError):
                await self.metering.meet(endpoint, self.backend)
        self.metering.gone()

    def use(self, job: HybridJob, pod: str, sent: Task, seconds: float = 0.0, *, attempt: int = 1) -> Amounts:
        caller = Caller("chem/j", account_of(job), attempt)
        charged = self.pods.of(pod).charge(caller, sent, TaskLimits())
        self.pods.of(pod).ended(caller, charged, ran=seconds, completed=True)
        return charged

    def counted(self) -> Amounts:
        """Return what the quota of 1,000 shots and 1,000 seconds has counted or set aside."""
        left = self.world.ledger.remaining("chem", self.world.now)
        assert left is not None
        return Amounts(1000 - (left.shots or 0), 1000.0 - (left.seconds or 0.0))


def test_a_program_may_use_what_its_quota_leaves_on_any_pod() -> None:
    async def scenario() -> None:
        desk = Desk(limits={"shots": 1000})
        job = await desk.program()
        done = 0
        while done < 1000:
            try:
                desk.use(job, f"a-{done // 100 % 2}", task(100))
                done += 100
            except GrantPending:
                await desk.poll()
                await desk.poll()
        await desk.poll()
        await desk.poll()
        with pytest.raises(QuotaExceeded, match="asks for 1 shots and 0 are left"):
            desk.use(job, "a-0", task(1))
        assert desk.metering.used(job).shots == 1000

    asyncio.run(scenario())


def test_what_never_fits_is_refused_at_once_and_what_fits_is_granted_soon() -> None:
    async def scenario() -> None:
        desk = Desk(limits={"shots": 1000})
        job = await desk.program()
        with pytest.raises(QuotaExceeded, match="asks for 1001 shots and 1000 are left"):
            desk.use(job, "a-0", task(1001))
        with pytest.raises(GrantPending):
            desk.use(job, "a-0", task(1000))
        # The other pod gives back what it was granted, and then there is enough.
        await desk.poll()
        await desk.poll()
        assert desk.use(job, "a-0", task(1000)).shots == 1000

    asyncio.run(scenario())


def test_a_pod_that_an_operator_has_not_met_lets_nothing_through() -> None:
    async def scenario() -> None:
        desk = Desk(pods=1)
        job = await desk.program()
        with pytest.raises(GrantPending, match="not told this pod"):
            desk.use(job, "new", task(1))

    asyncio.run(scenario())


def test_seconds_and_money_are_kept_to() -> None:
    async def scenario() -> None:
        pricing = {"perShot": "0.01", "perSecond": "1", "currency": "EUR"}
        desk = Desk(limits={"seconds": 10.0, "cost": {"amount": "8", "currency": "EUR"}}, pods=1, pricing=pricing)
        job = await desk.program()
        refused = ""
        for _ in range(40):
            await desk.poll()
            try:
                desk.use(job, "a-0", task(100), seconds=0.5)
            except GrantPending:
                continue
            except QuotaExceeded as error:
                refused = error.message
                break
        await desk.poll()
        used = desk.metering.used(job)
        # Each task costs 1.50 EUR.
        assert (used.shots, used.seconds, used.costs) == (500, 2.5, (Money(Decimal("7.5"), "EUR"),))
        assert refused.startswith("the task costs 1 EUR and 0.5")

    asyncio.run(scenario())


def test_a_budget_limits_a_program_without_a_quota() -> None:
    async def scenario() -> None:
        desk = Desk(pods=1, pricing={"perShot": "0.01"})
        job = await desk.program(budget={"amount": "1.00"})
        with pytest.raises(BudgetExceeded, match=r"costs 1.01 USD and 1 USD are left of the job's budget"):
            desk.use(job, "a-0", task(101))
        other = await desk.program("free")
        assert desk.use(other, "a-0", task(10**6)).shots == 10**6

    asyncio.run(scenario())


@pytest.mark.parametrize(("quota", "named"), [(None, BudgetExceeded), (5000, BudgetExceeded), (600, QuotaExceeded)])
def test_the_shots_of_a_session_are_bounded_over_all_pods_by_what_binds_first(
    quota: int | None, named: type[WireError]
) -> None:
    async def scenario() -> None:
        desk = Desk(limits=None if quota is None else {"shots": quota})
        status = {"state": "Running", "backend": "lab/a", "attempts": 1}
        job = desk.world.job("j", status=status, program={"session": {"maxShots": 1000}})
        desk.metering.open("chem/j", job, [desk.backend], 1)
        await desk.metering.push()
        assert desk.metering.has_limits
        done, refused = 0, None
        while refused is None:
            try:
                desk.use(job, f"a-{done // 100 % 2}", task(100))
                done += 100
            except GrantPending:
                await desk.poll()
                await desk.poll()
            except WireError as error:
                refused = error
        assert isinstance(refused, named)
        assert done == min(1000, quota or 1000)
        assert desk.metering.used(job).shots == done

    asyncio.run(scenario())


def test_what_programs_spend_is_counted_once_and_not_while_it_may_be_given_back() -> None:
    async def scenario() -> None:
        desk = Desk(pods=1, pricing={"perShot": "0.01", "currency": "EUR"})

        def counted() -> dict[str, str]:
            text = desk.world.metrics.exposition().decode()
            return dict(re.findall(r"^qonverge_operator_(shots|cost)_total{.*} (\S+)$", text, re.MULTILINE))

        job = await desk.program()
        caller = Caller("chem/j", account_of(job), 1)
        desk.use(job, "a-0", task(100))
        await desk.poll()
        assert counted() == {"shots": "100.0", "cost": "1.0"}
        charged = desk.pods.of("a-0").charge(caller, task(50), TaskLimits())
        await desk.poll()
        assert counted()["shots"] == "100.0"
        desk.pods.of("a-0").ended(caller, charged, ran=1.0, completed=False)
        await desk.poll()
        assert counted()["shots"] == "100.0", "it failed, and used none"
        # An operator after this one counts what comes then.
        desk.use(job, "a-0", task(7))
        desk.again()
        desk.metering.observe("chem/j")
        await desk.poll()
        desk.use(job, "a-0", task(3))
        await desk.poll()
        assert counted() == {"shots": "103.0", "cost": "1.03"}

    asyncio.run(scenario())


def test_shares_and_statuses_follow_what_is_used() -> None:
    async def scenario() -> None:
        desk = Desk()
        job = await desk.program()
        desk.use(job, "a-1", task(5, sets=3), seconds=2.0)
        await desk.poll()
        assert desk.charged == [("chem", 2.0)]
        assert desk.changed == ["chem"]
        assert desk.world.flight("j").usage == Amounts(15, 2.0)
        desk.again()
        desk.metering.observe("chem/j")
        await desk.poll()
        assert (desk.metering.used(job), desk.charged[1:]) == (Amounts(15, 2.0), [("chem", 0.0)])

    asyncio.run(scenario())


def test_what_a_program_uses_at_last_is_counted_when_it_is_known() -> None:
    async def scenario() -> None:
        desk = Desk(limits={"shots": 1000, "seconds": 1000.0}, pods=1)
        job = await desk.program()
        desk.use(job, "a-0", task(100))
        await desk.poll()
        desk.use(job, "a-0", task(50))
        # The job is deleted now: what was known is counted by who stops it.
        desk.world.ledger.settle("uid-j", "chem", desk.metering.used(job), desk.world.now)
        desk.metering.stop("chem/j", desk.metering.used(job))
        del desk.world.state.jobs["chem/j"]
        assert desk.counted().shots >= 150
        await desk.poll()
        await desk.poll()
        assert desk.counted() == Amounts(150, 0.0)

    asyncio.run(scenario())


def test_a_pod_that_is_gone_holds_nothing_back() -> None:
    async def scenario() -> None:
        desk = Desk(limits={"shots": 1000, "seconds": 1000.0})
        job = await desk.program()
        desk.use(job, "a-0", task(100))
        await desk.poll()
        desk.use(job, "a-0", task(7))
        desk.metering.stop("chem/j", Amounts())
        for endpoint in desk.world.endpoints():
            desk.world.state.pods.remove(endpoint.key)
        await desk.poll()
        desk.world.ledger.release("uid-j", "chem")
        # The last 7 went with the pod.
        assert desk.counted() == Amounts(100, 0.0)

    asyncio.run(scenario())


def test_a_grant_that_may_still_be_in_force_stays_set_aside() -> None:
    async def scenario() -> None:
        desk = Desk(limits={"shots": 1000})
        job = await desk.program()
        one, two = desk.world.endpoints()
        with pytest.raises(GrantPending):
            desk.use(job, one.pod, task(800))
        await desk.poll()
        await desk.poll()
        # Nobody asks for it any more, and the message that takes it back is lost.
        desk.world.now += 60.0
        await desk.metering.meet(one, desk.backend)
        desk.pods.silent = "question"
        with pytest.raises(PodLost):
            await desk.metering.meet(one, desk.backend)
        for _ in range(2):
            with pytest.raises(GrantPending):
                desk.use(job, two.pod, task(500))
            await desk.metering.meet(two, desk.backend)
        assert desk.use(job, one.pod, task(800)).shots == 800

    asyncio.run(scenario())


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["drain", "poll", "restart", "question", "answer", "operator", "gone", "back"]),
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(1, 400),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@example(
    [
        ("drain", 0, 0, 1),
        ("gone", 0, 0, 1),
        ("poll", 0, 0, 1),
        ("drain", 1, 0, 1),
        ("drain", 1, 1, 1),
        ("restart", 1, 0, 1),
    ]
)
@given(_STEPS)
def test_no_order_of_events_goes_beyond_a_quota(steps: list[tuple[str, int, int, int]]) -> None:
    async def scenario() -> None:
        desk = Desk(limits={"shots": 1000, "seconds": 1000.0})
        jobs = [await desk.program(name) for name in ("one", "two")]
        away: dict[str, Endpoint] = {}
        used = 0

        def drain(job: HybridJob, pod: str, largest: int) -> None:
            """Use all that the pod lets through."""
            nonlocal used
            while largest:
                try:
                    used += desk.use(job, pod, task(largest)).shots
                except (GrantPending, QuotaExceeded):
                    largest //= 2

        for kind, pod, which, shots in steps:
            name = f"a-{pod}"
            match kind:
                case "drain":
                    drain(jobs[which], name, shots)
                case "poll":
                    await desk.poll()
                case "restart":
                    # What it ran since the last poll, and what is not written when an operator ends, would be lost.
                    await desk.poll()
                    desk.pods.accounts.pop(name, None)
                    await desk.poll()
                case "question" | "answer":
                    desk.pods.silent = kind
                    await desk.poll()
                case "operator":
                    desk.again()
                    for key in ("chem/one", "chem/two"):
                        desk.metering.observe(key)
                    await desk.poll()
                case "gone" if desk.world.state.pods.find(name) is not None and not away:
                    await desk.poll()
                    away[name] = desk.world.take_away(name)
                    desk.pods.accounts.pop(name, None)
                    await desk.poll()
                case "back" if name in away:
                    desk.world.serve(away.pop(name))
            assert used <= 1000
        for _ in range(30):
            for job in jobs:
                for name in desk.world.serving():
                    drain(job, name, 256)
            await desk.poll()
        assert used == 1000
        assert sum(desk.metering.used(job).shots for job in jobs) == used

    asyncio.run(scenario())


_TURNS = st.lists(
    st.tuples(
        st.sampled_from(
            ["poll", "push", "restart", "question", "answer", "operator", "gone", "back", "attempt", "over"]
        ),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@example([("attempt", 0, 0), ("question", 0, 0), ("over", 0, 1), ("operator", 0, 0), ("restart", 1, 0)])
@example([("gone", 0, 0), ("over", 0, 0), ("back", 0, 0)])
@given(_TURNS)
def test_pods_let_in_the_present_attempts_and_nobody_else(steps: list[tuple[str, int, int]]) -> None:
    """Whatever was lost, came twice or began anew before the last poll."""

    async def scenario() -> None:
        desk = Desk()
        state = desk.world.state
        jobs = [await desk.program(name) for name in ("one", "two")]
        present: dict[str, int | None] = {"chem/one": 1, "chem/two": 1}
        away: dict[str, Endpoint] = {}

        def is_let_in(job: HybridJob, pod: str, attempt: int) -> bool:
            try:
                desk.use(job, pod, task(1), attempt=attempt)
            except (GrantPending, AccessEnded):
                return False
            return True

        def show(key: str, **status: Any) -> None:
            """Let the watch show another status of a job."""
            job = state.jobs[key]
            state.jobs[key] = job.model_copy(update={"status": job.status.model_copy(update=status)})
            desk.metering.observe(key)

        for kind, pod, which in steps:
            name, key = f"a-{pod}", ("chem/one", "chem/two")[which]
            attempt = present[key]
            match kind:
                case "poll":
                    await desk.poll()
                case "push":
                    await desk.metering.push()
                case "restart":
                    desk.pods.accounts.pop(name, None)
                case "question" | "answer":
                    desk.pods.silent = kind
                    await desk.poll()
                case "operator":
                    desk.again()
                    for each in state.jobs:
                        desk.metering.observe(each)
                case "gone" if state.pods.find(name) is not None and not away:
                    away[name] = desk.world.take_away(name)
                    desk.pods.accounts.pop(name, None)
                case "back" if name in away:
                    desk.world.serve(away.pop(name))
                case "attempt" if attempt is not None:
                    show(key, state="Pending")
                    await desk.poll()
                    assert not any(is_let_in(jobs[which], each, attempt) for each in desk.world.serving())
                    desk.metering.open(key, state.jobs[key], [desk.backend], attempt + 1)
                    present[key] = attempt + 1
                    show(key, state="Running", attempts=attempt + 1)
                case "over" if attempt is not None:
                    del state.jobs[key]
                    desk.metering.observe(key)
                    present[key] = None
        desk.pods.silent = ""
        await desk.poll()
        for job in jobs:
            now = present[f"chem/{job.metadata.name}"]
            for name in desk.world.serving():
                for tried in range(1, 8):
                    assert is_let_in(job, name, tried) is (tried == now), (name, tried, now)

    asyncio.run(scenario())


async def test_what_is_open_on_a_pod_when_an_operator_takes_over_is_closed() -> None:
    """The job was deleted while no operator ran, and no other program uses the backend."""
    desk = Desk(pods=1)
    job = await desk.program()
    desk.use(job, "a-0", task(1))
    del desk.world.state.jobs["chem/j"]
    desk.again()
    await desk.poll()
    with pytest.raises(AccessEnded):
        desk.use(job, "a-0", task(1))


async def test_a_program_that_moved_is_closed_where_it_was_and_keeps_what_it_used() -> None:
    desk = Desk(pods=1, limits={"shots": 1000, "seconds": 1000.0})
    job = await desk.program()
    desk.use(job, "a-0", task(100))
    await desk.poll()
    desk.use(job, "a-0", task(20))
    other = desk.world.backend("b")
    desk.metering.open("chem/j", job, [other], 2)
    await desk.metering.push()
    await desk.metering.push()
    with pytest.raises(AccessEnded):
        desk.use(job, "a-0", task(1), attempt=2)
    while True:
        try:
            desk.use(job, "b-0", task(3), attempt=2)
            break
        except GrantPending:
            await desk.metering.meet(desk.world.endpoint("b-0"), other)
    await desk.metering.meet(desk.world.endpoint("b-0"), other)
    assert desk.metering.used(job).shots == 123
    desk.metering.stop("chem/j", desk.metering.used(job))
    desk.world.ledger.settle("uid-j", "chem", Amounts(123), desk.world.now)
    await desk.metering.push()
    assert desk.counted() == Amounts(123, 0.0)


async def test_a_namespace_that_is_no_more_admitted_loses_its_access() -> None:
    desk = Desk(pods=1)
    job = await desk.program()
    desk.use(job, "a-0", task(1))
    desk.world.cluster.labels = {"lab": {}}
    desk.metering.reconsider()
    assert await desk.world.queue.get() == "HybridJob chem/j"
    await desk.metering.push()
    with pytest.raises(AccessEnded):
        desk.use(job, "a-0", task(1))


async def test_what_a_program_has_on_a_backend_that_is_deleted_ends_with_it() -> None:
    """Its pods have their grace period of minutes for what they run, which nobody waits for."""
    desk = Desk(pods=1)
    job = await desk.program()
    desk.use(job, "a-0", task(1))
    del desk.world.state.backends["lab/a"]
    (handler,) = [each for each in desk.metering.handlers() if each.kind == "QuantumBackend"]
    handler.handle(Change("QuantumBackend", "lab/a", {}, desk.backend, None))
    assert await desk.world.queue.get() == "HybridJob chem/j"
    await desk.metering.push()
    with pytest.raises(AccessEnded):
        desk.use(job, "a-0", task(1))


async def test_how_often_a_program_waited_is_known_over_all_pods() -> None:
    desk = Desk()
    job = await desk.program()
    assert desk.metering.waits(job) is None or desk.metering.waits(job) == 0
    for number in range(7):
        desk.use(job, f"a-{number % 2}", task(1))
    await desk.poll()
    assert desk.metering.waits(job) == 7
    await desk.poll()
    assert desk.metering.waits(job) == 7, "pods tell sums"


def test_energy_of_a_program_is_counted_as_long_as_it_has_one_attempt_on_one_backend() -> None:
    async def scenario() -> None:
        desk = Desk(pods=2, energy={"taskWatts": 40})
        job = await desk.program()
        desk.use(job, "a-0", task(10), seconds=2.0)
        desk.use(job, "a-1", task(10), seconds=1.0)
        await desk.poll()
        assert desk.metering.used(job).joules == 120.0
        counted = 'qonverge_operator_energy_joules_total{backend="lab/a",namespace="chem"} 120.0'
        assert counted in desk.world.metrics.exposition().decode()
        # Nobody knows any more where an attempt before this one ran.
        desk.metering.open("chem/j", job, [desk.backend], 2)
        await desk.metering.push()
        desk.use(job, "a-1", task(10), seconds=1.0, attempt=2)
        await desk.poll()
        assert (desk.metering.used(job).seconds, desk.metering.used(job).joules) == (4.0, None)
        assert counted.replace("120.0", "160.0") in desk.world.metrics.exposition().decode()

    asyncio.run(scenario())


def test_what_an_operator_before_this_one_counted_has_no_energy_that_this_one_knows() -> None:
    async def scenario() -> None:
        desk = Desk(pods=1, energy={"taskWatts": 40})
        job = await desk.program()
        desk.use(job, "a-0", task(10), seconds=2.0)
        await desk.poll()
        desk.again()
        desk.metering.observe("chem/j")
        await desk.poll()
        assert (desk.metering.used(job).seconds, desk.metering.used(job).joules) == (2.0, None)

    asyncio.run(scenario())
