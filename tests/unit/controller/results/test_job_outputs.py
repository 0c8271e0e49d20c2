"""Large results and programs' output in a store: put there, again where it did not answer, deleted with the job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.api.job import OUTPUT_FINALIZER
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.controller.jobs.program_reports import status_with
from qonverge.controller.kube.client import KubeError
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.settings import Settings
from qonverge.controller.store.phases import Checked
from qonverge.documents.reports import Report
from qonverge.execution.transitions import timestamp
from qonverge.storage.job_output import JobOutput
from qonverge.storage.objects import Objects, StoreFailed
from qonverge.wire.errors import NotFound
from qonverge.wire.tokens import Caller
from tests.unit.controller.jobs.test_reconciler import Desk
from tests.unit.controller.worlds import BELL, settled

COUNTS = {format(number, "030b"): 1 for number in range(20_000)}


def settings(folder: Path, **more: Any) -> Settings:
    stores = [{"name": "shared", "folder": str(folder), **more}]
    return Settings.from_environment({"QONVERGE_OUTPUT_STORES": json.dumps(stores), "QONVERGE_OUTPUT_STORE": "shared"})


def desk_with(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Desk:
    """Return a desk whose API server takes finalizers."""
    desk = Desk(settings=settings(folder, **more))

    async def set_finalizers(
        kind: str, namespace: str, name: str, finalizers: list[str], resource_version: str
    ) -> dict[str, Any]:
        obj = desk.world.state.jobs[f"{namespace}/{name}"].to_dict()
        metadata = {**obj["metadata"], "finalizers": finalizers, "resourceVersion": "0"}
        return {"apiVersion": "qonverge.io/v1alpha1", "kind": kind, **obj, "metadata": metadata}

    monkeypatch.setattr(desk.server, "set_finalizers", set_finalizers)
    return desk


async def computed(desk: Desk, **spec: Any) -> None:
    """Let a job have a large result that is not written yet."""
    await desk.placed(shots=20_000, **spec)
    desk.world.pods.end("uid-j-1-1", COUNTS)
    await settled()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_result_for_which_the_status_has_no_room_is_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    await computed(desk)
    await desk.jobs.reconcile("chem/j")
    status = desk.server.written[-1]
    stored = status["result"]["stored"]
    data = (tmp_path / "chem/j/uid-j/result.json").read_bytes()
    assert (status["state"], status["reason"], status["result"].keys()) == (
        "Complete",
        "ResultStored",
        {"shots", "stored"},
    )
    assert (stored["store"], stored["key"], stored["bytes"]) == ("shared", "chem/j/uid-j/result.json", len(data))
    assert (stored["sha256"], json.loads(data)["counts"]) == (hashlib.sha256(data).hexdigest(), COUNTS)
    assert "it is in the store shared, fetch it by: qonverge result j -n chem -o result.json" in status["message"]
    finished = desk.world.state.finished["chem/j"]
    secret = stored["path"].partition("key=")[2]
    kept = desk.outputs.find("chem/j", "result", secret)
    assert b"".join([piece async for piece in (await kept.get("result.json")).pieces]) == data
    for key, what, guess in (
        ("chem/j", "result", secret[:-1]),
        ("chem/j", "files", secret),
        ("bio/j", "result", secret),
    ):
        with pytest.raises(NotFound, match="in a store under this path"):
            desk.outputs.find(key, what, guess)
    assert finished.leaving is None, "nobody deletes it"


async def test_a_store_that_does_not_answer_gets_the_result_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    await computed(desk)
    put, failures = Objects.put, [StoreFailed("the store shared fails: it is down")] * 3

    async def down(self: Objects, key: str, pieces: Any) -> int:
        if failures:
            raise failures.pop()
        return await put(self, key, pieces)

    monkeypatch.setattr(Objects, "put", down)
    for _ in range(3):
        await desk.jobs.reconcile("chem/j")
    waiting = desk.server.written
    assert [(each["state"], each["reason"]) for each in waiting] == [("Running", "StoreUnreachable")], "it is said once"
    assert (
        "waits for its store, and is put there again and again: the store shared fails: it is down"
        in waiting[0]["message"]
    )
    assert (files_in(tmp_path), desk.world.pods.cancelled) == ([], [])
    await desk.jobs.reconcile("chem/j")
    status = desk.server.written[-1]
    assert (status["state"], status["reason"], status["attempts"]) == ("Complete", "ResultStored", 1)
    assert list(desk.world.pods.given) == ["uid-j-1-1"], "nothing was computed again"
    assert files_in(tmp_path) == ["chem/j/uid-j/result.json"]


async def test_what_a_job_keeps_is_deleted_before_the_job_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    await computed(desk)
    kept = JobOutput(Objects(desk.outputs.store_of(desk.world.state.jobs["chem/j"])), "chem/other/uid-o/")  # type: ignore[arg-type]
    job = desk.world.state.jobs["chem/j"]
    await desk.outputs.hold(job)
    held = desk.world.state.jobs["chem/j"]
    assert held.metadata.finalizers == [OUTPUT_FINALIZER]
    await desk.jobs.reconcile("chem/j")
    await kept.put("result.json", _pieces(b"another's"))
    assert len(files_in(tmp_path)) == 2
    deleted = held.model_copy(
        update={"metadata": held.metadata.model_copy(update={"deletion_timestamp": timestamp(desk.world.now)})}
    )
    desk.world.state.finished["chem/j"] = replace(desk.world.state.finished["chem/j"], leaving=deleted)
    taken: list[list[str]] = []

    async def set_finalizers(kind: str, namespace: str, name: str, finalizers: list[str], _: str) -> dict[str, Any]:
        taken.append(finalizers)
        return {}

    monkeypatch.setattr(desk.server, "set_finalizers", set_finalizers)
    fails = [True]
    sizes = Objects.sizes

    async def down(self: Objects, prefix: str) -> dict[str, int]:
        if fails:
            raise StoreFailed("it is down")
        return await sizes(self, prefix)

    monkeypatch.setattr(Objects, "sizes", down)
    await desk.jobs.reconcile("chem/j")
    assert (taken, len(files_in(tmp_path))) == ([], 2), "its deletion waits for the store"
    fails.clear()
    await desk.jobs.reconcile("chem/j")
    assert (taken, files_in(tmp_path)) == ([[]], ["chem/other/uid-o/result.json"])


async def test_a_deletion_never_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    await computed(desk)
    await desk.outputs.hold(desk.world.state.jobs["chem/j"])
    held = desk.world.state.jobs["chem/j"]
    metadata = held.metadata.model_copy(update={"deletion_timestamp": timestamp(desk.world.now - 3600)})
    taken: list[list[str]] = []

    async def set_finalizers(kind: str, namespace: str, name: str, finalizers: list[str], _: str) -> dict[str, Any]:
        taken.append(finalizers)
        return {}

    async def down(self: Objects, prefix: str) -> dict[str, int]:
        raise StoreFailed("it is down")

    monkeypatch.setattr(desk.server, "set_finalizers", set_finalizers)
    monkeypatch.setattr(Objects, "sizes", down)
    assert await desk.outputs.let_go(held.model_copy(update={"metadata": metadata})) is None
    assert taken == [[]]
    (event,) = [each for each in await desk.told() if each["reason"] == "OutputLeft"]
    assert "what it keeps below chem/j/uid-j/ is left in the store shared: it is down" in event["message"]


async def test_what_is_retained_holds_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_with(tmp_path, monkeypatch, reclaimPolicy="Retain")
    await computed(desk)
    await desk.outputs.hold(desk.world.state.jobs["chem/j"])
    assert desk.world.state.jobs["chem/j"].metadata.finalizers == []


async def test_nothing_is_written_for_a_job_that_is_being_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    job = await desk.placed()
    metadata = job.metadata.model_copy(update={"deletion_timestamp": timestamp(desk.world.now)})
    desk.world.state.jobs["chem/j"] = job.model_copy(update={"metadata": metadata})
    with pytest.raises(KubeError, match="is gone"):
        await desk.outputs.hold(job)


def wide(bits: int) -> CheckedCircuit:
    analysis = replace(BELL.analysis, num_qubits=bits, num_clbits=bits, measured_bits=bits, registers=(("c", bits),))
    return replace(BELL, analysis=analysis)


async def test_a_job_with_nowhere_to_put_its_result_is_refused_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod keeps 10 MB, some 40 before compression; 1,000,000 outcomes of 40 bits take 45."""
    desk = Desk()
    for written in (desk, desk_with(tmp_path, monkeypatch)):
        written.world.backend("a")
        pod = written.world.pod("a-0")
        assert pod.info is not None
        pod.answer(replace(pod.info, keeps_bytes=10_000_000), 0.01, written.world.now)
        written.world.job("k", shots=1_000_000)
        written.world.flight("k").program = Checked("text", wide(40))
        await written.world.rounds.once()
        await written.jobs.reconcile("chem/k")
        await settled()
    status = desk.server.written[-1]
    assert (status["state"], status["reason"], "attempts" in status) == ("Failed", "ResultTooLarge", False)
    assert status["message"] == (
        "the result may take 45000100 bytes, 1000000 outcomes of 40 bits with their counts, and there is no place for "
        "so much: the job's status has room for 600000; the installation has no store for it; a pod of lab/a keeps "
        "10000000 compressed for a namespace. Before it runs: ask for at most 888886 shots, measure fewer qubits, or "
        "let the administrator give the installation a store for it (output.stores of the chart)"
    )
    assert desk.world.pods.given == {}
    assert list(written.world.pods.given) == ["uid-k-1-1"], "with a store it runs"


async def test_a_program_says_what_it_put_into_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_with(tmp_path, monkeypatch)
    job = HybridJob.model_validate(
        {
            "metadata": {"name": "p", "namespace": "chem", "uid": "uid-p", "generation": 1},
            "spec": {"program": {"python": {"source": "x"}}},
            "status": {"state": "Running", "attempts": 1},
        }
    )
    caller = Caller("chem/p", account_of(job), 1)
    body = {"storedResult": {"bytes": 5, "sha256": "a" * 64}, "storedFiles": {"count": 2, "bytes": 7}}
    status = status_with(job, caller, Report.parse(json.dumps(body).encode()), desk.outputs, 0.0, None)
    assert status is not None
    assert status.result is not None
    assert status.result.stored is not None
    assert status.files is not None
    assert (status.result.stored.key, status.result.stored.bytes) == ("chem/p/uid-p/result.json", 5)
    assert (status.files.key, status.files.count, status.files.bytes) == ("chem/p/uid-p/files/", 2, 7)
    assert status.files.path.partition("key=")[2] not in status.result.stored.path


async def _pieces(data: bytes) -> Any:
    yield data
