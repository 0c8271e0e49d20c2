"""The program of a job, from its specification or the ConfigMap that this names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from qonverge.api import HybridJob
from qonverge.programs import source
from qonverge.programs.kinds import kind_of
from qonverge.programs.source import Program


class ProgramMissing(Exception):
    """What holds the program is not there, or lacks it; the message names it."""


async def program_of(job: HybridJob, config_map: Callable[[str], Awaitable[dict[str, Any] | None]]) -> Program:
    """Return the program.

    Args:
        job: whose program it is.
        config_map: returns a ConfigMap of the job's namespace by its name; None where there is none.

    Raises:
        InvalidProgram: it can be none.
        ProgramMissing: it is not there.
    """
    kind = kind_of(job)
    reference = kind.reference(job)
    if reference is None:
        program = kind.inline(job)
        assert program is not None
        return program
    found = await config_map(reference.name)
    if found is None:
        raise ProgramMissing(f"the ConfigMap {reference.name}")
    program = source.value(found, reference.key)
    if program is None:
        has = source.keys(found)
        raise ProgramMissing(f"the key {reference.key} of the ConfigMap {reference.name}; it has {has}")
    return program
