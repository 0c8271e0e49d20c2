"""What a program tells about itself: progress and metrics while it runs, and its result."""

from __future__ import annotations

import atexit
import math
import os
import threading
import warnings
from collections.abc import Mapping
from typing import Any

from qonverge.client.errors import ClientError, ResultTooLarge
from qonverge.client.program.json_form import JsonForm
from qonverge.client.program.large_results import put_result, size_of
from qonverge.client.program.points import index_of
from qonverge.client.program.reporter import Reporter
from qonverge.client.transport.tokens import read_token, renewal_seconds
from qonverge.documents.reports import LONGEST_METRIC_NAME, MOST_METRICS

# Values that one warning names, and characters of each.
_TOLD = 8
_LONGEST_TOLD = 80


def _number(value: Any) -> float | None:
    """Return a finite real number as Python's float, None for anything else."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    while isinstance(plain, list) and len(plain) == 1:
        plain = plain[0]
    if isinstance(plain, complex) and plain.imag == 0:
        plain = plain.real
    try:
        # Texts are not read as numbers, whatever they hold.
        number = None if isinstance(plain, str | bytes | list | complex) else float(plain)
    except (TypeError, ValueError, OverflowError):
        number = None
    return number if number is not None and math.isfinite(number) else None


class _Current:
    """The reporter of this process, made when first needed."""

    def __init__(self) -> None:
        self._reporter: Reporter | None = None
        self._lock = threading.Lock()

    def get(self, environment: Mapping[str, str]) -> Reporter:
        with self._lock:
            if self._reporter is None:
                # All ranks run the same lines: rank 0 speaks for them.
                speaks = environment.get("QONVERGE_RANK", "0") == "0"
                self._reporter = Reporter(
                    environment.get("QONVERGE_REPORT_URL") if speaks else None,
                    lambda: read_token(environment),
                    renewal=renewal_seconds(environment),
                    index=index_of(environment),
                )
                atexit.register(self._reporter.close)
            return self._reporter

    def hurry(self) -> None:
        """Give up soon what cannot be sent."""
        if self._reporter is not None:
            self._reporter.hurry()

    def close(self) -> ClientError | None:
        """Send what is left, and return why the result did not arrive."""
        if self._reporter is None:
            return None
        self._reporter.close()
        return self._reporter.lost_result


_current = _Current()


def add_files(told: dict[str, Any]) -> None:
    """Report what the job's store has of the program's files."""
    _current.get(os.environ).stored_files(told)


def finish() -> ClientError | None:
    """Send what is left at the end of a program, and return why its result did not arrive, if it did not."""
    return _current.close()


def hurry() -> None:
    """Give up soon what cannot be sent, since the program was asked to end."""
    _current.hurry()


def latest() -> tuple[float | None, dict[str, float], float | None]:
    """Return the progress and metrics of this process that were reported last, and when, Unix seconds."""
    return _current.get(os.environ).latest()


def pause(tasks: list[str], state: dict[str, Any]) -> None:
    """Tell that the process is about to end while these tasks are under way, and what its next pod is to know.

    Raises:
        ClientError: nobody took that: the process must not end.
    """
    _current.get(os.environ).pause({"tasks": tasks, "state": state})


def report(*, progress: float | None = None, **metrics: float) -> None:
    """Tell how far the program is and any numbers worth watching; they appear in the HybridJob's status.

    Of a parallel program rank 0 is heard, and what the others report is dropped. Of a sweep the job's progress is the
    share of points that have ended, and metrics stay with each program: give ``result`` what belongs in the table.

    It costs some microseconds, and may be called in every turn of a loop: at most one request a second tells of it,
    with the latest values, and one more when the program ends.

    What is no finite number is left out with a warning that names it: progress must not end a program. So are metrics
    beyond the 64 that a job may have, and those whose names are longer than 63 characters.

    Args:
        progress: share done, from 0 to 1.
        metrics: named numbers, such as ``energy=-1.13``.
    """
    given = metrics if progress is None else {**metrics, "progress": progress}
    numbers = {name: _number(value) for name, value in given.items()}
    if missing := [name for name, number in numbers.items() if number is None]:
        told = ", ".join(f"{name}={_brief(given[name])}" for name in missing)
        warnings.warn(f"report leaves out what is no finite number: {told}", stacklevel=2)
    found = {name: number for name, number in numbers.items() if number is not None}
    done = found.pop("progress", None)
    reporter = _current.get(os.environ)
    beyond = [_brief(name) for name in reporter.report(None if done is None else min(1.0, max(0.0, done)), found)]
    if beyond and not reporter.said_beyond:
        # Once: a loop that makes up names would fill the log with them.
        reporter.said_beyond = True
        more = f" and {len(beyond) - _TOLD} more" if len(beyond) > _TOLD else ""
        names = ", ".join(map(repr, beyond[:_TOLD]))
        warnings.warn(
            f"report leaves out {names}{more}, and further ones without a word: a job has at most {MOST_METRICS} "
            f"metrics, with names of 1 to {LONGEST_METRIC_NAME} characters",
            stacklevel=2,
        )


def result(value: Any) -> None:
    """Set the job's result; the last call counts, of a parallel program the last one of rank 0.

    At a point of a sweep it is what was found there: the fields of a dictionary become columns of the sweep's table.

    It is kept as JSON: numpy's numbers and arrays, tuples, sets, dataclasses, enums, dates and paths are converted.
    What JSON has no form for, such as NaN, infinities, complex numbers and other objects, is kept as text, with a
    warning that names each place: a program that has finished must not lose its result.

    On a cluster a result for which the job's status has no room goes to the job's store, a piece at a time, before this
    returns.

    Raises:
        ResultTooLarge: on a cluster, above what there is room for; a smaller one may follow.
        StoreUnreachable: the job's store did not take it for a day.
    """
    form, room = JsonForm(), os.environ.get("QONVERGE_RESULT_ROOM")
    if room is not None and size_of(value, int(room)) > int(room):
        stored = put_result(value, form, os.environ)
        if stored is None:
            raise ResultTooLarge(
                f"the result takes {size_of(value)} bytes as JSON and the job's status has room for {room}: return "
                "less, such as figures instead of samples, or let the administrator give the installation a store "
                "(output.stores of the chart)"
            )
        _warn(form.problems)
        _current.get(os.environ).stored_result(stored)
        return
    plain = form.of(value)
    _warn(form.problems)
    _current.get(os.environ).result(plain)


def _warn(problems: list[str]) -> None:
    """Name what JSON has no form for."""
    if problems:
        told = "; ".join(problems[:_TOLD])
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        warnings.warn(f"result keeps as text what JSON has no form for: {told}{more}", stacklevel=3)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_TOLD else text[: _LONGEST_TOLD - 3] + "..."
