"""What programs keep, over HTTP: for the present attempt of a job, at any replica."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from qonverge.api.job import OUTPUT_FINALIZER
from qonverge.controller.kube.lease import Election
from qonverge.controller.web.callers import Callers
from qonverge.controller.web.output_routes import OutputRoutes
from qonverge.controller.web.result_route import result_app
from qonverge.controller.web.servers import report_app
from qonverge.storage.objects import Objects, StoreFailed
from qonverge.wire.errors import Unauthorized
from qonverge.wire.tokens import Caller
from tests.unit.controller.results.test_job_outputs import desk_with, files_in

BASE = "/v1/jobs/chem/j/output"
CALLERS = {
    "present": Caller("chem/j", "uid-j-0", 2),
    "former": Caller("chem/j", "uid-j-0", 1),
    "other": Caller("chem/k", "uid-k-0", 2),
}


class Standby:
    """An election that another replica has won, which does not answer."""

    leading = False
    leader = "http://127.0.0.1:1"


async def test_the_present_attempt_keeps_and_reads_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    running = {"state": "Running", "backend": "lab/a", "attempts": 2}
    desk.world.job("j", status=running, program={"python": {"source": "x"}})

    def verify(key: str, token: str | None) -> Caller:
        if token not in CALLERS:
            raise Unauthorized("the token is missing")
        return CALLERS[token]

    routes = OutputRoutes(Callers(desk.world.state, verify), desk.outputs)
    app = report_app(desk.jobs, verify, cast(Election, Standby()), (routes,))
    async with TestClient(TestServer(app)) as client:

        async def ask(method: str, path: str, token: str = "present", data: bytes | None = None) -> tuple[int, bytes]:
            headers = {"authorization": f"Bearer {token}"}
            async with client.request(method, BASE + path, headers=headers, data=data) as response:
                return response.status, await response.read()

        for token, status in (("former", 403), ("other", 403), ("", 401)):
            assert (await ask("PUT", "/result.json", token, b"x"))[0] == status
            assert (await ask("GET", "?folder=files/", token))[0] == status
        assert (files_in(tmp_path), desk.world.state.jobs["chem/j"].metadata.finalizers) == ([], [])
        assert await ask("PUT", "/files/a%20b/c.txt", data=b"x" * 5_000_000) == (200, b'{"bytes": 5000000}')
        assert desk.world.state.jobs["chem/j"].metadata.finalizers == [OUTPUT_FINALIZER]
        assert await ask("PUT", "/checkpoints/00000001", data=b"one") == (200, b'{"bytes": 3}')
        assert await ask("GET", "?folder=files/") == (200, b'{"a b/c.txt": 5000000}')
        assert await ask("GET", "/checkpoints/00000001") == (200, b"one")
        assert (await ask("GET", "/checkpoints/00000009"))[0] == 404
        assert (await ask("GET", "?folder=other/"))[0] == 400
        assert (await ask("PUT", "/files/%2e%2e/x", data=b"x"))[0] in (400, 404)
        assert (await ask("PUT", "/elsewhere", data=b"x"))[0] == 400
        assert (await ask("DELETE", "/checkpoints/00000001"))[0] == 204
        assert files_in(tmp_path) == ["chem/j/uid-j/files/a b/c.txt"]

        async def down(self: Objects, prefix: str) -> dict[str, int]:
            raise StoreFailed("the store shared fails: it is down")

        monkeypatch.setattr(Objects, "sizes", down)
        assert await ask("PUT", "/result.json", data=b"x") == (503, b"the store shared fails: it is down\n")


async def test_nothing_is_given_without_the_path_of_a_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    async with TestClient(TestServer(result_app(desk.results, desk.outputs))) as client:
        for path in ("/result", "/files", "/files/a", "/result?key=", "/files?key=guess"):
            async with client.get(BASE + path) as response:
                assert (response.status, "read its status again" in await response.text()) == (404, True)
