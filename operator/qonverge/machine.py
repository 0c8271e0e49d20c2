"""What of the machine this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def available_cpus() -> int:
    """Return the CPUs that this process may use: its affinity, or less where a cgroup's quota says so."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    v2 = _read("/sys/fs/cgroup/cpu.max").split()
    if len(v2) == 2 and v2[0] != "max":
        return max(1, min(cpus, -(-int(v2[0]) // int(v2[1]))))
    quota, period = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota and period and int(quota) > 0:
        return max(1, min(cpus, -(-int(quota) // int(period))))
    return cpus


def available_memory() -> int:
    """Return the bytes that this process and its children may use: the cgroup's limit, or the machine's memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path)
        if text.isdigit():
            return min(total, int(text))
    return total


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
