"""Engines in processes of their own: backend servers, and the embedded mode's runner for manifests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import fields
from pathlib import Path as File
from typing import Any, TypeVar

import urllib3
import yaml

from e2e.cluster.processes import free_ports
from qonverge.local.manifests import read
from qonverge.local.run import Observer
from qonverge.local.runner import LocalRunner
from tests.differential.answers import Answer, Refused
from tests.differential.openqasm import Spelling
from tests.differential.paths import ENGINES, manifest, of_status
from tests.differential.program import Case

_T = TypeVar("_T")


class Servers:
    """Backend servers on loopback, each started when it is first wanted."""

    def __init__(self, *options: str) -> None:
        """Start none; the options are those of the command."""
        self._options = options
        self._ended = contextlib.ExitStack()
        self._urls: dict[str, str] = {}

    def __enter__(self) -> Servers:
        """Hold them until the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them all."""
        self._ended.close()

    def url(self, name: str) -> str:
        """Return the address of the engine's server."""
        if name not in self._urls:
            self._urls[name] = self._ended.enter_context(_server(name, self._options))
        return self._urls[name]


@contextlib.contextmanager
def _server(name: str, further: Sequence[str]) -> Iterator[str]:
    engine, method = ENGINES[name]
    (port,) = free_ports(1)
    options = [
        "--engine",
        engine,
        "--method",
        method,
        "--concurrency",
        "1",
        "--memory-limit",
        str(3 * 1024**3),
        *further,
    ]
    process = subprocess.Popen([sys.executable, "-m", "qonverge.backend", "--listen", f"127.0.0.1:{port}", *options])
    try:
        for _ in range(1200):
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", retries=False).status == 200:
                    break
            assert process.poll() is None, f"the server of {name} ended"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


class Manifests:
    """The embedded mode on backends of all engines; their processes start when a job is first placed on them."""

    def __init__(self, folder: File) -> None:
        """Keep manifests in this folder."""
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stack = contextlib.AsyncExitStack()
        backends = folder / "backends.yaml"
        backends.write_text("---\n".join(yaml.safe_dump(_backend(name)) for name in ENGINES))
        runner = LocalRunner(read([str(backends)]), Observer(*[lambda *_: None] * len(fields(Observer))))
        self._runner = runner

    def __enter__(self) -> Manifests:
        """Start the runner."""
        self._thread.start()
        self._call(self._stack.enter_async_context(self._runner.started()))
        return self

    def __exit__(self, *_: object) -> None:
        """End its processes."""
        self._call(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def answer(self, name: str, case: Case, spelling: Spelling) -> Answer:
        """Run the case's manifest on an engine, from a file as ``qonverge run`` takes it."""
        given = manifest(case, spelling)
        given["spec"]["backend"] = {"name": name.lower().replace("/", "-")}
        path = self._folder / "job.yaml"
        # JSON is YAML in which every text is quoted: a bare Y would be true.
        path.write_text(json.dumps(given))
        (job,) = read([str(path)]).jobs
        status = self._call(self._runner.run(job)).status
        if status.state != "Complete":
            raise Refused(status.reason or "", status.message or "")
        assert status.result is not None
        return of_status(case.program, status.result.model_dump(by_alias=True, exclude_none=True))

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _backend(name: str) -> dict[str, object]:
    engine, method = ENGINES[name]
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "QuantumBackend",
        "metadata": {"name": name.lower().replace("/", "-")},
        "spec": {"simulator": {"engine": engine, "method": method}, "capacity": {"concurrency": 1}},
    }
