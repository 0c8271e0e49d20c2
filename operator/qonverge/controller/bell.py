"""Runs a Bell pair on a backend: ``python -m qonverge.controller.bell NAMESPACE BACKEND JOB``, for ``helm test``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from qonverge.api.base import GROUP, VERSION
from qonverge.controller.kube.client import Kube, KubeError

_SECONDS = 240.0
_KIND = "HybridJob"
_CIRCUIT = """OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
h q[0];
cx q[0], q[1];
c = measure q;
"""


class BellFailed(Exception):
    """The job did not end as it should; the text says how."""


async def run(kube: Kube, namespace: str, backend: str, name: str, seconds: float = _SECONDS) -> dict[str, int]:
    """Run a job of this name on a backend of the namespace, delete it, and return the counts.

    Raises:
        KubeError: the API server refuses.
        BellFailed: the job failed, has other outcomes than a Bell pair, or did not end within these seconds.
    """
    program = {"circuit": {"openqasm": _CIRCUIT}}
    job = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": _KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"shots": 1024, "program": program, "backend": {"name": backend}},
    }
    # One that a test before left behind.
    await kube.delete(_KIND, namespace, name)
    await kube.create(job)
    status: dict[str, Any] = {}
    try:
        async with asyncio.timeout(seconds):
            while True:
                status = (await kube.get(_KIND, namespace, name) or {}).get("status") or {}
                if status.get("state") in ("Complete", "Failed"):
                    break
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise BellFailed(f"the job had not ended after {seconds:g} s: {_words(status)}") from None
    finally:
        await kube.delete(_KIND, namespace, name)
    if status["state"] == "Failed":
        raise BellFailed(_words(status))
    counts: dict[str, int] = status["result"]["counts"]
    if not counts.keys() <= {"00", "11"}:
        raise BellFailed(f"a Bell pair has no other outcomes than 00 and 11, and these are {counts}")
    return counts


def _words(status: dict[str, Any]) -> str:
    return f"{status.get('state', 'not seen by the operator')}: {status.get('message') or 'nothing was said'}"


async def _run(namespace: str, backend: str, name: str) -> dict[str, int]:
    kube = await Kube.connect()
    try:
        return await run(kube, namespace, backend, name)
    finally:
        await kube.close()


def main(namespace: str, backend: str, name: str) -> None:
    """Run it and print the counts."""
    try:
        counts = asyncio.run(_run(namespace, backend, name))
    except (KubeError, BellFailed) as error:
        sys.exit(f"a Bell pair on the backend {namespace}/{backend}: {error}")
    print(f"a Bell pair on the backend {namespace}/{backend}: {counts}")


if __name__ == "__main__":
    main(*sys.argv[1:])
