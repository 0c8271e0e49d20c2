"""Steps of a program: each is done once, and the program may give its pod back while one waits for a long task."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qonverge.client.errors import ClientError
from qonverge.client.program.json_form import JsonForm
from qonverge.client.program.reports import pause
from qonverge.client.transport.step_tasks import STEP_TASKS

_LONGEST_NAME = 200


class Steps:
    """The values of the steps that have ended, in this pod of the program and in those before it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read what the pods before this one left, where the job says that its program may give its pod back."""
        kept: dict[str, Any] = {}
        if file := environment.get("QONVERGE_STEPS_FILE"):
            # The first pod has none.
            with contextlib.suppress(FileNotFoundError):
                kept = json.loads(Path(file).read_text(encoding="utf-8"))
        self._values: dict[str, Any] = kept.get("values", {})
        if prefix := environment.get("QONVERGE_TASK_PREFIX"):
            patience = float(environment.get("QONVERGE_PAUSE_AFTER", "0"))
            STEP_TASKS.begin(prefix, patience, kept.get("tasks", {}), self._pause)

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        """See ``step``."""
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError(f"a step's name is {name!r}: give a text of 1 to {_LONGEST_NAME} characters")
        if name not in self._values:
            with STEP_TASKS.within(name):
                value = work()
            form = JsonForm()
            plain = form.of(value)
            if form.problems:
                raise TypeError(f"the step {name} returns what JSON has no form for: {'; '.join(form.problems[:4])}")
            self._values[name] = plain
        # Of its own each time: a caller that changes it must not change what the next one gets.
        return json.loads(json.dumps(self._values[name]))

    def _pause(self, tasks: list[str], left: dict[str, Any]) -> None:
        try:
            pause(tasks, {"values": self._values, "tasks": left})
        except ClientError as error:
            STEP_TASKS.stop_pausing()
            print(f"qonverge: the program keeps its pod and waits: {error}", file=sys.stderr, flush=True)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads that wait for the tasks would keep the process, and what cleans up might end them.
        os._exit(0)


_current: list[Steps] = []


def step(name: str, work: Callable[[], Any]) -> Any:
    """Do a part of the program once, and return its value.

    Where the job says ``pauseAfterSeconds``, and the step waits for a task for longer than that, the process ends and
    the pod is given back. When the task has ended the program begins again from its first line: steps that have ended
    return their values without running again, and the one that waited is run again and finds its tasks by their ids, so
    that none is sent or paid twice. So the program has to come to the same steps by the same names each time; what it
    does outside of them is done again. Elsewhere a step is only a call.

    Args:
        name: tells the step from all others of the program.
        work: sends tasks, waits for their results, and returns a value that JSON has a form for.

    Returns:
        The value in the form that JSON has for it, such as a list for an array of numpy: alike whenever it is asked.

    Raises:
        ValueError: it is no name.
        TypeError: the value has no form in JSON.
    """
    if not _current:
        _current.append(Steps(os.environ))
    return _current[0].run(name, work)
