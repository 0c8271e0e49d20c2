"""How reports travel: few requests, with the latest values, and the last one always."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from qonverge.client.errors import BackendUnreachable, NotConfigured
from qonverge.client.program import reporter as reporter_module
from qonverge.client.program.curve import CurveRecorder
from qonverge.client.program.reporter import Reporter
from qonverge.documents.reports import INTERVAL_HEADER, MOST_CURVES, MOST_METRICS, Report

_NEVER = 3600.0


def reporter(peer: Any, interval: float = _NEVER) -> Reporter:
    return Reporter(f"{peer.url}/report", lambda: "secret", interval=interval)


def test_between_two_requests_nothing_is_sent_and_the_last_values_are_sent_at_the_end(peer: Any) -> None:
    arrived = threading.Event()

    def answer(_: Any) -> tuple[int, str, bytes]:
        arrived.set()
        return 204, "text/plain", b""

    peer.answer = answer
    sending = reporter(peer)
    sending.report(0.0, {"energy": 1.0})
    assert arrived.wait(60)
    for n in range(1, 500):
        sending.report(n / 500, {"energy": -float(n), **({"once": 7.0} if n == 5 else {})})
    sending.close()
    first, last = (json.loads(request.body) for request in peer.received)
    assert (first["progress"], first["metrics"]) == (0.0, {"energy": 1.0})
    assert "last" not in first
    # What only one of the merged reports had is there too.
    assert (last["progress"], last["metrics"], last["last"]) == (499 / 500, {"energy": -499.0, "once": 7.0}, True)
    assert last["curves"]["energy"]["count"] == 500
    assert Report.parse(peer.received[-1].body).curves["energy"].values[:2] == (1.0, -8.0)
    assert sending.latest()[:2] == (499 / 500, {"energy": -499.0, "once": 7.0})


def test_who_takes_reports_may_want_fewer(peer: Any) -> None:
    peer.headers[INTERVAL_HEADER] = "60"
    arrived = threading.Event()

    def answer(_: Any) -> tuple[int, str, bytes]:
        arrived.set()
        return 204, "text/plain", b""

    peer.answer = answer
    # Without being told it would send each at once.
    sending = reporter(peer, interval=0.0)
    sending.report(0.0, {})
    assert arrived.wait(60)
    for n in range(1, 200):
        sending.report(n / 200, {})
    sending.close()
    assert len(peer.received) == 2
    assert json.loads(peer.received[-1].body)["progress"] == 199 / 200


def test_a_program_without_news_sends_nothing_at_its_end(peer: Any) -> None:
    sending = reporter(peer, interval=0.0)
    sending.close()
    assert peer.received == []


_PAUSE = {"tasks": ["task-1"], "state": {}}


def refuses_pauses(peer: Any, arrived: threading.Event) -> None:
    def answer(request: Any) -> tuple[int, str, bytes]:
        arrived.set()
        return (400, "text/plain", b"no pause here") if "pause" in json.loads(request.body) else (204, "", b"")

    peer.answer = answer


def test_a_pause_takes_along_what_is_left_and_needs_no_turn(peer: Any) -> None:
    sending = reporter(peer)
    # Of a program that reports nothing it is the only report.
    sending.pause(_PAUSE)
    assert json.loads(peer.received[-1].body) == {"pause": _PAUSE}
    arrived = threading.Event()
    refuses_pauses(peer, arrived)
    sending.report(0.1, {"energy": -1.0})
    assert arrived.wait(60)
    peer.answer = lambda _: (204, "", b"")
    sending.report(0.5, {"energy": -2.0})
    sending.pause(_PAUSE)
    last = json.loads(peer.received[-1].body)
    assert (last["progress"], last["metrics"], last["pause"]) == (0.5, {"energy": -2.0}, _PAUSE)
    sending.close()
    assert len(peer.received) == 3, "nothing is sent twice"


def test_what_went_with_a_pause_that_is_refused_is_sent_again_without_it(peer: Any) -> None:
    arrived = threading.Event()
    refuses_pauses(peer, arrived)
    sending = reporter(peer)
    sending.report(0.1, {})
    assert arrived.wait(60)
    sending.report(0.5, {"energy": -1.0})
    sending.result({"found": 1})
    with pytest.raises(BackendUnreachable, match="no pause here"):
        sending.pause(_PAUSE)
    sending.report(None, {"steps": 3.0})
    sending.stored_result({"bytes": 7, "sha256": "0" * 64})
    sending.close()
    _, refused, last = (json.loads(request.body) for request in peer.received)
    assert (refused["result"], refused["pause"]) == ({"found": 1}, _PAUSE)
    assert (last["progress"], last["metrics"]) == (0.5, {"energy": -1.0, "steps": 3.0})
    assert "pause" not in last
    assert "result" not in last, "a later one counts"
    assert last["storedResult"]["bytes"] == 7


def test_outside_of_a_job_nobody_takes_a_pause() -> None:
    with pytest.raises(NotConfigured):
        Reporter(None, lambda: None).pause(_PAUSE)


def test_metrics_and_curves_are_bounded(peer: Any) -> None:
    sending = reporter(peer)
    assert sending.report(None, {f"m{n}": 1.0 for n in range(MOST_METRICS)}) == []
    assert sending.report(None, {"more": 1.0, "m0": 2.0}) == ["more"]
    sending.close()
    sent = json.loads(peer.received[-1].body)
    assert sorted(sent["curves"]) == [f"m{n}" for n in range(MOST_CURVES)]
    assert sending.latest()[1]["m0"] == 2.0


def test_a_curve_keeps_values_at_equal_distances() -> None:
    curve = CurveRecorder(4)
    for n in range(4):
        curve.add(n)
    assert curve.to_dict() == {"count": 4, "every": 1, "values": [0.0, 1.0, 2.0, 3.0]}
    for n in range(4, 33):
        curve.add(n)
    assert curve.to_dict() == {"count": 33, "every": 16, "values": [0.0, 16.0, 32.0]}


def test_a_curve_has_few_digits() -> None:
    curve = CurveRecorder()
    curve.add(-1.857275030202379)
    assert curve.to_dict()["values"] == [-1.857275]


PROGRAM = """
import threading, time
from qonverge.client import report
for n in range(3):
    report(progress=0.5, energy=-float(n))
