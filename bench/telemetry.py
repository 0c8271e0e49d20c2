"""What telemetry costs the operator, and how soon it decides: ``python -m bench.telemetry [--backends 500]``.

Its polls, metrics and rounds run as they are, in this process, over as many backends of one pod. Another process
stands for the pods, which prove themselves and are asked with tokens over HTTP, and for Prometheus, which scrapes the
operator every 5 s. There is no API server, and no job but those that ask for a decision: which of two devices is chosen
follows how long a task waits there, as their pods tell it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import aiohttp
import uvloop
from aiohttp import web

from bench.report import machine
from qonverge.accounting.ledger import Ledger
from qonverge.api import HybridJob, QuantumBackend
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.backends.reconciler import Backends
from qonverge.controller.background import pause
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.objects.object_names import audience, backend_selector
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.placement.traces import Traces
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.settings import Settings
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import AwaitingPlacement, Checked
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.web import servers
from qonverge.controller.web.readings import OperatorReadings
from qonverge.execution.transitions import timestamp
from qonverge.scheduling import Policy
from qonverge.telemetry import JobEnd, OperatorMetrics
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.codec import pack
from qonverge.wire.proof import prove
from qonverge.wire.tokens import Signer, generate_private_key
from qonverge.wire.vendor import DeviceState
from tests.unit.controller.worlds import BELL

RESULTS = Path(__file__).parent / "results" / "telemetry.json"
_NAMESPACE = "lab"
_SCRAPE_SECONDS = 5.0
_BAR = 0.1
_DECISION_BAR = 5.0
_DEVICES = ("device-0", "device-1")
_SOON, _LATE = 10.0, 90_000.0
_JOB = f"{_NAMESPACE}/j"
_LONGEST_SECONDS = 120.0
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
    """CPU time of the operator that asks all pods as often as it does."""
    polls_and_scrapes: float
    """The same while it is scraped every 5 s too."""
    poll_seconds: float
    """How long a poll of all pods takes, median."""
    decisions: tuple[float, ...]
    """Seconds from a change at a pod until a job goes elsewhere for it, the shortest first."""


class Pods:
    """The servers of all pods, and what scrapes the operator: for a process of their own."""

    def __init__(self, signer: Signer) -> None:
        """``signer`` gives the keys that the operator gives to pods."""
        self._signer = signer
        self._waits = dict(zip(_DEVICES, (_SOON, _LATE), strict=True))

    async def serve(self) -> None:
        """Tell the port on standard output, and do what comes on standard input until that ends.

        That is ``scrape URL`` from now on, or ``swap`` how long a task waits at the two devices.
        """
        app = web.Application()
        app.router.add_get("/{pod}/v1/identity", self._identity)
        app.router.add_get("/{pod}/v1/backend", self._backend)
        app.router.add_post("/{pod}/v1/meters", self._meters)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        scraping: asyncio.Task[None] | None = None
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            if words[0] == "scrape":
                scraping = asyncio.create_task(_scrape(words[1]))
            else:
                self._waits = dict(zip(_DEVICES, reversed(self._waits.values()), strict=True))
        if scraping is not None:
            scraping.cancel()
        await runner.cleanup()

    async def _identity(self, request: web.Request) -> web.Response:
        pod = request.match_info["pod"]
        key = self._signer.backend_key(f"{_NAMESPACE}/{pod}")
        return web.Response(body=pack({"proof": prove(key, request.query["challenge"], pod)}))

    async def _backend(self, request: web.Request) -> web.Response:
        wait, told = self._waits.get(request.match_info["pod"]), _INFO
        if wait is not None:
            told = replace(_INFO, device=DeviceState(online=True, wait_seconds=wait, round_trip_seconds=0.01))
        return web.Response(body=pack(told.to_dict()))

    async def _meters(self, _: web.Request) -> web.Response:
        return web.Response(body=pack({"boot": "b", "meters": {}}))


async def _scrape(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            began = time.monotonic()
            async with session.get(address) as answer:
                await answer.read()
            await asyncio.sleep(max(0.0, began + _SCRAPE_SECONDS - time.monotonic()))


class Operator:
    """The part of the operator that asks pods, decides by what they tell, and shows metrics."""

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
        self.rounds = Rounds(
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
            rounds=self.rounds,
            waiting=lambda: 0,
            leading=lambda: True,
            acting=lambda: True,
        )
        self.metrics.read_at_scrape(readings)
        self.polled: list[float] = []
        self.decided = asyncio.Queue[str]()
        for name in _DEVICES:
            self._add(name, port, {"remote": {"url": "https://elsewhere.example", "credentials": {"name": "it"}}})
        for number in range(count - len(_DEVICES)):
            self._add(f"backend-{number}", port, {"simulator": {}, "scaling": {"maxReplicas": 3}})

    async def poll(self) -> None:
        """Ask pods for ever, as often as the operator does, and decide where what they tell is news."""
        while True:
            began = time.monotonic()
            news = await self.backends.poll(leading=True, whole=False)
            self.polled.append(time.monotonic() - began)
            if news:
                self.decided.put_nowait(await self._decide())
            await asyncio.sleep(pause(time.monotonic() - began, len(self.state.backends), soon=False, limited=False))

    async def _decide(self) -> str:
        """Return the device to which a job would go now."""
        anyone = {"matchExpressions": [{"key": "device", "operator": "Exists"}]}
        spec = {"program": {"circuit": {"openqasm": "x"}}, "placement": {"objective": "Time"}}
        created = timestamp(time.time())
        metadata = {"name": "j", "namespace": _NAMESPACE, "uid": "j", "generation": 1, "creationTimestamp": created}
        job = HybridJob.model_validate({"metadata": metadata, "spec": {**spec, "backend": {"selector": anyone}}})
        flight = Flight("j", 1, program=Checked("x", BELL), phase=AwaitingPlacement())
        self.state.jobs[_JOB], self.state.flights[_JOB] = job, flight
        await self.rounds.once()
        del self.state.jobs[_JOB], self.state.flights[_JOB]
        chosen = None if flight.proposal is None else flight.proposal.backend or flight.proposal.planned
        return "" if chosen is None else chosen.name

    def _add(self, name: str, port: int, source: dict[str, Any]) -> None:
        energy, location = {"taskWatts": 20}, {"site": f"site-{name}", "region": "home", "nodes": "Any"}
        spec = {**source, "energy": energy, "location": location}
        labels = {"device": "True"} if name in _DEVICES else {}
        given = {"metadata": {"name": name, "namespace": _NAMESPACE, "uid": name, "labels": labels}, "spec": spec}
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


async def measure(count: int, seconds: float, changes: int) -> Figures:
    """Return what the telemetry of so many backends costs, and how soon it shows in decisions.

    Args:
        count: backends, two of which stand for devices.
        seconds: for which polls are measured alone, and for which they are with scrapes.
        changes: of what a pod tells, whose decisions are waited for.

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
        # Connections, proofs and tokens are made once.
        await operator.backends.poll(leading=True)
        if silent := [pod.key for pod in operator.state.pods.serving() if not pod.answers]:
            raise RuntimeError(f"{len(silent)} pods do not answer, such as {silent[0]}")
        polling = asyncio.create_task(operator.poll())
        polls = await _cpu(seconds)
        pods.stdin.write(f"scrape http://127.0.0.1:{served.addresses[0][1]}/metrics\n".encode())
        both = await _cpu(seconds)
        decisions = [await _changed(operator, pods.stdin, _DEVICES[1 - number % 2]) for number in range(changes)]
        polling.cancel()
        exposed = operator.metrics.exposition()
        await served.cleanup()
    finally:
        pods.stdin.close()
        await pods.wait()
        await data.close()
    series = sum(not line.startswith(b"#") for line in exposed.splitlines())
    return Figures(
        count,
        series,
        len(exposed),
        round(polls, 4),
        round(both, 4),
        round(statistics.median(operator.polled), 3),
        tuple(round(each, 2) for each in sorted(decisions)),
    )


