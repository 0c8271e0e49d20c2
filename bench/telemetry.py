"""What telemetry costs the operator: ``python -m bench.telemetry [--backends 500] [--seconds 60]``.

Its polls and its metrics run as they are, in this process, over as many backends of one pod. Another process stands for
the pods, which prove themselves and are asked with tokens over HTTP, and for Prometheus, which scrapes the operator.
Both happen every 5 s. There is no API server, and no job: what is measured is telemetry alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import uvloop
from aiohttp import web

from bench.report import machine
from qonverge.accounting.ledger import Ledger
from qonverge.api import QuantumBackend
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.backends.reconciler import Backends
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.objects.manifests import audience, backend_selector
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.placement.traces import Traces
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.settings import Settings
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.web import servers
from qonverge.controller.web.readings import OperatorReadings
from qonverge.scheduling import Policy
from qonverge.telemetry import JobEnd, OperatorMetrics
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.codec import pack
from qonverge.wire.proof import prove
from qonverge.wire.tokens import Signer, generate_private_key

RESULTS = Path(__file__).parent / "results" / "telemetry.json"
_NAMESPACE = "lab"
_INTERVAL = 5.0
_BAR = 0.1
_INFO = BackendInfo(
    *("Aer", "Automatic", ("Automatic",), ("cx",), None, 10**6, 2**30, 2),
    queued=0,
    running=0,
    queue_limit=100,
    draining=False,
    boot="b",
    task_seconds=1.0,
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; parts are those of one core."""

    backends: int
    series: int
    bytes: int
    polls: float
    """CPU time of the operator that asks all pods every 5 s."""
    polls_and_scrapes: float
    """The same while it is scraped every 5 s too."""
    poll_seconds: float
    """How long a poll of all pods takes, median."""


