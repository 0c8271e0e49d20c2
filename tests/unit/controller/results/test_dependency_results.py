"""Results of dependencies that are in stores: as parameters, and over HTTP for the programs of those that depend."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from qonverge.api import HybridJob
from qonverge.controller.jobs.inputs import Inputs
from qonverge.controller.jobs.view import View
from qonverge.controller.kube.lease import Election
from qonverge.controller.results import dependency_results
from qonverge.controller.results.dependency_results import DependencyResults
from qonverge.controller.web.callers import Callers
from qonverge.controller.web.input_routes import InputRoutes
from qonverge.controller.web.servers import report_app
from qonverge.storage.objects import Objects, StoreFailed
from qonverge.wire.tokens import Caller
from tests.unit.controller.jobs.test_decisions import written
from tests.unit.controller.jobs.test_reconciler import Desk
from tests.unit.controller.results.test_job_outputs import desk_with
from tests.unit.controller.results.test_output_routes import Standby
from tests.unit.controller.worlds import NOW

WHOLE = json.dumps({"value": {"angle": 0.25, "path": list(range(200_000))}}).encode()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Chain:
    """A job a, whose result is in a store, and a job b that depends on it."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = desk
        self.results = DependencyResults(desk.server, desk.results, desk.outputs)
        self.shown: dict[str, Any] | None = None

        async def get(kind: str, namespace: str, name: str) -> dict[str, Any] | None:
            assert (kind, namespace, name) == ("HybridJob", "chem", "a")
            return self.shown

        monkeypatch.setattr(desk.server, "get", get)

    async def ended(self) -> None:
        """Let a end with a large result."""
        job = self.desk.world.job("a", program={"python": {"source": "x"}})
        kept = self.desk.outputs.of(job)
        assert kept is not None
        await kept.put("result.json", pieces(WHOLE))
        stored = self.desk.outputs.stored_result(job, len(WHOLE), "0" * 64)
        metadata = {"name": "a", "namespace": "chem", "uid": job.metadata.uid, "resourceVersion": "9"}
        status = {"state": "Complete", "result": {"stored": stored.to_dict()}}
        self.shown = {"metadata": metadata, "spec": {"program": {"python": {"source": "x"}}}, "status": status}
        self.desk.world.state.observe("HybridJob", self.shown, deleted=False)

    def dependent(self, path: str = "angle", **status: Any) -> HybridJob:
        on = [{"name": "a", "parameters": {"x": path}}]
        return self.desk.world.job("b", status=status, program={"python": {"source": "x"}}, dependsOn=on)

    async def decided(self, path: str = "angle") -> Any:
        job = self.dependent(path)
        return written(await Inputs(self.results).take(View(job, None, NOW)))


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    return Chain(desk_with(tmp_path, monkeypatch), monkeypatch)


async def test_parameters_come_from_a_store_and_wait_for_it(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    await chain.ended()
    status = await chain.decided()
    assert (status.state, status.reason, status.dependencies[0].values) == (
        "Pending",
        "DependenciesComplete",
        {"x": 0.25},
    )
    assert (await chain.decided("angles")).reason == "InvalidInput"

    async def down(self: Objects, key: str) -> None:
        raise StoreFailed("the store shared fails: it is down")

    with monkeypatch.context() as broken:
        broken.setattr(Objects, "get", down)
        status = await chain.decided()
    assert (status.reason, status.dependencies) == ("WaitingForDependencies", None)
    assert "cannot be read now: the store shared fails" in status.message
    monkeypatch.setattr(dependency_results, "MOST_READ", 1000)
    status = await chain.decided()
    assert (status.state, status.reason) == ("Failed", "InvalidInput")
    assert f"the result of a has {len(WHOLE)} bytes, and parameters are taken from at most 1000" in status.message


async def test_one_that_went_before_its_result_was_taken_fails_the_other(chain: Chain) -> None:
    await chain.ended()
    chain.shown = None
    status = await chain.decided()
    assert (status.state, status.reason) == ("Failed", "DependencyFailed")
    assert status.message == "a was deleted, and with it its result"


async def test_programs_read_large_results_of_the_jobs_that_theirs_depends_on(chain: Chain) -> None:
    await chain.ended()
    assert chain.shown is not None
    uid = chain.shown["metadata"]["uid"]
    taken = {"name": "a", "uid": uid, "state": "Complete", "parameters": {"x": "angle"}, "values": {"x": 0.25}}
    chain.dependent(state="Running", backend="lab/a", attempts=2, dependencies=[taken])
    callers = {
        "present": Caller("chem/b", "uid-b-0", 2),
        "former": Caller("chem/b", "uid-b-0", 1),
        "other": Caller("chem/k", "uid-k-0", 2),
    }

    def verify(key: str, token: str | None) -> Caller:
        return callers[str(token)]

    routes = InputRoutes(Callers(chain.desk.world.state, verify), chain.results)
    app = report_app(chain.desk.jobs, verify, cast(Election, Standby()), (routes,))
    async with TestClient(TestServer(app)) as client:

        async def ask(name: str, token: str = "present") -> tuple[int, bytes]:
            headers = {"authorization": f"Bearer {token}"}
            async with client.get(f"/v1/jobs/chem/b/inputs/{name}", headers=headers) as response:
                return response.status, await response.read()

        assert await ask("a") == (200, WHOLE)
        assert [(await ask("a", token))[0] for token in ("former", "other")] == [403, 403]
        assert (await ask("c"))[0] == 404
        chain.shown["metadata"]["uid"] = "another"
        assert await ask("a") == (404, b"a was deleted and created again since this job started\n")
