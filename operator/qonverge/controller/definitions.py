"""Brings the cluster's CustomResourceDefinitions to this version: ``python -m qonverge.controller.definitions``.

Helm installs them with the chart and never changes them, so that the chart runs this before an upgrade.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from qonverge.api.schema import custom_resource_definitions
from qonverge.controller.kube.client import Kube, KubeError

_KIND = "CustomResourceDefinition"
_WAIT_SECONDS = 60.0


async def bring(kube: Kube) -> None:
    """Apply the CustomResourceDefinitions, and return when the API server serves them.

    Raises:
        KubeError: the API server refuses, such as a version that objects are stored in and that is gone.
        TimeoutError: it does not serve them within a minute.
    """
    for wanted in custom_resource_definitions().values():
        name = wanted["metadata"]["name"]
        before = await kube.get(_KIND, None, name)
        after = await kube.apply(wanted)
        changed = before is None or before["metadata"]["generation"] != after["metadata"]["generation"]
        print(f"{name}: {'brought to this version' if changed else 'is of this version'}", flush=True)
        async with asyncio.timeout(_WAIT_SECONDS):
            while not _established(after):
                await asyncio.sleep(0.2)
                after = await kube.get(_KIND, None, name) or {}


def _established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


async def _run() -> None:
    kube = await Kube.connect()
    try:
        await bring(kube)
    finally:
        await kube.close()


def main() -> None:
    """Bring them to this version."""
    try:
        asyncio.run(_run())
    except KubeError as error:
        sys.exit(f"qonverge.controller.definitions: {error}")
    except TimeoutError:
        sys.exit(f"qonverge.controller.definitions: the API server does not serve them after {_WAIT_SECONDS:g} s")


if __name__ == "__main__":
    main()
