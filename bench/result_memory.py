"""How much memory a large result takes where it is stored and where it is read: ``python -m bench.result_memory``.

A program hands a result to its job's store, through the operator's own routes over a folder, and ``qonverge result``
reads it again. Each is a process of its own, whose peak is compared with what it had before there was a result.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
BAR = 1.2
"""Times the result's size that each end may take."""
_SECRET = "of-the-bench"
_PATH = f"/v1/jobs/default/large/output/result?key={_SECRET}"
# The value is made first, so that its own memory counts too.
_PROGRAM = """
import numpy as np, sys
from qonverge.client import result
import qonverge.client.program.large_results, urllib3, msgpack
from bench.result_memory import resident, tell
before = resident("VmRSS")
megabytes, kind = int(sys.argv[1]), sys.argv[2]
value = "x" * (megabytes * 10**6) if kind == "text" else np.random.default_rng(1).normal(size=megabytes * 10**6 // 20)
result(value)
tell(before)
"""


def resident(what: str) -> int:
    """Return the process's resident bytes: VmRSS now, VmHWM at most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def tell(before: int) -> None:
    """Print how far the process's peak is above what it had before."""
    print(json.dumps({"peak": resident("VmHWM") - before}), flush=True)


def serve(folder: str) -> None:
    """Serve an operator's routes for one job until the standard input ends; print the port first and the peak last."""
    from typing import cast

    from aiohttp import web

    from qonverge.api import HybridJob
    from qonverge.api.job_status import StoredResult
    from qonverge.controller.kube.client import Kube
    from qonverge.controller.kube.events import Events
    from qonverge.controller.kube.status_writer import StatusWriter
    from qonverge.controller.quotas.accounts import account_of
    from qonverge.controller.results.job_outputs import JobOutputs
    from qonverge.controller.results.kept_results import PodResults
    from qonverge.controller.settings import Settings
    from qonverge.controller.store.resources import Finished
    from qonverge.controller.store.state import State
    from qonverge.controller.web.callers import Callers
    from qonverge.controller.web.output_routes import OutputRoutes
    from qonverge.controller.web.result_route import result_app
    from qonverge.wire.tokens import Caller

    stores = json.dumps([{"name": "shared", "folder": folder, "reclaimPolicy": "Retain"}])
    settings = Settings.from_environment({"QONVERGE_OUTPUT_STORES": stores, "QONVERGE_OUTPUT_STORE": "shared"})
    state = State()
    nothing = cast(Kube, None)
    outputs = JobOutputs(
        state=state,
        kube=nothing,
        statuses=StatusWriter(nothing, lambda *_: None),
        events=Events(nothing, lambda: 0.0),
        settings=settings,
        clock=lambda: 0.0,
    )
    metadata = {"name": "large", "namespace": "default", "uid": "u"}
    spec = {"program": {"python": {"source": "x"}}}
    job = HybridJob.model_validate({"metadata": metadata, "spec": spec, "status": {"state": "Running", "attempts": 1}})
    state.jobs["default/large"] = job
    stored = StoredResult(store="shared", key="", bytes=0, sha256="", path=_PATH)
    state.finished["default/large"] = Finished("u", None, stored=stored)

    async def run() -> None:
        app = result_app(cast(PodResults, None), outputs)
        callers = Callers(state, lambda *_: Caller("default/large", account_of(job), 1))
        OutputRoutes(callers, outputs).add_to(app)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        before = resident("VmRSS")
        print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        tell(before)
        await runner.cleanup()

    asyncio.run(run())


def read(url: str, target: str, size: int, sha256: str) -> None:
    """Read the result as ``qonverge result -o`` does."""
    from typing import cast

    from qonverge.cli.cluster import Cluster
    from qonverge.cli.result import _copy, _target

    async def copy() -> None:
        import aiohttp  # noqa: F401  # what the command has anyway

        before = resident("VmRSS")
        with _target(Path(target)) as file:
            await _copy(cast(Cluster, None), url, f"/proxy/{_PATH[1:]}", file, size=size, sha256=sha256)
        tell(before)

    asyncio.run(copy())


def measure(kind: str, megabytes: int, folder: Path) -> Mapping[str, float]:
    """Store a result and read it again; return the peaks as parts of its size."""
    me = [sys.executable, "-m", "bench.result_memory"]
    store, program, target = folder / "store", folder / "program.py", folder / "result.json"
    program.write_text(_PROGRAM)
    with subprocess.Popen([*me, "--serve", str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}"
        given = {"STORE_URL": f"{url}/v1/jobs/default/large/output", "RESULT_ROOM": "600000", "TOKEN": "t"}
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **{f"QONVERGE_{name}": text for name, text in given.items()},
        }
        written = _peak([sys.executable, str(program), str(megabytes), kind], environment)
        (data,) = store.rglob("result.json")
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = data.stat().st_size
        was_read = _peak([*me, "--read", url, str(target), str(size), digest], dict(os.environ))
        passed, _ = server.communicate()
    target.unlink()
    data.unlink()
    passed_on = json.loads(passed.splitlines()[-1])["peak"]
    return {"size": size, "program": written / size, "operator": passed_on / size, "reader": was_read / size}


def _peak(command: list[str], environment: dict[str, str]) -> int:
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return int(json.loads(done.stdout.splitlines()[-1])["peak"])


def main() -> None:
    """Measure and print; exit status 1 where one end took more than the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    if arguments.read:
        url, target, size, sha256 = arguments.read
        read(url, target, int(size), sha256)
        return
    # Only here: what is measured does without what this loads.
    from bench import report

    rows, figures = list[report.Row](), dict[str, Mapping[str, float]]()
    for kind in ("text", "array"):
        with tempfile.TemporaryDirectory() as folder:
            figures[kind] = found = measure(kind, arguments.megabytes, Path(folder))
        ends = {name: found[name] for name in ("program", "operator", "reader")}
        shown = ", ".join(f"{name} {part:.2f} x" for name, part in ends.items())
        what = f"{found['size'] / 1e6:.0f} MB of JSON, {kind}: memory over its size"
        rows.append(report.Row(what, shown, f"at most {BAR:g} x", max(ends.values()) <= BAR))
    print(report.table(rows))
    if arguments.json:
        report.write(arguments.json, rows, figures)
    sys.exit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
