"""An HTTP proxy in front of an API server that breaks watches as a real one does, at a chosen moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from aiohttp import web

from e2e.cluster import ControlPlane
from e2e.cluster.build import Programs

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "content-encoding"}


class FaultyProxy:
    """Passes requests on; ``breaks`` ends all open watches with an ERROR event, ``silences`` keeps them open."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._watches: set[web.StreamResponse] = set()
        self._silent: set[web.StreamResponse] = set()
        self._open = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.port = 0
        self.watched = 0
        """Watches that were asked for so far."""

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def breaks(self, code: int, reason: str) -> int:
        """End the open watches with this error inside the stream, let none in, and return how many there were."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
        line = json.dumps({"type": "ERROR", "object": {**status, "message": f"{reason} in the stream"}}) + "\n"

        async def end() -> int:
            self._open.clear()
            watches = list(self._watches)
            for watch in watches:
                # One that the client has left meanwhile has ended as well.
                with contextlib.suppress(ConnectionError):
                    await watch.write(line.encode())
                    await watch.write_eof()
                self._watches.discard(watch)
            return len(watches)

        return asyncio.run_coroutine_threadsafe(end(), self._loop).result(30)

    def silences(self) -> int:
        """Let nothing more through the open watches, and return how many there are; new ones work."""

        async def silence() -> int:
            self._silent |= self._watches
            return len(self._watches)

        return asyncio.run_coroutine_threadsafe(silence(), self._loop).result(30)

    def lets_in(self) -> None:
        """Take watches again."""
        self._loop.call_soon_threadsafe(self._open.set)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._open.set()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as self._client:
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch") == "true"
        if watch:
            await self._open.wait()
            self.watched += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        async with self._client.request(
            request.method, f"{self._upstream}{request.path_qs}", headers=headers, data=await request.read() or None
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            if watch:
                self._watches.add(response)
            try:
                async for chunk in answer.content.iter_any():
                    if watch and response not in self._watches:
                        break
                    if response not in self._silent:
                        await response.write(chunk)
            finally:
                self._watches.discard(response)
        return response


@contextlib.contextmanager
def faulty_proxy(plane: ControlPlane, folder: Path) -> Iterator[tuple[FaultyProxy, Path]]:
    """Start a proxy; returns it and a kubeconfig that leads through it."""
    # kubectl's own proxy adds the credentials, so that this one speaks plain HTTP on both sides.
    kubectl = subprocess.Popen(
        [Programs()["kubectl"], f"--kubeconfig={plane.kubeconfig}", "proxy", "--port=0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert kubectl.stdout is not None
    try:
        found = re.search(r"127\.0\.0\.1:\d+", kubectl.stdout.readline())
        assert found is not None
        proxy = FaultyProxy(f"http://{found[0]}")
        proxy.start()
        try:
            kubeconfig = folder / "through-proxy.yaml"
            kubeconfig.write_text(
                json.dumps(
                    {
                        "apiVersion": "v1",
                        "kind": "Config",
                        "current-context": "c",
                        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{proxy.port}"}}],
                        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                        "users": [{"name": "u", "user": {}}],
                    }
                )
            )
            yield proxy, kubeconfig
        finally:
            proxy.stop()
    finally:
        kubectl.terminate()
        kubectl.wait(10)
        kubectl.stdout.close()
