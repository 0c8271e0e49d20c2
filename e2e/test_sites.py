"""Sites behind links of their own: near and far, cut off and back.

Each has a containerd, a kubelet and a kube-proxy in a network of its own, and its packets pass a delay line. By ``make
test-ecosystem``: alone on the cluster, since operators that other tests kill forget what they waited for.
"""

from __future__ import annotations

import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.cluster.access import ClusterAccess
from e2e.cluster.link import Conditions
from e2e.cluster.plan import SITES
from e2e.cluster.processes import execute
from e2e.conftest import ROOT
from e2e.workspace import BELL, Workspace, backend, circuit, eventually, layered, operator_pods, program

pytestmark = pytest.mark.ecosystem

NEAR, FAR, FARTHER = (Conditions(delay=seconds) for seconds in (0.005, 0.04, 0.3))
TURNS = 20
#: A loop of small circuits, each of which waits for the one before.
LOOP = f"""
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2
bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
bell.measure_all()
sampler = SamplerV2()
for turn in range({TURNS}):
    sampler.run([bell], shots=16).result()
"""
#: Needs 512 MiB for its state: more than a worker of the edge may have.
LARGE = layered(25, 1)
#: Runs long enough for a site to be cut off meanwhile, and to return.
LONG = layered(21, 40)


