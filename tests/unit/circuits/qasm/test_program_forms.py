"""Circuits as text, QPY and compressed: the same circuit, and files that are none."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import zlib

import pytest
from qiskit import QuantumCircuit, qpy

from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.checker.checker import SHORT, Checker
from qonverge.circuits.qasm.formats import MOST_UNPACKED

TEXT = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nbit[2] c;\nh q[0];\ncx q[0], q[1];\nc = measure q;\n'


def circuit() -> QuantumCircuit:
    from qiskit import ClassicalRegister, QuantumRegister

    bell = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(2, "c"))
    bell.h(0)
    bell.cx(0, 1)
    bell.measure([0, 1], [0, 1])
    return bell


def dumped(*circuits: QuantumCircuit, **options: int) -> bytes:
    buffer = io.BytesIO()
    qpy.dump(list(circuits), buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "program",
    [
        TEXT.encode(),
        gzip.compress(TEXT.encode()),
        dumped(circuit()),
        gzip.compress(dumped(circuit())),
        dumped(circuit(), version=13),
    ],
    ids=["text", "gzip", "qpy", "gzip of qpy", "qpy 13"],
)
def test_every_form_is_the_same_circuit(program: bytes) -> None:
    assert check(program, {}, []).digest == check(TEXT, {}, []).digest


def test_a_circuit_of_qpy_keeps_parameters_and_observables() -> None:
    from qiskit.circuit import Parameter

    free = QuantumCircuit(2)
    free.ry(Parameter("theta"), 0)
    checked = check(dumped(free), {"theta": 0.5}, ["ZZ"])
    assert checked.analysis.parameters == ("theta",)
    with pytest.raises(InvalidProgram, match="no value is given for the parameter theta"):
        check(dumped(free), {}, ["ZZ"])


# With as much memory as the child has in which programs are read, and a process for each: a damaged number may ask for
# any amount: Qiskit ends the process where it gets none, and the checker says so.
DAMAGED = """
import contextlib, os, random, resource, signal, sys, traceback
import psutil
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import check

whole, draw = sys.stdin.buffer.read(), random.Random(5)
check(whole, {}, [])
memory = psutil.Process().memory_info().vms + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def read(data):
    try:
        # As in the child, of which the latter is an interpreter's that gets no memory for a call.
        with contextlib.suppress(InvalidProgram, MemoryError, SystemError):
            check(data, {}, [])
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

for _ in range(200):
    data = bytearray(whole)
    for _ in range(draw.randrange(1, 4)):
        data[draw.randrange(7, len(data))] = draw.randrange(256)
    if (pid := os.fork()) == 0:
        os._exit(read(bytes(data)))
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGABRT), (status, data.hex())
print("read all")
"""


def test_a_damaged_file_is_refused_or_read_and_nothing_else() -> None:
    command = [sys.executable, "-c", DAMAGED, str(SHORT.memory_bytes)]
    quiet = {**os.environ, "RUST_BACKTRACE": "0"}
    read = subprocess.run(command, input=dumped(circuit()), capture_output=True, check=False, env=quiet)
    assert read.stdout == b"read all\n", read.stderr.decode()


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (b"\x89PNG\r\n\x1a\n", "the program is neither text nor QPY"),
        (gzip.compress(b"\xff\xfe"), "the program is neither text nor QPY"),
        (gzip.compress(TEXT.encode())[:-12], "the compressed program is cut off"),
        (b"\x1f\x8b" + b"x" * 100, "the compressed program is damaged"),
        (gzip.compress(b"x" * (MOST_UNPACKED + 1)), "the compressed program is too large"),
        (gzip.compress(gzip.compress(TEXT.encode())), "the program is neither text nor QPY"),
        (b"QISKIT", "the QPY is damaged, or of a later version"),
        (dumped(circuit())[:-20], "the QPY is damaged, or of a later version"),
        (b"QISKIT\x0c" + dumped(circuit())[7:], "the QPY is of version 12"),
        (b"QISKIT\xff" + dumped(circuit())[7:], "the QPY is damaged, or of a later version"),
        (dumped(circuit(), circuit()), "the QPY holds 2 circuits; expected one"),
        (b"", "the program is empty"),
    ],
    # Compressed bytes hold the time, and are no names.
    ids=[
        "picture",
        "text of none",
        "cut off",
        "damaged",
        "too large",
        "twice",
        "head",
        "qpy cut off",
        "qpy 12",
        "qpy 255",
        "two",
        "empty",
    ],
)
def test_files_that_are_no_circuit(program: bytes, problem: str) -> None:
    with pytest.raises(InvalidProgram) as error:
        check(program, {}, [])
    assert problem in str(error.value)
    assert len(str(error.value)) < 500


async def test_a_bomb_is_refused_by_the_child_and_the_next_program_is_read() -> None:
    # 1 GiB of zeros in 1 MiB, and members behind each other.
    packed = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(packed.compress(bytes(1024 * 1024)) for _ in range(1024)) + packed.flush()
    checker = Checker()
    try:
        with pytest.raises(InvalidProgram, match="the compressed program is too large"):
            await checker.check(bomb, {}, [])
        assert (await checker.check(gzip.compress(TEXT.encode()), {}, [])).analysis.num_qubits == 2
    finally:
        await checker.close()


async def test_what_is_too_long_is_refused_with_both_sizes_and_without_the_text() -> None:
    checker = Checker()
    with pytest.raises(InvalidProgram) as error:
        await checker.check("x" * 5_000_000, {}, [])
    assert str(error.value) == (
        "the program has 5000000 characters; expected at most 4194304, or the same compressed by gzip"
    )


def test_a_name_as_long_as_the_program_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidProgram) as error:
        check(TEXT.replace("h q[0];", f"{'h' * 500_000} q[0];"), {}, [])
    assert str(error.value).startswith("line 5, column 1: gate 'hhh")
    assert len(str(error.value)) < 5000
