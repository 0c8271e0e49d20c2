"""Dask in the ranks of a program: the scheduler beside rank 0, and a worker in each rank.

Both are Dask's own commands. A worker runs one task at a time, in a process of its own that its nanny starts again when
it dies. Tasks call the backend of their rank; beside that they are alone, whichever worker runs them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

# What only the program itself has: its rank, and who hears its reports and keeps its checkpoints.
_OF_THE_PROGRAM = ("QONVERGE_RANK", "RANK", "QONVERGE_WORLD_SIZE", "QONVERGE_REPORT_URL", "QONVERGE_STORE_URL")
# The scheduler would serve HTTP too, without authentication.
_NOBODY = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
_LOOPBACK = "127.0.0.1"
_ENDING_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_AGAIN_SECONDS = 0.05
_MISSING = (
    "qonverge: framework: Dask needs distributed, which is not installed here: put it into the program's image by "
    'pip install "qonverge[dask]"'
)


class DaskCluster:
    """The scheduler of a program, and the worker of its first rank."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        """Start both, and wait until all ranks have a worker.

        Args:
            environment: of rank 0.
            folder: with the program's modules, which workers import too.

        Raises:
            SystemExit: one of them ended.
        """
        address = environment["DASK_SCHEDULER_ADDRESS"]
        host, _, port = address.removeprefix("tls://").rpartition(":")
        words: tuple[str, ...] = ("--protocol", "tls", "--port", port, *_NOBODY)
        if host == _LOOPBACK:
            words = ("--host", host, *words)
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *words]
        self._scheduler = subprocess.Popen(command, env=_quiet(environment))  # noqa: S603 - our own
        worker = worker_environment(environment, folder)
        # The program itself has the port for metrics.
        worker.pop("QONVERGE_METRICS_LISTEN", None)
        self._worker = subprocess.Popen(worker_command(environment), env=worker)  # noqa: S603
        self._workers = int(environment["QONVERGE_WORLD_SIZE"])
        self._wait(address)

    def _wait(self, address: str) -> None:
        # Its own processes may end before there is anything to connect to, as where the port is taken.
        client = None
        while client is None or len(client.nthreads()) < self._workers:
            for name, process in (("scheduler", self._scheduler), ("worker of rank 0", self._worker)):
                if (code := process.poll()) is not None:
                    sys.exit(f"qonverge: Dask's {name} ended with exit code {code} before the program began")
            try:
                client = client or _client()(address, timeout=_CONNECT_SECONDS, set_as_default=False)
            except (OSError, TimeoutError):
                continue
            time.sleep(_AGAIN_SECONDS)
        client.close()

    def close(self) -> None:
        """End the scheduler and all workers, which exit with 0 then; nothing where the program did that already."""
        if self._scheduler.poll() is None:
            try:
                with _client()(timeout=_ENDING_SECONDS, set_as_default=False) as client:
                    # One that died and is being started again does not hear that there is no more to do.
                    with contextlib.suppress(TimeoutError):
                        client.wait_for_workers(self._workers, timeout=_ENDING_SECONDS)
                    # Workers whose scheduler is gone would call that an error.
                    client.retire_workers(workers=list(client.nthreads()))
                    client.shutdown()
            except (OSError, TimeoutError) as error:
                print(f"qonverge: Dask's scheduler did not take its end: {error}", file=sys.stderr)
        for process in (self._worker, self._scheduler):
            try:
                process.wait(_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _client() -> Any:
    """Return Dask's client, of which only some methods have types."""
    return importlib.import_module("distributed").Client


def begin(environment: MutableMapping[str, str], folder: Path) -> DaskCluster | None:
    """Start Dask where the program asked for it; None where it did not. Ranks but the first become workers.

    Raises:
        SystemExit: distributed is not installed, or did not start.
    """
    if environment.get("QONVERGE_FRAMEWORK") != "Dask":
        return None
    if importlib.util.find_spec("distributed") is None:
        sys.exit(_MISSING)
    if environment["QONVERGE_RANK"] == "0":
        return DaskCluster(environment, folder)
    command = worker_command(environment)
    os.execve(command[0], command, worker_environment(environment, folder))  # noqa: S606 - our own
    raise AssertionError


def worker_command(environment: Mapping[str, str]) -> list[str]:
    """Return the command of a rank's worker; it finds its scheduler in the environment."""
    address = environment["DASK_SCHEDULER_ADDRESS"]
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--name", environment["QONVERGE_RANK"]]
    if address.startswith(f"tls://{_LOOPBACK}:"):
        command += ["--host", _LOOPBACK]
    # One task for the slot that the rank holds. The pod's own limit of memory counts, and is the reason that is told.
    command += ["--nworkers", "1", "--nthreads", "1", "--memory-limit", "0", *_NOBODY]
    preload = "qonverge.client.program.dask_"
    return [*command, "--preload", f"{preload}worker", "--preload-nanny", f"{preload}nanny"]


def worker_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a rank's worker, and of the tasks in it."""
    kept = {name: value for name, value in environment.items() if name not in _OF_THE_PROGRAM}
    path = os.pathsep.join(filter(None, [str(folder), environment.get("PYTHONPATH")]))
    return {**_quiet(kept), "PYTHONPATH": path}


def _quiet(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Dask tells what went wrong only: the last lines of the log are the program's."""
    return {"DASK_LOGGING__DISTRIBUTED": "warning", **environment}
