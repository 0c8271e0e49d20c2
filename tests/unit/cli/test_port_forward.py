"""Connections through an API server, to one pod and to another when that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from kubernetes.aio import client

from qonverge.cli.cluster import Cluster
from qonverge.cli.port_forward import PortForward, is_ready, port_of

_SERVICE = {"spec": {"selector": {"backend": "aer"}, "ports": [{"port": 8080, "targetPort": "tasks"}]}}


def pod(name: str, *, ready: bool = True, port: int = 9090, **metadata: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    ports = [{"name": "metrics", "containerPort": 1}, {"name": "tasks", "containerPort": port}]
    spec = {"containers": [{"ports": ports}]}
    return {"metadata": {"name": name, **metadata}, "spec": spec, "status": status}


def answer(words: bytes) -> bytes:
    """Return what the pod says to these, however they come in pieces."""
    return words.translate(bytes(reversed(range(256))))


class ApiServer:
    """What an API server and a kubelet do of it, in the protocol ``v4.channel.k8s.io``."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.refusal: str | None = None
        self.unreachable = False

    async def service(self, request: web.Request) -> web.Response:
        return web.json_response(_SERVICE)

    async def listed(self, request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "backend=aer"
        return web.json_response({"items": self.pods})

    async def forward(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is not None:
            return web.json_response({"message": self.refusal}, status=403)
        self.asked.append(f"{request.match_info['pod']}:{request.query['ports']}")
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        port = struct.pack("<H", int(request.query["ports"]))
        await socket.send_bytes(b"\x00" + port)
        await socket.send_bytes(b"\x01" + port)
        if self.unreachable:
            await socket.send_bytes(b"\x01connection refused")
        async for message in socket:
            if message.type == WSMsgType.BINARY and message.data[0] == 0:
                await socket.send_bytes(b"\x00" + answer(message.data[1:]))
        return socket

    @contextlib.asynccontextmanager
    async def forwarding(self) -> AsyncIterator[tuple[PortForward, int]]:
        """Give a port-forward through this server, and its port."""
        app, core = web.Application(), "/api/v1/namespaces/lab"
        app.add_routes(
            [
                web.get(f"{core}/services/aer-qb", self.service),
                web.get(f"{core}/pods", self.listed),
                web.get(f"{core}/pods/{{pod}}/portforward", self.forward),
            ]
        )
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (address,) = runner.addresses
        configuration = client.Configuration(host=f"http://127.0.0.1:{address[1]}")
        async with client.ApiClient(configuration) as api:
            forward = PortForward(Cluster(api, "lab"), lambda: "lab/aer-qb")
            try:
                yield forward, int((await forward.listen(0)).rpartition(":")[2])
            finally:
                await forward.close()
                await runner.cleanup()


async def said(port: int, *words: bytes) -> bytes:
    """Return what comes back until the other end hangs up or has answered all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        for word in words:
            writer.write(word)
            heard += await reader.readexactly(len(word))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
    return heard


async def test_what_is_said_comes_to_the_pods_port_and_back() -> None:
    server = ApiServer()
    server.pods = [pod("aer-1")]
    large = b"".join(number.to_bytes(4, "big") for number in range(100_000))
    async with server.forwarding() as (forward, port):
        assert await said(port, b"ab", b"cd") == answer(b"abcd")
        assert await said(port, large) == answer(large)
        both = await asyncio.gather(said(port, b"x"), said(port, b"y"))
        assert tuple(both) == (answer(b"x"), answer(b"y"))
        assert forward.problem == ""
    assert server.asked == ["aer-1:9090"] * 4


async def test_connections_stay_with_a_pod_until_it_serves_no_more() -> None:
    server = ApiServer()
    server.pods = [pod("aer-1")]
    async with server.forwarding() as (_, port):
        await said(port, b"a")
        server.pods = [pod("aer-0"), pod("aer-1"), pod("aer-2")]
        await said(port, b"a")
        server.pods = [pod("aer-1", deletionTimestamp="now"), pod("aer-2"), pod("aer-3", ready=False)]
        await said(port, b"a")
    assert [each.partition(":")[0] for each in server.asked] == ["aer-1", "aer-1", "aer-2"]


async def test_why_there_is_no_connection_is_known_and_the_next_one_may_succeed() -> None:
    server = ApiServer()
    async with server.forwarding() as (forward, port):
        assert await said(port, b"a") == b""
        assert forward.problem == "no pod of the Service lab/aer-qb is ready"
        server.pods, server.refusal = [pod("aer-1")], "pods is forbidden: ann cannot create pods/portforward"
        assert await said(port, b"a") == b""
        assert forward.problem == f"the API server answered 403: {server.refusal}"
        server.refusal, server.unreachable = None, True
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        assert forward.problem == "the pod does not take connections: connection refused"
        server.unreachable = False
        assert await said(port, b"a") == answer(b"a")
        assert forward.problem == ""


@pytest.mark.parametrize(
    ("port", "leads_to"),
    [({"port": 80}, 80), ({"port": 80, "targetPort": 81}, 81), ({"port": 80, "targetPort": "tasks"}, 9090)],
)
def test_a_services_port_leads_to_one_of_its_pods(port: dict[str, Any], leads_to: int) -> None:
    assert port_of({"spec": {"ports": [port]}}, pod("aer-1")) == leads_to
    assert not is_ready({"metadata": {}})
