"""What is sent to pods, and to which: real requests to servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.pods import task_client
from qonverge.controller.pods.errors import PodLost, PodNotReached, PodSilent
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.pods import Endpoint
from qonverge.wire.codec import pack
from qonverge.wire.errors import Unauthorized, WireError
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.proof import prove
from qonverge.wire.tokens import OPERATOR_SUBJECT, Signer, Verifier, generate_private_key, public_key

PRIVATE = generate_private_key()
TASK = Task("t", (Pub("c", shots=1),), {"c": b"a circuit"})


class Pod:
    """A server that keeps what it is sent."""

    def __init__(
        self, identity: Callable[[str], object], *, leaves: bool = False, says: object = {"tasks": []}
    ) -> None:
        """``identity`` gives the body that answers a challenge; one that ``leaves`` takes a task and is gone."""
        self.identity, self.leaves, self.says = identity, leaves, says
        self.asked: list[tuple[str, str]] = []
        """Path and token of each request."""

    async def handle(self, request: web.Request) -> web.Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.asked.append((request.path, token))
        if request.path == "/v1/identity":
            return web.Response(body=pack(self.identity(request.query["challenge"])))
        if self.leaves:
            await self.site.stop()
            response = web.Response(body=pack(TaskResult("t", "Queued").to_dict()))
            response.force_close()
            return response
        return web.Response(body=pack(self.says))

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Endpoint]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        self.site = web.TCPSite(runner, "127.0.0.1", 0)
        await self.site.start()
        try:
            yield Endpoint("uid-1", "lab/pod", "lab/aer-qb", f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()


def honest(sent: str) -> object:
    return {"proof": prove(Signer(PRIVATE).backend_key("lab/aer"), sent, "uid-1")}


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(lambda sent: {"proof": prove("guessed", sent, "uid-1")}, id="another key"),
        pytest.param(
            lambda sent: {"proof": prove(Signer(PRIVATE).backend_key("lab/aer"), sent, "uid-2")}, id="another pod"
        ),
        pytest.param(lambda sent: {"proof": sent}, id="an echo"),
        pytest.param(lambda _: {"error": {"code": "NotFound"}}, id="no proof"),
        pytest.param(lambda _: [1], id="no object"),
        pytest.param(lambda _: {"proof": "x" * 100_000}, id="a flood"),
    ],
)
async def test_a_pod_without_proof_gets_neither_token_nor_circuit(identity: Callable[[str], object]) -> None:
    pod, data = Pod(identity), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            with pytest.raises(PodNotReached):
                await data.run(endpoint, "lab/aer", TASK)
            with pytest.raises(PodLost):
                await data.tasks(endpoint, "lab/aer")
    finally:
        await data.close()
    assert pod.asked == [("/v1/identity", "")] * 2


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"engine": "Aer", "workers": "2"},
        {"tasks": [{"id": 1}], "results": 5, "dropped": [1], "vendor_tasks": "x"},
        {"boot": "b", "meters": {"a": {"used": ["x", 1, 1], "wanted": None, "now": [0, 0, "x"], "under_way": "x"}}},
        {"boot": "b", "meters": [1], "tasks": 5, "state": 5},
    ],
)
async def test_an_answer_that_cannot_be_read_is_the_pods_fault_alone(said: dict[str, object]) -> None:
    pod, data = Pod(honest, says=said), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            asks = (
                data.info(endpoint, "lab/aer"),
                data.described(endpoint, "lab/aer"),
                data.drain(endpoint, "lab/aer", on=True),
                data.tasks(endpoint, "lab/aer"),
                data.meters(endpoint, "lab/aer", None),
                data.kept(endpoint, "lab/aer"),
                data.end_run(endpoint, "lab/aer", "run"),
                data.run(endpoint, "lab/aer", TASK),
            )
            for ask in asks:
                with pytest.raises(WireError):
                    await ask
    finally:
        await data.close()


async def test_a_pod_proves_itself_once_and_again_after_it_was_lost() -> None:
    pod, data = Pod(honest), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            for _ in range(2):
                assert await data.tasks(endpoint, "lab/aer") == []
            assert [path for path, _ in pod.asked] == ["/v1/identity", "/v1/tasks", "/v1/tasks"]
        with pytest.raises(PodLost):
            await data.tasks(endpoint, "lab/aer")
        # Another pod has its address.
        other = Pod(lambda sent: {"proof": sent})
        async with other.serve() as taken:
            with pytest.raises(PodLost, match="cannot prove"):
                await data.tasks(Endpoint(endpoint.pod, endpoint.key, endpoint.backend, taken.url), "lab/aer")
            assert [token for _, token in other.asked] == [""]
    finally:
        await data.close()


async def test_a_pod_that_may_have_the_task_is_told_from_one_that_got_nothing() -> None:
    pod, data = Pod(honest, leaves=True), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            with pytest.raises(PodLost) as lost:
                await data.run(endpoint, "lab/aer", TASK)
            assert not isinstance(lost.value, PodNotReached)
            with pytest.raises(PodNotReached):
                await data.run(endpoint, "lab/aer", TASK)
            # Nothing listens there any more: what it had is lost, and not only out of reach.
            with pytest.raises(PodLost) as lost:
                await data.run(endpoint, "lab/aer", TASK, sent=True)
            assert not isinstance(lost.value, (PodNotReached, PodSilent))
    finally:
        await data.close()


async def test_a_task_that_was_sent_is_asked_for_and_not_sent_again() -> None:
    class Breaks(Pod):
        asks = 0

        async def handle(self, request: web.Request) -> web.Response:
            if request.path.startswith("/v1/tasks"):
                self.asked.append((f"{request.method} {request.path}", ""))
                self.asks += 1
                if self.asks == 1:
                    assert request.transport is not None
                    request.transport.abort()
                return web.Response(body=pack(TaskResult("t", "Completed").to_dict()))
            return await super().handle(request)

    pod, data = Breaks(honest), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            with pytest.raises(PodSilent):
                await data.run(endpoint, "lab/aer", TASK)
            assert (await data.run(endpoint, "lab/aer", TASK, sent=True)).done
    finally:
        await data.close()
    assert [path for path, _ in pod.asked if "tasks" in path] == ["POST /v1/tasks", "GET /v1/tasks/t"]


async def test_the_token_is_good_for_this_pod_alone_and_a_minute() -> None:
    pod, data = Pod(honest), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            await data.tasks(endpoint, "lab/aer")
    finally:
        await data.close()
    token, public, now = pod.asked[-1][1], public_key(PRIVATE), time.time()
    assert Verifier(public, "lab/aer", lambda: now, "uid-1").verify(token).subject == OPERATOR_SUBJECT
    for instance, later in (("uid-2", 0), ("", 0), ("uid-1", 61)):
        with pytest.raises(Unauthorized, match=r"another service|expired"):
            Verifier(public, "lab/aer", lambda at=now + later: at, instance).verify(token)  # type: ignore[misc]


async def test_a_pod_of_a_former_key_gets_tokens_of_it_until_it_is_replaced() -> None:
    pod, key = Pod(honest), SigningKey(Signer(PRIVATE))
    data = DataPlane(key)
    try:
        async with pod.serve() as endpoint:
            await data.tasks(endpoint, "lab/aer")
            key.signer = Signer(generate_private_key())
            await data.tasks(endpoint, "lab/aer")
            former = Verifier(public_key(PRIVATE), "lab/aer", time.time, "uid-1")
            assert [former.verify(token).subject for _, token in pod.asked[1:]] == [OPERATOR_SUBJECT] * 2
            # Another pod has to know the key in force.
            with pytest.raises(PodLost, match="cannot prove"):
                await data.tasks(replace(endpoint, key="lab/other"), "lab/aer")
    finally:
        await data.close()


@pytest.mark.parametrize("refusals", [1, 2])
async def test_a_refused_token_is_looked_into_and_sent_anew(refusals: int) -> None:
    class Refusing(Pod):
        async def handle(self, request: web.Request) -> web.Response:
            answer = await super().handle(request)
            if len([path for path, _ in self.asked if path == "/v1/tasks"]) > refusals or request.path != "/v1/tasks":
                return answer
            error = Unauthorized("the token has expired: ask for a new one")
            return web.Response(body=pack({"error": error.to_dict()}), status=error.status)

    pod, data = Refusing(honest), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            if refusals == 1:
                assert await data.tasks(endpoint, "lab/aer") == []
            else:
                with pytest.raises(
                    PodLost, match=r"proves that it is one of lab/aer, .*has expired.*compare the clocks"
                ):
                    await data.tasks(endpoint, "lab/aer")
    finally:
        await data.close()
    assert PodLost.retryable
    assert [path for path, _ in pod.asked] == ["/v1/identity", "/v1/tasks"] * 2


async def test_a_pod_that_hangs_is_not_waited_for_where_a_job_is_to_be_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_client, "_SOON_SECONDS", 0.5)
    never = asyncio.Event()

    class Hangs(Pod):
        async def handle(self, request: web.Request) -> web.Response:
            if request.method == "DELETE":
                await never.wait()
            return await super().handle(request)

    data = DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with Hangs(honest).serve() as endpoint:
            # Any other limit would outlast the test's.
            async with asyncio.timeout(15):
                for ending in (data.settle, data.end_run):
                    with pytest.raises(PodLost, match=r"does not answer: \w*Timeout"):
                        await ending(endpoint, "lab/aer", "t")
            never.set()
    finally:
        await data.close()


async def test_a_large_result_may_come_for_long_where_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_client, "_ANSWER_SECONDS", 2.0)

    class Slow(Pod):
        async def handle(self, request: web.Request) -> web.StreamResponse:  # type: ignore[override]
            if request.path == "/v1/identity":
                return await super().handle(request)
            response, body = web.StreamResponse(), pack(TaskResult("t", "Completed").to_dict())
            await response.prepare(request)
            for number in range(24):
                await asyncio.sleep(0.1)
                await response.write(body[number : number + 1] if number < 23 else body[23:])
            return response

    pod, data = Slow(honest), DataPlane(SigningKey(Signer(PRIVATE)))
    try:
        async with pod.serve() as endpoint:
            assert (await data.run(endpoint, "lab/aer", TASK, sent=True)).state == "Completed"
    finally:
        await data.close()
