"""Every query of every dashboard and alert has data of a real Prometheus that scrapes a real operator and backends."""

from __future__ import annotations

import json
import math
import re
import signal
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.remote import Process, edge_server
from qonverge.devices.noise import noise_named
from tests.clouds.running import Service, provider, vendor
from tests.integration.conftest import BELL, ROOT, Lab, backend, eventually, free_port, job
from tests.integration.prometheus_server import PrometheusServer, Target, running
from tests.integration.test_cloud_jobs import TURN

CHART = ROOT / "charts" / "qonverge"
_VARIABLES = {"$__rate_interval": "1h", "$backend": ".*", "$namespace": ".*"}
_STALE_SECONDS = 12
_POWER = 'label_replace(label_replace(vector(20000), "namespace", "default", "", ""), "backend", "acme", "", "")'


class Watched:
    """A lab with a device at a vendor, acme, and an edge server behind a proxy, edge, which Prometheus scrapes."""

    def __init__(self, lab: Lab, service: Service, prometheus: PrometheusServer) -> None:
        self.lab, self._service, self.prometheus = lab, service, prometheus
        self._jobs = 0

    def run(self, name: str, ends: str = "Complete") -> None:
        """Run a job on a backend."""
        self._jobs += 1
        job_name, text = f"{name}-{self._jobs}", TURN if name == "acme" else BELL
        self.lab.apply(job(job_name, text, backend={"name": name}, shots=100))
        ended = self.lab.ended(job_name)
        assert ended["state"] == ends, ended

    def fail(self) -> None:
        """Have the vendor refuse a job's task."""
        self._service.fault("submit", "refused")
        self.run("acme", "Failed")

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return the figures of acme's device in the last recorded round, after another one."""
        self.run("acme")
        with urllib.request.urlopen(f"http://127.0.0.1:{self.lab.health}/trace", timeout=20) as answer:
            last = json.loads(answer.read().decode().splitlines()[-1])
        (acme,) = [each for each in last["backends"] if each["name"] == "acme"]
        found: dict[str, dict[str, Any]] = acme["figures"]
        return found

    def figures_by(self, source: str) -> dict[str, dict[str, Any]] | None:
        """Return the same, where the wait is by this source."""
        told = self.figures()
        return told if told["wait_seconds"]["source"] == source else None

    def has_data(self, query: str) -> bool:
        """Return whether there is a number in the query's answer."""
        return any(math.isfinite(float(each["value"][1])) for each in self.prometheus.query(query))


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Process]:
    port, file = free_port(), tmp_path / "edge.json"
    config = {"listen": f"127.0.0.1:{port}", "spool": {"folder": "spool"}, "memory": "1000Mi"}
    device = {"simulator": {"engine": "Aer", "noise": {"device": "lima"}}, "capacity": {"concurrency": 1}}
    file.write_text(json.dumps(config | device))
    process = edge_server(file, port, "http")
    process.start()
    yield process
    process.kill(signal.SIGTERM)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with vendor() as service, provider(tmp_path / "site"):
        calibration = noise_named("manila").to_dict()
        device = {"queue_length": 3, "wait_seconds": 2.0, "price": ["0.30", "USD"], "num_qubits": 5}
        service.control(settings={"billed": ["0.25", "USD"]}, device={**device, "calibration": calibration})
        yield service


