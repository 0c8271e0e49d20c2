"""Programs that outlive the command that started them, recorded by process id and start time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from e2e.cluster.processes import wait_until

#: Index of the start time, in clock ticks since boot, in /proc/PID/stat after the state.
_START_TIME = 18
# The shell joins the cgroup and becomes the program, so nothing of the cluster ever runs outside the cgroup.
_JOIN = 'echo $$ > "$0" && exec "$@"'


class Supervisor:
    """Starts and ends programs, and finds them again."""

    def __init__(self, records: Path, logs: Path, cgroup: Path) -> None:
        """Keep records and logs in these folders; every program joins the cgroup with the file ``cgroup.procs``."""
        self._records = records
        self._logs = logs
        self._cgroup = cgroup

    def start(self, name: str, command: Sequence[str | Path], configuration: Path | None = None) -> None:
        """Start a program unless it runs already, with the same command line and the same content of its file."""
        digest = hashlib.sha256(json.dumps([str(word) for word in command]).encode())
        if configuration is not None:
            digest.update(configuration.read_bytes())
        if self.alive(name):
            if self._read(name).get("digest") == digest.hexdigest():
                return
            self.stop(name, grace=5)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _JOIN, str(self._cgroup), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        record = {"pid": process.pid, "start_time": start_time(process.pid), "digest": digest.hexdigest()}
        temporary = self._record(name).with_suffix(".new")
        temporary.write_text(json.dumps(record))
        temporary.rename(self._record(name))

    def pid(self, name: str) -> int | None:
        """Return the process id of a program that runs."""
        record = self._read(name)
        pid = record.get("pid", 0)
        started = start_time(pid)
        return pid if started is not None and started == record["start_time"] else None

    def alive(self, name: str) -> bool:
        """Whether a program runs."""
        return self.pid(name) is not None

    def wait_until(self, name: str, ready: Callable[[], bool], timeout: float) -> None:
        """Return when ``ready()`` holds.

        Raises:
            NotReady: the program ended first, or ``timeout`` seconds went by.
        """
        wait_until(ready, lambda: self.alive(name), name, self.log(name), timeout)

    def stop(self, name: str, grace: float) -> None:
        """End a program: SIGTERM, and SIGKILL after ``grace`` seconds."""
        pid = self.pid(name)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            # A stopped process takes no other signal.
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + grace
        while self.alive(name):
            if time.monotonic() > end:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def log(self, name: str) -> Path:
        """Return the log of a program."""
        return self._logs / f"{name}.log"

    def _read(self, name: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self._record(name).read_text())
        except FileNotFoundError:
            return {}
        return record

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"


def start_time(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None where it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may have spaces and parentheses itself.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[_START_TIME])
