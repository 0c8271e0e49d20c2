"""Programs that are killed under ``qonverge run``, and runs that are: the next one goes on from the last checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.integration.conftest import eventually

ITERATIONS = 30
SOURCE = """
import os, pathlib, signal, sys, time
import numpy as np
from qonverge.client import checkpoint, result

log, kills = pathlib.Path(sys.argv[1]), [int(number) for number in sys.argv[2:]]
pathlib.Path(f"{log}.pid").write_text(str(os.getpid()))
state = checkpoint.load() or {"iteration": 0, "x": np.array([1.0]), "rng": np.random.default_rng(3).bit_generator.state}
rng = np.random.default_rng()
while state["iteration"] < ITERATIONS:
    rng.bit_generator.state = state["rng"]
    x = 0.9 * state["x"] + 0.1 * rng.normal(size=1)
    state = {"iteration": state["iteration"] + 1, "x": x, "rng": rng.bit_generator.state}
    with log.open("a") as file:
        file.write(f"{state['iteration']}\\n")
    checkpoint.save(state)
    if state["iteration"] in kills and log.read_text().split().count(str(state["iteration"])) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while pathlib.Path(f"{log}.hold").exists() and state["iteration"] >= 10:
        time.sleep(0.05)
pathlib.Path(os.environ["QONVERGE_OUTPUT"], "x.txt").write_text(repr(float(state["x"][0])))
result(float(state["x"][0]))
""".replace("ITERATIONS", str(ITERATIONS))


def of(folder: Path, name: str, *kills: int) -> list[str]:
    """Return the command that runs a program which kills itself after some iterations, each time once."""
    args = [str(folder / f"{name}.log"), *map(str, kills)]
    job = {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "HybridJob",
        "metadata": {"name": name},
        "spec": {"program": {"python": {"source": SOURCE, "args": args}}},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(job))
    main = "from qonverge.cli.main import main; main()"
    return [sys.executable, "-c", main, "run", str(file), "-o", "json", "--files", str(folder / f"{name}-files")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}


def run(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    status: dict[str, Any] = json.loads(done.stdout)["status"]
    return {**status, "said": done.stderr}


def iterations(folder: Path, name: str) -> list[int]:
    return [int(line) for line in (folder / f"{name}.log").read_text().split()]


def checkpoints(folder: Path) -> list[str]:
    return [path.name for path in (folder / "state").rglob("checkpoints/*")]


def expected() -> float:
    """Return what a run that nobody disturbs finds."""
    x, generator = np.array([1.0]), np.random.default_rng(3)
    for _ in range(ITERATIONS):
        x = 0.9 * x + 0.1 * generator.normal(size=1)
    return float(x[0])


def test_what_was_killed_goes_on_where_it_was(tmp_path: Path, environment: dict[str, str]) -> None:
    """First the command with its program, then the program alone; the third run ends."""
    log, hold, command = tmp_path / "vqe.log", tmp_path / "vqe.log.hold", of(tmp_path, "vqe", 25)
    hold.touch()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as running:
        eventually(lambda: log.exists() and "00000010" in checkpoints(tmp_path), "the checkpoint that it waits after")
        running.kill()
    # A container's end would end it too.
    os.kill(int((tmp_path / "vqe.log.pid").read_text()), signal.SIGKILL)
    hold.unlink()
    status = run(command, environment)
    assert (status["state"], status["reason"], status["exitCode"]) == ("Failed", "ProgramFailed", 137)
    assert "a run that did not end left checkpoints in" in status["said"]
    assert sorted(checkpoints(tmp_path)) == ["00000024", "00000025"]
    status = run(command, environment)
    assert status["state"] == "Complete", status
    assert iterations(tmp_path, "vqe") == list(range(1, ITERATIONS + 1)), "no iteration runs twice"
    assert (status["result"]["value"], status["files"]["count"]) == (expected(), 1)
    assert (tmp_path / "vqe-files" / "x.txt").read_text() == repr(expected())
    assert checkpoints(tmp_path) == [], "the next run begins anew"