@pytest.fixture
def watched(lab: Lab, service: Service, edge: Process, tmp_path: Path) -> Iterator[Watched]:
    section = {"provider": "Tagged", "options": {"endpoint": service.url}}
    energy, tier = {"taskWatts": 15_000}, {"tier": "Cloud"}
    acme = backend("acme", plugin=section, maxCalibrationAge="8760000h", energy=energy, location=tier)
    place = {"energy": {"taskWatts": 12}, "location": {"tier": "Edge"}}
    box = backend("edge", remote={"url": f"http://127.0.0.1:{edge.port}"}, **place)
    for manifest in (acme, box):
        del manifest["spec"]["simulator"]
    limits = {"shots": 1_000_000, "cost": {"amount": "100", "currency": "USD"}}
    quota = {"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumQuota", "spec": {"limits": limits}}
    lab.apply(acme, box, {**quota, "metadata": {"name": "all", "namespace": "default"}}, job("held", suspend=True))
    port = free_port()
    lab.start_operator(
        QONVERGE_PROMETHEUS_URL=f"http://127.0.0.1:{port}",
        QONVERGE_PROMETHEUS_SECONDS="0.5",
        QONVERGE_PROMETHEUS_POWER_QUERY=_POWER,
        QONVERGE_STALE_SECONDS=str(_STALE_SECONDS),
    )
    lab.ready()
    lab.serve("acme", "acme-0")
    lab.serve("edge", "edge-0")
    targets = [
        Target(f"127.0.0.1:{lab.health}", {"namespace": "qonverge-system"}, honor_labels=True),
        *(Target(f"127.0.0.1:{lab.port(f'{name}-0')}", _labels(name, f"{name}-0")) for name in ("acme", "edge")),
        Target(f"127.0.0.1:{edge.port}", _labels("box", "box-0")),
    ]
    with running(tmp_path / "prometheus", targets, port) as prometheus:
        yield Watched(lab, service, prometheus)


def _labels(name: str, pod: str) -> dict[str, str]:
    """Return what the chart's PodMonitor adds."""
    return {"namespace": "default", "pod": pod, "backend": f"default/{name}"}


def test_every_query_has_data_and_decisions_use_prometheus_while_it_is_there(watched: Watched) -> None:
    # A counter's first value has no rate: each comes twice, with a scrape in between.
    for name in ("acme", "edge"):
        watched.run(name)
    watched.fail()
    for first in (
        'qonverge_operator_job_wait_seconds_count{backend="default/edge"}',
        "qonverge_backend_task_errors_total",
    ):
        eventually(partial(watched.has_data, first), f"the first value of {first}")
    for name in ("acme", "edge"):
        watched.run(name)
    watched.fail()
    queries = [*_of_dashboards(), *_of_alerts()]
    assert len(queries) > 60
    for query in queries:
        eventually(partial(watched.has_data, query), f"data of {query}")
    # The two kinds of series name a backend alike.
    joined = "qonverge_operator_backend_ready_pods * on (backend) group_right () qonverge_backend_queue_limit"
    assert {each["metric"]["pod"] for each in watched.prometheus.query(joined)} == {"acme-0", "edge-0"}
    _sources(watched)


def _sources(watched: Watched) -> None:
    """What rounds used is in their record: Prometheus' figures, the pod's while it is away, and Prometheus' again."""
    for source in ("Prometheus", "Pod", "Prometheus"):
        if source == "Pod":
            watched.prometheus.stop()
        elif watched.prometheus.stopped:
            watched.prometheus.start()
        figures = {
            "online": 1.0,
            "queue_length": 3.0,
            "wait_seconds": 2.0,
            # Of power no pod has a word: what the specification says counts once the last figure is too old.
            **({"task_watts": 20_000.0} if source == "Prometheus" else {}),
        }
        eventually(partial(_are, watched, source, figures), f"the figures {figures} by {source}")


def _are(watched: Watched, source: str, figures: dict[str, float]) -> bool:
    found = {name: each["value"] for name, each in (watched.figures_by(source) or {}).items()}
    # As long as the requests to the vendor took.
    return found.pop("round_trip_seconds", 0.0) > 0 and found == figures


def _of_dashboards() -> list[str]:
    queries = []
    for path in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"]
                for name, value in _VARIABLES.items():
                    query = query.replace(name, value)
                assert "$" not in query, query
                queries.append(query)
    return queries


def _of_alerts() -> list[str]:
    """Return the metrics of the alerts, whose expressions have no data while all is well."""
    text = (CHART / "templates" / "rules.yaml").read_text()
    return sorted(set(re.findall(r"qonverge_(?:backend|operator)_\w+", "\n".join(_expressions(text)))))


def _expressions(text: str) -> list[str]:
    """Return the expressions of the chart's rules as they stand there."""
    rules = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "x", re.sub(r"^\{\{.*\}\}$", "", text, flags=re.MULTILINE)))
    return [rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]]
