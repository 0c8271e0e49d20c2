"""Memory of a backend in front of each vendor's cloud, with many tasks outstanding there: ``-m bench.cloud_memory``.

The clouds are dev-cloud's, in this process, on devices whose queue takes hours. Tasks share 50 circuits. IBM
and IonQ are called more often than their own limits allow, since the tasks would take half an hour to send.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.clouds import Server, circuit_of, serving, task_of
from bench.memory import footprint, peak
from bench.report import machine
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario

_LONG = {"queue": {"seconds": 100_000}, "noise": False}
_SCENARIO = {
    "braket": {"devices": {"Forte-1": _LONG}},
    "ibm": {"backends": {"ibm_fez": _LONG}},
    "google": {"processors": {"weber": _LONG}},
    "ionq": {"backends": {"qpu.forte-1": _LONG}},
}
# To lay one out for a device takes longer than all else.
_CIRCUITS = 50
RESULTS = Path(__file__).parent / "results" / "cloud-memory.json"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, MiB."""

    vendor: str
    outstanding: int
    idle: dict[str, float]
    """Resident before the first task: of the server, of the process that translates, and their sum."""
    loaded: dict[str, float]
    """The same with all tasks at the cloud."""
    loaded_pss: dict[str, float]
    """The same as proportional set sizes: pages that both share count once."""
    server_peak: float | None


def _given(there: Mapping[str, str], folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the provider and the options for each vendor; ``folder`` gets the credentials of all."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "QISKIT_IBM_INSTANCE"):
        (folder / name).write_text(there[name])
    (folder / "QISKIT_IBM_TOKEN").write_text("a-key")
    (folder / "IONQ_API_KEY").write_text("a-key")
    google = "GOOGLE_APPLICATION_CREDENTIALS"
    (folder / google).write_text(Path(there[google]).read_text())
    braket = {
        "device": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
        "bucket": there["AMZN_BRAKET_OUT_S3_BUCKET"],
        "endpoint": there["AWS_ENDPOINT_URL_BRAKET"],
        "s3Endpoint": there["AWS_ENDPOINT_URL_S3"],
    }
    ibm = {"backend": "ibm_fez", "endpoint": there["QISKIT_IBM_URL"], "iamEndpoint": there["IAM_URL"]}
    return {
        "braket": ("Braket", braket),
        "ibm": ("PromptIBM", ibm),
        "google": (
            "Google",
            {"project": "lab", "processor": "weber", "endpoint": there["QONVERGE_GOOGLE_ENDPOINT"]},
        ),
        "ionq": ("IonqNear", {"backend": "qpu.forte-1", "endpoint": there["IONQ_API_URL"]}),
    }


def _sizes(server: Server, kind: str) -> dict[str, float]:
    found = footprint(server.process)
    return {
        name: round(found[of][kind], 1) for name, of in (("server", "operator"), ("child", "children"), ("sum", "sum"))
    }


def run(vendor: str, outstanding: int = 1000) -> Figures:
    """Measure one vendor."""
    with (
        DevCloud(Scenario.model_validate({vendor: _SCENARIO[vendor]})) as cloud,
        tempfile.TemporaryDirectory() as folder,
    ):
        provider, options = _given(cloud.environment, Path(folder))[vendor]
        with serving(provider, options, "--credentials", folder) as server:
            idle = _sizes(server, "rss")
            for index in range(outstanding):
                server.send(task_of(circuit_of(index % _CIRCUITS), f"many-{index}"), 0)
            while (there := len(cloud.tasks())) < outstanding:
                print(f"{vendor}: {there} of {outstanding}", file=sys.stderr, flush=True)
                time.sleep(5)
            return Figures(
                vendor, outstanding, idle, _sizes(server, "rss"), _sizes(server, "pss"), peak(server.process.pid)
            )


def main(arguments: list[str] | None = None) -> None:
    """Measure all and write JSON."""
    parser = argparse.ArgumentParser(prog="bench.cloud_memory", description="Measure backends in front of clouds.")
    parser.add_argument("--outstanding", type=int, default=1000, help="tasks at once")
    parser.add_argument("--vendors", nargs="+", choices=sorted(_SCENARIO), default=sorted(_SCENARIO))
    parser.add_argument("--to", type=Path, default=RESULTS, help="where the figures are written")
    options = parser.parse_args(arguments)
    facts = {**machine(), "started": datetime.now(UTC).isoformat(timespec="seconds")}
    rows = []
    for vendor in options.vendors:
        rows.append(asdict(run(vendor, options.outstanding)))
        print(json.dumps(rows[-1]), flush=True)
        options.to.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
