"""Where programs of the embedded mode keep files and checkpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from qonverge.api import HybridJob
from qonverge.local.outputs import LocalOutputs, state_folder


def job(**spec: Any) -> HybridJob:
    given = {"program": {"python": {"source": "pass", **spec.pop("python", {})}}, **spec}
    return HybridJob.model_validate({"metadata": {"name": "vqe", "namespace": "chem"}, "spec": given})


async def one() -> AsyncIterator[bytes]:
    yield b"x"


async def left(outputs: LocalOutputs, given: HybridJob, text: str = "pass") -> int:
    """Return how many checkpoints a run of a job finds."""
    async with outputs.of(given, text) as output:
        assert output is not None
        return output.checkpoints


async def test_only_the_same_computation_goes_on(tmp_path: Path) -> None:
    outputs = LocalOutputs(tmp_path)
    async with outputs.of(job(seed=1), "pass") as output:
        assert output is not None
        await output.kept.put("checkpoints/00000001", one())
        await output.kept.put("files/a", one())
    assert await left(outputs, job(seed=1)) == 1
    assert await left(outputs, job(seed=1, ttlSecondsAfterFinished=5)) == 1, "which changes nothing of it"
    others = [job(seed=2), job(seed=1, shots=5), job(seed=1, python={"args": ["x"]})]
    assert [await left(outputs, other) for other in others] == [0, 0, 0]
    assert await left(outputs, job(seed=1), "another text in its ConfigMap") == 0
    assert await left(LocalOutputs(tmp_path, fresh=True), job(seed=1)) == 0
    assert await left(outputs, job(seed=1)) == 0


async def test_a_run_beside_another_has_nothing_of_it(tmp_path: Path) -> None:
    outputs = LocalOutputs(tmp_path)
    async with outputs.of(job(), "pass") as output:
        assert output is not None
        await output.kept.put("files/a", one())
        async with LocalOutputs(tmp_path, fresh=True).of(job(), "pass") as other:
            assert other is None
        assert await output.kept.sizes("files/") == {"a": 1}


def test_state_is_where_the_user_has_it() -> None:
    assert state_folder({"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/qonverge")
    assert state_folder({"XDG_STATE_HOME": "relative"}) == state_folder({}) == Path.home() / ".local/state/qonverge"
