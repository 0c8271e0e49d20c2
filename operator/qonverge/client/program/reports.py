"""What a program tells about itself: progress and metrics while it runs, and its result."""

from __future__ import annotations

import atexit
import json
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qonverge.client.errors import BackendUnreachable, ClientError, ResultTooLarge
from qonverge.client.program.json_form import JsonForm
from qonverge.client.program.large_results import put_result, size_of
from qonverge.client.transport.tokens import read_token, renewal_seconds
from qonverge.documents.reports import LONGEST_METRIC_NAME, MOST_METRICS, is_metric_name

if TYPE_CHECKING:
    import urllib3

_INTERVAL_SECONDS = 0.5
_PATIENCE_SECONDS = 150.0
_LONGEST_REFUSAL = 1000
# Values that one warning names, and characters of each.
_TOLD = 8
_RESULTS = frozenset({"result", "storedResult"})
_LONGEST_TOLD = 80


class Reporter:
    """Sends reports, at most one per interval; what comes faster is merged and the last one always arrives."""

    def __init__(
        self,
        url: str | None,
        token: Callable[[], str | None],
        *,
        interval: float = _INTERVAL_SECONDS,
        patience: float = _PATIENCE_SECONDS,
        renewal: float = 0.0,
    ) -> None:
        """Without a URL there is nobody to tell: reports are dropped, as outside of a job.

        ``renewal`` is for how many seconds a token that is refused is read again.
        """
        self._url = url
        self._token = token
        self._interval = interval
        self._patience = patience
        self._renewal = renewal
        self._pool: urllib3.PoolManager | None = None
        self._pending: dict[str, Any] = {}
        self._lock = threading.Condition()
        self._sender: threading.Thread | None = None
        self._closing = False
        self._names: set[str] = set()
        self.said_beyond = False
        """Whether a person was warned of metrics for which there is no room."""
        self.lost_result: ClientError | None = None
        """Why the result did not arrive."""

    def add(self, report: dict[str, Any]) -> None:
        """Take a report and send it soon."""
        if self._url is None:
            return
        with self._lock:
            if _RESULTS & report.keys():
                # The last one counts, wherever it is.
                self._pending = {name: value for name, value in self._pending.items() if name not in _RESULTS}
            merged = {**self._pending.get("metrics", {}), **report.get("metrics", {})}
            self._pending = {**self._pending, **report, "metrics": merged}
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_until_closed, name="qonverge-reports", daemon=True)
                self._sender.start()
            self._lock.notify()

    def room_for(self, name: str) -> bool:
        """Return whether a job may have a metric of this name beside those that were reported before."""
        with self._lock:
            if name not in self._names and (not is_metric_name(name) or len(self._names) >= MOST_METRICS):
                return False
            self._names.add(name)
            return True

    def close(self) -> None:
        """Send what is left."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._sender is not None:
            self._sender.join(max(self._patience, self._renewal))

    def deliver(self, report: dict[str, Any]) -> None:
        """Send one report and return when it has arrived.

        Raises:
            BackendUnreachable: it could not be delivered for too long, or was refused.
            ResultTooLarge: it was refused for its size.
        """
        # Most programs' import of the client is no reason to load it.
        import urllib3

        if self._pool is None:
            self._pool = urllib3.PoolManager(maxsize=1, retries=False)
        began, delay = time.monotonic(), 0.1
        while True:
            patience = self._patience
            headers = {"content-type": "application/json", "authorization": f"Bearer {self._token() or ''}"}
            try:
                response = self._pool.request(
                    "POST", self._url or "", body=json.dumps(report).encode(), headers=headers, timeout=10
                )
                problem = f"status {response.status}: {response.data[:_LONGEST_REFUSAL].decode(errors='replace')}"
                if response.status == 503:
                    # Another connection may reach the replica that leads.
                    self._pool.clear()
                    delay = min(delay, 0.5)
                if response.status < 300:
                    return
                if response.status == 413:
                    raise ResultTooLarge(f"the report was refused with {problem}")
                if response.status == 401 and self._renewal:
                    patience = self._renewal
                elif response.status in (400, 401, 403, 404):
                    raise BackendUnreachable(f"the report was refused with {problem}")
            except urllib3.exceptions.HTTPError as error:
                problem = str(error)
            if time.monotonic() + delay > began + patience:
                raise BackendUnreachable(f"the report could not be delivered for {patience:g} s: {problem}")
            time.sleep(delay)
            delay = min(5.0, delay * 2)

    def _send_until_closed(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._pending or self._closing)
                report, self._pending = self._pending, {}
            if report:
                try:
                    self.deliver(report)
                except (BackendUnreachable, ResultTooLarge) as error:
                    # Progress that nobody takes must not end the program; a lost result must not look like success.
                    if _RESULTS & report.keys():
                        self.lost_result = error
                    else:
                        print(f"qonverge: {error}", file=sys.stderr, flush=True)
            with self._lock:
                if self._closing and not self._pending:
                    return
                self._lock.wait_for(lambda: self._closing, self._interval)


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
                )
                atexit.register(self._reporter.close)
            return self._reporter

    def close(self) -> ClientError | None:
        """Send what is left, and return why the result did not arrive."""
        if self._reporter is None:
            return None
        self._reporter.close()
        return self._reporter.lost_result


_current = _Current()


def add_files(told: dict[str, Any]) -> None:
    """Report what the job's store has of the program's files."""
    _current.get(os.environ).add(told)


def finish() -> ClientError | None:
    """Send what is left at the end of a program, and return why its result did not arrive, if it did not."""
    return _current.close()


def report(*, progress: float | None = None, **metrics: float) -> None:
    """Tell how far the program is and any numbers worth watching; they appear in the HybridJob's status.

    Of a parallel program rank 0 is heard, and what the others report is dropped.

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
    message: dict[str, Any] = {}
    if "progress" in found:
        message["progress"] = min(1.0, max(0.0, found.pop("progress")))
    reporter = _current.get(os.environ)
    kept = {name: number for name, number in found.items() if reporter.room_for(name)}
    beyond = [_brief(name) for name in found if name not in kept]
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
    reporter.add({**message, "metrics": kept})


def result(value: Any) -> None:
    """Set the job's result; the last call counts, of a parallel program the last one of rank 0.

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
        _current.get(os.environ).add({"storedResult": stored})
        return
    plain = form.of(value)
    _warn(form.problems)
    _current.get(os.environ).add({"result": plain})


def _warn(problems: list[str]) -> None:
    """Name what JSON has no form for."""
    if problems:
        told = "; ".join(problems[:_TOLD])
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        warnings.warn(f"result keeps as text what JSON has no form for: {told}{more}", stacklevel=3)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_TOLD else text[: _LONGEST_TOLD - 3] + "..."
