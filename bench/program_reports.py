"""What ``report`` costs a program that calls it often: ``python -m bench.program_reports``.

A loop of so many turns a second runs in a process as programs do and calls ``report`` in each turn; half of its time
it computes. What counts is the time that the loop spends in the calls, and all the time on the CPU of the thread that
sends meanwhile, as if that always kept the loop waiting. A server on loopback counts the requests.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench import report

OVERHEAD_BAR = 0.02
REQUESTS_BAR = 1.0

# Half of each turn it computes and half of it it sleeps, as a program that waits for its backend.
_PROGRAM = """
import json, sys, time
import numpy as np
from qonverge.client import report
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
matrix = np.random.default_rng(1).normal(size=(48, 48))
for n in range(20):
    report(progress=0.0, energy=0.0, step=0)
time.sleep(1.5)
turns, began = int(rate * seconds), time.monotonic()
calling, sending = 0.0, time.process_time() - time.thread_time()
for n in range(turns):
    until = began + n / rate + 0.5 / rate
    energy = 0.0
    while time.monotonic() < until:
        energy = float((matrix @ matrix)[0, 0])
    before = time.perf_counter()
    report(progress=n / turns, energy=energy - n, step=n)
    calling += time.perf_counter() - before
    time.sleep(max(0.0, began + (n + 1) / rate - time.monotonic()))
sending = time.process_time() - time.thread_time() - sending
took = time.monotonic() - began
print(json.dumps({"turns": turns, "seconds": took, "calling": calling, "sending": sending}))
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of the loop that reports."""

    rate: float
    """Calls a second that were wanted."""
    seconds: float
    """How long the loop took."""
    microseconds: float
    """Of one call."""
    overhead: float
    """Part of the loop's time that calls and the sending thread took."""
    requests: float
    """Requests a second."""
    last_arrived: bool
    """Whether the last values were those of the last call."""


class _Counting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextmanager
def _taking() -> Iterator[tuple[str, list[bytes]]]:
    """Take reports on loopback until the end of the block: where, and what came."""
    bodies: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Counting", (_Counting,), {"bodies": bodies}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/report", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def measure(rate: float, seconds: float) -> Figures:
    """Run the loop once.

    Raises:
        RuntimeError: the program failed.
    """
    with _taking() as (url, bodies), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "program.py"
        file.write_text(_PROGRAM)
        command = [sys.executable, "-m", "qonverge.client.program.run", str(file), str(rate), str(seconds)]
        given = {
            **os.environ,
            "QONVERGE_REPORT_URL": url,
            "QONVERGE_TOKEN": "token",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        told = json.loads(done.stdout)
        sent = [json.loads(body) for body in bodies]
    # Those before the loop are of its warming up, and the last one is the program's end.
    during = [each for each in sent if each["metrics"].get("step") and not each.get("last")]
    return Figures(
        rate,
        told["seconds"],
        told["calling"] / told["turns"] * 1e6,
        (told["calling"] + told["sending"]) / told["seconds"],
        len(during) / told["seconds"],
        sent[-1]["metrics"]["step"] == told["turns"] - 1,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.program_reports", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{'calls/s':>8} {'us a call':>10} {'of the loop':>12} {'requests/s':>11} {'last arrived':>13}")
    measured = {rate: [measure(rate, options.seconds) for _ in range(options.rounds)] for rate in (1.0, 100.0, 1000.0)}
    for rate, runs in measured.items():
        overhead, requests = (
            statistics.median(of) for of in zip(*((r.overhead, r.requests) for r in runs), strict=True)
        )
        call = statistics.median(run.microseconds for run in runs)
        arrived = all(run.last_arrived for run in runs)
        print(f"{rate:8.0f} {call:10.1f} {overhead:12.3%} {requests:11.2f} {'yes' if arrived else 'NO':>13}")
    every = [run for runs in measured.values() for run in runs]
    overhead = statistics.median(run.overhead for run in measured[100.0])
    requests, arrived = max(run.requests for run in every), all(run.last_arrived for run in every)
    rows = [
        report.Row(
            "report, 100 calls/s: part of the loop",
            f"{overhead:.2%}",
            f"under {OVERHEAD_BAR:.0%}",
            overhead < OVERHEAD_BAR,
        ),
        report.Row(
            "report: requests a second at most", f"{requests:.2f}", f"{REQUESTS_BAR:g}", requests <= REQUESTS_BAR * 1.1
        ),
        report.Row("report: the last values arrived", "yes" if arrived else "no", "always", arrived),
    ]
    print(report.table(rows))
    if options.json:
        report.write(options.json, rows, {str(rate): [asdict(run) for run in runs] for rate, runs in measured.items()})
    sys.exit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
