"""Who waits for whom while programs are read, and whose fault it is that one cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import psutil
import pytest

from qonverge.circuits import CheckerLost, InvalidProgram
from qonverge.circuits.checker.checker import SHORT, Checker
from qonverge.circuits.checker.lanes import Limits, fitting

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
MIB = 1024**2
# Of CPU time, which is counted in hundredths. To say that it is ready takes a child less than a thousandth.
BUSY_SECONDS = 0.03


def program(number: int, gates: int = 1, padding: int = 0) -> str:
    """Return a program that no other number has; padding makes it look long without taking long."""
    rows = "rx(0.5) q[0]; cx q[0], q[1];\n" * (gates // 2)
    comment = f"// {'x' * padding}\n"
    return f"{HEADER}{comment}qubit[2] q; bit[2] c;\nrz({number}) q[0];\n{rows}c = measure q;"


def readers() -> list[psutil.Process]:
    """Return the children that read programs."""
    found = []
    for child in psutil.Process().children():
        # One that ends just now has no command line any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "qonverge.circuits.checker.child" in child.cmdline():
                found.append(child)
    return found


def limited(child: psutil.Process) -> bool:
    """Whether the child has loaded what it needs, as its limit of memory tells."""
    return bool(child.rlimit(psutil.RLIMIT_DATA)[0] != psutil.RLIM_INFINITY)


async def busy_reader() -> psutil.Process:
    """Return the child that reads a program now.

    Its CPU time tells: a child that has just loaded what it needs runs too, and says first that it is ready.
    """
    before: dict[int, float] = {}
    async with asyncio.timeout(60):
        while True:
            for child in readers():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if limited(child):
                        taken = sum(child.cpu_times()[:2])
                        if taken - before.setdefault(child.pid, taken) > BUSY_SECONDS:
                            return child
            await asyncio.sleep(0.02)


async def warm(checker: Checker) -> None:
    await checker.check(program(-1), {}, [])


async def test_a_long_check_keeps_no_short_one_waiting() -> None:
    checker = Checker()
    try:
        await warm(checker)
        # The second takes more than a short one may, and does not look like it.
        loop = "for int i in [1:20000] { rx(0.001 * i) q[0]; cx q[0], q[1]; }"
        unfolding = f"{HEADER}qubit[2] q; bit c; {loop} c = measure q[0];"
        foreseen, found_out = (
            asyncio.create_task(checker.check(text, {}, [], namespace="crowd"))
            for text in (program(0, gates=20_000), unfolding)
        )
        await asyncio.sleep(0)
        for number in range(1, 4):
            await checker.check(program(number), {}, [], namespace="alone")
        assert not foreseen.done()
        assert not found_out.done()
        foreseen.cancel()
        assert (await found_out).analysis.size == 40_001
    finally:
        await checker.close()


@pytest.mark.parametrize("padding", [0, 100_000])
async def test_namespaces_take_turns_whether_checks_are_short_or_long(padding: int) -> None:
    checker, order = Checker(), []

    async def one(namespace: str, number: int) -> None:
        await checker.check(program(number, padding=padding), {}, [], namespace=namespace)
        order.append(namespace)

    try:
        await warm(checker)
        crowd = [asyncio.create_task(one("crowd", number)) for number in range(12)]
        await asyncio.sleep(0)
        alone = [asyncio.create_task(one("alone", number)) for number in range(100, 102)]
        await asyncio.gather(*crowd, *alone)
        # Of the crowd one is under way when they come, and one goes in between.
        assert order.index("alone") <= 2
        assert order[:5].count("alone") == 2
    finally:
        await checker.close()


async def test_the_same_program_of_others_is_not_read_twice_and_not_waited_for() -> None:
    checker = Checker()
    try:
        await warm(checker)
        crowd = [
            asyncio.create_task(checker.check(program(number), {}, [], namespace="crowd")) for number in (0, 1, 2, 3)
        ]
        await asyncio.sleep(0)
        mine = await checker.check(program(3), {}, [], namespace="alone")
        assert not crowd[2].done()
        assert await crowd[3] is mine
    finally:
        await checker.close()


async def test_time_is_that_of_the_cpu_and_not_of_the_clock() -> None:
    checker = Checker(Limits(cpu_seconds=1.5))
    try:
        await warm(checker)
        checking = asyncio.create_task(checker.check(program(0, gates=1000), {}, []))
        child = await busy_reader()
        # As if the machine had no time for it.
        child.suspend()
        await asyncio.sleep(2.0)
        child.resume()
        assert (await checking).analysis.size == 1003
    finally:
        await checker.close()


async def test_more_cpu_time_than_is_allowed_fails_a_program_for_good_and_the_message_says_so() -> None:
    checker = Checker(Limits(cpu_seconds=2.0))
    try:
        with pytest.raises(InvalidProgram, match=r"took more than the 2 s of CPU time allowed; expected fewer"):
            await checker.check(program(0, gates=60_000), {}, [])
    finally:
        await checker.close()


@pytest.mark.parametrize("fate", ["killed", "hangs"])
async def test_a_check_that_ends_through_no_fault_of_its_own_is_tried_again(fate: str) -> None:
    checker = Checker(Limits(wall_seconds=8.0))
    try:
        await warm(checker)
        checking = asyncio.create_task(checker.check(program(0, gates=2000), {}, []))
        child = await busy_reader()
        child.kill() if fate == "killed" else child.suspend()
        assert (await checking).analysis.size == 2003
        assert child.pid not in [other.pid for other in readers()]
    finally:
        await checker.close()


async def test_what_ends_the_child_each_time_is_lost_where_it_was_killed_and_wrong_where_it_crashed() -> None:
    checker = Checker()

    async def ended_by(number: signal.Signals) -> str:
        checking = asyncio.create_task(checker.check(program(number, gates=20_000), {}, []))

        async def end_all() -> None:
            while True:
                (await busy_reader()).send_signal(number)

        ending = asyncio.create_task(end_all())
        try:
            await checking
        except (InvalidProgram, CheckerLost) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            ending.cancel()
        return "it was read"

    try:
        await warm(checker)
        assert "InvalidProgram: reading the program crashed the parser (" in await ended_by(signal.SIGSEGV)
        assert "CheckerLost: the process that reads programs was lost 3 times: it was k" in await ended_by(
            signal.SIGKILL
        )
        assert (await checker.check(program(0), {}, [])).analysis.size == 3
    finally:
        await checker.close()


async def test_a_crash_in_a_child_that_read_others_says_nothing_about_the_program() -> None:
    checker = Checker()
    try:
        await warm(checker)
        readers()[0].send_signal(signal.SIGSEGV)
        assert (await checker.check(program(0), {}, [])).analysis.size == 3
    finally:
        await checker.close()


async def test_children_without_work_end() -> None:
    checker = Checker(idle=0.1, short_processes=2)
    try:
        await asyncio.gather(*(checker.check(program(number), {}, []) for number in range(4)))
        async with asyncio.timeout(30):
            while readers():
                await asyncio.sleep(0.05)
    finally:
        await checker.close()


@pytest.mark.parametrize(
    ("cpus", "memory", "counts"),
    [
        (1, 1024 * MIB, (1, 1)),
        (1, 4096 * MIB, (1, 2)),
        (2, 2048 * MIB, (2, 1)),
        (2, 3072 * MIB, (2, 2)),
        (4, 3072 * MIB, (2, 2)),
        (4, 64 * 1024 * MIB, (4, 4)),
    ],
)
def test_there_are_as_many_children_as_cpus_and_memory_allow(cpus: int, memory: int, counts: tuple[int, int]) -> None:
    assert fitting(cpus, memory, SHORT, Limits()) == counts
