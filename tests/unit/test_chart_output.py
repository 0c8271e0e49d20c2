"""Stores for output in the chart: what the operator reads of them, and what its pod mounts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qonverge.controller.settings import Settings
from tests.unit.test_chart import helm, one, render, template

__all__ = ["helm"]

VALUES = """
output:
  defaultStore: archive
  stores:
    - name: archive
      s3: {bucket: quantum, endpoint: "https://minio.storage.svc:9000", prefix: jobs}
      secret: archive-credentials
      maxJobBytes: 20Gi
    - name: shared
      persistentVolumeClaim: quantum-output
      reclaimPolicy: Retain
      namespaces: [chem]
"""


def test_the_operator_reads_the_stores_that_its_pod_mounts(helm: Path, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(VALUES)
    pod = one(render(helm, "-f", str(values)), "Deployment")["spec"]["template"]["spec"]
    (operator,) = pod["containers"]
    environment = {each["name"]: each["value"] for each in operator["env"] if "value" in each}
    given = {name: environment[name] for name in ("QONVERGE_OUTPUT_STORES", "QONVERGE_OUTPUT_STORE")}
    settings = Settings.from_environment(given)
    archive, shared = settings.output_stores
    assert (settings.output_store, archive.name, archive.max_job_bytes) == ("archive", "archive", 20 * 1024**3)
    assert archive.s3 is not None
    assert (archive.s3.bucket, archive.s3.prefix, archive.reclaim_policy) == ("quantum", "jobs", "Delete")
    assert (shared.reclaim_policy, shared.namespaces) == ("Retain", ["chem"])
    mounts = {each["mountPath"]: each["name"] for each in operator["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes[mounts[archive.credentials]]["secret"]["secretName"] == "archive-credentials"
    assert volumes[mounts[shared.folder or ""]]["persistentVolumeClaim"] == {"claimName": "quantum-output"}


def test_without_stores_there_are_none(helm: Path) -> None:
    pod = one(render(helm), "Deployment")["spec"]["template"]["spec"]
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert json.loads(environment["QONVERGE_OUTPUT_STORES"]) == []
    assert [each["name"] for each in pod["volumes"]] == ["tmp"]


@pytest.mark.parametrize(
    "store",
    ["{name=a}", "{name=a,s3.bucket=results,persistentVolumeClaim=b}", "{name=a,s3.bucket=results,reclaimPolicy=Keep}"],
)
def test_a_store_that_the_operator_would_refuse_is_refused_before(helm: Path, store: str) -> None:
    options = [f"--set=output.stores[0].{each}" for each in store.strip("{}").split(",")]
    done = template(helm, *options)
    assert done.returncode != 0
    assert "output" in done.stderr


def test_a_default_that_is_no_store_is_refused() -> None:
    with pytest.raises(ValueError, match="QONVERGE_OUTPUT_STORE is 'gone': QONVERGE_OUTPUT_STORES names none"):
        Settings.from_environment({"QONVERGE_OUTPUT_STORE": "gone"})
    with pytest.raises(ValueError, match=r"QONVERGE_OUTPUT_STORES is .*: 0: a store: set exactly one of folder, s3"):
        Settings.from_environment({"QONVERGE_OUTPUT_STORES": '[{"name": "a"}]'})
