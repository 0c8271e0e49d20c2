"""Programs' reports are taken, refused and answered alike in a cluster and without one."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from qonverge.amounts import Amounts
from qonverge.api import HybridJob
from qonverge.backend.config import EngineConfig
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.kube.lease import Election
from qonverge.controller.web.callers import Callers
from qonverge.controller.web.output_routes import OutputRoutes
from qonverge.controller.web.servers import report_app
from qonverge.documents.reports import INTERVAL_HEADER, LONGEST_METRIC_NAME, MOST_DEPTH, MOST_METRICS, Report
from qonverge.execution import reports
from qonverge.local.kinds.python import starting
from qonverge.local.processes import run_together
from qonverge.local.programs import ProgramHost
from qonverge.wire.tokens import Caller
from tests.unit.controller.jobs.test_reconciler import Desk

FULL = {f"m{n}": n for n in range(MOST_METRICS)}
# One after the other, to the same job: what was taken before counts.
BODIES: list[bytes] = [
    b"",
    b"{",
    b"\xff",
    b"[1]",
    b"null",
    b'"text"',
    b'{"progress": NaN}',
    b'{"progress": "half"}',
    b'{"progress": true}',
    b'{"progress": 1.5}',
    b'{"progress": 0.25}',
    b'{"progress": 0.5, "metrics": {"loss": Infinity}}',
    b'{"metrics": {"loss": 1e999}}',
    b'{"metrics": {"loss": "1"}}',
    b'{"metrics": {"": 1}}',
    json.dumps({"metrics": {"x" * (LONGEST_METRIC_NAME + 1): 1}}).encode(),
    json.dumps({"metrics": {**FULL, "more": 1}}).encode(),
    json.dumps({"metrics": FULL}).encode(),
    b'{"metrics": {"one-more": 1}, "progress": 0.75}',
    b'{"metrics": {"m0": 2.5}, "of-a-later-release": 1}',
    b'{"metrics": {"m0": 1, "m0": 2}}',
    b'{"metrics": [1]}',
    b'{"result": ' + b"[" * (MOST_DEPTH + 2) + b"]" * (MOST_DEPTH + 2) + b"}",
    b'{"result": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"result": "\\ud800"}',
    b'{"curves": []}',
    b'{"curves": {"m0": {"count": 1}}}',
    b'{"curves": {"m0": {"count": 2, "every": 1, "values": [1, 2]}}, "last": true}',
    b'{"result": {"energy": -1.5}}',
    b'{"result": null}',
    b'{"result": [1, 2], "progress": 1}',
    b"{}",
]
PROGRAM = """
import json, os, sys, urllib.error, urllib.request
for body in json.loads(os.environ["BODIES"]):
    headers = {"authorization": "Bearer " + os.environ["QONVERGE_TOKEN"]}
    request = urllib.request.Request(os.environ["QONVERGE_REPORT_URL"], body.encode("latin-1"), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            print(json.dumps([answer.status, answer.read().decode()]), flush=True)
    except urllib.error.HTTPError as error:
        print(json.dumps([error.code, error.read().decode()]), flush=True)
"""
Answers = list[tuple[int, str]]


class Leading:
    """An election that this replica has won."""

    leading = True
    leader = None


async def in_a_cluster() -> tuple[Answers, dict[str, Any]]:
    desk = Desk()
    running = {"state": "Running", "backend": "lab/a", "attempts": 1}
    desk.world.job("j", status=running, program={"python": {"source": "x"}})
    caller = Caller("chem/j", "uid-j-0", attempt=1)
    routes = OutputRoutes(Callers(desk.world.state, lambda key, token: caller), desk.outputs)
    app = report_app(desk.jobs, lambda key, token: caller, cast(Election, Leading()), (routes,))
    answers: Answers = []
    async with TestClient(TestServer(app)) as client:
        for body in BODIES:
            async with client.post("/v1/jobs/chem/j/report", data=body) as response:
                answers.append((response.status, await response.text()))
                # How soon the next one is welcome.
                assert (response.headers.get(INTERVAL_HEADER) == "1") == (response.status == 204)
    status = desk.world.state.jobs["chem/j"].status.to_dict()
    return answers, {name: status.get(name) for name in ("progress", "metrics", "result")}


async def without_one(monkeypatch: pytest.MonkeyPatch) -> tuple[Answers, dict[str, Any]]:
    job = HybridJob.model_validate({"metadata": {"name": "j"}, "spec": {"program": {"python": {"source": PROGRAM}}}})
    monkeypatch.setenv("BODIES", json.dumps([body.decode("latin-1") for body in BODIES]))
    lines: list[str] = []

    def on_line(_: int, line: str) -> None:
        lines.append(line)

    status = job.status

    def on_report(report: Report) -> None:
        nonlocal status
        status = status.model_copy(update=reports.changes(status, report, 0.0, None))

    host = ProgramHost(Engine(EngineConfig()), Checker())
    async with (
        host.serving(),
        host.admitted(
            job, pricing=None, budget=None, used=Amounts(), kept=None, inputs={}, on_report=on_report
        ) as admission,
    ):
        ended = await run_together(starting(job, PROGRAM), [admission.environment], on_line)
    assert ended.exit_code == 0, lines
    assert admission.result is not None
    result = {"value": admission.result.result}
    return [tuple(json.loads(line)) for line in lines], {
        "progress": status.progress,
        "metrics": status.metrics,
        "result": result,
    }


async def test_every_report_is_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    in_cluster, of_cluster = await in_a_cluster()
    local, of_local = await without_one(monkeypatch)
    for body, there, here in zip(BODIES, in_cluster, local, strict=True):
        assert here == there, body[:80]
    assert of_local == of_cluster
    assert of_local == {"progress": "100%", "metrics": {**FULL, "m0": 2.5}, "result": {"value": [1, 2]}}
    # Neither takes all nor refuses all.
    assert sorted({status for status, _ in local}) == [204, 400]
    assert sum(status == 204 for status, _ in local) == 8
    assert all(bool(text) == (status == 400) for status, text in local)