class Pods:
    """The servers of all pods, and what scrapes the operator: for a process of their own."""

    def __init__(self, signer: Signer) -> None:
        """``signer`` gives the keys that the operator gives to pods."""
        self._signer = signer

    async def serve(self) -> None:
        """Tell the port on standard output; scrape each address that comes on standard input, until that ends."""
        app = web.Application()
        app.router.add_get("/{pod}/v1/identity", self._identity)
        app.router.add_get("/{pod}/v1/backend", self._told(_INFO.to_dict()))
        app.router.add_post("/{pod}/v1/meters", self._told({"boot": "b", "meters": {}}))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        scraping: asyncio.Task[None] | None = None
        while address := (await asyncio.to_thread(sys.stdin.readline)).strip():
            scraping = asyncio.create_task(_every(lambda: _scrape(address)))
        if scraping is not None:
            scraping.cancel()
        await runner.cleanup()

    async def _identity(self, request: web.Request) -> web.Response:
        pod = request.match_info["pod"]
        key = self._signer.backend_key(f"{_NAMESPACE}/{pod}")
        return web.Response(body=pack({"proof": prove(key, request.query["challenge"], pod)}))

    @staticmethod
    def _told(answer: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
        body = pack(answer)

        async def told(_: web.Request) -> web.Response:
            return web.Response(body=body)

        return told


async def _scrape(address: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        await answer.read()


async def _every(do: Callable[[], Awaitable[None]]) -> None:
    while True:
        began = time.monotonic()
        await do()
        await asyncio.sleep(max(0.0, began + _INTERVAL - time.monotonic()))


class Operator:
    """The part of the operator that asks pods and shows metrics."""

    def __init__(self, data: DataPlane, port: int, count: int) -> None:
        """Know so many backends, of each of which jobs have ended."""
        self.state, cluster, ledger, queue = State(), Cluster(), Ledger(), WorkQueue(time.monotonic)
        self.metrics, self.traces = OperatorMetrics(), Traces(Policy())
        forecasts = Forecasts(self.state, Checker(), time.time)
        common: dict[str, Any] = {"state": self.state, "clock": time.time}
        metering = Metering(
            **common,
            cluster=cluster,
            data=data,
            ledger=ledger,
            queue=queue,
            charge=forecasts.charge,
            changed=lambda _: None,
            spent=self.metrics.spend,
        )
        # What writes to the API server is not called: there is no job, and no reconcile.
        nothing: dict[str, Any] = dict.fromkeys(("kube", "statuses", "events"), cast("Any", None))
        results = PodResults(**common, **nothing, data=data, settings=Settings())
        self.backends = Backends(
            **common,
            **nothing,
            cluster=cluster,
            queue=queue,
            data=data,
            metering=metering,
            results=results,
            settings=Settings(),
            key=cast("Any", None),
        )
        rounds = Rounds(
            **common,
            queue=queue,
            cluster=cluster,
            ledger=ledger,
            forecasts=forecasts,
            traces=self.traces,
            policy=Policy(),
            withdraw=lambda *_: None,
            holders=dict,
            metrics=self.metrics,
            activate=lambda: None,
        )
        readings = OperatorReadings(
            **common,
            ledger=ledger,
            forecasts=forecasts,
            rounds=rounds,
            waiting=lambda: 0,
            leading=lambda: True,
            acting=lambda: True,
        )
        self.metrics.read_at_scrape(readings)
        for number in range(count):
            self._add(f"backend-{number}", port)

    def _add(self, name: str, port: int) -> None:
        energy, location = {"taskWatts": 20}, {"site": f"site-{name}", "region": "home", "nodes": "Any"}
        spec = {"simulator": {}, "scaling": {"maxReplicas": 3}, "energy": energy, "location": location}
        given = {"metadata": {"name": name, "namespace": _NAMESPACE, "uid": name}, "spec": spec}
        backend = QuantumBackend.model_validate(given)
        key, selector = audience(backend), backend_selector(backend)
        self.state.backends[key] = backend
        endpoint = Endpoint(name, f"{_NAMESPACE}/{name}-0", selector, f"http://127.0.0.1:{port}/{name}")
        self.state.pods.observe(name, endpoint.key, endpoint, backend=selector).admit()
        for end in (JobEnd(key, "Complete", "Completed", 1.0, 2.0), JobEnd(key, "Failed", "WorkerLost", 1.0, 2.0)):
            self.metrics.ended(end)
        for figure in ("run", "wait"):
            for observed in (1.5, 9.0):
                self.metrics.compare(key, figure, (1.0, 2.0, 3.0), observed)


async def measure(count: int, seconds: float) -> Figures:
    """Return what the telemetry of so many backends costs, each half of it measured for so long.

    Raises:
        RuntimeError: a pod does not answer.
    """
    private = generate_private_key()
    pods = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.telemetry", "--pods", private.decode()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert pods.stdin is not None
    assert pods.stdout is not None
    data = DataPlane(SigningKey(Signer(private)))
    try:
        operator = Operator(data, int(await pods.stdout.readline()), count)
        served = await servers.listen(
            servers.health_app(lambda: None, operator.metrics, operator.traces), "127.0.0.1:0"
        )
        took: list[float] = []

        async def poll() -> None:
            began = time.monotonic()
            await operator.backends.poll(leading=True, whole=False)
            took.append(time.monotonic() - began)

        # Connections, proofs and tokens are made once.
        await operator.backends.poll(leading=True)
        if silent := [pod.key for pod in operator.state.pods.serving() if not pod.answers]:
            raise RuntimeError(f"{len(silent)} pods do not answer, such as {silent[0]}")
        polling = asyncio.create_task(_every(poll))
        polls = await _cpu(seconds)
        pods.stdin.write(f"http://127.0.0.1:{served.addresses[0][1]}/metrics\n".encode())
        both = await _cpu(seconds)
        polling.cancel()
        exposed = operator.metrics.exposition()
        await served.cleanup()
    finally:
        pods.stdin.close()
        await pods.wait()
        await data.close()
    series = sum(not line.startswith(b"#") for line in exposed.splitlines())
    return Figures(count, series, len(exposed), round(polls, 4), round(both, 4), round(statistics.median(took), 3))


async def _cpu(seconds: float) -> float:
    """Return the part of a core that this process takes for so long."""
    began, used = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - used) / (time.monotonic() - began)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(prog="bench.telemetry", description="Measure what telemetry costs the operator.")
    parser.add_argument("--backends", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0, help="for which each half is measured")
    parser.add_argument("--file", type=Path, default=RESULTS, help="where the result is written")
    parser.add_argument("--pods", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # As the operator's own process does.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if options.pods is not None:
        asyncio.run(Pods(Signer(options.pods.encode())).serve())
        return
    facts = machine()
    found = asyncio.run(measure(options.backends, options.seconds))
    told = {"machine": facts, **asdict(found)}
    options.file.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))
    print(f"{found.polls_and_scrapes:.1%} of a core; bar: under {_BAR:.0%}", file=sys.stderr)
    sys.exit(0 if found.polls_and_scrapes < _BAR else 1)


if __name__ == "__main__":
    main()
