"""What a child process of ``Child`` does: it answers requests until there are no more, within its share of memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from qonverge.wire.frames import read_frame, write_frame

# Where the system does not tell what a process has: Python, numpy and Qiskit take about so much.
_PROCESS_BYTES = 160 * 1024**2
# Qiskit's allocator takes 32 MiB at a time, of which a circuit's gates fill little.
_SEGMENT_BYTES = 40 * 1024**2
_STACK_BYTES = 8 * 1024**2


def serve_requests(
    answer: Callable[[dict[str, Any]], dict[str, Any]], failed: Callable[[Exception], dict[str, Any]]
) -> None:
    """Answer one request after the other until standard input ends, in a process whose end is its parent's to decide.

    Args:
        answer: returns the answer to a request.
        failed: returns the answer in the place of one that does not travel.
    """
    # A signal to the whole group must not cut a running circuit short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests, answers = serve_pipes()
    end_with_parent()
    while (request := read_frame(requests)) is not None:
        done = answer(request)
        try:
            write_frame(answers, done)
        except (TypeError, ValueError, OverflowError, MemoryError) as error:
            # Nothing of it was written: an answer becomes bytes before the first of them leaves.
            write_frame(answers, failed(error))


def serve_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the child's request and answer streams; what libraries print goes to standard error from now on."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return requests, answers


def end_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed: one that computes would not notice for itself."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def limit_memory(more: int, threads: int = 1) -> None:
    """Let this process take so many bytes beyond what it has by now; what goes over it fails here alone.

    What allocators and the stacks of so many threads reserve is added, since it counts and is hardly used: a process
    that gets no memory for a thread ends.
    """
    limit = _reserved_bytes() + more + _SEGMENT_BYTES + (threads - 1) * _STACK_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _reserved_bytes() -> int:
    """Return the private memory that is reserved before the first task; threads' stacks count and are hardly used."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return _PROCESS_BYTES
