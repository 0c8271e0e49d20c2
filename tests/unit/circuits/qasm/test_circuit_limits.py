"""Texts that would take all the memory or time there is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qonverge.circuits import CheckerLost, InvalidProgram
from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.checker.checker import Checker
from qonverge.circuits.checker.child import answer
from qonverge.circuits.checker.lanes import Limits

H = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


@pytest.mark.parametrize(
    "size", ["1000000000", "1_000_000_000", "0x3B9ACA00", "0b111011100110101100101000000000", "0o7346545000", "/**/1e3"]
)
@pytest.mark.parametrize("kind", ["qubit", "bit"])
def test_a_register_is_bounded_however_its_size_is_written(size: str, kind: str) -> None:
    with pytest.raises(InvalidProgram, match=r"^line 3, column 1: a register of 1000000000 bits|constant integer") as e:
        check(f"{H}{kind}[{size}] r;", {}, [])
    assert e.value.expected


@pytest.mark.parametrize("size", ["1000 * 1000 * 1000", "-1", "9" * 400])
def test_a_register_is_bounded_whatever_its_size_is_computed_from(size: str) -> None:
    with pytest.raises(InvalidProgram, match=r"^line 3, column 1: a register of .* bits; expected at most 100000"):
        check(f"{H}qubit[{size}] r;", {}, [])


def test_the_largest_register_is_taken() -> None:
    assert check(f"{H}qubit[100000] q; bit c; c = measure q[0];", {}, []).analysis.num_qubits == 100_000


async def test_gates_that_unfold_without_end_are_stopped() -> None:
    doubling = "".join(f"gate g{n + 1} a {{ g{n} a; g{n} a; }}\n" for n in range(40))
    checker = Checker(Limits(cpu_seconds=2, memory_bytes=256 * 1024**2))
    try:
        with pytest.raises(InvalidProgram, match=r"reading the program took more .* allowed; expected fewer|no memory"):
            await checker.check(f"{H}gate g0 a {{ x a; }}\n{doubling}qubit q; bit c; g40 q; c = measure q;", {}, [])
        good = await checker.check(f"{H}qubit q; bit c; h q; c = measure q;", {}, [])
        assert good.analysis.num_qubits == 1
    finally:
        await checker.close()


async def test_the_memory_of_answers_is_bounded_by_all_that_they_hold() -> None:
    text = f"{H}qubit[16] q; h q;"
    sums = [
        {f"{number:016b}".replace("0", "I").replace("1", "Z"): 1.0 for number in range(start, start + 400)}
        for start in (1, 500)
    ]
    # Room for one such answer, not for two, although the circuits are small.
    checker = Checker(cache_bytes=100_000)
    try:
        first = await checker.check(text, {}, [sums[0]])
        assert len(first.qpy) < 10_000
        assert await checker.check(text, {}, [sums[0]]) is first
        await checker.check(text, {}, [sums[1]])
        assert await checker.check(text, {}, [sums[0]]) is not first
    finally:
        await checker.close()


async def test_an_answer_that_many_wait_for_is_counted_once() -> None:
    sums = {f"{number:016b}".replace("0", "I").replace("1", "Z"): 1.0 for number in range(1, 401)}
    checker = Checker(cache_bytes=150_000)
    try:
        answers = await asyncio.gather(*(checker.check(f"{H}qubit[16] q; h q;", {}, [sums]) for _ in range(4)))
        again = await checker.check(f"{H}qubit[16] q; h q;", {}, [sums])
        assert all(answer is again for answer in answers)
    finally:
        await checker.close()


async def test_an_answer_larger_than_all_that_is_kept_displaces_nothing() -> None:
    checker, small = Checker(cache_bytes=45_000), f"{H}qubit[2] q; bit[2] c; h q; c = measure q;"
    try:
        kept = await checker.check(small, {}, [])
        sums = {f"{number:016b}".replace("0", "I").replace("1", "Z"): 1.0 for number in range(1, 401)}
        await checker.check(f"{H}qubit[16] q; h q;", {}, [sums])
        assert await checker.check(small, {}, []) is kept
    finally:
        await checker.close()


async def test_ordinary_programs_need_little_memory() -> None:
    # Time enough for any machine: it is the memory that has to end it.
    checker = Checker(Limits(cpu_seconds=300, memory_bytes=160 * 1024**2))
    try:
        text = f"{H}gate foo a {{ h a; }} qubit[2] q; bit[2] c; rx(1.5 * 3 + 2) q[0]; foo q[1]; c = measure q;"
        assert (await checker.check(text, {}, [])).analysis.measured_bits == 2
        with pytest.raises(InvalidProgram, match="memory"):
            await checker.check(f"{H}qubit[20] q; bit c;\n" + "h q;\n" * 100_000 + "c = measure q[0];", {}, [])
    finally:
        await checker.close()


async def test_a_child_that_cannot_start_says_nothing_about_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "qiskit"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise SystemExit(3)\n")
    checker = Checker()
    try:
        with monkeypatch.context() as environment:
            environment.setenv("PYTHONPATH", str(tmp_path))
            with pytest.raises(CheckerLost, match="exit status 3"):
                await checker.check(f"{H}qubit q; bit c; c = measure q;", {}, [])
        assert (await checker.check(f"{H}qubit q; bit c; c = measure q;", {}, [])).analysis.num_qubits == 1
    finally:
        await checker.close()


def test_a_fault_inside_is_told_as_what_it_is() -> None:
    request = {"program": f"{H}qubit q; bit c; c = measure q;", "parameters": {}, "observables": 5, "layout": None}
    assert answer(request)["fault"] == "the program cannot be read: TypeError: 'int' object is not iterable"
