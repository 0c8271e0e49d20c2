"""``qonverge run`` with devices elsewhere and no account: what is published is imitated, the others say what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from qonverge.cli.main import cli
from qonverge.devices import snapshots

BELL = Path(__file__).parents[3] / "examples" / "bell.yaml"
DATED = "willow_pink of 2024-08-16, published in cirq-google 1.7.0"


@pytest.fixture(autouse=True)
def _no_access(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "IONQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def ran(folder: Path, **section: Any) -> tuple[dict[str, Any], str]:
    """Return the status of a job on a backend, and what is said on standard error."""
    file = folder / "backend.yaml"
    kind = {"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumBackend", "metadata": {"name": "b"}}
    file.write_text(yaml.safe_dump({**kind, "spec": section}))
    result = CliRunner().invoke(cli, ["run", "-o", "json", str(file), str(BELL)])
    return json.loads(result.stdout)["status"], result.stderr


def test_google_s_processor_is_a_virtual_one_and_says_so(tmp_path: Path) -> None:
    found, said = ran(tmp_path, google={"project": "p", "processor": "willow_pink"}, pricing={"perSecond": "9"})
    assert found["state"] == "Complete", found
    assert found["result"]["counts"]["00"] + found["result"]["counts"]["11"] > 1000
    assert found["message"].startswith(f"completed on b, a virtual device with the figures of {DATED}")
    assert DATED in found["placement"]
    assert found["provenance"]["virtualDevice"].startswith(DATED)
    assert found["provenance"]["calibration"] == snapshots.load("willow_pink").digest
    assert found["usage"]["cost"] == "0"
    assert "b is a virtual device, since GOOGLE_APPLICATION_CREDENTIALS is not set" in said


def test_a_vendor_without_an_account_says_what_to_do_at_once(tmp_path: Path) -> None:
    # No port is open there, should the key be of no interest.
    found, _ = ran(tmp_path, ionq={"backend": "simulator", "endpoint": "http://127.0.0.1:9"})
    assert found["reason"] == "EngineFailed"
    assert "IONQ_API_KEY" in found["message"] or "no connection" in found["message"]
    assert "credentials are read from the environment here. Without an account use" in found["message"]
