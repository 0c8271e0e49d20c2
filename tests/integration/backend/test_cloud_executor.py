"""A backend in front of a cloud: a real service with faults on the other side of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from qiskit import QuantumCircuit

from qonverge.amounts import Limits, Money, Prices
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud import translator
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.tasks.engine import Engine
from qonverge.backend.tasks.records import Record
from qonverge.devices.noise import noise_named
from qonverge.wire.errors import BudgetExceeded, EngineFailed, InvalidCircuit, OutcomeUnknown
from qonverge.wire.grants import Grant
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.tokens import OPERATOR_SUBJECT, Caller
from qonverge.wire.vendor import VendorTask, limits_of
from tests.clouds.running import Service, provider, vendor
from tests.clouds.sweep import check, sweep

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUICK = Patience(first_backoff=0.02, most_backoff=0.1, device=0.1, poll_first=0.01, poll_near=0.05, cancel=5)
SECRET = "AWS-SECRET-7c1e"
STORM = ("drop-before", "drop-after", "error-after", "busy", "unavailable")


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(tmp_path_factory.mktemp("vendor")):
        yield


@contextlib.asynccontextmanager
async def proxy(
    service: Service, kind: str = "Tagged", patience: Patience = QUICK, **more: Any
) -> AsyncIterator[Engine]:
    options = {"concurrency": 50, "memory_bytes": 1024**3, "options": {"endpoint": service.url}, **more}
    made = Engine(EngineConfig(provider=kind, **options), executor=partial(CloudExecutor, patience=patience))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


class Site:
    """A vendor and a proxy in front of it."""

    def __init__(self, service: Service, engine: Engine) -> None:
        self.service, self.engine = service, engine

    async def ended(self, identity: str) -> TaskResult:
        async with asyncio.timeout(60):
            return await self.engine.wait(identity, float("inf"))

    async def until(self, condition: Any) -> Any:
        async with asyncio.timeout(60):
            while not (value := condition()):
                await asyncio.sleep(0.01)
        return value

    async def released(self) -> None:
        """Wait until nothing is busy with any task."""
        executor = self.engine._executor
        assert isinstance(executor, CloudExecutor)
        await self.until(lambda: not executor._runs)

    def stands(self, identity: str) -> TaskResult:
        record = self.engine._tasks.known(identity)
        assert record is not None
        return record.result or TaskResult(identity, record.state, vendor_tasks=record.vendor_tasks)

    def said(self, identity: str) -> str:
        return "".join(task.message for task in self.stands(identity).vendor_tasks)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["Keyed", "Tagged"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    with vendor() as service:
        async with proxy(service, request.param) as engine:
            yield Site(service, engine)


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    yield served
    served.service.reset()


async def test_a_program_pays_for_each_part_of_the_shots_that_the_device_takes_at_once(kit: Any, site: Site) -> None:
    def charge(budget: str) -> None:
        left = Limits(cost=Money(Decimal(budget), "USD"))
        grant = Grant(left, left, Prices(task=Decimal("0.3")), cost_is_budget=True)
        boot = site.engine.accounts.tell().boot
        site.engine.accounts.take({"uid-paid": grant}, boot)
        site.engine.submit(kit.task(_one(), "paid", shots=25_000), Caller("chem/paid", "uid-paid"))

    site.service.control(device={"max_shots": 10_000})
    await site.until(lambda: limits_of(site.engine.info().device).shots == 10_000)
    with pytest.raises(BudgetExceeded, match=r"the task costs 0\.9 USD and 0\.8 USD are left of the job's budget"):
        charge("0.8")
    charge("0.9")
    result = await site.ended("paid")
    assert len(result.vendor_tasks) == 3
    assert site.engine.accounts.tell().by_account["uid-paid"].used.cost_in("USD") == Decimal("0.9")


async def test_what_a_task_costs_is_told_while_the_device_does_not_answer(site: Site) -> None:
    site.service.control(device={"price": ["0.30", "USD"], "max_shots": 9_000})
    await site.until(lambda: limits_of(site.engine.info().device).shots == 9_000)
    told = site.engine.info().device
    assert told is not None
    assert 0 < (told.round_trip_seconds or 0) < 60
    site.service.fault("device", "refused", 1000)
    state = await site.until(lambda: found if (found := site.engine.info().device) and not found.online else None)
    assert (state.prices, limits_of(state).shots) == (Prices(task=Decimal("0.30")), 9_000)
    assert state.round_trip_seconds is None


async def test_results_and_what_is_told_of_them(kit: Any, site: Site) -> None:
    site.service.control(settings={"billed": ["0.25", "USD"]})
    site.engine.submit(sweep(kit, "plain"))
    result = await site.ended("plain")
    check(result)
    assert [task.state for task in result.vendor_tasks] == ["Completed"] * 3
    assert {str(task.billed) for task in result.vendor_tasks} == {"0.25 USD"}
    assert result.vendor_tasks[0].link.startswith("https://vendor.example/tasks/task-")
    assert (result.engine, result.calibration) == ("Vendor 1", "")
    text = site.engine.metrics.exposition().decode()
    assert 'qonverge_backend_cloud_billed_total{currency="USD"} 0.75' in text


async def test_each_exists_once_whatever_fails(kit: Any, site: Site) -> None:
    # Which calls the random ones hit depends on when it asks: one of each kind is certain.
    for place, each in enumerate(STORM):
        site.service.fault("submit", each, skip=3 * place)
    site.service.control(random=5, rate=0.25, settings={"lag": 0.1, "counts": True})
    for index in range(40):
        site.engine.submit(sweep(kit, f"storm-{index}"))
    for index in range(40):
        check(await site.ended(f"storm-{index}"))
    kinds = Counter(each["fault"] for each in site.service.calls("submit"))
    assert min(kinds[each] for each in STORM) > 0
    begun = Counter(task["key"] for task in site.service.tasks)
    assert len(begun) == 120
    assert set(begun.values()) == {1}
    await site.released()


@pytest.mark.parametrize(
    ("kind", "words", "online"),
    [
        ("busy", "too many requests", True),
        ("unavailable", "the device is offline", True),
        ("credentials", "the token is not valid", False),
        ("drop-before", "no reply from the vendor", True),
        ("error-after", "internal error", True),
    ],
)
async def test_what_passes_is_waited_out_and_said(
    kit: Any, site: Site, monkeypatch: pytest.MonkeyPatch, kind: str, words: str, online: bool
) -> None:
    site.service.fault("submit", kind, 1_000_000)
    # A call that had its effect is found soon, and what was said of it is gone.
    heard: list[VendorTask] = []
    note = Record.note

    def hearing(record: Record, tasks: tuple[VendorTask, ...]) -> None:
        heard.extend(tasks)
        note(record, tasks)

    monkeypatch.setattr(Record, "note", hearing)
    site.engine.submit(sweep(kit, f"waits-{kind}"))
    await site.until(lambda: any(words in each.message and each.state == "Queued" for each in heard))
    await site.until(lambda: site.engine.info().device.online is online)  # type: ignore[union-attr]
    site.service.control(mend=True)
    check(await site.ended(f"waits-{kind}"))
    assert len(site.service.tasks) == 3
    assert not site.said(f"waits-{kind}")


async def test_a_device_that_is_away(kit: Any, site: Site) -> None:
    calibration = noise_named("manila")
    site.service.control(
        device={
            "online": False,
            "reason": "its next window opens at noon",
            "available_at": 4e9,
            "queue_length": 17,
            "price": ["0.30", "USD"],
            "num_qubits": 5,
            "calibration": calibration.to_dict(),
        }
    )

    def told() -> Any:
        device = site.engine.info().device
        return device if device is not None and not device.online else None

    state = await site.until(told)
    assert (state.reason, state.available_at, state.queue_length) == ("its next window opens at noon", 4e9, 17)
    assert state.prices.currency == "USD"
    info = site.engine.info()
    assert (info.calibration_digest, info.max_qubits) == (calibration.digest, 5)
    assert info.calibration == calibration.to_dict()
    # It takes tasks all the same, which wait there.
    site.engine.submit(sweep(kit, "away"))
    result = await site.ended("away")
    check(result)
    assert result.calibration == calibration.digest
    site.service.control(device={"online": True, "reason": "", "available_at": None, "calibration": None})
    await site.until(lambda: told() is None and not site.engine.info().calibration_digest)


async def test_a_fault_of_the_device_costs_one_task_again_and_keeps_the_others(kit: Any, site: Site) -> None:
    site.service.fault("run", "retryable", 2)
    site.engine.submit(sweep(kit, "warm"))
    result = await site.ended("warm")
    check(result)
    assert Counter(task.state for task in result.vendor_tasks) == {"Completed": 3, "Failed": 2}
    assert len({task["key"] for task in site.service.tasks}) == len(site.service.tasks) == 5


async def test_what_the_cloud_will_not_run_fails_in_its_words(kit: Any, site: Site) -> None:
    site.service.control(settings={"seconds": 0.3})
    cases = {
        "refused": ("submit", "refused", 1, "refuses the task: the device has no such gate"),
        "final": ("run", "final", 1, "failed: the fridge is warm"),
        "warmer": ("run", "retryable", 9, "failed, as did 2 before it: the fridge is warm"),
        "lost": ("result", "refused", 1, "does not give the result of its task"),
    }
    for name, (call, kind, times, words) in cases.items():
        site.service.fault(call, kind, times)
        site.engine.submit(sweep(kit, name))
        result = await site.ended(name)
        assert isinstance(result.error, EngineFailed), name
        assert words in result.error.message
        assert not result.error.retryable
        await site.released()
        # Nothing runs on for a task that has failed.
        assert {task["state"] for task in site.service.tasks} <= {"Completed", "Failed", "Cancelled"}
        site.service.control(mend=True)


async def test_cancelled_is_cancelled_there(kit: Any, site: Site) -> None:
    site.service.control(settings={"seconds": 60})
    site.engine.submit(sweep(kit, "known"))
    await site.until(lambda: len(site.stands("known").vendor_tasks) == 3)
    site.service.fault("cancel", "busy", 2)
    assert (await site.engine.cancel("known")).state == "Cancelled"
    await site.released()
    assert {task.state for task in site.stands("known").vendor_tasks} == {"Cancelled"}
    # One that is being sent, whose id nobody has yet.
    site.service.fault("submit", "hold-after", 3)
    site.engine.submit(sweep(kit, "sending"))
    await site.until(lambda: site.service.control()["held"] == ["submit"] * 3)
    await site.engine.cancel("sending")
    site.service.control(release=True)
    await site.released()
    # One that could not be sent so far.
    site.service.fault("submit", "busy", 1_000_000)
    site.engine.submit(sweep(kit, "unsent"))
    await site.until(lambda: site.said("unsent"))
    await site.engine.cancel("unsent")
    await site.released()
    assert site.stands("unsent").vendor_tasks == ()
    assert [task["state"] for task in site.service.tasks] == ["Cancelled"] * 6
    # The reply was lost, and then it is cancelled.
    site.service.control(mend=True)
    site.service.fault("submit", "drop-after", 1)
    site.service.fault("submit", "busy", 1_000_000)
    site.engine.submit(kit.task(_one(), "unheard", shots=1))
    await site.until(lambda: len(site.service.tasks) == 7)
    await site.engine.cancel("unheard")
    await site.released()
    assert [task["state"] for task in site.service.tasks] == ["Cancelled"] * 7


async def test_a_cancel_that_is_refused_is_said_and_given_up(kit: Any) -> None:
    with vendor() as service:
        patience = Patience(first_backoff=0.02, most_backoff=0.1, poll_first=0.01, poll_near=0.05, cancel=0.3)
        async with proxy(service, "Keyed", patience) as engine:
            site = Site(service, engine)
            service.control(settings={"seconds": 60})
            service.fault("cancel", "refused", 1_000_000)
            engine.submit(kit.task(_one(), "stuck", shots=1))
            await site.until(lambda: site.stands("stuck").vendor_tasks)
            await engine.cancel("stuck")
            await site.released()
            (task,) = site.stands("stuck").vendor_tasks
            assert (task.state, task.message) == ("Queued", "the cloud does not cancel it: the device has no such gate")


def _one() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return circuit


async def test_many_tasks_are_asked_about_together(kit: Any, site: Site) -> None:
    site.service.control(settings={"seconds": 1.0})
    for index in range(15):
        site.engine.submit(sweep(kit, f"many-{index}", shots=1))
    for index in range(15):
        await site.ended(f"many-{index}")
    asked = site.service.calls("tasks")
    assert max(call["size"] for call in asked) == 20
    # 45 tasks for a second, looked at 20 times each at the most.
    assert len(asked) < 150
    finds = site.service.calls("find")
    assert sum(call["size"] for call in finds) == (45 if finds else 0)


async def test_the_process_that_opens_circuits(kit: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def children() -> list[psutil.Process]:
        own = psutil.Process().children()
        return [each for each in own if "qonverge.backend.executors.cloud.translating_child" in each.cmdline()]

    # It is replaced with all that it knew.
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    before = {each.pid for each in children()}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    site.engine.submit(sweep(kit, "replaced"))
    check(await site.ended("replaced"))
    (child,) = children()
    assert child.pid not in before
    assert SECRET not in Path(f"/proc/{child.pid}/environ").read_text()
    soft, _ = child.rlimit(psutil.RLIMIT_DATA)
    assert 0 < soft < 2 * 1024**3
    # What it trips over is that task's end, and no other's.
    hostile = b"QISKIT\x0d" + b"\xff" * 64
    name = hashlib.sha256(hostile).hexdigest()
    site.engine.submit(Task("hostile", (Pub(name),), {name: hostile}))
    site.engine.submit(sweep(kit, "other"))
    assert isinstance((await site.ended("hostile")).error, InvalidCircuit)
    check(await site.ended("other"))
    assert children() == [child]


async def test_room_at_the_cloud(kit: Any) -> None:
    with vendor() as service:
        service.control(settings={"seconds": 60})
        async with proxy(service, concurrency=2) as engine:
            site = Site(service, engine)
            assert engine.info().workers == 2
            engine.submit(sweep(kit, "first"))
            engine.submit(kit.task(_one(), "behind", shots=1))
            await site.until(lambda: len(service.tasks) == 2)
            # A third is not sent before one of them has ended.
            await engine.cancel("behind")
            await site.until(lambda: len(service.tasks) == 3)
            assert Counter(task["state"] for task in service.tasks) == {"Queued": 2, "Cancelled": 1}
            service.control(settings={"seconds": 0.0})
            check(await site.ended("first"))
            await site.released()


async def test_what_may_have_been_sent_is_not_sent_again_where_nothing_finds_it(kit: Any) -> None:
    with vendor() as service:
        async with proxy(service, "Untraceable") as engine:
            site = Site(service, engine)
            # What had no effect is the same as with any cloud, and so is what stops before it was sent.
            service.fault("submit", "busy")
            engine.submit(sweep(kit, "busy"))
            check(await site.ended("busy"))
            for kind in ("drop-before", "drop-after", "error-after"):
                service.fault("submit", kind, skip=1)
                engine.submit(sweep(kit, kind))
                error = (await site.ended(kind)).error
                assert isinstance(error, OutcomeUnknown)
                assert "look in the console for the tag" in error.message
                await site.released()
                (told,) = [task for task in site.stands(kind).vendor_tasks if not task.id]
                # It may run: who deletes the job waits for it, or says that it is not to be waited for.
                assert told.state == "Queued"
                assert "not sent again" in told.message
            assert len({task["key"] for task in service.tasks}) == len(service.tasks)
            # An earlier process may have sent it.
            service.reset()
            engine.submit(replace(sweep(kit, "resent"), again=True))
            assert isinstance((await site.ended("resent")).error, OutcomeUnknown)
            assert not service.tasks


async def test_what_an_earlier_process_sent_is_gone_on_with_where_its_ids_are_known(kit: Any) -> None:
    """Of a vendor that lists nothing: by the ids that the operator has from an earlier answer, and sends along."""
    names = ("kept", "cancelled")

    async def ids(engine: Engine, name: str) -> dict[str, str]:
        told = await engine.wait(name, 0)
        return {task.key: task.id for task in told.vendor_tasks if task.id}

    with vendor() as service:
        service.control(settings={"seconds": 60})
        known = dict[str, dict[str, str]]()
        async with proxy(service, "Untraceable") as first:
            for name in names:
                first.submit(sweep(kit, name))
                async with asyncio.timeout(60):
                    while len(known.setdefault(name, {})) < 3:
                        known[name] = await ids(first, name)
                        await asyncio.sleep(0.01)
        assert known["kept"].items() <= {(task["key"], task["id"]) for task in service.tasks}
        async with proxy(service, "Untraceable") as second:
            site = Site(service, second)
            for name in names:
                second.submit(replace(sweep(kit, name), again=True, known=known[name]))
            await second.cancel("cancelled")
            await site.until(lambda: Counter(task["state"] for task in service.tasks)["Cancelled"] == 3)
            service.control(settings={"seconds": 0.0})
            check(await site.ended("kept"))
            assert await ids(second, "kept") == known["kept"]
            await site.released()
        assert len(service.tasks) == 6


@pytest.mark.parametrize("kind", ["Keyed", "Tagged"])
async def test_a_task_that_was_recorded_is_the_same_after_the_device_took_fewer_shots_at_once(
    kit: Any, kind: str
) -> None:
    with vendor() as service:
        service.control(device={"max_shots": 10_000})
        async with proxy(service, kind) as first:
            device = first.info().device
            assert device is not None
            task = replace(kit.task(_one(), "recorded", shots=15_000), limits=device.limits)
            first.submit(task, Caller(OPERATOR_SUBJECT))
            async with asyncio.timeout(60):
                await first.wait("recorded", float("inf"))
        sent = [each["shots"] for each in service.tasks]
        assert sorted(sent) == [5_000, 10_000]
        service.control(device={"max_shots": 6_000})
        async with proxy(service, kind) as second:
            second.submit(replace(task, again=True), Caller(OPERATOR_SUBJECT))
            async with asyncio.timeout(60):
                result = await second.wait("recorded", float("inf"))
            assert result.results[0].counts == ({"1": 15_000},)
        assert [each["shots"] for each in service.tasks] == sent


async def test_what_is_refused_and_may_be_there_is_looked_for_first(kit: Any) -> None:
    """A key that is refused since the request has changed is that of a task which exists, and is paid for."""
    with vendor() as service:
        service.control(settings={"seconds": 60})
        async with proxy(service, "Keyed") as first:
            first.submit(sweep(kit, "there"))
            await Site(service, first).until(lambda: len(service.tasks) == 3)
        async with proxy(service, "Keyed") as second:
            site = Site(service, second)
            # Listings lag, and a reply that was lost makes one that was refused later one that may be there too.
            service.control(settings={"lag": 0.2})
            service.fault("submit", "refused", times=3)
            second.submit(replace(sweep(kit, "there"), again=True))
            await site.until(lambda: len(site.stands("there").vendor_tasks) == 3)
            service.fault("submit", "drop-after", times=3)
            service.fault("submit", "refused", times=3)
            second.submit(sweep(kit, "lost"))
            service.control(settings={"seconds": 0.0})
            for name in ("there", "lost"):
                check(await site.ended(name))
            service.fault("submit", "refused")
            second.submit(replace(sweep(kit, "never"), again=True))
            error = (await site.ended("never")).error
            assert isinstance(error, EngineFailed)
            assert "no such gate" in error.message
            await site.released()
        assert len({task["key"] for task in service.tasks}) == len(service.tasks)
        states = Counter(task["state"] for task in service.tasks)
        assert states["Completed"] >= 6


async def test_what_an_earlier_process_sent_is_cancelled_by_the_next(kit: Any, served: Site) -> None:
    served.service.control(settings={"seconds": 60})
    served.engine.submit(sweep(kit, "inherited"))
    await served.until(lambda: len(served.service.tasks) == 3)
    kind = served.engine.config.provider
    async with proxy(served.service, kind) as successor:
        successor.submit(sweep(kit, "inherited"))
        await successor.cancel("inherited")
        # The first of the three ends the task here.
        assert not (await served.ended("inherited")).results
        await served.until(lambda: [task["state"] for task in served.service.tasks] == ["Cancelled"] * 3)
    await served.released()
    served.service.reset()


async def test_the_retry_that_an_earlier_process_sent_is_cancelled_by_the_next(kit: Any, served: Site) -> None:
    served.service.fault("run", "retryable", 2)
    served.service.control(settings={"seconds": 0.0})
    # What comes after the first tries waits in the cloud's queue.
    served.service.fault("submit", "hold-before", 2, skip=3)
    served.engine.submit(sweep(kit, "retried"))
    await served.until(lambda: served.service.control()["held"] == ["submit"] * 2)
    served.service.control(settings={"seconds": 60}, release=True)
    await served.until(lambda: len(served.service.tasks) == 5)
    async with proxy(served.service, served.engine.config.provider) as successor:
        successor.submit(sweep(kit, "retried"))
        await successor.cancel("retried")
        site = Site(served.service, successor)
        await site.released()
        assert Counter(task["state"] for task in served.service.tasks) == {"Completed": 1, "Failed": 2, "Cancelled": 2}
        # Who asked for the end hears of all of them.
        told = {task.id: task.state for task in site.stands("retried").vendor_tasks}
        assert told == {task["id"]: task["state"] for task in served.service.tasks}
    await served.engine.cancel("retried")
    await served.released()
    served.service.reset()


async def test_credentials_that_are_refused_are_waited_for_and_never_shown(
    kit: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "TOKEN").write_text(SECRET)
    with vendor() as service:
        service.control(settings={"token": f"{SECRET}-renewed"})
        async with proxy(service, credentials=str(tmp_path)) as engine:
            site = Site(service, engine)
            ready = engine.ready
            assert not ready
            state = engine.info().device
            assert state is not None
            assert (state.online, state.reason) == (False, "the token is not valid")
            engine.submit(sweep(kit, "patient"))
            await site.until(lambda: "the token is not valid" in site.said("patient"))
            # Renewed without a restart.
            (tmp_path / "TOKEN").write_text(f"{SECRET}-renewed")
            result = await site.ended("patient")
            check(result)
            assert engine.ready
            shown = [str(result.to_dict()), str(engine.info().to_dict()), engine.metrics.exposition().decode()]
            assert not any(SECRET in text for text in (*shown, caplog.text))


async def test_one_tenant_s_heavy_circuits_do_not_keep_another_waiting(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translator, "SHORT_SECONDS", 0.5)
    busy = tmp_path / "busy"
    busy.touch()
    heavy = QuantumCircuit(1, 1)
    heavy.id(0)
    heavy.measure(0, 0)
    with vendor() as service:
        async with proxy(service, options={"endpoint": service.url, "busy": str(busy)}) as engine:
            site = Site(service, engine)
            for index in range(3):
                engine.submit(kit.task(heavy, f"heavy-{index}", shots=5), Caller("chem/j"))
            engine.submit(sweep(kit, "light"), Caller("bio/j"))
            check(await site.ended("light"))
            assert all(site.stands(f"heavy-{index}").state == "Queued" for index in range(3))
            busy.unlink()
            for index in range(3):
                assert (await site.ended(f"heavy-{index}")).results[0].counts == ({"0": 5},)
