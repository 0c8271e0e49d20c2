"""Ids of a vendor's tasks, as programs are told them and send them back: those are believed that a server here told.

A program could else name tasks of others as its own, and get what they measured.
"""

from __future__ import annotations

from dataclasses import replace

from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.proof import is_seal, seal
from qonverge.wire.tokens import LOCAL_SUBJECT, OPERATOR_SUBJECT, Caller

_TRUSTED = (OPERATOR_SUBJECT, LOCAL_SUBJECT)


def believed(task: Task, caller: Caller, key: str) -> Task:
    """Return the task without what its caller may not say of the vendor's tasks.

    Args:
        task: as it came.
        caller: who sent it.
        key: of the backend, see ``wire.proof``; empty: nothing of a program is believed.
    """
    if caller.subject in _TRUSTED or not task.known:
        return task
    told = ((name, identity, task.seals.get(name, "")) for name, identity in task.known.items())
    known = {name: identity for name, identity, given in told if key and is_seal(given, key, name, identity)}
    return replace(task, known=known, seals={})


def sealed(result: TaskResult, subject: str, key: str) -> TaskResult:
    """Return how a task stands, with the seals by which a program's client may send it again; see ``believed``."""
    if result.done or not key or subject in _TRUSTED:
        return result
    tasks = (
        replace(task, seal=seal(key, task.key, task.id)) if task.key and task.id else task
        for task in result.vendor_tasks
    )
    return replace(result, vendor_tasks=tuple(tasks))