async def _changed(operator: Operator, pods: asyncio.StreamWriter, device: str) -> float:
    """Let a task wait long at the other device and not at this one, and return the seconds until a job goes here."""
    # At any moment between two polls.
    await asyncio.sleep(random.uniform(0.0, _SCRAPE_SECONDS))
    began = time.monotonic()
    pods.write(b"swap\n")
    async with asyncio.timeout(_LONGEST_SECONDS):
        while await operator.decided.get() != device:
            pass
    return time.monotonic() - began


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
    parser.add_argument("--changes", type=int, default=30, help="whose decisions are waited for")
    parser.add_argument("--file", type=Path, default=RESULTS, help="where the result is written")
    parser.add_argument("--pods", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # As the operator's own process does.
    gc.freeze()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if options.pods is not None:
        asyncio.run(Pods(Signer(options.pods.encode())).serve())
        return
    facts = machine()
    found = asyncio.run(measure(options.backends, options.seconds, options.changes))
    told = {"machine": facts, **asdict(found)}
    options.file.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))
    longest = max(found.decisions, default=0.0)
    print(f"{found.polls_and_scrapes:.1%} of a core; bar: under {_BAR:.0%}", file=sys.stderr)
    print(f"decisions follow within {longest:g} s; bar: under {_DECISION_BAR:g} s", file=sys.stderr)
    sys.exit(0 if found.polls_and_scrapes < _BAR and longest < _DECISION_BAR else 1)


if __name__ == "__main__":
    main()
