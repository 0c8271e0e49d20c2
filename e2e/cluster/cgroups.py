"""A cgroup of one's own in every hierarchy of this machine, of version 1 or 2, and the end of all that runs in it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from e2e.cluster.errors import ClusterError

_ROOT = Path("/sys/fs/cgroup")
#: Settings that a cpuset of version 1 must have before a process can join it.
_CPUSET = ("cpuset.cpus", "cpuset.mems")
_KILL_SECONDS = 20


def hierarchies(mountinfo: str) -> list[Path]:
    """Return where the cgroup hierarchies are mounted, from the text of ``/proc/self/mountinfo``."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] in {"cgroup", "cgroup2"}:
            found.append(Path(before.split()[4]))
    # Bind mounts show a hierarchy twice.
    return sorted({path for path in found if path.is_relative_to(_ROOT)})


class CgroupTree:
    """The cgroup ``name`` in every hierarchy; the kubelet keeps its pods' below it."""

    def __init__(self, name: str) -> None:
        self.name = name
        mounted = hierarchies(Path("/proc/self/mountinfo").read_text())
        self._mounted = mounted
        self._roots = [path / name for path in mounted]

    @property
    def daemons(self) -> Path:
        """Where a program of the cluster writes its process id to be found by ``kill``."""
        pids = next((path for path in self._mounted if path.name == "pids"), self._mounted[0])
        return pids / self.name / "daemons" / "cgroup.procs"

    def create(self) -> None:
        """Make the cgroups."""
        for root in self._roots:
            root.mkdir(exist_ok=True)
            for setting in _CPUSET:
                inherited = root.parent / setting
                # Version 2 has these files too, and there empty means inherited.
                if inherited.exists() and not (root.parent / "cgroup.controllers").exists():
                    (root / setting).write_text(inherited.read_text())
            if (root / "cgroup.controllers").exists():
                _delegate(root.parent)
                _delegate(root)
        self.daemons.parent.mkdir(exist_ok=True)

    def processes(self) -> set[int]:
        """Return the ids of all processes in the cgroups."""
        found: set[int] = set()
        for folder in self._folders():
            with contextlib.suppress(OSError):
                found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
        return found

    def remove(self) -> None:
        """Kill every process in the cgroups and remove them.

        Raises:
            ClusterError: a process did not end.
        """
        end = time.monotonic() + _KILL_SECONDS
        while processes := self.processes():
            _kill(processes)
            if time.monotonic() > end:
                raise ClusterError(f"processes {sorted(processes)} of the cluster do not end, after SIGKILL")
            time.sleep(0.05)
        for folder in sorted(self._folders(), key=lambda path: len(path.parts), reverse=True):
            _remove(folder, end)

    def _folders(self) -> Iterator[Path]:
        for root in self._roots:
            if root.is_dir():
                yield root
                # A cgroup may go while the tree is walked.
                for parent, folders, _ in os.walk(root):
                    yield from (Path(parent) / folder for folder in folders)


def _delegate(folder: Path) -> None:
    available = (folder / "cgroup.controllers").read_text().split()
    for controller in available:
        # One that the parent's processes still use cannot be given on; the kubelet names what it lacks.
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _kill(processes: Iterable[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _remove(folder: Path, end: float) -> None:
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            # A process that just ended keeps its cgroup busy for a moment.
            if time.monotonic() > end:
                raise ClusterError(f"{folder} cannot be removed: {error}") from None
            time.sleep(0.05)
        else:
            return
