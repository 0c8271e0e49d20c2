"""A real Prometheus server, which scrapes what a test says and ends with it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.layers import require_prometheus
from tests.integration.conftest import eventually, free_port

INTERVAL = "1s"


@dataclass(frozen=True)
class Target:
    """What is scraped, as the job of the operator's or of the pods' series."""

    address: str
    labels: Mapping[str, str]
    honor_labels: bool = False


class PrometheusServer:
    """One server, which can be ended and started again."""

    def __init__(self, folder: Path, targets: Sequence[Target], port: int) -> None:
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[bytes] | None = None
        jobs = [
            {
                "job_name": f"job-{number}",
                "honor_labels": each.honor_labels,
                "static_configs": [{"targets": [each.address], "labels": dict(each.labels)}],
            }
            for number, each in enumerate(targets)
        ]
        config = {"global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(config))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def stopped(self) -> bool:
        return self._process is None

    def start(self) -> None:
        command = [
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        eventually(self._ready, "readiness of Prometheus")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Return the series of an instant query; it is an error where Prometheus refuses it."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
        return False


@contextlib.contextmanager
def running(folder: Path, targets: Sequence[Target], port: int | None = None) -> Iterator[PrometheusServer]:
    """Run a server until the end of the block."""
    require_prometheus()
    folder.mkdir()
    server = PrometheusServer(folder, targets, port or free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
