"""Memory of a process and its children."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

_MIB = 1024**2


def footprint(process: psutil.Process) -> dict[str, Any]:
    """Return MiB: ``rss``, ``pss`` (Linux) and ``peak_rss`` (Linux) of the process, of its children, and their sum.

    Resident memory counts pages that processes share once for each of them; the proportional set size divides them.
    """
    own, children = _sizes([process]), _sizes(process.children(recursive=True))
    return {
        "operator": {**own, "peak_rss": peak(process.pid)},
        "children": children,
        "sum": {name: _added(own[name], children[name]) for name in own},
    }


def _sizes(processes: Sequence[psutil.Process]) -> dict[str, float | None]:
    resident, proportional = 0.0, 0.0
    known = True
    for process in processes:
        # A child may end just now.
        with contextlib.suppress(psutil.NoSuchProcess):
            full = process.memory_full_info()
            resident += full.rss / _MIB
            known = known and hasattr(full, "pss")
            proportional += getattr(full, "pss", 0) / _MIB
    return {"rss": resident, "pss": proportional if known else None}


def _added(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def peak(pid: int) -> float | None:
    """Return the most resident memory that the process ever had, in MiB, where the system says it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)
