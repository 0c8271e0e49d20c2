"""The vendor's process, and its provider as an installed package."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from qonverge.providers import installed

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("Keyed", "Tagged", "Untraceable")


@dataclass
class Service:
    """The vendor that runs."""

    url: str
    pool: urllib3.PoolManager

    def control(self, **body: Any) -> dict[str, Any]:
        """Tell it something, and return its journal and its tasks."""
        told: dict[str, Any] = self.pool.request("POST", self.url + "/control", json=body, timeout=20).json()
        return told

    def fault(self, call: str, kind: str, times: int = 1, skip: int = 0) -> None:
        """Let calls fail, the next ones or those after."""
        self.control(faults=[{"call": call, "kind": kind, "times": times, "skip": skip}])

    def reset(self) -> None:
        """Have it as at the start."""
        self.control(reset=True)

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """All tasks that it ever began."""
        return list(self.control()["tasks"])

    def calls(self, name: str) -> list[dict[str, Any]]:
        """The journal of one call."""
        return [each for each in self.control()["journal"] if each["call"] == name]


@contextlib.contextmanager
def vendor() -> Iterator[Service]:
    """Run the vendor until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.clouds.vendor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield Service(f"http://127.0.0.1:{int(process.stdout.readline())}", urllib3.PoolManager(retries=False))
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@contextlib.contextmanager
def provider(folder: Path) -> Iterator[None]:
    """Have the providers of tests found in this process and in those that it starts."""
    info = folder / "qonverge_vendor-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: qonverge-vendor\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[{installed.GROUP}]\nPromptIBM = tests.clouds.ibm:PROMPT\nIonqNear = tests.clouds.ionq:NEAR\n"
        + "".join(f"{each} = tests.clouds.provider:{each.upper()}\n" for each in KINDS)
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT), *([before] if before else [])])
    sys.path.insert(0, str(folder))
    _forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        _forget()


def _forget() -> None:
    for each in (installed._points, installed.find, installed.own):
        each.cache_clear()
