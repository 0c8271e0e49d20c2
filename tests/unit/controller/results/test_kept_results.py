"""Results that a status has no room for, where pods refuse them or are gone; pods and the API server are fakes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from qonverge.controller.pods.task_client import PodLost
from qonverge.controller.store.pods import Endpoint
from qonverge.wire.errors import NotFound, ResultTooLarge, WireError
from tests.unit.controller.jobs.test_reconciler import Desk
from tests.unit.controller.worlds import settled

COUNTS = {format(number, "030b"): 1 for number in range(20_000)}


async def ended(monkeypatch: pytest.MonkeyPatch, refusal: WireError | None, attempts: int = 1) -> tuple[Desk, Any, Any]:
    """Let a job end with a large result that pods keep, or refuse; return what was written and what they were given."""
    desk, given = Desk(), list[bytes]()

    async def keep(endpoint: Endpoint, audience: str, identity: str, data: bytes, **_: Any) -> None:
        given.append(data)
        if refusal is not None:
            raise refusal

    monkeypatch.setattr(desk.world.pods, "keep", keep)
    await desk.placed(shots=20_000, retryPolicy={"maxAttempts": attempts})
    for attempt in range(1, attempts + 1):
        desk.world.pods.end(f"uid-j-1-{attempt}", COUNTS)
        await settled()
        await desk.jobs.reconcile("chem/j")
        await desk.jobs.reconcile("chem/j")
        await desk.world.rounds.once()
        await desk.jobs.reconcile("chem/j")
        await settled()
    return desk, desk.server.written[-1] if desk.server.written else None, given


async def test_a_pod_keeps_the_very_result(monkeypatch: pytest.MonkeyPatch) -> None:
    _, status, given = await ended(monkeypatch, None)
    kept = status["result"]["kept"]
    plain = gzip.decompress(given[0])
    assert (len(given), len(plain), kept["backend"], kept["pod"]) == (1, kept["bytes"], "lab/a", "a-0")
    assert json.loads(plain) == {"counts": COUNTS, "shots": 20_000}
    assert (status["state"], status["reason"], status["result"].keys()) == ("Complete", "ResultKept", {"shots", "kept"})


async def test_a_result_that_no_pod_may_keep_fails_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    _, status, given = await ended(monkeypatch, ResultTooLarge("this server keeps 1000 for a namespace"))
    assert (status["state"], status["reason"], len(given)) == ("Failed", "ResultTooLarge", 1)
    assert (
        "bytes and the job's status has room for 600000; lab/a cannot keep it: this server keeps 1000"
        in (status["message"])
    )
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert (conditions["Stalled"], conditions["Ready"], conditions["Complete"]) == ("True", "False", "False")
    assert "result" not in status


async def test_a_pod_that_is_lost_meanwhile_is_another_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    _, status, given = await ended(monkeypatch, PodLost("it is gone"), attempts=2)
    assert (status["state"], status["reason"], status["attempts"], len(given)) == ("Failed", "PodLost", 2, 2)
    assert "after 2 attempts: the result takes" in status["message"]


async def test_only_the_path_in_the_status_leads_to_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, status, _ = await ended(monkeypatch, None)
    secret = status["result"]["kept"]["path"].partition("key=")[2]
    assert len(secret) > 40
    uid, kept = desk.results.find("chem/j", secret)
    assert (uid, kept.pod) == ("uid-j", "a-0")
    for key, guess in (("chem/j", ""), ("chem/j", secret[:-1]), ("chem/other", secret), ("bio/j", secret)):
        with pytest.raises(NotFound, match="no kept result"):
            desk.results.find(key, guess)
