"""Connections of this machine to a pod of a Service, through the API server, as ``kubectl port-forward`` makes them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qonverge.cli.cluster import Cluster, NoAnswer

if TYPE_CHECKING:
    import aiohttp

_HOST = "127.0.0.1"
_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PIECE_BYTES = 64 * 1024


class PortForward:
    """Listens on this machine only. All connections go to one pod, and to another when that serves no more."""

    def __init__(self, cluster: Cluster, service: Callable[[], str]) -> None:
        """Forward nothing yet; ``service`` returns the namespace and name of the Service for each connection."""
        self._cluster = cluster
        self._service = service
        self._pod = ""
        self._server: asyncio.Server | None = None
        self._relays = set[asyncio.Task[None]]()
        self.problem = ""
        """Why the last connection came to no pod; empty where it did."""

    async def listen(self, port: int) -> str:
        """Take connections at a port, 0 for any that is free, and return the URL.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._take, _HOST, port)
        return f"http://{_HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.current_task()
        assert relay is not None
        self._relays.add(relay)
        try:
            path = await self._path()
            async with self._cluster.websocket(path, _PROTOCOL) as tunnel:
                self.problem = ""
                await _relay(reader, writer, tunnel)
        except NoAnswer as error:
            # Whoever is at the other end tries again.
            self.problem, self._pod = str(error), ""
        except OSError:
            # One of the two hung up.
            self._pod = ""
        finally:
            self._relays.discard(relay)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _path(self) -> str:
        """Return where the API server forwards connections to the pod.

        Raises:
            NoAnswer: it does not tell, or no pod serves.
        """
        namespace, name = self._service().split("/", 1)
        core = f"/api/v1/namespaces/{quote(namespace)}"
        service = await self._cluster.read(f"{core}/services/{quote(name)}")
        labels = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
        pods = (await self._cluster.read(f"{core}/pods?labelSelector={quote(labels)}"))["items"]
        ready = {pod["metadata"]["name"]: pod for pod in pods if is_ready(pod)}
        if not ready:
            raise NoAnswer(f"no pod of the Service {namespace}/{name} is ready")
        if self._pod not in ready:
            self._pod = random.choice(list(ready))  # noqa: S311 - any of them will do
        port = port_of(service, ready[self._pod])
        return f"{core}/pods/{quote(self._pod)}/portforward?ports={port}"


def is_ready(pod: dict[str, Any]) -> bool:
    """Return whether a pod serves, and is not about to end."""
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def port_of(service: dict[str, Any], pod: dict[str, Any]) -> int:
    """Return the port of a pod that the first port of a Service leads to."""
    first = service["spec"]["ports"][0]
    target = first.get("targetPort", first["port"])
    named = {
        port["name"]: port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
        if "name" in port
    }
    return int(named.get(target, first["port"]) if isinstance(target, str) else target)


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: aiohttp.ClientWebSocketResponse
) -> None:
    """Pass on what comes from either end, until one of them ends.

    Raises:
        NoAnswer: the pod's port cannot be reached.
        OSError: an end hung up.
    """
    ways = {asyncio.create_task(_send(reader, tunnel)), asyncio.create_task(_receive(tunnel, writer))}
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _send(reader: asyncio.StreamReader, tunnel: aiohttp.ClientWebSocketResponse) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        await tunnel.send_bytes(bytes([_DATA]) + piece)


async def _receive(tunnel: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    from aiohttp import WSMsgType

    begun = set[int]()
    async for message in tunnel:
        if message.type != WSMsgType.BINARY or not message.data:
            continue
        channel = message.data[0]
        if channel not in begun:
            # The first message of each has the port's number.
            begun.add(channel)
        elif channel == _ERROR:
            raise NoAnswer(f"the pod does not take connections: {message.data[1:].decode(errors='replace')}")
        else:
            writer.write(message.data[1:])
            await writer.drain()
