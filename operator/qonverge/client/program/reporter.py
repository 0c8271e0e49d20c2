"""Reports on their way to who runs the program: few requests, and none of the last values is lost."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qonverge.client.errors import BackendUnreachable, ClientError, NotConfigured, ResultTooLarge
from qonverge.client.program.curve import CurveRecorder
from qonverge.documents.reports import INTERVAL_HEADER, MOST_CURVES, MOST_METRICS, is_metric_name

if TYPE_CHECKING:
    import urllib3

_INTERVAL_SECONDS = 1.0
_LONGEST_INTERVAL_SECONDS = 60.0
_PATIENCE_SECONDS = 150.0
# Of a program that was asked to end.
_ENDING_SECONDS = 1.0
_LONGEST_REFUSAL = 1000
_RESULTS = frozenset({"result", "storedResult"})


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
        index: int | None = None,
    ) -> None:
        """Without a URL there is nobody to tell: reports are only kept for ``latest``, as outside of a job.

        Args:
            url: where reports go.
            token: returns what opens it.
            interval: seconds from one request to the next, at least; who takes them may ask for more.
            patience: for how many seconds a report is tried again.
            renewal: for how many seconds a token that is refused is read again.
            index: of the point of a sweep at which the program runs. Its result is sent, and nothing else: the points
                would write over each other's progress and metrics.
        """
        self._url = url
        self._token = token
        self._interval = self._least_interval = interval
        self._patience = patience
        self._renewal = renewal
        self._index = index
        self._pool: urllib3.PoolManager | None = None
        self._lock = threading.Condition()
        self._sender: threading.Thread | None = None
        self._idle = False
        self._closing = False
        self._hurried = False
        # What is to be sent: the fields of a report, and its metrics.
        self._pending: dict[str, Any] = {}
        self._metrics: dict[str, float] = {}
        self._latest: dict[str, float] = {}
        self._progress: float | None = None
        self._reported: float | None = None
        self._curves: dict[str, CurveRecorder] = {}
        self.said_beyond = False
        """Whether a person was warned of metrics for which there is no room."""
        self.lost_result: ClientError | None = None
        """Why the result did not arrive."""

    def report(self, progress: float | None, metrics: Mapping[str, float]) -> list[str]:
        """Take progress and metrics and send them soon; return the names for which there is no room."""
        beyond: list[str] = []
        with self._lock:
            for name, value in metrics.items():
                if name not in self._latest and not self._admit(name):
                    beyond.append(name)
                    continue
                self._latest[name] = value
                if self._index is not None:
                    continue
                self._metrics[name] = value
                if (curve := self._curves.get(name)) is not None:
                    curve.add(value)
            if progress is not None:
                self._progress = progress
                if self._index is None:
                    self._pending["progress"] = progress
            self._reported = time.time()
            if self._metrics or self._pending:
                self._wake()
        return beyond

    def result(self, value: Any) -> None:
        """Take the program's result and send it soon."""
        self._take_result("result", value)

    def stored_result(self, told: Mapping[str, Any]) -> None:
        """Take where the program's result is, and send it soon."""
        self._take_result("storedResult", told)

    def stored_files(self, told: Mapping[str, Any]) -> None:
        """Take what the job's store has of the program's files, and send it soon."""
        if self._index is not None:
            # Who runs the program counts those of all points.
            return
        with self._lock:
            self._pending |= told
            self._wake()

    def latest(self) -> tuple[float | None, dict[str, float], float | None]:
        """Return the progress and the metrics that were reported last, and when that was, Unix seconds."""
        with self._lock:
            return self._progress, dict(self._latest), self._reported

    def hurry(self) -> None:
        """Give up soon what cannot be sent: the program was asked to end. For signal handlers: it waits for nothing."""
        self._hurried = True
        self._patience = self._renewal = _ENDING_SECONDS

    def pause(self, pause: Mapping[str, Any]) -> None:
        """Send what is left, and with it that the process pauses; return when it has arrived.

        Raises:
            ClientError: it was not taken; what is left is sent as ever.
        """
        if self._url is None:
            raise NotConfigured("nobody takes the program's reports")
        with self._lock:
            pending, metrics = self._pending, self._metrics
            left = self._take()
        try:
            self.deliver({**left, "pause": pause})
        except ClientError:
            with self._lock:
                # What came meanwhile is newer, and there is one result.
                if _RESULTS & self._pending.keys():
                    pending = {name: own for name, own in pending.items() if name not in _RESULTS}
                self._pending, self._metrics = {**pending, **self._pending}, {**metrics, **self._metrics}
                if self._pending or self._metrics:
                    self._wake()
            raise

    def close(self) -> None:
        """Send what is left."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._sender is not None:
            self._sender.join(max(self._patience, self._renewal))

    def _take_result(self, field: str, value: Any) -> None:
        with self._lock:
            # The last one counts, wherever it is.
            self._pending = {**{name: own for name, own in self._pending.items() if name not in _RESULTS}, field: value}
            self._wake()

    def _admit(self, name: str) -> bool:
        if len(self._latest) >= MOST_METRICS or not is_metric_name(name):
            return False
        if len(self._curves) < MOST_CURVES:
            self._curves[name] = CurveRecorder()
        return True

    def _wake(self) -> None:
        if self._url is None:
            return
        if self._sender is None:
            self._sender = threading.Thread(target=self._send_until_closed, name="qonverge-reports", daemon=True)
            self._sender.start()
        elif self._idle:
            # Between two requests nobody needs to be woken, which would cost a loop more than all else here.
            self._lock.notify()

    def _take(self) -> dict[str, Any]:
        """Return what is to be sent now; empty for nothing."""
        if not (self._pending or self._metrics):
            return {}
        report: dict[str, Any] = {**self._pending, "metrics": self._metrics}
        if self._index is not None:
            report["index"] = self._index
        self._pending, self._metrics = {}, {}
        if report["metrics"]:
            report["curves"] = {name: curve.to_dict() for name, curve in self._curves.items()}
        if self._closing:
            report["last"] = True
        return report

    def _send_until_closed(self) -> None:
        while True:
            with self._lock:
                self._idle = True
                self._lock.wait_for(lambda: self._pending or self._metrics or self._closing)
                self._idle = False
                report, began = self._take(), time.monotonic()
            if report:
                try:
                    self.deliver(report)
                except (BackendUnreachable, ResultTooLarge) as error:
                    # Progress that nobody takes must not end the program; a lost result must not look like success.
                    if _RESULTS & report.keys():
                        self.lost_result = error
                    elif not self._hurried:
                        # A job that is to end takes no reports: nobody needs to know.
                        print(f"qonverge: {error}", file=sys.stderr, flush=True)
            with self._lock:
                if self._closing and not (self._pending or self._metrics):
                    return
                self._lock.wait_for(lambda: self._closing, max(0.0, began + self._interval - time.monotonic()))

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
                    self._adapt(response.headers.get(INTERVAL_HEADER, ""))
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

    def _adapt(self, wanted: str) -> None:
        """Report as often as who takes the reports wants them."""
        self._interval = self._least_interval
        with contextlib.suppress(ValueError):
            self._interval = max(self._least_interval, min(_LONGEST_INTERVAL_SECONDS, float(wanted)))
