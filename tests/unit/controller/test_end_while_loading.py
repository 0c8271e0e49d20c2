"""The operator's process, which is the first one of its container: signals without a handler do not come to that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

_HANGS = """
import time
print("loading", flush=True)
time.sleep(600)
"""


def test_one_that_is_asked_to_end_while_it_loads_ends(tmp_path: Path) -> None:
    """Where it took no notice it would stay until its grace period is over."""
    (tmp_path / "kubernetes.py").write_text(_HANGS)
    process = subprocess.Popen(
        [sys.executable, "-m", "qonverge.controller"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "loading\n"
            process.send_signal(signal.SIGTERM)
            # What ends without a handler has a negative one.
            assert process.wait(60) == 128 + signal.SIGTERM
        finally:
            process.kill()
