"""What a program that ends on an error leaves for its job: the reason, where it is not the program's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qonverge.programs.python import left_reason

_HEAD = "from qonverge.client.errors import *\nfrom qonverge.wire import errors as wire\n"


@pytest.mark.parametrize(
    ("raised", "left"),
    [
        ("BackendUnreachable('no answer for 120 s')", ("BackendUnreachable", "no answer for 120 s")),
        ("TaskFailed(wire.WorkerLost('gone'))", ("WorkerLost", "gone")),
        ("TaskFailed(wire.QueueFull('full'))", ("QueueFull", "full")),
        ("TaskFailed(wire.TokenExpired('old'))", ("TokenExpired", "old")),
        ("TaskFailed(wire.WireError('a defect'))", ("Internal", "a defect")),
        ("TaskFailed(wire.BudgetExceeded('dear'))", ("BudgetExceeded", "dear")),
        ("ResultTooLarge('9 bytes')", ("ResultTooLarge", "9 bytes")),
        # The program's own, whatever it is called.
        ("TaskFailed(wire.InvalidCircuit('no'))", None),
        ("TaskFailed(wire.EngineFailed('no'))", None),
        ("RuntimeError('BackendUnreachable: so it says')", None),
    ],
)
def test_the_reason_is_left_where_it_is_not_the_program_s(
    raised: str, left: tuple[str, str] | None, tmp_path: Path
) -> None:
    file, log = tmp_path / "program.py", tmp_path / "termination-log"
    file.write_text(f"{_HEAD}raise {raised}\n")
    command = [sys.executable, "-m", "qonverge.client.program.run", str(file)]
    environment = {**os.environ, "QONVERGE_TERMINATION_LOG": str(log)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert left_reason(log.read_text() if log.exists() else "") == left