class Sites:
    """The sites and their links, with a backend at each in one namespace; ``campus`` is where the operator is."""

    def __init__(self, cluster: ClusterAccess, workspace: Workspace) -> None:
        assert cluster.own is not None
        self._homes = {name: cluster.own.plan.site(name).home for name in SITES}
        self._cluster = cluster
        self.workspace = workspace

    def link(self, site: str, conditions: Conditions) -> None:
        conditions.write(self._homes[site])

    def round_trips(self) -> dict[str, float]:
        """Return the seconds that the operator shows, by backend."""
        (pod,) = operator_pods(self._cluster)
        path = f"/api/v1/namespaces/{self._cluster.namespace}/pods/{pod['metadata']['name']}:8081/proxy/metrics"
        found = re.findall(
            r'^qonverge_operator_backend_round_trip_seconds{backend="([\w/-]+)"} (\S+)$',
            self._cluster.kubectl("get", f"--raw={path}"),
            re.M,
        )
        return {name.partition("/")[2]: float(seconds) for name, seconds in found if self.workspace.namespace in name}

    def measured(self, condition: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Wait until the operator's measurements are so, and return them."""

        def found() -> dict[str, float]:
            trips = self.round_trips()
            return trips if {"campus", "edge", "cloud"} <= trips.keys() and condition(trips) else {}

        return dict(eventually(found, "measurements of the links"))

    def loop(self, name: str, *backends: str) -> str:
        """Run a loop that may go to these backends, and return the one that it had."""
        chosen = {"matchExpressions": [{"key": "qonverge.io/e2e", "operator": "In", "values": list(backends)}]}
        self.workspace.apply(program(name, LOOP, backend={"selector": chosen}))
        return str(self.workspace.completed(name)["backend"])


def _backend(name: str, location: dict[str, str], memory: str) -> dict[str, Any]:
    tolerations = [{"key": "qonverge.io/site", "operator": "Equal", "value": name}]
    resources = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": memory}}
    simulator = {"engine": "Aer", "method": "Statevector"}
    made = backend(
        name,
        simulator=simulator,
        location=location,
        # A worker is free while others run what a test needs to run for long.
        capacity={"concurrency": 3},
        template={"resources": resources, "tolerations": tolerations},
    )
    made["metadata"]["labels"] = {"qonverge.io/e2e": name}
    return made


@pytest.fixture(scope="module")
def running(cluster: ClusterAccess) -> Iterator[Sites]:
    """The sites, and a backend at each."""
    if cluster.own is None:
        pytest.skip("sites can be added to this machine's own cluster only")
    tool = [sys.executable, "-m", "e2e.cluster", "sites"]
    ran = any(cluster.own.plan.site(name).home.exists() for name in SITES)
    workspace = Workspace(cluster, f"e2e-sites-{uuid.uuid4().hex[:5]}")
    execute([*tool, "up"], directory=ROOT)
    try:
        workspace.create()
        workspace.apply(
            _backend("campus", {"site": "campus", "region": "home", "nodes": "Any"}, "1Gi"),
            _backend("edge", {"tier": "Edge", "site": "edge", "region": "home"}, "1Gi"),
            _backend("cloud", {"tier": "Cloud", "site": "cloud", "region": "abroad"}, "3Gi"),
        )
        workspace.wait("--for=condition=Ready", "quantumbackend/campus", "quantumbackend/edge", "quantumbackend/cloud")
        yield Sites(cluster, workspace)
    finally:
        # While the sites are there, so that their kubelets end the pods.
        cluster.kubectl("delete", "namespace", workspace.namespace, "--ignore-not-found", "--timeout=60s")
        if not ran:
            execute([*tool, "down"], directory=ROOT)


@pytest.fixture
def sites(running: Sites) -> Sites:
    """The sites with the links that they have on good days."""
    running.link("edge", NEAR)
    running.link("cloud", FAR)
    running.measured(lambda trips: trips["edge"] < 0.5 * trips["cloud"] and trips["cloud"] < 1.5 * 2 * FAR.delay)
    return running


def test_the_measured_way_decides_where_loops_go_and_a_large_circuit_goes_to_the_cloud(sites: Sites) -> None:
    trips = sites.round_trips()
    assert trips["edge"] >= 2 * NEAR.delay
    assert trips["cloud"] >= 2 * FAR.delay
    # That it is bound by the way is learned when it runs for the first time.
    sites.loop("first", "edge", "cloud")
    assert sites.loop("second", "campus", "edge", "cloud") != "cloud"
    told = {each["backend"]: each["networkSeconds"] for each in sites.workspace.status("second")["forecast"]}
    assert told["cloud"] >= (TURNS + 1) * 2 * FAR.delay
    sites.workspace.apply(circuit("large", LARGE, shots=100))
    assert sites.workspace.completed("large")["backend"] == "cloud"

    assert sites.loop("third", "edge", "cloud") == "edge"
    sites.link("edge", FARTHER)
    sites.measured(lambda trips: trips["edge"] > 2 * trips["cloud"])
    assert [sites.loop(f"farther-{number}", "edge", "cloud") for number in range(2)] == ["cloud"] * 2
    sites.link("edge", NEAR)
    sites.measured(lambda trips: 2 * trips["edge"] < trips["cloud"])
    assert [sites.loop(f"near-{number}", "edge", "cloud") for number in range(2)] == ["edge"] * 2


def test_a_site_that_is_cut_off(sites: Sites, record_property: Callable[[str, object], None]) -> None:
    workspace = sites.workspace
    there = {"dataSite": "edge", "tiers": ["Edge", "Cloud"]}
    before = workspace.tasks("Cancelled", "edge")
    workspace.apply(
        circuit("stays", LONG, backend={"name": "edge"}, retryPolicy={"unreachableSeconds": 600}),
        circuit("moves", LONG, placement=there, retryPolicy={"unreachableSeconds": 2}),
    )
    workspace.running("stays", "moves")
    assert workspace.status("moves")["backend"] == "edge"

    sites.link("edge", Conditions(cut=True))
    cut, sent, number = time.monotonic(), dict[str, float](), 0
    known = None
    while known is None or number < 3:
        name = f"new-{len(sent)}"
        sent[name] = time.monotonic() - cut
        workspace.apply(circuit(name, BELL, placement=there, retryPolicy={"unreachableSeconds": 0}))
        ready = workspace.get("quantumbackend", "edge")["status"]["conditions"][0]
        if known is None and (ready["status"], ready["reason"]) == ("False", "Unreachable"):
            known = time.monotonic() - cut
        elif known is not None:
            number += 1
        assert sent[name] < 60, "the operator does not see that the site is cut off"
    resident = {"regions": ["home"], "dataSite": "edge"}
    only = {"matchExpressions": [{"key": "qonverge.io/e2e", "operator": "In", "values": ["edge", "cloud"]}]}
    workspace.apply(circuit("resident", BELL, placement=resident, backend={"selector": only}))
    ends = {name: workspace.completed(name) for name in sent}
    assert {status["backend"] for status in ends.values()} == {"cloud"}
    # What was sent into the dark first has two attempts.
    astray = [sent[name] for name, status in ends.items() if status["attempts"] > 1]
    last = list(sent)[-3:]
    assert [ends[name]["attempts"] for name in last] == [1, 1, 1]
    record_property("seconds from the cut to the last job that was sent there", max(astray, default=0.0))
    record_property("seconds from the cut until the backend says so", known)

    moved = workspace.completed("moves")
    assert (moved["backend"], moved["attempts"]) == ("cloud", 2)
    assert "PodUnreachable" in workspace.kubectl("get", "events", "--field-selector=involvedObject.name=moves")
    waits = eventually(lambda: (found := workspace.status("resident")).get("message") and found, "a message")
    assert waits["state"] == "Pending"
    assert re.search(r"edge-qb-\S+ does not answer", waits["message"]), waits
    assert "cloud" in waits["message"]
    stays = workspace.status("stays")
    assert (stays["state"], stays["attempts"], stays["backend"]) == ("Running", 1, "edge")

    sites.link("edge", NEAR)
    stayed = workspace.completed("stays")
    assert (stayed["backend"], stayed["attempts"]) == ("edge", 1)
    assert sum(stayed["result"]["counts"].values()) == 1024
    assert workspace.completed("resident")["backend"] == "edge"
    # What ran for a job that has gone elsewhere is no one's any more.
    eventually(lambda: not workspace.get("quantumbackend", "edge")["status"].get("running"), "the end of its tasks")
    assert workspace.status("moves") == moved
    record_property("tasks of jobs that went elsewhere, cancelled there", workspace.tasks("Cancelled", "edge") - before)
