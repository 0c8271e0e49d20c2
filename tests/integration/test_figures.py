"""Placement follows what a real Prometheus has of devices, and the pods' words while it is away."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from qonverge.amounts import Prices
from qonverge.controller.pods.prometheus import Prometheus, PrometheusError
from qonverge.wire.vendor import DeviceState
from tests.integration.conftest import free_port
from tests.integration.prometheus_server import PrometheusServer, Target, running
from tests.unit.controller.worlds import World, info

STALE_SECONDS = 5.0
SOON, LATE = 10.0, 90_000.0


class Pods:
    """What two pods expose: how long a task waits for the device of each."""

    def __init__(self) -> None:
        self.waits: dict[str, float] = {}
        self.ports: dict[str, int] = {}
        self._servers: list[http.server.ThreadingHTTPServer] = []

    def serve(self, name: str) -> None:
        pods = self

        class Metrics(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = f"qonverge_backend_device_online 1\nqonverge_backend_device_wait_seconds {pods.waits[name]}\n"
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(lines.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._servers.append(server)
        self.ports[name] = server.server_address[1]

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class Site(World):
    """Two devices alike; their pods say of both that a task waits long, or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, prometheus: Prometheus) -> None:
        super().__init__()
        monkeypatch.setattr("qonverge.execution.placement.provider_problem", lambda _: None)
        self.prometheus = prometheus
        self.state.pods.stale_seconds = STALE_SECONDS
        self.told = {"a": SOON, "b": LATE}
        self.number = 0
        for name in self.told:
            self.backend(name, simulator=None, plugin={"provider": "Acme"})

    async def decide(self) -> tuple[str, set[str]]:
        """Ask as the operator does, plan a job, and return where it goes and whose figures were used."""
        self.now = time.time()
        for name, wait in self.told.items():
            device = DeviceState(online=True, wait_seconds=wait, prices=Prices())
            self.pod(f"{name}-0").answer(info(4, None, device=device), 0.01, self.now)
        with contextlib.suppress(PrometheusError):
            self.state.pods.scrape(await self.prometheus.figures())
        self.number += 1
        name = f"j{self.number}"
        self.job(name, placement={"objective": "Time"})
        await self.rounds.once()
        decision = self.flight(name).proposal
        assert decision is not None
        chosen = decision.backend or decision.planned
        assert chosen is not None, decision.reason
        del self.state.flights[f"chem/{name}"], self.state.jobs[f"chem/{name}"]
        sources = {str(each.figures["wait_seconds"].source) for each in self.rounds.sight.backends(self.now)}
        return chosen.name, sources

    async def decides(self, name: str, source: str) -> float:
        """Return after how many seconds jobs go there, by figures of this source alone."""
        began = time.monotonic()
        while await self.decide() != (name, {source}):
            assert time.monotonic() - began < 120, f"{name} by {source} did not happen"
        return time.monotonic() - began


@pytest.fixture
def pods() -> Iterator[Pods]:
    pods = Pods()
    for name in ("a", "b"):
        pods.waits[name] = SOON
        pods.serve(name)
    yield pods
    pods.close()


@pytest.fixture
def server(pods: Pods, tmp_path: Path) -> Iterator[PrometheusServer]:
    targets = [
        Target(f"127.0.0.1:{port}", {"namespace": "lab", "pod": f"{name}-0"}) for name, port in pods.ports.items()
    ]
    with running(tmp_path / "prometheus", targets) as server:
        yield server


@pytest.fixture
async def site(server: PrometheusServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with Prometheus(server.url, stale_seconds=STALE_SECONDS) as prometheus:
        yield Site(monkeypatch, prometheus)


async def test_decisions_follow_prometheus_fall_back_and_come_back(
    site: Site, pods: Pods, server: PrometheusServer
) -> None:
    """Whatever the pods say meanwhile, which is the contrary of what is scraped."""
    pods.waits |= {"a": LATE, "b": SOON}
    await site.decides("b", "Prometheus")
    pods.waits |= {"a": SOON, "b": LATE}
    site.told = {"a": LATE, "b": SOON}
    changed = await site.decides("a", "Prometheus")
    server.stop()
    fell_back = await site.decides("b", "Pod")
    server.start()
    came_back = await site.decides("a", "Prometheus")
    print(f"changed after {changed:.2f} s, fell back after {fell_back:.2f} s, came back after {came_back:.2f} s")


async def test_what_is_no_prometheus_is_said_so() -> None:
    async with Prometheus(f"http://127.0.0.1:{free_port()}", stale_seconds=1) as away:
        with pytest.raises(PrometheusError, match="it does not answer: Cannot connect to host"):
            await away.figures()


async def test_another_path_is_refused_with_its_words(server: PrometheusServer) -> None:
    async with Prometheus(f"{server.url}/elsewhere", stale_seconds=1) as other:
        with pytest.raises(PrometheusError, match="it answered 404"):
            await other.figures()