# As of a library that does not know of the end.
threading.Thread(target=time.sleep, args=(3600,)).start()
try:
    print("runs", flush=True)
    time.sleep(3600)
finally:
    print("cleans up", flush=True)
    report(energy=-2.0)
"""


def test_what_was_reported_last_is_sent_to_who_answers_when_the_program_is_asked_to_end(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine takes its time.
    monkeypatch.setattr(reporter_module, "_ENDING_SECONDS", 60.0)
    sending = reporter(peer)
    for n in range(3):
        sending.report(None, {"energy": -float(n)})
    sending.hurry()
    sending.close()
    assert json.loads(peer.received[-1].body)["metrics"] == {"energy": -2.0}


def test_a_program_that_is_asked_to_end_cleans_up_and_ends(peer: Any, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    given = {**os.environ, "QONVERGE_REPORT_URL": f"{peer.url}/report", "QONVERGE_TOKEN": "secret"}
    command = [sys.executable, "-m", "qonverge.client.program.run", str(file)]
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=120)[0] == "cleans up\n"
    assert process.returncode == 128 + signal.SIGTERM


def test_a_program_that_is_asked_to_end_does_not_wait_for_who_takes_no_report(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    # Nobody is there.
    given = {**os.environ, "QONVERGE_REPORT_URL": "http://127.0.0.1:9/report", "QONVERGE_TOKEN": "secret"}
    command = [sys.executable, "-m", "qonverge.client.program.run", str(file)]
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGTERM)
        # Otherwise it would try for 150 s.
        assert process.wait(120) == 128 + signal.SIGTERM
