"""Results that a status has no room for, where pods refuse them or are gone; pods and the API server are fakes."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from qonverge.controller.objects.pod_order import Shown
from qonverge.controller.pods.errors import PodLost
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
        for _ in ("the result that nobody keeps", "the attempt that failed so", "the next one"):
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
        "bytes and the job's status has room for 600000; the installation has no store for it; lab/a cannot keep it: "
        "this server keeps 1000" in (status["message"])
    )
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert (conditions["Stalled"], conditions["Ready"], conditions["Complete"]) == ("True", "False", "False")
    assert "result" not in status


async def test_a_pod_that_is_lost_meanwhile_is_another_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    _, status, given = await ended(monkeypatch, PodLost("it is gone"), attempts=2)
    assert (status["state"], status["reason"], status["attempts"], len(given)) == ("Failed", "PodLost", 2, 2)
    assert "after 2 attempts: the result takes" in status["message"]


async def test_a_pod_that_ends_keeps_no_result_which_would_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, given = Desk(), list[str]()

    async def keep(endpoint: Endpoint, *_: Any, **more: Any) -> None:
        given.append(endpoint.pod)

    monkeypatch.setattr(desk.world.pods, "keep", keep)
    await desk.placed(shots=20_000)
    desk.world.now += 5
    await desk.jobs.reconcile("chem/j")
    pod = desk.world.pod("a-0")
    pod.show(pod.ready, None, Shown(terminating=True, counts=False, process="c"))
    desk.world.pods.end("uid-j-1-1", COUNTS)
    await settled()
    await desk.jobs.reconcile("chem/j")
    assert (desk.server.written[-1]["state"], given) == ("Running", [])
    # Another one takes its place.
    desk.world.serve(Endpoint("a-1", "lab/a-1", pod.endpoint.backend, "http://a-1"))
    for _ in range(2):
        await desk.jobs.reconcile("chem/j")
        await desk.world.rounds.once()
    await desk.jobs.reconcile("chem/j")
    await settled()
    desk.world.pods.end("uid-j-1-2", COUNTS)
    await settled()
    await desk.jobs.reconcile("chem/j")
    status = desk.server.written[-1]
    assert (status["state"], status["result"]["kept"]["pod"], given) == ("Complete", "a-1", ["a-1"])


async def test_only_the_path_in_the_status_leads_to_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, status, _ = await ended(monkeypatch, None)
    secret = status["result"]["kept"]["path"].partition("key=")[2]
    assert len(secret) > 40
    uid, kept = desk.results.find("chem/j", secret)
    assert (uid, kept.pod) == ("uid-j", "a-0")
    for key, guess in (("chem/j", ""), ("chem/j", secret[:-1]), ("chem/other", secret), ("bio/j", secret)):
        with pytest.raises(NotFound, match="no kept result"):
            desk.results.find(key, guess)


async def test_what_a_pod_keeps_moves_to_one_that_stays_under_the_same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, status, given = await ended(monkeypatch, None)
    world, pods, kept = desk.world, desk.world.pods, status["result"]["kept"]
    there = {"a-0": {"uid-j": given[0], "of-nobody": b"x"}, "a-1": {"uid-other": b"y"}}
    refuses = [True]

    async def keep(endpoint: Endpoint, audience: str, identity: str, data: bytes, **more: Any) -> None:
        assert (more["displaces"], more["namespace"], more["seconds"] > 0) == (False, "chem", True)
        if refuses.pop() if refuses else False:
            raise ResultTooLarge("others take the room")
        there[endpoint.pod][identity] = data

    async def listed(endpoint: Endpoint, audience: str) -> tuple[set[str], dict[str, str]]:
        return set(there[endpoint.pod]), {}

    async def fetched(endpoint: Endpoint, audience: str, identity: str) -> AsyncGenerator[bytes]:
        yield there[endpoint.pod][identity][:10]
        yield there[endpoint.pod][identity][10:]

    async def forget(endpoint: Endpoint, audience: str, identity: str) -> None:
        del there[endpoint.pod][identity]

    metadata = {"name": "j", "namespace": "chem", "uid": "uid-j", "generation": 1, "resourceVersion": "50"}
    shared = {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "HybridJob",
        "spec": {"program": {"circuit": {"openqasm": "x"}}},
    }

    async def get(kind: str, namespace: str, name: str) -> dict[str, Any]:
        return {**shared, "metadata": metadata, "status": status}

    async def patch_status(
        kind: str, namespace: str, name: str, changed: dict[str, Any], resource_version: str
    ) -> dict[str, Any]:
        assert resource_version == "50"
        desk.server.written.append(changed)
        return {**shared, "metadata": {**metadata, "resourceVersion": "51"}, "status": changed}

    monkeypatch.setattr(desk.server, "get", get)
    monkeypatch.setattr(desk.server, "patch_status", patch_status)
    for name, method in (("keep", keep), ("kept", listed), ("fetched", fetched), ("forget", forget)):
        monkeypatch.setattr(pods, name, method)
    old = world.pod("a-0")
    old.leave()
    with pytest.raises(PodLost, match="no other pod that stays"):
        await desk.results.move_away(old.endpoint, "lab/a")
    world.serve(Endpoint("a-1", "lab/a-1", old.endpoint.backend, "http://a-1"))
    with pytest.raises(ResultTooLarge, match="others take the room"):
        await desk.results.move_away(old.endpoint, "lab/a")
    assert (set(there["a-0"]), desk.results.kept_on("lab/a-0")) == ({"uid-j"}, 1)
    await desk.results.move_away(old.endpoint, "lab/a")
    assert there["a-1"]["uid-j"] == given[0]
    assert desk.server.written[-1]["result"]["kept"] == {"pod": "a-1"} | {k: kept[k] for k in kept if k != "pod"}
    assert (desk.results.kept_on("lab/a-0"), desk.results.kept_on("lab/a-1")) == (0, 1)
    uid, found = desk.results.find("chem/j", kept["path"].partition("key=")[2])
    assert (uid, found.pod) == ("uid-j", "a-1")
    await desk.results.meet(old.endpoint, "lab/a", keeps=1)
    assert there["a-0"] == {}, "the poll after it drops what nobody names there any more"
