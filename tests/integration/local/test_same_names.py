"""A runner that is given jobs of one name again and again."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import yaml

from qonverge.local.manifests import Manifests, read
from qonverge.local.run import Observer
from qonverge.local.runner import LocalRunner


def _read(folder: Path, value: int) -> Manifests:
    text = f"OPENQASM 3.0; qubit q; bit[{1 + value}] c; {'U(pi, 0, pi) q; ' * value} c[0] = measure q;"
    job = {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "HybridJob",
        "metadata": {"name": "same"},
        "spec": {"program": {"circuit": {"openqasm": text}}, "shots": 10},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return read([str(path)])


async def test_each_run_has_its_own_result(tmp_path: Path) -> None:
    runner = LocalRunner(_read(tmp_path, 0), Observer(*[lambda *_: None] * len(fields(Observer))))
    async with runner.started():
        for value in [0, 1] * 15:
            (job,) = _read(tmp_path, value).jobs
            status = (await runner.run(job)).status
            assert status.result is not None
            assert status.result.counts == {"01" if value else "0": 10}
