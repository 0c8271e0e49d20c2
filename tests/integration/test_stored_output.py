"""Output of jobs in stores: an S3-compatible server and a folder, with a real API server and real backend servers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.build import Programs
from e2e.layers import leave_out
from qonverge.storage.objects import Objects, StoreFailed
from qonverge.storage.settings import StoreSettings
from tests.integration.conftest import Lab, backend, eventually, free_port, job
from tests.integration.test_results import SHOTS, WIDE
from tests.integration.test_tokens import Program, program

FINALIZER = "qonverge.io/output"
KEY, SECRET = "tester", "a-secret-of-tests"
# Its result has no room in a status, and its second attempt goes on from what the first kept.
SOURCE = """
import os, pathlib, signal
import numpy as np
from qonverge.client import checkpoint, result

done = checkpoint.load() or {"iteration": 0, "path": np.zeros(0)}
print("begins at", done["iteration"])
for iteration in range(done["iteration"], 10):
    done = {"iteration": iteration + 1, "path": np.append(done["path"], np.arange(20_000.0))}
    checkpoint.save(done)
    if iteration == 5 and os.environ["ATTEMPT"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
folder = pathlib.Path(os.environ["QONVERGE_OUTPUT"])
(folder / "plots").mkdir()
(folder / "plots" / "path.txt").write_text("x" * 3_000_000)
result(done["path"])
"""


class S3Server:
    """An S3-compatible server over a folder, which can be stopped and started again."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data" / "results").mkdir(parents=True)
        self.credentials = folder / "credentials"
        self.credentials.mkdir()
        (self.credentials / "accessKeyId").write_text(KEY)
        (self.credentials / "secretAccessKey").write_text(SECRET)

    def start(self) -> None:
        environment = {**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        command = [str(self._binary), "--port", f"127.0.0.1:{self.port}", "posix", str(self._folder / "data")]
        log = (self._folder / "server.log").open("ab")
        self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def settings(self, **more: Any) -> dict[str, Any]:
        s3 = {"bucket": "results", "endpoint": f"http://127.0.0.1:{self.port}", "prefix": "quantum"}
        return {"name": "archive", "s3": s3, "credentials": str(self.credentials), **more}

    def keys(self) -> list[str]:
        """Return what jobs keep, by the job's name and the path."""
        return _keys(self._folder / "data" / "results" / "quantum")


class Folder:
    """A folder as a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def settings(self) -> dict[str, Any]:
        return {"name": "shared", "folder": str(self._folder)}

    def keys(self) -> list[str]:
        """Return what jobs keep, by the job's name and the path."""
        return _keys(self._folder)


def _keys(folder: Path) -> list[str]:
    found = (path.relative_to(folder / "default").parts for path in folder.rglob("*") if path.is_file())
    return sorted(f"{name}/{'/'.join(path)}" for name, _, *path in found)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    programs = Programs()
    if programs.missing("versitygw"):
        leave_out("versitygw is not built: `make programs`")
    folder = tmp_path / "s3"
    folder.mkdir()
    server = S3Server(programs["versitygw"], folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> S3Server | Folder:
    """Each kind of store."""
    if request.param == "folder":
        return Folder(tmp_path / "shared")
    server: S3Server = request.getfixturevalue("s3")
    return server


def with_store(lab: Lab, store: dict[str, Any]) -> None:
    capacity = {"concurrency": 1, "maxShots": 100_000_000}
    lab.apply(backend("aer", simulator={"engine": "Stim", "seed": 5}, capacity=capacity))
    lab.start_operator(QONVERGE_OUTPUT_STORES=json.dumps([store]), QONVERGE_OUTPUT_STORE=store["name"])
    lab.ready()
    lab.serve("aer")


def fetched(lab: Lab, name: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    main = "from qonverge.cli.main import main; main()"
    command = [sys.executable, "-c", main, "result", name, "-n", "default", "--url", lab.results, *options]
    return subprocess.run(command, capture_output=True, check=False, env=lab.environment())


def test_a_large_result_is_in_the_bucket_also_where_that_was_down_and_goes_with_its_job(
    lab: Lab, s3: S3Server, tmp_path: Path
) -> None:
    with_store(lab, s3.settings())
    s3.stop()
    lab.apply(job("wide", WIDE, shots=SHOTS), job("small"))
    waiting = eventually(
        lambda: _reason(lab, "wide") == "StoreUnreachable" and lab.status("wide"), "the store's trouble"
    )
    assert waiting["state"] == "Running"
    assert "waits for its store, and is put there again and again: the store archive fails" in waiting["message"]
    assert lab.ended("small")["result"]["counts"].keys() == {"00", "11"}
    s3.start()
    status = lab.ended("wide")
    stored = status["result"]["stored"]
    assert (status["state"], status["reason"], status["attempts"]) == ("Complete", "ResultStored", 1)
    assert lab.get("hj", "wide")["metadata"]["finalizers"] == [FINALIZER]
    assert s3.keys() == ["wide/result.json"]
    target = tmp_path / "out" / "result.json"
    target.parent.mkdir()
    done = fetched(lab, "wide", "-o", str(target))
    assert done.returncode == 0, done.stderr
    data = target.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (stored["bytes"], stored["sha256"])
    assert sum(json.loads(data)["counts"].values()) == SHOTS
    assert fetched(lab, "wide").stdout == data
    assert [path.name for path in target.parent.iterdir()] == ["result.json"]
    # Nothing of it is left, and nobody had to be there when it was deleted.
    lab.stop_operator()
    lab.kubectl("delete", "hj", "wide", "--wait=false")
    lab.start_operator(QONVERGE_OUTPUT_STORES=json.dumps([s3.settings()]), QONVERGE_OUTPUT_STORE="archive")
    eventually(lambda: "wide" not in {each["metadata"]["name"] for each in lab.list("hj")}, "the end of the job")
    assert s3.keys() == []


def test_a_job_of_another_store_or_too_large_a_result_does_not_run(lab: Lab, tmp_path: Path) -> None:
    with_store(lab, {"name": "shared", "folder": str(tmp_path / "store"), "maxJobBytes": "1Mi", "namespaces": ["chem"]})
    eventually(lambda: lab.get("qb", "aer")["status"].get("capabilities"), "what aer can do")
    lab.apply(
        job("elsewhere", output={"store": "shared"}),
        job("too-large", WIDE.replace("30]", "60]"), shots=100_000_000, output={}),
    )
    status = lab.ended("elsewhere")
    assert (status["state"], status["reason"]) == ("Failed", "NoSuchStore")
    assert (
        "output.store is shared, which is no store for jobs of the namespace default: there is none"
        in status["message"]
    )
    status = lab.ended("too-large")
    assert (status["state"], status["reason"], "attempts" in status) == ("Failed", "ResultTooLarge", False)
    assert "100000000 outcomes of 60 bits" in status["message"]
    assert "Before it runs: ask for at most " in status["message"]


def attempt(lab: Lab, name: str, number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an attempt at a program as its pod does."""
    started = Program(lab, name)
    (container,) = lab.get("job", started.object(number))["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    output, token = folder / f"output-{number}", folder / f"token-{number}"
    output.mkdir()
    token.write_text(started.token(number))
    here = f"http://127.0.0.1:{lab.reports}"
    for variable in ("QONVERGE_REPORT_URL", "QONVERGE_STORE_URL"):
        given[variable] = here + given[variable].partition(".svc:8080")[2]
    own = {"QONVERGE_OUTPUT": str(output), "QONVERGE_TOKEN_FILE": str(token), "ATTEMPT": str(number)}
    del given["QONVERGE_METRICS_LISTEN"], given["QONVERGE_TERMINATION_LOG"]
    file = folder / "program.py"
    file.write_text(SOURCE)
    command = [sys.executable, "-m", "qonverge.client.program.run", str(file)]
    return subprocess.run(command, env={**os.environ, **given, **own}, capture_output=True, text=True, check=False)


def test_the_next_attempt_at_a_program_goes_on_and_its_result_and_files_are_kept(
    lab: Lab, store: S3Server | Folder, tmp_path: Path
) -> None:
    with_store(lab, store.settings())
    lab.apply(program("vqe"))
    running = Program(lab, "vqe")
    running.placed()
    first = attempt(lab, "vqe", 1, tmp_path)
    assert (first.returncode, "begins at 0" in first.stdout) == (-9, True), first.stderr
    assert store.keys() == ["vqe/checkpoints/00000005", "vqe/checkpoints/00000006"]
    assert lab.get("hj", "vqe")["metadata"]["finalizers"] == [FINALIZER]
    # Its pod is lost with its node.
    lab.kubectl("delete", "job", running.object(1))
    running.placed(attempt=2)
    second = attempt(lab, "vqe", 2, tmp_path)
    assert (second.returncode, "begins at 6" in second.stdout) == (0, True), second.stderr
    status = running.status()
    stored, files = status["result"]["stored"], status["files"]
    assert (files["count"], files["bytes"]) == (1, 3_000_000)
    kept = ["vqe/checkpoints/00000009", "vqe/checkpoints/00000010", "vqe/files/plots/path.txt", "vqe/result.json"]
    assert store.keys() == kept
    # What the first attempt still does changes nothing.
    path = f"http://127.0.0.1:{lab.reports}/v1/jobs/default/vqe/output/checkpoints/00000011"
    headers = {"authorization": f"Bearer {(tmp_path / 'token-1').read_text()}"}
    late = urllib.request.Request(path, b"late", headers, method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(late, timeout=60)
    assert (refused.value.code, b"the token is of attempt 1: attempt 2 of" in refused.value.read()) == (403, True)
    assert store.keys() == kept
    _complete(lab, running.object(2))
    assert lab.ended("vqe")["state"] == "Complete"
    eventually(lambda: store.keys() == kept[2:], "that its checkpoints are deleted")
    done = fetched(lab, "vqe", "-o", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stderr
    data = (tmp_path / "result.json").read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (stored["bytes"], stored["sha256"])
    assert json.loads(data)["value"] == [*map(float, range(20_000))] * 10
    done = fetched(lab, "vqe", "--files", str(tmp_path / "files"))
    assert (done.returncode, b"1 files in" in done.stdout) == (0, True), done.stderr
    assert (tmp_path / "files" / "plots" / "path.txt").read_text() == "x" * 3_000_000


async def test_a_bucket_is_a_store_as_a_folder_is(s3: S3Server) -> None:
    objects = Objects(StoreSettings.model_validate(s3.settings()))
    size = 50_000_000

    async def large() -> Any:
        for _ in range(size // 1_000_000):
            yield b"x" * 1_000_000

    async def broken() -> Any:
        yield b"y" * 20_000_000
        raise ConnectionResetError("gone")

    async def none() -> Any:
        no_pieces: tuple[bytes, ...] = ()
        for piece in no_pieces:
            yield piece

    await _until_it_serves(objects)
    assert await objects.put("a/é 1%.bin", large()) == size
    with pytest.raises(ConnectionResetError):
        await objects.put("a/é 1%.bin", broken())
    assert await objects.put("a/empty", none()) == 0
    assert await objects.sizes("a/") == {"a/empty": 0, "a/é 1%.bin": size}
    assert sum([len(piece) async for piece in (await objects.get("a/é 1%.bin")).pieces]) == size
    await objects.delete(["a/empty", "a/é 1%.bin", "a/never"])
    assert await objects.sizes("a/") == {}


async def _until_it_serves(objects: Objects) -> None:
    import asyncio

    for _ in range(600):
        with contextlib.suppress(StoreFailed):
            await objects.sizes("a/")
            return
        await asyncio.sleep(0.2)
    await objects.sizes("a/")


def _reason(lab: Lab, name: str) -> Any:
    return lab.status(name).get("reason")


def _complete(lab: Lab, name: str) -> None:
    """Do what the Job controller does when the program's pod has ended well."""
    now = lab.get("job", name)["metadata"]["creationTimestamp"]
    kinds = ("SuccessCriteriaMet", "Complete")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now, "reason": "x"} for kind in kinds]
    status = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
    patch = json.dumps({"status": status})
    lab.kubectl("patch", "job", name, "--subresource=status", "--type=merge", "-p", patch)
