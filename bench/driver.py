"""A client of the API server that costs little, so that the figures are about what it asks of others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config

BELL = """OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
h q[0];
cx q[0], q[1];
c = measure q;
"""
SHOTS = 1024
_JSON = "application/json"
_MERGE = "application/merge-patch+json"
# The API server writes the keys of an object in order: the first name is the object's own.
_NAME = re.compile(rb'"name":"([^"]+)"')
_VERSION = re.compile(rb'"resourceVersion":"([0-9]+)"')
_ERROR = b'{"type":"ERROR"'
_ENDED = re.compile(rb'"state":"(Complete|Failed)"')
_LONGEST_LINE = 4 * 1024 * 1024


class JobFailed(Exception):
    """A job of the measurement did not complete, so its figures would mean nothing."""


class Driver:
    """Creates HybridJobs, sees them complete, and writes a status as the operator does."""

    def __init__(self, session: aiohttp.ClientSession, host: str) -> None:
        """Use ``connected``."""
        self._session = session
        self._host = host
        self._awaited: dict[bytes, asyncio.Future[float]] = {}

    async def create(self, namespace: str, name: str, openqasm: str = BELL) -> str:
        """Create a job, which makes a Bell pair unless another circuit is given, and return its resource version."""
        body = {
            "apiVersion": "qonverge.io/v1alpha1",
            "kind": "HybridJob",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"program": {"circuit": {"openqasm": openqasm}}, "shots": SHOTS},
        }
        return str((await self.post(_path(namespace), body))["metadata"]["resourceVersion"])

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object of the list at a path, and return it."""
        made: dict[str, Any] = json.loads(await self._ask("POST", path, body, _JSON))
        return made

    async def get(self, path: str) -> dict[str, Any]:
        """Return the object or list at a path."""
        found: dict[str, Any] = json.loads(await self._ask("GET", path))
        return found

    async def write_status(self, namespace: str, name: str, version: str, status: dict[str, Any]) -> None:
        """Write a job's status by the request that the operator makes."""
        body = {"metadata": {"resourceVersion": version}, "status": status}
        await self._ask("PATCH", f"{_path(namespace, name)}/status?fieldManager=bench", body, _MERGE)

    async def status(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a job's status."""
        status: dict[str, Any] = (await self.get(_path(namespace, name))).get("status", {})
        return status

    async def delete_all(self, namespace: str) -> None:
        """Delete all jobs of a namespace."""
        await self._ask("DELETE", _path(namespace))

    def ended(self, name: str) -> asyncio.Future[float]:
        """Return a future of the moment (of ``time.perf_counter``) at which a watch shows the job's completion.

        Call it before the job is created. It raises JobFailed where the job failed.
        """
        future = self._awaited[name.encode()] = asyncio.get_running_loop().create_future()
        return future

    @contextlib.asynccontextmanager
    async def watching(self, namespace: str) -> AsyncIterator[None]:
        """Watch a namespace's jobs during the block."""
        listed = json.loads(await self._ask("GET", f"{_path(namespace)}?limit=1"))
        async with _beside(self._read(namespace, listed["metadata"]["resourceVersion"])):
            yield

    @contextlib.asynccontextmanager
    async def shown(self, path: str, take: Callable[[dict[str, Any]], None]) -> AsyncIterator[None]:
        """Give ``take`` each object of a list that changes during the block, as a watch shows it."""
        listed = json.loads(await self._ask("GET", f"{path}?limit=1"))
        query = f"watch=1&resourceVersion={listed['metadata']['resourceVersion']}&timeoutSeconds=86400"

        async def read() -> None:
            timeout = aiohttp.ClientTimeout(total=None)
            async with self._session.get(f"{self._host}/{path}?{query}", timeout=timeout) as response:
                response.raise_for_status()
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] != "DELETED":
                        take(event["object"])

        async with _beside(read()):
            yield

    async def _read(self, namespace: str, version: str) -> None:
        """Watch from a version on; the API server ends a watch whose reader is slow, and it begins again there."""
        while True:
            query = f"watch=1&resourceVersion={version}&timeoutSeconds=86400"
            try:
                async with self._session.get(
                    f"{self._host}/{_path(namespace)}?{query}", timeout=aiohttp.ClientTimeout(total=None)
                ) as response:
                    response.raise_for_status()
                    async for line in response.content:
                        version = self._take(line, time.perf_counter()) or version
            except aiohttp.ClientError as lost:
                for future in self._awaited.values():
                    if not future.done():
                        future.set_exception(lost)
                return

    def _take(self, line: bytes, moment: float) -> str | None:
        """Take an event, and return its version; reading only what is asked for takes a fraction of parsing it."""
        if line.startswith(_ERROR):
            raise aiohttp.ClientPayloadError(f"the API server ended the watch: {line.decode(errors='replace')}")
        version = _VERSION.search(line)
        if (state := _ENDED.search(line)) is not None and (name := _NAME.search(line)) is not None:
            future = self._awaited.pop(name[1], None)
            if future is not None and not future.done():
                if state[1] == b"Complete":
                    future.set_result(moment)
                else:
                    future.set_exception(JobFailed(line.decode(errors="replace")))
        return None if version is None else version[1].decode()

    async def _ask(self, method: str, path: str, body: Any = None, content: str = "") -> bytes:
        headers = {"Accept": _JSON, **({"Content-Type": content} if content else {})}
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        async with self._session.request(method, f"{self._host}/{path}", data=data, headers=headers) as response:
            answer = await response.read()
            if response.status >= 400:
                raise JobFailed(f"{method} {path}: the API server answered {response.status}: {answer!r}")
            return answer


@contextlib.asynccontextmanager
async def _beside(what: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something beside the block, until its end."""
    task = asyncio.create_task(what)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _path(namespace: str, name: str = "") -> str:
    return f"apis/qonverge.io/v1alpha1/namespaces/{namespace}/hybridjobs" + (f"/{name}" if name else "")


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Driver]:
    """Connect to the API server as the kubeconfig says."""
    configuration = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    assert configuration.cert_file is not None, "the kubeconfig names a client certificate"
    context.load_cert_chain(configuration.cert_file, configuration.key_file)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=_LONGEST_LINE) as session:
        yield Driver(session, configuration.host)


async def at_once(names: Iterable[str], in_flight: int, one: Callable[[str], Awaitable[object]]) -> float:
    """Call ``one`` with each name, so many at a time, and return the seconds that all took."""
    left = iter(names)

    async def work() -> None:
        for name in left:
            await one(name)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return time.perf_counter() - start
